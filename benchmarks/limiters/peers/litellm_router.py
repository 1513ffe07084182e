"""LiteLLM's Router with ``enforce_model_rate_limits``; who is refused comes again after a while, 5 to 10 s."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from peer import Call, Peer, Terms

PACKAGES = ("litellm",)


class Adapter(Peer):
    def limits(self) -> dict[str, Any]:
        return {"optional_pre_call_checks": ["enforce_model_rate_limits"]}

    def deployment(self) -> dict[str, Any]:
        return {"rpm": self.terms.requests, "tpm": self.terms.tokens}

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        deployment = {"model": "openai/m", "api_base": terms.gateway, "api_key": "sk-own"}
        limits: dict[str, Any] = {}
        if terms.limited:
            deployment |= self.deployment()
            limits = self.limits()
        one = {"model_name": "m", "litellm_params": deployment, "model_info": {"id": "1"}}
        self.router = litellm.Router(model_list=[one], num_retries=0, disable_cooldowns=True, **limits)

    async def call(self, call: Call) -> None:
        messages = [{"role": "user", "content": call.prompt}]
        while True:
            try:
                await self.router.acompletion("m", messages, max_tokens=call.work.max_tokens)
            except litellm.RateLimitError:
                await asyncio.sleep(random.uniform(5, 10))
            else:
                return
