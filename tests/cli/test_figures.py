"""Counts as words."""

from __future__ import annotations

import pytest

from anyfast_async import Attempt
from anyfast_async.batch import Histogram, Tally
from anyfast_async.cli import figures


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.123, "0.12 s"), (9.994, "9.99 s"), (42.0, "42.0 s"), (61, "1 min 1 s"), (3600 * 5 + 60 * 7, "5 h 7 min")],
)
def test_durations(seconds: float, words: str) -> None:
    """Times are in units that fit them."""
    assert words == figures.duration(seconds)


def test_summary_of_a_run() -> None:
    """The closing table has what happened, and nothing on what did not."""
    tally = Tally(1200, 200, answered=900, seconds=10.0, prompt_tokens=1500, completion_tokens=500)
    for _ in range(3):
        tally.count_failure("bad_request", (Attempt(1, "bad_request", 400, 0.1, "no"),))
    tally.latency.add(1.0)

    rows = dict(figures.summary(tally))

    assert "1,100 (200 of them before)" == rows["answered"]
    assert "3 (bad_request 3)" == rows["failed"]
    assert "97" == rows["left"]
    assert "10.0 s, 90.3 rows/s" == rows["time"]
    assert "2,000 (prompt 1,500, completion 500)" == rows["tokens"]
    assert {"  without text", "  cut at max_tokens", "first token p50 / p95 / p99"}.isdisjoint(rows)


def test_summary_names_odd_answers() -> None:
    """Answers without text and answers cut short have rows of their own."""
    rows = dict(figures.summary(Tally(10, 0, answered=10, empty=2, cut=3)))

    assert rows["  without text"].startswith("2 ")
    assert "3" == rows["  cut at max_tokens"]


def test_summary_for_programs() -> None:
    """As JSON every key is always there; without values percentiles are null."""
    histogram = Histogram()
    histogram.add(2.0)

    value = figures.as_json(Tally(2, 1, answered=1, seconds=2.0, latency=histogram))

    assert (2, 1, 1, 0, 0.5) == tuple(
        value[name] for name in ("rows", "already_answered", "answered", "left", "rows_per_second")
    )
    assert {"p50", "p95", "p99"} == set(value["latency"])
    assert value["latency"]["p99"] == pytest.approx(2.0, rel=0.01)
    assert value["first_token"] is None
