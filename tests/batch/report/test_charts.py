"""What charts of reports are made of."""

from __future__ import annotations

import re
from typing import Any

import pytest

from anyfast_async._core.histogram import Histogram
from anyfast_async.batch.report.charts import BINS, MODELS, by_model, compared, histogram


def values(spec: dict[str, Any], layer: int) -> list[dict[str, Any]]:
    """The data of a layer."""
    data: list[dict[str, Any]] = spec["layer"][layer]["data"]["values"]
    return data


def test_histogram() -> None:
    """A histogram has as many rows as there were, in a bounded number of bars, and the percentiles in its legend."""
    counted = Histogram()
    for number in range(1, 1001):
        counted.add(number / 100)
    spec = histogram(counted)

    bars, marks = values(spec, 0), values(spec, 1)

    assert 1000 == sum(bar["rows"] for bar in bars)
    assert len(bars) <= BINS
    assert all(re.fullmatch(r"p\d\d \d\.\d\d? s", mark["label"]) for mark in marks)
    assert [5.0, 9.5, 9.9] == pytest.approx([mark["at"] for mark in marks], rel=0.01)
    assert not [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]  # nothing that could be covered


def test_many_models() -> None:
    """Of many models those with most answers are shown, with names that fit."""
    latencies = {f"model-{n}-{'x' * 300}": Histogram() for n in range(30)}
    for number, one in enumerate(latencies.values(), 1):
        one.extend([0.5] * number)

    drawn = values(by_model(latencies), 0)

    assert MODELS == len(drawn)
    assert drawn[0]["model"].startswith("model-29-")
    assert max(len(one["model"]) for one in drawn) < 70


def test_two_runs() -> None:
    """Two runs are lines of their percentiles, from the first to all."""
    one, other = Histogram(), Histogram()
    one.extend([1.0] * 10)
    other.extend([2.0] * 10)

    points = values(compared(one, other, ("a", "b")), 0)

    assert {"a": 1.0, "b": 2.0} == pytest.approx({point["what"]: point["at"] for point in points}, rel=0.01)
    assert {0.01, 1.0} <= {point["share"] for point in points}
