"""One lane of the gate: what is counted per origin, key and model, and what the gateway's answers say of it.

Arithmetic on a given ``now``; the waiting is the gate's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from anyfast_async._core.backoff import throttle_hold
from anyfast_async._core.bucket import Learned, Pace, Slot, Window
from anyfast_async._core.estimate import Expected
from anyfast_async._core.outage import Outage

SHARE: Final = 10
"""Requests whose share of a stated limit is waited for after a first refusal within it."""


@attrs.define(eq=False)
class Lane:
    """What is counted per origin, key and model."""

    requests: Window | None
    tokens: Window | None
    pace: Pace | None
    expected: Expected = attrs.field(factory=Expected)
    learned: Learned = attrs.field(factory=Learned)
    outage: Outage = attrs.field(factory=Outage)
    recovery: asyncio.Future[None] | None = None
    """What the calls that wait for the end of an outage wait for."""
    held_until: float = 0.0
    streak: int = 0
    """Throttled answers in a row, each to a request that was sent after the hold before it."""
    holds: int = 0
    """Holds so far."""
    ceiling: int | None = None
    """After a hold: calls admitted since then that may be in flight, growing with every success."""
    since_hold: int = 0
    """Calls in flight that were admitted after the last hold began; a long stream from before does not count."""
    waiters: deque[Waiter] = attrs.field(factory=deque)
    queued: int = 0
    """Waiters among them whose call was not cancelled."""
    listed: int | None = None
    """The number of the gate's entry for this lane; None while only the end of a call can move it."""

    def wait(self, now: float, tokens: float) -> float | None:
        """Return the seconds until the next call may go; None if only the end of another one can tell."""
        if self.ceiling is not None and self.since_hold >= self.ceiling:
            return None
        wait = self.held_until - now
        if self.requests is not None and (other := self._for_requests(now)) > wait:
            wait = other
        if self.tokens is not None and (other := self._for_tokens(now, tokens)) > wait:
            wait = other
        if (other := self.learned.wait(now)) > wait:
            wait = other
        return wait if wait > 0 else 0.0

    def _for_requests(self, now: float) -> float:
        if self.requests is None or self.pace is None:
            return 0.0
        return max(self.pace.wait(now), self.requests.wait(now, 1))

    def _for_tokens(self, now: float, tokens: float) -> float:
        return 0.0 if self.tokens is None else self.tokens.wait(now, tokens)

    def limited_by(self, now: float, tokens: float) -> str:
        """Return what makes the next call wait longest."""
        if self.ceiling is not None and self.since_hold >= self.ceiling:
            return "throttling"
        waits = {
            "requests_per_minute": self._for_requests(now),
            "tokens_per_minute": self._for_tokens(now, tokens),
            "throttling": max(self.held_until - now, self.learned.wait(now), 0.0),  # if all are over, not this one
        }
        return max(waits, key=lambda name: waits[name])

    def take(self, now: float, tokens: float) -> Permit:
        """Count a call that is admitted."""
        self.since_hold += 1
        if self.requests is not None:
            self.requests.take(now, 1)
        if self.pace is not None:
            self.pace.take(now)
        slot = self.tokens.take(now, tokens) if self.tokens is not None else None
        return Permit(self, now, tokens, slot, self.learned.granted.take(now, 1), self.holds)

    def hold(self) -> None:
        """Begin anew with one call at a time."""
        self.holds += 1
        self.ceiling, self.since_hold = 1, 0

    def throttled(self, permit: Permit, now: float, asked: float | None, rand: float) -> None:
        """Hold after a throttled answer.

        Answers to requests that were sent before the hold began belong to the same cascade: they count once.
        """
        first = permit.hold == self.holds
        if first:
            self.streak += 1
            self.hold()
            if self.pace is not None and asked is None:
                self.pace.tighten()
        if asked is None:
            self.learned.refused(now, permit.granted, self.streak if first else 0)
        if first or asked is not None:
            self.held_until = max(self.held_until, now + self._hold_for(asked, rand))

    def _hold_for(self, asked: float | None, rand: float) -> float:
        if self.pace is None or asked is not None:
            return throttle_hold(self.streak - 1, asked, rand)
        if self.streak > 1:
            return throttle_hold(self.streak - 2, None, rand)
        # What is refused within a stated limit is refused by a limiter of seconds, which grants more at once; only a
        # second refusal shows that the limit is not what was stated.
        return min(throttle_hold(0, None, rand), SHARE * self.pace.interval * (1 + 0.2 * rand))

    def ramp(self, permit: Permit, concurrency: int) -> None:
        """Let more in after a hold, because *permit*'s call succeeded: twice as many per round trip."""
        if self.ceiling is not None and permit.hold == self.holds:
            self.streak = 0
            self.ceiling += 1
            if self.ceiling >= concurrency:
                self.ceiling = None

    def left(self, permit: Permit) -> None:
        """Count a call that has ended."""
        self.since_hold -= permit.hold == self.holds


@attrs.define(eq=False)
class Waiter:
    """A call that waits for admission."""

    order: int
    tokens: float
    granted: asyncio.Future[Permit]
    estimate: Callable[[], float] | None = None
    """Gives its tokens anew when its turn comes: more may be known by then."""


@attrs.define(eq=False)
class Permit:
    """A call that was admitted; it must be released."""

    lane: Lane
    at: float
    tokens: float
    slot: Slot | None
    """Where its tokens are counted."""
    granted: Slot
    """Where the request itself is."""
    hold: int
    """Number of the hold before it."""
    released: bool = False
