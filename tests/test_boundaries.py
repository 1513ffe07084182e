"""What a hostile server can do is bounded, and said in plain words; a large request does not stop the loop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gc
import json
import os
import sys
import textwrap
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    IncompleteStreamError,
    InternalServerError,
    ResponseShapeError,
    RetryPolicy,
    Timeouts,
)
from anyfast_async.messages import ImagePart, TextPart, UserMessage

if TYPE_CHECKING:
    from conftest import Connect, RawServers

ONCE: Final = RetryPolicy(attempts=1)
MIB: Final = 2**20
WHOLE_ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if not name.startswith("ANYFAST_")}


async def failure(client: AnyFast, how: str) -> AnyFastError:
    """The error of a call."""
    with pytest.raises(AnyFastError) as caught:
        async with asyncio.timeout(20):
            await (client.complete("Hi") if how == "complete" else client.stream("Hi").drain())
    return caught.value


# -- bombs -----------------------------------------------------------------------------------------------------------

CLIENT: Final = textwrap.dedent("""
    import asyncio, re, sys
    from pathlib import Path
    from anyfast_async import AnyFast, AnyFastError, RetryPolicy

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

    async def main(base_url, how):
        async with AnyFast("sk-test", base_url=base_url, model="m", retry=RetryPolicy(attempts=1)) as client:
            await client.complete("warm up")
            await client.stream("warm up").drain()
            before = peak()
            try:
                await (client.complete("Hi") if how == "complete" else client.stream("Hi").drain())
            except AnyFastError as error:
                found = type(error).__name__, str(error)
            print(peak() - before, *found)

    asyncio.run(main(*sys.argv[1:]))
""")
"""Calls once and prints by how many bytes its memory has grown, and the error."""


@functools.cache
def packed(piece: bytes, times: int, bits: int) -> bytes:
    """*piece*, again and again, compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    return b"".join([packer.compress(piece) for _ in range(times)] + [packer.flush()])


GZIP, ZLIB, DEFLATE = 31, 15, -15
SPACES: Final = b" " * MIB
BOMBS: Final[dict[str, tuple[str, int, str, bytes, int]]] = {
    # how, status, content type, what is repeated, packing
    "gzip": ("complete", 200, "application/json", SPACES, GZIP),
    "deflate": ("complete", 200, "application/json", SPACES, ZLIB),
    "raw deflate": ("complete", 200, "application/json", SPACES, DEFLATE),
    "in an error": ("complete", 500, "application/json", SPACES, GZIP),
    "in a streamed error": ("stream", 503, "application/json", SPACES, GZIP),
    "one line of a stream": ("stream", 200, "text/event-stream", b"data: " + SPACES, GZIP),
    "one event of a stream": ("stream", 200, "text/event-stream", b"data: " + b" " * 1000 + b"\n", GZIP),
    "comments of a stream": ("stream", 200, "text/event-stream", b": " + SPACES + b"\n\n", GZIP),
    "JSON for a stream": ("stream", 200, "application/json", SPACES, GZIP),
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process in /proc")
@pytest.mark.parametrize("name", BOMBS)
async def test_bomb_ends_early_in_little_memory(raw_server: RawServers, name: str) -> None:
    """About 200 KB that unpack to 200 MiB: an error, and at most 32 MiB of memory more than before it."""
    how, status, kind, piece, bits = BOMBS[name]
    bomb = packed(piece, 200 * MIB // len(piece), bits)
    assert len(bomb) < 800_000
    encoding = "gzip" if bits == GZIP else "deflate"
    answer = raw_server.answer(bomb, status, content_type=kind, content_encoding=encoding)
    server = await raw_server([raw_server.completion()], [raw_server.stream("Hi")], [answer])

    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, server.base_url, how),
        stdout=asyncio.subprocess.PIPE,
        env=WHOLE_ENVIRONMENT,
    )
    output, _ = await child.communicate()

    grown, error, *words = output.decode().split()
    assert int(grown) <= 32 * MIB, f"{int(grown) / MIB:.0f} MiB: {error} {' '.join(words)}"
    assert error == ("InternalServerError" if status >= 500 else "ResponseShapeError")
    assert (0, 3) == (child.returncode, len(server.requests))


async def test_whatever_unpacks_well_is_no_bomb(raw_server: RawServers, connect: Connect) -> None:
    """A long answer of ordinary text, and one that repeats itself for 4 MiB, are read whole."""
    texts = ["".join(f"Line {number} of a long answer.\n" for number in range(100_000)), "again and " * (400 * 1024)]
    bodies = [zlib.compress(json.dumps(raw_server.completion_body(text)).encode()) for text in texts]
    scripts: list[Any] = [[raw_server.answer(body, content_encoding="deflate")] for body in bodies]
    server = await raw_server(*scripts)
    client = connect(server.base_url)

    assert texts == [(await client.complete("Hi")).text for _ in texts]


