"""pyreqwest, an HTTP client whose core is Rust, and orjson: dicts, no checks, no retries, no limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import orjson
from measure import KEY, Client, asked, main
from pyreqwest.client import ClientBuilder


class Pyreqwest(Client):
    packages = ("pyreqwest", "orjson")

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.client = ClientBuilder().default_headers(headers).error_for_status(True).build()
        self.path = f"{self.url}/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        response = await self.client.post(self.path).body_bytes(orjson.dumps(asked(prompt))).build().send()
        return await response.json(), response.headers.get("x-request-id")

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        rest = b""
        request = (
            self.client.post(self.path)
            .body_bytes(orjson.dumps(asked(prompt, stream=True)))
            .streamed_read_buffer_limit(0)
        )
        async with request.build_streamed() as response:  # by default it would first wait for 64 KiB
            while (data := await response.body_reader.read_chunk()) is not None:
                *lines, rest = (rest + bytes(data)).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: ") and line != b"data: [DONE]":
                        see(orjson.loads(line[6:])["choices"][0]["delta"].get("content") or "")


if __name__ == "__main__":
    main(Pyreqwest)
