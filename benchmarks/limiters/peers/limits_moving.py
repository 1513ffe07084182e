"""limits, the moving window, in memory; who is refused comes again when ``get_window_stats`` says."""

from __future__ import annotations

import asyncio
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter, RateLimiter
from peer import Limiter, Terms

PACKAGES = ("limits",)


class Adapter(Limiter):
    def storage(self) -> Storage:
        return MemoryStorage()

    def strategy(self) -> RateLimiter:
        return MovingWindowRateLimiter(self.storage())

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.limiter = self.strategy()
        self.items = RateLimitItemPerMinute(terms.requests), RateLimitItemPerMinute(terms.tokens)

    async def acquire(self, tokens: int) -> None:
        for item, name, cost in zip(self.items, ("requests", "tokens"), (1, tokens), strict=True):
            while not await self.limiter.hit(item, name, cost=cost):
                stats = await self.limiter.get_window_stats(item, name)
                await asyncio.sleep(max(stats.reset_time - time.time(), 0.01))
