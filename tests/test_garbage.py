"""What calls leave behind goes away by itself: no cycles, which only the garbage collector would find.

Cycles cost twice: each run of the collector looks at every object, and what waits for it (prompts, answers) is kept.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from anyfast_async import AnyFast, AnyFastError
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from conftest import Connect, RawServers

CALLS = 8
"""Not more than the reserve of retries that a client begins with."""


async def _complete(client: AnyFast) -> None:
    await client.complete("x")


async def _fail(client: AnyFast) -> None:
    with contextlib.suppress(AnyFastError):
        await client.complete("x", model="no-such-model")


async def _retry(client: AnyFast) -> None:
    for _ in range(CALLS):  # first attempts earn the retries
        await client.complete("x")
    await client.complete("once more")


async def _give_up(client: AnyFast) -> None:
    for _ in range(3 * CALLS):
        await client.complete("x")
    with contextlib.suppress(AnyFastError):
        await client.complete("gives up")


async def _tokens(client: AnyFast) -> None:
    async with client.stream("x") as stream:
        async for _ in stream:
            pass


async def _chunks(client: AnyFast) -> None:
    async with client.stream("x") as stream:
        async for _ in stream.chunks():
            pass


async def _leave(client: AnyFast) -> None:
    async with client.stream("x") as stream:
        async for _ in stream:
            break


async def _via_stream(client: AnyFast) -> None:
    await client.complete("x", via_stream=True)


async def _map(client: AnyFast) -> None:
    await client.map(["x", "y"])


@pytest.fixture
async def _only_the_first_collection(client: AnyFast) -> AsyncIterator[None]:
    await client.complete("x")  # what is made once
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("_only_the_first_collection")
@pytest.mark.parametrize("use", [_complete, _fail, _retry, _give_up, _tokens, _chunks, _leave, _via_stream, _map])
async def test_calls_leave_no_cycles(
    sim: Simulator, client: AnyFast, anyfast_no_wait: None, use: Callable[[AnyFast], Awaitable[None]]
) -> None:
    """After calls of every kind, the garbage collector finds none of our objects, however many calls there were."""
    for _ in range(CALLS):
        sim.fail(500, when="once more")
        sim.fail(500, when="gives up", times=4)
        await use(client)

    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()

    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    ours = Counter(name for name in names if name.startswith("anyfast_async.") and ".simulator." not in name)
    assert {name: count for name, count in ours.items() if count >= CALLS} == {}


@pytest.mark.parametrize("way", ["tokens", "chunks"])
async def test_stream_that_is_all_there_when_it_opens_leaves_none(
    raw_server: RawServers, connect: Connect, way: str
) -> None:
    """An answer the whole of which has come with its first event is let go of like any other."""
    server = await raw_server([raw_server.stream("a", "b")])
    client = connect(server.base_url)
    use = _tokens if way == "tokens" else _chunks
    await use(client)
    gc.collect()
    gc.disable()
    try:
        for _ in range(CALLS):
            await use(client)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
        assert [name for name, n in names.items() if name.startswith("anyfast_async._") and n >= CALLS] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
