"""This package, the quota shared through a server."""

from __future__ import annotations

from peers import ours

PACKAGES = ("anyfast-async", "redis")


class Adapter(ours.Adapter):
    def store(self) -> str | None:
        return f"valkey://127.0.0.1:{self.terms.port}"
