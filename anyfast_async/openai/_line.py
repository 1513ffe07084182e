"""The client as one call of the door uses it: it adds a query, and keeps what came over the wire."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async._core import codec
from anyfast_async._core.problem import as_is, shown_headers
from anyfast_async.client import AnyFast
from anyfast_async.openai._http import Headers, HTTPResponse, Request

if TYPE_CHECKING:
    from yarl import URL

    from anyfast_async._call import Call
    from anyfast_async._clock import Clock
    from anyfast_async._exchange import Exchange
    from anyfast_async._outgoing import Route
    from anyfast_async.policies import Timeouts
    from anyfast_async.requests import ChatRequest


@attrs.define
class Wire:
    """The last attempt of a call, as it was on the wire."""

    request: Request
    status: int | None = None
    """None as long as there is no answer."""
    headers: Headers = attrs.field(factory=Headers)
    content: bytes = b""
    attempts: int = 0
    began: float = 0.0
    """Loop time."""
    seconds: float = 0.0
    hide: Callable[[str], str] = as_is
    """Takes the key out of what an exception shows."""

    def response(self, content: bytes | None = None) -> HTTPResponse:
        """Return the response; for an exception with *content*, which is fit to be shown, and such headers."""
        return HTTPResponse(
            status_code=self.status or 0,
            headers=self.headers if content is None else Headers(shown_headers(self.headers, self.hide)),
            request=self.request,
            content=self.content if content is None else content,
            elapsed=dt.timedelta(seconds=self.seconds),
        )


class Lifetime:
    """Ends a client: when it is closed, or when a program that never closes it has let go of it."""

    def __init__(self, client: AnyFast) -> None:
        self.client = client
        self.ended: bool = False

    async def end(self) -> None:
        """Close the client."""
        self.ended = True
        await self.client.aclose()

    def __del__(self) -> None:
        # Programs for the vendor SDK do not close it, and nothing is said then.
        transport = self.client._shared.transport  # noqa: SLF001 - see the class
        session, loop = transport._session, transport.loop  # noqa: SLF001
        if self.ended or session is None or session.closed or loop is None:
            return
        connector = session.connector
        session.detach()
        if connector is not None and loop.is_closed():
            connector._close()  # noqa: SLF001 - close() wants to be awaited, and there is no loop
        elif connector is not None:
            loop.call_soon_threadsafe(connector._close)  # noqa: SLF001


class Line(AnyFast):
    """An ``AnyFast`` for one call; it shares connections and limits with the one that it was made of."""

    wire: Wire
    _query: Sequence[tuple[str, str]]

    @property
    def base_url(self) -> str:
        """The gateway, ending in a slash."""
        return f"{self._base_url}/"

    @classmethod
    def of(cls, client: AnyFast, path: str, query: Sequence[tuple[str, str]], **settings: Any) -> Line:
        """Return a line for a call of *path*; *settings* are those of ``AnyFast.with_options``.

        Raises:
            ConfigurationError: as ``AnyFast.with_options``.

        """
        line = object.__new__(cls)
        line.__dict__.update(client.with_options(**settings).__dict__)
        line._query = query
        method = "GET" if path == "models" else "POST"
        line.wire = Wire(Request(method, str(line._url(path))))
        return line

    async def _encoded(self, request: ChatRequest) -> bytes:
        return codec.unsaid(await super()._encoded(request))  # as the vendor SDK does

    def _url(self, path: str) -> URL:
        return super()._url(path).update_query(self._query)

    async def _send(
        self, route: Route, key: str | None, body: bytes | None, timeouts: Timeouts, clock: Clock
    ) -> Exchange:
        wire, loop = self.wire, asyncio.get_running_loop()
        wire.status, wire.attempts, wire.began = None, wire.attempts + 1, loop.time()
        exchange = await super()._send(route, key, body, timeouts, clock)
        wire.status, wire.headers, wire.seconds = exchange.status, Headers(exchange.headers), loop.time() - wire.began
        wire.hide = exchange.hide
        return exchange

    async def _round_trip(  # noqa: PLR0917 - as above it
        self, route: Route, key: str | None, body: bytes | None, timeouts: Timeouts, clock: Clock, call: Call[Any]
    ) -> tuple[Exchange, bytes]:
        exchange, content = await super()._round_trip(route, key, body, timeouts, clock, call)
        self.wire.content, self.wire.seconds = content, asyncio.get_running_loop().time() - self.wire.began
        return exchange, content
