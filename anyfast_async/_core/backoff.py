"""When is a failed attempt made again, and how many may be? Arithmetic.

The time and random numbers are arguments. What a failure means stands in ``verdicts.py``, how long a server asks to
wait in ``delay.py``, how long the limiter holds in ``throttle.py``.
"""

from __future__ import annotations

from anyfast_async.policies import RetryPolicy


def backoff(policy: RetryPolicy, failures: int, asked: float | None, rand: float) -> float:
    """Return the seconds to wait after the *failures*-th failure (from 1): exponential, half of it random.

    A delay that the server asks for is a lower bound, times 1 to 1.1.
    """
    first, longest = policy.backoff
    ours = min(longest, first * 2.0 ** min(failures - 1, 32)) * (0.5 + 0.5 * rand)
    return ours if asked is None else max(ours, asked * (1 + 0.1 * rand))


class RetryBudget:
    """Retries allowed over a whole client: a share of first attempts plus one a second.

    So an outage is not multiplied. The shape is Finagle's RetryBudget.

    Args:
        ratio: the share.
        per_second: retries that are earned in a second.
        reserve: what may be saved up: a burst of this many retries is always possible.

    """

    __slots__ = ("_at", "_most", "_saved", "per_second", "ratio", "reserve")

    def __init__(self, ratio: float, per_second: float = 1.0, reserve: float = 10.0) -> None:
        self.ratio: float = ratio
        self.per_second: float = per_second
        self.reserve: float = reserve
        self._saved = reserve
        self._most = max(reserve, 1000 * ratio)
        self._at: float | None = None

    def first_attempt(self) -> None:
        """Count a call: it earns its share of a retry."""
        # Ten seconds' worth of earnings at most, as in Finagle: an hour of success must not buy a storm.
        saved = self._saved + self.ratio
        self._saved = min(self._most, saved)

    def withdraw(self, now: float) -> bool:
        """Take one retry out at *now*; False if there is none."""
        if self._at is not None and now > self._at and self._saved < self.reserve:
            self._saved = min(self.reserve, self._saved + (now - self._at) * self.per_second)
        self._at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
