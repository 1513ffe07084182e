"""pyrate-limiter, its default sliding window, in Redis."""

from __future__ import annotations

from typing import Any

from peers import pyrate
from pyrate_limiter import Rate, RedisBucket
from redis.asyncio import Redis

PACKAGES = ("pyrate-limiter", "redis")


class Adapter(pyrate.Adapter):
    async def bucket(self, rate: Rate, name: str) -> Any:
        return await RedisBucket.init([rate], Redis(port=self.terms.port), name)
