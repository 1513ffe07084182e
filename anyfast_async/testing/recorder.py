"""A server in front of the real gateway that writes down what goes through it: for any client, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from io import BytesIO
from types import TracebackType
from typing import Any, Final, Self, cast

import aiohttp
import attrs
from aiohttp import web
from yarl import URL

from anyfast_async._http.settings import base_url_of, proxy_of
from anyfast_async.errors import ConfigurationError
from anyfast_async.simulator.http.encoding import gunzip
from anyfast_async.simulator.script.exchange import End, RecordedExchange, RecordedPiece, hashed, request_value
from anyfast_async.testing.scrubbing import Scrubber, secrets_of

_PREFIX: Final = "/v1"
_MAX_BODY: Final = 128 * 1024 * 1024
_MAX_HEAD: Final = 1024 * 1024
_STOPPING: Final = 1.0
"""Seconds for the answers that are under way when the recording ends."""
_UNWINDING: Final = 0.1
_HOP: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"),
        *("transfer-encoding", "proxy-connection", "expect"),
    }
)
"""Headers of one connection (RFC 9110 7.6.1)."""
_KEPT: Final = re.compile(
    r"content-(type|length)|(.*-)?retry-after(-ms)?|(.*-)?ratelimit-.*|x-should-retry|(.*-)?request-id", re.IGNORECASE
)
"""Headers of an answer that a client acts on. No other is written down."""


@attrs.define
class _Passing:
    """What has gone through of one exchange."""

    started: float
    method: str
    path: str
    query: str
    request: Any
    own: set[str]
    """The keys that the request shows."""
    status: int | None = None
    headers: dict[str, str] = attrs.field(factory=dict)
    pieces: list[tuple[float, bytes]] = attrs.field(factory=list)
    open: bool = False
    """The latest piece is a part of a chunk whose end has not come."""
    end: End = "whole"

    def add(self, data: bytes, *, ended: bool, chunked: bool) -> None:
        """Take what arrived; pieces are the chunks of the answer, or what came at once where it has none."""
        at = time.monotonic() - self.started
        if self.open and data:
            data = self.pieces.pop()[1] + data
        if data:
            self.pieces.append((at, data))
        self.open = chunked and not ended


class RecordingProxy:
    """Passes requests on to *upstream*, and keeps them with their answers.

    Args:
        upstream: base URL of the gateway; None: as for a client.
        secrets: keys that must not be written down, beside those that requests show.
        hash_prompts: keep hashes of the texts of requests.

    Raises:
        ConfigurationError: that cannot be a base URL.

    """

    def __init__(self, upstream: str | None, *, secrets: tuple[str, ...] = (), hash_prompts: bool = False) -> None:
        self._upstream = base_url_of(upstream, ())
        self._proxy = proxy_of("env", self._upstream) if self._upstream.scheme == "https" else None
        self._hash = hash_prompts
        self._scrubber = Scrubber(secrets, os.environ.get("ANYFAST_API_KEY", "").strip())
        self.base_url: str = ""
        self._recorded: list[_Passing] = []
        self._unreachable: str | None = None
        self._handlers: set[asyncio.Task[object]] = set()

    @property
    def exchanges(self) -> list[RecordedExchange]:
        """What went through, in the order of the requests.

        Without the keys that are known by now: one that came late may stand in an earlier exchange.
        """
        return [self._exchange(one) for one in sorted(self._recorded, key=lambda one: one.started)]

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # A connection for each: one that had gone stale would be a fault of ours in the record.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=_MAX_HEAD,
            max_field_size=_MAX_HEAD,
        )
        self._server = web.Server(
            self._serve, handler_cancellation=True, access_log=None, auto_decompress=False, max_field_size=_MAX_HEAD
        )
        self._listener = await asyncio.get_running_loop().create_server(self._server, "127.0.0.1", 0, backlog=1024)
        port: int = self._listener.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}{_PREFIX}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=_STOPPING)
        for task in (*self._handlers,):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        self._server.pre_shutdown()
        await self._server.shutdown(_UNWINDING)
        await self._session.close()
        await self._listener.wait_closed()
        if kind is None and self._unreachable is not None:
            message = f"not recorded: {self._upstream} could not be reached: {self._unreachable}"
            raise ConfigurationError(message)

    # -- one exchange ------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._handlers.add(task)
        try:
            return await self._passed_on(request)
        finally:
            self._handlers.discard(task)

    async def _passed_on(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # an interim response is not the answer
        raw = await request.content.read()
        own = secrets_of(request.headers, request.rel_url.raw_query_string)
        self._scrubber.learn(own)
        value = request_value(_unpacked(request, raw))
        taken = _Passing(time.monotonic(), request.method, request.path, request.rel_url.raw_query_string, value, own)
        try:
            return await self._answered(request, raw, taken)
        except (asyncio.CancelledError, ConnectionError):
            taken.end = "left"  # the client has gone
            raise
        finally:
            if taken.status is not None or taken.end != "whole":
                self._recorded.append(taken)

    async def _answered(self, request: web.BaseRequest, raw: bytes, taken: _Passing) -> web.StreamResponse:
        headers = [(n, v) for n, v in request.headers.items() if n.lower() not in _HOP and n.lower() != "host"]
        headers = [(n, v) for n, v in headers if n.lower() not in {"accept-encoding", "content-length"}]
        try:
            upstream = await self._session.request(
                request.method,
                self._target(request),
                data=BytesIO(raw) if raw else None,  # bytes over 1 MiB are warned of
                headers=[*headers, ("Accept-Encoding", "identity")],
                skip_auto_headers=("User-Agent", "Content-Type"),
                allow_redirects=False,
                proxy=self._proxy,
            )
        except aiohttp.ServerDisconnectedError:
            taken.end = "cut"
            return _broken(request, web.StreamResponse())
        except (aiohttp.ClientError, OSError) as error:
            # Not their text: aiohttp's exceptions may hold the headers of the request.
            cause = error.__cause__ or error
            self._unreachable = type(cause).__name__ if cause is error else str(cause)
            return web.json_response(
                {
                    "error": {
                        "message": f"the recorder cannot reach the gateway: {self._unreachable}",
                        "code": "recorder",
                    }
                },
                status=502,
            )
        try:
            return await self._relayed(request, upstream, taken)
        finally:
            upstream.close()

    def _target(self, request: web.BaseRequest) -> URL:
        path, base = request.rel_url.raw_path, self._upstream
        inner = path.removeprefix(_PREFIX) if path == _PREFIX or path.startswith(f"{_PREFIX}/") else path
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        return URL(f"{str(base).rstrip('/')}{inner}{query}", encoded=True)

    async def _relayed(
        self, request: web.BaseRequest, upstream: aiohttp.ClientResponse, taken: _Passing
    ) -> web.StreamResponse:
        decoded = "Content-Encoding" in upstream.headers  # by the session, though nobody asked for it
        gone = _HOP | ({"content-encoding", "content-length"} if decoded else set())
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
        for name, value in upstream.headers.items():
            if name.lower() not in gone:
                response.headers.add(name, value)
                if _KEPT.fullmatch(name):
                    taken.headers[name] = value
        taken.status = upstream.status
        chunked = "chunked" in upstream.headers.get("Transfer-Encoding", "").lower()
        await response.prepare(request)
        try:
            async for data, ended in upstream.content.iter_chunks():
                taken.add(data, ended=ended, chunked=chunked)
                if data:
                    await response.write(data)
                elif upstream.content.at_eof():
                    break  # an answer to HEAD has no body, and aiohttp says so for ever
        except aiohttp.ClientError:
            taken.end = "cut"
            return _broken(request, response)
        return response

    def _exchange(self, taken: _Passing) -> RecordedExchange:
        pieces = self._scrubber.blank_pieces([data for _, data in taken.pieces])
        path, value = self._scrubber.named(taken.path, taken.query, taken.request, taken.own)
        return RecordedExchange(
            method=taken.method,
            path=path,
            request=hashed(value) if self._hash else value,
            status=taken.status,
            headers={name: self._scrubber.blank_text(value) for name, value in taken.headers.items()},
            chunks=tuple(RecordedPiece(at, data) for (at, _), data in zip(taken.pieces, pieces, strict=True)),
            end=taken.end,
        )


def _unpacked(request: web.BaseRequest, raw: bytes) -> bytes:
    if request.headers.get("Content-Encoding") == "gzip":
        with contextlib.suppress(ValueError):  # the gateway says what it thinks of it
            return gunzip(raw, _MAX_BODY)
    return raw


def _broken(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Break the connection as it broke upstream; aiohttp takes the response for one whose client went."""
    if request.transport is not None:
        request.transport.close()
    return response
