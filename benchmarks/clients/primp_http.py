"""primp, an HTTP client whose core is Rust, and orjson: dicts, no checks, no retries, no limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

import orjson
import primp
from measure import KEY, MODEL, Client, main


def payload(prompt: str) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": 200, "temperature": 0.7})


class Primp(Client):
    packages = ("primp", "orjson")

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.client = await primp.AsyncClient(headers=headers).__aenter__()
        self.path = f"{self.url}/chat/completions"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(*error)

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        response = await self.client.post(self.path, content=payload(prompt))
        response.raise_for_status()
        return orjson.loads(response.content), response.headers.get("x-request-id")

    async def batch(self, prompts: Iterable[str], see: Callable[[Any], object]) -> None:
        source = iter(prompts)

        async def worker() -> None:
            for prompt in source:
                answer, _ = await self.complete(prompt)
                see(answer)

        async with asyncio.TaskGroup() as group:
            for _ in range(self.concurrency):
                group.create_task(worker())


if __name__ == "__main__":
    main(Primp)
