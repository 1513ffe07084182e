"""A stream cut at every byte, over every framing: what is delivered, and whether it is called complete."""

from __future__ import annotations

import asyncio
import json
import os
import random
import zlib
from typing import Any

import pytest

from anyfast_async import AnyFast, ChatStream, IncompleteStreamError, RetryPolicy

LONG = bool(os.environ.get("ANYFAST_LONG"))
TEXTS = [f"token {i} é☕ " for i in range(11)]
ONCE = RetryPolicy(attempts=1)


def _event(choice: dict[str, Any]) -> bytes:
    payload = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


EVENTS = [
    _event({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}),
    *[_event({"index": 0, "delta": {"content": text}, "finish_reason": None}) for text in TEXTS],
    _event({"index": 0, "delta": {}, "finish_reason": "stop"}),
    b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}\n\n',
    b"data: [DONE]\n\n",
]
BODY = b"".join(EVENTS)


def expected(received: int, *, clean: bool) -> tuple[str, str]:
    """The rule: text of the complete events; complete only with a finish_reason and ([DONE] or a clean end).

    At a clean end an event that is whole JSON is complete without its blank line.
    """
    text, finished, done, position = "", False, False, 0
    for event in EVENTS:
        position += len(event)
        if position > received + (2 if clean else 0):
            break
        if event.startswith(b"data: [DONE]"):
            done = True
            continue
        for choice in json.loads(event[6:])["choices"]:
            text += choice["delta"].get("content", "")
            finished = finished or choice["finish_reason"] is not None
    if not done and clean:  # servers that close right after [DONE] leave its blank line out
        done = BODY[:received].endswith((b"data: [DONE]", b"data: [DONE]\n"))
    return text, "complete" if finished and (done or clean) else "incomplete"


async def outcome(client: AnyFast) -> tuple[str, str]:
    """Read a stream to its end; return all of its text and how it ended."""
    texts: list[str] = []
    try:
        async with client.stream("x") as stream:
            async for token in stream:
                texts.append(token)  # noqa: PERF401 - an error must not lose what came before it
            return "".join(texts), "complete"
    except IncompleteStreamError as error:
        partial = error.partial.text if error.partial is not None else ""
        assert partial.startswith("".join(texts))
        return partial, "incomplete"


