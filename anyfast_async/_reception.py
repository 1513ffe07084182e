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

from anyfast_async._core import answer, codec
from anyfast_async._core.fold import Fold, has_content
from anyfast_async._core.sse import Decoder
from anyfast_async.errors import (
    AnyFastError,
    APIConnectionError,
    APIError,
    ClientStateError,
    FirstTokenTimeout,
    IdleTimeout,
    IncompleteStreamError,
    ResponseShapeError,
)

if TYPE_CHECKING:
    from anyfast_async._call import Call
    from anyfast_async._clock import Clock
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

    def __init__(self, exchange: Exchange, permit: Permit, timeouts: Timeouts, deadline: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.permit = permit
        self._exchange = exchange
        self.timeouts = timeouts
        self._decoder = Decoder()
        self._items: deque[tuple[dict[str, Any], int]] = deque()
        self._buffered = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._began = self._last_content = exchange.sent_at
        self._clock: asyncio.TimerHandle | None = None
        self._total: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.first_content: float | None = None
        """Seconds from sending to the first event with content."""
        self.done = False
        """Whether ``[DONE]`` has come."""
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
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, with lower-case names."""
        return self._exchange.headers

    def start(self) -> None:
        """Begin to read the body."""
        self._task = self._loop.create_task(self._exchange.pump(self))

    # -- the sink ----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self.ended:
            return
        try:
            for event in self._decoder.feed(data):
                if event.data.strip() == answer.DONE:
                    self.done = True
                    self._end(None)
                    return
                self._event(event.data, event.type)
        except (APIError, ResponseShapeError) as error:
            self._end(error)

    def eof(self) -> None:
        """The body ended in order."""
        if self.ended:
            return
        rest = self._decoder.close()
        self.done = rest.data.strip() == answer.DONE
        error: AnyFastError | None = None
        if rest.bare and not self.done:
            try:
                self._event(rest.bare, "message")
            except APIError as found:
                error = found
            except ResponseShapeError:
                error = None  # no JSON after all: the missing finish_reason tells
        self._end(error)

    def fail(self, error: AnyFastError) -> None:
        """The body broke off."""
        if isinstance(error, APIConnectionError):
            cut = IncompleteStreamError(f"the stream broke off: {error}")
            cut.reason = "cut"
            cut.retry_class = "ambiguous"
            cut.retryable = True
            error = cut
        self._end(error)

    async def ready(self) -> None:
        """Wait until the reader has caught up."""
        if self._buffered > MAX_BUFFER and not self.ended:
            self._writer = self._loop.create_future()
            await self._writer
            self._last_content = self._loop.time()

    def give(self, payload: dict[str, Any]) -> None:
        """Take a whole answer, from an upstream that did not stream, as one event and the end."""
        self._put(payload, 0)
        self.done = True
        self._end(None)

    def _event(self, data: bytes, kind: str) -> None:
        headers = self._exchange.headers
        payload = answer.event_payload(
            self._exchange.mask(data), kind, headers, now=time.time(), hide=self._exchange.hide
        )
        if payload is not None:
            self._put(payload, len(data))

    def _put(self, payload: dict[str, Any], size: int) -> None:
        if has_content(payload):
            self._last_content = self._loop.time()
            if self.first_content is None:
                self.first_content = self._last_content - self._began
                self._arm()
        size += EVENT_OVERHEAD
        self._items.append((payload, size))
        self._buffered += size
        self._wake()

    # -- the reader's side -------------------------------------------------------------------------------------------

    def take(self) -> dict[str, Any] | None:
        """Return the next event, None if there is none now."""
        if not self._items:
            return None
        payload, size = self._items.popleft()
        self._buffered -= size
        if self._writer is not None and self._buffered <= MAX_BUFFER // 2:
            if not self._writer.done():
                self._writer.set_result(None)
            self._writer = None
            self._last_content = self._loop.time()  # what comes now could not come before
        return payload

    def waiting(self) -> list[dict[str, Any]]:
        """Return the events that were not taken yet, and leave them there."""
        return [payload for payload, _ in self._items]

    async def more(self) -> None:
        """Wait until there is another event, or the end."""
        if not self._items and not self.ended:
            await self._news()

    async def opened(self) -> None:
        """Wait for the first event with content, or the end.

        Raises:
            AnyFastError: the stream failed before any content; it may be made again.

        """
        while self.first_content is None and not self.ended:
            await self._news()
        if self.first_content is None and self.error is not None:
            raise self.error

    async def _news(self) -> None:
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

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
        slow_reader = self._writer is not None and self.first_content is not None
        if slow_reader:
            self._last_content = self._loop.time()
        if self._last_content + limit > self._loop.time():
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
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        if self.on_end is not None:
            self.on_end()
        self._wake()

    def close(self) -> None:
        """Close the connection at once, unless the body was read to its end."""
        if not self.ended:
            self.left = True
            self._end(None)
        if self._task is not None:
            self._task.cancel()
        self._exchange.close()

    def close_soon(self) -> None:
        """Close from anywhere, also from another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    async def aclose(self) -> None:
        """Close; after ``[DONE]`` give the end of the body a moment, so that the connection can be used again."""
        if self.done and self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=DRAIN)
        self.close()
        if self._task is not None:
            await asyncio.wait({self._task})


