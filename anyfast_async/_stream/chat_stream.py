"""The reading side of one streamed answer.

:class:`ChatStream` takes events out of a receiver, folds them, and hands on text, chunks or event-stream bytes. When a
stream breaks, everything that arrived is read first, then the error is raised.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from anyfast_async._core import answer
from anyfast_async._core.json import codec
from anyfast_async._core.stream.chunk_template import ChunkTemplate, Item, payload_of
from anyfast_async._core.stream.completeness import verdict
from anyfast_async._core.stream.fold import Fold, text_of
from anyfast_async._stream.receiver import Receiver
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Trace, Usage
from anyfast_async.errors import AnyFastError, ClientStateError, IncompleteStreamError

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async._call.streamed import StreamCall

_NONE: Final[deque[Item]] = deque()

Opened: TypeAlias = "tuple[StreamCall, Receiver]"


class ChatStream:
    """A streamed answer; what :meth:`AnyFast.stream <anyfast_async.AnyFast.stream>` returns.

    Use it as a context manager and iterate over it: every item is a ``str``, the next text of choice 0. It is also
    awaitable (``stream = await client.stream(...)``); then it is closed at its end, on cancellation, or by
    :meth:`aclose`. Entering, awaiting or the first step returns only when there is content or an end: errors with a
    status surface there, and every retry is over.
    """

    def __init__(self, opened: Callable[[], Awaitable[Opened]], *, accept_missing_finish: bool = False) -> None:
        self._opened = opened
        self._accept_missing_finish = accept_missing_finish
        self._call: StreamCall | None = None
        self._receiver: Receiver | None = None
        self._fold = Fold()
        self._items: deque[Item] = _NONE
        """What can be taken at once: the receiver's items while it is open and nobody waits for more."""
        self._rest: Item | None = None
        """What the fold had held back for what never came; it is in there already."""
        self._reading = False
        self._handed_on = False
        self._closed = False
        self._finished = False
        self._failure: AnyFastError | None = None
        self._settled = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __aiter__(self) -> ChatStream:
        return self

    async def __anext__(self) -> str:
        receiver = self._receiver or await self._open()
        while True:
            while self._items:
                item = self._items.popleft()
                if type(item) is tuple and item[0] is self._fold.template and not receiver.paused:  # nearly every one
                    text = item[1]
                    if text:
                        self._fold.add_text(text)
                else:
                    item = self._take(item)
                    text = item[1] if type(item) is tuple else text_of(payload_of(item))
                if text:
                    self._handed_on = True
                    return text
            if (waiter := self._news()) is not None:  # as _more does, without a coroutine for each lone event
                try:
                    await waiter
                except asyncio.CancelledError:
                    self._leave()
                    raise
                finally:
                    self._waited()
            elif not await self._more():
                raise StopAsyncIteration

    def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """Iterate over typed chunks instead of text; every choice, usage and unknown fields included."""
        return _Chunks(self)

    def sse(self) -> AsyncIterator[bytes]:
        """Iterate over OpenAI-shaped event-stream bytes, to hand the stream on to a browser.

        Enter or await the stream first: then an error before any content still surfaces as an exception, and the
        service can answer with its status. A later failure becomes one ``error`` event, the last one.
        """
        return _Events(self)

    async def drain(self) -> ChatCompletion:
        """Read to the end and return the completion.

        Raises:
            AnyFastError: the stream failed; ``.partial`` holds what had come.

        """
        while await self._more():
            while self._items:
                self._take(self._items.popleft())
        return self.completion

    @property
    def completion(self) -> ChatCompletion:
        """The completion that what was read so far amounts to."""
        completion = self._fold.completion()
        if self._call is None or self._receiver is None:
            return completion
        if completion.usage is None and self._closed and not self._finished:
            # Left early. What the gateway reported may have arrived and not been read; else it is estimated.
            told = [p["usage"] for p in self._receiver.waiting() if isinstance(p.get("usage"), dict)]
            usage = codec.structure(told[-1], Usage) if told else self._call.account.estimated(completion)
            completion = codec.filled(completion, usage=usage, usage_source="gateway" if told else "estimate")
        headers = self._receiver.headers
        codec.filled(completion, trace=Trace(ignored=self._receiver.ignored))
        return codec.filled(self._call.traced(completion), request_id=answer.request_id(headers), headers=headers)

    def _arguments(self, choice: int, place: int) -> str | None:
        """Return the arguments, so far, of the tool call at *place*; None if there is none."""
        return self._fold.arguments(choice, place)

    def _partial(self) -> ChatCompletion:
        """Return the completion so far for an exception, which holds no header."""
        return codec.filled(self.completion, headers={})

    async def aclose(self) -> None:
        """Close the connection; the gateway stops generating. Calling it again does nothing."""
        self._closed = True
        self._items = _NONE
        if self._receiver is not None:
            await self._receiver.aclose()
            self._settle(self._failure or self._receiver.error)

    def _settle(self, error: AnyFastError | None) -> None:
        if not self._settled and self._call is not None and self._receiver is not None:
            self._settled = True
            completion = self.completion
            estimated = completion.usage_source == "estimate"
            self._call.settle(self._receiver.permit, completion.usage, estimated=estimated)
            if error is not None:
                self._call.found_wanting(error)
            self._call.was_read(completion, error)

    def __del__(self) -> None:
        receiver = self._receiver
        if receiver is None or receiver.ended or self._closed:
            return
        call = None if self._settled else self._call
        if call is not None:
            call.is_dropped = True
        receiver.close_soon()  # before the warning, which may be an error
        if call is not None:
            self._settled = True
            call.settle(receiver.permit, None)
        warnings.warn("a stream was dropped before its end; use `async with client.stream(...)`", ResourceWarning, 2)

    def _check_reader(self) -> None:
        if self._reading:
            message = "the stream is being read already: one reader at a time"
            raise ClientStateError(message)

    async def _open(self) -> Receiver:
        if self._closed:
            message = "the stream is closed"
            raise ClientStateError(message)
        if self._receiver is None:
            self._check_reader()
            self._reading = True
            try:
                self._call, self._receiver = await self._opened()
            finally:
                self._reading = False
            if self._closed:
                await self.aclose()
                message = "the stream was closed while it was opened"
                raise ClientStateError(message)
        return self._receiver

    def _take(self, item: Item) -> Item:
        """Take in what came; return it as OpenAI would have sent it."""
        assert self._receiver is not None  # noqa: S101 - the item is from there
        if self._receiver.paused:
            self._receiver.relieve()
        if type(item) is tuple and item[0] is self._fold.template:
            if item[1]:
                self._fold.add_text(item[1])
            return item
        return self._look_into(item)

    def _look_into(self, item: Item) -> Item:
        if item is self._rest:
            return item
        if self._fold.restarts(payload_of(item)):
            # The gateway began a second answer inside the stream, after its upstream broke off.
            if self._handed_on:
                self._failure = IncompleteStreamError("the upstream broke off and the gateway began another answer")
                self._failure.partial = self._partial()
                self._items = _NONE
                return {}
            self._fold = Fold()
        return self._fold.take(item)

    async def _more(self) -> bool:
        """Wait until something can be taken; return False at the end of a complete stream."""
        receiver = self._receiver or await self._open()
        self._check_reader()
        while True:
            if self._failure is not None:
                if not self._closed:
                    await self.aclose()
                raise self._failure
            if self._finished:
                return False
            if self._closed:
                message = "the stream was closed before its end"
                raise ClientStateError(message)
            if receiver.items:
                self._items = receiver.items
                return True
            if receiver.ended:
                if receiver.error is None and (rest := self._fold.end()) is not None:
                    self._rest, self._items = rest, deque([rest])
                    return True
                self._finished = True
                await self._finish(receiver)
                return False
            self._items = receiver.items
            waiter = self._news()
            assert waiter is not None  # noqa: S101 - it is open, and nobody reads
            try:
                await waiter
            except asyncio.CancelledError:
                self._leave()
                raise
            finally:
                self._waited()

    def _news(self) -> asyncio.Future[None] | None:
        """Begin to wait until something comes, if nothing else is to be done; :meth:`_waited` is to follow."""
        receiver = self._receiver
        if self._items is _NONE or receiver is None or receiver.ended:
            return None
        self._reading, self._items = True, _NONE
        return receiver.news()

    def _leave(self) -> None:
        """Close the connection at once, because whoever waited was cancelled."""
        self._closed = True
        if self._receiver is not None:
            self._receiver.close()
            self._settle(self._receiver.error)

    def _waited(self) -> None:
        """Go on after waiting."""
        self._reading = False
        if self._receiver is not None and not self._closed:
            self._items = self._receiver.items

    def _taken(self) -> Item | None:
        """Return the next event as it is handed on, None if there is none now."""
        if not self._items or self._receiver is None:
            return None
        item = self._items.popleft()
        if type(item) is tuple and item[0] is self._fold.template and not self._receiver.paused:  # nearly every one
            if text := item[1]:
                self._fold.add_text(text)
        else:
            item = self._take(item)
            if self._failure is not None:
                return None
        self._handed_on = True
        return item

    async def _finish(self, receiver: Receiver) -> None:
        """Decide whether what came is a complete answer."""
        accepted = self._accept_missing_finish
        error = receiver.error or verdict(self._fold, accept_missing_finish=accepted, whole=receiver.whole)
        await receiver.aclose()
        self._settle(error)
        if error is not None:
            error.partial = self._partial()
            self._failure = error
            raise error


