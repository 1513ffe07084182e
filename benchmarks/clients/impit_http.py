"""impit, an HTTP client whose core is Rust, and orjson: dicts, no checks, no retries, no limits."""

from __future__ import annotations

from typing import Any, Self

import impit
import orjson
from measure import KEY, Client, asked, main


class Impit(Client):
    packages = ("impit", "orjson")

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        self.client = await impit.AsyncClient(headers=headers).__aenter__()
        self.path = f"{self.url}/chat/completions"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.__aexit__(*error)

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        response = await self.client.post(self.path, content=orjson.dumps(asked(prompt)))
        response.raise_for_status()
        return orjson.loads(response.content), response.headers.get("x-request-id")


if __name__ == "__main__":
    main(Impit)
