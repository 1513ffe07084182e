"""How long the answers of a gateway take, step by step, and what they take when there are few: with chance taken off.

A floor that is measured by a few answers is no surer than they are, and what is rare among them may not have come yet.
So each figure has its variance, which grows when more scatter is seen than was known when it was measured.
"""

from __future__ import annotations

import math
from operator import mul, truediv
from typing import ClassVar, Final

STEADY: Final = 0.0001
"""Variance that any step has beside chance."""


class Tracked:
    """The logarithm of a figure that is seen again and again, with chance."""

    __slots__ = ("value", "variance")

    JUMP: ClassVar[float] = 2.5
    """Standard errors that are no chance."""
    LEAST: ClassVar[float] = 0.1
    """What is no jump, however sure."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.variance = math.inf

    def see(self, found: float, variance: float, drift: float) -> float:
        """Take in what was *found*; return how far it has jumped, 0 if it may be chance."""
        if self.value is None:
            self.value, self.variance = found, variance
            return 0.0
        self.variance += drift
        off = found - self.value
        if abs(off) > self.LEAST and off * off > self.JUMP**2 * (self.variance + variance):
            self.value, self.variance = found, variance
            return off
        gain = self.variance / (self.variance + variance)
        self.value += gain * off
        self.variance *= 1 - gain
        return 0.0


class Signal:
    """One kind of times: their floor, and those of the step that goes on."""

    __slots__ = ("_behind", "_scatter", "floor", "seconds", "surprise", "units", "variance")

    DRIFT: ClassVar[float] = 0.0001
    """Variance that the floor gains from one look to the next."""
    DOUBT: ClassVar[float] = 0.1
    """Or this share of the variance of a step beyond the usual, if that is more: a floor that chance has put too low
    would close the window step by step, and below what the gateway takes nothing contradicts it."""
    LITTLE: ClassVar[float] = 0.01
    """Variance of a step that is usual."""
    EXACT: ClassVar[float] = 0.005
    """Variance of a step for which no more answers are waited."""
    SURPRISE: ClassVar[float] = 4.0
    """Times the scatter that was known before: so much was not seen then."""
    SMALL: ClassVar[float] = 0.05
    """Scatter that any answers may have."""
    ENOUGH: ClassVar[int] = 8
    """Of them, to say that nothing has changed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        """What each answer of this step took; reckoned once for all of them."""
        self.units: list[float] = []
        self.floor = Tracked()
        """The logarithm of the seconds that one takes when there are few."""
        self._scatter: float | None = None
        """Variance of single ones, relative to their mean."""
        self.surprise = 1.0
        """How many times less sure those before were than was thought, if the step which ended last has shown far more
        scatter: they knew no slow answer."""
        self._behind = 0
        """Answers in the step before."""
        self.variance = STEADY
        """That of the step which ended last."""

    def begin(self) -> None:
        """Begin a step."""
        self.seconds.clear()
        self.units.clear()

    @property
    def count(self) -> int:
        """Answers in this step."""
        return len(self.units)

    @property
    def scatter(self) -> float:
        """The variance of single ones, relative to their mean."""
        seconds, units = self.seconds, self.units
        taken, of = sum(seconds), sum(units)
        squares = sum(map(truediv, map(mul, seconds, seconds), units))
        found = max(0.0, squares * of / (taken * taken) - 1) if taken else 0.0
        before = self._scatter
        if before is None:
            return found
        if found <= self.SURPRISE * (before + self.SMALL):
            return (found + before) / 2
        count = self.count
        return (count * found + self._behind * before) / (count + self._behind)

    def end(self) -> float:
        """End a step; return the logarithm of how many times the floor one takes in it, 0 before there is one."""
        scatter, before = self.scatter, self._scatter
        self.surprise = 1.0
        if before is not None and scatter > self.SURPRISE * (before + self.SMALL):
            self.surprise = (scatter / self._behind + STEADY) / (before / self._behind + STEADY)
        # A tail is soon believed, and not soon forgotten.
        self._scatter = scatter if before is None or scatter > before else before + 0.1 * (scatter - before)
        # The floor is no surer than its answers would be with the scatter that is known now.
        self.floor.variance *= self.surprise
        self._behind = self.count
        self.variance = self._scatter / self.count + STEADY
        return 0.0 if self.floor.value is None else self.taken - self.floor.value

    @property
    def taken(self) -> float:
        """The logarithm of the seconds that one takes in this step."""
        return math.log(max(1e-9, sum(self.seconds) / sum(self.units)))

    @property
    def is_usual(self) -> bool:
        """Whether this step has shown that one takes no longer than the floor."""
        if self.floor.value is None or self.count < self.ENOUGH:
            return False
        return self.taken - self.floor.value < Tracked.LEAST - math.sqrt(self.variance + self.floor.variance)

    def look(self, drift: float) -> None:
        """Take this step into the floor."""
        if drift:
            drift = max(drift, self.DOUBT * (self.variance - self.LITTLE))
        self.floor.see(self.taken, self.variance, drift)
