"""A connection that carries one exchange after another: bytes out, and what comes in told to the exchange.

It is put in the place of aiohttp's protocol on a connection that aiohttp made, and stays there while the connection
waits in aiohttp's pool.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyfast_async._core.http.body_end import Body, MalformedError, TruncatedError, line_before
from anyfast_async._core.http.compression import BombError
from anyfast_async._core.http.head import HeadReader, UnaskedError, is_farewell

if TYPE_CHECKING:
    from anyfast_async._core.http.connection_trust import Trust
    from anyfast_async._core.http.usual_head import UsualHeads
    from anyfast_async._http.api_key import Secret
    from anyfast_async._http.exchange import Exchange, Take
    from anyfast_async._http.request_headers import Route

TOGETHER: Final = 16 * 1024
"""Up to this size a request's body is written together with its head."""
LARGE_BODY: Final = 1024 * 1024
"""From this size on a body is written in slices, so that one upload does not stop the loop."""
SLICE: Final = 64 * 1024
REFUSED: Final = 400
"""From this status on an answer says no, which a server may before it has read the request."""


_NOBODY: Final = asyncio.BaseProtocol()


class Place(Protocol):
    """The connection's place in the pool."""

    def release(self) -> None:
        """Give it back: the connection can be used again."""

    def close(self) -> None:
        """Give it up."""


def looking_at(transport: asyncio.BaseTransport) -> Callable[[int], Any]:
    """Return a function that tells whether there is something to read on a connection, its end included.

    It takes 0, the milliseconds that it waits.
    """
    sock = transport.get_extra_info("socket")
    if sock is None:
        return bool
    if not hasattr(select, "poll"):  # Windows
        return lambda _: select.select([sock.fileno()], [], [], 0)[0]
    look = select.poll()
    look.register(sock.fileno(), select.POLLIN)
    return look.poll


