"""Exchanges over aiohttp's pooled connections. The only file that imports aiohttp's client.

There are two ways. The direct one takes a connection from aiohttp's connector (``BaseConnector.connect``: pool, name
resolution, TLS, proxies) and speaks HTTP over it with :class:`Wire`: what ``ClientSession`` does beside that for each
request, of which nothing is used here, costs more than all the rest of a call. The session's way is for whatever the
direct one would pass by: mocks and tracers that hook into ``ClientSession``, plain http through a proxy, and an aiohttp
whose connector is not the one known here.

What aiohttp does by default and must not do here, and why:

* ``limit=0``: its connector's queue loses wake-ups when a waiter is woken and cancelled in one tick; our gate is the
  only queue.
* no redirects (they would send the prompt, and some headers, elsewhere), no cookies, no ``trust_env`` (netrc would
  replace the Authorization header, and costs two thread hops a request).
* bodies only by ``readany`` under a counter: ``read()`` lifts the limit on decompressed data, ``readline`` fails on
  long lines.
* its total timeout of 300 s is off; the clocks are ours.
* its exceptions hold the request headers, so none of them leaves this file, not even as ``__context__``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import io
import socket
import ssl
import time
import warnings
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs
from aiohttp import http_exceptions
from yarl import URL

from anyfast_async._core.http1 import BombError, check_ratio
from anyfast_async._exchange import Exchange
from anyfast_async._faults import connection_error
from anyfast_async._outgoing import Route
from anyfast_async._wire import LARGE_BODY, Wire
from anyfast_async.errors import APIConnectionError, ClientStateError

if TYPE_CHECKING:
    from anyfast_async._key import Key

__all__ = ["Exchange", "Transport"]

KEEPALIVE: Final = 55.0
"""Seconds an idle connection is kept: below the 60 s after which common proxies drop it."""
READ_SIZE: Final = 256 * 1024
"""Most bytes that are read from a connection at once."""
PROBE_AFTER: Final = 60
"""Seconds of silence after which TCP asks whether the other side is still there."""


class SentHeaders(dict[str, str]):
    """Request headers; the key is among them, so they never show."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


