"""LiteLLM's ``acompletion``, over the aiohttp transport that is its default.

Its table of prices is read from the package, not from the network; more connections are allowed where its 500 to a host
are less than what is asked of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any

os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "AIOHTTP_CONNECTOR_LIMIT": "10000",
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "10000",
}

from litellm import acompletion
from measure import KEY, MODEL, Client, main


class LiteLLM(Client):
    packages = ("litellm", "openai", "aiohttp", "pydantic")
    field = staticmethod(getattr)

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        response = await acompletion(
            model=f"openai/{MODEL}",
            messages=[{"role": "user", "content": prompt}],
            api_base=self.url,
            api_key=KEY,
            max_tokens=200,
            temperature=0.7,
        )
        return response, None

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        response = await acompletion(
            model=f"openai/{MODEL}",
            messages=[{"role": "user", "content": prompt}],
            api_base=self.url,
            api_key=KEY,
            max_tokens=200,
            temperature=0.7,
            stream=True,
        )
        async for chunk in response:
            see(chunk.choices[0].delta.content or "")

    async def batch(self, prompts: Iterable[str], see: Callable[[Any], object]) -> None:
        semaphore = asyncio.Semaphore(self.concurrency)

        async def one(prompt: str) -> Any:
            async with semaphore:
                answer, _ = await self.complete(prompt)
                return answer

        for answer in await asyncio.gather(*(one(prompt) for prompt in prompts)):
            see(answer)


if __name__ == "__main__":
    main(LiteLLM)
