"""What happened in a stretch of time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.usage import Used
from anyfast_async.batch.report.stretch import Stretch, width_after

from .written import busy


def test_there_and_back() -> None:
    """What is noted as JSON is read as what it was."""
    for one in busy(count=5):
        noted = one.as_json()
        read = Stretch.of_json(json.loads(json.dumps(noted)))
        assert noted == read.as_json()
        assert (one.models.keys(), one.retried, one.limits) == (read.models.keys(), read.retried, read.limits)
        assert 10 == read.models["gemini-2.5-pro"].latency.count


def test_empty_is_short() -> None:
    """What did not happen takes no room in the log."""
    assert {"run": 1.0, "from": 2.0, "to": 3.0} == Stretch(1.0, 2.0, 3.0).as_json()


def test_merge() -> None:
    """Two stretches that become one have the sum of what happened, but the higher of their peaks."""
    whole = Stretch()
    for one in busy(count=3):
        whole.merge(one)

    flash = whole.models["gemini-2.5-flash"]
    assert (30, 1, 30) == (flash.answered, flash.failed, flash.priced)
    assert Used(300, 285) == flash.used
    assert 30 == flash.latency.count
    assert pytest.approx(flash.latency.percentile(50), rel=0.02) == 0.52
    assert (9, 96, 12, 3) == (whole.peak, whole.in_flight, whole.samples, whole.throttled)
    assert {"server 500": 6, "rate_limit 429": 3} == {name: number for name, number in whole.retried.items() if number}


@given(st.floats(0.0, 1e8))
def test_stretches_grow(seconds: float) -> None:
    """A stretch is a fortieth of the time before it, from a quarter of a second to a minute."""
    width = width_after(seconds)
    assert 0.25 <= width <= 60.0
    assert width in (0.25, 60.0, seconds / 40)


def test_some_hundreds_for_any_run() -> None:
    """A run of ten hours has fewer than a thousand."""
    seconds, count = 0.0, 0
    while seconds < 36_000:
        seconds, count = seconds + width_after(seconds), count + 1

    assert 500 < count < 1000
