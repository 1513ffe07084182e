"""Bytes and connections, seen from raw sockets and a plain client."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from anyfast_async.simulator import Latency, Simulator

from ..raw_client import MODEL, Http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def request_bytes(prompt: str = "Hello!", version: str = "1.1", headers: str = "", **fields: Any) -> bytes:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": prompt}], **fields}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer k\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def connection(sim: Simulator) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.wait_for(asyncio.gather(writer.wait_closed(), return_exceptions=True), 1)


async def exchanged(sim: Simulator, sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    async with connection(sim) as (reader, writer):
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), 2)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # a simulator tells nobody
            await asyncio.sleep(0.001)


async def test_keep_alive(sim: Simulator, session: aiohttp.ClientSession) -> None:
    """Two hundred requests one after the other, streamed or not, use one connection."""
    http = Http(session, sim.base_url)
    for number in range(200):
        assert (await http.chat(stream=bool(number % 2))).status == 200
    assert sim.connections == 1
    assert {request.connection for request in sim.requests} == {1}
    assert sim.peak_in_flight == 1


async def test_connections_are_numbered(sim: Simulator) -> None:
    """Requests that come on connections of their own have different numbers."""
    async with connection(sim), connection(sim) as (reader, writer):
        writer.write(request_bytes())
        await reader.readuntil(b"\r\n\r\n")
    assert sim.connections == 2
    assert [request.connection for request in sim.requests] == [2]


async def test_peak_in_flight(session: aiohttp.ClientSession) -> None:
    """The peak is the most requests that were open at once."""
    async with Simulator(latency=Latency(ttft=0.05)) as sim:
        http = Http(session, sim.base_url)
        await asyncio.gather(*(http.chat(str(number)) for number in range(17)))
        assert sim.peak_in_flight == 17
        assert sim.in_flight == 0


async def test_each_event_is_one_chunk(sim: Simulator) -> None:
    """Every event is written by itself: one chunk of the chunked coding each."""
    sim.reply(chunks=["a", "b"])
    raw = await exchanged(sim, request_bytes(stream=True, headers="Connection: close\r\n"))
    rest = raw.partition(b"\r\n\r\n")[2]
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    assert chunks.pop() == b""
    assert len(chunks) == 6
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)


async def test_head_comes_with_the_first_event(session: aiohttp.ClientSession) -> None:
    """While the model is silent nothing is sent, not even the head."""
    async with Simulator(latency=Latency(ttft=0.1)) as sim, connection(sim) as (reader, writer):
        writer.write(request_bytes(stream=True))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert (await reader.read(10)).startswith(b"HTTP/1.1 2")


async def test_http_1_0(sim: Simulator) -> None:
    """An HTTP/1.0 client gets a stream that ends with the connection."""
    raw = await exchanged(sim, request_bytes(version="1.0", stream=True))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"keep-alive" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


async def test_compressed_request(http: Http, sim: Simulator) -> None:
    """A gzip body is undone; one that is no gzip is 400 without a body."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "squeezed"}]}
    packed = gzip.compress(json.dumps(body).encode())
    response = await http.send("POST", "/chat/completions", packed, content_encoding="gzip")
    assert "squeezed" in response.text
    assert sim.requests[0].body == body
    response = await http.send("POST", "/chat/completions", b"no gzip", content_encoding="gzip")
    assert (response.status, response.raw) == (400, b"")
    bomb = gzip.compress(b" " * 10_000_000 + json.dumps(body).encode())
    assert (await http.send("POST", "/chat/completions", bomb, content_encoding="gzip")).status == 200


@pytest.mark.parametrize("after", [0, 1, 3, 1000])
async def test_cut_stream(sim: Simulator, after: int) -> None:
    """A cut stream has so many events, but never [DONE] and never the end of the chunked coding."""
    sim.cut(after=after)
    raw = await exchanged(sim, request_bytes(stream=True))
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.count(b"data: {") == after or after == 1000
    assert b"[DONE]" not in raw
    assert not raw.endswith(b"0\r\n\r\n")
    assert b'finish_reason":"stop' in raw or after < 1000


