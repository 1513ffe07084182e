"""N workers, one source: bounded, in order where wanted, and errors are values. No HTTP here but at the end."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    AuthenticationError,
    ChatRequest,
    ClientStateError,
    ConfigurationError,
    InternalServerError,
    NotSentError,
    Progress,
    RequestValidationError,
    Result,
    RetryPolicy,
)
from anyfast_async._map.map_run import MapRun

if TYPE_CHECKING:
    from conftest import Connect

    from anyfast_async.simulator import Simulator

virtual = pytest.mark.virtual


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


async def succeed(index: int, item: Any) -> Result[Any]:
    await asyncio.sleep(0)
    return Result(index, item)


def taking(seconds: Callable[[int], float]) -> Callable[[int, Any], Awaitable[Result[Any]]]:
    async def call(index: int, item: Any) -> Result[Any]:
        await asyncio.sleep(seconds(index))
        return Result(index, item)

    return call


def run(source: Any, call: Any = succeed, *, concurrency: int = 4, **options: Any) -> MapRun[Any]:
    return MapRun(source, call, concurrency=concurrency, **options)


class Source:
    """Counts what was pulled out of it."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count
        self.pulled = 0
        self.closed = False

    def __iter__(self) -> Iterator[int]:
        while self.count is None or self.pulled < self.count:
            self.pulled += 1
            yield self.pulled - 1

    async def pages(self) -> AsyncIterator[int]:
        try:
            for item in self:
                await asyncio.sleep(0)
                yield item
        finally:
            self.closed = True


# -- order -----------------------------------------------------------------------------------------------------------


@virtual
async def test_awaited_it_is_a_list_in_the_order_of_the_source() -> None:
    """Whatever finishes first, the list is in input order."""
    rand = random.Random(1)
    times = [rand.random() for _ in range(50)]

    results = await run(range(50), taking(lambda i: times[i]), concurrency=7)

    assert [result.item for result in results] == list(range(50))
    assert [result.index for result in results] == list(range(50))


@virtual
async def test_results_come_as_they_finish() -> None:
    """Unordered: the fast ones do not wait for a slow one."""
    async with run(range(4), taking(lambda i: 4 - i)) as results:
        order = [result.item async for result in results]

    assert order == [3, 2, 1, 0]


@virtual
@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_ordered_results_come_in_order(concurrency: int) -> None:
    """Ordered: given out in the order of the source, though they finish otherwise."""
    rand = random.Random(2)
    times = [rand.random() for _ in range(100)]

    async with run(range(100), taking(lambda i: times[i]), concurrency=concurrency, ordered=True) as results:
        order = [result.item async for result in results]

    assert order == list(range(100))


@virtual
async def test_ordered_window_is_bounded() -> None:
    """While the first item hangs, no more than four times the concurrency is pulled ahead of it."""
    source = Source()

    async with run(source, taking(lambda i: 1000 if i == 0 else 1), concurrency=5, ordered=True) as results:
        assert (await anext(results)).item == 0
        assert source.pulled <= 5 * 4 + 1


# -- bounds ----------------------------------------------------------------------------------------------------------


@virtual
async def test_concurrency_is_exact() -> None:
    """Never more than 8 are in work, and 80 items of a second each take ten."""
    active = peak = 0

    async def call(index: int, item: Any) -> Result[Any]:
        nonlocal active, peak
        active += 1
        peak = max(peak, active)
        await asyncio.sleep(1)
        active -= 1
        return Result(index, item)

    await run(range(80), call, concurrency=8)

    assert (peak, asyncio.get_running_loop().time()) == (8, 10.0)


@virtual
@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
@pytest.mark.parametrize("ordered", [False, True])
async def test_more_at_once_than_there_are_items(kind: str, ordered: bool) -> None:
    """Whoever asks for a thousand million at once gets as many workers as there are items, or a group of them."""

    async def slowly() -> AsyncIterator[int]:
        for item in range(2500):
            yield item

    source = {"list": range(2500), "generator": (n for n in range(2500)), "async generator": slowly()}[kind]

    async with run(source, taking(lambda _: 1), concurrency=10**9, ordered=ordered) as results:
        await anext(results)
        workers = len(asyncio.all_tasks()) - 1
        count = 1 + len([result async for result in results])

    assert (count, asyncio.get_running_loop().time()) == (2500, 1.0), "all of them were in work at once"
    assert workers <= 3000


