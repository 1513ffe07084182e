"""How many requests a gateway takes at once, found by trying: the window of ``Limits(concurrency="auto")``.

Two things show that there are too many: refusals, and answers that take longer than they did when there were fewer. How
long an answer takes is the time to its first token where it is streamed, else the time for each token of it: the whole
time would grow with its length. What is long is measured against a *floor*, the mean of when there were fewer; single
answers say nothing.

The window begins small and doubles with each step as long as nothing gets slower. Then it holds its base, tries now
and then what is above (and goes on in larger steps if that is well), and now and then looks below, which keeps the
floor true. Answers that take r times the floor show that it is r times too large; a refusal shows one too many. What
does not get better with a smaller window was no fault of the window: then the floor has risen.

A step is counted in answers, so there is no clock. Those sent before it began do not count, and it takes as many as
their scatter demands. The numbers by which this was chosen, and those of the rules that lost, stand in
``benchmarks/experiments``.
"""

from __future__ import annotations

import math
from typing import ClassVar, Final, Literal

FIRST: Final = 0
"""Times to the first token."""
EACH: Final = 1
"""Times for each token of whole answers."""


Phase = Literal["at", "up", "down"]


class Signal:
    """One kind of times: their floor, and those of the step that goes on."""

    __slots__ = ("_squares", "_sum", "_units", "_variance", "_weight", "count", "floor")

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._units = self._squares = 0.0
        self.floor: float | None = None
        """Seconds that one takes when there are few."""
        self._weight = 0.0
        """Answers in it."""
        self._variance: float | None = None
        """Of single ones, relative to their mean."""

    def add(self, seconds: float, units: float) -> None:
        """Take in an answer."""
        self.count += 1
        self._sum += seconds
        self._units += units
        self._squares += seconds * seconds / units

    def begin(self) -> None:
        """Begin a step."""
        self.count = 0
        self._sum = self._units = self._squares = 0.0

    @property
    def mean(self) -> float:
        """Seconds that one takes in this step."""
        return self._sum / self._units

    @property
    def scatter(self) -> float:
        """The variance of single ones, relative to their mean."""
        found = max(0.0, self._squares / self._units / (self.mean * self.mean) - 1) if self._sum else 0.0
        return found if self._variance is None else (found + self._variance) / 2

    def end(self) -> tuple[float, float]:
        """Return how many times the floor one takes in this step, and the variance of that figure."""
        scatter = self.scatter
        before = self._variance
        if before is None or scatter > before:
            self._variance = scatter  # a tail is soon believed, and
        else:
            self._variance = before + 0.1 * (scatter - before)  # not soon forgotten
        if self.floor is None or not self.floor:
            self.learn(math.inf)
        floor = self.floor or 1.0
        return self.mean / floor, self._variance * (1 / self.count + 1 / self._weight)

    def learn(self, most: float) -> None:
        """Take this step into the floor, in which no more than the last *most* answers count."""
        self._weight = min(self._weight, most)
        both = self._weight + self.count
        self.floor = self.mean if self.floor is None else (self.floor * self._weight + self.mean * self.count) / both
        self._weight = both

    def rise(self) -> None:
        """Take what one takes in this step for the floor."""
        self.floor, self._weight = self.mean, float(self.count)


