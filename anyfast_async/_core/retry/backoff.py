"""When is a failed attempt made again, and how many may be? Arithmetic.

The time and random numbers are arguments. What a failure means stands in ``errors/failures.py``, how long a server asks
to wait in ``retry_after.py``, how long the limiter holds in ``limits/throttle.py``.
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
