"""asynciolimiter's ``Limiter``, requests alone: it knows no amounts."""

from __future__ import annotations

from asynciolimiter import Limiter as Regular
from peer import Limiter, Terms

PACKAGES = ("asynciolimiter",)


class Adapter(Limiter):
    tokens = False

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.limiter = Regular(terms.requests / 60)

    async def acquire(self, tokens: int) -> None:  # noqa: ARG002 - it has no use for them
        await self.limiter.wait()
