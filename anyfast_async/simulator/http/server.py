"""The HTTP side: reads requests, writes deliveries. The only file of the simulator that knows aiohttp."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, cast

from aiohttp import web

from anyfast_async.simulator.http.gateway import Delivery, Incoming
from anyfast_async.simulator.http.recording import Headers, RecordedRequest
from anyfast_async.simulator.script.rules import Cut, Drop, Stall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyfast_async.simulator.http.recording import Recording

__all__ = ["Server"]

# Long enough for the handlers to unwind after they were cancelled; then their connections are aborted.
_STOP_SECONDS = 0.1
# Writing to a loopback socket rarely has to wait, so a long stream gives way to other tasks every so often.
_EVENTS_PER_TURN = 32
_BACKLOG = 4096
_MAX_HEAD = 1024 * 1024  # as Go's net/http has it (DefaultMaxHeaderBytes)
# A request that is no HTTP is its sender's fault: it is answered, and nobody's terminal is written on.
_LOGGER = logging.getLogger("anyfast_async.simulator")
_LOGGER.addHandler(logging.NullHandler())
_PING = b": PING\n\n"  # relay/helper/common.go: PingData
# What the gateway's console would not say: a person looking at a response sees where it came from.
_SERVER_HEADER = "anyfast-simulator"
# struct linger: on, 0 seconds. Windows has two 16-bit fields, everybody else two ints.
_LINGER_ZERO = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Server:
    """Serves one simulator on one address, in the running loop."""

    def __init__(
        self, handle: Callable[[Incoming], Delivery], journal: Recording, *, max_body: int, keep_alive: float
    ) -> None:
        self._handle = handle
        self._journal = journal
        self._max_body = max_body
        self._stopping = False
        self._handlers: set[asyncio.Task[object]] = set()
        self._http = _Connections(self._serve, journal, keep_alive)
        self._listener: asyncio.Server  # from start() on

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that is listened on."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._http, host, port, backlog=_BACKLOG)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening, end every open answer and close every connection."""
        self._stopping = True
        self._listener.close()
        handlers = tuple(self._handlers)
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        self._http.pre_shutdown()
        await self._http.shutdown(_STOP_SECONDS)
        await self._http.abort()
        await self._listener.wait_closed()

    # -- one request -----------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        record = RecordedRequest(
            method=request.method,
            path=request.path_qs,
            headers=Headers(list(request.headers.items())),
            time=time.monotonic(),
            connection=self._http.number(request.protocol),
        )
        key = self._journal.begin(record)
        self._handlers.add(task)
        try:
            return await self._answer(request, record, key)
        except asyncio.CancelledError:
            # Cancelled by aiohttp because the connection is gone, unless it is us, closing.
            self._journal.update(key, disconnected=not self._stopping)
            raise
        except ConnectionError:
            # The client went while its answer was written; raised, aiohttp would report a fault of the handler.
            self._journal.update(key, disconnected=not self._stopping)
            return web.Response(status=499)
        finally:
            self._handlers.discard(task)
            self._journal.end()

    async def _answer(self, request: web.BaseRequest, record: RecordedRequest, key: int) -> web.StreamResponse:
        raw, too_large = await _read(request, self._max_body)
        self._journal.update(key, raw=raw)
        started = time.monotonic()
        delivery = self._handle(
            Incoming(
                method=record.method,
                path=request.path,
                query=request.rel_url.raw_query_string,
                headers={name.lower(): value for name, value in record.headers.items()},
                raw=raw,
                too_large=too_large,
                now=started,
            )
        )
        self._journal.update(key, body=delivery.request_body)

        def answered() -> None:
            self._journal.update(key, status=delivery.status)

        deliver = _deliver_whole if delivery.events is None else _deliver_stream
        return await deliver(request, delivery, started, answered)


async def _read(request: web.BaseRequest, limit: int) -> tuple[bytes, bool]:
    """The body; nothing, and True, if it is beyond the limit.

    A body that is too large is read to its end all the same, and thrown away: a server that answers early and
    closes may have its answer lost to a connection reset.
    """
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an interim response is not the answer
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
    return b"".join(parts), size > limit


