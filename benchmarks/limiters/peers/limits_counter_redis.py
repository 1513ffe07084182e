"""limits, the sliding window counter, in Redis."""

from __future__ import annotations

from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from peers import limits_moving_redis

PACKAGES = ("limits", "coredis")


class Adapter(limits_moving_redis.Adapter):
    def strategy(self) -> RateLimiter:
        return SlidingWindowCounterRateLimiter(self.storage())
