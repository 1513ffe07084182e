"""lothc, a typed HTTP client over pyreqwest's Rust core, into msgspec's structs, which drop unknown fields.

No limits, no ledger; its events are for GET alone, so it streams no answers. It needs Python 3.13. Variants: ``struct``
(the default), ``dict``.
"""

from __future__ import annotations

from typing import Any, Self

import lothc
import msgspec
import orjson
from measure import KEY, Client, asked, main


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
        response = await self.client.post("chat/completions", content=orjson.dumps(asked(prompt)), into=into)
        return response.data, response.headers.get("x-request-id")


if __name__ == "__main__":
    main(Lothc)
