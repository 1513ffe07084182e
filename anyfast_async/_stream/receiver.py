"""The arriving side of one streamed answer.

:class:`Receiver` is a sink that the transport pushes bytes into. It decodes them at once, keeps the clocks, and
buffers events, bounded in bytes, until the reading side takes them. :func:`receive` returns one with its first content.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from anyfast_async._clocks.clocks import Clocked, Wait, late
from anyfast_async._core.stream.chunk_template import payload_of
from anyfast_async._core.stream.reader import AnswerReader
from anyfast_async._size_limits import MAX_BUFFER
from anyfast_async.errors import AnyFastError, APIConnectionError, ClientStateError, IncompleteStreamError

if TYPE_CHECKING:
    from anyfast_async._http.exchange import Exchange, Take
    from anyfast_async._limits.scope import Permit
    from anyfast_async.policies import Timeouts

EVENT_OVERHEAD: Final = 1000
"""Bytes that a decoded event takes beside its text."""
DRAIN: Final = 0.1
"""Seconds that a finished stream waits for the end of the body, so that the connection can be used again."""


class Owner(Protocol):
    """The call that a receiver is of."""

    def overdue(self) -> AnyFastError:
        """Return the exception for ``Timeouts.total``."""
        ...

    def received(self, receiver: Receiver) -> None:
        """Hear that a receiver that was handed over has ended."""


class Receiver(Clocked):
    """The arriving side of one attempt.

    Args:
        exchange: whose body arrives.
        permit: what it goes on using.
        timeouts: its clocks.
        total_since: since when the total runs; None: somebody else keeps it.
        owner: hears of its end, once it was handed over; None: nobody does.

    """

    __slots__ = (
        *("_arrived", "_buffered", "_exchange", "_held", "_is_handed_over", "_loose", "_over", "_owner", "_reader"),
        *("_sent_at", "_waiter", "ended", "error", "first_content", "items", "left", "paused", "permit", "timeouts"),
    )

    LASTS: ClassVar[bool] = True

    def __init__(
        self,
        exchange: Exchange,
        permit: Permit,
        timeouts: Timeouts,
        total_since: float | None = None,
        owner: Owner | None = None,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self.permit = permit
        self._exchange = exchange
        self._owner = owner
        self._is_handed_over = False
        self.timeouts = timeouts
        self._reader = AnswerReader(exchange.headers, clock=time.time, hide=exchange.hide)
        self.items = self._reader.items
        """What has arrived. The reader takes from its left; while :attr:`paused`, it calls :meth:`relieve` then."""
        self.paused = False
        """Whether the connection is not read, because the buffer is full."""
        self._arrived = 0  # items, ever
        self._loose = 0  # bytes since the last item
        self._buffered = 0  # bytes that items came in, from the first that was not taken on
        # For items that came at once: how many have come by then, their bytes. Only where the reader lags behind.
        self._held: deque[tuple[int, int]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sent_at = exchange.sent_at
        self._over = False  # whether the body has ended
        self.first_content: float | None = None
        """Seconds from sending to the first event with content."""
        self.ended = False
        self.left = False
        """Whether the reader closed it before its end."""
        self.error: AnyFastError | None = None
        self.wait("first_token", timeouts.first_token, self._sent_at)
        if total_since is not None:
            self.run_total(timeouts.total, total_since)

    @property
    def done(self) -> bool:
        """Whether ``[DONE]`` has come."""
        return self._reader.done

    @property
    def whole(self) -> bool:
        """Whether the answer was not streamed, but one JSON object."""
        return self._reader.whole

    @property
    def ignored(self) -> int:
        """Events that said nothing."""
        return self._reader.ignored

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, with lower-case names."""
        return self._exchange.headers

    def start(self) -> None:
        """Begin to read the body."""
        self._exchange.push(self)

    # -- the sink ----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> Take | None:
        """Take the next bytes of the body; return what may take the next chunk of it."""
        if self.ended:
            return None
        reader = self._reader
        before = len(self.items)
        if reader.feed(data):
            self._said()
        if reader.done or reader.error is not None:
            self._end(reader.error)
        self._loose += len(data)
        if new := len(self.items) - before:
            self._hold(new)
        return self.take if reader.expects else None

    def take(self, data: bytes) -> bool:
        """Take a chunk of the body if it is one event of which nothing but the text is new; return whether it was."""
        text = None if self.ended else self._reader.take(data)
        if text is None:
            return False
        if text:
            self._since, self._given = self._loop.time(), False  # as :meth:`_said` does
        self._loose += len(data)
        self._hold(1)
        return True

    def _said(self) -> None:
        """Take in that there was content."""
        now = self._loop.time()
        self.go_on(now)
        if self.first_content is None:
            self.first_content = now - self._sent_at
            self.wait("idle", self.timeouts.idle, now)

    def _hold(self, new: int) -> None:
        """Count *new* items, and the bytes that they came in; wake the reader, or stop reading for its sake."""
        if len(self.items) == new:
            self._held, self._buffered = None, 0
        size = self._loose + new * EVENT_OVERHEAD
        self._loose = 0
        if self._held is None and self._buffered:
            self._held = deque([(self._arrived, self._buffered)])
        self._arrived += new
        self._buffered += size
        if self._held is not None:
            self._held.append((self._arrived, size))
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._buffered > MAX_BUFFER and self._full(MAX_BUFFER) and not self.ended:
            self.paused = True
            self._exchange.pause()

    def _full(self, limit: int) -> bool:
        """Return whether more than *limit* bytes are buffered."""
        taken = self._arrived - len(self.items)
        while self._held and self._held[0][0] <= taken:
            self._buffered -= self._held.popleft()[1]
        if not self.items:
            self._buffered = 0
        return self._buffered > limit

    def eof(self) -> None:
        """The body ended in order."""
        self._over = True
        if self.ended:
            self._wake()
            return
        if self._reader.close():
            self._said()
        self._end(self._reader.error)

    def fail(self, error: AnyFastError) -> None:
        """The body broke off."""
        self._over = True
        if isinstance(error, APIConnectionError):
            cut = IncompleteStreamError(f"the stream broke off: {error}")
            cut.reason = "cut"
            cut.retry_class = "cut"
            cut.retryable = True
            error = cut
        self._end(error)

    def give(self, payload: dict[str, Any]) -> None:
        """Take a whole answer, from an upstream that did not stream, as one event and the end."""
        if self._reader.give(payload):
            self._said()
        self._end(None)

    # -- the reader's side -------------------------------------------------------------------------------------------

    def relieve(self) -> None:
        """Have the connection read again, if half of the buffer is free."""
        if not self._full(MAX_BUFFER // 2):
            self.paused = False
            self.go_on(self._loop.time())  # what comes now could not come before
            self._exchange.resume()

    def waiting(self) -> list[dict[str, Any]]:
        """Return the events that were not taken yet, and leave them there."""
        return [payload_of(item) for item in self.items]

    def news(self) -> asyncio.Future[None]:
        """Return a future that is done when there is another event, or the end; to be awaited at once, by one task."""
        self._waiter = self._loop.create_future()
        if self.items or self.ended:
            self._wake()
        return self._waiter

    async def opened(self) -> None:
        """Wait for the first event with content, or the end.

        Raises:
            AnyFastError: the stream failed before any content; it may be made again.

        """
        while self.first_content is None and not self.ended:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self.first_content is None and self.error is not None:
            raise self.error

    def hand_over(self) -> None:
        """Be of a call that has succeeded: its owner hears of the end, now if that has come already."""
        self._is_handed_over = True
        if self.ended:
            self._tell()

    def _tell(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.received(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- clocks and the end ------------------------------------------------------------------------------------------

    def out_of_time(self, wait: Wait | None) -> None:
        """Hear that a clock has run out."""
        if wait is None:
            if self._is_handed_over and self._owner is not None:  # before that the call ends it
                self._stop(self._owner.overdue())
        elif wait == "idle" and self.paused:
            self.go_on(self._loop.time())  # content could not come
        else:
            self._stop(late(wait, getattr(self.timeouts, wait)))

    def stop(self) -> None:
        """End with ``ClientStateError``, because the client is closed."""
        self._stop(ClientStateError("the client was closed"))

    def woke(self, at: float) -> None:
        """Take in that the process slept: an answer that has begun cannot be asked for again, its clock tells."""

    def _stop(self, error: AnyFastError) -> None:
        self._end(error)
        self.close()

    def _end(self, error: AnyFastError | None) -> None:
        if self.ended:
            return
        self.ended = True
        # The frames that it came through hold what the server sent, which may name the key.
        self.error = error.with_traceback(None) if error is not None else None
        self.silence()
        if self._is_handed_over:
            self._tell()
        self._wake()

    def close(self) -> None:
        """Close the connection at once, unless the body was read to its end."""
        if not self.ended:
            self.left = True
            self._end(None)
        self._over = True
        self._exchange.close()

    def close_soon(self) -> None:
        """Close from anywhere, also from another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    async def aclose(self) -> None:
        """Close; after ``[DONE]`` give the end of the body a moment, so that the connection can be used again."""
        try:
            if self.done and not self._over:
                self._exchange.resume()
                self._waiter = self._loop.create_future()
                await asyncio.wait({self._waiter}, timeout=DRAIN)
        finally:
            self.close()
