"""Is it the row, or the gateway?"""

from __future__ import annotations

import itertools

import pytest

from anyfast_async._core.outage import IN_A_ROW, Outage

LONGEST = 30.0


def working() -> Outage:
    outage = Outage()
    outage.succeeded()
    return outage


@pytest.mark.parametrize(("status", "away"), [(503, True), (502, True), (529, True), (None, True), (500, False)])
def test_one_row_alone(status: int | None, away: bool) -> None:
    """One row that fails thrice shows an outage if the failure cannot be about one request; a plain 500 can."""
    outage, row = working(), object()

    assert [outage.failed(0.0, row, status, LONGEST) for _ in range(IN_A_ROW)] == [False, False, away]


def test_several_rows_show_an_outage_whatever_the_status() -> None:
    """Three failures in a row of more than one row, and no success between them."""
    outage = working()

    assert [outage.failed(0.0, row, 500, LONGEST) for row in (object(), object(), object())] == [False, False, True]


def test_success_in_between_shows_that_it_is_the_row() -> None:
    """Rows that fail while others succeed never make an outage."""
    outage = working()
    for _ in range(100):
        assert not outage.failed(0.0, object(), 503, LONGEST)
        assert not outage.failed(0.0, object(), 503, LONGEST)
        assert not outage.succeeded()


def test_gateway_that_never_worked_is_not_waited_for() -> None:
    """Before the first success a wrong address looks just the same, and waiting for it would help nobody."""
    outage = Outage()

    assert not any(outage.failed(0.0, object(), None, LONGEST) for _ in range(100))
    assert outage.wait(0.0, LONGEST, 0.5) == 0.0


def test_one_probe_at_a_time_ever_less_often() -> None:
    """In an outage who asks first when a probe is due makes it, the others wait: 1, 2, 4 ... 30 s apart."""
    outage = working()
    for _ in range(IN_A_ROW):
        outage.failed(0.0, object(), 503, LONGEST)

    now, probes = 0.0, []
    while now < 600:
        if (wait := outage.wait(now, LONGEST, 0.0)) == 0:
            probes.append(now)
            assert outage.wait(now, LONGEST, 0.0) > 0
        now += wait
    assert probes[:6] == [1.0, 3.0, 7.0, 15.0, 31.0, 61.0]
    assert {b - a for a, b in itertools.pairwise(probes[5:])} == {30.0}

    assert outage.succeeded()
    assert outage.wait(now, LONGEST, 0.0) == 0.0
    assert outage.since is None
