"""How many retries there may be: a share of the first attempts, plus one a second."""

from __future__ import annotations


class RetryBudget:
    """Retries allowed over a whole client: a share of first attempts plus one a second.

    So an outage is not multiplied. The shape is Finagle's RetryBudget.

    Args:
        ratio: the share.
        per_second: retries that are earned in a second.
        reserve: what may be saved up: a burst of this many retries is always possible.

    """

    __slots__ = ("_at", "_most", "_saved", "per_second", "ratio", "reserve", "uncounted")

    def __init__(self, ratio: float, per_second: float = 1.0, reserve: float = 10.0) -> None:
        self.ratio: float = ratio
        self.per_second: float = per_second
        self.reserve: float = reserve
        self._saved = reserve
        self._most = max(reserve, 1000 * ratio)
        self._at: float | None = None
        self.uncounted: int = 0
        """First attempts that were made since a retry was last asked for: each earns its share of one."""

    def withdraw(self, now: float) -> bool:
        """Take one retry out at *now*; False if there is none."""
        if self.uncounted:
            # Ten seconds' worth of earnings at most, as in Finagle: an hour of success must not buy a storm.
            saved = self._saved + self.ratio * self.uncounted
            self._saved, self.uncounted = min(self._most, saved), 0
        if self._at is not None and now > self._at and self._saved < self.reserve:
            self._saved = min(self.reserve, self._saved + (now - self._at) * self.per_second)
        self._at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