@pytest.mark.parametrize("how", ["complete", "stream"])
@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "nonsense"])
async def test_packing_that_was_not_asked_for(
    raw_server: RawServers, connect: Connect, encoding: str, how: str
) -> None:
    """Neither br nor zstd is asked for, whatever is installed; a server that uses them all the same is an error."""
    server = await raw_server([raw_server.answer(b"\x28\xb5\x2f\xfd packed", content_encoding=encoding), "fin"])

    error = await failure(connect(server.base_url, retry=ONCE), how)

    assert isinstance(error, APIConnectionError | ResponseShapeError | IncompleteStreamError)
    assert str(error).isprintable()
    asked = {request.headers["accept-encoding"] for request in server.requests}
    assert asked == {"gzip, deflate" if how == "complete" else "identity"}


@pytest.mark.parametrize("how", ["complete", "stream"])
@pytest.mark.parametrize("status", [200, 500])
async def test_depth_bomb(raw_server: RawServers, connect: Connect, status: int, how: str) -> None:
    """100 000 brackets, as an answer or as an error: an error of ours, at once; the client goes on working."""
    deep = b'{"error": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    server = await raw_server([raw_server.answer(deep, status)], [raw_server.completion("goes on")])
    client = connect(server.base_url, retry=ONCE)

    error = await failure(client, how)

    assert type(error) is (InternalServerError if status == 500 else ResponseShapeError)
    assert len(str(error)) < 1000
    assert "goes on" == (await client.complete("Hi")).text


# -- heads -----------------------------------------------------------------------------------------------------------

HEADS: Final[dict[str, list[Any]]] = {
    "10 000 headers": [b"HTTP/1.1 200 OK\r\n" + b"X-Header: value\r\n" * 10_000 + b"Content-Length: 2\r\n\r\n{}"],
    "headers without end": [b"HTTP/1.1 200 OK\r\n", ("flood", b"X-Header: value\r\n" * 4096, 10_000)],
    "long header": [b"HTTP/1.1 200 OK\r\nX-Header: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n{}"],
    "header without end": [b"HTTP/1.1 200 OK\r\nX-Header: ", ("flood", b"x" * 65536, 10_000)],
    "name without end": [b"HTTP/1.1 200 OK\r\n", ("flood", b"x" * 65536, 10_000)],
    "status line without end": [b"HTTP/1.1 200 ", ("flood", b"x" * 65536, 10_000)],
    "trailers without end": [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        ("flood", b"X-Trailer: value\r\n" * 4096, 10_000),
    ],
}


@pytest.mark.parametrize("how", ["complete", "stream"])
@pytest.mark.parametrize("name", HEADS)
async def test_head_that_is_too_large(raw_server: RawServers, connect: Connect, name: str, how: str) -> None:
    """A head that grows and grows is an error that says so, sent once more at most, and the connection is closed."""
    server = await raw_server(HEADS[name])
    client = connect(server.base_url, timeouts=Timeouts(response=5, first_token=5))

    error = await failure(client, how)

    assert isinstance(error, APIConnectionError | IncompleteStreamError)
    assert str(error).isprintable()
    assert 1 <= len(server.requests) <= 2
    assert len(server.requests) == len(error.attempts)
    for request in server.requests:
        async with asyncio.timeout(2):
            await request.gone.wait()
        assert request.written < 16 * MIB


# -- text of servers -------------------------------------------------------------------------------------------------

CONTROLS: Final = (
    "\x1b[2J\x1b]0;owned\x07\x1b[31m"  # clears the screen, names the window, colours
    "\x9b31m\x90q\x9d"  # the same from the upper control characters
    "\r\n\x08\x7f\x00\x0b\x85\u2028\u2029"  # fakes lines
    "\u202e\u2066\u200f\u061c\u200b\ufeff\u2060\U000e0041"  # turns text round, hides it
)
NAMED: Final = {"message": f"no {CONTROLS}", "code": f"c{CONTROLS}", "type": CONTROLS, "param": CONTROLS}


