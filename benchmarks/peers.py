"""What others do in four of the tests of ``tests/promises.toml``: ``python benchmarks/peers.py``.

Each is the shortest program that a reader of the library's documentation would write, on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib.metadata import version

import aiohttp
import tenacity
import tenacity.asyncio

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
EVENTS = 200
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"


async def events() -> str:
    """A stream of 200 events that ends without its last chunk, read one event every 5 ms."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        for number in range(EVENTS):
            event = f"data: {number}\n\n".encode()
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.close()

    seen = 0
    async with server(serve) as url, aiohttp.ClientSession() as session, session.get(url) as response:
        with contextlib.suppress(aiohttp.ClientError):
            async for line in response.content:
                if line.startswith(b"data:"):
                    seen += 1
                    await asyncio.sleep(0.005)
    return f"aiohttp {version('aiohttp')} alone hands out {seen} of {EVENTS} events"


async def wait_for() -> str:
    """A task in ``asyncio.wait_for`` that is cancelled in the tick in which its answer comes."""
    swallowed, tries = 0, 1000

    async def call(answer: asyncio.Future[int]) -> int:
        return await asyncio.wait_for(answer, 10)

    for _ in range(tries):
        answer = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(call(answer))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answer.set_result(1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
            swallowed += 1
    python = ".".join(map(str, sys.version_info[:3]))
    return f"`asyncio.wait_for` of Python {python} swallows {swallowed} of {tries} cancellations"


async def pool() -> str:
    """40 rounds of two connections, 40 calls that have 20 ms each, and two without a limit behind them."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(0.015)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        writer.close()

    rounds = stuck = 0
    async with server(serve) as url:
        for _ in range(40):
            connector = aiohttp.TCPConnector(limit=2)
            async with aiohttp.ClientSession(connector=connector) as session:

                async def get(session: aiohttp.ClientSession = session) -> None:
                    async with session.get(url) as response:
                        await response.read()

                async def hurried(get: Callable[[], Awaitable[None]] = get) -> None:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.02):
                            await get()

                patient = [asyncio.create_task(hurried()) for _ in range(40)]
                last = [asyncio.create_task(get()) for _ in range(2)]
                await asyncio.wait(patient)
                _, waiting = await asyncio.wait(last, timeout=1)
                rounds += 1
                stuck += bool(waiting)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
    return f"aiohttp {version('aiohttp')} with `limit=2`: calls stuck in {stuck} of {rounds} rounds"


async def shared_retrying() -> str:
    """Eight calls that fail, through one ``AsyncRetrying`` with an async predicate."""

    async def again(error: BaseException) -> bool:
        await asyncio.sleep(0)
        return isinstance(error, OSError)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.asyncio.retry_if_exception(again), stop=tenacity.stop_after_attempt(3), reraise=True
    )

    async def fail() -> None:
        await asyncio.sleep(0)
        raise OSError

    ends = await asyncio.gather(*(retrying(fail) for _ in range(8)), return_exceptions=True)
    returned = sum(end is None for end in ends)
    return f"one `tenacity.AsyncRetrying` {version('tenacity')} with an async predicate: {returned} of 8 return None"


PEERS: Mapping[str, Callable[[], Awaitable[str]]] = {
    "events": events,
    "wait_for": wait_for,
    "pool": pool,
    "tenacity": shared_retrying,
}


def measured() -> dict[str, str]:
    """Return what each of them does, in words."""
    return {name: asyncio.run(measure()) for name, measure in PEERS.items()}  # type: ignore[arg-type]


if __name__ == "__main__":
    print(json.dumps(measured(), indent=1))
