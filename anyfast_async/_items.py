"""What a map does with an item: makes its request, finds the answer in a journal or sends for it, parses it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, TypeVar

import attrs

from anyfast_async._core.codec import unsaid
from anyfast_async._core.index import Seen
from anyfast_async._core.journal import (
    KINDS,
    STEM_DIGITS,
    UNRECORDED,
    answer_line,
    completion_in,
    error_in,
    error_line,
    stem_of,
)
from anyfast_async._core.rows import IdOf, check_source, recorded_as
from anyfast_async._ending import Ending
from anyfast_async._journal import Journal, open_journal
from anyfast_async._map import MapRun
from anyfast_async._outgoing import OFF_LOOP, encoded
from anyfast_async._progress import shown_progress
from anyfast_async._result import Progress, Result
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import (
    AnyFastError,
    ConfigurationError,
    DeadlineExceeded,
    FieldError,
    OutputError,
    RequestValidationError,
    ResponseShapeError,
    escaped,
)
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")
RequestOf: TypeAlias = Callable[[Any], ChatRequest]
Send: TypeAlias = Callable[[ChatRequest, bytes], Awaitable[ChatCompletion]]

BODY_BYTES: Final = 256 * 1024 * 1024
"""Encoded requests that a map holds at once, all in all; a larger one goes alone."""


class _Default(int):
    """A number that nobody asked for."""


AT_ONCE: Final = _Default(64)
"""Items of a map in work at once, unless told otherwise."""
HEADER: Final = {"written by": "map"}
OWN_STOPPERS: Final = frozenset({"budget", "configuration", "state"})
"""Kinds of errors of this side that end every run: a spent budget, a key that cannot be had, a closed client."""


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


@attrs.frozen
class Plan(Generic[T]):
    """What is done with each item of one map."""

    request_of: RequestOf
    """Makes the request of an item; raises ``AnyFastError`` for a bad one."""
    send: Send
    """Sends a request, the body of which is given."""
    lane_of: Callable[[ChatRequest], Hashable]
    """Where a request is counted: what the gateway says of a model concerns the items of one lane."""
    id_of: IdOf
    """Gives an item's id, None where there is none; raises ``AnyFastError`` for a bad one."""
    ending: Ending
    """What ends the map early."""
    stream: bool
    """Whether bodies are those of streams."""
    into: type[T] | None
    """What answers are parsed into."""


class Items(Generic[T]):
    """The items of one map."""

    def __init__(self, plan: Plan[T]) -> None:
        self._plan = plan
        self._room = Room()

    async def call(self, index: int, item: Any) -> Result[T]:
        """Return what becomes of an item."""
        plan, name = self._plan, None
        try:
            name = plan.id_of(item)
            request = plan.request_of(item)
            body = await self._room.encoded(request, stream=plan.stream)
        except AnyFastError as error:
            return Result(index, item, name, error=error.with_traceback(None))
        try:
            return await self._result(index, item, name, request, body)
        finally:
            self._room.leave(body)

    async def unsent(self, index: int, item: Any, error: AnyFastError, in_time: bool) -> Result[T]:  # noqa: ARG002 - for those with a journal
        """Return what an item carries that comes after the end of the run: *error*."""
        try:
            return Result(index, item, self._plan.id_of(item), error=error)
        except AnyFastError as bad:
            return Result(index, item, error=bad.with_traceback(None))

    async def _result(self, index: int, item: Any, name: Any, request: ChatRequest, body: bytes) -> Result[T]:
        plan = self._plan
        lane = plan.lane_of(request)
        refused = plan.ending.refused(lane)
        if refused is not None:
            return Result(index, item, name, error=refused)
        try:
            completion = await plan.send(request, body)
        except AnyFastError as error:
            plan.ending.failed(lane, error, request.model)
            return Result(index, item, name, error=error.with_traceback(None), attempts=error.attempts)
        plan.ending.answered(lane)
        value, misfit = self._parsed(completion)
        attempts = completion.trace.attempts if completion.trace is not None else ()
        return Result(index, item, name, completion, value, misfit, attempts)

    def _parsed(self, completion: ChatCompletion) -> tuple[T | None, OutputError | None]:
        if self._plan.into is None:
            return None, None
        try:
            return completion.parse(self._plan.into), None
        except OutputError as error:
            return None, error.with_traceback(None)


