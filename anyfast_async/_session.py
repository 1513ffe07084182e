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

from anyfast_async._core.packing import BombError, check_ratio
from anyfast_async._exchange import Exchange


class SentHeaders(dict[str, str]):
    """Request headers; the key is among them, so they never show."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


def _is_own(method: object) -> bool:
    code = getattr(method, "__code__", None)
    return code is not None and code.co_filename == aiohttp.client.__file__


_request: object = aiohttp.ClientSession._request  # noqa: SLF001 - where they hook in
_OWN: Final = _request if _is_own(_request) else None


def is_hooked() -> bool:
    """Whether a mock or a tracer stands in for the method of aiohttp that every request of a session goes through."""
    method: object = aiohttp.ClientSession._request  # noqa: SLF001 - where they hook in
    return method is not _OWN and not _is_own(method)


class Progress:
    """How far a request of the session is, and since when it connects."""

    __slots__ = ("connecting_since", "exchange")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connecting_since = 0.0


async def _on_connect_start(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.connecting_since = asyncio.get_running_loop().time()


async def _on_connect_end(_: object, ctx: SimpleNamespace, __: object) -> None:
    progress: Progress = ctx.trace_request_ctx
    progress.exchange.connect_seconds = asyncio.get_running_loop().time() - progress.connecting_since
    progress.exchange.sent()


async def _on_reuse(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.exchange.reused = True
    ctx.trace_request_ctx.exchange.sent()


async def _on_chunk_sent(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.exchange.sent()


def tracing() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_on_connect_start)
    trace.on_connection_create_end.append(_on_connect_end)
    trace.on_connection_reuseconn.append(_on_reuse)
    trace.on_request_chunk_sent.append(_on_chunk_sent)
    return trace


class Reading:
    """The link of an exchange that goes the session's way: a task that reads the response."""

    def __init__(self, exchange: Exchange, response: aiohttp.ClientResponse, *, is_last: bool) -> None:
        if is_last and response.connection is not None and response.connection.protocol is not None:
            response.connection.protocol.force_close()
        self._exchange = exchange
        self._response = response
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        exchange.link = self
        if not exchange.sent_at:
            exchange.sent()  # a mock tells nothing of it
        exchange.framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
        exchange.began(response.status, {name.lower(): value for name, value in response.headers.items()})
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        content = self._response.content
        cause: BaseException | None = None
        unpacked = 0
        try:
            while piece := await content.readany():
                unpacked += len(piece)
                if content.total_compressed_bytes is not None:
                    check_ratio(content.total_compressed_bytes, unpacked)
                self._exchange.arrived(piece)
                await self._may_go_on.wait()
        except (aiohttp.ClientError, OSError, BombError) as error:
            cause = error
        if cause is None:
            self._exchange.ended()
            return
        # aiohttp raises before it hands out what had arrived; nothing received may be lost.
        if rest := b"".join(getattr(content, "_buffer", ())):
            self._exchange.arrived(rest)
        self._response.close()
        self._exchange.failed(cause, answering=True)

    def pause(self) -> None:
        self._may_go_on.clear()

    def resume(self) -> None:
        self._may_go_on.set()

    def abort(self) -> None:
        self._task.cancel()
        self._response.close()
