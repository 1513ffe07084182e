"""N workers, one source, one bounded queue. Knows nothing of HTTP.

One task per worker, not per item: the source is asked for an item only when a worker is free, and a worker is free only
when its last result was taken, so memory is flat however long the source is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sized,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from anyfast_async._core.usage import used_by
from anyfast_async._progress import Progress
from anyfast_async.errors import AnyFastError, Attempt, ClientStateError
from anyfast_async.prices import Prices, Spent, usual_prices

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async.completions import ChatCompletion

T = TypeVar("T")

REORDER_WINDOW: Final = 4
"""Ordered: results that may wait for a slower one before them, as a multiple of the concurrency."""

_END: Final[Any] = object()


@attrs.frozen
class Result(Generic[T]):
    """What became of one item of a ``map``: a completion, or an error as a value."""

    index: int
    """The item's place in the source, from 0."""
    item: Any
    """The item, as it came from the source."""
    id: str | None = None
    """The row's ``custom_id`` or ``id``, where it has one."""
    completion: ChatCompletion | None = attrs.field(default=None, repr=False)
    value: T | None = None
    """With ``into=``: the parsed answer."""
    error: AnyFastError | None = None
    attempts: tuple[Attempt, ...] = attrs.field(default=(), repr=False)
    """Every try that was made, oldest first."""
    recorded: bool = False
    """Whether it was read from a journal and not sent."""
    model: str | None = attrs.field(default=None, kw_only=True, repr=False)
    """The model that was asked, None where the item did not get as far."""
    _prices: Prices | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @property
    def text(self) -> str:
        """The answer's text, ``""`` after an error."""
        return self.completion.text if self.completion is not None else ""

    @property
    def cost(self) -> float | None:
        """What the answer cost, in the currency of the client's ``prices``, by default US dollars of the list.

        None if nobody knows: without an answer, without usage or without a price.
        """
        used = used_by(self.completion.usage) if self.completion is not None else None
        prices = self._prices or usual_prices()
        price = None if used is None or prices is None or self.model is None else prices.price(self.model)
        return None if price is None or used is None else price.cost(used)

    def unwrap(self) -> ChatCompletion:
        """Return the completion.

        Raises:
            AnyFastError: the item's error.

        """
        if self.error is not None:
            raise self.error
        assert self.completion is not None  # noqa: S101 - one of the two is set
        return self.completion

    def row(self) -> dict[str, Any]:
        """Return a flat dict for a table: id, text (or the fields of ``into``), finish reason, tokens, error."""
        usage = self.completion.usage if self.completion is not None else None
        answer: dict[str, Any] = {"text": self.text if self.ok else None}
        if self.value is not None:
            kind = type(self.value)
            has_fields = attrs.has(kind) or hasattr(kind, "__dataclass_fields__")
            names = (
                [a.name for a in attrs.fields(kind)]
                if attrs.has(kind)
                else list(getattr(kind, "__dataclass_fields__", ()))
            )
            answer = {n: getattr(self.value, n) for n in names} if has_fields else {"value": self.value}
        return {
            "id": self.id if self.id is not None else self.index,
            **answer,
            "finish_reason": self.completion.finish_reason if self.completion is not None else None,
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "error_kind": self.error.kind if self.error is not None else None,
            "error": str(self.error) if self.error is not None else None,
        }


