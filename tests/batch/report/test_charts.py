"""The charts of a report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from anyfast_async import Attempt, Stats
from anyfast_async._core.errors.failures import status_error
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.charts import BINS, STRETCHES, charts
from anyfast_async.batch.report.recorder import Recorder

OFTEN = Stats(in_flight=8, queued=3, limited_by=None, held_for=0.0, requests=0, tokens_used=0, tokens_reserved=0)
HELD = Stats(in_flight=0, queued=9, limited_by=None, held_for=9.0, requests=0, tokens_used=0, tokens_reserved=0)


def record_of(seconds: int, *, retried: bool = False) -> Recorder:
    """A run with a failure a second, throttled in its second half."""
    tally = Tally(10, 0)
    record = Recorder(tally)
    again = (Attempt(1, "server", 500, 0.1, "no"),) if retried else ()
    for second in range(seconds):
        event = RowDone("<b>", status_error(500)("<i>"), tally, None, (*again, Attempt(2, "server", 500, 0.1, "no")))
        record.row(event, second + 0.5)
        record.tick(OFTEN if second < seconds // 2 else HELD, second + 0.6)
    return record


def values(spec: dict[str, Any], layer: int) -> list[dict[str, Any]]:
    """The data of a layer."""
    found: list[dict[str, Any]] = spec["layer"][layer]["data"]["values"]
    return found


def test_only_what_there_is() -> None:
    """A chart for which nothing came is left out; without anything at all there is none."""
    assert [] == list(charts(Recorder(Tally(1, 0))))
    assert ["Throughput", "In work", "Tokens"] == [chart.title for chart in charts(record_of(5))]
    assert "Second attempts" in [chart.title for chart in charts(record_of(5, retried=True))]

    full = record_of(5)
    full.tally.latency.add(1.0)
    full.tally.first_token.add(0.5)
    assert {"Latency", "First token"} <= {chart.title for chart in charts(full)}


def test_amounts_are_true() -> None:
    """What the bars of a chart hold adds up to what happened, and stands on top of each other."""
    throughput, *_ = charts(record_of(600))

    boxes = values(throughput.spec, 0)

    assert len(boxes) <= STRETCHES
    assert {"failed"} == {box["what"] for box in boxes}
    rows = sum((box["high"] - box["low"]) * (box["to"] - box["from"]) * 60 for box in boxes)
    assert 595 <= rows <= 605


def test_levels_and_holds() -> None:
    """Levels are means of the samples; the stretches in which the gateway throttled are shaded, and no others."""
    _, work, *_ = charts(record_of(40))

    held, drawn = values(work.spec, 0), values(work.spec, 1)

    assert {8.0, 0.0} == {point["value"] for point in drawn if point["what"] == "in flight"}
    assert 19.5 <= min(box["from"] for box in held) <= 20.7


def test_short_runs() -> None:
    """In a run of which stretches are shorter than the time between samples, levels do not fall to zero in between."""
    record = Recorder(Tally(1, 0))
    for quarter in range(1, 9):
        record.tick(OFTEN, quarter / 4)
    _, work, *_ = charts(record)

    levels = [point["value"] for point in values(work.spec, 1) if point["what"] == "in flight"]

    assert {8.0} == set(levels[3:])


def test_histogram() -> None:
    """A histogram has as many rows as there were, in a bounded number of bars, and the percentiles on it."""
    record = Recorder(Tally(1, 0))
    for number in range(1, 1001):
        record.tally.latency.add(number / 100)
    (chart,) = charts(record)

    bars, marks = values(chart.spec, 0), values(chart.spec, 1)

    assert 1000 == sum(bar["rows"] for bar in bars)
    assert len(bars) <= BINS
    assert ["p50", "p95", "p99"] == [mark["label"] for mark in marks]
    assert [5.0, 9.5, 9.9] == pytest.approx([mark["at"] for mark in marks], rel=0.01)


def test_nothing_of_others_in_them() -> None:
    """What rows and gateways said is in no chart, and every value is JSON."""
    text = json.dumps([chart.spec for chart in charts(record_of(100, retried=True))])

    assert "<" not in text
