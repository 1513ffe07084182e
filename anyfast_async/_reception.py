"""The arriving side of one streamed answer.

:class:`Reception` is a sink that the transport pushes bytes into. It decodes them at once, keeps the clocks, and
buffers events, bounded in bytes, until the reading side takes them. :func:`receive` returns one with its first content.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from anyfast_async._clock import STOOD_STILL
from anyfast_async._core.reader import Reader
from anyfast_async._core.template import payload_of
from anyfast_async.errors import (
    AnyFastError,
    APIConnectionError,
    ClientStateError,
    FirstTokenTimeout,
    IdleTimeout,
    IncompleteStreamError,
)

if TYPE_CHECKING:
    from anyfast_async._lane import Permit
    from anyfast_async._transport import Exchange
    from anyfast_async.policies import Timeouts

MAX_BUFFER: Final = 8 * 1024 * 1024
"""Bytes of events that wait for a slow reader; beyond them the connection is not read, which slows the server down."""
EVENT_OVERHEAD: Final = 1000
"""Bytes that a decoded event takes beside its text."""
DRAIN: Final = 0.1
"""Seconds that a finished stream waits for the end of the body, so that the connection can be used again."""


class Reception:
    """The arriving side of one attempt."""

    __slots__ = (
        *(
            "_arrived",
            "_began",
            "_buffered",
            "_clock",
            "_exchange",
            "_given",
            "_held",
            "_last_content",
            "_loop",
            "_loose",
        ),
        *("_over", "_reader", "_total", "_waiter", "ended", "error", "first_content", "items", "left", "on_end"),
        *("overdue", "paused", "permit", "timeouts"),
    )

    def __init__(self, exchange: Exchange, permit: Permit, timeouts: Timeouts, deadline: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.permit = permit
        self._exchange = exchange
        self.timeouts = timeouts
        self._reader = Reader(exchange.headers, clock=time.time, hide=exchange.hide)
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
        self._began = self._last_content = exchange.sent_at
        self._clock: asyncio.TimerHandle | None = None
        self._given = False  # whether a clock that rang late has its time once more
        self._total: asyncio.TimerHandle | None = None
        self._over = False  # whether the body has ended
        self.first_content: float | None = None
        """Seconds from sending to the first event with content."""
        self.ended = False
        self.left = False
        """Whether the reader closed it before its end."""
        self.error: AnyFastError | None = None
        self.on_end: Callable[[], None] | None = None
        self.overdue: Callable[[], AnyFastError] | None = None
        self._arm()
        if deadline is not None:
            self._total = self._loop.call_at(deadline, self._out_of_time)

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

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self.ended:
            return
        reader = self._reader
        if not self.items:
            self._held = None
            self._buffered = 0
        before = len(self.items)
        if reader.feed(data):
            self._said()
        if reader.done or reader.error is not None:
            self._end(reader.error)
        self._loose += len(data)
        if new := len(self.items) - before:
            self._hold(new)
        if self._buffered > MAX_BUFFER and self._full(MAX_BUFFER) and not self.ended:
            self.paused = True
            self._exchange.pause()

    def _said(self) -> None:
        """Take in that there was content."""
        self._given = False
        self._last_content = self._loop.time()
        if self.first_content is None:
            self.first_content = self._last_content - self._began
            self._arm()

    def _hold(self, new: int) -> None:
        """Count *new* items, and the bytes that they came in."""
        size = self._loose + new * EVENT_OVERHEAD
        self._loose = 0
        if self._held is None and self._buffered:
            self._held = deque([(self._arrived, self._buffered)])
        self._arrived += new
        self._buffered += size
        if self._held is not None:
            self._held.append((self._arrived, size))
        self._wake()

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
            self._last_content = self._loop.time()  # what comes now could not come before
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

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- clocks and the end ------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Set the timer for the clock that runs now: first token, later idle."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        limit = self.timeouts.first_token if self.first_content is None else self.timeouts.idle
        if limit is not None and not self.ended:
            # Judged one turn after it rings: when the process or the loop stood still, what has arrived meanwhile is
            # read first.
            due = self._last_content + limit
            self._clock = self._loop.call_at(due, self._ring, limit)

    def _ring(self, limit: float) -> None:
        self._clock = self._loop.call_later(0, self._judge, limit)

    def _judge(self, limit: float) -> None:
        self._clock = None
        now = self._loop.time()
        late = now - self._last_content - limit
        if late > STOOD_STILL and not self._given:
            self._given = True  # the process stood still: its time once more, the answer may wait to be read
            self._last_content = now
        if self.paused and self.first_content is not None:
            self._last_content = now
        if self._last_content + limit > now:
            self._arm()  # content came since the timer was set, or could not come
        elif self.first_content is None:
            self._stop(FirstTokenTimeout(f"no content within {limit:g} s (Timeouts.first_token)"))
        else:
            self._stop(IdleTimeout(f"no content for {limit:g} s (Timeouts.idle)"))

    def _out_of_time(self) -> None:
        if self.overdue is not None:
            self._stop(self.overdue())

    def stop(self) -> None:
        """End with ``ClientStateError``, because the client is closed."""
        self._stop(ClientStateError("the client was closed"))

    def look(self, now: float) -> None:
        """Do nothing: a stream is there for long, its clock has a timer of its own."""

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
        for timer in (self._clock, self._total):
            if timer is not None:
                timer.cancel()
        if self.on_end is not None:
            self.on_end()
            self.on_end = None
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
