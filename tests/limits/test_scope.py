"""One scope as arithmetic: what makes the next call wait, and what the gateway's answers change."""

from __future__ import annotations

import pytest

from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._limits.scope import Scope


def scope(requests: int | None = None, tokens: int | None = None) -> Scope:
    return Scope.within(requests, tokens)


def test_free_scope_lets_everything_go() -> None:
    """Without limits and holds nothing waits, whatever its size."""
    assert scope().wait(0.0, 1e9) == 0.0


def test_the_longest_wait_counts() -> None:
    """Requests, tokens and a hold all make wait; the longest of them is told, and named."""
    one = scope(requests=10, tokens=100)
    one.take(0.0, 100)
    assert one.wait(1.0, 10) == pytest.approx(59.1)
    assert one.limited_by(1.0, 10) == "tokens_per_minute"

    one.throttle.held_until = 300.0
    assert one.wait(1.0, 10) == 299.0
    assert one.limited_by(1.0, 10) == "throttling"


def test_limits_that_are_over_are_not_called_throttling() -> None:
    """In the moment before a waiter is let in all waits are over; what made it wait was the stated limit."""
    one = scope(requests=10)
    one.take(0.0, 0)

    assert one.limited_by(100.0, 0) == "requests_per_minute"


def test_a_stated_limit_is_spread_after_a_refusal_within_it() -> None:
    """What is refused within a stated limit is held for ten requests' time of it, then as long as without one."""
    one = scope(requests=3000)
    row, holds, at = Suspicion(), [], 0.0
    for _ in range(3):
        one.throttled(one.take(at, 0), at, row, Refusal(None, 0.0))
        holds.append(one.held_until - at)
        at = one.held_until

    assert holds == pytest.approx([10 * 60 / 3000 * 1.03, 2.0, 4.0])
    assert one.pace is not None
    assert one.pace.tolerance == 0.02


def test_a_stated_delay_leaves_the_stated_limit_as_it_is() -> None:
    """The server said when to come back: that is no word on how the limit is counted."""
    one = scope(requests=600)
    one.throttled(one.take(0.0, 0), 0.0, Suspicion(), Refusal(2.0, 0.0))

    assert one.held_until == 2.0
    assert one.pace is not None
    assert one.pace.tolerance > 0.02


# -- refusals that come too soon to be about the request -------------------------------------------------------------


def test_refusal_that_is_no_sooner_than_an_answer_may_be_about_it() -> None:
    """As long as nothing is known of answers, and as long as it takes as long as one."""
    one = scope()
    assert not one.bounced(one.take(0.0, 1), 0.001)

    one.quickest = 0.5
    one.outage.succeeded(0.0)
    assert not one.bounced(one.take(10.0, 1), 10.5)
    assert one.bounced(one.take(10.0, 1), 10.4)


def test_refusals_without_an_answer_between_are_an_outage() -> None:
    """What was on its way, or comes before an answer could, is of the same burst; later ones are not believed."""
    one = scope()
    one.quickest = 0.5
    one.outage.succeeded(0.0)
    before = [one.take(10.0, 1) for _ in range(3)]

    assert [True, True, True] == [one.bounced(permit, 10.01) for permit in before]
    assert one.bounced(one.take(10.2, 1), 10.21)
    assert not one.bounced(one.take(11.0, 1), 11.01)
    one.outage.succeeded(11.0)
    assert one.bounced(one.take(12.0, 1), 12.01)


def test_what_is_given_back_never_was() -> None:
    """A call that was let in and is not sent counts nowhere: no request, no token, no hold's first."""
    one = scope(requests=1, tokens=100)
    one.throttle.hold()
    permit = one.take(0.0, 100)
    one.give_back(permit, 0.0)
    one.left(permit)

    assert one.wait(0.0, 100) == 0.0
    assert (one.reserved, one.throttle.in_flight, one.throttle.learned.granted.taken) == (0, 0, 0)
    assert one.take(0.0, 100).first
