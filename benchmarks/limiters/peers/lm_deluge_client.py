"""lm-deluge's client."""

from __future__ import annotations

import os
from typing import Self

from lm_deluge import LLMClient
from lm_deluge.models import register_model
from peer import Call, Peer

PACKAGES = ("lm-deluge",)
PLENTY = 1_000_000_000


class Adapter(Peer):
    async def __aenter__(self) -> Self:
        terms = self.terms
        os.environ["OWN_KEY"] = "sk-own"
        register_model(id="stub", name="m", api_base=terms.gateway, api_key_env_var="OWN_KEY", regions=[])
        self.client = LLMClient(
            "stub",
            max_requests_per_minute=terms.requests if terms.limited else PLENTY,
            max_tokens_per_minute=terms.tokens if terms.limited else PLENTY,
            max_concurrent_requests=1_000,
            max_new_tokens=terms.max_tokens,
        )
        self.client.open(show_progress=False)
        return self

    async def call(self, call: Call) -> None:
        response = await self.client.start(call.prompt)
        if response.is_error:
            raise RuntimeError(response.error_message)
