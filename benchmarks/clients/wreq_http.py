"""wreq, an HTTP client whose core is Rust, and orjson: dicts, no checks, no retries, no limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import orjson
from measure import KEY, Client, asked, main
from wreq import Client as Wreq


class WreqClient(Client):
    packages = ("wreq", "orjson")

    async def __aenter__(self) -> Self:
        self.client = Wreq()
        self.headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.path = f"{self.url}/chat/completions"
        return self

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        async with self.client.post(self.path, headers=self.headers, body=orjson.dumps(asked(prompt))) as response:
            response.raise_for_status()
            request_id = response.headers.get("x-request-id")
            return await response.json(), bytes(request_id).decode() if request_id is not None else None

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        rest = b""
        async with self.client.post(
            self.path, headers=self.headers, body=orjson.dumps(asked(prompt, stream=True))
        ) as response:
            response.raise_for_status()
            async with response.stream() as streamer:
                async for data in streamer:
                    *lines, rest = (rest + bytes(data)).split(b"\n")
                    for line in lines:
                        if line.startswith(b"data: ") and line != b"data: [DONE]":
                            see(orjson.loads(line[6:])["choices"][0]["delta"].get("content") or "")


if __name__ == "__main__":
    main(WreqClient)
