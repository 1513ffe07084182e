"""token-throttle, in memory: reserve and refund."""

from __future__ import annotations

from typing import Any, Self

from peer import Limiter
from token_throttle import MemoryBackendBuilder, PerModelConfig, Quota, RateLimiter, UsageQuotas

PACKAGES = ("token-throttle",)


class Adapter(Limiter):
    def backend(self) -> Any:
        return MemoryBackendBuilder()

    async def __aenter__(self) -> Self:
        limits = {"requests": self.terms.requests, "tokens": self.terms.tokens}
        quotas = UsageQuotas([Quota(metric=name, limit=limit, per_seconds=60) for name, limit in limits.items()])
        self.limiter = RateLimiter(PerModelConfig(quotas=quotas), backend=self.backend())
        return self

    async def acquire(self, tokens: int) -> Any:
        return await self.limiter.acquire_capacity({"requests": 1, "tokens": tokens}, model="m")

    async def settle(self, permit: Any, used: int) -> None:
        await self.limiter.refund_capacity({"requests": 1, "tokens": used}, permit)
