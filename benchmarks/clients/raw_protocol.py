"""A minimal HTTP client on ``asyncio.Protocol``: about as low as Python goes. It knows this one server only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
from measure import KEY, Client, asked, main


class Connection(asyncio.Protocol):
    """One connection, one request at a time; what is waited for is a future."""

    def __init__(self) -> None:
        self.data = b""
        self.waiting: asyncio.Future[bytes] | None = None
        self.see: Callable[[str], object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self.data + data if self.data else data
        self.data = self.events(data, self.see) if self.see is not None else self.body(data)

    def body(self, data: bytes) -> bytes:
        head = data.find(b"\r\n\r\n") + 4
        at = data.find(b"content-length: ", 0, head) + 16
        end = head + int(data[at : data.index(b"\r", at)]) if head > 3 else 0
        if not end or len(data) < end:
            return data
        self.finish(data[head:end])
        return b""

    def events(self, data: bytes, see: Callable[[str], object]) -> bytes:
        *events, rest = data.split(b"\n\n")
        for event in events:
            at = event.index(b"data: ") + 6
            if event[at] == 123:  # an opening brace
                see(orjson.loads(event[at:])["choices"][0]["delta"].get("content") or "")
        if rest.endswith(b"0\r\n\r\n"):
            self.finish(b"")
            return b""
        return rest

    def finish(self, body: bytes) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionResetError())


class RawProtocol(Client):
    packages = ("orjson",)

    async def __aenter__(self) -> Self:
        parts = urlsplit(self.url)
        self.at = parts.hostname or "", parts.port or 80
        self.head = (
            f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self.idle: list[Connection] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self.idle:
            connection.transport.close()

    async def post(self, prompt: str, see: Callable[[str], object] | None = None, **fields: Any) -> bytes:
        body = orjson.dumps(asked(prompt, **fields))
        loop = asyncio.get_running_loop()
        connection = self.idle.pop() if self.idle else (await loop.create_connection(Connection, *self.at))[1]
        connection.see = see
        connection.waiting = loop.create_future()
        connection.transport.write(b"%s%d\r\n\r\n%s" % (self.head, len(body), body))
        try:
            answer = await connection.waiting
        except BaseException:
            connection.transport.close()
            raise
        self.idle.append(connection)
        return answer

    async def complete(self, prompt: str) -> tuple[Any, str | None]:
        return orjson.loads(await self.post(prompt)), None

    async def stream(self, prompt: str, see: Callable[[str], object]) -> None:
        await self.post(prompt, see, stream=True)


if __name__ == "__main__":
    main(RawProtocol)