class AdaptiveWindow:
    """How many requests may be in flight."""

    __slots__ = (
        *("_answers", "_base", "_calm", "_first", "_growth", "_least", "_most", "_phase", "_signals", "_skip"),
        *("_step", "count", "slowed"),
    )

    sure: ClassVar[bool] = False
    """That it was found says nothing of a rate that the limiter may have, too."""
    UP: ClassVar[float] = 0.1
    """Share by which a try is above the base; it doubles while all is well."""
    DOWN: ClassVar[float] = 0.1
    """Share by which a look is below the base."""
    AIM: ClassVar[float] = 1.03
    """Times what was found that is aimed at: a place that waits for work costs more than a request that waits."""
    SLOWER: ClassVar[float] = 0.06
    """Share by which answers have to be slower to tell anything."""
    FAR: ClassVar[float] = 0.3
    """The same for a limiter that refuses, so that it has no queue; and for a large step down."""
    CERTAIN: ClassVar[float] = 1.5
    """Standard errors that are no chance."""
    FEWEST: ClassVar[int] = 8
    """Answers in a step."""
    ENOUGH: ClassVar[int] = 64
    """Answers that a step takes at most, or as many as are in flight if those are more."""
    CYCLE: ClassVar[tuple[Phase, ...]] = (
        *("up", "down", "at", "at", "up", "at", "at", "at"),
        *("up", "down", "at", "at", "up", "at", "at", "at"),
    )
    """What comes after another; a small window, of which one is much, looks down half as often."""
    FEW: ClassVar[int] = 3
    """Requests in flight of which none can be spared to look down."""
    CALM: ClassVar[int] = 16
    """Steps without a refusal after which the limiter is not one that refuses."""

    def __init__(self, start: int, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._signals = (Signal(), Signal())
        self._phase: Phase | Literal["start"] = "start"
        self._base = float(start)
        self._growth = self.UP
        self._step = 0
        self._calm = self.CALM
        """Steps since the last refusal."""
        self._first: tuple[int, int, float] | None = None
        """The window when it began to shrink; the window when answers were slowest since, and how slow."""
        self._skip = self._answers = 0
        self.count: int = start
        self.slowed: float = 1.0
        """How many times the floor answers took in the last step."""
        self._set(start)

    def _set(self, wanted: float) -> None:
        before = self.count
        self.count = round(min(max(self._least, wanted), self._most))
        self._skip = max(before, self.count)  # those that are in flight
        self._answers = 0
        for signal in self._signals:
            signal.begin()

    def answered(self, in_flight: int, kind: int, seconds: float, units: float) -> None:
        """Take in an answer that took *seconds* for *units*; *in_flight* is with the answered one."""
        if in_flight < self.count or units <= 0:
            return  # a window that is not full says nothing
        if self._skip:
            self._skip -= 1
            return
        self._answers += 1
        self._signals[kind].add(seconds, units)
        if self._answers >= max(self.count, self.FEWEST):
            scatter = max(signal.scatter for signal in self._signals if signal.count)
            if self._answers >= min(max(self.count, self.ENOUGH), scatter / 0.005):
                self._end()

    def refused(self, places: int = 1) -> None:
        """Take in that a request was refused while others were in flight: so many were too many, a quarter at most."""
        self._calm = 0
        trying = self._phase in {"start", "up"}
        fewer = min(places, max(1, self.count // 4))
        self._base = max(self._least, (self.count if trying else self._base) - fewer)
        self._go("at")

    # -- the end of a step -------------------------------------------------------------------------------------------

    def _end(self) -> None:
        heard = [signal for signal in self._signals if signal.count]
        found = [(signal.count / self._answers, *signal.end()) for signal in heard]
        slower = sum(share * times for share, times, _ in found)
        chance = self.CERTAIN * math.sqrt(sum(share * share * variance for share, _, variance in found))
        self.slowed = slower
        self._calm += 1
        far = 1 + self.FAR + chance
        allowed = 1 + max(self.SLOWER, chance) if self._calm >= self.CALM else far
        if self._phase == "start":
            self._started(heard, slower, allowed=1.2 + chance / self.CERTAIN)
        elif self._phase == "up":
            self._tried(slower, allowed)
        elif slower > (far if self._phase == "down" else allowed):
            self._shrink(heard, slower, is_far=slower > far)
        else:
            self._first = None
            if self._phase == "down":
                for signal in heard:
                    signal.learn(max(128, 4 * self.count))
            self._next()

    def _started(self, heard: list[Signal], slower: float, allowed: float) -> None:
        if slower > allowed:
            self._base = max(self.count / 2, self.AIM * self.count / slower)
            self._go("at")
            return
        for signal in heard:
            signal.learn(math.inf)
        self._base = self.count
        if self.count >= self._most:
            self._go("at")
        else:
            self._set(self.count * 2)

    def _tried(self, slower: float, allowed: float) -> None:
        """Go on from a try: to a larger one, or back with what it has shown."""
        self._first = None
        if slower <= allowed and self.count < self._most:
            self._base = self.count
            self._growth = min(1.0, self._growth * 2)
            self._set(max(self.count * (1 + self._growth), self.count + 1))
            return
        self._base = max(self._base, min(self.AIM * self.count / slower, self.count))
        self._next()

    def _shrink(self, heard: list[Signal], slower: float, *, is_far: bool) -> None:
        """Make the window smaller, unless that has not helped so far."""
        began, worst, was = self._first or (self.count, self.count, 0.0)
        if slower > 1.1 * was:
            self._first = began, self.count, slower
        elif self.count <= 0.75 * worst and slower > was * (self.count / worst) ** 0.35:
            for signal in heard:
                signal.rise()
            self._base, self._first = began, None
            self._go("at")
            return
        # A queue in front of the first token makes that many times slower: one step down is not to be too large.
        sharp = self._signals[FIRST].count > 0
        least = (0.8 if sharp else 0.5) if is_far else 0.9
        self._base = max(self.AIM * self.count / slower, least * self.count)
        if is_far:
            self._step = 3  # as soon as it is well again, the next is a try
            self._go("at")
        else:
            self._next()

    def _next(self) -> None:
        step = self._step = (self._step + 1) % len(self.CYCLE)
        wanted = self.CYCLE[step]
        few = self.count < self.FEWEST
        if wanted == "down" and (self._calm < self.CALM or (few and step == 1) or self.count <= self.FEW):
            wanted = "at"
        self._go(wanted)

    def _go(self, phase: Phase) -> None:
        self._phase = phase
        if phase == "at":
            self._growth = self.UP
            self._set(self._base)
        elif phase == "up":
            self._set(max(self._base * (1 + self._growth), self._base + 1))
        else:
            self._set(min(self._base * (1 - self.DOWN), self._base - 1))
