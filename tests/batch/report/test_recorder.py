"""What a report is made of."""

from __future__ import annotations

import tracemalloc

import pytest

from anyfast_async import AssistantMessage, Attempt, ChatCompletion, Choice, Stats, Usage
from anyfast_async._core.errors.failures import status_error
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.recorder import EXAMPLES, Recorder
from anyfast_async.errors import RateLimitError

ANSWER = ChatCompletion(
    choices=(Choice(message=AssistantMessage("Hi"), finish_reason="stop"),),
    usage=Usage(prompt_tokens=10, completion_tokens=5),
)
OK = Attempt(1, "ok", 200, 0.2, "yes")


def stats(in_flight: int = 4, held_for: float = 0.0) -> Stats:
    return Stats(
        in_flight=in_flight,
        queued=2,
        limited_by=None,
        held_for=held_for,
        requests=0,
        tokens_used=0,
        tokens_reserved=0,
    )


def test_rows_and_samples() -> None:
    """Answers, failures, tokens and samples stand in the stretch of time in which they came."""
    tally = Tally(3, 0)
    record = Recorder(tally, concurrency=64)
    record.begin(1000.0)
    record.row(RowDone("a", None, tally, ANSWER, (OK,)), 1000.01)
    record.row(RowDone("b", status_error(400)("bad"), tally, None, ()), 1005.0)
    record.tick(stats(4), 1000.05)
    record.tick(stats(8, held_for=3.0), 1000.06)

    first, *_, last = [bucket for *_, bucket in record.timeline.stretches(240)]

    assert (1, 10, 5, 2, 12, 8, 1) == (
        first.answered,
        first.prompt_tokens,
        first.completion_tokens,
        first.samples,
        first.in_flight,
        first.peak,
        first.held,
    )
    assert (0, 1) == (last.answered, last.failed)
    assert (8, {"unanswered": 1, "throttling": 1}) == (record.peak, record.limits)


def test_second_attempts() -> None:
    """Attempts that were made again are counted by cause, throttled ones apart; what may be billed is told."""
    tally = Tally(2, 0)
    record = Recorder(tally)
    attempts = (
        Attempt(1, "rate_limit", 429, 0.1, "no"),
        Attempt(2, "server", 500, 0.1, "no"),
        Attempt(3, "timeout", None, 9.0, "maybe"),
        OK,
    )
    record.row(RowDone("a", None, tally, ANSWER, attempts), 0.0)

    ((*_, bucket),) = record.timeline.stretches(240)

    assert (1, 2) == (bucket.throttled, bucket.retries)
    assert {("rate_limit", 429): 1, ("server", 500): 1, ("timeout", None): 1} == record.retried
    assert {"no": 2, "maybe": 1} == record.billed


def test_examples() -> None:
    """Of each kind the first few rows are kept, odd answers too; ids and messages are short and without controls."""
    tally = Tally(2, 0)
    record = Recorder(tally)
    empty = ChatCompletion(choices=(Choice(message=AssistantMessage(""), finish_reason="stop"),))
    for number in range(10):
        error = RateLimitError("\x1b[2J" + "x" * 10_000)
        error.retryable = True
        record.row(RowDone(f"\u202e{number}" + "y" * 1000, error, tally, None, (OK,)), 0.0)
    record.row(RowDone("e", None, tally, empty, (OK,)), 0.0)

    assert {"rate_limit": EXAMPLES, "empty": 1} == {kind: len(kept) for kind, kept in record.examples.items()}
    first = record.examples["rate_limit"][0]
    assert (first.custom_id + first.message).isprintable()
    assert len(first.custom_id + first.message) < 600
    assert (True, "no", 1) == (first.retryable, first.billed, first.attempts)
    assert "the answer is empty" == record.examples["empty"][0].message


@pytest.mark.parametrize("rows", [2_000])
def test_memory_is_flat(rows: int) -> None:
    """Ten million rows over a week take no more memory than a hundred thousand: buckets merge, examples are few."""
    tally = Tally(10_000_000, 0)
    record = Recorder(tally)
    event = RowDone("a", None, tally, ANSWER, (OK,))
    broken = RowDone("b", status_error(500)("gone"), tally, None, (OK, OK))

    def fill(start: float, end: float) -> None:
        for number in range(rows):
            now = start + (end - start) * number / rows
            record.row(event if number % 3 else broken, now)
            record.tick(stats(), now)

    fill(0.0, 60.0)
    tracemalloc.start()
    fill(60.0, 700_000.0)
    fill(700_000.0, 7_000_000.0)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown < 100_000
    assert sum(bucket.samples for *_, bucket in record.timeline.stretches(240)) == 3 * rows
