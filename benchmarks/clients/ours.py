"""anyfast_async, with everything on: checks, typed answers, limits, clocks, retries, the ledger of attempts.

Variants of streams: ``tokens`` (the default), ``chunks``. Of calls: ``auto`` (``concurrency="auto"`` with a window that
is always full), ``lane``, ``minutes`` (limits per minute).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import attrs
from measure import KEY, MODEL, Client, main

from anyfast_async import AnyFast, AutoConcurrency, Limits


class Ours(Client):
    packages = ("anyfast-async", "aiohttp", "orjson")
    field = staticmethod(getattr)

    async def __aenter__(self) -> Self:
        limits = Limits(concurrency=max(self.concurrency + 8, 200))
        if self.variant == "auto":
            limits = Limits(concurrency=AutoConcurrency(start=self.concurrency, most=self.concurrency))
        elif self.variant == "minutes":
            limits = attrs.evolve(limits, requests_per_minute=10**8, tokens_per_minute=10**12)
        self.opened = await AnyFast(KEY, base_url=self.url, model=MODEL, limits=limits).__aenter__()
        self.client = self.opened.with_options(lane="chat", weight=4) if self.variant == "lane" else self.opened
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.opened.aclose()

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
