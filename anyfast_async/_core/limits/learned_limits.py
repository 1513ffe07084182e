"""What a limiter that nobody has stated may be: a rate, or a number of requests in flight; for minutes see ``Learned``.

Each is believed as it was seen, and doubted while nothing is refused. Arithmetic on a given ``now``.
"""

from __future__ import annotations

import math
from typing import ClassVar


class Rate:
    """A rate of requests that a limiter was seen to grant. It grows while it is used up and nothing is refused."""

    __slots__ = ("_busy", "_due", "_growth", "_searching", "per_second", "scale")

    CAUTION: ClassVar[float] = 0.92
    """Share of what was measured that is asked for after a refusal."""
    SLOWEST_GROWTH: ClassVar[float] = 0.02
    """Per :attr:`scale`, after a refusal; it doubles every :data:`PATIENCE` of them without another."""
    PATIENCE: ClassVar[float] = 5.0
    PAUSE: ClassVar[float] = 3.0
    """Requests whose time is left out after a refusal: the limiter is empty."""

    def __init__(self, per_second: float, scale: float = 1.0) -> None:
        self.per_second: float = per_second
        self.scale: float = scale
        """Seconds over which the limiter counts, as far as is known."""
        self._growth = math.log(2)
        """Of itself per :attr:`scale`. As long as nothing was refused: to twice of it."""
        self._searching = True
        """Whether nothing was refused yet."""
        self._busy = 0.0
        self._due = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may go, 0 if it may now."""
        return max(0.0, self._due - now)

    def take(self, now: float) -> None:
        """Count a request at *now*."""
        interval = 1 / self.per_second
        if now - self._due < interval:  # it had to wait: the rate is used up
            passed = min(interval / self.scale, 1.0)
            self._busy += passed
            growth = min(self._growth * 2.0 ** min(self._busy / self.PATIENCE, 6), math.log(2))
            self.per_second *= math.exp(growth * passed)
        self._due = max(self._due, now - interval) + interval

    def refused(self, now: float, measured: float) -> None:
        """Take in that a request was refused, and what was granted a second since the refusal before."""
        if self._searching:  # it was below the limit most of the time, and is above it now
            measured = math.sqrt(measured * max(measured, self.per_second))
        self.per_second = self.CAUTION * min(measured, self.per_second)
        self._growth, self._busy, self._searching = self.SLOWEST_GROWTH, 0.0, False
        self._due = now + self.PAUSE / self.per_second


class Places:
    """A number of requests in flight that a limiter was seen to grant. One more is tried ever more rarely."""

    __slots__ = ("_left", "_rounds", "_wrong", "count", "sure")

    DOUBTS: ClassVar[int] = 2
    """Such refusals in a row that disprove the number; one may be a place that was not free yet."""
    MOST_ROUNDS: ClassVar[int] = 64

    def __init__(self, count: int) -> None:
        self.count: int = count
        self.sure: bool = False
        """Whether as many were answered since, and none refused."""
        self._left = count
        self._rounds = 1
        self._wrong = 0
        """Refusals of fewer than were granted before."""

    def answered(self, in_flight: int) -> None:
        """Take in an answer; *in_flight* is with the answered one."""
        if in_flight < self.count:
            return
        self._left -= 1
        if self._left <= 0:
            if self.sure:
                self.count += 1
            self.sure, self._wrong = True, 0
            self._rounds = min(self._rounds * 2, self.MOST_ROUNDS)
            self._left = self._rounds * self.count

    def refused(self, others: int) -> bool:
        """Take in a refusal while *others* were in flight; return whether it is this number that it is about."""
        self._wrong += others < self.count
        if self._wrong >= self.DOUBTS or not others:
            return False
        self.count = min(self.count, others)
        self._left = self._rounds * self.count
        return True
