"""Exchanges over aiohttp's pooled connections, which ``_http/pool`` makes.

There are two ways. The direct one takes a connection from aiohttp's connector (``BaseConnector.connect``: pool, name
resolution, TLS, proxies) and speaks HTTP over it with :class:`Wire`: what ``ClientSession`` does beside that for each
request, of which nothing is used here, costs more than all the rest of a call. The session's way is for whatever the
direct one would pass by: mocks and tracers that hook into ``ClientSession``, plain http through a proxy, and an aiohttp
whose connector is not the one known here.

What aiohttp does by default and must not do here, and why:

* no redirects (they would send the prompt, and some headers, elsewhere), no cookies, no ``trust_env`` (netrc would
  replace the Authorization header, and costs two thread hops a request).
* its total timeout of 300 s is off; the clocks are ours.
* its exceptions hold the request headers, so none of them leaves these files, not even as ``__context__``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import ssl
import warnings
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from anyfast_async._core.http.connection_trust import Trust
from anyfast_async._http.early_answer import listen, refusal
from anyfast_async._http.exchange import Asker, Exchange, Explain, Link
from anyfast_async._http.keepalive import Kept
from anyfast_async._http.pool import Target, abandon, clear, is_known, new_session
from anyfast_async._http.request_headers import Route
from anyfast_async._http.session import OWN_REQUEST, Reading, SentHeaders, SessionTrace, is_hooked, tracing
from anyfast_async._http.tls import default_context
from anyfast_async._http.wire import LARGE_BODY, REFUSED
from anyfast_async._size_limits import MAX_HEAD
from anyfast_async.errors import APIConnectionError, ClientStateError

if TYPE_CHECKING:
    from anyfast_async._http.api_key import Key, Secret

__all__ = ["Exchange", "Transport"]

Origin: TypeAlias = tuple[str, str | None, int | None]

READ_SIZE: Final = 256 * 1024
"""Most bytes that are read from a connection at once."""


@functools.lru_cache(maxsize=64)
def _to_connect(seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds)


def _warn_of_surplus(trust: Trust, route: Route) -> None:
    trust.told()
    warnings.warn(
        f"{route.host} sends more than the answers to its requests: for a minute each request gets a connection of its "
        "own, so that no answer is taken for another's",
        stacklevel=3,
    )


def _explained(hint: str, cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
    """Return our exception for what broke *exchange* off; no method, so that no exchange holds one of its own."""
    from anyfast_async._http.connection_errors import connection_error  # noqa: PLC0415 - loaded by `_client/shared`

    return connection_error(
        *(cause, exchange.host, hint),
        reused=exchange.reused,
        answering=answering,
        asked=exchange.asked,
        status=exchange.status,
        hide=exchange.hide,
    )


class Transport:
    """The pooled connections of a client. It belongs to the loop in which it is first used.

    Args:
        ssl_context: for TLS, None for the system's authorities.
        proxy: the URL of one.
        hint: said where no connection could be made.
        max_head: the largest head of an answer in bytes.
        on_loop_end: called when the loop ends while there are connections.

    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None,
        proxy: str | None,
        hint: str = "",
        max_head: int = MAX_HEAD,
        on_loop_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._hint = hint
        self._explain: Explain = functools.partial(_explained, hint)
        self._ssl = ssl_context
        self._proxy = proxy
        self._max_head = max_head
        self._session: aiohttp.ClientSession | None = None
        self._left: list[tuple[aiohttp.ClientSession, dict[Origin, Target]]] = []
        """Sessions whose connections are not used again, until they are closed, and where those wait."""
        self._parents: list[object] = []
        """What belongs to the process that this one was forked from."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer: memoryview | None = None
        self._targets: dict[Origin, Target] = {}
        self._trust: dict[Origin, Trust] = {}
        self._is_direct = False
        self._closed = False
        self._ending: AsyncGenerator[None, None] | None = None
        self._on_loop_end = on_loop_end

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it serves, None before its first use."""
        return self._loop

    def at_once(  # noqa: PLR0917 - called for each request: names cost time
        self,
        route: Route,
        secret: Secret | None,
        body: bytes | None,
        idempotency_key: str | None,
        asker: Asker,
        in_one: bool = False,
    ) -> Exchange | None:
        """Send a request on a connection that has waited, None if there is none: then :meth:`connected` makes one.

        *asker* is told when a piece of the request is sent. *in_one*: only the whole answer is of use.
        """
        target = self._targets.get(route.origin)
        is_own = aiohttp.ClientSession._request is OWN_REQUEST  # noqa: SLF001 - else it takes a closer look
        if target is None or secret is None or self._closed or (not is_own and is_hooked()):
            return None
        if (kept := target.idle.take()) is None:
            return None
        link = kept.wire
        exchange = Exchange(link, route.host, asker, secret, self._explain, self._loop, reused=True, in_one=in_one)
        link.begin(exchange, kept)
        link.send(route, secret, idempotency_key, body)
        return exchange

    async def connected(  # noqa: PLR0917 - as above
        self,
        route: Route,
        key: Key,
        body: bytes | None,
        idempotency_key: str | None,
        asker: Asker,
        connect_timeout: float | None,
        in_one: bool = False,
    ) -> Exchange:
        """Send a request on a new connection, or as ``ClientSession`` does where something hooks in there.

        Raises:
            APIConnectionError: there is no connection.

        """
        secret = key.fixed
        if secret is None:
            secret = await key.get()
            if (found := self.at_once(route, secret, body, idempotency_key, asker, in_one)) is not None:
                return found
        session = self._session
        if session is None or self._closed or (self._ssl is None and route.secure):
            session = await self._session_for(route)
        progress = SessionTrace(asker)
        patience = _to_connect(connect_timeout)
        try:
            if self._is_direct and not is_hooked() and (route.secure or self._proxy is None):
                kept = await self._connected(session, route, progress, patience)
                exchange = self._on(kept.wire, route, secret, progress, asker, in_one=in_one)
                kept.wire.begin(exchange, kept)
                await listen(kept, exchange, is_secure=route.secure)
                kept.wire.send(route, secret, idempotency_key, body)
            else:
                fields = SentHeaders(route.fields(secret, idempotency_key))
                response = await self._asked(session, route, progress, patience, fields, body)
                reading = Reading(response, is_last=route.is_last)
                exchange = self._on(reading, route, secret, progress, asker)
                reading.begin(exchange)
        except (aiohttp.ClientError, OSError, http_exceptions.HttpProcessingError) as error:
            failure = self._unanswered(error, route, progress)
        else:
            return exchange
        raise failure

    async def headed(self, exchange: Exchange) -> Exchange:
        """Return an exchange that has asked when the head of its answer is there.

        Raises:
            APIConnectionError: there is no answer.
            AnyFastError: the server refused the request before it was sent.

        """
        try:
            if not exchange.status:
                await exchange.opened()
            if not exchange.asked and exchange.status >= REFUSED:
                raise await refusal(exchange)  # noqa: TRY301 - it is closed as if it was cancelled
        except BaseException:
            exchange.close()
            raise
        return exchange

    def _on(
        self,
        link: Link,
        route: Route,
        secret: Secret,
        progress: SessionTrace,
        asker: Asker,
        *,
        in_one: bool = False,
    ) -> Exchange:
        """Return an exchange on a *link* that was made with this *progress*."""
        return Exchange(
            *(link, route.host, asker, secret, self._explain, self._loop),
            reused=progress.reused,
            connect_seconds=progress.connect_seconds,
            sent_at=progress.sent_at,
            in_one=in_one,
        )

    def _unanswered(self, cause: Exception, route: Route, progress: SessionTrace) -> APIConnectionError:
        from anyfast_async._http.connection_errors import connection_error  # noqa: PLC0415 - loaded by `_client/shared`

        return connection_error(
            cause,
            route.host,
            self._hint,
            reused=progress.reused,
            answering=False,
            connecting=self._proxy is not None and not progress.is_connected,
        )

    async def _connected(
        self, session: aiohttp.ClientSession, route: Route, progress: SessionTrace, patience: aiohttp.ClientTimeout
    ) -> Kept:
        """Return a new connection."""
        target = self._targets.get(route.origin) or self._new_target(route)
        if target.trust.is_news:
            _warn_of_surplus(target.trust, route)
        connector = session.connector
        assert connector is not None  # noqa: S101 - the session was made with it
        progress.connecting()
        try:
            connection = await connector.connect(target, [], patience)
        except TimeoutError as error:
            if type(error) is not TimeoutError:
                raise
            raise aiohttp.ConnectionTimeoutError from None
        transport = connection.transport
        progress.connected()
        if transport is None or transport.is_closing():  # in the moment since it was made
            connection.close()
            raise aiohttp.ServerDisconnectedError
        kept = connection, transport, target.idle
        return Kept(*kept, buffer=self._read_into, trust=target.trust, usual=target.usual)

    async def _asked(  # noqa: PLR0917 - what a request consists of
        self,
        session: aiohttp.ClientSession,
        route: Route,
        progress: SessionTrace,
        patience: aiohttp.ClientTimeout,
        fields: SentHeaders,
        body: bytes | None,
    ) -> aiohttp.ClientResponse:
        """Send a request as ``ClientSession`` does; return the response, of which the head is there."""
        return await session.request(
            route.method,
            route.url,
            data=io.BytesIO(body) if body is not None and len(body) > LARGE_BODY else body,
            headers=fields,
            allow_redirects=False,
            timeout=patience,
            proxy=self._proxy,
            ssl=self._ssl or True,
            trace_request_ctx=progress,
        )

    @property
    def _read_into(self) -> memoryview:
        """Where all connections put what they read, one after the other; made with the first of them."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(READ_SIZE))
        return self._buffer

    @property
    def in_use(self) -> int:
        """Connections that carry an exchange."""
        connector = None if self._session is None else self._session.connector
        busy = 0 if connector is None else len(connector._acquired)  # noqa: SLF001 - of aiohttp, for who looks closely
        return busy - sum(len(target.idle) for target in self._targets.values())

    def _new_target(self, route: Route) -> Target:
        proxy = URL(self._proxy) if self._proxy is not None else None
        trust, loop = self._trust.setdefault(route.origin, Trust()), asyncio.get_running_loop()
        origin, tls, most = route.url.origin(), self._ssl or True, self._max_head
        made = Target(origin, loop, proxy=proxy, tls=tls, trust=trust, max_head=most)
        return self._targets.setdefault(route.origin, made)

    async def _session_for(self, route: Route) -> aiohttp.ClientSession:
        """Return the session, made now, with TLS if *route* wants it."""
        if self._ssl is None and route.secure:
            self._ssl = await asyncio.to_thread(default_context)  # it reads the system's authorities, once
        return self._session_here()

    def _session_here(self) -> aiohttp.ClientSession:
        if self._session is not None and not self._closed:
            return self._session
        if self._closed:
            message = "the client is closed"
            raise ClientStateError(message)
        self._loop = asyncio.get_running_loop()
        self._session = new_session(self._ssl, self._max_head, tracing())
        self._targets = {}
        self._is_direct = is_known() and len(self._session.trace_configs) == 1  # no tracer added its own
        self._ending = self._until_the_loop_ends(self._session)
        with contextlib.suppress(StopIteration):  # it runs to its yield, and is known to the loop from then on
            self._ending.asend(None).send(None)
        return self._session

    def renew(self) -> None:
        """Use no idle connection again, because they may be dead without a sign; those in use go on."""
        if self._session is not None:
            self._left.append((self._session, self._targets))
            self._session, self._targets = None, {}

    def leave_to_parent(self) -> None:
        """After a fork: forget the connections. They are the parent's; closing them here would disturb it."""
        self.renew()
        self._loop = None
        for session, targets in self._left:
            connector = session.connector
            session.detach()
            connector._closed = True  # type: ignore[union-attr]  # noqa: SLF001 - so that its end closes nothing
            self._parents.append((connector, targets, self._ending))
        self._left.clear()
        self._ending = None

    async def leave_loop(self) -> None:
        """Drop the connections, also those of a loop that was closed, or left and does not run."""
        self.renew()
        loop, self._loop = self._loop, None
        while self._left:
            session, targets = self._left.pop()
            try:
                if loop is None or loop.is_closed() or loop is asyncio.get_running_loop():
                    await session.close()
                else:
                    abandon(session)
            finally:
                clear(targets.values())

    async def _until_the_loop_ends(self, session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
        """Close the connections when the loop shuts its generators down: later nothing could, and asyncio warns."""
        try:
            yield
        finally:
            if self._session is session:
                self._on_loop_end()
                await self.leave_loop()

    def let_go(self) -> bool:
        """Close the connections without waiting for it, from any thread; return whether there were any to close."""
        session, loop = self._session, self._loop
        if session is None or loop is None or session.closed:
            return False
        close = getattr(session.connector, "_close", None)  # close() would have to be awaited
        session.detach()  # aiohttp has nothing more to say of it
        if close is not None and loop.is_closed():
            close()
            clear(self._targets.values())
        elif close is not None:
            loop.call_soon_threadsafe(close)
        return True

    def __del__(self) -> None:
        if self.let_go():
            message = "an AnyFast client was never closed; use `async with`, or await aclose()"
            warnings.warn(message, ResourceWarning, 2)

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        await self.leave_loop()
        if self._ending is not None:
            await self._ending.aclose()
