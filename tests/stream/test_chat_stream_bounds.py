"""Streams stay bounded: long lines, endless lines, ignored fields, slow readers; linear time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from anyfast_async import ResponseShapeError, RetryPolicy
from anyfast_async._core import sse
from anyfast_async._core.stream.fold import Fold
from anyfast_async._size_limits import MAX_LINE

LONG = bool(os.environ.get("ANYFAST_LONG"))
MIB = 1024 * 1024
ONCE = RetryPolicy(attempts=1)


async def test_a_line_of_5_mib_arrives_intact(raw_server: Any, connect: Any) -> None:
    """An image model sends its picture in one line; it comes out as it went in."""
    text = "ABCD" * (5 * MIB // 4)
    server = await raw_server([raw_server.stream(text)])
    completion = await connect(server.base_url).complete("x", via_stream=True)
    assert text == completion.text


async def test_an_endless_line_ends_at_its_limit(
    raw_server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line without an end is given up at the limit, one read later at the most."""
    monkeypatch.setattr(sse.Decoder.__init__, "__kwdefaults__", {"max_line": MIB, "max_event": MIB})
    server = await raw_server(
        [raw_server.stream_head(), raw_server.chunk(b"data: "), ("flood", raw_server.chunk(b"x" * 65536), 800)]
    )
    with pytest.raises(ResponseShapeError, match="more than 1048576 bytes"):
        await connect(server.base_url, retry=ONCE).complete("x", via_stream=True)
    # What the client took before it left, and what both kernels' buffers hold.
    assert server.requests[0].written <= 8 * MIB


def _ratio(base: int, work: Any) -> float:
    """CPU of four times *base* over CPU of *base*: best of five, taken in turns."""
    best = {base: float("inf"), 4 * base: float("inf")}
    for _ in range(5):
        for count, fastest in best.items():
            start = time.process_time()
            work(count)
            best[count] = min(fastest, time.process_time() - start)
    return best[4 * base] / best[base]


def _one_line(size: int) -> None:
    decoder = sse.Decoder()
    decoder.feed(b"data: ")
    piece = b"x" * 1500
    for _ in range(size // 1500):
        decoder.feed(piece)
    decoder.feed(b"\n\n")


def _many_deltas(count: int) -> None:
    fold = Fold()
    for _ in range(count):
        fold.add({"id": "c", "choices": [{"index": 0, "delta": {"content": "token "}, "finish_reason": None}]})
    fold.completion()


@pytest.mark.reliability
@pytest.mark.parametrize(("work", "base"), [(_one_line, 5 * MIB), (_many_deltas, 25_000 if LONG else 10_000)])
def test_four_times_the_input_takes_about_four_times_the_time(work: Any, base: int) -> None:
    """Decoder and fold are linear: 4x the input takes at most 6x the CPU, best of five."""
    assert _ratio(base, work) <= 6


MEMORY = """
import asyncio, resource, sys
from anyfast_async import AnyFast
from anyfast_async.simulator import Simulator
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n"
event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\\n\\n'
def chunk(b): return b"%x\\r\\n" % len(b) + b + b"\\r\\n"
def rss(): return int(open("/proc/self/statm").read().split()[1]) * 4096
KIND, AMOUNT = sys.argv[1], int(sys.argv[2])
NOISE = chunk({"fields": b"ignored: " + b"x" * 65000 + b"\\n", "events": event % (b"y" * 65000, b"null")}[KIND])
sent = 0
async def serve(reader, writer):
    global sent
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(head + chunk(event % (b"a", b"null")))
        while sent < AMOUNT:
            writer.write(NOISE); await writer.drain(); sent += len(NOISE)
        writer.write(chunk(event % (b"z", b'"stop"')) + chunk(b"data: [DONE]\\n\\n") + b"0\\r\\n\\r\\n")
        writer.close(); await writer.wait_closed()  # all of it is sent before the connection goes
    except ConnectionError: pass
    finally: writer.transport.abort()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with AnyFast("sk-test", base_url=f"http://127.0.0.1:{port}", model="m") as client:
        async with client.stream("x") as stream:
            before, peak, quiet, last = rss(), 0, 0, -1
            while quiet < 5 and sent < AMOUNT:      # the reader sleeps until nothing moves any more
                await asyncio.sleep(0.02); peak = max(peak, rss())
                quiet, last = (quiet + 1, last) if sent == last else (0, sent)
            asleep, grown = sent, peak - before
            count = 0
            async for token in stream:
                count += len(token)
        print(asleep, count, sent, grown)
    server.close()
asyncio.run(main())
"""


def _memory(kind: str, amount: int) -> tuple[int, ...]:
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, kind, str(amount)], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    return tuple(map(int, run.stdout.split()))


