"""The check that LiteLLM's Router makes for ``enforce_model_rate_limits``, without its calls; requests alone."""

from __future__ import annotations

import asyncio
import os
import random

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from litellm.caching.dual_cache import DualCache
from litellm.router_utils.pre_call_checks.model_rate_limit_check import ModelRateLimitingCheck
from peer import Limiter, Terms

PACKAGES = ("litellm",)


class Adapter(Limiter):
    tokens = False

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self.check = ModelRateLimitingCheck(DualCache())
        deployment = {"model": "openai/m", "rpm": terms.requests}
        self.deployment = {"model_name": "m", "litellm_params": deployment, "model_info": {"id": "1"}}

    async def acquire(self, tokens: int) -> None:  # noqa: ARG002 - it counts them afterwards
        while True:
            try:
                await self.check.async_pre_call_check(self.deployment)
            except litellm.RateLimitError:
                await asyncio.sleep(random.uniform(5, 10))
            else:
                return
