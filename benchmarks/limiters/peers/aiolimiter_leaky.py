"""aiolimiter, a limiter for requests and one for tokens, as its page shows for amounts."""

from __future__ import annotations

from aiolimiter import AsyncLimiter
from peer import Limiter, Terms

PACKAGES = ("aiolimiter",)


class Adapter(Limiter):
    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.requests, self.amounts = AsyncLimiter(terms.requests, 60), AsyncLimiter(terms.tokens, 60)

    async def acquire(self, tokens: int) -> None:
        await self.requests.acquire()
        await self.amounts.acquire(tokens)
