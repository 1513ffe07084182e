"""A thousand streams left in every way: nothing stays behind, and the server sees each one go."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from typing import Any

import pytest

from anyfast_async import AnyFast, Limits, RetryPolicy

COUNT, AT_ONCE = (1000, 50) if os.environ.get("ANYFAST_LONG") else (50, 25)


async def _break(client: AnyFast) -> None:
    async with client.stream("x") as stream:
        async for _ in stream:
            break


async def _return(client: AnyFast) -> str:
    async with client.stream("x") as stream:
        async for token in stream:
            return token
    return ""


async def _exception(client: AnyFast) -> None:
    with pytest.raises(KeyError):
        async with client.stream("x") as stream:
            async for _ in stream:
                raise KeyError


async def _aclose(client: AnyFast) -> None:
    stream = await client.stream("x")
    await anext(stream)
    await stream.aclose()
    await stream.aclose()


async def _cancel(client: AnyFast) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in await client.stream("x"):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _drop(client: AnyFast) -> None:
    stream = await client.stream("x")
    await anext(stream)
    del stream


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as cheap as can be


@pytest.mark.reliability
@pytest.mark.parametrize("leave", [_break, _return, _exception, _aclose, _cancel, _drop], ids=lambda f: f.__name__)
async def test_leaving_a_stream_leaves_nothing_behind(raw_server: Any, connect: Any, leave: Any) -> None:
    """However a stream is left: connections, permits and descriptors are back, and the server saw it."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"])
    client = connect(server.base_url, limits=Limits(concurrency=AT_ONCE), retry=RetryPolicy(attempts=1))
    before, tasks = _descriptors(), asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(COUNT // AT_ONCE):
            await asyncio.gather(*(leave(client) for _ in range(AT_ONCE)))
            gc.collect()
    for request in server.requests:
        async with asyncio.timeout(1):
            await request.gone.wait()
    async with asyncio.timeout(1):
        while client.stats().in_flight or _descriptors() > before or asyncio.all_tasks() - tasks:
            await asyncio.sleep(0.005)
    assert COUNT == len(server.requests)
    dropped = [w for w in caught if issubclass(w.category, ResourceWarning)]
    assert (COUNT if leave is _drop else 0) == len(dropped)


@pytest.mark.parametrize("way", ["tokens", "chunks", "sse", "drain"])
async def test_cancelled_when_something_has_just_come(raw_server: Any, connect: Any, way: str) -> None:
    """Who is cancelled between what came and the turn in which it would be taken leaves the stream, too."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"])
    stream = await connect(server.base_url).stream("x")

    async def read() -> None:
        if way == "drain":
            await stream.drain()
        async for _ in {"tokens": stream, "chunks": stream.chunks(), "sse": stream.sse()}[way]:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    stream._receiver.feed(raw_server.event("b"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream._receiver.left
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)
