"""What steps of answers say of how many a gateway takes at once, and of how long one answer takes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.limits.capacity_estimate import CapacityEstimate


def seen(
    estimate: CapacityEstimate, capacity: float, counts: list[int], *, seconds: float = 1.0, scatter: float = 0.0
) -> None:
    """Show the estimate steps with so many in flight, of a gateway that takes *capacity* at once."""
    chance = random.Random(1)
    for count in counts:
        taken = math.log(seconds * max(1.0, count / capacity)) + chance.gauss(0, scatter)
        estimate.see(count, taken, scatter**2 + 0.0001, 2.0)


@pytest.mark.parametrize("capacity", [3, 20, 300])
def test_more_and_fewer_in_flight_tell_capacity_and_floor(capacity: int) -> None:
    """Steps below, at and above what is taken give both within a few percent."""
    estimate = CapacityEstimate(1, 1000)

    seen(estimate, capacity, [max(1, capacity * 2 // 3), capacity, 2 * capacity] * 5, seconds=3.0)

    assert estimate.quantile(0.5) == pytest.approx(capacity, rel=0.1)
    assert math.exp(estimate.floor) == pytest.approx(3.0, rel=0.1)


def test_few_in_flight_never_say_that_more_would_be_too_many() -> None:
    """However long it goes on: the floor was believed too short, and what may be taken lies above."""
    estimate = CapacityEstimate(1, 1000)
    seen(estimate, 64, [32, 64, 128], seconds=0.8)

    seen(estimate, 64, [20] * 30, seconds=1.0)

    assert estimate.quantile(0.15) >= 20
    assert estimate.quantile(0.85) > 40
    assert math.exp(estimate.floor) == pytest.approx(1.0, rel=0.1)


def test_the_less_sure_the_wider() -> None:
    """Steps that scatter leave more capacities likely."""
    spread = []
    for scatter in (0.01, 0.15):
        estimate = CapacityEstimate(1, 1000)
        seen(estimate, 20, [10, 20, 40, 15, 22, 25] * 3, scatter=scatter)
        spread.append(estimate.quantile(0.85) / estimate.quantile(0.15))

    assert 1.0 < spread[0] < 1.3 < spread[1]


@pytest.mark.parametrize("after", [30, 120])
def test_a_capacity_that_changes_is_followed(after: int) -> None:
    """Half or twice of it, seen by steps about what was known."""
    estimate = CapacityEstimate(1, 1000)
    seen(estimate, 60, [30, 60, 120, 50, 65, 70] * 3)

    seen(estimate, after, [60, 66, 48, 120, 60, 2 * after] * 2)

    assert estimate.quantile(0.5) == pytest.approx(after, rel=0.15)


def test_a_gateway_that_gets_slower_is_not_fuller() -> None:
    """With fewer in flight it is no faster: as many are taken as before."""
    estimate = CapacityEstimate(1, 1000)
    seen(estimate, 60, [30, 60, 120, 50, 65, 70] * 3)

    seen(estimate, 60, [62, 48, 62, 68, 48], seconds=2.0)

    assert estimate.quantile(0.5) == pytest.approx(60, rel=0.15)
    assert math.exp(estimate.floor) == pytest.approx(2.0, rel=0.1)


def test_what_is_doubted_counts_for_less() -> None:
    """Steps of which it turns out that they were hundred times less sure leave nearly all open."""
    estimate = CapacityEstimate(1, 1000)
    seen(estimate, 60, [30, 60, 120] * 3)
    sure = estimate.variance

    estimate.doubt(100.0)

    assert estimate.variance > 50 * sure
    assert estimate.quantile(0.85) / estimate.quantile(0.15) > 2


def test_what_is_known_by_other_means_is_taken() -> None:
    """A refusal tells it, and answers that are slow for another reason leave it."""
    estimate = CapacityEstimate(1, 1000)
    estimate.is_at(40.0)
    assert estimate.quantile(0.5) == pytest.approx(40, rel=0.05)
    seen(estimate, 40, [40, 40])

    estimate.slower(40, math.log(5.0), 0.001)
    assert math.exp(estimate.floor) == pytest.approx(5.0, rel=0.1)
    estimate.is_at(20.0)

    assert estimate.quantile(0.5) == pytest.approx(20, rel=0.05)
    assert math.exp(estimate.floor) == pytest.approx(5.0, rel=0.1)


def test_what_is_forgotten_is_unknown() -> None:
    """After that it is as new."""
    estimate = CapacityEstimate(1, 100)
    before = estimate.quantile(0.5)
    seen(estimate, 4, [4, 8, 2])

    estimate.begin()

    assert estimate.is_empty
    assert estimate.quantile(0.5) == before


STEPS = st.tuples(
    st.integers(1, 2000), st.floats(-20, 20), st.floats(1e-4, 10), st.sampled_from(["see", "doubt", "at", "slower"])
)


@given(st.integers(1, 50), st.integers(0, 2000), st.lists(STEPS, max_size=40))
def test_whatever_is_seen_it_stays_within_its_bounds(
    least: int, more: int, steps: list[tuple[int, float, float, str]]
) -> None:
    """Quantiles are in order and within a step of the bounds, and the floor is a number."""
    estimate = CapacityEstimate(least, least + more)
    estimate.see(least, 0.0, 0.01, 1.0)
    for count, taken, variance, what in steps:
        if what == "see":
            estimate.see(count, taken, variance, 2.0)
        elif what == "doubt":
            estimate.doubt(1 + variance)
        elif what == "at":
            estimate.is_at(min(max(least, count), least + more))
        else:
            estimate.slower(count, taken, variance)

    low, middle, high = (estimate.quantile(share) for share in (0.1, 0.5, 0.9))
    assert 0.94 * least <= low <= middle <= high <= 1.06 * (least + more)
    assert math.isfinite(estimate.floor)
    assert 0 < estimate.variance < math.inf