def _socket_factory(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPALIVE", PROBE_AFTER), ("TCP_KEEPINTVL", 15)):
        option = getattr(socket, name, None)  # Linux has the first, macOS the second
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


class _Target(aiohttp.ClientRequest):
    """Where a connection leads, in the form that aiohttp's connector takes; it is never sent."""

    @functools.cached_property
    def connection_key(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - it is worked out once
        """What tells connections apart in the pool."""
        return super().connection_key


def _is_known() -> bool:
    """Whether this aiohttp takes what the direct way gives it."""
    connect = inspect.signature(aiohttp.BaseConnector.connect).parameters
    target = inspect.signature(aiohttp.ClientRequest).parameters
    return tuple(connect) == ("self", "req", "traces", "timeout") and {"method", "url", "loop", "proxy"} <= set(target)


def _is_hooked() -> bool:
    """Whether a mock or a tracer stands in for the method of aiohttp that every request of a session goes through."""
    code = getattr(aiohttp.ClientSession._request, "__code__", None)  # noqa: SLF001 - where they hook in
    return code is None or code.co_filename != aiohttp.client.__file__


@functools.lru_cache(maxsize=64)
def _to_connect(seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds)


# -- the session's way -----------------------------------------------------------------------------------------------


@attrs.define
class _Progress:
    """How far a request of the session is, and since when it connects."""

    exchange: Exchange
    connecting_since: float = 0.0


async def _on_connect_start(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.connecting_since = asyncio.get_running_loop().time()


async def _on_connect_end(_: object, ctx: SimpleNamespace, __: object) -> None:
    progress: _Progress = ctx.trace_request_ctx
    progress.exchange.connect_seconds = asyncio.get_running_loop().time() - progress.connecting_since
    progress.exchange.sent()


async def _on_reuse(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.exchange.reused = True
    ctx.trace_request_ctx.exchange.sent()


async def _on_chunk_sent(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.exchange.sent()


def _tracing() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_on_connect_start)
    trace.on_connection_create_end.append(_on_connect_end)
    trace.on_connection_reuseconn.append(_on_reuse)
    trace.on_request_chunk_sent.append(_on_chunk_sent)
    return trace


class _Reading:
    """The link of an exchange that goes the session's way: a task that reads the response."""

    def __init__(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        self._exchange = exchange
        self._response = response
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        exchange.link = self
        if not exchange.sent_at:
            exchange.sent()  # a mock tells nothing of it
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


# -- both ------------------------------------------------------------------------------------------------------------


class Transport:
    """The pooled connections of a client. It belongs to the loop in which it is first used."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None, proxy: str | None, hint: str = "") -> None:
        self._hint = hint
        self._ssl = ssl_context
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._left: list[aiohttp.ClientSession] = []
        """Sessions whose connections are not used again, until they are closed."""
        self._parents: list[object] = []
        """What belongs to the process that this one was forked from."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._targets: dict[tuple[str, str | None, int | None], _Target] = {}
        self._is_direct = False
        self._closed = False
        self._ending: AsyncGenerator[None, None] | None = None
        self.on_loop_end: Callable[[], None] = lambda: None
        """Called when the loop ends while there are connections."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it serves, None before its first use."""
        return self._loop

    async def exchange(
        self,
        route: Route,
        *,
        key: Key,
        body: bytes | None,
        idempotency_key: str | None = None,
        connect_timeout: float | None,
        on_sent: Callable[[float], None],
    ) -> Exchange:
        """Send a request and return when the head of the answer is there.

        *on_sent* is told the loop time each time when a piece of the request is sent: the clocks that wait for the
        answer start there.

        Raises:
            APIConnectionError: there is no answer.

        """
        secret = key.fixed or await key.get()
        session = self._session_here()
        exchange = Exchange(route.host, on_sent, secret, self._explained)
        patience = _to_connect(connect_timeout)
        found: APIConnectionError | None = None
        try:
            if self._is_direct and not _is_hooked() and (route.secure or self._proxy is None):
                wire = await self._wired(session, route, exchange, patience)
                wire.send(route, secret, idempotency_key, body)
            else:
                fields = SentHeaders(route.fields(secret, idempotency_key))
                response = await session.request(
                    route.method,
                    route.url,
                    data=io.BytesIO(body) if body is not None and len(body) > LARGE_BODY else body,
                    headers=fields,
                    allow_redirects=False,
                    timeout=patience,
                    proxy=self._proxy,
                    trace_request_ctx=_Progress(exchange),
                )
                _Reading(exchange, response)
        except (aiohttp.ClientError, OSError, http_exceptions.HttpProcessingError) as error:
            unconnected = exchange.connect_seconds is None and not exchange.reused
            found = connection_error(
                error,
                exchange.host,
                self._hint,
                reused=exchange.reused,
                answering=False,
                connecting=unconnected and self._proxy is not None,
            )
        if found is not None:
            raise found
        try:
            await exchange.opened()
        except BaseException:
            exchange.close()
            raise
        return exchange

    def _explained(self, cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
        return connection_error(cause, exchange.host, self._hint, reused=exchange.reused, answering=answering)

    async def _wired(
        self, session: aiohttp.ClientSession, route: Route, exchange: Exchange, patience: aiohttp.ClientTimeout
    ) -> Wire:
        """Return a connection that carries *exchange*."""
        connector = session.connector
        assert connector is not None  # noqa: S101 - the session was made with it
        began = time.perf_counter()
        try:
            connection = await connector.connect(self._target(route), [], patience)
        except TimeoutError as error:
            if type(error) is not TimeoutError:
                raise
            raise aiohttp.ConnectionTimeoutError from None
        transport = connection.transport
        wire = transport.get_protocol() if transport is not None else None
        if isinstance(wire, Wire):
            exchange.reused = True
            wire.begin(exchange, connection)
            return wire
        exchange.connect_seconds = time.perf_counter() - began
        if transport is None or wire is None or transport.is_closing():  # in the moment since it was made
            connection.close()
            raise aiohttp.ServerDisconnectedError
        early: bytes = getattr(wire, "_tail", b"")  # what a server said before it was asked
        wire = Wire(transport, wire, self._buffer)
        transport.set_protocol(wire)
        wire.begin(exchange, connection, early)
        return wire

    def _target(self, route: Route) -> _Target:
        target = self._targets.get(route.origin)
        if target is None:
            proxy = URL(self._proxy) if self._proxy is not None else None
            target = _Target("GET", route.url.origin(), loop=asyncio.get_running_loop(), proxy=proxy)
            self._targets[route.origin] = target
        return target

    def _session_here(self) -> aiohttp.ClientSession:
        if self._session is not None and not self._closed:
            return self._session
        if self._closed:
            message = "the client is closed"
            raise ClientStateError(message)
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE,
            ttl_dns_cache=300,
            ssl=self._ssl if self._ssl is not None else True,
            socket_factory=_socket_factory,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
            trace_configs=[_tracing()],
        )
        self._targets = {}
        self._is_direct = _is_known() and len(self._session.trace_configs) == 1  # no tracer added its own
        self._ending = self._until_the_loop_ends(self._session)
        with contextlib.suppress(StopIteration):  # it runs to its yield, and is known to the loop from then on
            self._ending.asend(None).send(None)
        return self._session

    def renew(self) -> None:
        """Use no idle connection again, because they may be dead without a sign; those in use go on."""
        if self._session is not None:
            self._left.append(self._session)
            self._session = None

    def leave_to_parent(self) -> None:
        """After a fork: forget the connections. They are the parent's; closing them here would disturb it."""
        self.renew()
        self._loop = None
        for session in self._left:
            connector = session.connector
            session.detach()
            connector._closed = True  # type: ignore[union-attr]  # noqa: SLF001 - so that its end closes nothing
            self._parents.append((connector, self._ending))
        self._left.clear()
        self._ending = None

    async def leave_loop(self) -> None:
        """Drop the connections; those of a loop that is closed by now too."""
        self.renew()
        self._loop = None
        while self._left:
            await self._left.pop().close()

    async def _until_the_loop_ends(self, session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
        """Close the connections when the loop shuts its generators down: later nothing could, and asyncio warns."""
        try:
            yield
        finally:
            if self._session is session:
                self.on_loop_end()
                await self.leave_loop()

    def __del__(self) -> None:
        session, loop = self._session, self._loop
        if session is None or loop is None or session.closed:
            return
        close = getattr(session.connector, "_close", None)  # close() would have to be awaited
        session.detach()  # aiohttp has nothing more to say of it
        if not loop.is_closed() and close is not None:
            loop.call_soon_threadsafe(close)
        warnings.warn("an AnyFast client was never closed; use `async with`, or await aclose()", ResourceWarning, 2)

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        await self.leave_loop()
        if self._ending is not None:
            await self._ending.aclose()
