"""What is written by hand: a semaphore with as many places as a minute has, each kept for a minute."""

from __future__ import annotations

import asyncio

from peer import Limiter, Terms


class Adapter(Limiter):
    tokens = False

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.places = asyncio.Semaphore(terms.requests)

    async def acquire(self, tokens: int) -> None:  # noqa: ARG002 - it counts requests
        await self.places.acquire()
        asyncio.get_running_loop().call_later(60, self.places.release)
