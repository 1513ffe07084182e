"""Times that are counted to three digits."""

from __future__ import annotations

from random import Random

import pytest
from hdrh.histogram import HdrHistogram

from anyfast_async.cli.bench import histogram
from anyfast_async.cli.bench.histogram import Times


def test_percentiles() -> None:
    """Percentiles are exact to 0.1 %, over six orders of magnitude."""
    random = Random(3)
    values = sorted(10 ** random.uniform(-3, 3) for _ in range(20_000))
    times = Times()
    for value in values:
        times.add(value)

    for percent in (1, 50, 90, 99, 99.9, 100):
        exact = values[max(0, round(len(values) * percent / 100) - 1)]
        assert times.percentile(percent) == pytest.approx(exact, rel=2e-3)
    assert (times.count, times.longest) == (20_000, values[-1])
    assert times.mean == pytest.approx(sum(values) / len(values))


def test_bounds() -> None:
    """What is out of bounds counts as the bound; nothing has no percentile."""
    times = Times()
    assert (times.percentile(50), times.mean, list(times.bins(10))) == (None, None, [])

    for value in (-1, 0, 1e-9, 1e9):
        times.add(value)
    assert times.percentile(1) == 1e-6
    assert times.percentile(100) == pytest.approx(3600, rel=2e-3)


def test_bins() -> None:
    """Bins are no more than asked for, hold every value, and do not overlap."""
    times = Times()
    for value in range(1, 1001):
        times.add(value / 1000)

    bins = list(times.bins(40))
    assert len(bins) <= 41
    assert sum(count for *_, count in bins) == 1000
    assert [high for _, high, _ in bins[:-1]] == pytest.approx([low for low, *_ in bins[1:]])

    alike = Times()
    for _ in range(5):
        alike.add(0.3)
    assert [count for *_, count in alike.bins(40)] == [5]


def test_other_tools_read_it() -> None:
    """The encoded form is HdrHistogram's own, in microseconds."""
    times = Times()
    for value in (0.1, 0.2, 0.3):
        times.add(value)

    read = HdrHistogram.decode(times.encoded())
    assert read.get_total_count() == 3
    assert read.get_value_at_percentile(50) == pytest.approx(200_000, rel=2e-3)


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, what installs it is said."""
    assert histogram.missing() is None
    monkeypatch.setattr(histogram, "find_spec", lambda _: None)
    assert histogram.missing() == "pip install 'anyfast-async[bench]'"