@virtual
async def test_no_worker_begins_while_others_are_idle() -> None:
    """A source that is slower than the answers needs a group of workers, however long it is."""

    async def slowly() -> AsyncIterator[int]:
        for item in range(5000):
            await asyncio.sleep(1)
            yield item

    most = 0
    async with run(slowly(), concurrency=10**9) as results:
        async for _ in results:
            most = max(most, len(asyncio.all_tasks()))

    assert most <= 1000 + 1


@virtual
async def test_source_is_pulled_only_as_results_are_taken() -> None:
    """A reader that takes nothing stops the source: what is in work and what is ready, and no more."""
    source = Source()
    taken = 0

    async with run(source, concurrency=8) as results:
        async for _ in results:
            taken += 1
            await asyncio.sleep(1)
            assert source.pulled <= taken + 8 + 8
            if taken == 50:
                break


@virtual
async def test_endless_source_can_be_left() -> None:
    """``break`` out of an endless map ends the workers; the source is not pulled any more."""
    source = Source()

    async with run(source) as results:
        async for result in results:
            if result.item == 100:
                break
    pulled = source.pulled
    await asyncio.sleep(10)

    assert source.pulled == pulled < 120


async def test_memory_is_flat() -> None:
    """10 000 items that do nothing: what is held at the end is far less than a tenth of their number."""
    seen = before = 0
    async with run(Source(10_000), concurrency=16) as results:
        tracemalloc.start()
        try:
            async for _ in results:
                seen += 1
                if seen == 1000:
                    before, _ = tracemalloc.get_traced_memory()
                    tracemalloc.reset_peak()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert seen == 10_000
    assert peak - before < 200_000


async def test_taking_a_result_wakes_as_few_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow reader: each result that is taken makes room for one worker, and does not wake all 64."""
    loop = asyncio.get_running_loop()
    schedule: Any = loop.call_soon
    scheduled = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal scheduled
        scheduled += 1
        return schedule(*args, **kwargs)

    async with run(range(2000), concurrency=64) as results:
        monkeypatch.setattr(loop, "call_soon", counted)
        async for _ in results:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    assert 2000 < scheduled < 15 * 2000


# -- sources ---------------------------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("kind", ["list", "generator", "async generator", "empty", "one"])
async def test_sources(kind: str) -> None:
    """Any iterable or async iterable will do."""
    sources: dict[str, tuple[Any, int]] = {
        "list": ([0, 1, 2, 3, 4], 5),
        "generator": ((i for i in range(5)), 5),
        "async generator": (Source(5).pages(), 5),
        "empty": ([], 0),
        "one": ([0], 1),
    }
    source, count = sources[kind]

    assert [result.item for result in await run(source)] == list(range(count))


@virtual
async def test_async_source_is_closed_when_the_map_is_left() -> None:
    """``break`` runs the ``finally`` of an async generator that served as the source, before the map is left."""
    source = Source()

    async with run(source.pages()) as results:
        await anext(results)

    assert source.closed


@virtual
async def test_sync_source_is_closed_when_the_map_is_left() -> None:
    """``break`` runs the ``finally`` of a generator that served as the source, such as one over an open file."""
    closed = False

    def lines() -> Iterator[int]:
        nonlocal closed
        try:
            yield from range(10**6)
        finally:
            closed = True

    results = run(lines())
    async with results:
        await anext(results)

    assert closed


@virtual
async def test_source_that_raises_ends_the_run_after_what_is_in_work() -> None:
    """Results of items before the failure are given out, then the source's own exception is raised."""

    def source() -> Iterator[int]:
        yield from range(6)
        message = "the disk"
        raise OSError(message)

    got: list[int] = []

    with pytest.raises(OSError, match="the disk"):
        async with run(source(), taking(lambda i: 1 + i), concurrency=3) as results:
            async for result in results:
                got.append(result.item)  # noqa: PERF401 - it raises

    assert sorted(got) == list(range(6))


