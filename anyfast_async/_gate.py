"""Admission: concurrency, requests and tokens per minute, and the hold after a throttled answer.

This is the only queue in the client. Waiters are served in the order in which they came; a lane (origin, key, model)
that is held or used up does not stop the others. Nothing runs while nobody waits: no task, no timer, no future.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import attrs

from anyfast_async._core.backoff import throttle_hold
from anyfast_async._core.bucket import Expected, Window, _Slot
from anyfast_async.errors import ClientStateError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from anyfast_async.policies import Limits


@attrs.frozen(kw_only=True)
class Stats:
    """What a client is doing now, and what it has done."""

    in_flight: int
    """Calls admitted and not ended."""
    queued: int
    """Calls waiting for admission."""
    limited_by: str | None
    """What the first waiting call waits for: ``"concurrency"``, ``"throttling"`` (the gateway asked for fewer
    requests), ``"requests_per_minute"`` or ``"tokens_per_minute"``; None if none waits."""
    held_for: float
    """Seconds for which throttling still holds calls back; of the model that is held longest."""
    requests: int
    """Requests sent, retries included."""
    tokens_used: int
    """Prompt and completion tokens, as the gateway reported them."""
    tokens_reserved: int
    """Estimated for the calls in flight."""

    def __str__(self) -> str:
        waiting = f", {self.queued} waiting for {_WORDS[self.limited_by]}" if self.limited_by is not None else ""
        held = f" ({self.held_for:.0f} s to go)" if self.held_for > 0 else ""
        sent = f"{self.requests} requests sent, {self.tokens_used} tokens used"
        return f"{self.in_flight} calls in flight{waiting}{held}; {sent}"


_WORDS = {
    "concurrency": "a free place (Limits.concurrency)",
    "throttling": "the gateway's limiter",
    "requests_per_minute": "Limits.requests_per_minute",
    "tokens_per_minute": "Limits.tokens_per_minute",
}


@attrs.define(eq=False)
class Lane:
    """What is counted per origin, key and model."""

    requests: Window | None
    tokens: Window | None
    expected: Expected = attrs.field(factory=Expected)
    held_until: float = 0.0
    streak: int = 0
    """Throttled answers in a row, each to a request that was sent after the hold before it."""
    holds: int = 0
    """Holds so far."""
    ceiling: int | None = None
    """After a hold: calls admitted since then that may be in flight, growing with every success."""
    since_hold: int = 0
    """Calls in flight that were admitted after the last hold began; a long stream from before does not count."""
    waiters: deque[_Waiter] = attrs.field(factory=deque)

    def wait(self, now: float, tokens: float) -> float | None:
        """Return the seconds until the next call may go; None if only the end of another one can tell."""
        if self.ceiling is not None and self.since_hold >= self.ceiling:
            return None
        return max(0.0, *self.waits(now, tokens).values())

    def waits(self, now: float, tokens: float) -> dict[str, float]:
        """Return the seconds that each limit makes the next call wait."""
        return {
            "throttling": self.held_until - now,
            "requests_per_minute": self.requests.wait(now, 1) if self.requests is not None else 0.0,
            "tokens_per_minute": self.tokens.wait(now, tokens) if self.tokens is not None else 0.0,
        }


@attrs.define(eq=False)
class _Waiter:
    order: int
    tokens: float
    granted: asyncio.Future[Permit]


@attrs.define(eq=False)
class Permit:
    """A call that was admitted; it must be released."""

    lane: Lane
    at: float
    tokens: float
    slot: _Slot | None
    hold: int
    """Number of the hold before it."""
    released: bool = False


def _closed_error() -> ClientStateError:
    return ClientStateError("the client is closed")


class Gate:
    """One per client, shared by everything made of it with ``with_options``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[Hashable, Lane] = {}
        self._arrivals = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.in_flight = 0
        self.queued = 0

    def lane(self, key: Hashable) -> Lane:
        """Return the lane for an (origin, key, model)."""
        lane = self._lanes.get(key)
        if lane is None:
            limits = self._limits
            lane = self._lanes[key] = Lane(
                None if limits.requests_per_minute is None else Window(limits.requests_per_minute),
                None if limits.tokens_per_minute is None else Window(limits.tokens_per_minute),
            )
        return lane

    async def acquire(self, lane: Lane, tokens: float = 0.0) -> Permit:
        """Wait for admission.

        Raises:
            QueueFullError: ``Limits.max_queued`` calls wait already.

        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise _closed_error()
        # With a place free, whoever waits in another lane waits for that lane's own limits.
        if not lane.waiters and self.in_flight < self._limits.concurrency and lane.wait(loop.time(), tokens) == 0:
            return self._admit(lane, tokens, loop.time())
        limit = self._limits.max_queued
        if limit is not None and self.queued >= limit:
            error = QueueFullError(f"{self.queued} calls are waiting already (Limits.max_queued={limit})")
            error.retry_after = lane.wait(loop.time(), tokens)
            raise error
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, tokens, loop.create_future())
        lane.waiters.append(waiter)
        self.queued += 1
        self._serve()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self.release(waiter.granted.result())  # granted and cancelled in one tick: pass it on
            else:
                waiter.granted.cancel()
                if waiter in lane.waiters:
                    lane.waiters.remove(waiter)
                    self.queued -= 1
                self._serve()
            raise

    def release(self, permit: Permit) -> None:
        """Give the place back and let the next one in. Calling it again does nothing."""
        if permit.released:
            return
        permit.released = True
        permit.lane.since_hold -= permit.hold == permit.lane.holds
        self.in_flight -= 1
        if self.queued:
            self._serve()

    def settle(self, permit: Permit, used: int) -> None:
        """Put the tokens that a call really used in place of those reserved for it."""
        if permit.lane.tokens is not None and permit.slot is not None:
            permit.lane.tokens.settle(asyncio.get_running_loop().time(), permit.slot, used - permit.tokens)
            if self.queued:
                self._serve()

    def throttled(self, permit: Permit, asked: float | None, rand: float) -> float:
        """Hold the lane after a throttled answer; return the loop time until which.

        Answers to requests that were sent before the hold began belong to the same cascade: they count once.
        """
        lane, now = permit.lane, asyncio.get_running_loop().time()
        first = permit.hold == lane.holds
        if first:
            lane.streak += 1
            lane.holds += 1
            lane.ceiling, lane.since_hold = 1, 0
        if first or asked is not None:
            lane.held_until = max(lane.held_until, now + throttle_hold(lane.streak - 1, asked, rand))
        return lane.held_until

    def succeeded(self, permit: Permit) -> None:
        """Say that the gateway took a request: after a hold this lets more in, twice as many per round trip."""
        lane = permit.lane
        if lane.ceiling is not None and permit.hold == lane.holds:
            lane.streak = 0
            lane.ceiling += 1
            if lane.ceiling >= self._limits.concurrency:
                lane.ceiling = None

    def stats(self, *, requests: int, tokens_used: int, tokens_reserved: int) -> Stats:
        """Return what is going on, with what the caller has counted."""
        held = max((lane.held_until for lane in self._lanes.values()), default=0.0)
        now = asyncio.get_running_loop().time() if held or self.queued else 0.0
        return Stats(
            in_flight=self.in_flight,
            queued=self.queued,
            limited_by=self._limited_by(now),
            held_for=max(0.0, held - now),
            requests=requests,
            tokens_used=tokens_used,
            tokens_reserved=tokens_reserved,
        )

    def _limited_by(self, now: float) -> str | None:
        waiting = [lane for lane in self._lanes.values() if lane.waiters]
        if not waiting:
            return None
        if self.in_flight >= self._limits.concurrency:
            return "concurrency"
        lane = min(waiting, key=lambda lane: lane.waiters[0].order)
        if lane.ceiling is not None and lane.since_hold >= lane.ceiling:
            return "throttling"
        waits = lane.waits(now, lane.waiters[0].tokens)
        return max(waits, key=lambda name: waits[name])

    def close(self) -> None:
        """End every waiting call, and every later one, with ``ClientStateError``."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            for waiter in lane.waiters:
                if not waiter.granted.done():
                    waiter.granted.set_exception(_closed_error())
            lane.waiters.clear()
        self.queued = 0

    def reset(self) -> None:
        """Forget everybody who waited or ran on a loop that is closed by now; keep what the limits have counted."""
        self._timer = None
        self.in_flight = self.queued = 0
        for lane in self._lanes.values():
            lane.since_hold = 0
            lane.waiters.clear()
            # The clock of another loop may start anywhere; a hold must not outlive it by more than its own length.
            lane.held_until, lane.ceiling = 0.0, None

    def _forget_cancelled(self, lane: Lane) -> None:
        """Drop waiters whose task was cancelled and has not run since."""
        while lane.waiters and lane.waiters[0].granted.done():
            lane.waiters.popleft()
            self.queued -= 1

    def _admit(self, lane: Lane, tokens: float, now: float) -> Permit:
        lane.since_hold += 1
        self.in_flight += 1
        if lane.requests is not None:
            lane.requests.take(now, 1)
        slot = lane.tokens.take(now, tokens) if lane.tokens is not None else None
        return Permit(lane, now, tokens, slot, lane.holds)

    def _serve(self) -> None:
        """Admit whoever may go, in order of arrival; set the one timer for the next who may."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        soonest: float | None = None
        while self.queued and self.in_flight < self._limits.concurrency:
            soonest = None
            best: Lane | None = None
            for lane in self._lanes.values():
                self._forget_cancelled(lane)
                if not lane.waiters:
                    continue
                wait = lane.wait(now, lane.waiters[0].tokens)
                if wait is None:
                    continue
                if wait > 0:
                    soonest = wait if soonest is None else min(soonest, wait)
                elif best is None or lane.waiters[0].order < best.waiters[0].order:
                    best = lane
            if best is None:
                break
            waiter = best.waiters.popleft()
            self.queued -= 1
            waiter.granted.set_result(self._admit(best, waiter.tokens, now))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if soonest is not None and self.queued:
            self._timer = loop.call_later(soonest, self._serve)