def said(raw: RawServers) -> dict[str, tuple[str, list[Any]]]:
    """Ways for a server to get text into an error: how to call, and what it plays."""
    page = f"<title>{CONTROLS}</title>{CONTROLS}".encode()
    event = b"data: " + json.dumps({"error": NAMED}).encode() + b"\n\n"
    raw_event = f"event: error\ndata: {CONTROLS.translate({10: None, 13: None})}\n\n".encode()
    return {
        "error": ("complete", [raw.answer({"error": NAMED}, 400)]),
        "error as a string": ("complete", [raw.answer({"error": CONTROLS}, 400)]),
        "error as a list": ("complete", [raw.answer([{"error": NAMED}], 400)]),
        "text": ("complete", [raw.answer(CONTROLS.encode(), 400, content_type="text/plain")]),
        "not UTF-8": ("complete", [raw.answer(CONTROLS.encode("utf-16"), 400, content_type="text/plain")]),
        "page": ("complete", [raw.answer(page, 502, content_type="text/html")]),
        "redirect": ("complete", [raw.answer(b"", 302, location="/\x1b[2J\x9b31m\x85")]),
        "error in a 200": ("complete", [raw.answer({"error": NAMED})]),
        "page in a 200": ("complete", [raw.answer(page, content_type="text/html")]),
        "no completion": ("complete", [raw.answer({"object": CONTROLS})]),
        "event": ("stream", [raw.stream_head() + raw.chunk(event), "hang"]),
        "error event": ("stream", [raw.stream_head() + raw.chunk(raw_event), "hang"]),
        "event that is no JSON": ("stream", [raw.stream_head() + raw.chunk(b"data: \x1b[2J\x9b\n\n"), "hang"]),
        "error after text": ("stream", [raw.stream_head() + raw.chunk(raw.event("a") + event), "hang"]),
        "request id": ("complete", [raw.answer({"error": "no"}, 400, x_request_id="\x1b[2J")]),
        "reason": ("complete", [b"HTTP/1.1 400 \x1b[2J\x9b\r\nContent-Length: 0\r\n\r\n"]),
        "header": ("complete", [b"HTTP/1.1 200 OK\r\n\x1b[2J: x\r\n\r\n", "fin"]),
        "no HTTP": ("complete", [CONTROLS.encode() + b"\r\n\r\n", "fin"]),
    }


SAID: Final = [
    *("error", "error as a string", "error as a list", "text", "not UTF-8", "page", "redirect", "error in a 200"),
    *("page in a 200", "no completion", "event", "error event", "event that is no JSON", "error after text"),
    *("request id", "reason", "header", "no HTTP"),
]


@pytest.mark.parametrize("name", SAID)
async def test_text_of_a_server_is_inert(raw_server: RawServers, connect: Connect, name: str) -> None:
    """Escape sequences, line breaks and invisible characters show as escapes in an error: one printable line."""
    assert set(SAID) == set(said(raw_server))
    how, script = said(raw_server)[name]
    server = await raw_server(script)

    error = await failure(connect(server.base_url, retry=ONCE), how)

    assert str(error).isprintable()
    assert [] == [one for one in error.attempts if not one.outcome.isprintable()]
    assert (error.request_id or "").isprintable()
    assert len(str(error)) < 1000


# -- large requests --------------------------------------------------------------------------------------------------

SERVER: Final = textwrap.dedent("""
    import asyncio, sys

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\\r\\n\\r\\n"):
            left = length = int(head.lower().partition(b"content-length:")[2].split()[0])
            while left:
                left -= len(await reader.read(min(left, 2**20)))
            message = b'{"role": "assistant", "content": "%d"}' % length
            text = b'{"choices": [{"index": 0, "message": %b, "finish_reason": "stop"}]}' % message
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n")
            writer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(text) + text)

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())
""")
"""Takes requests of any size and answers with that size, until its input is closed. In a process of its own, so that
only the client's work is on the loop that is watched."""


@contextlib.asynccontextmanager
async def elsewhere() -> AsyncIterator[str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await child.stdout.readline())}/v1"
    finally:
        child.stdin.close()
        await child.wait()


class Heartbeat:
    """Beats on the loop, and knows the longest time between two beats in which this process was at work.

    Time that the machine gave to others is not counted: what cannot beat because one of our threads works, or the loop
    itself does, uses the processor meanwhile.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        await asyncio.sleep(0.005)
        self.longest = 0.0
        return self

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before, used = loop.time(), time.process_time()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, min(loop.time() - before - 0.001, time.process_time() - used))

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.005)
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.mark.slow
@pytest.mark.parametrize("way", ["path", "data URL", "stream"])
async def test_image_of_20_mb_does_not_stop_the_loop(no_leaks: None, tmp_path: Path, way: str) -> None:
    """Reading, encoding and sending it: the loop never works for 100 ms at a stretch, and nothing warns."""
    image = tmp_path / "image.png"
    image.write_bytes(os.urandom(MIB) * 20)
    url = "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()
    longest = []
    async with elsewhere() as base_url, AnyFast("sk-test", base_url=base_url, model="m") as client:
        for _ in range(5):  # the machine may be busy: what counts is what the client cannot do better
            part = ImagePart(url) if way == "data URL" else ImagePart.from_path(image)
            message = UserMessage([TextPart("What is it?"), part])
            gc.collect()
            async with Heartbeat() as heart:
                if way == "stream":
                    answer = await client.stream([message]).drain()
                else:
                    answer = await client.complete([message])
            assert len(url) < int(answer.text) < len(url) + 1000
            longest.append(heart.longest)
            if heart.longest <= 0.1:
                break

    assert min(longest) <= 0.1, [f"{1000 * one:.0f} ms" for one in longest]
