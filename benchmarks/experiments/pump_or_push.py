"""How bytes get from aiohttp's payload stream to the event decoder: a task that reads, or pushed by aiohttp's parser.

Run ``python benchmarks/experiments/pump_or_push.py``. A server in a process of its own plays streams of 200 events;
this process reads 64 at a time through the same decoder and buffer, by one way and the other in turns, and prints CPU
time per event, median over the rounds. The numbers seen, and what was decided, stand in ``README.md`` beside this file.
"""

# ruff: noqa: SLF001 - pushing has no public interface, which is one of the points against it
from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
import tracemalloc
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import orjson
from aiohttp import streams

from anyfast_async._core.sse import Decoder

EVENTS, STREAMS, ROUNDS = 200, 64, 9
EVENT = (
    b'data: {"id":"chatcmpl-20260427111505260254000NBdvZFoP","object":"chat.completion.chunk","created":1777288505,'
    b'"model":"gemini-2.5-pro","system_fingerprint":null,"choices":[{"delta":{"content":" token"},"logprobs":null,'
    b'"finish_reason":null,"index":0}],"usage":null}\n\n'
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n" % len(EVENT) + EVENT + b"\r\n"


def serve(ready: Connection) -> None:
    """Play streams: at once on /burst, one write per event on /single."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(HEAD)
                for _ in range(EVENTS):
                    writer.write(CHUNK)
                    if b" /single " in head:
                        await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Reader:
    """Decoder, buffer and wake-up, the same for both ways."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.items: deque[Any] = deque()
        self.ended = False
        self.waiting: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self.items.extend(orjson.loads(event) for event in self.decoder.feed(data))
        self.wake()

    def eof(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    async def count(self) -> int:
        loop = asyncio.get_running_loop()
        found = 0
        while True:
            while self.items:
                self.items.popleft()
                found += 1
            if self.ended:
                return found
            self.waiting = loop.create_future()
            await self.waiting


async def pumped(session: aiohttp.ClientSession, url: str) -> int:
    """A task reads the payload and feeds the decoder."""
    async with session.post(url) as response:
        reader = Reader()

        async def pump() -> None:
            while data := await response.content.readany():
                reader.feed(data)
            reader.eof()

        task = asyncio.create_task(pump())
        found = await reader.count()
        await task
        return found


SINKS: dict[int, Reader] = {}


class PushReader(streams.StreamReader):
    """aiohttp's payload stream, handing bytes on at once. No interface of aiohttp: it relies on its layout."""

    __slots__ = ()

    def feed_data(self, data: bytes, _: int = 0) -> bool:
        if data:
            SINKS[id(self)].feed(data)
        return False

    def feed_eof(self) -> None:
        super().feed_eof()
        SINKS[id(self)].eof()


async def pushed(session: aiohttp.ClientSession, url: str) -> int:
    """Aiohttp's parser feeds the decoder."""
    async with session.post(url) as response:
        content = response.content
        reader = Reader()
        SINKS[id(content)] = reader
        rest = b"".join(content._buffer)
        content._buffer.clear()
        content._size = 0
        if content._eof:
            reader.feed(rest)
            reader.eof()
        else:
            content.__class__ = PushReader
            reader.feed(rest)
        try:
            return await reader.count()
        finally:
            del SINKS[id(content)]


async def measure(port: int) -> None:
    """Print CPU microseconds per event."""
    ways = {"pump": pumped, "push": pushed}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        for path in ("burst", "single"):
            url = f"http://127.0.0.1:{port}/{path}"
            seen: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    start = time.process_time()
                    async with asyncio.timeout(20):
                        counts = await asyncio.gather(*(way(session, url) for _ in range(STREAMS)))
                    seen[name].append((time.process_time() - start) / (STREAMS * EVENTS) * 1e6)
                    assert counts == [EVENTS] * STREAMS, (name, counts)
            medians = {name: statistics.median(times) for name, times in seen.items()}
            for name, times in seen.items():
                spread = f"{min(times):.2f} to {max(times):.2f}"
                print(f"{path:<7} {name}  {medians[name]:6.2f} us ({spread})  x{medians[name] / medians['pump']:.2f}")


def heap_of_a_task() -> float:
    """KiB that an idle reading task takes, which pushing does without."""

    async def main() -> float:
        async def pump() -> None:
            await asyncio.get_running_loop().create_future()

        tracemalloc.start()
        tasks = [asyncio.create_task(pump()) for _ in range(1000)]
        await asyncio.sleep(0)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return size / 1000 / 1024

    return asyncio.run(main())


if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    print(f"python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}, {STREAMS} streams of {EVENTS} events")
    try:
        asyncio.run(measure(ours.recv()))
        print(f"heap of an idle reading task: {heap_of_a_task():.1f} KiB")
    finally:
        server.terminate()
        server.join()
