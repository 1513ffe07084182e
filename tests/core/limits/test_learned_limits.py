"""A rate and a number of places: found, believed, and doubted while nothing is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest

from anyfast_async._core.limits.learned_limits import Places, Rate


def used_up(rate: Rate, now: float, until: float) -> tuple[int, float]:
    """Take whenever the rate lets one; return how many and when it ended."""
    count = 0
    while now < until:
        now += rate.wait(now)
        rate.take(now)
        count += 1
    return count, now


def test_rate_doubles_while_it_searches() -> None:
    """As long as nothing was refused it grows to twice of itself in about a second of use."""
    rate = Rate(5.0)
    used_up(rate, 0.0, 3.0)
    assert 20 <= rate.per_second <= 60


def test_a_slow_rate_grows_to_twice_of_itself_at_most() -> None:
    """One request that had to wait, of one in ten seconds, says no more than one of many a second."""
    rate = Rate(0.1)
    rate.take(0.0)
    rate.take(5.0)
    assert rate.per_second == pytest.approx(0.2)


def test_rate_that_is_not_used_up_does_not_grow() -> None:
    """Few requests prove nothing of what would be granted."""
    rate = Rate(5.0)
    for second in range(100):
        assert rate.wait(float(second)) == 0
        rate.take(float(second))
    assert rate.per_second == pytest.approx(5.0)


def test_refusal_brings_a_rate_back_to_what_was_granted() -> None:
    """A little less than what was measured, after a pause; then it grows slowly, and ever faster."""
    rate = Rate(20.0)
    used_up(rate, 0.0, 2.0)
    rate.refused(2.0, 20.0)
    found = rate.per_second
    assert found < 60
    rate.refused(3.0, 20.0)
    assert rate.per_second == pytest.approx(0.92 * 20.0)
    assert rate.wait(3.0) == pytest.approx(3 / rate.per_second)

    used_up(rate, 3.0, 8.0)
    slow = rate.per_second
    used_up(rate, 8.0, 28.0)
    assert 20 <= slow <= 22
    assert rate.per_second > 2 * slow


def test_one_more_place_is_tried_ever_more_rarely() -> None:
    """After as many answers as there are places it is sure; then one more is tried after 2, 4, 8 ... rounds."""
    places, tried = Places(4), []
    for answers in range(1, 200):
        places.answered(places.count)
        if places.count == 5:
            tried.append(answers)
            assert places.refused(4)
    assert places.sure
    assert tried[0] == 4 + 8
    assert [later - earlier for earlier, later in pairwise(tried)] == [16, 32, 64]


def test_answers_with_places_free_prove_nothing() -> None:
    """Only what fills the places shows that so many are granted."""
    places = Places(4)
    for _ in range(100):
        places.answered(3)
    assert (places.count, places.sure) == (4, False)


def test_refusals_of_fewer_disprove_the_number() -> None:
    """One may be of a place that was not free yet; the second in a row, or one with nobody else, shows it is a rate."""
    places = Places(4)
    assert places.refused(3)
    assert places.count == 3
    assert not places.refused(2)
    assert not Places(4).refused(0)
