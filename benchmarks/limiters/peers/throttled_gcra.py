"""throttled-py, GCRA, in memory, waiting; a second's worth of burst for requests, all of it for tokens."""

from __future__ import annotations

from peer import Limiter, Terms
from throttled.asyncio import BaseStore, MemoryStore, RateLimiterType, Throttled, rate_limiter

PACKAGES = ("throttled-py",)


class Adapter(Limiter):
    def kept(self) -> BaseStore:
        return MemoryStore()

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        kept = self.kept()
        self.limiters = [
            Throttled(
                using=RateLimiterType.GCRA.value,
                quota=rate_limiter.per_min(limit, burst=burst),
                store=kept,
                timeout=3_600,
            )
            for limit, burst in ((terms.requests, terms.requests // 60), (terms.tokens, terms.tokens))
        ]

    async def acquire(self, tokens: int) -> None:
        for limiter, name, cost in zip(self.limiters, ("requests", "tokens"), (1, tokens), strict=True):
            while (await limiter.limit(name, cost)).limited:
                pass
