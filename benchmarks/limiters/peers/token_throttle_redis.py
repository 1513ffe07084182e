"""token-throttle, in Redis."""

from __future__ import annotations

from typing import Any

from peers import token_throttle_memory
from redis.asyncio import Redis
from token_throttle import RedisBackendBuilder

PACKAGES = ("token-throttle", "redis")


class Adapter(token_throttle_memory.Adapter):
    def backend(self) -> Any:
        return RedisBackendBuilder(Redis(port=self.terms.port), key_prefix="gateway")
