"""One exchange without any library: what came, when, and how it ended."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import Any

import attrs


@attrs.define
class Came:
    """What came back."""

    status: int = 0
    version: str = ""
    headers: dict[str, str] = attrs.Factory(dict)
    body: bytes = b""
    first: float | None = None
    """When the first byte of the body came."""
    end: str = "nothing"
    """Whole: `length`, `last chunk`, `close`; not: `cut`, `reset`, `late`, `broken framing`, `nothing`."""

    @property
    def framing(self) -> str:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return "chunked"
        return "Content-Length" if "content-length" in self.headers else "until it closes"

    @property
    def events(self) -> list[Any]:
        """The JSON of the events that are whole."""
        lines = [line[5:].strip() for line in self.body.split(b"\n") if line.startswith(b"data:")]
        return [json.loads(line) for line in lines if line[:1] in (b"{", b"[") and line != b"[DONE]" and _is_json(line)]

    @property
    def done(self) -> bool:
        return b"data: [DONE]" in self.body or b"data:[DONE]" in self.body

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


class Line:
    """A connection on which requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, tls: ssl.SSLContext | None = None) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=2**20))

    async def ask(self, target: str, request: dict[str, Any] | None, headers: dict[str, str], wait: float) -> Came:
        """Send a request, and take what comes back within some seconds."""
        body = b"" if request is None else json.dumps(request).encode()
        told = {"Host": "127.0.0.1", **headers}
        if body:
            told |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {text}\r\n" for name, text in told.items())
        came = Came()
        try:
            async with asyncio.timeout(wait):
                self.writer.write(f"{'POST' if body else 'GET'} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body)
                await self._read(came)
        except TimeoutError:
            came.end = "late"
        except ConnectionResetError:
            came.end = "reset"
        except ValueError:
            came.end = "broken framing"
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            came.end = "cut" if came.status else "nothing"
        return came

    async def _read(self, came: Came) -> None:
        head = await self.reader.readuntil(b"\r\n\r\n")
        while head.split(b" ", 2)[1] == b"100":
            head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        came.version, status = first.split(" ", 2)[:2]
        came.status = int(status)
        for line in lines:
            name, _, value = line.partition(":")
            if name:
                came.headers[name.strip().lower()] = value.strip()
        if came.framing == "chunked":
            while size := int((await self._noted(came, self.reader.readuntil(b"\r\n"))).split(b";")[0], 16):
                came.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readuntil(b"\r\n")
            came.end = "last chunk"
        elif "content-length" in came.headers:
            size = int(came.headers["content-length"])
            while len(came.body) < size:
                piece = await self._noted(came, self.reader.read(size - len(came.body)))
                if not piece:
                    came.end = "cut"
                    return
                came.body += piece
            came.end = "length"
        else:
            while piece := await self._noted(came, self.reader.read(65536)):
                came.body += piece
            came.end = "close"

    async def _noted(self, came: Came, reading: Any) -> bytes:
        piece: bytes = await reading
        came.first = came.first or time.monotonic()
        return piece

    async def closed_within(self, seconds: float) -> float | None:
        """After how long the other side closes, None if it does not."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return None
        except ConnectionError:
            pass
        return time.monotonic() - began

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(2):
                await self.writer.wait_closed()
        except (OSError, TimeoutError, ssl.SSLError):
            self.writer.transport.abort()
