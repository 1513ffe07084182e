"""How an exchange gets over the wire: aiohttp's session, aiohttp's connector alone, and what reads the answer there.

Run ``python benchmarks/experiments/wires.py``. The stub gateway plays completions and streams of 200 events; this
process keeps 64 exchanges in flight by one way after the other, in turns, and prints CPU time, median over the rounds.
The numbers seen, and what was decided, stand in ``README.md`` beside this file.
"""

# ruff: noqa: SLF001 - what lost has no public interface, which is one of the points against it
from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from inspect import isfunction
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

sys.path.insert(0, str(Path(__file__).parents[1]))

import stub

from anyfast_async._core.sse import Decoder
from anyfast_async._http import transport as _transport
from anyfast_async._http import wire
from anyfast_async._http.api_key import Key, Secret
from anyfast_async._http.exchange import Exchange
from anyfast_async._http.request_headers import STREAM_HEADERS, UNARY_HEADERS, Route

IN_FLIGHT, CALLS, STREAMS, EVENTS, ROUNDS = 64, 6400, 320, 200, 7
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
UNARY, STREAM = orjson.dumps(ASK), orjson.dumps(ASK | {"stream": True})
KEY, SECRET = Key("sk-benchmark"), Secret("sk-benchmark")


def plain_wire() -> Any:
    """Return our wire as the other kind of protocol: asyncio then makes a bytes object of 256 KiB for each read."""
    methods = {name: value for name, value in vars(wire.Wire).items() if isfunction(value)}
    del methods["get_buffer"], methods["buffer_updated"]
    return type("PlainWire", (asyncio.Protocol,), methods | {"data_received": methods["_received"]})


class Ways:
    """Every way, with connections of its own."""

    def __init__(self, url: str) -> None:
        self.url = URL(url) / "chat/completions"
        self.bare_session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.transport = _transport.Transport(ssl_context=None, proxy=None)
        self.plain = _transport.Transport(ssl_context=None, proxy=None)
        self.by_session = _transport.Transport(ssl_context=None, proxy=None)
        self.unary = Route("POST", self.url, UNARY_HEADERS)
        self.stream = Route("POST", self.url, STREAM_HEADERS)
        self.target = _transport._Target("POST", self.url, loop=asyncio.get_running_loop())

    async def close(self) -> None:
        await self.bare_session.close()
        for transport in (self.transport, self.plain, self.by_session):
            await transport.aclose()

    async def send(self, transport: _transport.Transport, route: Route, body: bytes) -> Exchange:
        asked = transport.at_once(route, SECRET, body, "k", lambda _: None)
        if asked is None:
            asked = await transport.connected(route, KEY, body, "k", lambda _: None, 10)
        return await transport.headed(asked)

    # -- completions -------------------------------------------------------------------------------------------------

    async def bare(self) -> None:
        async with self.bare_session.post(self.url, data=UNARY) as response:
            orjson.loads(await response.read())

    async def session(self) -> None:
        self.by_session._session_here()
        self.by_session._is_direct = False
        orjson.loads(await (await self.send(self.by_session, self.unary, UNARY)).read())

    async def aiohttps_reader(self) -> None:
        connector = self.bare_session.connector
        assert connector is not None
        connection = await connector.connect(self.target, [], aiohttp.ClientTimeout(total=None))
        protocol = connection.protocol
        assert protocol is not None
        assert protocol.transport is not None
        protocol.set_response_params(read_until_eof=True)
        protocol.transport.write(self.unary.head(SECRET, "k", UNARY) + UNARY)
        _, payload = await protocol.read()
        orjson.loads(await payload.read())
        connection.release()

    async def plain_protocol(self) -> None:
        orjson.loads(await (await self.send(self.plain, self.unary, UNARY)).read())

    async def direct(self) -> None:
        orjson.loads(await (await self.send(self.transport, self.unary, UNARY)).read())

    # -- streams -----------------------------------------------------------------------------------------------------

    async def bare_lines(self) -> None:
        async with self.bare_session.post(self.url, data=STREAM) as response:
            async for line in response.content:
                if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                    orjson.loads(line[6:])

    async def pumped(self) -> None:
        sink = Sink()
        exchange = await self.send(self.transport, self.stream, STREAM)
        task = asyncio.get_running_loop().create_task(exchange.pump(sink))
        await sink.ended
        await task

    async def pushed(self) -> None:
        sink = Sink()
        (await self.send(self.transport, self.stream, STREAM)).push(sink)
        await sink.ended


class Sink:
    """Decodes what it is fed."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.ended = asyncio.get_running_loop().create_future()

    def feed(self, data: bytes) -> None:
        for event in self.decoder.feed(data):
            if event != b"[DONE]":
                orjson.loads(event)

    def eof(self) -> None:
        self.ended.set_result(None)

    def fail(self, error: Exception) -> None:
        self.ended.set_exception(error)

    async def ready(self) -> None:
        pass


async def cost(way: Callable[[], Awaitable[None]], total: int) -> float:
    """Return CPU microseconds for each of *total* exchanges, 64 at a time."""

    async def work() -> None:
        for _ in range(total // IN_FLIGHT):
            await way()

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return (time.process_time() - began) / total * 1e6


async def compare(url: str, names: list[str], total: int, parts: int) -> None:
    """Print what each way costs, beside the first."""
    ways = Ways(url)
    seen: dict[str, list[float]] = {name: [] for name in names}
    plain = plain_wire()
    try:
        for turn in range(ROUNDS + 1):
            for name in names:
                vars(_transport)["Wire"] = plain if name == "plain_protocol" else wire.Wire
                figure = await cost(getattr(ways, name), total) / parts
                if turn:
                    seen[name].append(figure)
    finally:
        vars(_transport)["Wire"] = wire.Wire
        await ways.close()
    medians = {name: statistics.median(figures) for name, figures in seen.items()}
    for name, figures in seen.items():
        spread = f"{min(figures):.2f} to {max(figures):.2f}"
        print(f"  {name:<16} {medians[name]:7.2f} us ({spread})  x{medians[name] / medians[names[0]]:.2f}")


if __name__ == "__main__":
    print(f"python {sys.version.split()[0]}, aiohttp {aiohttp.__version__}, {IN_FLIGHT} in flight")
    completions = ["bare", "session", "aiohttps_reader", "plain_protocol", "direct"]
    streams = ["bare_lines", "pumped", "pushed"]
    with stub.running() as once, stub.running(mode="each") as each:
        print("a completion")
        asyncio.run(compare(once.url, completions, CALLS, 1))
        print(f"an event of {EVENTS} written at once")
        asyncio.run(compare(once.url, streams, STREAMS, EVENTS))
        print("an event of 200, one write each")
        asyncio.run(compare(each.url, streams, STREAMS, EVENTS))
