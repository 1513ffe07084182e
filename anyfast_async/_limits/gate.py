"""Admission: concurrency, requests and tokens per minute, and the hold after a throttled answer.

This is the only queue in the client. Waiters are served in the order in which they came; a scope (origin, key, model)
that is held or used up does not stop the others. Nothing runs while nobody waits: no task, no timer, no future; for
all who wait there is one timer, and letting one of them in takes as long for ten of them as for a hundred thousand.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from anyfast_async._limits.scope import Permit, Scope, Waiter
from anyfast_async.errors import ClientStateError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from anyfast_async._core.limits.refusal import Refusal
    from anyfast_async._core.retry.suspicion import Suspicion
    from anyfast_async._limits.shared_limits import Sharing
    from anyfast_async.observing import Hold
    from anyfast_async.policies import Limits


def _closed_error() -> ClientStateError:
    return ClientStateError("the client is closed")


class Gate:
    """One per client, shared by everything made of it with ``with_options``; *on_free* hears of ends of holds."""

    def __init__(self, limits: Limits, on_free: Callable[[Hold], None] = lambda _: None) -> None:
        self._limits = limits
        self._on_free = on_free
        self._scopes: dict[Hashable, Scope] = {}
        self._remembered: list[tuple[float, float, float]] = []
        self._arrivals = 0
        self._entries = 0
        self._ready: list[tuple[int, int, Scope]] = []
        """Scopes with waiters, by the order of the first one; an entry counts if the scope is ``listed`` with it."""
        self._later: list[tuple[float, int, Scope]] = []
        """Scopes whose first waiter must wait until a time, by that time."""
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        """When the timer does; uvloop's do not always tell."""
        self._closed = False
        self.sharing: Sharing | None = None
        """Where limits are shared with other clients: with what."""
        self.in_flight: int = 0
        self.queued: int = 0
        self.holding_off: int = 0
        """Calls that wait for the end of an outage."""
        self.counted: int = 0
        """Of those queued, those that ``Limits.max_queued`` bounds: not the rows of a map, whose workers can wait."""
        self.maybe_billed = 0
        """Requests that may have been billed though no answer came of them."""

    def scope(self, origin_key_model: Hashable) -> Scope:
        """Return the scope for an (origin, key, model)."""
        scope = self._scopes.get(origin_key_model)
        if scope is None:
            if self._limits.store is None:
                scope = Scope.within(self._limits.requests_per_minute, self._limits.tokens_per_minute)
            else:
                scope = self._shared().scope(origin_key_model)
            self._scopes[origin_key_model] = scope
            self._recall(scope)
        return scope

    def _shared(self) -> Sharing:
        if self.sharing is None:
            from anyfast_async._limits.shared_limits import Sharing  # noqa: PLC0415 - only who shares pays for it

            self.sharing = Sharing(self._limits, self)
        return self.sharing

    def look(self, scope: Scope) -> None:
        """Let in whoever may go now: there is news of *scope* from outside."""
        if scope.waiters and not self._closed:
            self._list(scope)
            self._serve()

    def remember(self, sent: Iterable[tuple[float, float, float]]) -> None:
        """Take in what another process has sent within the limits: Unix times, requests and tokens, the oldest first.

        It counts in every scope that is not there yet.
        """
        self._remembered = [*sent]

    def _recall(self, scope: Scope) -> None:
        if not self._remembered:
            return
        now, wall = asyncio.get_running_loop().time(), time.time()
        for at, requests, tokens in self._remembered:
            scope.remember(now, max(0.0, wall - at), requests, tokens)

    def admit(self, scope: Scope, tokens: float, now: float) -> Permit | None:
        """Admit a call at loop time *now*; None if it has to :meth:`queue`.

        Raises:
            ClientStateError: the client is closed.

        """
        if self._closed:
            raise _closed_error()
        # With a place free, whoever waits in another scope waits for that scope's own limits.
        if self.in_flight < self._limits.concurrency and not scope.queued and scope.wait(now, tokens) == 0:
            self.in_flight += 1
            return scope.take(now, tokens)
        return None

    async def queue(
        self,
        scope: Scope,
        tokens: float = 0.0,
        estimate: Callable[[], float] | None = None,
        *,
        first: bool = False,
        counts: bool = True,
    ) -> Permit:
        """Wait for admission; *first*: before all others of the scope. Whoever does not *count* waits however many do.

        *estimate* gives the tokens anew when the turn of the call comes.

        Raises:
            QueueFullError: ``Limits.max_queued`` calls wait already.
            ClientStateError: the client was closed.

        """
        loop = asyncio.get_running_loop()
        limit = self._limits.max_queued
        if counts and limit is not None and self.counted >= limit:
            error = QueueFullError(f"{self.counted} calls are waiting already (Limits.max_queued={limit})")
            error.retry_after = scope.wait(loop.time(), tokens)
            raise error
        self._arrivals += 1
        waiter = Waiter(0 if first else self._arrivals, tokens, loop.create_future(), counts, estimate)
        if first:
            scope.waiters.appendleft(waiter)
        else:
            scope.waiters.append(waiter)
        self.queued += 1
        self.counted += counts
        scope.queued += 1
        if first or scope.listed is None:
            self._list(scope)
            self._serve()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self.give_back(waiter.granted.result())  # granted and cancelled in one tick: pass it on
            else:
                self._abandon(scope, waiter)
            raise

    async def acquire(self, scope: Scope, tokens: float = 0.0) -> Permit:
        """Wait for admission, if there is anything to wait for.

        Raises:
            QueueFullError: ``Limits.max_queued`` calls wait already.
            ClientStateError: the client is closed.

        """
        return self.admit(scope, tokens, asyncio.get_running_loop().time()) or await self.queue(scope, tokens)

    def release(self, permit: Permit) -> None:
        """Give the place back and let the next one in. Calling it again does nothing."""
        if permit.released:
            return
        permit.released = True
        permit.scope.left(permit)
        self._left(permit.scope)

    def _left(self, scope: Scope) -> None:
        self.in_flight -= 1
        if self.queued:
            if scope.waiters and (scope.listed is None or scope.tokens is not None):
                self._list(scope)
            self._serve()

    def give_back(self, permit: Permit) -> None:
        """Take a permit back that was not used: nothing was sent, so nothing counts."""
        if permit.released:
            return
        permit.released = True
        permit.scope.give_back(permit, asyncio.get_running_loop().time())
        self._left(permit.scope)

    def settle(self, permit: Permit, used: float) -> None:
        """Put the tokens that a call really used in place of those reserved for it."""
        scope = permit.scope
        scope.known(permit)
        if scope.tokens is not None and permit.taken is not None:
            scope.tokens.settle(asyncio.get_running_loop().time(), permit.taken, used)
            if scope.waiters:
                self._list(scope)
                self._serve()

    # -- what the gateway's answers say ------------------------------------------------------------------------------

    def throttled(self, permit: Permit, refusal: Refusal, row: Suspicion) -> float:
        """Take in a throttled answer to a request of *row*; return the loop time until which the scope is held."""
        permit.scope.throttled(permit, asyncio.get_running_loop().time(), row, refusal)
        return permit.scope.held_until

    def succeeded(self, permit: Permit) -> None:
        """Say that the gateway took a request: after a hold this lets more in."""
        scope = permit.scope
        if scope.outage.succeeded(permit.at):
            if scope.outage.since is None:
                scope.throttle.hold()  # a gateway that comes back gets one request, then two ...
                self._freed(scope, "outage")
            self._look_again(scope)
        elif scope.throttle.watching:
            self._freed(scope, "throttling")
            scope.throttle.succeeded(permit, asyncio.get_running_loop().time(), self._limits.concurrency)
            if scope.waiters and scope.listed is None:
                self._list(scope)
                self._serve()

    def failed(self, scope: Scope, row: object, *, reached: bool, longest: float, rand: float) -> None:
        """Say that a request of *row* failed as it does when the gateway is away."""
        now = asyncio.get_running_loop().time()
        if scope.outage.failed(now, row, reached=reached, longest=longest, rand=rand):
            self._look_again(scope)

    def answered(self, scope: Scope) -> None:
        """Say that the gateway is there, though it refused a request: an outage is over."""
        if scope.outage.since is not None:
            scope.outage.answered()
            self._freed(scope, "outage")
            scope.throttle.hold()
            self._look_again(scope)

    def _freed(self, scope: Scope, reason: str) -> None:
        if (hold := scope.freed(reason, asyncio.get_running_loop().time())) is not None:
            self._on_free(hold)

    async def hold_off(self, scope: Scope, row: object, *, sent: bool, longest: float, patience: float) -> bool:
        """Wait while the gateway is away, for *patience* seconds at most.

        Args:
            scope: where.
            row: who waits; one at a time is let through, to try whether it is back.
            sent: whether a request of it was sent before.
            longest: seconds between two tries, at most.
            patience: seconds.

        Returns:
            Whether it was let through to try.

        """
        loop = asyncio.get_running_loop()
        outage = scope.outage
        outage.enter(row, sent=sent)
        try:
            while not self._closed and outage.since is not None:
                now = loop.time()
                left = outage.since + patience - now
                if left <= 0:
                    return False
                wait = outage.wait(now, row, longest)
                if wait == 0:
                    return True
                self.holding_off += 1
                try:
                    await self.news(scope, min(wait, left))
                finally:
                    self.holding_off -= 1
        finally:
            if outage.leave(row):
                self._look_again(scope)
        return False

    async def news(self, scope: Scope, seconds: float) -> None:
        """Wait for what others of *scope* find out of an outage, for *seconds* at most."""
        if scope.outage_news is None:
            scope.outage_news = asyncio.get_running_loop().create_future()
        await asyncio.wait({scope.outage_news}, timeout=seconds)

    def _look_again(self, scope: Scope) -> None:
        """Have those look again who wait for the end of an outage."""
        if scope.outage_news is not None:
            if not scope.outage_news.done():
                scope.outage_news.set_result(None)
            scope.outage_news = None

    # -- what is going on --------------------------------------------------------------------------------------------

    def reserved(self) -> float:
        """Return the tokens that are counted for calls in flight within ``Limits.tokens_per_minute``."""
        return sum(scope.reserved for scope in self._scopes.values() if scope.tokens is not None)

    def held_for(self) -> float:
        """Return the seconds for which throttling still holds calls back; of the scope that is held longest."""
        held = max((scope.held_until for scope in self._scopes.values()), default=0.0)
        return max(0.0, held - asyncio.get_running_loop().time()) if held else 0.0

    def limited_by(self) -> str | None:
        """Return what the first waiting call waits for, None if none waits."""
        waiting = [
            (waiter, scope)
            for scope in self._scopes.values()
            if (waiter := next((w for w in scope.waiters if not w.granted.done()), None)) is not None
        ]
        if not waiting:
            away = any(scope.outage.since is not None for scope in self._scopes.values())
            return "outage" if away else None
        if self.in_flight >= self._limits.concurrency:
            return "concurrency"
        first, scope = min(waiting, key=lambda pair: pair[0].order)
        return scope.limited_by(asyncio.get_running_loop().time(), first.tokens)

    def close(self) -> None:
        """End every waiting call, and every later one, with ``ClientStateError``."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for scope in self._scopes.values():
            for waiter in scope.waiters:
                if not waiter.granted.done():
                    waiter.granted.set_exception(_closed_error())
            scope.send_away()
            self._look_again(scope)
        self.queued = self.counted = 0

    def reset(self) -> None:
        """Forget everybody who waited or ran on a loop that is closed by now; keep what the limits have counted."""
        self._timer = None
        self._later.clear()
        self._ready.clear()
        self.in_flight = self.queued = self.counted = self.holding_off = 0
        for scope in self._scopes.values():
            scope.send_away()
            scope.begin_anew()
        if self.sharing is not None:
            self.sharing.begin_anew()

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _abandon(self, scope: Scope, waiter: Waiter) -> None:
        """Take a waiter out whose call was cancelled: at once if it is the first, else when its turn comes."""
        waiter.granted.cancel()
        if self._closed:
            return
        self.queued -= 1
        self.counted -= waiter.counts
        scope.queued -= 1
        if scope.waiters and scope.waiters[0].granted.done():
            self._list(scope)
            self._serve()
        elif len(scope.waiters) > 2 * scope.queued:
            scope.waiters = deque(w for w in scope.waiters if not w.granted.done())

    def _list(self, scope: Scope) -> None:
        """Have the first waiter of *scope* looked at."""
        while scope.waiters and scope.waiters[0].granted.done():  # its task was cancelled
            scope.waiters.popleft()
        scope.listed = None
        if scope.waiters:
            self._entries += 1
            scope.listed = self._entries
            heappush(self._ready, (scope.waiters[0].order, scope.listed, scope))

    def _serve(self) -> None:
        """Admit whoever may go, in order of arrival; set the one timer for the next who may."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._later and self._later[0][0] <= now:
            _, entry, scope = heappop(self._later)
            if scope.listed == entry:
                self._list(scope)
        while self._ready and self.in_flight < self._limits.concurrency:
            _, entry, scope = heappop(self._ready)
            if scope.listed != entry:
                continue
            waiter = scope.waiters[0]
            if waiter.granted.done():  # cancelled, and its task has not run since
                self._list(scope)
                continue
            if waiter.estimate is not None:
                waiter.tokens = waiter.estimate()
            wait = scope.wait(now, waiter.tokens)
            if wait is None:
                scope.listed = None
            elif wait > 0:
                heappush(self._later, (now + wait, entry, scope))
            else:
                scope.waiters.popleft()
                self.queued -= 1
                self.counted -= waiter.counts
                scope.queued -= 1
                self.in_flight += 1
                waiter.granted.set_result(scope.take(now, waiter.tokens))
                self._list(scope)
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
