"""A connection that carries one exchange after another: bytes out, and what comes in told to the exchange.

It is put in the place of aiohttp's protocol on a connection that aiohttp made, and stays there while the connection
waits in aiohttp's pool.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from anyfast_async._core.http1 import Body, BombError, MalformedError, TruncatedError, read_head

if TYPE_CHECKING:
    from anyfast_async._exchange import Exchange
    from anyfast_async._key import Secret
    from anyfast_async._outgoing import Route

TOGETHER: Final = 16 * 1024
"""Up to this size a request's body is written together with its head."""
LARGE_BODY: Final = 1024 * 1024
"""From this size on a body is written in slices, so that one upload does not stop the loop."""
SLICE: Final = 64 * 1024


class Place(Protocol):
    """The connection's place in the pool."""

    def release(self) -> None:
        """Give it back: the connection can be used again."""

    def close(self) -> None:
        """Give it up."""


class Wire(asyncio.BufferedProtocol):
    """The protocol of one connection.

    Args:
        transport: the connection's.
        before: the protocol that it had, which still has to be told when the connection is lost.
        buffer: where asyncio puts what it reads; wires of one loop may share it. The other kind of protocol costs many
            times as much: for each read asyncio then takes 256 KiB from the system, and gives them back.

    """

    __slots__ = (
        *("_before", "_body", "_buffer", "_cut", "_exchange", "_full", "_head", "_loop", "_paused", "_place"),
        *("_reusable", "_upload", "transport"),
    )

    def __init__(self, transport: asyncio.Transport, before: asyncio.BaseProtocol, buffer: memoryview) -> None:
        self.transport = transport
        self._before = before
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._exchange: Exchange | None = None
        self._place: Place | None = None
        self._head = b""  # what came of it so far
        self._reusable = False
        self._body: Body | None = None
        self._paused = False
        self._cut: tuple[Exception | None] | None = None
        self._upload: memoryview | None = None
        self._full = False

    # -- out ---------------------------------------------------------------------------------------------------------

    def begin(self, exchange: Exchange, place: Place, early: bytes = b"") -> None:
        """Carry *exchange*; *early* came before anything was sent."""
        self._exchange, self._place = exchange, place
        exchange.link = self
        if early:
            exchange.sent()
            self._received(early)

    def send(self, route: Route, secret: Secret, idempotency_key: str | None, body: bytes | None) -> None:
        """Send a request: at once, or a large one in slices, at most one in a turn of the loop."""
        if self._exchange is None:
            return  # the server answered before it was asked
        if body is None or len(body) <= TOGETHER:
            self.transport.write(route.head(secret, idempotency_key, body) + (body or b""))
        else:
            self.transport.write(route.head(secret, idempotency_key, body))
            if len(body) > LARGE_BODY:
                self._upload = memoryview(body)
                self._send_slice()
                return
            self.transport.write(body)
        self._exchange.sent()

    def _send_slice(self) -> None:
        if self._upload is None or self._exchange is None or self._full:
            return
        piece, rest = self._upload[:SLICE], self._upload[SLICE:]
        self._upload = rest or None
        self.transport.write(piece)
        self._exchange.sent()
        self._loop.call_soon(self._send_slice)

    def pause_writing(self) -> None:
        """Hear from asyncio that what was written waits."""
        self._full = True

    def resume_writing(self) -> None:
        """Hear from asyncio that most of it is gone."""
        self._full = False
        self._send_slice()

    # -- in ----------------------------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Tell asyncio where to put what comes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hear from asyncio that something came."""
        self._received(bytes(self._buffer[:nbytes]))

    def _received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # it answers nothing, and what comes after it could not be told apart
            self.transport.abort()
            return
        try:
            if self._body is None:
                found = read_head(self._head + data if self._head else data)
                if found is None:
                    self._head += data
                    return
                head, data = found
                self._head, self._body, self._reusable = b"", head.body, head.reusable
                exchange.began(head.status, head.headers)
            self._take(exchange, self._body, data)
        except (BombError, MalformedError, TruncatedError) as error:
            self._fail(error)

    def _take(self, exchange: Exchange, body: Body, data: bytes) -> None:
        piece = body.feed(data)
        while piece:
            exchange.arrived(piece)
            if self._exchange is not exchange:
                return  # it was closed
            if self._paused and body.held:
                return
            piece = body.more() if body.held else b""
        if body.done:
            body.end()
            self._end(keep=self._reusable and not body.rest and self._upload is None)
            exchange.ended()
        elif self._cut is not None:
            self._lose(*self._cut)

    def pause(self) -> None:
        """Stop reading; what was read already still comes, unless it is compressed."""
        self._paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if self._body is not None and self._body.held:
            self._received(b"")
        if not self._paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close the connection at once, with what it has not sent yet."""
        self._end(keep=False)

    def eof_received(self) -> None:
        """Hear from asyncio that no more comes."""
        self._lose(None)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear from asyncio that the connection is gone."""
        self._lose(exc)
        self._before.connection_lost(exc)

    def _lose(self, cause: Exception | None) -> None:
        exchange, body = self._exchange, self._body
        if exchange is None:
            return
        if body is not None and body.held:
            self._cut = (cause,)  # once that has been taken
            return
        if cause is None:
            try:
                self._check_end(body)
            except TruncatedError as error:
                cause = error
        if cause is None and body is not None:
            self._end(keep=False)
            exchange.ended()
        else:
            self._fail(cause)

    def _check_end(self, body: Body | None) -> None:
        if body is not None:
            body.end()
        elif self._head:
            message = "in the middle of its head"
            raise TruncatedError(message)

    def _fail(self, cause: Exception | None) -> None:
        exchange, answering = self._exchange, bool(self._body is not None or self._head)
        self._end(keep=False)
        if exchange is not None:
            exchange.failed(cause, answering=answering)

    def _end(self, *, keep: bool) -> None:
        """Carry nothing any more; give the connection back to the pool, or close it."""
        place, self._place = self._place, None
        self._exchange = self._body = self._cut = self._upload = None
        self._head = b""
        if place is None:
            return
        if keep:
            if self._paused:
                self.resume()
            place.release()
        else:
            self.transport.abort()
            place.close()
