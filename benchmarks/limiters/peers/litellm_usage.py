"""LiteLLM's Router with ``usage-based-routing-v2``, which sends nothing to a deployment that is over its rpm or tpm."""

from __future__ import annotations

from typing import Any

from peers import litellm_router

PACKAGES = ("litellm",)


class Adapter(litellm_router.Adapter):
    def limits(self) -> dict[str, Any]:
        return {"routing_strategy": "usage-based-routing-v2"}
