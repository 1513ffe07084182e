"""How many requests a gateway takes at once, found by trying: the window of ``Limits(concurrency="auto")``.

Two things show that there are too many: refusals, and answers that take longer than they did when there were fewer. How
long an answer takes is the time for each token of it: the whole time would grow with its length. For streams it may be
the reader who takes it; so if their first tokens come as soon as when there were few, it is not the gateway.

A gateway that takes C at once answers within a *floor* as long as there are no more than C, and takes n / C of it when
there are n. Steps of answers with more, as many and fewer in flight tell both together (``capacity_estimate``): *down*
steps tell a gateway that has got slower from one that is fuller, *up* steps show that more would go, and go on in
larger ones while all is well. A window that is a fifth too large makes answers wait; one that is a fifth too small
loses as many of them, and cannot show it. So it is aimed at a capacity that is hardly too small: the less is sure, the
more are in flight. A refusal shows one too many.

A step is counted in answers, so there is no clock. It begins when those that were sent before have ended: quick answers
come first, and a step without slow ones would be taken for a fast gateway. It takes as many answers as their scatter
demands. The numbers by which this was chosen, and those of the rules that lost, stand in ``benchmarks/experiments``.
"""

from __future__ import annotations

import math
from typing import ClassVar, Final, Literal

from anyfast_async._core.limits.answer_times import Signal, Tracked
from anyfast_async._core.limits.capacity_estimate import CapacityEstimate

FIRST: Final = 0
"""Times to the first token."""
EACH: Final = 1
"""Times for each token of whole answers."""

Phase = Literal["start", "at", "up", "down"]


