"""Requests as bytes, for what a client rightly does not show: framing, times of pieces, refusals by proxies.

The only file of the command that speaks HTTP itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import attrs
from yarl import URL

from anyfast_async._core.json.jsontext import dumps
from anyfast_async._http.settings import proxy_of
from anyfast_async._http.tls import default_context
from anyfast_async.cli.doctor.observations import RawAnswer

_MAX_HEAD: Final = 1024 * 1024
_MAX_BODY: Final = 16 * 1024 * 1024
_CONNECTING: Final = 10.0
_READ: Final = 65536
_UNDER_WAY: Final = 0.1
"""Seconds after which a request has surely arrived, and its answer surely has not."""
_MALFORMED: Final = b"GET / HTTP/1.1\r\nHost: %b\r\nbad header\x01\r\n\r\n"
"""A head with a line that is no header (RFC 9112 5): the first server on the way answers it."""


@attrs.define
class RawExchanges:
    """Sends single requests, each over a connection of its own."""

    base_url: URL
    headers: Mapping[str, str] = attrs.field(repr=False)
    """With the key."""
    timeout: float
    """Seconds for one exchange."""
    proxy: str | None = None
    _session: aiohttp.ClientSession = attrs.field(init=False, repr=False)

    async def __aenter__(self) -> Self:
        self.proxy = proxy_of("env", self.base_url) if self.base_url.scheme == "https" else None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True, ssl=default_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECTING),
            max_line_size=_MAX_HEAD,
            max_field_size=_MAX_HEAD,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        path: str = "/chat/completions",
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> RawAnswer:
        """Send one request, and return what came; nothing is raised."""
        started = time.monotonic()
        seen = _Seeing(started, body or {})
        try:
            async with asyncio.timeout(self.timeout):
                await self._ask(seen, path, body, {**self.headers, **(headers or {})})
        except TimeoutError:
            seen.end = "timeout"
            seen.problem = f"nothing more within {self.timeout:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            seen.end = "cut" if seen.status is not None else "unreachable"
            seen.problem = _told(error)
        return seen.result()

    async def _ask(self, seen: _Seeing, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> None:
        data = None if body is None else BytesIO(dumps(body))  # bytes over 1 MiB are warned of
        kind = {} if body is None else {"Content-Type": "application/json"}
        async with self._session.request(
            "GET" if body is None else "POST",
            URL(str(self.base_url).rstrip("/") + path, encoded=True),
            data=data,
            headers={**kind, **headers},
            allow_redirects=False,
            proxy=self.proxy,
        ) as response:
            seen.head(response.status, response.headers)
            size = 0
            async for piece in response.content.iter_any():
                seen.pieces.append((time.monotonic() - seen.started, piece))
                size += len(piece)
                if size > _MAX_BODY:
                    message = "the answer is longer than 16 MiB"
                    raise ValueError(message)

    async def malformed(self) -> RawAnswer:
        """Send what is no HTTP, and return what the first server on the way says to it."""
        seen = _Seeing(time.monotonic(), {})
        try:
            async with asyncio.timeout(_CONNECTING), self._connection() as (reader, writer):
                writer.write(_MALFORMED % (self.base_url.host or "").encode())
                while (piece := await reader.read(_READ)) and len(seen.pieces) < _READ:
                    seen.pieces.append((time.monotonic() - seen.started, piece))
        except (TimeoutError, OSError) as error:
            seen.problem = _told(error)
        return seen.split()

    async def left(self, body: Mapping[str, Any]) -> float | None:
        """Close this half of a connection while an answer is awaited; return seconds until the other side stopped.

        That is what a server sees of a caller that has gone. None: it answered all the same. Not over TLS, which has no
        such half.

        Raises:
            TimeoutError: neither came, or the answer came too soon to tell.

        """
        data = dumps(body)
        base = self.base_url
        head = [f"POST {base.raw_path.rstrip('/')}/chat/completions HTTP/1.1", f"Host: {base.authority}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        head += ["Content-Type: application/json", f"Content-Length: {len(data)}", "Connection: close", "", ""]
        async with asyncio.timeout(self.timeout), self._connection() as (reader, writer):
            writer.write("\r\n".join(head).encode() + data)
            await asyncio.sleep(_UNDER_WAY)
            writer.write_eof()
            closed = time.monotonic()
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(_READ):
                    answer += piece
            seconds = time.monotonic() - closed
            # To callers who have gone some say 499, or 200 and nothing.
            answered = b'"choices"' in answer
            if answered and seconds < _UNDER_WAY:
                raise TimeoutError
            return None if answered else seconds

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        base = self.base_url
        context = default_context() if base.scheme == "https" else None
        reader, writer = await asyncio.open_connection(base.host, base.port, ssl=context)
        try:
            yield reader, writer
        finally:
            writer.close()


@attrs.define
class _Seeing:
    """An exchange while it goes on."""

    started: float
    asked: Mapping[str, Any]
    status: int | None = None
    headers: dict[str, str] = attrs.field(factory=dict)
    pieces: list[tuple[float, bytes]] = attrs.field(factory=list)
    end: Any = "whole"
    problem: str = ""
    head_at: float = 0.0

    def head(self, status: int, headers: Any) -> None:
        self.status, self.head_at = status, time.monotonic() - self.started
        for name, value in headers.items():
            lower = name.lower()
            self.headers[lower] = f"{self.headers[lower]}, {value}" if lower in self.headers else value

    def result(self) -> RawAnswer:
        return RawAnswer(
            status=self.status,
            headers=self.headers,
            pieces=tuple(self.pieces),
            end=self.end,
            problem=self.problem,
            head_at=self.head_at,
            ended_at=time.monotonic() - self.started,
            asked=self.asked,
        )

    def split(self) -> RawAnswer:
        """The same of bytes that still have their head."""
        raw = b"".join(piece for _, piece in self.pieces)
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split()
        if len(words) > 1 and words[0].startswith("HTTP/") and words[1].isdigit():
            pairs = (line.partition(":")[::2] for line in lines[1:])
            self.status = int(words[1])
            self.headers = {name.strip().lower(): value.strip() for name, value in pairs}
        self.pieces = [(0.0, body)]
        return self.result()


def _told(error: BaseException) -> str:
    """What went wrong, in words that hold no header: aiohttp's exceptions may."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate cannot be trusted"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.strerror or "no connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__ if isinstance(error, aiohttp.ClientError) else str(error) or type(error).__name__
