"""One lane as arithmetic: what makes the next call wait, and what the gateway's answers change."""

from __future__ import annotations

import pytest

from anyfast_async._core.bucket import Pace, Window
from anyfast_async._lane import Lane


def lane(requests: int | None = None, tokens: int | None = None) -> Lane:
    return Lane(
        None if requests is None else Window(requests),
        None if tokens is None else Window(tokens),
        None if requests is None else Pace(requests),
    )


def test_free_lane_lets_everything_go() -> None:
    """Without limits and holds nothing waits, whatever its size."""
    assert lane().wait(0.0, 1e9) == 0.0


def test_the_longest_wait_counts() -> None:
    """Requests, tokens and a hold all make wait; the longest of them is told, and named."""
    one = lane(requests=10, tokens=100)
    one.take(0.0, 100)
    assert one.wait(1.0, 10) == pytest.approx(59.1)
    assert one.limited_by(1.0, 10) == "tokens_per_minute"

    one.held_until = 300.0
    assert one.wait(1.0, 10) == 299.0
    assert one.limited_by(1.0, 10) == "throttling"


def test_limits_that_are_over_are_not_called_throttling() -> None:
    """In the moment before a waiter is let in all waits are over; what made it wait was the stated limit."""
    one = lane(requests=10)
    one.take(0.0, 0)

    assert one.limited_by(100.0, 0) == "requests_per_minute"


def test_ramp_counts_only_calls_from_after_the_hold() -> None:
    """A success from before the hold says nothing of what the gateway takes now."""
    one = lane()
    before, refused = one.take(0.0, 0), one.take(0.0, 0)
    one.throttled(refused, 0.0, 2, 0.0)
    one.ramp(before, 200)
    assert one.ceiling == 1

    after = one.take(3.0, 0)
    assert one.wait(3.0, 0) is None
    one.ramp(after, 200)
    one.left(after)
    assert (one.ceiling, one.streak, one.wait(3.0, 0)) == (2, 0, 0.0)


# -- refusals that come too soon to be about the request -------------------------------------------------------------


def test_refusal_that_is_no_sooner_than_an_answer_may_be_about_it() -> None:
    """As long as nothing is known of answers, and as long as it takes as long as one."""
    one = lane()
    assert not one.bounced(one.take(0.0, 1), 0.001)

    one.quickest = 0.5
    one.outage.succeeded(0.0)
    assert not one.bounced(one.take(10.0, 1), 10.5)
    assert one.bounced(one.take(10.0, 1), 10.4)


def test_refusals_without_an_answer_between_are_an_outage() -> None:
    """What was on its way, or comes before an answer could, is of the same burst; later ones are not believed."""
    one = lane()
    one.quickest = 0.5
    one.outage.succeeded(0.0)
    before = [one.take(10.0, 1) for _ in range(3)]

    assert [True, True, True] == [one.bounced(permit, 10.01) for permit in before]
    assert one.bounced(one.take(10.2, 1), 10.21)
    assert not one.bounced(one.take(11.0, 1), 11.01)
    one.outage.succeeded(11.0)
    assert one.bounced(one.take(12.0, 1), 12.01)
