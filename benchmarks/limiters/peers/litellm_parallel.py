"""LiteLLM's Router with ``max_parallel_requests``: as many at once as make the limit at half a second an answer."""

from __future__ import annotations

from typing import Any

from loads import ANSWER, MINUTE
from peers import litellm_router

PACKAGES = ("litellm",)


class Adapter(litellm_router.Adapter):
    tokens = False

    def limits(self) -> dict[str, Any]:
        return {}

    def deployment(self) -> dict[str, Any]:
        return {"max_parallel_requests": int(self.terms.requests * ANSWER / MINUTE)}
