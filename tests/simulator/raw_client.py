"""A plain HTTP client for the simulator that knows nothing of this package."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import aiohttp

MODEL = "gemini-2.5-pro"


@attrs.frozen
class Response:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def text(self) -> Any:
        return self.json["choices"][0]["message"]["content"]

    @property
    def json_id(self) -> str:
        """The request id in the id of a streamed completion."""
        identity: str = self.events[0]["id"]
        return identity.removeprefix("chatcmpl-")

    @property
    def events(self) -> list[Any]:
        """The decoded events of a stream; ``[DONE]`` as that string."""
        lines = self.raw.decode().split("\n\n")
        assert lines[-1] == ""
        data = [line.removeprefix("data: ") for line in lines[:-1] if not line.startswith(":")]
        return [one if one == "[DONE]" else json.loads(one) for one in data]

    @property
    def choices(self) -> list[Any]:
        """The choices of all events, one after the other."""
        return [choice for event in self.events if event != "[DONE]" for choice in event["choices"]]

    def streamed(self, key: str = "content", index: int = 0) -> str:
        """The deltas of one choice, joined."""
        return "".join(one["delta"].get(key) or "" for one in self.choices if one["index"] == index)


@attrs.frozen
class Http:
    """Sends requests to a simulator."""

    session: aiohttp.ClientSession
    url: str

    async def chat(self, prompt: object = "Hello!", **fields: Any) -> Response:
        """Ask with one user message, or with the messages given."""
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        return await self.post({"model": MODEL, "messages": messages, **fields})

    async def timed_chat(self, prompt: object = "Hello!", **fields: Any) -> tuple[Response, float]:
        """The answer, and how long it took in seconds."""
        started = time.monotonic()
        return await self.chat(prompt, **fields), time.monotonic() - started

    async def post(self, body: object, path: str = "/chat/completions", **headers: str) -> Response:
        return await self.send("POST", path, json.dumps(body).encode(), **headers)

    async def send(self, method: str, path: str, raw: bytes = b"", **headers: str) -> Response:
        """``path`` is below ``/v1``; a header given as an empty string is left out."""
        sent = {"Authorization": "Bearer sk-test", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        skipped = {"Content-Type"}
        async with self.session.request(
            method, self.url + path, data=raw, headers=sent, skip_auto_headers=skipped
        ) as response:
            return Response(response.status, dict(response.headers), await response.read())
