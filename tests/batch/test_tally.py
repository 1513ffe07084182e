"""The counts of a batch."""

from __future__ import annotations

from anyfast_async import AssistantMessage, Attempt, ChatCompletion, Choice, Trace, Usage
from anyfast_async.batch.tally import Tally
from anyfast_async.completions import CompletionTokensDetails, PromptTokensDetails
from anyfast_async.messages import ToolCall

TWO_TRIES = (Attempt(1, "server", 500, 0.1, "no"), Attempt(2, "ok", 200, 0.2, "yes"))


def completion(text: str, finish: str, **message: object) -> ChatCompletion:
    said = AssistantMessage(text, **message)  # type: ignore[arg-type]  # tool_calls
    return ChatCompletion(
        choices=(Choice(message=said, finish_reason=finish),),
        usage=Usage(prompt_tokens=10, completion_tokens=5),
        trace=Trace(total=2.0, first_token=0.5, attempts=TWO_TRIES),
    )


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

    assert (5, 2, 1, 2) == (tally.answered, tally.empty, tally.length, tally.failed)
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


def test_an_image_is_an_answer() -> None:
    """An answer that is an image beside no text is not empty."""
    image = AssistantMessage("", extra={"images": [{"image_url": {"url": "data:image/png;base64,AA=="}}]})

    assert "ok" == ChatCompletion(choices=(Choice(message=image, finish_reason="stop"),)).outcome


def test_tokens_of_which() -> None:
    """Thinking and cached tokens are counted apart, as parts of the others; answers without them count as none."""
    usage = Usage(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=4),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=3),
    )
    tally = Tally(2, 0)
    for one in (usage, None):
        tally.count_answer(ChatCompletion(choices=completion("Hi", "stop").choices, usage=one))

    assert (10, 5, 4, 3) == (
        tally.prompt_tokens,
        tally.completion_tokens,
        tally.cached_tokens,
        tally.reasoning_tokens,
    )