@pytest.mark.reliability
def test_ignored_fields_take_no_memory() -> None:
    """Half a GiB of fields that the format ignores, pushed while the reader sleeps, leaves memory where it was."""
    amount = 512 * MIB if LONG else 48 * MIB
    _, count, sent, grown = _memory("fields", amount)
    assert (2, True) == (count, sent >= amount)
    assert grown <= 16 * MIB, f"RSS grew by {grown / MIB:.1f} MiB"


ENDLESS = """
import asyncio
from anyfast_async import AnyFast, ResponseShapeError, RetryPolicy
def rss(): return int(open("/proc/self/statm").read().split()[1]) * 4096
async def serve(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n\\r\\ndata: ")
        while True:
            writer.write(b"x" * 65536); await writer.drain()
    except ConnectionError: pass
    finally: writer.transport.abort()
async def watch(peak):
    while True:
        peak[0] = max(peak[0], rss()); await asyncio.sleep(0.002)
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    before, peak = rss(), [0]
    task = asyncio.create_task(watch(peak))
    url, once = f"http://127.0.0.1:{port}", RetryPolicy(attempts=1)
    async with AnyFast("sk-test", base_url=url, model="m", retry=once) as client:
        try: await client.complete("x", via_stream=True)
        except ResponseShapeError: print(peak[0] - before)
    task.cancel(); server.close()
asyncio.run(main())
"""


@pytest.mark.reliability
def test_an_endless_line_takes_at_most_twice_its_limit() -> None:
    """With the real limit of 64 MiB the process grows by at most twice as much before it gives up."""
    run = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) <= 2 * MAX_LINE, f"RSS grew by {int(run.stdout) / MIB:.0f} MiB"


@pytest.mark.reliability
def test_a_sleeping_reader_stops_the_server() -> None:
    """Events wait in a buffer that is bounded in bytes; then the connection is not read, and the server has to wait."""
    amount = 256 * MIB if LONG else 64 * MIB
    asleep, count, sent, grown = _memory("events", amount)
    assert sent >= amount
    assert count >= amount * 0.98
    assert asleep <= 24 * MIB, "the server was not stopped"
    assert grown <= 24 * MIB, f"RSS grew by {grown / MIB:.1f} MiB"


def test_chunks_of_a_stream_count_once() -> None:
    """The fold keeps nothing of a chunk but what is new in it: a hundred thousand deltas make one text."""
    fold = Fold()
    for i in range(1000):
        fold.add({"id": "c", "choices": [{"index": 0, "delta": {"content": f"{i} "}, "finish_reason": None}]})
    assert "".join(f"{i} " for i in range(1000)) == fold.completion().text


async def test_a_stream_larger_than_its_limit_is_ended(
    raw_server: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The total size of a stream is bounded too."""
    from anyfast_async._http import transport  # noqa: PLC0415

    monkeypatch.setattr(transport.Exchange.push, "__defaults__", (MIB,))
    server = await raw_server([raw_server.stream_head(), ("flood", raw_server.chunk(b": ping\n" * 9000), 100)])
    with pytest.raises(ResponseShapeError, match="stream is larger than 1048576 bytes"):
        async with asyncio.timeout(10):
            await connect(server.base_url, retry=ONCE).complete("x", via_stream=True)