async def _deliver_whole(
    request: web.BaseRequest, delivery: Delivery, started: float, answered: Callable[[], None]
) -> web.StreamResponse:
    """A status, headers and a body."""
    fault = delivery.fault
    headers = _headers(request, delivery)
    if isinstance(fault, Stall):
        await _until(None if fault.seconds is None else time.monotonic() + fault.seconds)
    await _until(started + max(delivery.delay, _SERVICE_TIME))
    if isinstance(fault, Drop):
        return _disconnected(request, web.StreamResponse(), rst=fault.rst)
    answered()
    if not isinstance(fault, Cut):
        # Written by aiohttp, head and body in one piece.
        return web.Response(status=delivery.status, headers=headers, body=delivery.body)
    response = web.StreamResponse(status=delivery.status, headers=headers)
    response.content_length = len(delivery.body)
    await response.prepare(request)
    # Half of what the head promised, or only the head.
    await response.write(delivery.body[: len(delivery.body) // 2 if fault.after else 0])
    return _disconnected(request, response, rst=fault.rst)


_SERVICE_TIME = 0.003
"""Seconds that every answer takes at least: two calls could never be seen in flight together at a gateway that answers
before it reads the next request."""


async def _deliver_stream(
    request: web.BaseRequest, delivery: Delivery, started: float, answered: Callable[[], None]
) -> web.StreamResponse:
    """Server-sent events, each in a write of its own."""
    fault = delivery.fault
    events = delivery.events or ()
    stream = _EventStream(request, delivery, answered)
    if isinstance(fault, Drop):
        return _disconnected(request, stream.response, rst=fault.rst)
    await _until(started + _SERVICE_TIME)
    faulty = fault.after if isinstance(fault, Cut | Stall) else None
    for number, event in enumerate((*events, None)):
        if number == faulty:
            await stream.send(b"")  # the head, if nothing else was sent
            if isinstance(fault, Cut):
                return _disconnected(request, stream.response, rst=fault.rst)
            if isinstance(fault, Stall):
                await stream.wait(None if fault.seconds is None else time.monotonic() + fault.seconds)
        if event is None:
            break
        if event.due:
            await stream.wait(started + event.due)
        await stream.send(event.data)
        if number % _EVENTS_PER_TURN == _EVENTS_PER_TURN - 1:
            await asyncio.sleep(0)
    return stream.response


class _EventStream:
    """A response whose head goes out with the first event: the gateway does not flush it before either."""

    def __init__(self, request: web.BaseRequest, delivery: Delivery, answered: Callable[[], None]) -> None:
        self.response = web.StreamResponse(status=delivery.status, headers=_headers(request, delivery))
        self._request = request
        self._ping = delivery.ping
        self._answered = answered

    async def send(self, data: bytes) -> None:
        if not self.response.prepared:
            self._answered()
            await self.response.prepare(self._request)
        await self.response.write(data)

    async def wait(self, moment: float | None) -> None:
        """Until a moment (None: for ever); with a comment after each interval of silence if wanted."""
        while self._ping is not None and (moment is None or moment - time.monotonic() > self._ping):
            await asyncio.sleep(self._ping)
            await self.send(_PING)
        await _until(moment)


def _headers(request: web.BaseRequest, delivery: Delivery) -> dict[str, str]:
    headers = {"Server": _SERVER_HEADER, **delivery.headers}
    if not request.keep_alive:
        headers.pop("Connection", None)
    return headers


async def _until(moment: float | None) -> None:
    """Until a moment; None: until this task is cancelled, because the client went or the server stops."""
    if moment is None:
        await asyncio.get_running_loop().create_future()
    elif (seconds := moment - time.monotonic()) > 0:
        await asyncio.sleep(seconds)


def _disconnected(request: web.BaseRequest, response: web.StreamResponse, *, rst: bool) -> web.StreamResponse:
    """Break the connection, after what was written (``rst``: with a TCP reset).

    The response is for aiohttp to return: its end cannot be written any more, and aiohttp takes that as a
    client that went away, silently.
    """
    # There is one: a handler is cancelled when its connection is lost.
    transport = cast("asyncio.Transport", request.transport)
    connection = transport.get_extra_info("socket")
    if rst and connection is not None:
        # A linger time of 0 makes close() send RST instead of FIN (socket(7), SO_LINGER).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.close()
    return response


class _Connections(web.Server):
    """aiohttp's low-level server, with its connections numbered."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        journal: Recording,
        keep_alive: float,
    ) -> None:
        # Handlers are cancelled when the client goes: how else would a silent answer end.
        # Bodies are recorded as they were sent; the gateway undoes their compression.
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=keep_alive,
            max_line_size=_MAX_HEAD,
            max_field_size=_MAX_HEAD,
            logger=_LOGGER,
        )
        self._journal = journal
        self._open: dict[web.RequestHandler, tuple[int, asyncio.Transport]] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = (self._journal.connected(), transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)

    def number(self, handler: web.RequestHandler) -> int:
        """The number of a connection, from 1."""
        return self._open[handler][0]

    async def abort(self) -> None:
        """Close what is still open without waiting for a client that does not read."""
        for _, transport in tuple(self._open.values()):
            transport.abort()
        while self._open:  # noqa: ASYNC110  # until the loop has told us of each, a turn or two from now
            await asyncio.sleep(0)
