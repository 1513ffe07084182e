"""The vendor's SDK, openai, as its README shows it. Variant ``aiohttp``: over its aiohttp transport.

More connections are allowed only where the default of 1000 is less than what is asked of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

import httpx2
import openai
from measure import KEY, MODEL, Client, main
from openai import AsyncOpenAI


class OpenAI(Client):
    packages = ("openai", "httpx2", "aiohttp", "pydantic")
    field = staticmethod(getattr)

    async def __aenter__(self) -> Self:
        options: dict[str, Any] = {}
        if self.concurrency > 900:
            count = self.concurrency + 8
            options["limits"] = httpx2.Limits(max_connections=count, max_keepalive_connections=count)
        kind = openai.DefaultAioHttpClient if self.variant == "aiohttp" else openai.DefaultAsyncHttpx2Client
        http_client = kind(**options) if options or self.variant else None
        self.client = AsyncOpenAI(api_key=KEY, base_url=self.url, http_client=http_client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        completion = await self.client.chat.completions.create(
            messages=[{"role": "user", "content": prompt}], model=MODEL, max_tokens=200, temperature=0.7
        )
        return completion, completion._request_id  # noqa: SLF001 - documented so

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        stream = await self.client.chat.completions.create(
            messages=[{"role": "user", "content": prompt}], model=MODEL, max_tokens=200, temperature=0.7, stream=True
        )
        async for chunk in stream:
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
    main(OpenAI)
