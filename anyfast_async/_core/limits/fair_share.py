"""Which lane goes next, and what it is charged: start-time fair queueing between lanes, tokens as its unit.

Each lane has a *tag*, the virtual time at which its next call is due; what a call takes, over the weight of its lane,
moves it on. The lane with the least tag goes next. A lane that was idle begins at the virtual time of now, so nobody
saves up for later, and the first call of a quiet lane goes before all that wait in busy ones (Goyal, Vin and Cheng,
"Start-time fair queueing", SIGCOMM 1996). Deficit round robin was tried, too; its numbers stand in
``benchmarks/experiments``.

Lanes of a more urgent priority go before all others, but never take everything: while somebody less urgent could go,
each priority below is owed a :data:`LEAST_SHARE` of what goes.

Nobody knows what a call will take. It is charged what those of its lane took on the average, and the difference as soon
as it is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LEAST_SHARE: Final = 0.1
"""Share of the tokens that a priority gets at least while it waits, whatever is more urgent."""
ASSUMED: Final = 1000.0
"""Tokens of a call of which nothing is known; as good as any, as long as it is the same for all lanes."""
KEPT: Final = 0.1
"""Weight of the newest call in the average of a lane."""


class Share:
    """What one lane has had."""

    __slots__ = ("mean", "priority", "tag", "weight")

    def __init__(self, weight: float = 1.0, priority: int = 0) -> None:
        self.weight: float = weight
        self.priority: int = priority
        """0 goes first."""
        self.tag: float = 0.0
        self.mean: float | None = None
        """Tokens that its calls take on the average, None while nothing is known."""

    @property
    def likely(self) -> float:
        """Tokens that its next call is likely to take."""
        return ASSUMED if self.mean is None else self.mean

    def learn(self, used: float) -> None:
        """Take in what a call has taken."""
        self.mean = used if self.mean is None else self.mean + KEPT * (used - self.mean)

    def correct(self, charged: float, used: float) -> None:
        """Put what a call has taken in place of what it was *charged*."""
        self.tag += (used - charged) / self.weight


class FairShares:
    """The order between the lanes of one client."""

    __slots__ = ("_owed", "_virtual")

    def __init__(self) -> None:
        self._virtual: dict[int, float] = {}
        """Virtual time, by priority."""
        self._owed: dict[int, float] = {}
        """Tokens that a priority may take before more urgent ones."""

    def wakes(self, share: Share) -> None:
        """Take in that a lane that had nobody to send has somebody now."""
        share.tag = max(share.tag, self._virtual.get(share.priority, 0.0))

    def first(self, ready: Iterable[Share]) -> Share:
        """Return whose turn it is among those that have somebody to send, of whom there is one at least."""
        best: dict[int, Share] = {}
        for share in ready:
            other = best.get(share.priority)
            if other is None or share.tag < other.tag:
                best[share.priority] = share
        urgent = min(best)
        if len(best) > 1:
            for priority in sorted(best)[1:]:
                if self._owed.get(priority, 0.0) >= best[priority].likely:
                    return best[priority]
        return best[urgent]

    def charge(self, share: Share, tokens: float, ready: Iterable[Share]) -> None:
        """Charge a lane for a call that goes; *ready* are the lanes that had somebody to send."""
        self._virtual[share.priority] = share.tag
        share.tag += tokens / share.weight
        waiting = {other.priority for other in ready}
        for priority in [*self._owed]:
            if priority not in waiting:
                del self._owed[priority]  # nobody is owed what nobody waited for
        for priority in waiting:
            if priority > share.priority:
                owed = self._owed.get(priority, 0.0)
                self._owed[priority] = owed + tokens * LEAST_SHARE / (1 - LEAST_SHARE)
        if share.priority in self._owed:
            self._owed[share.priority] = max(0.0, self._owed[share.priority] - tokens)