class RecordedItems(Items[T]):
    """The items of one map with a journal: what is recorded there is not sent again. An async context manager.

    An item is known by its id, or by a hash of its request and how often that has come before.

    Args:
        plan: what is done with them.
        path: the journal.
        stop_on: kinds of errors that end the run. They are not recorded, nor are others that are no item's fault.

    """

    def __init__(self, plan: Plan[T], *, path: Path, stop_on: frozenset[str]) -> None:
        super().__init__(plan)
        self._path = path
        self._unrecorded = UNRECORDED | stop_on
        self._seen = Seen()
        self._kept: list[tuple[str, bytes]] = []
        self._sent: dict[int, tuple[str, str]] = {}

    async def __aenter__(self) -> Self:
        opening = asyncio.ensure_future(asyncio.to_thread(open_journal, self._path, header=HEADER))
        try:
            self._journal: Journal = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # a thread cannot be stopped, and what it opens must be closed
            if opening.exception() is None:
                await asyncio.to_thread(opening.result().close)
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

    async def unsent(self, index: int, item: Any, error: AnyFastError, in_time: bool) -> Result[T]:
        """Return what is recorded of an item that comes after the end, if there is time to look, or *error*."""
        return await (self.call(index, item) if in_time else super().unsent(index, item, error, in_time))

    async def record(self, result: Result[T]) -> None:
        """Write down what became of an item that was sent, before anybody hears of it.

        Raises:
            OSError: the journal cannot be written.

        """
        sent = self._sent.pop(result.index, None)
        if sent is not None:
            self._record(*sent, result)
            await self._journal.saved()

    async def _result(self, index: int, item: Any, name: Any, request: ChatRequest, body: bytes) -> Result[T]:
        try:
            stem = await self._stem(request, body)
            key = self._key(name, stem)
        except AnyFastError as error:
            return Result(index, item, name, error=error.with_traceback(None))
        recorded = self._recorded(Result(index, item, name, recorded=True), key, stem)
        if recorded is not None:
            return recorded
        if self._plan.ending.refused(self._plan.lane_of(request)) is None:
            self._journal.started(key)
            self._sent[index] = key, stem
        return await super()._result(index, item, name, request, body)

    async def _stem(self, request: ChatRequest, body: bytes) -> str:
        """Return what tells a request from others: a hash of it as it is without streaming."""
        if self._plan.stream:
            body = await encoded(request, stream=False)
        body = unsaid(body)
        digest = hashlib.sha256(body) if len(body) < OFF_LOOP else await asyncio.to_thread(hashlib.sha256, body)
        return digest.hexdigest()[:STEM_DIGITS]

    def _key(self, name: Any, stem: str) -> str:
        """Return what an item is known by.

        Raises:
            RequestValidationError: its id came before, or cannot be written down.

        """
        if name is None:
            return f"{stem}-{self._seen.count(int(stem[:16], 16))}"
        key = recorded_as(name)
        if self._seen.count(hash(key)) > 1:
            problem = f"{escaped(repr(name), 80)} came before in this map; with a journal each id may come once"
            raise RequestValidationError.of([FieldError("id", problem)])
        return key

    def _recorded(self, found: Result[T], key: str, stem: str) -> Result[T] | None:
        """Return what the journal has for the item of *found*, None if it is to be sent."""
        line = self._journal.records.answer(key)
        if line is None:
            failure = self._journal.records.failure(key)
            if failure is None or stem_of(failure) != stem:
                return None
            error = error_in(failure)
            final = not error.retryable and error.kind not in self._unrecorded
            return attrs.evolve(found, error=error) if final else None
        if stem_of(line) not in (stem, None):
            problem = f"{escaped(key, 80)!r} was recorded for another request; take another id or another journal"
            other = RequestValidationError.of([FieldError("id", problem)])
            return attrs.evolve(found, error=other, recorded=False)
        completion = completion_in(line)
        if completion is None:
            shape = ResponseShapeError(f"the journal's line for {escaped(key, 80)!r} holds no completion")
            return attrs.evolve(found, error=shape)
        value, misfit = self._parsed(completion)
        return attrs.evolve(found, completion=completion, value=value, error=misfit)

    def _record(self, key: str, stem: str, result: Result[T]) -> None:
        if result.completion is not None:
            line = answer_line(key, result.completion, stem=stem)
            try:
                self._journal.answered(key, line)
            except OSError:
                self._kept.append((key, line))
                raise
        elif result.error is not None and self._is_its_own(result.error):
            self._journal.failed(key, error_line(key, result.error, stem=stem))
        elif result.error is not None and result.error.billed == "no":
            self._journal.unsent(key)

    def _is_its_own(self, error: AnyFastError) -> bool:
        """Return whether *error* is the item's, not one of the whole run: a deadline of the run may be met later."""
        of_the_run = self._plan.ending.is_late and error.retryable and isinstance(error, DeadlineExceeded)
        return error.kind not in self._unrecorded and not of_the_run


def run_of(
    source: Iterable[Any] | AsyncIterable[Any],
    plan: Plan[T],
    *,
    journal: str | os.PathLike[str] | None,
    progress: Callable[[Progress], None] | bool,
    stop_on: Iterable[str],
    concurrency: int,
    ordered: bool,
) -> MapRun[T]:
    """Return the run of a map; its arguments are those of ``client.map``.

    Raises:
        ConfigurationError: *source*, *stop_on* or *concurrency* cannot be.

    """
    check_source(source)
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        message = f"concurrency must be a whole number from 1 up, not {concurrency!r}"
        raise ConfigurationError(message)
    stops = kinds_of(stop_on) | OWN_STOPPERS
    around: list[AbstractAsyncContextManager[object]] = []
    recorded = None if journal is None else RecordedItems(plan, path=Path(journal), stop_on=stops)
    items: Items[T] = Items(plan) if recorded is None else recorded
    if recorded is not None:
        around.append(recorded)
    if progress is True:
        shown = shown_progress()
        around.append(shown)
        progress = shown.show
    run = MapRun(
        source,
        items.call,
        concurrency=concurrency,
        ordered=ordered,
        stop_on=stops,
        progress=progress or None,
        around=around,
        ending=plan.ending,
        unsent=items.unsent,
    )
    if recorded is not None:
        run.before_giving = recorded.record
    return run


def kinds_of(stop_on: Iterable[str]) -> frozenset[str]:
    """Return the kinds of errors in the argument ``stop_on``.

    Raises:
        ConfigurationError: one is no kind of error.

    """
    kinds = frozenset([stop_on] if isinstance(stop_on, str) else stop_on)
    unknown = sorted(kinds - KINDS, key=str)
    if unknown:
        message = f"stop_on takes kinds of errors ({', '.join(sorted(KINDS))}), not {unknown[0]!r}"
        raise ConfigurationError(message)
    return kinds