class AdaptiveWindow:
    """How many requests may be in flight."""

    __slots__ = (
        *("_apart", "_calm", "_due", "_estimate", "_firsts", "_granted", "_growth", "_least", "_left", "_most"),
        *("_newest", "_older", "_phase", "_plan", "_rounds", "_times", "count", "heard", "slowed"),
    )

    sure: ClassVar[bool] = False
    """That it was found says nothing of a rate that the limiter may have, too."""
    AIM: ClassVar[float] = 0.85
    """Probability that no more are taken than are aimed at: a place that waits for work costs more than a request that
    waits."""
    FAR_OUT: ClassVar[float] = 2.0
    """Times what is as likely too much as too little, which is aimed at at most."""
    TRY: ClassVar[float] = 0.9
    """Probability that no more are taken than are tried."""
    UP: ClassVar[tuple[float, float]] = (0.06, 0.25)
    """Share by which a try is above what was found, at least and (where answers scatter) at most; it doubles while all
    is well."""
    UP_REFUSING: ClassVar[float] = 0.1
    """The same for a limiter that refuses."""
    DOWN: ClassVar[float] = 0.2
    """Share by which a look is below it."""
    FAR: ClassVar[float] = 0.3
    """Logarithm of the times that answers take longer at least to tell anything of a limiter that refuses: it has no
    queue."""
    FEWEST: ClassVar[int] = 12
    """Answers in a step."""
    ENOUGH: ClassVar[int] = 64
    """Answers that a step takes at most, or more if so many are in flight."""
    MOST_ROUNDS: ClassVar[int] = 6
    """Answers for each of those in flight that a step takes at most if those are more."""
    ROUNDS: ClassVar[dict[Phase, int]] = {"start": 3, "up": 1}
    """The same where more are tried than were before: for as short as may be, in case they are too many."""
    SETTLED: ClassVar[float] = 0.01
    """Variance of a floor that is looked at more and more rarely."""
    SKIPPED: ClassVar[int] = 8
    """Answers for each of those in flight, after which no longer is waited for the older ones."""
    FEW: ClassVar[float] = 3.5
    """Requests in flight of which none can be spared to look down, if nothing has changed."""
    CALM: ClassVar[int] = 16
    """Steps without a refusal after which the limiter is not one that refuses."""
    AFTER: ClassVar[tuple[Phase, ...]] = ("at", "down", "at", "up")
    """What comes after a jump, or when a look is due."""
    USUAL: ClassVar[tuple[Phase, ...]] = ("at", "at", "at", "up")

    def __init__(self, start: int, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._times, self._firsts = Signal(), Signal()
        self._phase: Phase = "start"
        self._estimate = CapacityEstimate(least, most)
        self._granted: float = start
        """What a limiter that refuses takes at once."""
        self._growth = self.UP[0]
        self._plan: list[Phase] = []
        self._rounds = 0
        """Plans since the last look down."""
        self._apart = 2
        """Plans from one look to the next."""
        self._calm = self.CALM
        """Steps since the last refusal."""
        self._newest: int | None = None
        """The number of the last request that was sent before the step began; None while nothing was answered since."""
        self._older = self._due = 0
        self._left = 0
        """Answers after which it is looked whether the step has enough of them."""
        self.heard: int = 0
        """The number of the last request that was sent before an answer told how long it took."""
        self.count: int = start
        self.slowed: float = 1.0
        """How many times the floor answers took in the last step."""
        self._set(start, anew=True)

    def grows(self, newest: int) -> bool:
        """Whether it gets ever larger, as nothing has shown yet how many would be too many.

        Not once the answers that came of the last requests have told nothing; *newest*: the number of the last one.
        """
        if self.count >= self._most or not 0 <= newest - self.heard <= self.SKIPPED * self.count:
            return False
        return self._phase == "start" or (self._phase == "up" and self._growth > self.UP[1])

    @property
    def _takes(self) -> float:
        """How many it takes at once, as far as is known: rather too many than too few."""
        if self._calm < self.CALM:
            return self._granted
        estimate = self._estimate
        found = min(estimate.quantile(self.AIM), self.FAR_OUT * estimate.quantile(0.5))
        return min(max(self._least, found), self._most)

    def _set(self, wanted: float, *, anew: bool = False) -> None:
        before = self.count
        self.count = round(min(max(self._least, wanted), self._most))
        self._times.begin()
        self._firsts.begin()
        self._left = max(self.count, min(self.FEWEST, 6 * self.count))
        if anew or self.count != before:
            self._newest, self._older = None, 1

    def answered(  # noqa: PLR0917 - for every answer
        self, in_flight: int, kind: int, seconds: float, units: float, number: int, newest: int
    ) -> None:
        """Take in an answer that took *seconds* for *units*.

        Args:
            in_flight: how many there are, with the answered one.
            kind: :data:`FIRST` or :data:`EACH`.
            seconds: from its admission on.
            units: tokens of the answer; 1 for a first token.
            number: its place among all requests.
            newest: the number of the one that was sent last.

        """
        if in_flight < self.count or units <= 0:
            return  # a window that is not full says nothing
        if kind == FIRST:
            if self._older <= 0:
                self._firsts.seconds.append(seconds)
                self._firsts.units.append(units)
            return
        self.heard = newest
        if self._older > 0:
            if self._newest is None:
                self._newest, self._older, self._due = newest, in_flight, self.SKIPPED * in_flight
            self._due -= 1
            self._older -= number <= self._newest
            if self._due <= 0:
                self._older = 0
            return
        times = self._times
        times.seconds.append(seconds)
        times.units.append(units)
        self._left -= 1
        if self._left <= 0:
            self._weigh()

    def _weigh(self) -> None:
        """End the step, or wait for half of the answers that seem to be missing."""
        times, most = self._times, self.count * self.ROUNDS.get(self._phase, self.MOST_ROUNDS)
        missing = min(max(most, self.ENOUGH), times.scatter / times.EXACT) - times.count
        if missing > 0:
            self._left = math.ceil(missing / 2)
        else:
            self._end()

    def refused(self, places: int = 1) -> None:
        """Take in that a request was refused while others were in flight: so many were too many, a quarter at most."""
        known = self.count if self._phase in {"start", "up"} else self._takes
        self._calm = 0
        self._grants(known - min(places, max(1, self.count // 4)))
        self._plan = ["at", *self.USUAL]
        self._go("at", anew=True)

    def _grants(self, count: float) -> None:
        self._granted = min(max(self._least, count), self._most)
        self._estimate.is_at(self._granted)

    # -- the end of a step -------------------------------------------------------------------------------------------

    def _end(self) -> None:
        times, firsts, estimate = self._times, self._firsts, self._estimate
        times.end()
        if firsts.count:
            firsts.end()
            if self._phase in {"start", "down"} or self.count <= self._least:
                firsts.look(Signal.DRIFT)
        self._calm += 1
        if times.surprise > 1 and self._phase == "start":  # a dozen quick answers were no floor
            estimate.begin()
        elif times.surprise > 1:
            estimate.doubt(times.surprise)
        has_room = self._calmly() if self._calm >= self.CALM else self._refusing()
        self.slowed = math.exp(times.taken - estimate.floor)
        if self._phase == "down":
            self._rounds = 0
            self._apart = min(8, self._apart * 2)
        if estimate.variance >= self.SETTLED:
            self._apart = 2
        if not has_room or self.count >= self._most:
            if self._phase == "start":
                self._plan = [*self.AFTER]
            self._next()
        else:
            self._try_more()

    def _try_more(self) -> None:
        """Go up further at once."""
        if self._phase == "start":
            self._set(self.count * 2)
            return
        self._growth = min(1.0, self._growth * 2)
        more = self.count * (1 + self._growth)
        if self._calm >= self.CALM:
            more = min(more, self._estimate.quantile(self.TRY))
        self._set(max(more, self.count + 1))

    def _calmly(self) -> bool:
        """Take in a step; return whether more than as many were tried are worth a try at once."""
        times, estimate, count = self._times, self._estimate, self.count
        full = max(0.0, math.log(count / estimate.quantile(0.5)))
        if not estimate.is_empty and self._firsts.is_usual:
            longer = times.taken - estimate.floor
            if longer - full > Tracked.LEAST + 2 * math.sqrt(times.variance):
                estimate.slower(count, times.taken, times.variance)
                return False
        estimate.see(count, times.taken, times.variance, 1 + times.count / count)
        if self._phase == "start":
            return estimate.quantile(0.75) > 1.4 * count
        return self._phase == "up" and self._takes >= count

    def _refusing(self) -> bool:
        """The same for a limiter that refuses: it has no queue."""
        times, estimate = self._times, self._estimate
        if estimate.is_empty or self._phase == "down":
            estimate.see(self.count, times.taken, times.variance, 1)
        longer = times.taken - estimate.floor
        if self._phase == "up" and longer < self.FAR + 2 * math.sqrt(times.variance + estimate.variance):
            self._grants(self.count)
            return True
        if self._phase != "down" and longer > self.FAR + 2 * math.sqrt(times.variance):
            estimate.see(self.count, times.taken, times.variance, 1)
            self._granted = min(max(self._least, estimate.quantile(0.5)), self._most)
            if self._plan[:1] != ["down"]:
                self._plan = [*self.AFTER]
        return False

    def _next(self) -> None:
        if not self._plan:
            self._rounds += 1
            apart = self._apart if self._takes >= self.FEWEST - 4 else 2 * self._apart
            is_due = self._rounds >= apart and self._calm >= self.CALM and self._takes > self.FEW
            self._plan = [*(self.AFTER if is_due else self.USUAL)]
        wanted = self._plan.pop(0)
        self._go("at" if wanted == "down" and round(self._takes) <= self._least else wanted)

    def _go(self, phase: Phase, *, anew: bool = False) -> None:
        self._phase = phase
        takes, is_calm = self._takes, self._calm >= self.CALM
        at = math.floor(takes) if is_calm else round(takes)
        if phase == "at":
            self._set(at, anew=anew)
        elif phase == "up":
            more = self._estimate.quantile(self.TRY) / takes - 1
            self._growth = min(self.UP[1], max(self.UP[0], more)) if is_calm else self.UP_REFUSING
            self._set(max(takes * (1 + self._growth), at + 1), anew=anew)
        else:
            self._set(min(takes * (1 - self.DOWN), round(takes) - 1), anew=anew)
