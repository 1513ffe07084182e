"""aiohttp's pool of connections, and what it has to do that it does not do by itself.

Connections are looked at before they are used again, TLS is 1.2 or later, and TCP asks whether the other side is there.
``limit=0``: the connector's own queue loses wake-ups when a waiter is woken and cancelled in one tick; our gate is the
only queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from anyfast_async._core.http.connection_trust import Trust
from anyfast_async._core.http.usual_head import UsualHeads
from anyfast_async._http.keepalive import KEEPALIVE, Idle
from anyfast_async._http.wire import Wire, looking_at

if TYPE_CHECKING:
    from yarl import URL

PROBE_AFTER: Final = 60
"""Seconds of silence after which TCP asks whether the other side is still there."""


def socket_factory(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPALIVE", PROBE_AFTER), ("TCP_KEEPINTVL", 15)):
        option = getattr(socket, name, None)  # Linux has the first, macOS the second
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


class Target(aiohttp.ClientRequest):
    """Where connections lead, in the form that aiohttp's connector takes; it is never sent.

    Args:
        url: the origin.
        loop: theirs.
        proxy: if they go through one.
        tls: if they use it.
        trust: in the origin.
        max_head: the largest head of an answer in bytes.

    """

    def __init__(
        self,
        url: URL,
        loop: asyncio.AbstractEventLoop,
        *,
        proxy: URL | None,
        tls: ssl.SSLContext | bool,
        trust: Trust,
        max_head: int,
    ) -> None:
        super().__init__("GET", url, loop=loop, proxy=proxy, ssl=tls)
        self.trust = trust
        self.usual = UsualHeads(max_head)
        """The heads of its answers."""
        self.idle = Idle(loop)
        """The connections that wait."""

    @functools.cached_property
    def connection_key(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - it is worked out once
        """What tells connections apart in the pool."""
        return super().connection_key


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which does not look at a connection before it gives it out again."""

    async def _get(self, key: Any, traces: Any) -> aiohttp.connector.Connection | None:
        """Return a kept connection on which nothing lies, None if there is none.

        What came after the last answer (a second answer, a refusal of the idle connection, its end) would be taken for
        the next one: RFC 9112 9.2. It is read before the connection is closed, to learn what it was.
        """
        while (kept := await super()._get(key, traces)) is not None and not _is_usable(kept):
            self._loop.call_soon(self._loop.call_soon, kept.close)
        return kept


def _is_usable(kept: aiohttp.connector.Connection) -> bool:
    transport = kept.transport
    wire = transport.get_protocol() if transport is not None else None
    if type(wire) is Wire:
        return wire.is_usable()
    handler = kept.protocol
    return transport is not None and handler is not None and not (handler.should_close or looking_at(transport)(0))


def is_known() -> bool:
    """Whether this aiohttp takes what the direct way gives it."""
    connect = inspect.signature(aiohttp.BaseConnector.connect).parameters
    target = inspect.signature(aiohttp.ClientRequest).parameters
    get = inspect.signature(aiohttp.BaseConnector._get).parameters  # noqa: SLF001 - the look before reuse
    return (
        tuple(connect) == ("self", "req", "traces", "timeout")
        and tuple(get) == ("self", "key", "traces")
        and {"method", "url", "loop", "proxy", "ssl"} <= set(target)
    )


def new_session(tls: ssl.SSLContext | None, max_head: int, trace: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """Return a session with a pool of its own: no redirects, no cookies, no environment, no clocks of aiohttp's."""
    return aiohttp.ClientSession(
        connector=Connector(
            limit=0,
            keepalive_timeout=KEEPALIVE,
            ttl_dns_cache=300,
            ssl=tls or True,
            socket_factory=socket_factory,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        trace_configs=[trace],
        max_line_size=max_head,
        max_field_size=max_head,
        max_headers=max_head,
    )


def clear(targets: Iterable[Target]) -> None:
    """Let go of the connections that wait, after the connector that made them was closed."""
    for target in targets:
        target.idle.close()


def abandon(session: aiohttp.ClientSession) -> None:
    """Close the connections of a session whose loop was left and does not run, so that nothing of it can be awaited."""
    connector = session.connector
    session.detach()
    if connector is None:
        return
    for transport in tuple(_transports(connector)):
        sock = transport.get_extra_info("socket")
        transport.abort()  # a turn of its loop would close it
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as other:
            other.shutdown(socket.SHUT_RDWR)
    connector._close()  # noqa: SLF001 - close() would have to be awaited


def _transports(connector: aiohttp.BaseConnector) -> Iterator[Any]:
    kept = (handler for handlers in connector._conns.values() for handler, _ in handlers)  # noqa: SLF001
    for handler in (*kept, *connector._acquired):  # noqa: SLF001
        if handler.transport is not None:
            yield handler.transport
