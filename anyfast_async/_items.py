"""What a map does with an item: makes its request, finds the answer in a journal or sends for it, parses it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, TypeVar

from anyfast_async._bill import RowWitness, charge
from anyfast_async._core.index import Seen
from anyfast_async._core.journal import (
    STEM_DIGITS,
    STOPPERS,
    answer_line,
    completion_in,
    error_in,
    error_line,
    stem_of,
)
from anyfast_async._journal import Journal, open_journal
from anyfast_async._map import MapRun, Result, row_id
from anyfast_async._outgoing import OFF_LOOP, encoded
from anyfast_async._progress import Progress, shown_progress
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import (
    AnyFastError,
    ConfigurationError,
    FieldError,
    OutputError,
    RequestValidationError,
    ResponseShapeError,
    escaped,
)
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async._account import Witness
    from anyfast_async._budget import Spending

T = TypeVar("T")
RequestOf: TypeAlias = Callable[[Any], ChatRequest]
Send: TypeAlias = Callable[[ChatRequest, bytes, "Witness | None"], Awaitable[ChatCompletion]]

BODY_BYTES: Final = 256 * 1024 * 1024
"""Encoded requests that a map holds at once, all in all; a larger one goes alone."""
HEADER: Final = {"written by": "map"}


class Room:
    """Bounds the bytes of encoded requests: encoding waits while too many are held, first come, first served.

    How large a request is shows only when it is encoded, so one at a time is; the bound is exceeded by one at most.
    """

    def __init__(self, limit: int = BODY_BYTES) -> None:
        self.held = 0
        self._limit = limit
        self._encoding = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def encoded(self, request: ChatRequest, *, stream: bool) -> bytes:
        """Return the body of *request*, which counts from here on until it is given to :meth:`leave`."""
        if self._encoding or self.held >= self._limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # given and cancelled in one tick: pass it on
                    self._end_turn()
                raise
        self._encoding = True
        try:
            body = await encoded(request, stream=stream)
            self.held += len(body)
        finally:
            self._end_turn()
        return body

    def leave(self, body: bytes) -> None:
        """Count *body* no more."""
        self.held -= len(body)
        self._next_turn()

    def _end_turn(self) -> None:
        self._encoding = False
        self._next_turn()

    def _next_turn(self) -> None:
        while self._waiting and not self._encoding and self.held < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._encoding = True
                turn.set_result(None)


class Items(Generic[T]):
    """The items of one map.

    Args:
        request_of: makes the request of an item; raises ``AnyFastError`` for a bad one.
        send: sends a request, the body of which is given.
        stream: whether bodies are those of streams.
        into: what answers are parsed into.
        spending: of the client, for its budget and prices.

    """

    def __init__(
        self, request_of: RequestOf, send: Send, *, stream: bool, into: type[T] | None, spending: Spending
    ) -> None:
        self._request_of = request_of
        self._send = send
        self._stream = stream
        self._into = into
        self._spending = spending
        self._room = Room()
        self.witness_of: Callable[[Any], Witness | None] = lambda _: None
        """Returns what is told of the requests of an item."""

    async def call(self, index: int, item: Any) -> Result[T]:
        """Return what becomes of an item."""
        try:
            request = self._request_of(item)
            body = await self._room.encoded(request, stream=self._stream)
        except AnyFastError as error:
            return Result(index, item, row_id(item), error=error.with_traceback(None))
        try:
            return await self._result(index, item, request, body)
        finally:
            self._room.leave(body)

    async def _result(self, index: int, item: Any, request: ChatRequest, body: bytes) -> Result[T]:
        return await self._sent(index, item, request, body, self.witness_of(item))

    async def _sent(
        self, index: int, item: Any, request: ChatRequest, body: bytes, witness: Witness | None
    ) -> Result[T]:
        model, prices = request.model, self._spending.prices
        try:
            completion = await self._send(request, body, witness)
        except AnyFastError as error:
            error = error.with_traceback(None)
            return Result(index, item, row_id(item), error=error, attempts=error.attempts, model=model, prices=prices)
        value, misfit = self._parsed(completion)
        attempts = completion.trace.attempts if completion.trace is not None else ()
        return Result(index, item, row_id(item), completion, value, misfit, attempts, model=model, prices=prices)

    def _parsed(self, completion: ChatCompletion) -> tuple[T | None, OutputError | None]:
        if self._into is None:
            return None, None
        try:
            return completion.parse(self._into), None
        except OutputError as error:
            return None, error.with_traceback(None)


class RecordedItems(Items[T]):
    """The items of one map with a journal: what is recorded there is not sent again. An async context manager.

    An item is known by its id, or by a hash of its request and how often that has come before.

    Args:
        request_of: as for :class:`Items`, as the next ones.
        send: the same.
        stream: the same.
        into: the same.
        spending: the same.
        path: the journal.
        stop_on: kinds of errors that end the run. They are not recorded, nor are others that are no item's fault.

    """

    def __init__(
        self,
        request_of: RequestOf,
        send: Send,
        *,
        stream: bool,
        into: type[T] | None,
        spending: Spending,
        path: Path,
        stop_on: frozenset[str],
    ) -> None:
        super().__init__(request_of, send, stream=stream, into=into, spending=spending)
        self._path = path
        self._unrecorded = STOPPERS | stop_on
        self._seen = Seen()
        self._kept: list[tuple[str, bytes]] = []

    async def __aenter__(self) -> Self:
        opening = asyncio.ensure_future(asyncio.to_thread(open_journal, self._path, header=HEADER))
        try:
            self._journal: Journal = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # a thread cannot be stopped, and what it opens must be closed
            if opening.exception() is None:
                await asyncio.to_thread(opening.result().close)
            raise
        try:
            await asyncio.to_thread(charge, self._journal, self._spending)
        except BaseException:
            await asyncio.to_thread(self._journal.close)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lost = len(self._kept)
        with suppress(OSError):
            for custom_id, line in self._kept:  # there may be room again
                self._journal.answered(custom_id, line)
                lost -= 1
        try:
            await asyncio.to_thread(self._journal.close)
        finally:
            lost += self._journal.unsaved
            if lost and self._journal.error is not None:
                self._journal.error.add_note(f"{lost} results could not be saved; run again, they are sent again")

    async def _result(self, index: int, item: Any, request: ChatRequest, body: bytes) -> Result[T]:
        try:
            stem = await self._stem(request, body)
            key = self._key(row_id(item), stem)
        except AnyFastError as error:
            return Result(index, item, row_id(item), error=error.with_traceback(None))
        recorded = self._recorded(index, item, key, stem, request.model)
        if recorded is not None:
            return recorded
        result = await self._sent(index, item, request, body, RowWitness(self._journal, key))
        self._record(key, stem, result)
        await self._journal.saved()
        return result

    async def _stem(self, request: ChatRequest, body: bytes) -> str:
        """Return what tells a request from others: a hash of it as it is without streaming."""
        if self._stream:
            body = await encoded(request, stream=False)
        digest = hashlib.sha256(body) if len(body) < OFF_LOOP else await asyncio.to_thread(hashlib.sha256, body)
        return digest.hexdigest()[:STEM_DIGITS]

    def _key(self, name: str | None, stem: str) -> str:
        """Return what an item is known by.

        Raises:
            RequestValidationError: its id came before.

        """
        if name is None:
            return f"{stem}-{self._seen.count(int(stem[:16], 16))}"
        if self._seen.count(hash(name)) > 1:
            problem = f"{escaped(name, 80)!r} came before in this map; with a journal each id may come once"
            raise RequestValidationError.of([FieldError("id", problem)])
        return name

    def _recorded(self, index: int, item: Any, key: str, stem: str, model: str | None) -> Result[T] | None:
        """Return what the journal has for an item, None if it is to be sent."""
        line = self._journal.records.answer(key)
        if line is None:
            failure = self._journal.records.failure(key)
            if failure is None or stem_of(failure) != stem:
                return None
            error = error_in(failure)
            final = not error.retryable and error.kind not in self._unrecorded
            return Result(index, item, row_id(item), error=error, recorded=True) if final else None
        if stem_of(line) not in (stem, None):
            problem = f"{escaped(key, 80)!r} was recorded for another request; take another id or another journal"
            return Result(index, item, key, error=RequestValidationError.of([FieldError("id", problem)]))
        completion = completion_in(line)
        if completion is None:
            shape = ResponseShapeError(f"the journal's line for {escaped(key, 80)!r} holds no completion")
            return Result(index, item, row_id(item), error=shape, recorded=True)
        value, misfit = self._parsed(completion)
        prices = self._spending.prices
        return Result(index, item, row_id(item), completion, value, misfit, recorded=True, model=model, prices=prices)

    def _record(self, key: str, stem: str, result: Result[T]) -> None:
        if result.completion is not None:
            line = answer_line(key, result.completion, stem=stem)
            try:
                self._journal.answered(key, line)
            except OSError:
                self._kept.append((key, line))
                raise
        elif result.error is not None and result.error.kind not in self._unrecorded:
            self._journal.failed(key, error_line(key, result.error, stem=stem))
        elif result.error is not None and result.error.billed == "no":
            self._journal.unsent(key)


def run_of(
    source: Iterable[Any] | AsyncIterable[Any],
    request_of: RequestOf,
    send: Send,
    *,
    stream: bool,
    into: type[T] | None,
    journal: str | os.PathLike[str] | None,
    progress: Callable[[Progress], None] | bool,
    stop_on: Iterable[str],
    concurrency: int,
    ordered: bool,
    spending: Spending,
) -> MapRun[T]:
    """Return the run of a map; its arguments are those of ``client.map``, or of :class:`Items`.

    Raises:
        ConfigurationError: *source* or *concurrency* cannot be.

    """
    if isinstance(source, (str, bytes, Mapping)):
        message = f"map takes an iterable of prompts, not one {type(source).__name__}; put it into a list"
        raise ConfigurationError(message)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        message = f"concurrency must be a whole number from 1 up, not {concurrency!r}"
        raise ConfigurationError(message)
    stops = frozenset(stop_on)
    around: list[AbstractAsyncContextManager[object]] = []
    items: Items[T] = Items(request_of, send, stream=stream, into=into, spending=spending)
    if journal is not None:
        items = recorded = RecordedItems(
            request_of, send, stream=stream, into=into, spending=spending, path=Path(journal), stop_on=stops
        )
        around.append(recorded)
    if progress is True:
        shown = shown_progress()
        around.append(shown)
        progress = shown.show
    run: MapRun[T] = MapRun(
        source,
        items.call,
        concurrency=concurrency,
        ordered=ordered,
        stop_on=stops,
        progress=progress or None,
        around=around,
    )
    run.items = items
    return run
