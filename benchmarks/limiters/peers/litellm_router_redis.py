"""LiteLLM's Router with ``enforce_model_rate_limits``, counting in Redis."""

from __future__ import annotations

from typing import Any

from peers import litellm_router

PACKAGES = ("litellm", "redis")


class Adapter(litellm_router.Adapter):
    def limits(self) -> dict[str, Any]:
        return {**super().limits(), "redis_host": "127.0.0.1", "redis_port": self.terms.port}
