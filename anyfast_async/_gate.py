"""Admission: concurrency, requests and tokens per minute, and the hold after a throttled answer.

This is the only queue in the client. Waiters are served in the order in which they came; a lane (origin, key, model)
that is held or used up does not stop the others. Nothing runs while nobody waits: no task, no timer, no future; for
all who wait there is one timer, and letting one of them in takes as long for ten of them as for a hundred thousand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from anyfast_async._core.bucket import Pace, Window
from anyfast_async._core.outage import Outage
from anyfast_async._lane import Lane, Permit, Waiter
from anyfast_async.errors import ClientStateError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from anyfast_async.policies import Limits


def _closed_error() -> ClientStateError:
    return ClientStateError("the client is closed")


class Gate:
    """One per client, shared by everything made of it with ``with_options``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[Hashable, Lane] = {}
        self._arrivals = 0
        self._entries = 0
        self._ready: list[tuple[int, int, Lane]] = []
        """Lanes with waiters, by the order of the first one; an entry counts if the lane is ``listed`` with it."""
        self._later: list[tuple[float, int, Lane]] = []
        """Lanes whose first waiter must wait until a time, by that time."""
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        """When the timer does; uvloop's do not always tell."""
        self._closed = False
        self.in_flight = 0
        self.queued = 0
        self.holding_off = 0
        """Calls that wait for the end of an outage."""

    def lane(self, key: Hashable) -> Lane:
        """Return the lane for an (origin, key, model)."""
        lane = self._lanes.get(key)
        if lane is None:
            requests, tokens = self._limits.requests_per_minute, self._limits.tokens_per_minute
            lane = self._lanes[key] = Lane(
                None if requests is None else Window(requests),
                None if tokens is None else Window(tokens),
                None if requests is None else Pace(requests),
            )
        return lane

    def admit(self, lane: Lane, tokens: float, now: float) -> Permit | None:
        """Admit a call at loop time *now*; None if it has to :meth:`queue`.

        Raises:
            ClientStateError: the client is closed.

        """
        if self._closed:
            raise _closed_error()
        # With a place free, whoever waits in another lane waits for that lane's own limits.
        if self.in_flight < self._limits.concurrency and not lane.queued and lane.wait(now, tokens) == 0:
            return self._admit(lane, tokens, now)
        return None

    async def queue(self, lane: Lane, tokens: float = 0.0, estimate: Callable[[], float] | None = None) -> Permit:
        """Wait for admission; *estimate* gives the tokens anew when the turn of the call comes.

        Raises:
            QueueFullError: ``Limits.max_queued`` calls wait already.
            ClientStateError: the client was closed.

        """
        loop = asyncio.get_running_loop()
        limit = self._limits.max_queued
        if limit is not None and self.queued >= limit:
            error = QueueFullError(f"{self.queued} calls are waiting already (Limits.max_queued={limit})")
            error.retry_after = lane.wait(loop.time(), tokens)
            raise error
        self._arrivals += 1
        waiter = Waiter(self._arrivals, tokens, loop.create_future(), estimate)
        lane.waiters.append(waiter)
        self.queued += 1
        lane.queued += 1
        if lane.listed is None:
            self._list(lane)
            self._serve()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self.release(waiter.granted.result())  # granted and cancelled in one tick: pass it on
            else:
                self._abandon(lane, waiter)
            raise

    async def acquire(self, lane: Lane, tokens: float = 0.0) -> Permit:
        """Wait for admission, if there is anything to wait for.

        Raises:
            QueueFullError: ``Limits.max_queued`` calls wait already.
            ClientStateError: the client is closed.

        """
        return self.admit(lane, tokens, asyncio.get_running_loop().time()) or await self.queue(lane, tokens)

    def release(self, permit: Permit) -> None:
        """Give the place back and let the next one in. Calling it again does nothing."""
        if permit.released:
            return
        permit.released = True
        lane = permit.lane
        lane.left(permit)
        self.in_flight -= 1
        if self.queued:
            if lane.waiters and lane.listed is None:
                self._list(lane)
            self._serve()

    def settle(self, permit: Permit, used: float) -> None:
        """Put the tokens that a call really used in place of those reserved for it."""
        lane = permit.lane
        if lane.tokens is not None and permit.slot is not None:
            lane.tokens.settle(asyncio.get_running_loop().time(), permit.slot, used - permit.tokens)
            if lane.waiters:
                self._list(lane)
                self._serve()

    # -- what the gateway's answers say ------------------------------------------------------------------------------

    def throttled(self, permit: Permit, asked: float | None, rand: float) -> float:
        """Hold the lane after a throttled answer; return the loop time until which."""
        permit.lane.throttled(permit, asyncio.get_running_loop().time(), asked, rand)
        return permit.lane.held_until

    def succeeded(self, permit: Permit) -> None:
        """Say that the gateway took a request: after a hold this lets more in."""
        lane = permit.lane
        if lane.outage.succeeded():
            lane.hold()  # a gateway that comes back gets one request, then two ...
            self._end_of_outage(lane)
        elif lane.ceiling is not None:
            lane.ramp(permit, self._limits.concurrency)
            if lane.waiters and lane.listed is None:
                self._list(lane)
                self._serve()

    async def hold_off(self, lane: Lane, longest: float, rand: float) -> None:
        """Wait while the gateway is away, *longest* seconds or less for each probe; one call at a time returns."""
        loop = asyncio.get_running_loop()
        while not self._closed and (wait := lane.outage.wait(loop.time(), longest, rand)) > 0:
            if lane.recovery is None:
                lane.recovery = loop.create_future()
            self.holding_off += 1
            try:
                await asyncio.wait({lane.recovery}, timeout=wait)
            finally:
                self.holding_off -= 1

    def _end_of_outage(self, lane: Lane) -> None:
        if lane.recovery is not None:
            if not lane.recovery.done():
                lane.recovery.set_result(None)
            lane.recovery = None

    # -- what is going on --------------------------------------------------------------------------------------------

    def held_for(self) -> float:
        """Return the seconds for which throttling still holds calls back; of the lane that is held longest."""
        held = max((lane.held_until for lane in self._lanes.values()), default=0.0)
        return max(0.0, held - asyncio.get_running_loop().time()) if held else 0.0

    def limited_by(self) -> str | None:
        """Return what the first waiting call waits for, None if none waits."""
        waiting = [
            (waiter, lane)
            for lane in self._lanes.values()
            if (waiter := next((w for w in lane.waiters if not w.granted.done()), None)) is not None
        ]
        if not waiting:
            away = any(lane.outage.since is not None for lane in self._lanes.values())
            return "outage" if away else None
        if self.in_flight >= self._limits.concurrency:
            return "concurrency"
        first, lane = min(waiting, key=lambda pair: pair[0].order)
        return lane.limited_by(asyncio.get_running_loop().time(), first.tokens)

    def close(self) -> None:
        """End every waiting call, and every later one, with ``ClientStateError``."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            for waiter in lane.waiters:
                if not waiter.granted.done():
                    waiter.granted.set_exception(_closed_error())
            self._empty(lane)
            self._end_of_outage(lane)
        self.queued = 0

    def reset(self) -> None:
        """Forget everybody who waited or ran on a loop that is closed by now; keep what the limits have counted."""
        self._timer = None
        self._later.clear()
        self._ready.clear()
        self.in_flight = self.queued = self.holding_off = 0
        for lane in self._lanes.values():
            lane.since_hold = 0
            lane.recovery = None
            self._empty(lane)
            # The clock of another loop may start anywhere; a hold must not outlive it by more than its own length.
            lane.held_until, lane.ceiling, lane.outage = 0.0, None, Outage()

    def _empty(self, lane: Lane) -> None:
        lane.waiters.clear()
        lane.queued, lane.listed = 0, None

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _abandon(self, lane: Lane, waiter: Waiter) -> None:
        """Take a waiter out whose call was cancelled: at once if it is the first, else when its turn comes."""
        waiter.granted.cancel()
        if self._closed:
            return
        self.queued -= 1
        lane.queued -= 1
        if lane.waiters and lane.waiters[0].granted.done():
            self._list(lane)
            self._serve()
        elif len(lane.waiters) > 2 * lane.queued:
            lane.waiters = deque(w for w in lane.waiters if not w.granted.done())

    def _forget_cancelled(self, lane: Lane) -> None:
        """Drop the first waiters whose task was cancelled."""
        while lane.waiters and lane.waiters[0].granted.done():
            lane.waiters.popleft()

    def _admit(self, lane: Lane, tokens: float, now: float) -> Permit:
        self.in_flight += 1
        return lane.take(now, tokens)

    def _list(self, lane: Lane) -> None:
        """Have the first waiter of *lane* looked at."""
        self._forget_cancelled(lane)
        lane.listed = None
        if lane.waiters:
            self._entries += 1
            lane.listed = self._entries
            heappush(self._ready, (lane.waiters[0].order, lane.listed, lane))

    def _serve(self) -> None:
        """Admit whoever may go, in order of arrival; set the one timer for the next who may."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._later and self._later[0][0] <= now:
            _, entry, lane = heappop(self._later)
            if lane.listed == entry:
                self._list(lane)
        while self._ready and self.in_flight < self._limits.concurrency:
            _, entry, lane = heappop(self._ready)
            if lane.listed != entry:
                continue
            waiter = lane.waiters[0]
            if waiter.granted.done():  # cancelled, and its task has not run since
                self._list(lane)
                continue
            if waiter.estimate is not None:
                waiter.tokens = waiter.estimate()
            wait = lane.wait(now, waiter.tokens)
            if wait is None:
                lane.listed = None
            elif wait > 0:
                heappush(self._later, (now + wait, entry, lane))
            else:
                lane.waiters.popleft()
                self.queued -= 1
                lane.queued -= 1
                waiter.granted.set_result(self._admit(lane, waiter.tokens, now))
                self._list(lane)
        self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._later and self._later[0][2].listed != self._later[0][1]:
            heappop(self._later)
        due = self._later[0][0] if self._later else None
        if self._timer is not None and due != self._rings_at:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            self._rings_at = due
            self._timer = loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._serve()
