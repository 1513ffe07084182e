"""N workers, one source, one bounded queue. Knows nothing of HTTP.

One task per worker, not per item: the source is asked for an item only when a worker is free, and a worker is free only
when its last result was taken, so memory is flat however long the source is.
"""

from __future__ import annotations

import asyncio
import sys
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
    Sized,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from anyfast_async._map.early_end import Ending
from anyfast_async._map.result import Progress, Result, ResultList, Totals
from anyfast_async.errors import AnyFastError, ClientStateError

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

REORDER_WINDOW: Final = 4
"""Ordered: results that may wait for a slower one before them, as a multiple of the concurrency."""

LISTING: Final = 1.0
"""Seconds after the deadline in which a source is still asked for what was not sent, unless it has a length."""

GROUP: Final = 1000
"""Workers that begin together; the next ones begin when all of them are at work, so that none is idle for nothing."""

MOST_ASIDE: Final = 1000
"""Items that stand aside at most while others take their places."""

_END: Final[Any] = object()


class MapRun(Generic[T]):
    """A run of ``map``: await it for a list, or enter it and iterate over results as they come.

    ``break``, an exception or a cancellation stops the workers, and leaving the context waits for them. An exception
    out of an awaited run carries what there is as ``.results``, a list as the run would have given.
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
        ending: Ending | None = None,
        unsent: Callable[[int, Any, AnyFastError, bool], Awaitable[Result[T]]] | None = None,
        record: Callable[[Result[T]], Awaitable[None]] | None = None,
    ) -> None:
        self._source = source
        self._call = call
        self._concurrency = concurrency
        self._ordered = ordered
        self._stop_on = frozenset(stop_on)
        self._total = len(source) if isinstance(source, Sized) else None
        self._totals = None if progress is None else Totals(progress, self._total)
        self._around = tuple(around)
        self._ending = ending if ending is not None else Ending()
        self._aside = self._ending.aside
        self._result_of_unsent = unsent
        self._record = record
        self._entered = AsyncExitStack()
        self._items: AsyncIterator[Any] | Iterator[Any] = iter(())
        self._at_hand: Iterator[Any] | None = None
        """The items, where nothing has to be waited for before the next one is taken."""
        self._turn = asyncio.Lock()
        self._next_index = 0
        self._exhausted = False
        self._failure: BaseException | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._running = self._unbegun = 0
        self._landed = 0
        """Items that were in work, and are not any more."""
        self._ready: deque[Result[T]] = deque()
        self._parked: dict[int, Result[T]] = {}
        self._given = 0
        self._listening: deque[asyncio.Future[None]] = deque()
        """Who waits for results."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        """Who waits for room for them."""
        self._begun = self._closed = self._awaited = self._stop_was_told = False
        self._pulling: asyncio.Task[Any] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._until: float | None = None
        self._untold: list[Result[T]] = []

    @property
    def stopped(self) -> AnyFastError | None:
        """What ended the run early: an error named in ``stop_on``, the deadline, or waiting in vain; else None."""
        return self._ending.stopped

    def __await__(self) -> Generator[Any, None, list[Result[T]]]:
        return self._collect().__await__()

    async def frame(self, library: Literal["pandas", "polars", "pyarrow"] | None = None) -> Any:
        """Run, and return a data frame: for each item, in order, its own columns, and those of its answer beside them.

        Columns of rows (dicts, or the rows of a data frame) stay as they are; an answer's column that is called like
        one of them gets ``answer.`` before its name. Fields of ``into`` are columns, else there is ``text``.

        Args:
            library: that the frame is of. None: that of the source, else the first of the three that is installed.

        Raises:
            ConfigurationError: it is not installed. And whatever awaiting the run raises.

        """
        results = await self._collect()
        return results.frame(library, getattr(self._source, "table", None))

    async def __aenter__(self) -> MapRun[T]:
        if self._begun or self._closed:
            message = "a map runs once; call client.map again"
            raise ClientStateError(message)
        self._begun = True
        self._ending.begin(self._stop)
        self._aside.begin(self._substitute, self._are_others_done)
        async with AsyncExitStack() as stack:
            stack.callback(self._ending.close)
            stack.callback(self._aside.close)
            for one in self._around:
                await stack.enter_async_context(one)
            source = self._source
            self._items = source.__aiter__() if isinstance(source, AsyncIterable) else iter(source)
            if not self._ordered and not isinstance(self._items, AsyncIterator):
                self._at_hand = self._items
            self._entered = stack.pop_all()
        if self._totals is not None:
            self._totals.begin()
        self._begin(self._concurrency)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> MapRun[T]:
        return self

    async def __anext__(self) -> Result[T]:
        if not self._ready:
            await self._until_ready()
        self._given += 1
        if self._waiting:
            _wake(self._waiting, 1)
        return self._ready.popleft()

    async def _until_ready(self) -> None:
        """Wait for a result, or raise what the run ended with."""
        if not self._workers:
            message = "enter the map first: `async with client.map(...) as results`, or await it for a list"
            raise ClientStateError(message)
        while not self._ready:
            if self._closed:
                message = "the map was closed before its end"
                raise ClientStateError(message)
            if self._running == 0:
                await self._end_of_results()
            else:
                news = asyncio.get_running_loop().create_future()
                self._listening.append(news)
                await news

    async def _end_of_results(self) -> None:
        """Make ready what is left, else raise what the run ended with."""
        stopped = self._ending.stopped
        if self._parked:  # the one that they waited for will not come
            self._ready.extend(self._parked.pop(index) for index in sorted(self._parked))
        elif self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        elif stopped is not None and (self._awaited or self._ending.is_late):
            self._ready.append(await self._unsent())
        elif stopped is not None and not self._stop_was_told:
            self._stop_was_told = True
            raise stopped
        else:
            raise StopAsyncIteration

    async def _unsent(self) -> Result[T]:
        """Return what the next item of the source carries, which was not sent.

        Raises:
            StopAsyncIteration: there is none, or the source does not come to an end.

        """
        item = await self._another()
        error, index = self._ending.over, self._next_index
        if item is _END or error is None:
            raise StopAsyncIteration
        self._next_index += 1
        if self._result_of_unsent is None:
            return Result(index, item, error=error)
        in_time = self._until is None or asyncio.get_running_loop().time() < self._until
        return await self._result_of_unsent(index, item, error, in_time)

    async def _another(self) -> Any:
        items, until = self._items, self._until if self._total is None else None
        if isinstance(items, AsyncIterator):
            patience = asyncio.timeout_at(until)
            try:
                async with patience:
                    return await anext(items, _END)
            except TimeoutError:
                if not patience.expired():
                    raise
                return _END
        if until is not None and asyncio.get_running_loop().time() >= until:
            return _END
        return next(items, _END)

    async def aclose(self) -> None:
        """Stop the workers and wait for them. Calling it again does nothing."""
        self._closed = True
        if self._leaving is not None:
            self._leaving.cancel()
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        items, self._items, self._at_hand = self._items, iter(()), None
        try:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
            elif isinstance(items, Generator):
                items.close()
        finally:
            _wake(self._listening)
            await self._entered.aclose()
            self._record = None  # whoever records may hold this run

    async def _collect(self) -> ResultList[T]:
        results: ResultList[T] = ResultList()
        try:
            async with self:
                self._awaited = True
                async for result in self:
                    results.append(result)
        except BaseException as error:
            results += [*self._ready, *self._parked.values(), *self._untold]
            results.sort(key=lambda result: result.index)
            with suppress(AttributeError, TypeError):  # a class may have another idea of the name
                object.__setattr__(error, "results", results)
            raise
        results.sort(key=lambda result: result.index)
        return results

    # -- workers -----------------------------------------------------------------------------------------------------

    def _begin(self, workers: int) -> None:
        """Begin so many workers, as far as there are items for them."""
        self._unbegun = max(0, workers - GROUP)
        begun = workers - self._unbegun
        self._running += begun
        call = self._begin_more_and_call if self._unbegun else self._call
        loop = asyncio.get_running_loop()
        self._workers += [loop.create_task(self._work(call)) for _ in range(begun)]

    def _begin_more_and_call(self, index: int, item: Any) -> Awaitable[Result[T]]:
        if self._unbegun and self._next_index - self._landed >= self._running and not self._closed:
            self._begin(self._unbegun)
        return self._call(index, item)

    async def _work(self, call: Callable[[int, Any], Awaitable[Result[T]]]) -> None:
        aside, ready, record = self._aside, self._ready, self._record
        most = sys.maxsize if self._ordered else self._concurrency  # ordered, the place was reserved before
        result: Result[T] | None = None
        try:
            while not aside.returning:
                item = self._pull(self._at_hand) if self._at_hand is not None else await self._pull_in_turn()
                if item is _END:
                    self._end()
                    break
                index = self._next_index
                self._next_index = index + 1
                try:
                    result = await call(index, item)
                    if record is not None:
                        await record(result)
                finally:
                    self._landed += 1
                    if aside.count:
                        aside.look()
                if len(ready) >= most:
                    await self._room()
                told, result = result, None
                self._give(told)
        except Exception as error:  # noqa: BLE001 - whatever the source or the caller's progress= raises ends the run
            self._failure = self._failure or error
            self._end()
        finally:
            if result is not None:
                self._untold.append(result)
            self._running -= 1
            self._aside.free()
            self._aside.look()
            if self._running == 0:
                self._ending.close()
            _wake(self._listening)

    def _substitute(self) -> bool:
        """Let another worker begin in place of one the item of which stands aside, if there may be more items."""
        if self._exhausted or self._closed or self._aside.count > MOST_ASIDE:
            return False
        self._running += 1
        self._workers = [worker for worker in self._workers if not worker.done()]
        self._workers.append(asyncio.get_running_loop().create_task(self._work(self._call)))
        return True

    def _are_others_done(self) -> bool:
        """Return whether all that is in work stands aside, and nothing comes that need not wait for it."""
        return self._next_index - self._landed <= self._aside.count and (
            self._exhausted or (self._ordered and self._is_full)
        )

    @staticmethod
    def _pull(items: Iterator[Any]) -> Any:
        return next(items, _END)

    async def _pull_in_turn(self) -> Any:
        """Return the next item when there is a place for its result; ordered, that is when its place is reserved."""
        if isinstance(self._items, AsyncIterator):
            self._aside.free()  # the source may be silent for long: a row that comes back must not wait for that
            try:
                item = await self._next(self._items)
            finally:
                await self._aside.place()
        else:
            if self._is_full:
                self._aside.free()  # who stood aside may be what it waits for
                await self._room()
                await self._aside.place()
            item = _END if self._exhausted else self._pull(self._items)
        return item

    async def _next(self, items: AsyncIterator[Any]) -> Any:
        async with self._turn:
            if self._ordered:
                await self._room()
            if self._exhausted:
                return _END
            self._pulling = asyncio.current_task()
            try:
                return await anext(items, _END)
            finally:
                self._pulling = None

    @property
    def _is_full(self) -> bool:
        if self._ordered:
            # What is refused while others are answered holds back the results behind it; the others are to show that.
            window = REORDER_WINDOW * self._concurrency * (2 if self._aside.count else 1)
            return self._next_index - self._given >= window and not self._exhausted
        return len(self._ready) >= self._concurrency

    async def _room(self) -> None:
        """Wait until a result is taken, if too many wait for that."""
        while self._is_full:
            self._aside.look()
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def _stop(self) -> None:
        """Pull no more, because the run ends early; a source that is being waited for is left after a while."""
        self._end()
        loop = asyncio.get_running_loop()
        if self._ending.is_late:
            self._until = loop.time() + LISTING
        if self._ending.is_late or not self._awaited:
            self._leaving = loop.call_later(LISTING, self._leave_source)

    def _leave_source(self) -> None:
        if self._pulling is not None:
            self._pulling.cancel()

    def _end(self) -> None:
        """Pull no more."""
        self._exhausted = True
        if self._at_hand is not None:
            self._at_hand = iter(())
        if self._ordered:
            _wake(self._waiting)

    def _give(self, result: Result[T]) -> None:
        """Make a result ready, after those before it where the run is ordered."""
        if self._ordered:
            self._parked[result.index] = result
            first = self._given + len(self._ready)
            while first in self._parked:
                self._ready.append(self._parked.pop(first))
                first += 1
        else:
            self._ready.append(result)
        if result.error is not None and result.error.kind in self._stop_on:
            self._ending.stop(result.error)
        if self._totals is not None:
            self._totals.add(result, self._next_index - self._landed)
        if self._listening:
            _wake(self._listening)


def _wake(waiting: deque[asyncio.Future[None]], most: int = sys.maxsize) -> None:
    """Let go on so many of those who wait, first come, first served."""
    while waiting and most:
        waiter = waiting.popleft()
        if not waiter.done():
            waiter.set_result(None)
            most -= 1
