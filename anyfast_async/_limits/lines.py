"""The lines in which calls wait for admission: one for each lane in front of each scope, and whose turn it is."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import attrs

from anyfast_async._core.limits.rate_limit import PERIOD
from anyfast_async._limits.scope import PACE
from anyfast_async._values.bases import Shown
from anyfast_async.errors import QueueFullError

if TYPE_CHECKING:
    from anyfast_async._core.limits.fair_share import FairShares, Share
    from anyfast_async._core.limits.tokens_per_minute import Taken
    from anyfast_async._limits.scope import Permit, Scope

ENOUGH: Final = 8
"""Turns from which on that is known."""
CERTAIN: Final = 0.75
"""Share of an expected wait that is as good as certain: what was seen of 32 turns is a fifth off at times."""


@attrs.define(eq=False, repr=False)
class Waiter(Shown):
    """A call that waits for admission."""

    order: int
    tokens: float
    granted: asyncio.Future[Permit]
    counts: bool = True
    """Whether it is one of ``Limits.max_queued``."""
    estimate: Callable[[], float] | None = None
    """Gives its tokens anew when its turn comes: more may be known by then."""


@attrs.define(eq=False, repr=False)
class LaneState(Shown):
    """What belongs together over all scopes: the calls that name a lane, or those that name none."""

    name: str | None = None
    reserve: int = 0
    """Places that are kept free for it."""
    share: Share | None = None
    """What it has had; None while there is no other lane."""
    ready: list[tuple[int, int, WaitingLine]] = attrs.field(factory=list)
    """Its lines with waiters, by the order of the first one; an entry counts if the line is ``listed`` with it."""

    lines: dict[Scope, WaitingLine] = attrs.field(factory=dict)
    """Of a lane with a name: where its calls wait."""

    @property
    def in_flight(self) -> int:
        """Calls of it, where it has a name."""
        return sum(line.in_flight for line in self.lines.values())

    @property
    def unused(self) -> int:
        """How many places are kept free for it now."""
        return max(0, self.reserve - self.in_flight) if self.reserve else 0


@attrs.define(eq=False, repr=False)
class WaitingLine(Shown):
    """The calls of one lane that wait in front of one scope."""

    scope: Scope
    lane: LaneState
    turns: Turns
    waiters: deque[Waiter] = attrs.field(factory=deque)
    queued: int = 0
    """Waiters among them whose call was not cancelled."""
    listed: int | None = None
    """The number of its entry, ready or for later; None while only the end of a call can move it."""
    in_flight: int = 0
    """Calls of a named lane that came from here."""
    nothing: Taken | None = None
    """What those have taken that go at once, where tokens are not limited."""
    served: deque[float] = attrs.field(factory=lambda: deque(maxlen=PACE))
    """When the last of those who waited went, since anybody waits."""

    @property
    def unused(self) -> int:
        """Of the places that are kept free in the scope, how many are for it."""
        reserve = self.lane.reserve
        return reserve - self.in_flight if reserve > self.in_flight else 0

    def expected(self, now: float, tokens: float) -> float:
        """Return the seconds that one more may wait here, as far as is known: 0 if nobody can tell.

        Holds and the limits of a minute are certain. How fast the line gets on is seen, once enough went while others
        waited; not while it gets ever faster, after a hold or with a window that was not found yet.
        """
        scope, ahead = self.scope, self.queued
        known = stands = max(scope.wait(now, tokens, self.unused) or 0.0, scope.held_until - now)
        if scope.requests is not None:
            minutes, rest = divmod(ahead, int(scope.requests.limit))
            known = max(known, minutes * PERIOD + scope.requests.wait(now, rest + 1))
        window = scope.throttle.window
        if scope.throttle.ceiling is not None or (window is not None and window.grows(scope.throttle.number)):
            return known
        until = None if stands > 0 else now
        since = scope.held_until if scope.held_until <= now else -math.inf
        wait = _gone(ahead, self.served, since, until)
        if len(scope.lines) > 1:  # once all who wait now are gone its turn has come, whatever its share was until now
            wait = min(wait, _gone(scope.queued, scope.served, since, until))
        return max(known, stands + wait)

    def check(self, now: float, tokens: float, within: float) -> None:
        """Refuse a call that has not the time to wait here and be answered.

        Raises:
            QueueFullError: so it is.

        """
        wait = self.expected(now, tokens)
        answer = self.scope.quickest if self.scope.quickest < math.inf else 0.0
        if CERTAIN * wait + answer <= within:
            return
        error = QueueFullError(
            f"{self.queued} calls are waiting already, for about {wait:.3g} s; this one has {within:.3g} s "
            "(Timeouts.total), so it was not queued"
        )
        error.retry_after = wait + answer - within
        raise error

    def took(self) -> None:
        """Count a call that goes."""
        lane = self.lane
        self.in_flight += 1
        if lane.reserve:
            self.scope.throttle.kept -= self.in_flight <= lane.reserve
            self.turns.places += lane.in_flight <= lane.reserve

    def left(self) -> None:
        """Count a call that has ended."""
        lane = self.lane
        self.in_flight -= 1
        if lane.reserve:
            self.scope.throttle.kept += self.in_flight < lane.reserve
            self.turns.places -= lane.in_flight < lane.reserve


def _gone(waiting: int, served: Iterable[float], since: float, until: float | None) -> float:
    """Return the seconds until so many who are *waiting* are gone, by when the last ones went; 0 if nobody can tell.

    *since*: the end of the last hold, which says nothing of what comes after; *until*: None if nobody goes now.
    """
    times = [at for at in served if at >= since]
    if len(times) < ENOUGH:
        return 0.0
    return waiting * ((times[-1] if until is None else until) - times[0]) / len(times)


class Turns:
    """Whose turn it is. Waiters of a lane are served in the order in which they came.

    A scope that is held or used up does not stop the others. For all who wait there is one timer, and letting one of
    them in takes as long for ten of them as for a hundred thousand.
    """

    def __init__(self, places: int) -> None:
        self.places: int = places
        """Calls that may be in flight, but for those that are kept free for lanes."""
        self.lane: LaneState = LaneState()
        """Of calls that name none."""
        self.fair: FairShares | None = None
        """The order between lanes, where there are some."""
        self.lanes: list[LaneState] = [self.lane]
        """That one, and those with a name."""
        self._entries = 0
        self._later: list[tuple[float, int, WaitingLine]] = []
        """Lines whose first waiter must wait until a time, by that time."""
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        """When the timer does; uvloop's do not always tell."""
        self.closed = False
        self.in_flight: int = 0
        self.queued: int = 0
        self.counted: int = 0
        """Of those queued, those that ``Limits.max_queued`` bounds: not the rows of a map, whose workers can wait."""

    def _add(self, line: WaitingLine, waiter: Waiter, *, first: bool) -> None:
        """Have a call wait; *first*: before all others of its line."""
        if not line.queued:
            line.served.clear()
        if first:
            line.waiters.appendleft(waiter)
        else:
            line.waiters.append(waiter)
        self.queued += 1
        self.counted += waiter.counts
        line.queued += 1
        line.scope.queued += 1
        if first or line.listed is None:
            self._list(line)
            if self.fair is None:
                self._serve()
            else:
                if line.scope.queued == 1:
                    line.scope.served.clear()
                self._look_at(line.scope)

    def _abandon(self, line: WaitingLine, waiter: Waiter) -> None:
        """Take a waiter out whose call was cancelled: at once if it is the first, else when its turn comes."""
        waiter.granted.cancel()
        if self.closed:
            return
        self.queued -= 1
        self.counted -= waiter.counts
        line.queued -= 1
        line.scope.queued -= 1
        if line.waiters and line.waiters[0].granted.done():
            self._list(line)
            self._serve()
        elif len(line.waiters) > 2 * line.queued:
            line.waiters = deque(w for w in line.waiters if not w.granted.done())

    def _list(self, line: WaitingLine) -> None:
        """Have the first waiter of *line* looked at."""
        while line.waiters and line.waiters[0].granted.done():  # its task was cancelled
            line.waiters.popleft()
        line.listed = None
        if line.waiters:
            lane = line.lane
            if self.fair is not None and lane.share is not None and not lane.ready:
                self.fair.wakes(lane.share)
            self._entries += 1
            line.listed = self._entries
            heappush(lane.ready, (line.waiters[0].order, line.listed, line))

    def _look_at(self, scope: Scope) -> None:
        """Serve anew once more may go of *scope* than was known."""
        for line in scope.lines:
            if line.waiters and (line.listed is None or scope.tokens is not None):
                self._list(line)
        self._serve()

    def _serve(self) -> None:
        """Admit whoever may go; set the one timer for the next who may."""
        loop = asyncio.get_running_loop()
        now, fair = loop.time(), self.fair
        while self._later and self._later[0][0] <= now:
            _, entry, line = heappop(self._later)
            if line.listed == entry:
                self._list(line)
        while (lane := self._next()) is not None:
            _, entry, line = heappop(lane.ready)
            if line.listed != entry:
                continue
            waiter = line.waiters[0]
            if waiter.granted.done():  # cancelled, and its task has not run since
                self._list(line)
                continue
            if waiter.estimate is not None:
                waiter.tokens = waiter.estimate()
            scope = line.scope
            wait = scope.wait(now, waiter.tokens, 0 if fair is None else line.unused)
            if wait is None:
                line.listed = None
            elif wait > 0:
                self._put_off(line, entry, now, now + wait)
            else:
                line.waiters.popleft()
                self.queued -= 1
                self.counted -= waiter.counts
                line.queued -= 1
                scope.queued -= 1
                line.served.append(now)
                self.in_flight += 1
                permit = scope.take(now, waiter.tokens)
                waiter.granted.set_result(permit if fair is None else self._charged(line, permit))
                self._list(line)
        self._set_timer(loop)

    def _put_off(self, first: WaitingLine, entry: int, now: float, until: float) -> None:
        """Have *first* wait, and the other lines of its scope: small calls would go on taking what it needs."""
        heappush(self._later, (until, entry, first))
        scope = first.scope
        if scope.requests is not None and scope.requests.wait(now, 1) > 0:  # for a time that is known: that is no pace
            first.served.clear()
            scope.served.clear()
        for line in scope.lines:
            if line is not first and line.listed is not None:
                self._entries += 1
                line.listed = self._entries
                heappush(self._later, (until, line.listed, line))

    def _next(self) -> LaneState | None:
        """Return the lane whose turn it is, None if nobody may go."""
        if self.fair is None:
            return self.lane if self.lane.ready and self.in_flight < self.places else None
        ready = self._ready()
        if len(ready) <= 1:
            return next(iter(ready.values()), None)
        return ready[self.fair.first(ready)]

    def _ready(self) -> dict[Share, LaneState]:
        """Return the lanes that have somebody to send and a place for them."""
        free = self.places - self.in_flight
        return {lane.share: lane for lane in self._waiting() if lane.share is not None and free + lane.unused > 0}

    def _waiting(self) -> Iterator[LaneState]:
        """Return the lanes that have somebody to send, with a place or without one."""
        for lane in self.lanes:
            ready = lane.ready
            while ready and ready[0][2].listed != ready[0][1]:
                heappop(ready)
            if ready:
                yield lane

    def _charged(self, line: WaitingLine, permit: Permit) -> Permit:
        """Return the permit of a call that has waited, for which its lane is charged."""
        share = line.lane.share
        line.scope.served.append(permit.at)
        if self.fair is None or share is None:
            return permit
        charged = share.likely if line.scope.tokens is None else permit.tokens
        others = [lane.share for lane in self._waiting() if lane.share is not None]
        self.fair.charge(share, charged, [share, *others])
        return permit.follow(line, charged)

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

    def keep(self, places: int) -> None:
        """Count the places anew that are kept free, of *places* in all."""
        for lane in self.lanes:
            places -= lane.unused
        self.places = places

    def _forget(self) -> None:
        """Forget everybody who waited or ran on a loop that is closed by now."""
        self._timer = None
        self._later.clear()
        self.in_flight = self.queued = self.counted = 0
        for lane in self.lanes:
            lane.ready.clear()