@virtual
async def test_source_that_raises_fails_the_list() -> None:
    """Awaited, the source's exception comes out too."""

    async def source() -> AsyncIterator[int]:
        yield 1
        message = "gone"
        raise LookupError(message)

    with pytest.raises(LookupError, match="gone"):
        await run(source())


@virtual
async def test_progress_that_raises_ends_the_run() -> None:
    """An error in the caller's ``progress`` is not swallowed."""

    def progress(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(range(10), progress=progress)


class FrozenError(Exception):
    """An exception as attrs' frozen classes make them."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class NamedError(Exception):
    """One that has another idea of the name."""

    @property
    def results(self) -> str:
        return "mine"


def breaking(after: int, error: Exception) -> Iterator[int]:
    yield from range(after)
    raise error


async def apages(source: Iterator[int]) -> AsyncIterator[int]:
    for item in source:
        await asyncio.sleep(0)
        yield item


@virtual
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("kind", ["source", "async source", "progress", "hook"])
async def test_what_was_paid_is_kept(kind: str, *, ordered: bool) -> None:
    """Whatever of the caller's breaks an awaited run: its exception comes out with every result that there is."""
    paid: list[int] = []
    error = ValueError("mine")

    async def call(index: int, item: Any) -> Result[Any]:
        await asyncio.sleep(1 + index % 3)
        paid.append(index)
        return Result(index, item)

    def progress(now: Progress) -> None:
        if kind == "progress" and now.done == 40:
            raise error

    async def hook(result: Result[Any]) -> None:
        if kind == "hook" and result.index >= 40:
            raise error

    source: Any = breaking(60, error) if "source" in kind else range(60)
    started = run(apages(source) if "async" in kind else source, call, ordered=ordered, progress=progress, record=hook)
    with pytest.raises(ValueError, match="mine") as caught:
        await started

    assert caught.value is error
    kept: list[Result[Any]] = vars(error)["results"]
    assert [r.index for r in kept] == sorted(paid)
    assert len(kept) >= 40


@virtual
@pytest.mark.parametrize(("error", "count"), [(FrozenError(), 3), (NamedError(), None), (KeyError("x"), 3)], ids=repr)
async def test_exceptions_that_refuse_attributes(error: Exception, count: int | None) -> None:
    """One that is frozen carries the results too; one that has that attribute comes out as it is."""
    with pytest.raises(type(error)) as caught:
        await run(breaking(3, error), taking(lambda _: 1))

    assert caught.value is error
    assert len(vars(error).get("results", ())) == (count or 0)


@virtual
async def test_a_cancelled_run_keeps_what_was_paid() -> None:
    """A time that is up: the results are on the ``CancelledError``, which the ``TimeoutError`` has as its cause."""
    started = run(range(100), taking(lambda i: 1 if i < 10 else 100), concurrency=10)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(50):
            await started

    cancelled = caught.value.__cause__ or caught.value.__context__  # the cause since Python 3.11.3
    assert [r.index for r in vars(cancelled)["results"]] == list(range(10))


@virtual
async def test_progress_that_raises_is_not_asked_again() -> None:
    """What is in flight is finished, without it."""
    told: list[int] = []

    def progress(now: Progress) -> None:
        told.append(now.done)
        if now.done == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await run(range(10), taking(lambda _: 1), progress=progress)

    assert (told, len(vars(caught.value)["results"])) == ([1, 2], 5)


@virtual
async def test_ordered_results_are_given_out_though_one_is_missing() -> None:
    """Ordered: where an item's call itself breaks, those after it are given out all the same, then it is raised."""

    async def call(index: int, item: Any) -> Result[Any]:
        await asyncio.sleep(5 if index == 2 else 1)
        if index == 2:
            raise LookupError
        return Result(index, item)

    got: list[int] = []
    with pytest.raises(LookupError):
        async with run(range(1000), call, concurrency=3, ordered=True) as results:
            async for result in results:
                got.append(result.item)  # noqa: PERF401 - it raises

    assert [0, 1, *range(3, len(got) + 1)] == got
    assert len(got) <= 12


# -- what goes around ------------------------------------------------------------------------------------------------


@virtual
async def test_each_result_is_seen_to_before_it_is_given() -> None:
    """What records it is awaited before the result is counted and given out; what it raises ends the run."""
    events: list[str] = []

    async def before(result: Result[Any]) -> None:
        await asyncio.sleep(1)
        events.append(f"before {result.item}")
        if result.item == 2:
            raise ZeroDivisionError

    def count(now: Progress) -> None:
        events.append(f"counted {now.done}")

    watched = run(range(4), concurrency=1, progress=count, record=before)
    with pytest.raises(ZeroDivisionError):
        async with watched as results:
            async for result in results:
                events.append(f"given {result.item}")  # noqa: PERF401 - it raises

    one, two = (["before 0", "counted 1", "given 0"], ["before 1", "counted 2", "given 1"])
    assert [*one, *two, "before 2"] == events


@virtual
@pytest.mark.parametrize("end", ["all", "break", "error"])
async def test_what_is_entered_around_a_run(end: str) -> None:
    """It is entered before the source is touched, and left in the reverse order when no worker is left."""
    events: list[str] = []

    @asynccontextmanager
    async def around(name: str) -> AsyncIterator[None]:
        events.append(f"+{name}")
        yield
        events.append(f"-{name} {len(asyncio.all_tasks()) - 1}")

    def source() -> Iterator[int]:
        events.append("source")
        yield from range(5)
        if end == "error":
            raise LookupError

    with suppress(LookupError):
        async with run(source(), around=[around("a"), around("b")]) as results:
            async for _ in results:
                if end == "break":
                    break

    assert ["+a", "+b", "source", "-b 0", "-a 0"] == events


@virtual
async def test_what_cannot_be_entered_ends_the_run() -> None:
    """Nothing is pulled, what was entered is left, and the map is used up."""
    left: list[bool] = []

    @asynccontextmanager
    async def good() -> AsyncIterator[None]:
        try:
            yield
        finally:
            left.append(True)

    @asynccontextmanager
    async def bad() -> AsyncIterator[None]:
        raise ZeroDivisionError
        yield

    source = Source()
    broken = run(source, around=[good(), bad()])
    with pytest.raises(ZeroDivisionError):
        await broken
    with pytest.raises(ClientStateError, match="runs once"):
        await broken

    assert ([True], 0) == (left, source.pulled)


# -- errors as values ------------------------------------------------------------------------------------------------


def failing(*bad: int, error: AnyFastError | None = None) -> Callable[[int, Any], Awaitable[Result[Any]]]:
    async def call(index: int, item: Any) -> Result[Any]:
        await asyncio.sleep(0.5 if index in bad else 1)
        return Result(index, item, error=(error or InternalServerError(f"{index}")) if index in bad else None)

    return call


@virtual
async def test_errors_are_values() -> None:
    """A failed item is a result with its error; the others are not touched."""
    results = await run(range(10), failing(3, 7))

    assert [result.index for result in results if not result.ok] == [3, 7]
    with pytest.raises(InternalServerError, match="3"):
        results[3].unwrap()


@virtual
async def test_error_that_concerns_all_ends_the_run() -> None:
    """Iterated: what is in work is given out, then the error is raised; no item more is pulled."""
    error = AuthenticationError("401")
    source = Source()
    got = []

    async with run(source, failing(2, error=error), stop_on=("auth",)) as results:
        with pytest.raises(AuthenticationError) as caught:
            async for result in results:
                got.append(result.index)  # noqa: PERF401 - it raises

    assert caught.value is error
    assert results.stopped is error
    assert sorted(got) == [0, 1, 2, 3]
    assert source.pulled == 4


@virtual
async def test_error_that_concerns_all_fills_the_list() -> None:
    """Awaited: the list is as long as the source; what was not sent says why."""
    error = AuthenticationError("401")
    sent = 0
    inner = failing(2, error=error)

    async def call(index: int, item: Any) -> Result[Any]:
        nonlocal sent
        sent += 1
        return await inner(index, item)

    results = await run(range(100), call, stop_on=("auth",))

    assert len(results) == 100
    assert [result.index for result in results] == list(range(100))
    (not_sent,) = {result.error for result in results[4:]}
    assert isinstance(not_sent, NotSentError)
    assert (str(not_sent), not_sent.why, not_sent.billed, not_sent.__cause__) == ("not sent: 401", "401", "no", error)
    assert [result.error for result in results[:4]] == [None, None, error, None]
    assert sent == 4


@virtual
async def test_progress_is_told_after_each_result() -> None:
    """Counts, failures, total and time are those of the run; the rate is results a second."""
    told: list[Progress] = []

    await run([0] * 8, failing(1), concurrency=4, progress=told.append)

    assert [progress.done for progress in told] == list(range(1, 9))
    assert (told[-1].failed, told[-1].total, told[-1].in_flight) == (1, 8, 0)
    assert [progress.seconds for progress in told] == sorted(progress.seconds for progress in told)


@virtual
async def test_total_of_a_source_without_length_is_unknown() -> None:
    """A generator has no length, so ``total`` is None."""
    told: list[Progress] = []

    await run(iter(range(3)), progress=told.append)

    assert {progress.total for progress in told} == {None}


# -- the end ---------------------------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("form", ["await", "iterate"])
async def test_cancellation_waits_for_the_workers(form: str) -> None:
    """Cancelled, a map has ended its workers, cleanup included, before ``CancelledError`` comes out."""
    cleaned = 0

    async def call(index: int, item: Any) -> Result[Any]:
        nonlocal cleaned
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            cleaned += 1
        return Result(index, item)

    async def use() -> None:
        if form == "await":
            await run(range(10), call)
        async with run(range(10), call) as results:
            async for _ in results:
                pass

    task = asyncio.create_task(use())
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert cleaned == 4


@virtual
async def test_map_runs_once() -> None:
    """A second use is refused, and so is iterating over what was not entered or was left."""
    results = run(range(3))
    with pytest.raises(ClientStateError, match="enter the map first"):
        await anext(results)
    async with results:
        pass
    with pytest.raises(ClientStateError, match="closed before its end"):
        await anext(results)
    with pytest.raises(ClientStateError, match="runs once"):
        await results
    await results.aclose()


# -- through the client ----------------------------------------------------------------------------------------------


async def test_map_through_the_client(sim: Simulator, client: AnyFast) -> None:
    """Prompts in, answers in input order out, each with its attempts."""
    prompts = [f"prompt {i}" for i in range(30)]

    results: list[Result[Any]] = await client.map(prompts, concurrency=8, max_tokens=20)

    assert [result.item for result in results] == prompts
    assert all(prompt in result.text for prompt, result in zip(prompts, results, strict=True))
    assert {next(a.outcome for a in result.attempts) for result in results} == {"ok"}
    assert {request.body["max_tokens"] for request in sim.requests} == {20}


async def test_items_may_be_anything_that_complete_takes(client: AnyFast) -> None:
    """Strings, messages, lists of messages and requests go side by side."""
    items: list[Any] = [
        "a",
        {"role": "user", "content": "b"},
        [{"role": "system", "content": "c"}, {"role": "user", "content": "d"}],
        ChatRequest("e", model="gemini-2.5-flash"),
    ]

    results: list[Result[Any]] = await client.map(items)

    assert [result.ok for result in results] == [True] * 4
    assert results[3].unwrap().model == "gemini-2.5-flash"


async def test_bad_items_are_values(sim: Simulator, client: AnyFast) -> None:
    """An item that is no request, and a ``request=`` that raises, fail that item alone; nothing is sent for it."""

    def request(item: int) -> Any:
        if item == 1:
            return ""
        if item == 2:
            message = "missing column"
            raise KeyError(message)
        return f"item {item}"

    results: list[Result[Any]] = await client.map(range(4), request=request)

    assert [type(result.error).__name__ for result in results] == [
        "NoneType", "RequestValidationError", "RequestValidationError", "NoneType",
    ]  # fmt: skip
    assert "messages" in str(results[1].error)
    assert "KeyError" in str(results[2].error)
    assert len(sim.requests) == 2


async def test_options_wrong_for_all_are_refused_at_once(sim: Simulator, client: AnyFast) -> None:
    """An option out of its range is raised when the map is made, before the source is touched."""
    source = Source()

    with pytest.raises(RequestValidationError, match="temperature"):
        _: MapRun[Any] = client.map(source, temperature=3)

    assert (source.pulled, sim.requests) == (0, [])


@pytest.mark.parametrize("options", [{}, {"request": lambda row: row.text}], ids=["prompts", "rows"])
async def test_a_data_frame_is_no_source(sim: Simulator, client: AnyFast, options: Any) -> None:
    """Its column names are not sent; the message says how to pass its rows, which are taken one by one."""
    frame = pytest.importorskip("pandas").DataFrame({"id": [7, 8], "text": ["good kettle", "bad lamp"]})
    with pytest.raises(ConfigurationError, match=r"to_dict\('records'\) or frame.itertuples\(\)"):
        _: MapRun[Any] = client.map(frame, **options)
    assert sim.requests == []

    results: list[Result[Any]] = await client.map(frame.itertuples(), request=lambda row: row.text, id="id")

    assert [(r.id, type(r.id), r.item.text) for r in results] == [(7, int, "good kettle"), (8, int, "bad lamp")]


class Row:
    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def id(self) -> str:
        if self.text == "ask 4":
            message = "no id here"
            raise RuntimeError(message)
        return self.text


async def test_an_item_whose_id_raises_is_one_item(sim: Simulator, client: AnyFast) -> None:
    """It fails as a value and is not sent; the others are answered."""
    items = [Row(f"ask {i}") for i in range(20)]
    results: list[Result[Any]] = await client.map(items, request=lambda row: row.text)

    assert [r.index for r in results if not r.ok] == [4]
    assert "id: the item's own id raised RuntimeError for this item: no id here" in str(results[4].error)
    assert (len(sim.requests), results[5].id, results[4].row()["id"]) == (19, "ask 5", 4)


@pytest.mark.parametrize("name", ["deadline", "give_up_after"])
async def test_seconds_of_a_run_are_checked(client: AnyFast, name: str) -> None:
    """Before anything is sent."""
    options: Any = {name: 0}
    with pytest.raises(ConfigurationError, match=f"{name} must be a number of seconds above 0, or None, not 0"):
        _: MapRun[Any] = client.map(["x"], **options)


async def test_a_deadline_through_the_client(sim: Simulator, client: AnyFast) -> None:
    """What hangs ends with it, whichever way it is asked; the rest is answered."""
    sim.reply("slow", when="hang", ttft=30)
    for via_stream in (False, True):
        results: list[Result[Any]] = await client.map(
            ["a", "hang", "b"], deadline=1, concurrency=3, via_stream=via_stream
        )
        assert [r.error and (r.error.kind, r.error.billed) for r in results] == [None, ("deadline", "maybe"), None]


async def test_refused_key_stops_a_map(sim: Simulator, connect: Connect) -> None:
    """A 401 ends a map of 1 000 after what was in flight; every item that was not sent says so."""
    sim.fail(401, times=None)
    client = connect(sim.base_url)

    results: list[Result[Any]] = await client.map((f"{i}" for i in range(1000)), concurrency=4)

    assert len(results) == 1000
    kinds = [result.error.kind for result in results if result.error]
    assert len(sim.requests) <= 8
    assert kinds == ["auth"] * len(sim.requests) + ["not_sent"] * (1000 - len(sim.requests))


async def test_transient_failures_do_not_fail_items(sim: Simulator, connect: Connect) -> None:
    """One in five requests fails: every item succeeds in the end, and its attempts tell."""
    sim.fail(500, times=10)
    client = connect(sim.base_url, retry=RetryPolicy(backoff=(0, 0), retry_ratio=1))

    results: list[Result[Any]] = await client.map([f"{i}" for i in range(50)], concurrency=8)

    assert all(result.ok for result in results)
    assert sum(len(result.attempts) for result in results) == 60


async def test_closed_client_ends_a_map(sim: Simulator, connect: Connect) -> None:
    """Closing the client concerns all items: the run ends, it does not race through an endless source."""
    client = connect(sim.base_url)
    source = Source(20_000)
    got = 0

    with pytest.raises(ClientStateError):
        endless: MapRun[Any] = client.map(source, request=str, concurrency=4)
        async with endless as results:
            async for _ in results:
                got += 1
                if got == 5:
                    await client.aclose()

    assert source.pulled < 100
