"""Bare aiohttp and orjson, as one writes it by hand: dicts, no checks, no retries, no limits. The reference, 1.00.

Its pool is unbounded, since aiohttp's default of 100 connections is less than what is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import aiohttp
import orjson
from measure import KEY, Client, asked, main


class RawAiohttp(Client):
    packages = ("aiohttp", "orjson")

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.session = aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))
        self.path = f"{self.url}/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        async with self.session.post(self.path, data=orjson.dumps(asked(prompt))) as response:
            response.raise_for_status()
            return orjson.loads(await response.read()), response.headers.get("x-request-id")

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        async with self.session.post(self.path, data=orjson.dumps(asked(prompt, stream=True))) as response:
            response.raise_for_status()
            async for line in response.content:
                if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                    see(orjson.loads(line[6:])["choices"][0]["delta"].get("content") or "")


if __name__ == "__main__":
    main(RawAiohttp)