async def receive(
    exchange: Exchange,
    call: Call[Reception],
    permit: Permit,
    clock: Clock,
    *,
    accept_missing_finish: bool,
) -> Reception:
    """Turn an exchange whose head arrived into a reception with its first content.

    *clock* runs for the first token; once a stream arrives the reception keeps it itself.

    Raises:
        AnyFastError: there was none; the exchange is closed.

    """
    reception = Reception(exchange, permit, call.timeouts, call.deadline)
    try:
        await _start(exchange, reception, clock)
        await reception.opened()
        if reception.first_content is None:
            _check_empty(reception, accept_missing_finish=accept_missing_finish)
    except BaseException:
        reception.close()
        raise
    call.first_token = reception.first_content
    reception.overdue = call.overdue
    call.running.add(reception)

    def ended() -> None:
        call.running.discard(reception)
        call.end(permit, reception.error, left=reception.left)

    reception.on_end = ended
    if reception.ended:
        ended()
    return reception


async def _start(exchange: Exchange, reception: Reception, clock: Clock) -> None:
    now = time.time()
    if exchange.status not in answer.SUCCESS:
        clock.stop()
        body = await exchange.read_error(reception.timeouts.first_token)
        raise answer.error_of(exchange.status, exchange.headers, body, now=now, hide=exchange.hide)
    kind = answer.content_type(exchange.headers)
    if "json" in kind or "html" in kind:
        body = await exchange.read()
        completion = answer.completion_of(exchange.status, exchange.headers, body, now=now, hide=exchange.hide)
        reception.give(codec.as_dict(completion))
    else:
        clock.stop()
        reception.start()


def _check_empty(reception: Reception, *, accept_missing_finish: bool) -> None:
    """Raise if a stream ended without content and without saying why; nothing was handed on, so it may be resent."""
    fold = Fold()
    for payload in reception.waiting():
        fold.add(payload)
    error = verdict(fold, accept_missing_finish=accept_missing_finish)
    if error is not None:
        error.partial = fold.completion()
        if not reception.done:
            error.retry_class = "ambiguous"
            error.retryable = True
        raise error


def verdict(fold: Fold, *, accept_missing_finish: bool) -> IncompleteStreamError | None:
    """Return what is wrong with a stream that ended in order, None if nothing is.

    Complete means a finish reason on every choice; ``[DONE]`` proves nothing, because the gateway writes it after
    broken upstreams too (new-api ``relay/helper/common.go``).
    """
    if fold.finished or (accept_missing_finish and not fold.empty):
        return None
    if not fold.empty:
        error = IncompleteStreamError(
            "the stream ended without a finish_reason: the answer is probably cut short. If this model never sends "
            "one, pass accept_missing_finish=True",
        )
        error.reason = "no_finish"
        return error
    error = IncompleteStreamError(
        "the stream ended without an answer: the prompt was blocked, or the upstream sent nothing"
    )
    error.reason = "empty"
    return error
