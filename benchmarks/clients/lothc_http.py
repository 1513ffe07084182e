"""lothc, a typed HTTP client over pyreqwest's Rust core, into msgspec's structs, which drop unknown fields.

No limits, no ledger; its events are for GET alone, so it streams no answers. It needs Python 3.13. Variants: ``struct``
(the default), ``dict``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

import lothc
import msgspec
import orjson
from measure import KEY, MODEL, Client, main


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Message(msgspec.Struct):
    role: str
    content: str | None = None


class Choice(msgspec.Struct):
    index: int
    message: Message
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class Completion(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


def payload(prompt: str, **fields: Any) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": 200, "temperature": 0.7, **fields})


class Lothc(Client):
    packages = ("lothc", "pyreqwest", "msgspec", "orjson")

    async def __aenter__(self) -> Self:
        headers = {"Content-Type": "application/json"}
        client = lothc.HTTPClient(base_url=f"{self.url}/", bearer_token=KEY, default_headers=headers)
        self.client = await client.__aenter__()
        if self.variant != "dict":
            self.field = getattr
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(*error)

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        into = dict[str, Any] if self.variant == "dict" else Completion
        response = await self.client.post("chat/completions", content=payload(prompt), into=into)
        return response.data, response.headers.get("x-request-id")

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
    main(Lothc)