class MapRun(Generic[T]):
    """A run of ``map``: await it for a list, or enter it and iterate over results as they come.

    ``break``, an exception or a cancellation stops the workers, and leaving the context waits for them.
    """

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        call: Callable[[int, Any], Awaitable[Result[T]]],
        *,
        concurrency: int,
        ordered: bool = False,
        stop_on: Iterable[str] = (),
        progress: Callable[[Progress], None] | None = None,
        around: Iterable[AbstractAsyncContextManager[object]] = (),
    ) -> None:
        self._source = source
        self._call = call
        self._concurrency = concurrency
        self._ordered = ordered
        self._stop_on = frozenset(stop_on)
        self._progress = progress
        self._total = len(source) if isinstance(source, Sized) else None
        self._around = tuple(around)
        self._entered = AsyncExitStack()
        self._items: AsyncIterator[Any] | Iterator[Any] = iter(())
        self._turn = asyncio.Lock()
        self._next_index = 0
        self._exhausted = False
        self._failure: BaseException | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._running = 0
        self._in_flight = 0
        self._ready: deque[Result[T]] = deque()
        self._parked: dict[int, Result[T]] = {}
        self._given = 0
        self._news = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._began = 0.0
        self._done = self._failed = self._tokens = 0
        self._spent = Spent()
        self._begun = self._closed = False
        self.items: Any = None
        """What makes the requests and sends them, for who wants to be told of each that is sent."""
        self.before_giving: Callable[[Result[T]], Awaitable[None]] | None = None
        """Awaited by the worker with each result, before that is counted and given out."""
        self.stopped: AnyFastError | None = None
        """The error that ended the run early (its kind is in ``stop_on``), None if there was none."""

    def __await__(self) -> Generator[Any, None, list[Result[T]]]:
        return self._collect().__await__()

    async def __aenter__(self) -> MapRun[T]:
        if self._begun or self._closed:
            message = "a map runs once; call client.map again"
            raise ClientStateError(message)
        self._begun = True
        async with AsyncExitStack() as stack:
            for one in self._around:
                await stack.enter_async_context(one)
            source = self._source
            self._items = source.__aiter__() if isinstance(source, AsyncIterable) else iter(source)
            self._entered = stack.pop_all()
        self._began = time.monotonic()
        self._running = self._concurrency
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._work()) for _ in range(self._concurrency)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> MapRun[T]:
        return self

    async def __anext__(self) -> Result[T]:
        if not self._workers:
            message = "enter the map first: `async with client.map(...) as results`, or await it for a list"
            raise ClientStateError(message)
        while not self._ready:
            if self._closed:
                message = "the map was closed before its end"
                raise ClientStateError(message)
            if self._running == 0:
                self._end_of_results()
            else:
                self._news.clear()
                await self._news.wait()
        result = self._ready.popleft()
        self._given += 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break
        return result

    def _end_of_results(self) -> None:
        if self._parked:  # the one that they waited for will not come
            self._ready.extend(self._parked.pop(index) for index in sorted(self._parked))
        elif self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        else:
            raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the workers and wait for them. Calling it again does nothing."""
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        items, self._items = self._items, iter(())
        try:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
            elif isinstance(items, Generator):
                items.close()
        finally:
            self._news.set()
            await self._entered.aclose()

    async def _collect(self) -> list[Result[T]]:
        results: list[Result[T]] = []
        async with self:
            try:
                async for result in self:
                    results.append(result)  # noqa: PERF401 - what came before the error must be kept
            except AnyFastError as error:
                if error is not self.stopped:
                    raise
                unsent = [item async for item in self._rest()]
                first = self._next_index
                results += [Result(first + i, item, row_id(item), error=error) for i, item in enumerate(unsent)]
        results.sort(key=lambda result: result.index)
        return results

    async def _rest(self) -> AsyncIterator[Any]:
        if isinstance(self._items, AsyncIterator):
            async for item in self._items:
                yield item
        else:
            for item in self._items:
                yield item

    # -- workers -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while (item := await self._pull()) is not _END:
                index = self._next_index
                self._next_index += 1
                self._in_flight += 1
                try:
                    result = await self._call(index, item)
                    if self.before_giving is not None:
                        await self.before_giving(result)
                finally:
                    self._in_flight -= 1
                if self._is_full and not self._ordered:
                    await self._room()
                self._put(result)
        except Exception as error:  # noqa: BLE001 - whatever the source or the caller's request= raises ends the run
            self._failure = self._failure or error
            self._end()
        finally:
            self._running -= 1
            self._news.set()

    async def _pull(self) -> Any:
        """Return the next item when there is a place for its result; ordered, that is when its place is reserved."""
        items = self._items
        if isinstance(items, AsyncIterator):
            async with self._turn:
                if self._ordered:
                    await self._room()
                item = _END if self._exhausted else await anext(items, _END)
        else:
            if self._ordered and self._is_full:
                await self._room()
            item = _END if self._exhausted else next(items, _END)
        if item is _END:
            self._end()
        return item

    @property
    def _is_full(self) -> bool:
        if self._ordered:
            return self._next_index - self._given >= REORDER_WINDOW * self._concurrency and not self._exhausted
        return len(self._ready) >= self._concurrency

    async def _room(self) -> None:
        """Wait until a result is taken, if too many wait for that."""
        while self._is_full:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def _end(self) -> None:
        """Pull no more."""
        self._exhausted = True
        if self._ordered:
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiting.clear()

    def _put(self, result: Result[T]) -> None:
        if self._ordered:
            self._parked[result.index] = result
            first = self._given + len(self._ready)
            while first in self._parked:
                self._ready.append(self._parked.pop(first))
                first += 1
        else:
            self._ready.append(result)
        self._count(result)
        self._news.set()

    def _count(self, result: Result[T]) -> None:
        self._done += 1
        if result.completion is not None and not result.recorded:
            used = used_by(result.completion.usage)
            self._spent.add(result.model or "", used)
            self._tokens += 0 if used is None else used.tokens
        if result.error is not None:
            self._failed += 1
            if result.error.kind in self._stop_on:
                self._end()
                self.stopped = self.stopped or result.error
                self._failure = self._failure or result.error
        if self._progress is not None:
            self._progress(
                Progress(
                    done=self._done,
                    failed=self._failed,
                    total=self._total,
                    in_flight=self._in_flight,
                    tokens=self._tokens,
                    seconds=time.monotonic() - self._began,
                    usage_missing=self._spent.unknown,
                    spent=self._spent,
                    prices=result._prices,  # noqa: SLF001 - the run's
                ),
            )


def row_id(item: Any) -> str | None:
    """Return a row's own id: its ``custom_id`` or ``id``, as a key or an attribute."""
    if isinstance(item, str):
        return None
    for name in ("custom_id", "id"):
        value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return str(value)
    return None
