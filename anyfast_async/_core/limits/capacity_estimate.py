"""How many requests a gateway takes at once, and how long it takes for one: what many steps of answers say of both.

For every capacity that a gateway may have it is kept how likely that is, and how long one answer would take then. A
step with no more in flight than are taken shows that time, one with n times as many shows n times as much. So each step
counts for what it can tell: one with few in flight cannot say that more would be too many, only that the time of an
answer was believed too short. With capacity and time each averaged by itself, a time believed too short would close the
window step by step, and below what the gateway takes nothing would contradict it.

Both may change at any moment, so before each step a part of the likelihood moves on to other capacities.
"""

from __future__ import annotations

import math
from typing import ClassVar


class CapacityEstimate:
    """The likelihood of each capacity, and the logarithm of the seconds of an answer that goes with it."""

    __slots__ = ("_capacities", "_floors", "_likely", "_variances")

    APART: ClassVar[float] = 0.1
    """Logarithm of one capacity over the one before."""
    OPTIMISM: ClassVar[float] = 1.0
    """Power of a capacity to which it is likely, before anything is known."""
    CHANGES: ClassVar[float] = 0.03
    """Part of the likelihood that moves on with each round of answers, and the most that does with a step."""
    MOST_CHANGES: ClassVar[float] = 0.3
    REACH: ClassVar[float] = 0.5
    """How far it moves on the average, as a logarithm."""
    DRIFT: ClassVar[float] = 0.0001
    """Variance that the time of an answer gains from one step to the next."""
    OTHERWISE: ClassVar[float] = 0.01
    """How likely it is that the time of an answer has changed for another reason since the last step."""
    OTHER: ClassVar[float] = 0.25
    """Variance of the logarithm of such a change."""
    NEVER: ClassVar[float] = 1e-12
    """What is no less likely than this, whatever was seen."""

    def __init__(self, least: int, most: int) -> None:
        low, high = math.log(least), math.log(most)
        parts = math.ceil((high - low) / self.APART)
        self._capacities = [low + (high - low) * part / max(1, parts) for part in range(parts + 1)]
        """Logarithms."""
        self._likely: list[float] = []
        self._floors: list[float] = []
        self._variances: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Forget all that was seen."""
        self._likely = _normal([math.exp(self.OPTIMISM * capacity) for capacity in self._capacities])
        self._floors.clear()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was seen."""
        return not self._floors

    @property
    def floor(self) -> float:
        """The logarithm of the seconds of an answer while no more are in flight than are taken."""
        return sum(likely * floor for likely, floor in zip(self._likely, self._floors, strict=True))

    @property
    def variance(self) -> float:
        """That of :attr:`floor`."""
        mean, parts = self.floor, zip(self._likely, self._floors, self._variances, strict=True)
        return sum(likely * (variance + (floor - mean) ** 2) for likely, floor, variance in parts)

    def quantile(self, share: float) -> float:
        """Return the capacity below which it is with a probability of *share*."""
        below = 0.0
        for likely, capacity in zip(self._likely, self._capacities, strict=True):
            if below + likely >= share:
                return math.exp(capacity + self.APART * ((share - below) / likely - 0.5))
            below += likely
        return math.exp(self._capacities[-1])

    def see(self, count: int, taken: float, variance: float, rounds: float) -> None:
        """Take in a step.

        Args:
            count: requests in flight.
            taken: logarithm of the mean seconds of an answer.
            variance: that of *taken*, by chance.
            rounds: answers for each of those in flight since the step before.

        """
        queued = [max(0.0, math.log(count) - capacity) for capacity in self._capacities]
        if not self._floors:
            self._floors = [taken - longer for longer in queued]
            self._variances = [variance] * len(queued)
            return
        self._move(min(self.MOST_CHANGES, self.CHANGES * rounds))
        variance += self.APART**2 / 12
        floors, variances, likely = self._floors, self._variances, self._likely
        usual, other = 1 - self.OTHERWISE, self.OTHERWISE
        for at, longer in enumerate(queued):
            off = taken - floors[at] - longer
            before = variances[at] + self.DRIFT
            wide = before + self.OTHER
            as_before = usual * math.exp(-0.5 * off * off / (before + variance)) / math.sqrt(before + variance)
            changed = other * math.exp(-0.5 * off * off / (wide + variance)) / math.sqrt(wide + variance)
            both = as_before + changed + self.NEVER
            near, far = before / (before + variance), wide / (wide + variance)
            moved = off * (as_before * near + changed * far) / both
            variances[at] = (
                as_before * ((1 - near) * before + (near * off - moved) ** 2)
                + changed * ((1 - far) * wide + (far * off - moved) ** 2)
            ) / both + self.NEVER
            floors[at] += moved
            likely[at] *= both
        self._likely = _normal(likely)

    def _move(self, part: float) -> None:
        """Let a part of the likelihood move on, up and down, with what goes with it."""
        kept = math.exp(-self.APART / self.REACH)
        moved = part * (1 - kept) / (1 + kept)
        parts = zip(self._likely, self._floors, self._variances, strict=True)
        before = [(likely, likely * floor, likely * (variance + floor * floor)) for likely, floor, variance in parts]
        after = [[(1 - part + moved) * figure for figure in figures] for figures in before]
        for order in (range(len(before)), range(len(before) - 1, -1, -1)):
            likely = floor = square = 0.0
            for at in order:
                sums, own = after[at], before[at]
                sums[0] += moved * likely
                sums[1] += moved * floor
                sums[2] += moved * square
                likely, floor, square = kept * (likely + own[0]), kept * (floor + own[1]), kept * (square + own[2])
        self._likely = [max(likely, 1e-300) for likely, _, _ in after]
        self._floors = [floor / likely for likely, (_, floor, _) in zip(self._likely, after, strict=True)]
        self._variances = [
            max(self.NEVER, square / likely - floor * floor)
            for likely, floor, (_, _, square) in zip(self._likely, self._floors, after, strict=True)
        ]

    def doubt(self, times: float) -> None:
        """Believe what was seen as if it had had so many *times* the variance."""
        self._variances = [variance * times for variance in self._variances]
        self._likely = _normal([likely ** (1 / times) for likely in self._likely])

    def slower(self, count: int, taken: float, variance: float) -> None:
        """Take in a step in which answers were slower for another reason: as many are taken as before."""
        self._floors = [taken - max(0.0, math.log(count) - capacity) for capacity in self._capacities]
        self._variances = [variance] * len(self._floors)

    def is_at(self, capacity: float) -> None:
        """Take in that it is known by other means."""
        if self._floors:
            floor, variance = self.floor, self.variance
            self._floors, self._variances = [floor] * len(self._floors), [variance] * len(self._floors)
        off = [(math.log(capacity) - one) / self.APART for one in self._capacities]
        self._likely = _normal([math.exp(-0.5 * one * one) + self.NEVER for one in off])


def _normal(likely: list[float]) -> list[float]:
    """Return likelihoods of which the sum is 1."""
    whole = sum(likely)
    return [one / whole for one in likely]
