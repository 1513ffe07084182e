"""limits, the moving window, in Redis."""

from __future__ import annotations

from limits.aio.storage import RedisStorage, Storage
from peers import limits_moving

PACKAGES = ("limits", "coredis")


class Adapter(limits_moving.Adapter):
    def storage(self) -> Storage:
        return RedisStorage(f"async+redis://127.0.0.1:{self.terms.port}")
