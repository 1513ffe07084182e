"""One request and its answer, whichever way it goes over the wire.

The link below tells what comes (:meth:`Exchange.began`, ``arrived``, ``ended``, ``failed``); the caller above waits for
it, or has it pushed into a sink. Between the two waits what nobody has asked for yet, bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from anyfast_async._core.http.body_end import TruncatedError
from anyfast_async._core.http.compression import BombError
from anyfast_async._core.json import codec
from anyfast_async._size_limits import MAX_BODY, MAX_ERROR_BODY, MAX_STREAM
from anyfast_async.errors import APIConnectionError, ResponseShapeError

if TYPE_CHECKING:
    from anyfast_async._http.api_key import Secret
    from anyfast_async.errors import AnyFastError

HOLD: Final = 256 * 1024
"""Bytes that wait for a caller who has not asked for them; beyond them the connection is not read."""
ERROR_PATIENCE: Final = 2.0
"""Seconds that the body of an error may take after its head."""


_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})
Take: TypeAlias = Callable[[bytes], bool]
"""Takes a chunk of a body, if it is what was expected; returns whether it was."""


class Sink(Protocol):
    """What a streamed body is pushed into."""

    def feed(self, data: bytes) -> Take | None:
        """Take the next bytes; return what may take the next chunk past all that reads bytes, None if nothing may."""

    def eof(self) -> None:
        """The body ended in order."""

    def fail(self, error: AnyFastError) -> None:
        """The body broke off."""


class PacedSink(Sink, Protocol):
    """A sink that says when it can take more."""

    async def ready(self) -> None:
        """Wait until more may be fed."""


class Asker(Protocol):
    """Who asks."""

    def on_sent(self, at: float) -> None:
        """Take in that a piece of the request was sent, at loop time *at*: the clocks of the answer start there."""


class Link(Protocol):
    """What an exchange goes over."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read again."""

    def abort(self) -> None:
        """Close the connection at once."""


