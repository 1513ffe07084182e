"""The counts of a batch."""

from __future__ import annotations

import random

import pytest

from anyfast_async import AssistantMessage, Attempt, ChatCompletion, Choice, Trace, Usage
from anyfast_async.batch.tally import Histogram, Tally
from anyfast_async.messages import ToolCall

TWO_TRIES = (Attempt(1, "server", 500, 0.1, "no"), Attempt(2, "ok", 200, 0.2, "yes"))


def completion(text: str, finish: str, **message: object) -> ChatCompletion:
    said = AssistantMessage(text, **message)  # type: ignore[arg-type]  # tool_calls
    return ChatCompletion(
        choices=(Choice(message=said, finish_reason=finish),),
        usage=Usage(prompt_tokens=10, completion_tokens=5),
        trace=Trace(total=2.0, first_token=0.5, attempts=TWO_TRIES),
    )


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_percentiles_within_one_percent(percent: int) -> None:
    """A percentile is the nearest rank's value to within 1 %, over four orders of magnitude."""
    values = sorted(random.Random(7).lognormvariate(0, 2) for _ in range(5000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    assert histogram.percentile(percent) == pytest.approx(values[len(values) * percent // 100 - 1], rel=0.01)


def test_histogram_edges() -> None:
    """Without values there is no percentile; zero counts as the smallest number."""
    histogram = Histogram()
    assert histogram.percentile(50) is None

    histogram.add(0.0)

    assert histogram.percentile(50) == pytest.approx(1e-6, rel=0.01)


def test_answers_are_told_apart() -> None:
    """Empty answers and those cut at max_tokens are counted apart; a tool call is no empty answer."""
    tally = Tally(10, 2)
    call = ToolCall(id="c", type="function")
    answers = [
        completion("Hi", "stop"),
        completion("Hi", "length"),
        completion("", "length"),
        completion("", "stop"),
        completion("", "tool_calls", tool_calls=(call,)),
    ]
    for one in answers:
        tally.count_answer(one)
    tally.count_failure("bad_request", (Attempt(1, "bad_request", 400, 0.1, "no"),))
    tally.count_failure("server", TWO_TRIES)

    assert (5, 2, 1, 2) == (tally.answered, tally.empty, tally.cut, tally.failed)
    assert {"bad_request": 1, "server": 1} == tally.kinds
    assert 6 == tally.retries
    assert (50, 25, 75) == (tally.prompt_tokens, tally.completion_tokens, tally.tokens)
    assert (9, 1) == (tally.done, tally.left)
    assert (5, 5) == (tally.latency.count, tally.first_token.count)


def test_rate_is_of_this_run() -> None:
    """Rows that an earlier run answered do not make this one faster."""
    tally = Tally(100, 50, answered=8, failed=2, seconds=5.0)

    assert 2.0 == tally.rate
    assert 0.0 == Tally(100, 50).rate
