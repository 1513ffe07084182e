"""Admission: concurrency, requests and tokens per minute, and the hold after a throttled answer.

This is the only queue in the client. Nothing runs while nobody waits: no task, no timer, no future. Whose turn it is
stands in ``_limits/lines``.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from anyfast_async._limits.lines import LaneState, Turns, Waiter, WaitingLine
from anyfast_async._limits.scope import Permit, Scope
from anyfast_async.errors import ClientStateError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping

    from anyfast_async._core.limits.refusal import Refusal
    from anyfast_async._core.retry.suspicion import Suspicion
    from anyfast_async._core.usage import Used
    from anyfast_async._limits.lanes import Entrance
    from anyfast_async._limits.shared_limits import Sharing
    from anyfast_async.observing import Hold
    from anyfast_async.policies import Limits


def _closed_error() -> ClientStateError:
    return ClientStateError("the client is closed")


class Gate(Turns):
    """One per client, shared by everything made of it with ``with_options``; *on_free* hears of ends of holds."""

    in_flight: int

    def __init__(self, limits: Limits, on_free: Callable[[Hold], None] = lambda _: None) -> None:
        self.most_in_flight: int = limits.most_in_flight
        super().__init__(self.most_in_flight)
        self._limits = limits
        self._on_free = on_free
        self._scopes: dict[Hashable, Scope] = {}
        self._remembered: list[tuple[float, float, float]] = []
        self._arrivals = 0
        self.sharing: Sharing | None = None
        """Where limits are shared with other clients: with what."""
        self.holding_off: int = 0
        """Calls that wait for the end of an outage."""
        self.maybe_billed: int = 0
        """Requests that may have been billed though no answer came of them."""

    def scope(self, origin_key_model: Hashable) -> Scope:
        """Return the scope for an (origin, key, model)."""
        scope = self._scopes.get(origin_key_model)
        if scope is None:
            per_minute, auto = (self._limits.requests_per_minute, self._limits.tokens_per_minute), self._limits.auto
            if self._limits.store is not None:
                scope = self._shared().scope(origin_key_model)
            elif auto is None:
                scope = Scope.within(*per_minute)
            else:
                from anyfast_async._limits.auto_scope import AutoScope  # noqa: PLC0415 - where it is asked for

                scope = AutoScope.beginning(auto, *per_minute)
            self._scopes[origin_key_model] = scope
            scope.lines.append(WaitingLine(scope, self.lane, self))
            self._recall(scope)
        return scope

    def named(self, lane: str | LaneState | None, given: Mapping[str, float]) -> LaneState | None:
        """Return the lane of that name, with what is *given* of its settings changed for all who are in it.

        Raises:
            ConfigurationError: a setting cannot be, or there is no lane that it could be for.

        """
        if lane is None and not given:
            return None
        from anyfast_async._limits.lanes import named  # noqa: PLC0415 - with the first lane

        return named(self, lane, given, self.most_in_flight)

    def entrance(self, lane: LaneState | None) -> Gate | Entrance:
        """Return where the calls of a lane are admitted, None for those that name none."""
        if lane is None:
            return self
        from anyfast_async._limits.lanes import Entrance  # noqa: PLC0415 - there is a lane

        return Entrance(self, lane)

    def _shared(self) -> Sharing:
        if self.sharing is None:
            from anyfast_async._limits.shared_limits import Sharing  # noqa: PLC0415 - only who shares pays for it

            self.sharing = Sharing(self._limits, self)
        return self.sharing

    def look(self, scope: Scope) -> None:
        """Let in whoever may go now: there is news of *scope* from outside."""
        if scope.queued and not self.closed:
            for line in scope.lines:
                self._list(line)
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
        if self.closed:
            raise _closed_error()
        # With a place free, whoever waits in another scope waits for that scope's own limits.
        if self.in_flight < self.places and not scope.queued and scope.wait(now, tokens) == 0:
            self.in_flight += 1
            return scope.take(now, tokens)
        return None

    def queue(
        self,
        scope: Scope,
        tokens: float = 0.0,
        estimate: Callable[[], float] | None = None,
        *,
        first: bool = False,
        counts: bool = True,
        within: float | None = None,
    ) -> Coroutine[Any, Any, Permit]:
        """Wait for admission; *first*: before all others of the scope. Whoever does not *count* waits however many do.

        *estimate* gives the tokens anew when the turn of the call comes; *within* are the seconds that the call has.

        Raises:
            QueueFullError: ``Limits.max_queued`` calls wait already, or it cannot be answered *within* its time.
            ClientStateError: the client was closed.

        """
        return self.wait_in(scope.lines[0], tokens, estimate, first=first, counts=counts, within=within)

    async def wait_in(
        self,
        line: WaitingLine,
        tokens: float,
        estimate: Callable[[], float] | None,
        *,
        first: bool,
        counts: bool,
        within: float | None,
    ) -> Permit:
        """Wait for admission in the *line* of a lane; else as :meth:`queue`."""
        loop = asyncio.get_running_loop()
        limit, scope = self._limits.max_queued, line.scope
        if counts and limit is not None and self.counted >= limit:
            error = QueueFullError(f"{self.counted} calls are waiting already (Limits.max_queued={limit})")
            error.retry_after = scope.wait(loop.time(), tokens)
            raise error
        if within is not None and not first:
            line.check(loop.time(), tokens, within)
        self._arrivals += 1
        waiter = Waiter(0 if first else self._arrivals, tokens, loop.create_future(), counts, estimate)
        self._add(line, waiter, first=first)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self.give_back(waiter.granted.result())  # granted and cancelled in one tick: pass it on
            else:
                self._abandon(line, waiter)
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
        permit.released, scope = True, permit.scope
        scope.left(permit)
        self.in_flight -= 1
        if self.queued:
            self._look_at(scope)

    def give_back(self, permit: Permit) -> None:
        """Take a permit back that was not used: nothing was sent, so nothing counts."""
        if not permit.released:
            permit.scope.give_back(permit, asyncio.get_running_loop().time())
            self.release(permit)

    def settle(self, permit: Permit, used: float) -> None:
        """Put the tokens that a call really used in place of those reserved for it."""
        scope = permit.scope
        scope.known(permit)
        taken = permit.taken
        if taken is None:
            return
        if taken.is_followed:
            taken.end(used)
        if scope.tokens is not None:
            scope.tokens.settle(asyncio.get_running_loop().time(), taken, used)
            if scope.queued:
                self._look_at(scope)

    def used(self, permit: Permit, used: Used) -> None:
        """Take in what an answer to a call that is followed says that it used."""
        taken = permit.taken
        if taken is not None and taken.is_nothing:
            taken.end(used.tokens)
        else:
            self.settle(permit, used.tokens)

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
            if scope.told:
                self._freed(scope, "throttling")
            scope.throttle.succeeded(permit, asyncio.get_running_loop().time(), self.most_in_flight)
            if scope.queued:
                self._look_at(scope)

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
            while not self.closed and outage.since is not None:
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
            (waiter, line)
            for scope in self._scopes.values()
            for line in scope.lines
            if (waiter := next((w for w in line.waiters if not w.granted.done()), None)) is not None
        ]
        if not waiting:
            away = any(scope.outage.since is not None for scope in self._scopes.values())
            return "outage" if away else None
        first, line = min(waiting, key=lambda pair: pair[0].order)
        return self.reason(line, first.tokens)

    def reason(self, line: WaitingLine, tokens: float) -> str:
        """Return what the next call of a line waits for, as far as there is anything."""
        scope, throttle = line.scope, line.scope.throttle
        if self.in_flight >= self.places + line.lane.unused:
            return "concurrency" if self.in_flight >= self.most_in_flight else "reserve"
        now = asyncio.get_running_loop().time()
        if throttle.wait(now, line.unused) is None and throttle.window is not None and not throttle.ramps:
            return "window" if throttle.in_flight >= throttle.window.count else "reserve"
        return scope.limited_by(now, tokens)

    def by_model(self) -> Iterator[tuple[str, Scope]]:
        """Return what calls are counted by, with the model that they ask."""
        for key, scope in self._scopes.items():
            yield key[-1] if isinstance(key, tuple) else str(key), scope

    def close(self) -> None:
        """End every waiting call, and every later one, with ``ClientStateError``."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for scope in self._scopes.values():
            for waiter in (waiter for line in scope.lines for waiter in line.waiters if not waiter.granted.done()):
                waiter.granted.set_exception(_closed_error())
            scope.send_away()
            self._look_again(scope)
        self.queued = self.counted = 0

    def reset(self) -> None:
        """Forget everybody who waited or ran on a loop that is closed by now; keep what the limits have counted."""
        self._forget()
        self.holding_off = 0
        for scope in self._scopes.values():
            scope.send_away()
            scope.begin_anew()
        if self.fair is not None:
            self.keep(self.most_in_flight)
        if self.sharing is not None:
            self.sharing.begin_anew()