def _gzip(body: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Compress with a flush after each event; return (bytes, [(compressed, plain) sizes at each flush])."""
    packer = zlib.compressobj(wbits=31)
    packed, marks, plain = b"", [(0, 0)], 0
    for event in EVENTS:
        packed += packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        plain += len(event)
        marks.append((len(packed), plain))
    return packed + packer.flush(), marks


GZIP, GZIP_MARKS = _gzip(BODY)

FRAMINGS = ["chunked", "content-length", "until-close", "gzip", "rst"]


def _script(framing: str, cut: int, servers: Any) -> list[Any]:
    kind = {"content_type": "text/event-stream"}
    match framing:
        case "chunked":
            piece = f"{len(BODY):x}\r\n".encode() + BODY[:cut]
            return [servers.head(**kind, transfer_encoding="chunked") + piece, "fin"]
        case "content-length":
            return [servers.head(**kind, content_length=str(len(BODY))) + BODY[:cut], "fin"]
        case "until-close":
            return [servers.head(**kind, connection="close") + BODY[:cut], "fin"]
        case "gzip":
            return [servers.head(**kind, connection="close", content_encoding="gzip") + GZIP[:cut], "fin"]
    head = servers.head(**kind, content_length=str(len(BODY) + 1))
    # A reset throws away what the client's kernel still holds, so the client is given time to read it.
    return [head + BODY[:cut], ("sleep", 0.02), "rst"]


def _cuts(framing: str) -> list[int]:
    size = len(GZIP) if framing == "gzip" else len(BODY)
    every = list(range(size + 1))
    if LONG:
        return every
    edges, position = set(), 0
    for event in EVENTS:
        position += len(event)
        edges |= {position - 2, position - 1, position, position + 1}
    sample = (
        set(random.Random(7).sample(every, 120))
        | {e for e in edges if framing != "gzip" and 0 <= e <= size}
        | {0, size}
    )
    return sorted(sample)[:: 3 if framing == "rst" else 1]


@pytest.mark.reliability
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_cut_at_any_byte_loses_nothing_and_never_looks_complete(
    raw_server: Any, connect: Any, framing: str
) -> None:
    """At each byte the text is that of the complete events, and complete is what the rule calls so."""
    cuts = _cuts(framing)
    server = await raw_server(*[_script(framing, cut, raw_server) for cut in cuts])
    client = connect(server.base_url, retry=ONCE)
    wrong = []
    for cut in cuts:
        received, clean = cut, framing in ("until-close", "gzip")
        if framing == "content-length":
            clean = cut == len(BODY)
        if framing == "gzip":
            received = max(plain for packed, plain in GZIP_MARKS if packed <= cut)
            got = await outcome(client)
            # Between two flushes the decompressor may hand out more than the last flush, never less.
            least = expected(received, clean=True)
            if not got[0].startswith(least[0]) or (got[1] == "complete" and "".join(TEXTS) != got[0]):
                wrong.append((cut, got, least))
            continue
        got = await outcome(client)
        if got != expected(received, clean=clean):
            wrong.append((cut, got, expected(received, clean=clean)))
    assert wrong == []
    assert len(server.requests) == len(cuts)


async def test_what_comes_with_a_wrong_chunk_is_kept(raw_server: Any, connect: Any) -> None:
    """Events in the same write as a chunk without its size are given out before the error, and stand in it."""
    head = raw_server.stream_head()
    client = connect((await raw_server([head + raw_server.chunk(EVENTS[1]) + b"zz\r\n"])).base_url, retry=ONCE)
    assert (TEXTS[0], "incomplete") == await outcome(client)


@pytest.mark.parametrize("ending", ["fin", "rst", "hang"])
async def test_a_slow_reader_gets_everything_that_arrived_before_the_end(
    raw_server: Any, connect: Any, ending: str
) -> None:
    """200 events, then FIN, RST or silence, read one every 2 ms: 200 of 200 (aiohttp alone hands out about 100)."""
    count, pause = (200, 0.02) if LONG else (200, 0.002)
    body = b"".join(raw_server.chunk(raw_server.event(f"{i} ")) for i in range(count))
    server = await raw_server([raw_server.stream_head() + body, ("sleep", 0.05), ending])
    client = connect(server.base_url, retry=ONCE)
    from anyfast_async import APITimeoutError, Timeouts  # noqa: PLC0415

    stream: ChatStream = client.with_options(timeouts=Timeouts(idle=0.15)).stream("x")
    texts: list[str] = []

    async def read() -> None:
        async with stream:
            async for token in stream:
                texts.append(token)
                await asyncio.sleep(pause)

    with pytest.raises((IncompleteStreamError, APITimeoutError)) as caught:
        await read()
    assert [f"{i} " for i in range(count)] == texts
    assert caught.value.partial is not None
    assert "".join(texts) == caught.value.partial.text


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_token_is_handed_on_before_the_next_one_is_sent(
    raw_server: Any, connect: Any, newline: bytes, packed: bool
) -> None:
    """The server sends token k+1 only after the consumer acknowledged token k; nothing waits for the next read."""
    acknowledged = asyncio.Queue[int]()
    packer = zlib.compressobj(wbits=31)

    def framed(data: bytes) -> bytes:
        data = data.replace(b"\n", newline)
        piece = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH) if packed else data
        return bytes(raw_server.chunk(piece))

    async def lockstep(_: object, writer: asyncio.StreamWriter) -> None:
        for i in range(50):
            writer.write(framed(raw_server.event(f"{i} ")))
            await acknowledged.get()
        writer.write(framed(raw_server.event(finish="stop")) + framed(raw_server.DONE) + raw_server.LAST)

    head = raw_server.stream_head(**({"content_encoding": "gzip"} if packed else {}))
    server = await raw_server([head, lockstep])
    client = connect(server.base_url)
    texts = []
    async with asyncio.timeout(10), client.stream("x") as stream:
        async for token in stream:
            texts.append(token)
            acknowledged.put_nowait(1)
    assert [f"{i} " for i in range(50)] == texts
