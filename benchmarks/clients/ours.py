"""anyfast_async, with everything on: checks, typed answers, limits, clocks, retries, the ledger of attempts.

Variants of streams: ``tokens`` (the default), ``chunks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from measure import KEY, MODEL, Client, main

from anyfast_async import AnyFast, Limits


class Ours(Client):
    packages = ("anyfast-async", "aiohttp", "orjson")
    field = staticmethod(getattr)

    async def __aenter__(self) -> Self:
        limits = Limits(concurrency=max(self.concurrency + 8, 200))
        self.client = await AnyFast(KEY, base_url=self.url, model=MODEL, limits=limits).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        completion = await self.client.complete(prompt, max_tokens=200, temperature=0.7)
        return completion, completion.request_id

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        async with self.client.stream(prompt, max_tokens=200, temperature=0.7) as stream:
            if self.variant == "chunks":
                async for chunk in stream.chunks():
                    see(chunk.text)
            else:
                async for text in stream:
                    see(text)

    async def batch(self, prompts: Iterable[str], see: Callable[[Any], object]) -> None:
        run = self.client.map(prompts, concurrency=self.concurrency, max_tokens=200, temperature=0.7)
        async with run as results:
            async for result in results:
                if result.ok:
                    see(result.completion)


if __name__ == "__main__":
    main(Ours)