class Wire(asyncio.BufferedProtocol):
    """The protocol of one connection.

    Args:
        transport: the connection's.
        before: the protocol that it had, which still has to be told when the connection is lost.
        trust: in the origin that it leads to.
        usual: the heads of its answers.
        buffer: where asyncio puts what it reads; wires of one loop may share it. The other kind of protocol costs many
            times as much: for each read asyncio then takes 256 KiB from the system, and gives them back.

    """

    __slots__ = (
        *("_before", "_body", "_buffer", "_cut", "_direct", "_exchange", "_full", "_heads", "_is_last", "_look"),
        *("_loop", "_paused", "_place", "_reusable", "_trust", "_upload", "_usual", "_waits", "transport"),
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        before: asyncio.BaseProtocol,
        buffer: memoryview,
        trust: Trust,
        usual: UsualHeads,
    ) -> None:
        self.transport = transport
        self._before = before
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._exchange: Exchange | None = None
        self._place: Place | None = None
        self._look = looking_at(transport)
        self._trust = trust
        self._usual = usual
        self._heads = HeadReader(usual.limit)
        self._reusable = False
        self._body: Body | None = None
        self._direct: Take | None = None
        """Takes a whole chunk of the body, if it is an expected one. It is there only where a chunk comes next."""
        self._paused = False
        self._cut: tuple[Exception | None] | None = None
        self._upload: memoryview | None = None
        self._waits = False  # whether the request was too large for one write, so that some of it may not be sent
        self._is_last = False  # whether the caller wants the connection closed
        self._full = False

    # -- between two exchanges ---------------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """Whether nothing has come, not even the end: what is there before a request was written does not answer it."""
        return not self._look(0)

    def is_usable(self) -> bool:
        """Whether it may carry another exchange."""
        return not self._look(0) and (not self._trust.until or self._is_trusted())

    def _is_trusted(self) -> bool:
        return not self._trust.until or self._loop.time() >= self._trust.until

    def _surplus(self, data: bytes) -> None:
        if not is_farewell(data):
            self._trust.surplus(self._loop.time())

    # -- out ---------------------------------------------------------------------------------------------------------

    def begin(self, exchange: Exchange, place: Place) -> None:
        """Carry *exchange*."""
        self._exchange, self._place = exchange, place

    def hear(self, data: bytes) -> None:
        """Take what came before the connection had this protocol."""
        self._received(data)

    @property
    def is_answering(self) -> bool:
        """Whether something of an answer came, or it cannot come any more."""
        return self._exchange is None or self._body is not None or self._heads.begun

    def send(self, route: Route, secret: Secret, idempotency_key: str | None, body: bytes | None) -> None:
        """Send a request: at once, or a large one in slices, at most one in a turn of the loop."""
        exchange = self._exchange
        if exchange is None or self._body is not None:
            return  # the server answered before it was asked
        self._is_last = route.is_last
        self._waits = body is not None and len(body) > TOGETHER
        if body is None or not self._waits:
            self.transport.write(route.head(secret, idempotency_key, body) + (body or b""))
        else:
            self.transport.write(route.head(secret, idempotency_key, body))
            if len(body) > LARGE_BODY:
                self._upload = memoryview(body)
                self._send_slice()
                return
            self.transport.write(body)
        exchange.sent()

    def _send_slice(self) -> None:
        if self._upload is None or self._exchange is None or self._full:
            return
        piece, rest = self._upload[:SLICE], self._upload[SLICE:]
        self._upload = rest or None
        self.transport.write(piece)
        self._exchange.sent(whole=self._upload is None)
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
        data = bytes(self._buffer[:nbytes])
        if self._direct is not None:
            line = line_before(nbytes)
            if data.startswith(line) and data.endswith(b"\r\n") and self._direct(data[len(line) : -2]):
                return
        exchange = self._exchange
        if exchange is not None and exchange.in_one and exchange.asked and self._body is None and not self._waits:
            found = self._usual.read(data) if self._heads.is_fresh else None
            if found is not None:
                self._end(keep=not self._is_last and (not self._trust.until or self._is_trusted()))
                exchange.came(200, *found)
                return
        self._received(data)

    def _received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # it answers nothing, and what comes after it could not be told apart
            self._surplus(data)
            self.transport.abort()
            return
        try:
            if self._body is None:
                found = self._heads.feed(data)
                if found is None:
                    return
                head, data = found
                if not exchange.asked or (self._waits and self._is_sending()):
                    self._begin_early(exchange, head.status)
                self._body, self._reusable = head.body, head.reusable and not self._is_last
                exchange.began(head.status, head.headers)
            self._take(exchange, self._body, data)
        except (BombError, MalformedError, TruncatedError, UnaskedError) as error:
            self._fail(error)

    def _begin_early(self, exchange: Exchange, status: int) -> None:
        """Take a head that comes before its request was sent: a server need not hear what it refuses to its end."""
        if status >= REFUSED:
            exchange.unasked()
            self._upload = None
        elif not exchange.sent_at:
            message = f"with status {status}"
            raise UnaskedError(message)

    def _is_sending(self) -> bool:
        return self._upload is not None or self.transport.get_write_buffer_size() > 0

    def _take(self, exchange: Exchange, body: Body, data: bytes) -> None:
        piece, expects = body.feed(data), False
        while piece:
            expects = exchange.arrived(piece)
            if self._exchange is not exchange:
                return  # it was closed
            if self._paused and body.held:
                self._direct = None  # what is held comes first
                return
            piece = body.more() if body.held else b""
        if body.done:
            body.end()
            if self._waits and exchange.status < REFUSED and self._is_sending():
                exchange.unasked()
                message = f"with status {exchange.status}, to its end"
                raise UnaskedError(message)
            if body.rest and self._reusable:
                self._surplus(body.rest)
            self._end(keep=self._reusable and not body.rest and exchange.asked and self._is_trusted())
            exchange.ended()
        elif self._cut is not None:
            self._lose(*self._cut)
        else:
            self._direct = exchange.chunk if expects and body.at_chunk else None

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
        before, self._before = self._before, _NOBODY  # the two would hold each other
        before.connection_lost(exc)

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
            self._fail(cause, framed=body is None or body.framed)

    def _check_end(self, body: Body | None) -> None:
        if body is not None:
            body.end()
        elif self._heads.begun:
            message = "in the middle of its head"
            raise TruncatedError(message)

    def _fail(self, cause: Exception | None, *, framed: bool = True) -> None:
        exchange, answering = self._exchange, self._body is not None or self._heads.begun
        self._end(keep=False)
        if exchange is not None:
            exchange.failed(cause, answering=answering, framed=framed)

    def _end(self, *, keep: bool) -> None:
        """Carry nothing any more; give the connection back to the pool, or close it."""
        place, self._place = self._place, None
        self._exchange = self._body = self._cut = self._direct = self._upload = None
        if place is None:
            return
        if keep:
            if not self._paused:
                place.release()
                return
            self.resume()
            self._loop.call_soon(place.release)  # after what TLS holds back, which resuming gives out in the next turn
        else:
            self.transport.abort()
            place.close()
