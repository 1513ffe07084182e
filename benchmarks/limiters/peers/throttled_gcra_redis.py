"""throttled-py, GCRA, in Redis."""

from __future__ import annotations

from peers import throttled_gcra
from throttled.asyncio import BaseStore, RedisStore

PACKAGES = ("throttled-py", "redis")


class Adapter(throttled_gcra.Adapter):
    def kept(self) -> BaseStore:
        return RedisStore(server=f"redis://127.0.0.1:{self.terms.port}/0", options={})
