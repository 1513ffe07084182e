"""langchain-core's ``InMemoryRateLimiter``, requests alone, with a second's worth of burst."""

from __future__ import annotations

from langchain_core.rate_limiters import InMemoryRateLimiter
from peer import Limiter, Terms

PACKAGES = ("langchain-core",)


class Adapter(Limiter):
    tokens = False

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        a_second = terms.requests / 60
        self.limiter = InMemoryRateLimiter(requests_per_second=a_second, max_bucket_size=a_second)

    async def acquire(self, tokens: int) -> None:  # noqa: ARG002 - it has no use for them
        await self.limiter.aacquire()
