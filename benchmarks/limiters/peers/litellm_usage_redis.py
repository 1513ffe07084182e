"""LiteLLM's Router with ``usage-based-routing-v2``, counting in Redis."""

from __future__ import annotations

from typing import Any

from peers import litellm_usage

PACKAGES = ("litellm", "redis")


class Adapter(litellm_usage.Adapter):
    def limits(self) -> dict[str, Any]:
        return {**super().limits(), "redis_host": "127.0.0.1", "redis_port": self.terms.port}
