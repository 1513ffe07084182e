"""How fast a batch is, and what holds it back."""

from __future__ import annotations

import pytest

from anyfast_async import Stats
from anyfast_async.batch import Tally
from anyfast_async.batch.pace import Pace, limited_by


def test_pace_is_of_the_last_half_minute() -> None:
    """A fast beginning is forgotten: the pace, and so the time left, is that of the last thirty seconds."""
    pace, tally = Pace(), Tally(10_000, 500)
    for second in range(241):
        pace.sample(tally, second / 4)
        tally.answered += 100 if second < 100 else 1
        tally.prompt_tokens += 8

    assert (4.0, 32.0) == (pace.rows, pace.tokens)
    assert 25.0 == pace.seconds_for(100)
    assert 121 == len(pace._samples)


def test_no_pace() -> None:
    """Before there are two samples at different times there is no pace, and no time left is known."""
    pace = Pace()
    assert (0.0, None) == (pace.rows, pace.seconds_for(1))

    pace.sample(Tally(1, 0), 5.0)
    pace.sample(Tally(1, 0, answered=1), 5.0)

    assert (0.0, None) == (pace.rows, pace.seconds_for(1))


@pytest.mark.parametrize(
    ("in_flight", "waits_for", "held_for", "what"),
    [
        (64, "tokens_per_minute", 0.0, "tokens_per_minute"),
        (64, None, 0.0, "concurrency"),
        (58, None, 0.0, "concurrency"),
        (30, None, 0.0, None),
        (30, None, 4.0, "throttling"),
        (0, "throttling", 4.0, "throttling"),
    ],
)
def test_what_limits(in_flight: int, waits_for: str | None, held_for: float, what: str | None) -> None:
    """The client's own word comes first, then a hold, then nearly all workers at work; else it is the answers' time."""
    now = Stats(
        in_flight=in_flight,
        queued=0,
        limited_by=waits_for,
        held_for=held_for,
        requests=0,
        tokens_used=0,
        tokens_reserved=0,
    )

    assert what == limited_by(now, 64)
