"""lm-deluge, made for batches: ``process_prompts_async``. Its streams print and are not measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Self

from lm_deluge import LLMClient
from lm_deluge.models import register_model
from measure import KEY, MODEL, Client, main

PLENTY = 1_000_000_000


class LMDeluge(Client):
    packages = ("lm-deluge", "aiohttp", "pydantic")

    async def __aenter__(self) -> Self:
        os.environ["BENCHMARK_KEY"] = KEY
        register_model(id="stub", name=MODEL, api_base=self.url, api_key_env_var="BENCHMARK_KEY", regions=[])
        self.client = LLMClient(
            "stub",
            max_requests_per_minute=PLENTY,
            max_tokens_per_minute=PLENTY,
            max_concurrent_requests=self.concurrency,
            max_new_tokens=200,
            temperature=0.7,
        )
        self.client.open(show_progress=False)
        return self

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        return await self.client.start(prompt), None

    def read(self, answer: Any) -> str:
        """Read a response of lm-deluge's; it has its own names."""
        for name in ("id", "model_internal", "finish_reason", "usage", "status_code"):
            getattr(answer, name)
        return answer.completion or ""

    async def batch(self, prompts: Iterable[str], see: Callable[[Any], object]) -> None:
        for response in await self.client.process_prompts_async(list(prompts), show_progress=False):
            see(response)


if __name__ == "__main__":
    main(LMDeluge)
