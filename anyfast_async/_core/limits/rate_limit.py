"""Rate limits as arithmetic on a given ``now``.

:class:`Window` keeps one promise: in no 60 seconds is more taken than the limit. It sums what was taken by slots of a
tenth of a second, and lets a slot go 60 seconds after its end, never early: memory is constant, and at most a sixth
of a percent of the limit is lost to the rounding. :class:`Spacing` spreads a large limit over the minute.
"""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, Final

PERIOD: Final = 60.0
SLOT: Final = 0.1


class Slot:
    """What was taken within a tenth of a second."""

    __slots__ = ("amount", "end")

    def __init__(self, end: float, amount: float) -> None:
        self.end: float = end
        self.amount: float = amount


class Window:
    """A limit over a sliding window of 60 seconds."""

    __slots__ = ("_newest", "_slots", "limit", "taken")

    def __init__(self, limit: float) -> None:
        self.limit: float = limit
        self.taken: float = 0.0
        """In the last 60 seconds, as of the last call."""
        self._slots: deque[Slot] = deque()
        self._newest = Slot(-math.inf, 0.0)

    def _expire(self, now: float) -> None:
        slots = self._slots
        while slots and slots[0].end + PERIOD <= now:  # as in wait(), to the last bit: 0 s to wait is gone
            self.taken -= slots.popleft().amount
        if not slots:
            self.taken = 0.0  # no rounding error outlives an empty window

    def wait(self, now: float, amount: float) -> float:
        """Return the seconds until *amount* may be taken, 0 if it may be now.

        More than the whole limit may be taken from an empty window only, so that a large request is not starved.
        """
        slots = self._slots
        if slots and slots[0].end + PERIOD <= now:
            self._expire(now)
        room = self.limit - self.taken
        if amount <= room or not slots:
            return 0.0
        for slot in slots:
            room += slot.amount
            if amount <= room:
                return slot.end + PERIOD - now
        return slots[-1].end + PERIOD - now

    def take(self, now: float, amount: float) -> Slot:
        """Take *amount* at *now*; the returned slot is for :meth:`settle`."""
        slot = self._newest
        if slot.end <= now:
            self._expire(now)
            slot = self._newest = Slot(now + SLOT, 0.0)
            self._slots.append(slot)
        slot.amount += amount
        self.taken += amount
        return slot

    def oldest(self, now: float) -> float:
        """Return the seconds until the first of what was taken is 60 seconds old, 0 if there is nothing."""
        self._expire(now)
        return self._slots[0].end + PERIOD - now if self._slots else 0.0

    def since(self, then: float) -> float:
        """Return what was taken since *then*, to a slot."""
        return sum(slot.amount for slot in self._slots if slot.end > then)

    def remember(self, now: float, age: float, amount: float) -> None:
        """Count *amount* that was taken *age* seconds before *now*; the oldest first, before anything is taken."""
        self._newest = Slot(now - age + SLOT, amount)
        self._slots.append(self._newest)
        self.taken += amount

    def settle(self, now: float, slot: Slot, difference: float) -> None:
        """Correct what was taken in *slot* by *difference*, once it is known what was really used."""
        slots = self._slots
        if slots and slots[0].end + PERIOD <= now:
            self._expire(now)
        if slots and slot.end >= slots[0].end:
            slot.amount += difference
            self.taken += difference


class Spacing:
    """Spreads the requests of a minute, because a limit of 3 000 a minute is often enforced as 50 a second.

    Smaller limits keep their bursts: fifty requests a second go at any limit, until the minute's are used up. The
    arithmetic is GCRA's: each request moves the time at which the next one is due.
    """

    __slots__ = ("_due", "interval", "per_minute", "tolerance")

    AT_ANY_LIMIT: ClassVar[int] = 50
    """Requests a second that go at any limit."""
    SLACK: ClassVar[float] = 1.03
    """The requests of a second arrive within less than a second when the network or the other side hesitates."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute: float = per_minute
        self.interval: float = min(1 / self.AT_ANY_LIMIT, PERIOD / per_minute) * self.SLACK
        """Seconds between two requests."""
        self.tolerance: float = max(0.02, (self.AT_ANY_LIMIT - per_minute / PERIOD) * self.interval)
        """Seconds that requests may come early, all together; late timers are made up for out of it."""
        self._due = -math.inf

    def tighten(self) -> None:
        """Spread evenly, without bursts: the gateway refused what the limit allowed."""
        self.interval, self.tolerance = PERIOD / self.per_minute * self.SLACK, 0.02

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may go, 0 if it may now."""
        wait = self._due - self.tolerance - now
        return wait if wait > 0 else 0.0

    def take(self, now: float) -> None:
        """Count a request at *now*."""
        self._due = (now if now > self._due else self._due) + self.interval  # noqa: FURB136 - for every request

    def give_back(self) -> None:
        """Count one less."""
        self._due -= self.interval


class Learned:
    """A limit per minute that nobody stated, learned from how long the gateway goes on refusing.

    A limiter of seconds takes the next request again after a short hold. One that counts over the minute refuses that
    one too: then what it granted in the last 60 seconds is its limit, and asking for no more spares both sides the
    refusals. The limit is doubted again, the more the longer nothing was refused.
    """

    __slots__ = ("_doubt", "_found", "_least", "_since", "granted")

    EVIDENCE: ClassVar[int] = 10
    """Requests that must have been granted: fewer may just have found what others left of the limit, unless it were
    as many in another minute."""
    FIRST_DOUBT: ClassVar[float] = 0.02
    """Share of itself by which the limit grows after a minute in which it was used up and nothing was refused."""

    def __init__(self) -> None:
        self.granted: Window = Window(math.inf)
        """Requests sent and not refused."""
        self._doubt = 0.0
        self._since = 0.0
        self._least: float = 10
        """What must have been granted."""
        self._found = (-math.inf, 0.0)
        """When fewer were, and how many."""

    def refused(self, now: float, *, proven: bool) -> None:
        """Take in a refusal; *proven*: the gateway has refused for so long that it counts over minutes."""
        known, taken = self.granted.limit < math.inf, self.granted.taken
        if not known and proven and 0 < taken < self.EVIDENCE and now - self._found[0] >= PERIOD:
            self._least = taken if abs(taken - self._found[1]) <= 1 else self.EVIDENCE
            self._found = now, taken
        if taken >= self._least and (known or proven):
            self.granted.limit = min(self.granted.limit, taken)
            self._doubt, self._since = self.FIRST_DOUBT, now + PERIOD

    def oldest(self, now: float) -> float:
        """Return the seconds until a limiter of minutes has room again for certain, 0 if nobody knows."""
        return self.granted.oldest(now)

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may go, 0 if it may now."""
        if self.granted.limit == math.inf:
            return 0.0
        wait = self.granted.wait(now, 1)
        if wait > 0 and now - self._since >= PERIOD:
            self.granted.limit += max(1.0, self.granted.limit * self._doubt)
            self._doubt, self._since = min(1.0, self._doubt * 2), now
            wait = self.granted.wait(now, 1)
        return wait
