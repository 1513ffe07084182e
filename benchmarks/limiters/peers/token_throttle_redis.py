"""token-throttle, in Redis. What it says of a refund under contention is done: it is tried again."""

from __future__ import annotations

from typing import Any

from peers import token_throttle_memory
from redis.asyncio import Redis
from token_throttle import BackendLockContentionError, RedisBackendBuilder

PACKAGES = ("token-throttle", "redis")


class Adapter(token_throttle_memory.Adapter):
    def backend(self) -> Any:
        return RedisBackendBuilder(Redis(port=self.terms.port), key_prefix="gateway")

    async def settle(self, permit: Any, used: int) -> None:
        while True:
            try:
                await super().settle(permit, used)
            except BackendLockContentionError:
                continue
            else:
                return
