"""``Limits(concurrency="auto")`` over sockets, before a server that gets slower and refuses nobody."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import Limits
from anyfast_async._limits.auto_scope import AutoScope

if TYPE_CHECKING:
    from conftest import Connect, RawServers

CAPACITY = 16
SECONDS = 0.1


@pytest.mark.reliability
@pytest.mark.skipif(not os.environ.get("ANYFAST_LONG"), reason="it is about time, of which a busy machine has none")
async def test_a_server_that_slows_down(raw_server: RawServers, connect: Connect) -> None:
    """Of 16 places, the window finds 16: on the average within 15 %, after 30 answer times, with no row failed."""
    active = most = 0

    async def serve(_: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        for _ in range(5):
            await asyncio.sleep(SECONDS / 5 * max(1.0, active / CAPACITY))
        active -= 1
        writer.write(raw_server.completion())
        await writer.drain()

    server = await raw_server([serve])
    client = connect(server.base_url, limits=Limits(concurrency="auto"))
    loop, seen, failed = asyncio.get_running_loop(), list[int](), 0
    began = loop.time()
    async with client.map((str(number) for number in iter(int, 1)), concurrency=128) as results:
        async for result in results:
            failed += not result.ok
            scope = next(iter(client._shared.gate._scopes.values()))
            assert isinstance(scope, AutoScope)
            assert scope.throttle.window is not None
            if loop.time() - began >= 30 * SECONDS:
                seen.append(scope.throttle.window.count)
            if loop.time() - began >= 130 * SECONDS:
                break

    assert failed == 0
    assert sum(seen) / len(seen) == pytest.approx(CAPACITY, rel=0.15), most
