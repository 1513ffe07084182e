"""pyrate-limiter, its default sliding window, in memory; a limiter for requests and one for tokens."""

from __future__ import annotations

from typing import Any, Self

from peer import Limiter
from pyrate_limiter import BucketAsyncWrapper, Duration, InMemoryBucket, Rate
from pyrate_limiter import Limiter as Pyrate

PACKAGES = ("pyrate-limiter",)


class Adapter(Limiter):
    async def bucket(self, rate: Rate, name: str) -> Any:  # noqa: ARG002 - for those that share
        return BucketAsyncWrapper(InMemoryBucket([rate]))

    async def __aenter__(self) -> Self:
        per_minute = self.terms.requests, self.terms.tokens
        self.limiters = [
            Pyrate(await self.bucket(Rate(limit, Duration.MINUTE), name))
            for limit, name in zip(per_minute, ("requests", "tokens"), strict=True)
        ]
        return self

    async def acquire(self, tokens: int) -> None:
        for limiter, weight in zip(self.limiters, (1, tokens), strict=True):
            await limiter.try_acquire_async("gateway", weight)
