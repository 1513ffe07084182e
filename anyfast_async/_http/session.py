"""An exchange by aiohttp's ``ClientSession``.

It is for mocks and tracers, which hook in there, for plain http through a proxy, and for an aiohttp whose pool is not
the one known here.

Bodies are read by ``readany`` under a counter: ``read()`` lifts the limit on decompressed data, ``readline`` fails on
long lines.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Final

import aiohttp

from anyfast_async._core.http.compression import BombError, check_ratio
from anyfast_async._http.exchange import Asker, Exchange


class SentHeaders(dict[str, str]):
    """Request headers; the key is among them, so they never show."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


def _is_own(method: object) -> bool:
    code = getattr(method, "__code__", None)
    return code is not None and code.co_filename == aiohttp.client.__file__


_request: object = aiohttp.ClientSession._request  # noqa: SLF001 - where they hook in
OWN_REQUEST: Final = _request if _is_own(_request) else None
"""The method that stood there when aiohttp was loaded, None if something had hooked in by then."""


def is_hooked() -> bool:
    """Whether a mock or a tracer stands in for the method of aiohttp that every request of a session goes through."""
    method: object = aiohttp.ClientSession._request  # noqa: SLF001 - where they hook in
    return method is not OWN_REQUEST and not _is_own(method)


class SessionTrace:
    """How far a request is, before there is an exchange.

    Args:
        asker: told when a piece of the request is sent.

    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._connecting_since = 0.0
        self.connect_seconds: float | None = None
        self.reused = False
        self.sent_at = 0.0

    def __deepcopy__(self, _: object) -> SessionTrace:
        return self  # mocks keep copies of what they were called with: this would bring the call, and its loop, along

    def connecting(self) -> None:
        """Take in that a connection is made."""
        self._connecting_since = asyncio.get_running_loop().time()

    def connected(self) -> None:
        """Take in that it is made."""
        self.connect_seconds = asyncio.get_running_loop().time() - self._connecting_since

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self.reused or self.connect_seconds is not None

    def reuses(self) -> None:
        """Take in that the connection had served before."""
        self.reused = True

    def sent(self) -> None:
        """Take in that a piece of the request is sent, or will be at once."""
        self.sent_at = asyncio.get_running_loop().time()
        self._asker.on_sent(self.sent_at)


async def _on_connect_start(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.connecting()


async def _on_connect_end(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.connected()
    ctx.trace_request_ctx.sent()


async def _on_reuse(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.reuses()
    ctx.trace_request_ctx.sent()


async def _on_chunk_sent(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.sent()


def tracing() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_on_connect_start)
    trace.on_connection_create_end.append(_on_connect_end)
    trace.on_connection_reuseconn.append(_on_reuse)
    trace.on_request_chunk_sent.append(_on_chunk_sent)
    return trace


class Reading:
    """The link of an exchange that goes the session's way: a task that reads the response."""

    def __init__(self, response: aiohttp.ClientResponse, *, is_last: bool) -> None:
        if is_last and response.connection is not None and response.connection.protocol is not None:
            response.connection.protocol.force_close()
        self._response = response
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self._task: asyncio.Task[None] | None = None

    def begin(self, exchange: Exchange) -> None:
        """Tell *exchange* what comes."""
        if not exchange.sent_at:
            exchange.sent()  # a mock tells nothing of it
        headers = self._response.headers
        exchange.began(self._response.status, {name.lower(): value for name, value in headers.items()})
        self._task = asyncio.get_running_loop().create_task(self._read(exchange))

    async def _read(self, exchange: Exchange) -> None:
        content = self._response.content
        cause: BaseException | None = None
        unpacked = 0
        try:
            while piece := await content.readany():
                unpacked += len(piece)
                if content.total_compressed_bytes is not None:
                    check_ratio(content.total_compressed_bytes, unpacked)
                exchange.arrived(piece)
                await self._may_go_on.wait()
        except (aiohttp.ClientError, OSError, BombError) as error:
            cause = error
        if cause is None:
            exchange.ended()
            return
        # aiohttp raises before it hands out what had arrived; nothing received may be lost.
        if rest := b"".join(getattr(content, "_buffer", ())):
            exchange.arrived(rest)
        self._response.close()
        headers = self._response.headers
        framed = "Content-Length" in headers or "Transfer-Encoding" in headers
        exchange.failed(cause, answering=True, framed=framed)

    def pause(self) -> None:
        self._may_go_on.clear()

    def resume(self) -> None:
        self._may_go_on.set()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._response.close()