async def test_cut_body(sim: Simulator) -> None:
    """An answer that is not streamed is cut in the middle of its body, or after its head."""
    sim.cut(times=1)
    sim.cut(after=0)
    for share in (0.5, 0):
        raw = await exchanged(sim, request_bytes())
        head, _, body = raw.partition(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert len(body) == int(length * share)


@pytest.mark.parametrize("stream", [False, True])
async def test_drop(sim: Simulator, *, stream: bool) -> None:
    """A dropped connection closes without a byte; the next request is answered."""
    sim.drop()
    assert await exchanged(sim, request_bytes(stream=stream)) == b""
    assert sim.requests[0].status is None
    assert not sim.requests[0].disconnected
    async with connection(sim) as (reader, writer):
        writer.write(request_bytes())
        assert await reader.read(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("fault", ["cut", "drop"])
@pytest.mark.parametrize("stream", [False, True])
async def test_reset_by_peer(sim: Simulator, fault: str, *, stream: bool) -> None:
    """With ``rst`` the client sees a connection reset, not an end."""
    getattr(sim, fault)(rst=True)
    with pytest.raises(ConnectionResetError):
        await exchanged(sim, request_bytes(stream=stream))


async def test_cut_seen_by_aiohttp(sim: Simulator, http: Http) -> None:
    """A client library sees a cut as an incomplete payload."""
    for stream in (False, True):
        sim.cut()
        with pytest.raises(aiohttp.ClientPayloadError):
            await http.chat(stream=stream)
    assert [request.status for request in sim.requests] == [200, 200]
    assert not any(request.disconnected for request in sim.requests)


@pytest.mark.parametrize(("after", "events"), [(0, 0), (2, 2), (1000, None)])
async def test_stall(sim: Simulator, after: int, events: int | None) -> None:
    """A stalled stream sends the head and so many events, then nothing, until the client goes."""
    sim.stall(after=after)
    async with connection(sim) as (reader, writer):
        writer.write(request_bytes(stream=True))
        raw = b""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                while True:
                    raw += await reader.read(100_000)
        assert raw.startswith(b"HTTP/1.1 200 OK")
        assert b"[DONE]" not in raw
        assert events is None or raw.count(b"data: {") == events
        assert sim.in_flight == 1
    await until(lambda: sim.in_flight == 0)
    assert sim.requests[0].disconnected


async def test_stall_ends(sim: Simulator, http: Http) -> None:
    """After ``seconds`` a stalled answer goes on, streamed or not."""
    sim.stall(after=1, seconds=0.1, times=2)
    for stream in (False, True):
        response, seconds = await http.timed_chat(stream=stream)
        assert 0.1 <= seconds < 0.5
        assert response.raw.endswith(b"[DONE]\n\n" if stream else b"}")


async def test_silence(sim: Simulator) -> None:
    """A stalled answer that is not streamed never begins; that the client went is noticed."""
    sim.stall()
    async with connection(sim) as (reader, writer):
        writer.write(request_bytes())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert not sim.requests[0].disconnected
    await until(lambda: sim.requests[0].disconnected)
    assert (sim.in_flight, sim.requests[0].status) == (0, None)


async def test_client_goes_in_a_stream(session: aiohttp.ClientSession) -> None:
    """A client that leaves in the middle of a stream is noticed."""
    async with Simulator(latency=Latency(per_token=0.02)) as sim:
        async with session.post(
            sim.base_url + "/chat/completions",
            json={"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True},
            headers={"Authorization": "Bearer k"},
        ) as response:
            await response.content.readany()
            response.close()
        await until(lambda: sim.requests[0].disconnected)
        assert sim.requests[0].status == 200


async def test_client_goes_while_sending(sim: Simulator) -> None:
    """A client that leaves before its request was complete is noticed, too."""
    async with connection(sim) as (_, writer):
        writer.write(request_bytes()[:-5])
        await until(lambda: sim.in_flight == 1)
    await until(lambda: sim.in_flight == 0)
    assert sim.requests[0].disconnected
    assert sim.requests[0].status is None


async def test_ping(session: aiohttp.ClientSession) -> None:
    """With ``ping`` a silent stream has comments, before its first event and between events."""
    async with Simulator(ping=0.03) as sim:
        sim.reply("x", ttft=0.1)
        response = await Http(session, sim.base_url).chat(stream=True)
        assert response.raw.startswith(b": PING\n\n: PING\n\n")
        assert response.streamed() == "x"
        sim.reset()
        sim.stall(after=2, seconds=0.1)
        assert b"}\n\n: PING\n\n: PING\n\n" in (await Http(session, sim.base_url).chat(stream=True)).raw


async def test_idle_connections_close(session: aiohttp.ClientSession) -> None:
    """An idle connection is closed after ``keep_alive`` seconds."""
    async with Simulator(keep_alive=0.05) as sim, connection(sim) as (reader, writer):
        writer.write(request_bytes())
        assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"HTTP/1.1 200 OK")


async def test_expect_continue(sim: Simulator) -> None:
    """A client that asks whether to send its body is told to."""
    async with connection(sim) as (reader, writer):
        head, _, body = request_bytes(headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"


async def test_garbage(sim: Simulator) -> None:
    """What is no HTTP is answered with 400 and the server goes on."""
    assert (await exchanged(sim, b"\x16\x03\x01 no http\r\n\r\n")).startswith(b"HTTP/1.")
    async with connection(sim) as (reader, writer):
        writer.write(request_bytes())
        assert await reader.read(15) == b"HTTP/1.1 200 OK"


async def test_stopping_is_fast(session: aiohttp.ClientSession) -> None:
    """Stalled, slow, half-sent, idle and unread requests do not delay the end; all connections close."""
    async with Simulator(latency=Latency(ttft=30)) as sim:
        sim.stall(after=0, times=2)
        sim.reply(chunks=["x" * 65_536] * 150, when="flood", ttft=0)
        open_ones = [await asyncio.open_connection("127.0.0.1", sim.port) for _ in range(6)]
        sent = [
            request_bytes("a", stream=True),
            request_bytes("b"),
            request_bytes("c", stream=True),
            request_bytes()[:-5],
            b"",
        ]
        for (_, writer), raw in zip(open_ones, [*sent, request_bytes("flood", stream=True)], strict=True):
            writer.write(raw)
            await asyncio.sleep(0.01)
        await until(lambda: sim.in_flight == 5)
        before = time.monotonic()
    assert time.monotonic() - before < 0.2
    assert sim.in_flight == 0
    assert not any(request.disconnected for request in sim.requests)
    for reader, writer in open_ones:
        with suppress(ConnectionResetError):  # as good an end as any
            await asyncio.wait_for(reader.read(), 1)
        writer.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
