"""Retries that skip their waits, and a client that ends with whatever loop it was used in."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    ClientStateError,
    DeadlineExceeded,
    InternalServerError,
    Limits,
    QueueFullError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)
from anyfast_async._retry.waits import waits
from anyfast_async._testing import client_until_loop_ends, skip_waits
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOW = RetryPolicy(backoff=(20, 30))


# -- retries that do not wait ----------------------------------------------------------------------------------------


@pytest.fixture
def skipped() -> Iterator[None]:
    with skip_waits():
        yield


async def elapsed(coroutine: Any) -> tuple[Any, float]:
    """The result or exception, and the seconds it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    result: Any = (await asyncio.gather(coroutine, return_exceptions=True))[0]
    return result, loop.time() - started


async def test_backoff_is_skipped(skipped: None, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """Two retries with 20 s or more between them come at once; the ledger has all three tries and the planned waits."""
    sim.fail(500, times=2)
    completion, seconds = await elapsed(connect(sim.base_url, retry=SLOW).complete("Hi"))
    assert seconds < 5
    assert [500, 500, 200] == [attempt.status_code for attempt in completion.trace.attempts]
    assert [True, True, False] == [(attempt.delay or 0) >= 10 for attempt in completion.trace.attempts]
    assert len(sim.requests) == 3


async def test_attempts_still_end(skipped: None, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """A failing call gives up after as many tries as ever."""
    sim.fail(500, times=None)
    error, seconds = await elapsed(connect(sim.base_url, retry=SLOW).complete("Hi"))
    assert isinstance(error, InternalServerError)
    assert seconds < 5
    assert SLOW.attempts == len(error.attempts) == len(sim.requests)


@pytest.mark.parametrize("retry_after", [None, 50])
async def test_hold_is_skipped(
    skipped: None, sim: Simulator, connect: Callable[..., AnyFast], retry_after: int | None
) -> None:
    """Neither the hold of the table nor the server's own delay takes time, for the call itself and for others."""
    sim.fail(429, times=2, retry_after=retry_after)
    client = connect(sim.base_url)
    both, seconds = await elapsed(asyncio.gather(client.complete("one"), client.complete("two")))
    assert [True, True] == [bool(completion.text) for completion in both]
    assert seconds < 4
    assert [429, 429, 200, 200] == sorted((request.status or 0 for request in sim.requests), reverse=True)
    assert client.stats().held_for == 0


async def test_patience_ends(skipped: None, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """Throttled for ever, a call ends when the holds it did not wait for are longer than its patience."""
    sim.fail(429, times=None)
    error, seconds = await elapsed(connect(sim.base_url, retry=RetryPolicy(throttle_patience=120)).complete("Hi"))
    assert isinstance(error, RateLimitError)
    assert seconds < 5
    # 1 + 2 + ... + 32 s and up to 20 % more are within 120 s, another 60 s are not
    assert 7 == len(error.attempts) == len(sim.requests)


async def test_total_ends(skipped: None, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """A call whose total would have run out in the skipped waits ends with DeadlineExceeded, with its ledger."""
    sim.fail(429, times=None)
    error, seconds = await elapsed(connect(sim.base_url, timeouts=Timeouts(total=25)).complete("Hi"))
    assert isinstance(error, DeadlineExceeded)
    assert seconds < 5
    # after 1, 3, 7 and 15 s it would have been sent again, after 31 s it would have been over
    assert [429] * 5 == [attempt.status_code for attempt in error.attempts]
    assert "s of waiting that were skipped" in str(error)


async def test_map_loses_nothing(skipped: None, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """A run that is throttled again and again comes through, every item once."""
    sim.fail(429, times=8)
    results, seconds = await elapsed(connect(sim.base_url).map([f"item {n}" for n in range(12)], concurrency=4))
    assert [True] * 12 == [result.ok for result in results]
    assert seconds < 5
    assert len(sim.requests) == 20


async def test_limits_hold(skipped: None, sim: Simulator, connect: Callable[..., AnyFast]) -> None:
    """The client's own limits are none of these waits: a call that cannot make its time is told so at once."""
    client = connect(sim.base_url, limits=Limits(requests_per_minute=1))
    await client.complete("one")
    with pytest.raises(QueueFullError):
        await client.complete("two", timeout=0.02)


def test_waits_end_with_the_test() -> None:
    """Everything is as before."""
    before = waits()
    with skip_waits():
        assert waits().skipped
    assert waits() is before
    assert not before.skipped


# -- a client that any runner may use --------------------------------------------------------------------------------


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with Simulator.in_thread() as simulator:
        monkeypatch.setenv("ANYFAST_BASE_URL", simulator.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", "sk-made-up")
        monkeypatch.setenv("ANYFAST_MODEL", "gemini-2.5-flash")
        yield simulator
        for _ in range(500):  # the thread of the simulator has to notice that a client went
            if simulator.in_flight == 0:
                break
            time.sleep(0.002)
        assert simulator.in_flight == 0
    gc.collect()  # what is left open warns when it is collected, and warnings fail a test


async def talk(client: AnyFast) -> str:
    """Use the client in both ways; connections stay in its pool."""
    async with client.stream("Hi") as stream:
        async for _ in stream:
            break
    return (await client.complete("Hi")).text


def assert_closed(client: AnyFast) -> None:
    with pytest.raises(ClientStateError):
        asyncio.run(client.complete("Hi"))


def test_unused(gateway: Simulator) -> None:
    """A client that was never used is closed without a loop."""
    with client_until_loop_ends() as client:
        pass
    assert_closed(client)


def test_one_loop_after_the_other(gateway: Simulator) -> None:
    """The client serves several loops, and leaves no connection behind in any."""
    with client_until_loop_ends() as client:
        texts = [asyncio.run(talk(client)) for _ in range(3)]
    assert [texts[0]] * 3 == texts
    assert_closed(client)


def test_loop_that_is_still_open(gateway: Simulator) -> None:
    """A loop that only rests closes the client, keeps nothing of it, and goes on."""
    loop = asyncio.new_event_loop()
    with client_until_loop_ends() as client:
        loop.run_until_complete(talk(client))
    generators = list(loop._asyncgens)  # type: ignore[attr-defined]  # what it would end with itself
    assert [None] == [generator.ag_frame for generator in generators]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert_closed(client)


def test_loop_of_another_thread(gateway: Simulator) -> None:
    """A loop that runs in another thread closes the client there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with client_until_loop_ends() as client:
            assert asyncio.run_coroutine_threadsafe(talk(client), loop).result(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert_closed(client)


def test_loop_that_runs_here(gateway: Simulator) -> None:
    """Where the end comes inside of the running loop, its connections are closed when the loop ends."""

    async def whole() -> None:
        with client_until_loop_ends() as client:
            await talk(client)

    asyncio.run(whole())


def test_closed_by_the_test(gateway: Simulator) -> None:
    """A test may close the client itself."""

    async def whole(client: AnyFast) -> None:
        async with client:
            await talk(client)

    with client_until_loop_ends() as client:
        asyncio.run(whole(client))
    assert_closed(client)


def test_calls_that_were_cut_short(gateway: Simulator) -> None:
    """Calls that their loop cancelled at its end do not delay closing."""
    gateway.stall()

    async def begin(client: AnyFast) -> None:
        task = asyncio.ensure_future(client.complete("Hi"))
        while not gateway.requests:
            await asyncio.sleep(0.002)
        assert not task.done()

    with client_until_loop_ends() as client:
        asyncio.run(begin(client))
    assert_closed(client)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the stream, rightly
def test_stream_that_was_left_open(gateway: Simulator) -> None:
    """A stream whose loop is gone takes no place in the next loop, and does not delay closing."""
    gateway.stall(after=2, when="stall")
    kept = []

    async def begin(client: AnyFast) -> None:
        kept.append(await client.stream("stall"))

    with client_until_loop_ends() as client:
        asyncio.run(begin(client))
        assert client.stats().in_flight == 0
        assert asyncio.run(talk(client))
        started = time.monotonic()
    assert time.monotonic() - started < 0.9  # closing gives calls a second to end
    assert_closed(client)
    kept.clear()
    gc.collect()
