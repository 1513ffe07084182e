"""Percentiles in little memory."""

from __future__ import annotations

import random

import pytest

from anyfast_async._core.histogram import Histogram


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_percentiles_within_one_percent(percent: int) -> None:
    """A percentile is the nearest rank's value to within 1 %, over four orders of magnitude."""
    values = sorted(random.Random(7).lognormvariate(0, 2) for _ in range(5000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    assert histogram.percentile(percent) == pytest.approx(values[len(values) * percent // 100 - 1], rel=0.01)
    assert histogram.count == 5000
    assert histogram.total == pytest.approx(sum(values))


def test_edges() -> None:
    """Without values there is no percentile; zero counts as the smallest number."""
    histogram = Histogram()
    assert histogram.percentile(50) is None

    histogram.add(0.0)

    assert histogram.percentile(50) == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize("most", [1, 7, 40])
def test_bins(most: int) -> None:
    """Bins cover every value, side by side, are no more than asked for, and hold as many as there are."""
    histogram = Histogram()
    values = [random.Random(3).lognormvariate(0, 1) for _ in range(1000)]
    for value in values:
        histogram.add(value)

    bins = list(histogram.bins(most))

    assert len(bins) <= most
    assert 1000 == sum(count for _, _, count in bins)
    assert all(bins[n][1] == pytest.approx(bins[n + 1][0]) for n in range(len(bins) - 1))
    assert bins[0][0] <= min(values)
    assert max(values) <= bins[-1][1]
    assert [] == list(Histogram().bins(most))