class Explain(Protocol):
    """Makes our exception of what broke an exchange off; one for all, because a method of its own for each costs."""

    def __call__(self, cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
        """Return it; None stands for an orderly end that came too early."""
        ...


class Exchange:
    """One request and its answer.

    Args:
        link: what carries it, which tells it what comes.
        host: the host's name, for messages.
        asker: told when a piece of the request is sent.
        secret: the key, which is taken out of what is said about errors. What the server sends stays as it came.
        explain: makes our exception of what broke the exchange off.
        loop: the running one.
        reused: whether the connection had served before.
        connect_seconds: how long it took to connect, None where that was not needed.
        sent_at: loop time of the last piece of the request, where some of it was sent before there was a link.
        in_one: whether the answer is of use only as a whole, so that it may be read with its head.

    """

    __slots__ = (
        *("asked", "asker", "begun", "connect_seconds", "framed", "headers", "host", "in_one", "link", "reused"),
        *("sent_at", "status", "whole"),
        *("_broken", "_enough", "_explain", "_limit", "_loop", "_over", "_paused", "_pieces", "_secret", "_sink"),
        *("_size", "_take", "_waiter"),
    )

    def __init__(  # noqa: PLR0917 - made for each call: names cost time
        self,
        link: Link,
        host: str,
        asker: Asker,
        secret: Secret,
        explain: Explain,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        reused: bool = False,
        connect_seconds: float | None = None,
        sent_at: float = 0.0,
        in_one: bool = False,
    ) -> None:
        self.link = link
        self.host = host
        self.asker = asker
        self._secret = secret
        self.sent_at: float = sent_at
        """Loop time of the last piece of the request."""
        self.asked: bool = sent_at > 0
        """Whether the request was sent, all of it."""
        self.framed: bool = True
        """Whether an answer that broke off had said where it would end."""
        self.reused = reused
        self.connect_seconds = connect_seconds
        self.in_one = in_one
        self.whole: bytes | None = None
        """The body, if it came in one piece with its head."""
        self.status: int = 0
        self.headers: Mapping[str, str] = _NO_FIELDS
        """With lower-case names."""
        self._explain = explain
        self._loop = loop or asyncio.get_running_loop()
        self._pieces: list[bytes] | None = None
        self._size = 0
        self._enough = HOLD
        self._limit = MAX_STREAM
        self._sink: Sink | None = None
        self._take: Take | None = None
        self._paused = False
        self._over = False
        self._broken: APIConnectionError | ResponseShapeError | None = None
        self.begun: asyncio.Future[None] = self._loop.create_future()
        """Done when the head of the answer is there, or there will be none."""
        self._waiter = self.begun

    @property
    def hide(self) -> Callable[[str], str]:
        """Takes the key out of what is said about an error."""
        return self._secret.hide

    # -- told by the link --------------------------------------------------------------------------------------------

    def sent(self, *, whole: bool = True) -> None:
        """A piece of the request was sent, and it is *whole*."""
        self.asked = whole
        self.sent_at = self._loop.time()
        self.asker.on_sent(self.sent_at)

    def unasked(self) -> None:
        """The answer came before all of the request was sent."""
        self.asked = False

    def began(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer is there."""
        self.status, self.headers = status, headers
        self._wake()

    def came(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """The whole answer is there."""
        self.status, self.headers, self.whole = status, headers, body
        self._over = True
        if not self.begun.done():
            self.begun.set_result(None)

    def arrived(self, data: bytes) -> bool:
        """The next bytes of the body are there; return whether the next chunk may be told to :meth:`chunk`."""
        self._size += len(data)
        if self._sink is not None:
            if self._size <= self._limit:
                self._take = self._sink.feed(data)
                return self._take is not None
            sink = self._sink
            self.close()
            sink.fail(ResponseShapeError(f"the stream is larger than {self._limit} bytes"))
            return False
        if self._pieces is None:
            self._pieces = []
        self._pieces.append(data)
        if self._size >= self._enough:
            self._wake()
            if self._size >= HOLD:
                self.pause()
        return False

    def chunk(self, data: bytes) -> bool:
        """A whole chunk of the body is there; return whether it was taken, else it is still to be told."""
        size = self._size + len(data)
        if size > self._limit or self._take is None or not self._take(data):
            return False
        self._size = size
        return True

    def ended(self) -> None:
        """The body ended in order."""
        self._end()

    def failed(self, cause: BaseException | None, *, answering: bool, framed: bool = True) -> None:
        """The exchange broke off, after (*answering*) or before the first byte of an answer.

        *framed*: whether that had said where it would end.
        """
        self.framed = framed
        if isinstance(cause, BombError):
            self._broken = ResponseShapeError(str(cause))
        else:
            self._broken = self._explain(cause, self, answering=answering)
        self._end()

    def _end(self) -> None:
        self._over = True
        self._wake()
        if self._sink is not None:
            sink, self._sink, self._take = self._sink, None, None
            self._tell(sink)

    def _tell(self, sink: Sink) -> None:
        if self._broken is not None:
            sink.fail(self._broken)
        else:
            sink.eof()

    # -- for the caller ----------------------------------------------------------------------------------------------

    async def opened(self) -> None:
        """Wait for the head of the answer.

        Raises:
            APIConnectionError: there is none.

        """
        await self.begun
        if not self.status and self._broken is not None:
            raise self._broken

    def news(self) -> asyncio.Future[None]:
        """Return what is done when something has come, or nothing does any more; to be awaited at once."""
        if self.begun.done():
            self._waiter = self._loop.create_future()
            if self._over:
                self._waiter.set_result(None)
        return self._waiter

    async def read(self, limit: int = MAX_BODY) -> bytes:
        """Read the whole body.

        Raises:
            APIConnectionError: it broke off.
            ResponseShapeError: it is larger than *limit*.

        """
        if self.whole is not None:
            return self.whole
        if not self._over:
            await self._hold(limit + 1)
        if self._size > limit:
            self.close()
            message = f"the answer is larger than {limit} bytes"
            raise ResponseShapeError(message)
        data = self._taken()
        if self._broken is not None and (self.framed or not _is_whole(data)):
            raise self._broken
        return data

    async def read_error(self, patience: float | None) -> bytes:
        """Read the body of an error: the first of it, and for at most *patience* seconds; the status says enough."""
        try:
            async with asyncio.timeout(min(ERROR_PATIENCE, patience or ERROR_PATIENCE)):
                await self._hold(MAX_ERROR_BODY)
        except TimeoutError:
            pass
        self.close()  # does nothing when all has come
        return self._taken()[:MAX_ERROR_BODY]

    def push(self, sink: Sink, limit: int = MAX_STREAM) -> None:
        """Push the body into *sink* as it comes, what has come first; the sink is told how it ended.

        A sink that cannot take more calls :meth:`pause`, and :meth:`resume` when it can; what was read already still
        comes.
        """
        pieces, self._pieces = self._pieces or (), None
        was_paused, self._paused = self._paused, False
        self._sink, self._limit, self._size = sink, limit, 0
        over, self._over = self._over, False
        for piece in pieces:
            if not self._over:
                self.arrived(piece)
        if self._over:
            return
        if over:
            self._over, self._sink = True, None
            self._tell(sink)
        elif was_paused and not self._paused:
            self._paused = True
            self.resume()

    async def pump(self, sink: PacedSink, limit: int = MAX_STREAM) -> None:
        """Push the body into *sink* at its pace until it ends; the sink is told how it ended."""
        size = 0
        while not self._over or self._pieces:
            await self._hold(1)
            if data := self._taken():
                size += len(data)
                if size > limit:
                    self.close()
                    sink.fail(ResponseShapeError(f"the stream is larger than {limit} bytes"))
                    return
                sink.feed(data)
                await sink.ready()
        self._tell(sink)

    def pause(self) -> None:
        """Read no more for now."""
        if not self._paused and not self._over:
            self._paused = True
            self.link.pause()

    def resume(self) -> None:
        """Read again."""
        if self._paused and not self._over:
            self._paused = False
            self.link.resume()

    def close(self) -> None:
        """Close the connection at once, unless the answer has ended: then it went back to the pool."""
        if not self._over:
            self._over, self._sink, self._take = True, None, None
            self._broken = self._explain(TruncatedError("it was closed"), self, answering=bool(self.status))
            self.link.abort()
            self._wake()

    async def _hold(self, enough: int) -> None:
        """Wait until *enough* bytes are there, or the end."""
        self._enough = enough
        if self._size < enough:
            self.resume()
        while not self._over and self._size < enough:
            await self.news()

    def _taken(self) -> bytes:
        """Return what is there, which is gone then."""
        pieces, self._pieces, self._size = self._pieces or (), None, 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _wake(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)


def _is_whole(data: bytes) -> bool:
    """Return whether *data* is a whole JSON object: then nothing of it is missing, however the connection ended."""
    try:
        return isinstance(codec.loads(data), dict)
    except codec.InvalidJSONError:
        return False