class _Chunks:
    """Iterates over typed chunks."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream
        self._known: tuple[ChunkTemplate, Callable[[str], ChatCompletionChunk]] | None = None
        """A template, and what makes the chunk of it that says a text."""

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        stream = self._stream
        while (item := stream._taken()) is None:  # noqa: SLF001 - a view of it
            if (waiter := stream._news()) is not None:  # noqa: SLF001
                try:
                    await waiter
                except asyncio.CancelledError:
                    stream._leave()  # noqa: SLF001
                    raise
                finally:
                    stream._waited()  # noqa: SLF001
            elif not await stream._more():  # noqa: SLF001
                raise StopAsyncIteration
        if type(item) is not tuple:
            return codec.structure(payload_of(item), ChatCompletionChunk)
        template, text = item
        known = self._known
        if known is None or template is not known[0]:
            chunk = codec.structure(template.payload(text), ChatCompletionChunk)
            known = self._known = template, codec.texter(chunk)
        return known[1](text)


class _Events:
    """Iterates over event-stream bytes."""

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream
        self._ended = False

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        stream = self._stream
        try:
            while (item := stream._taken()) is None:  # noqa: SLF001 - a view of it
                if not await stream._more():  # noqa: SLF001
                    self._ended = True
                    return b"data: [DONE]\n\n"
        except AnyFastError as error:
            self._ended = True
            return answer.error_event(error)
        return b"data: " + codec.dumps(payload_of(item)) + b"\n\n"
