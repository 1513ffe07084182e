"""The charts of a report on a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch.report.gathered import Gathered
from anyfast_async.batch.report.run_charts import POINTS, over_time, times
from anyfast_async.batch.report.stretch import Stretch
from anyfast_async.prices import Price, Prices

from .written import answer, busy, gather, leave

PRICES = Prices("USD", {"gemini-2.5-flash": Price(1.0, 2.0), "gemini-2.5-pro": Price(10.0, 20.0)})


@pytest.fixture
def found(tmp_path: Path) -> Gathered:
    """A run of two minutes in which everything happened."""
    return gather(leave(tmp_path, [("a", answer())], busy()))


def values(spec: dict[str, Any], layer: int) -> list[dict[str, Any]]:
    """The data of a layer."""
    data: list[dict[str, Any]] = spec["layer"][layer]["data"]["values"]
    return data


def test_only_what_there_is(found: Gathered, tmp_path: Path) -> None:
    """A chart for which nothing came is left out; of a moment there is none."""
    assert ["Throughput", "In work", "Tokens", "Cost", "Second attempts"] == [
        one.title for one in over_time(found, PRICES)
    ]
    assert "Cost" not in [one.title for one in over_time(found, None)]
    assert ["Latency", "Latency by model", "First token"] == [one.title for one in times(found)]

    short = gather(leave(tmp_path, [("a", answer())], busy(count=3)))
    assert [] == list(over_time(short, PRICES))
    assert [] == list(times(gather(leave(tmp_path, [("a", answer())], [Stretch(1.0, 0.0, 9.0)]))))


def test_amounts_are_true(found: Gathered) -> None:
    """What the bars of a chart hold adds up to what happened, and stands on top of each other."""
    throughput, _, tokens, cost, attempts = over_time(found, PRICES)

    def total(spec: dict[str, Any], name: str) -> float:
        boxes = [box for box in values(spec, 0) if box["what"] == name]
        return float(sum((box["high"] - box["low"]) * (box["to"] - box["from"]) * 60 for box in boxes))

    assert pytest.approx(total(throughput.spec, "answered")) == 1200
    assert pytest.approx(total(throughput.spec, "failed")) == 60
    assert 24_000 == pytest.approx(total(tokens.spec, "prompt"))
    assert len({box["from"] for box in values(throughput.spec, 0)}) <= POINTS
    (*_, last) = values(cost.spec, 1)
    assert last["value"] == pytest.approx((6_000 + 2 * 5_700 + 10 * 18_000 + 20 * 5_700) / 1e6)
    counted = dict.fromkeys(("throttled", "retried"), 0.0)
    for box in values(attempts.spec, 0):
        counted[box["what"]] += box["high"] - box["low"]
    assert {"throttled": 60, "retried": 120} == {name: pytest.approx(number) for name, number in counted.items()}


def test_levels_and_holds(found: Gathered) -> None:
    """Levels are means of the samples; the stretches in which the gateway throttled are shaded, and no others."""
    _, work, *_ = over_time(found, None)

    held, drawn = values(work.spec, 0), values(work.spec, 1)

    assert {8.0} == {round(point["value"], 6) for point in drawn if point["what"] == "in flight"}
    assert 40 <= min(box["from"] for box in held) * 60 <= 42
    assert 58 <= max(box["to"] for box in held) * 60 <= 62


def test_runs_stand_behind_each_other(tmp_path: Path) -> None:
    """The time between two runs, however long, is not on the axis."""
    found = gather(leave(tmp_path, [("a", answer())], [*busy(1e9, 30), *busy(2e9, 30)]))

    throughput, *_ = over_time(found, None)

    assert 2.0 == pytest.approx(max(box["to"] for box in values(throughput.spec, 0)))


def test_every_value_is_json(found: Gathered) -> None:
    """Specifications are JSON, numbers and all."""
    json.dumps([chart.spec for chart in (*over_time(found, PRICES), *times(found))], allow_nan=False)
