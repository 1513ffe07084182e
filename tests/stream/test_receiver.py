"""The arriving side of a stream: bodies of every kind, what their end means, the clocks, and the bounded buffer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, patch

import pytest

from anyfast_async import (
    AnyFast,
    APIError,
    BadRequestError,
    ChatStream,
    DeadlineExceeded,
    FirstTokenTimeout,
    IdleTimeout,
    IncompleteStreamError,
    InternalServerError,
    ResponseShapeError,
    RetryPolicy,
    Timeouts,
)
from anyfast_async._core.stream import reader
from anyfast_async._core.stream.chunk_template import ChunkTemplate
from anyfast_async._http.api_key import Secret
from anyfast_async._stream import receiver as module

if TYPE_CHECKING:
    from conftest import Connect, RawServers, Until

ONCE = RetryPolicy(attempts=1)


# -- bodies ----------------------------------------------------------------------------------------------------------


async def test_json_body_is_one_event(raw_server: RawServers, connect: Connect) -> None:
    """An upstream that does not stream: its JSON answer is handed on as one token and the end."""
    server = await raw_server([raw_server.completion("whole")])

    async with connect(server.base_url).stream("Hi") as stream:
        tokens = [token async for token in stream]

    assert tokens == ["whole"]
    assert stream.completion.usage is not None
    assert stream.completion.usage.total_tokens == 5


async def test_json_error_in_a_success(raw_server: RawServers, connect: Connect) -> None:
    """A 200 whose JSON body is an error is that error."""
    server = await raw_server([raw_server.answer({"error": {"message": "no", "code": "invalid_request_error"}})])

    with pytest.raises(BadRequestError, match="no"):
        await connect(server.base_url).stream("Hi").drain()


async def test_web_page_is_a_shape_error(raw_server: RawServers, connect: Connect) -> None:
    """HTML where a stream should be: an error that suggests to look at ``base_url``; not sent again."""
    server = await raw_server([raw_server.answer(b"<html><title>Welcome</title></html>", content_type="text/html")])

    with pytest.raises(ResponseShapeError, match="base_url"):
        await connect(server.base_url).stream("Hi").drain()

    assert len(server.requests) == 1


async def test_page_without_a_type_is_no_answer(raw_server: RawServers, connect: Connect) -> None:
    """HTML that says it is an event stream is no answer either."""
    body = raw_server.stream_head() + raw_server.chunk(b"<html>\n\n<p>no</p></html>\n\n") + raw_server.LAST
    server = await raw_server([body])

    with pytest.raises((ResponseShapeError, IncompleteStreamError)):
        await connect(server.base_url, retry=ONCE).stream("Hi").drain()


INBAND = {
    "object": b'data: {"error": {"message": "upstream died", "type": "server_error", "code": 500}}\n\n',
    "string": b'data: {"error": "upstream died"}\n\n',
    "list": b'data: [{"error": {"code": 500, "message": "upstream died", "status": "INTERNAL"}}]\n\n',
    "error event": b'event: error\ndata: {"message": "upstream died"}\n\n',
    "error event, plain": b"event: error\ndata: upstream died\n\n",
    "bare tail": b'{"error": {"message": "upstream died", "code": "500"}}',
    "bare tail, printed": b'{\n  "error": {\n    "message": "upstream died",\n    "code": 500\n  }\n}\n',
    "then done": b'data: {"error": {"message": "upstream died"}}\n\ndata: [DONE]\n\n',
}


@pytest.mark.parametrize("shape", INBAND)
@pytest.mark.parametrize("texts", [(), ("a", "b")], ids=["before content", "after content"])
async def test_errors_inside_a_stream(
    raw_server: RawServers, connect: Connect, shape: str, texts: tuple[str, ...]
) -> None:
    """Every shape of an error inside a stream is raised with its words; tokens before it are kept, none is made up."""
    events = b"".join(raw_server.chunk(raw_server.event(text)) for text in texts)
    server = await raw_server([raw_server.stream_head() + events + raw_server.chunk(INBAND[shape]) + raw_server.LAST])
    tokens: list[str] = []

    with pytest.raises(APIError, match="upstream died") as caught:
        async for token in connect(server.base_url, retry=ONCE).stream("Hi"):
            tokens.append(token)  # noqa: PERF401 - it raises

    assert tuple(tokens) == texts
    if texts:
        assert caught.value.partial is not None
        assert caught.value.partial.text == "".join(texts)
        assert caught.value.billed == "maybe"


@pytest.mark.parametrize("size", [1, 3, 64])
async def test_stream_cut_into_small_pieces(raw_server: RawServers, connect: Connect, size: int) -> None:
    """However the bytes are cut on their way, the text is the same."""
    texts = ["Grüße ", "日本 ", "🙂", "\u2028", " end"]

    server = await raw_server([("drip", raw_server.stream(*texts), size)])

    assert (await connect(server.base_url).stream("Hi").drain()).text == "".join(texts)


# -- what an end means -----------------------------------------------------------------------------------------------


async def test_done_is_no_proof(raw_server: RawServers, connect: Connect) -> None:
    """``[DONE]`` without a finish reason is incomplete: the gateway writes it after broken upstreams too."""
    server = await raw_server([raw_server.stream("half", finish=None)])

    with pytest.raises(IncompleteStreamError, match="accept_missing_finish") as caught:
        await connect(server.base_url).stream("Hi").drain()

    assert (caught.value.reason, caught.value.partial.text) == ("no_finish", "half")  # type: ignore[union-attr]


async def test_missing_finish_can_be_accepted(raw_server: RawServers, connect: Connect) -> None:
    """With ``accept_missing_finish`` an orderly end is complete, with or without ``[DONE]``; a cut is not."""
    server = await raw_server(
        [raw_server.stream("half", finish=None)],
        [raw_server.stream("half", finish=None, done=False)],
        [raw_server.stream_head() + raw_server.chunk(raw_server.event("half")), "fin"],
    )
    client = connect(server.base_url)

    for _ in range(2):
        assert (await client.stream("Hi", accept_missing_finish=True).drain()).text == "half"
    with pytest.raises(IncompleteStreamError, match="broke off"):
        await client.stream("Hi", accept_missing_finish=True).drain()


async def test_clean_end_without_done_is_complete(raw_server: RawServers, connect: Connect) -> None:
    """With every finish reason there, a stream that ends in order needs no ``[DONE]``."""
    server = await raw_server([raw_server.stream("all", done=False)])

    assert (await connect(server.base_url).stream("Hi").drain()).text == "all"


async def test_cut_between_finish_and_done_is_incomplete(raw_server: RawServers, connect: Connect) -> None:
    """A finish reason, then a broken connection before ``[DONE]``: usage may be missing, so it is incomplete."""
    events = raw_server.chunk(raw_server.event("all")) + raw_server.chunk(raw_server.event(finish="stop"))
    server = await raw_server([raw_server.stream_head() + events, "fin"])

    with pytest.raises(IncompleteStreamError) as caught:
        await connect(server.base_url).stream("Hi").drain()

    assert caught.value.reason == "cut"


async def test_stream_does_not_stop_at_the_first_finish_reason(raw_server: RawServers, connect: Connect) -> None:
    """Choice 0 is finished, more comes: it is read to the end."""
    later = raw_server.event(" and more")
    events = [raw_server.event("some"), raw_server.event(finish="stop"), later, raw_server.DONE]
    server = await raw_server([raw_server.stream_head() + b"".join(map(raw_server.chunk, events)) + raw_server.LAST])

    assert (await connect(server.base_url).stream("Hi").drain()).text == "some and more"


async def test_empty_stream_is_an_error(raw_server: RawServers, connect: Connect) -> None:
    """``[DONE]`` and nothing else: an error with reason "empty", not an empty answer, and not sent again."""
    server = await raw_server([raw_server.stream(finish=None)])

    with pytest.raises(IncompleteStreamError, match="without an answer") as caught:
        await connect(server.base_url).stream("Hi").drain()

    assert (caught.value.reason, len(server.requests)) == ("empty", 1)


async def test_answer_without_text_is_complete(raw_server: RawServers, connect: Connect) -> None:
    """A finish reason and no content, as after a filter, is an answer."""
    server = await raw_server([raw_server.stream(finish="content_filter")])

    completion = await connect(server.base_url).stream("Hi").drain()

    assert (completion.text, completion.finish_reason) == ("", "content_filter")


async def test_body_that_stays_open_after_done_is_not_waited_for(raw_server: RawServers, connect: Connect) -> None:
    """``[DONE]`` ends the answer; a server that keeps the body open costs a moment and its connection."""
    server = await raw_server([raw_server.stream("all").removesuffix(raw_server.LAST), "hang"])
    began = time.monotonic()

    assert (await connect(server.base_url).stream("Hi").drain()).text == "all"

    assert time.monotonic() - began < 0.3
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)


# -- clocks ----------------------------------------------------------------------------------------------------------


async def timed(stream: ChatStream, kind: type[BaseException]) -> tuple[BaseException, float]:
    """How a stream fails, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        await stream.drain()
    return caught.value, time.monotonic() - began


PING = b": PING\n\n"


@pytest.mark.parametrize("what", ["head", "role", "pings"])
async def test_first_token_has_a_clock(raw_server: RawServers, connect: Connect, what: str) -> None:
    """Neither the head, nor a role, nor comments are a first token; the request is not sent again."""
    ping: list[Any] = [raw_server.chunk(PING), ("sleep", 0.02)]
    scripts: dict[str, list[Any]] = {
        "head": [raw_server.stream_head(), "hang"],
        "role": [raw_server.stream_head() + raw_server.chunk(raw_server.event("", role="assistant")), "hang"],
        "pings": [raw_server.stream_head(), *ping * 10, "hang"],
    }
    server = await raw_server(scripts[what])
    client = connect(server.base_url, timeouts=Timeouts(first_token=0.1))

    error, seconds = await timed(client.stream("Hi"), FirstTokenTimeout)

    assert 0.1 <= seconds < 0.25
    assert error.billed == "maybe"  # type: ignore[attr-defined]
    assert len(server.requests) == 1
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)


async def test_first_token_clock_in_a_json_body(raw_server: RawServers, connect: Connect) -> None:
    """An upstream that does not stream and hangs in its JSON body meets the same clock, and is not asked again."""
    server = await raw_server(
        [raw_server.head(content_type="application/json", content_length="99") + b'{"id"', "hang"]
    )
    client = connect(server.base_url, timeouts=Timeouts(first_token=0.1))

    _, seconds = await timed(client.stream("Hi"), FirstTokenTimeout)

    assert 0.1 <= seconds < 0.25
    assert len(server.requests) == 1


async def test_error_with_a_hanging_body_is_the_error(raw_server: RawServers, connect: Connect) -> None:
    """A status whose body never ends is raised as that status when the clock runs out."""
    server = await raw_server([raw_server.head(500, content_length="99") + b'{"error"', "hang"])
    client = connect(server.base_url, retry=ONCE, timeouts=Timeouts(first_token=0.1))

    _, seconds = await timed(client.stream("Hi"), InternalServerError)

    assert seconds < 0.25


async def test_idle_has_a_clock_that_pings_do_not_stop(raw_server: RawServers, connect: Connect) -> None:
    """One token, then only comments: an error after ``Timeouts.idle``, with the token as its part."""
    ping: list[Any] = [raw_server.chunk(PING), ("sleep", 0.02)]
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("one")), *ping * 40])
    client = connect(server.base_url, timeouts=Timeouts(idle=0.1))

    error, seconds = await timed(client.stream("Hi"), IdleTimeout)

    assert 0.1 <= seconds < 0.25
    assert isinstance(error, IdleTimeout)
    assert error.partial is not None
    assert (error.partial.text, error.billed, len(server.requests)) == ("one", "maybe", 1)
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)


async def test_content_restarts_the_idle_clock(raw_server: RawServers, connect: Connect) -> None:
    """Tokens 100 ms apart never meet an idle clock of 500 ms, however long the whole takes."""
    beat: list[Any] = [raw_server.chunk(raw_server.event("x")), ("sleep", 0.1)]
    end = raw_server.chunk(raw_server.event(finish="stop")) + raw_server.LAST
    server = await raw_server([raw_server.stream_head(), *beat * 12, end])

    completion = await connect(server.base_url, timeouts=Timeouts(idle=0.5)).stream("Hi").drain()

    assert completion.text == "x" * 12


async def test_total_ends_a_stream(raw_server: RawServers, connect: Connect) -> None:
    """``Timeouts.total`` counts over reading too: tokens keep coming, the call ends all the same."""
    beat: list[Any] = [raw_server.chunk(raw_server.event("x")), ("sleep", 0.02)]
    server = await raw_server([raw_server.stream_head(), *beat * 40])

    error, seconds = await timed(connect(server.base_url).stream("Hi", timeout=0.1), DeadlineExceeded)

    assert 0.1 <= seconds < 0.25
    assert isinstance(error, DeadlineExceeded)
    assert error.partial is not None
    assert error.partial.text.startswith("xxx")
    assert error.billed == "maybe"
    assert [attempt.outcome for attempt in error.attempts] == ["deadline"]


async def test_slow_consumer_never_times_out(raw_server: RawServers, connect: Connect) -> None:
    """A consumer that takes longer over each item than every clock allows gets the whole stream."""
    server = await raw_server([raw_server.stream(*"abcdef")])
    client = connect(server.base_url, timeouts=Timeouts(first_token=0.05, idle=0.02))
    tokens = []

    async with client.stream("Hi") as stream:
        async for token in stream:
            tokens.append(token)
            await asyncio.sleep(0.03)

    assert tokens == list("abcdef")


async def test_slow_consumer_of_a_full_buffer_never_times_out(
    raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the buffer is full nothing can come, and the idle clock does not count that."""
    monkeypatch.setattr(module, "MAX_BUFFER", 2**16)
    events = [raw_server.chunk(raw_server.event("x" * 10_000)) for _ in range(400)]
    end = raw_server.chunk(raw_server.event(finish="stop")) + raw_server.LAST
    server = await raw_server([raw_server.stream_head(), *events, end])
    client = connect(server.base_url, timeouts=Timeouts(idle=0.03))
    size = 0

    async with client.stream("Hi") as stream:
        async for token in stream:
            size += len(token)
            if size in (10_000, 500_000, 3_000_000):
                await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)

    assert size == 4_000_000


async def test_stopped_process_does_not_time_out(raw_server: RawServers) -> None:
    """A process that stood still (stopped, asleep) reads what the kernel has for it before it looks at its clocks."""
    ready: threading.Event = threading.Event()
    port: list[int] = []
    done = threading.Event()

    def serve() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw_server.stream_head() + raw_server.chunk(raw_server.event("a")))
            await asyncio.sleep(0.02)
            writer.write(raw_server.chunk(raw_server.event("b")))
            await asyncio.sleep(0.05)
            writer.write(raw_server.chunk(raw_server.event(finish="stop")) + raw_server.LAST)
            await reader.read()
            writer.close()

        async def run() -> None:
            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.005)
            server.close()

        asyncio.run(run())

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(5)
    try:
        async with (
            AnyFast(
                "sk-test-key-1", base_url=f"http://127.0.0.1:{port[0]}", model="m", timeouts=Timeouts(idle=0.06)
            ) as c,
            c.stream("Hi") as stream,
        ):
            tokens = []
            async for token in stream:
                tokens.append(token)
                if token == "a":
                    time.sleep(0.1)  # noqa: ASYNC251 - stands still, on purpose
    finally:
        done.set()
        thread.join()

    assert tokens == ["a", "b"]


# -- back-pressure ---------------------------------------------------------------------------------------------------


async def test_server_is_slowed_down_by_a_slow_reader(
    until: Until, raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB pushed at a reader that sleeps: our buffer stops near its limit, and the server waits."""
    monkeypatch.setattr(module, "MAX_BUFFER", 2**20)
    piece = raw_server.chunk(raw_server.event("x" * 65_000))
    server = await raw_server([raw_server.stream_head(), ("flood", piece, 1000)])
    client = connect(server.base_url)

    async with client.stream("Hi") as stream:
        await until(lambda: bool(server.requests) and server.requests[0].written > 0)
        last = -1
        while server.requests[0].written != last:
            last = server.requests[0].written
            await asyncio.sleep(0.03)
        receiver = stream._receiver
        assert receiver is not None
        buffered, written = receiver._buffered, server.requests[0].written
        size = 0
        async for token in stream:
            size += len(token)
            if size > 20 * 2**20:
                break

    assert buffered < 3 * 2**20
    assert written < 20 * 2**20  # the rest waits in the kernel's buffers
    assert size > 20 * 2**20  # and goes on when it is read


# -- texts that are recognised, and handed on as they came ----------------------------------------------------------


def fed() -> tuple[module.Receiver, Any]:
    """A receiver that is fed by hand, and its exchange."""
    loop = asyncio.get_running_loop()
    calls = {name: Mock() for name in ("pause", "resume", "close")}
    exchange: Any = SimpleNamespace(headers={}, sent_at=loop.time(), hide=Secret("sk-secret").hide, **calls)
    permit: Any = None
    return module.Receiver(exchange, permit, Timeouts(), None), exchange


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_items_are_the_chunks_however_cut(raw_server: RawServers, size: int) -> None:
    """Every chunk is there whole, with its own time and fields, whether it was recognised by its bytes or decoded."""
    made, _ = fed()
    sent = [
        json.loads(raw_server.event(f"t {i}", None, **({"x": [i]} if i % 7 == 3 else {})).removeprefix(b"data: "))
        | {"created": i // 20}
        for i in range(100)
    ]
    body = b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in sent)

    for at in range(0, len(body), size):
        made.feed(body[at : at + size])

    assert sent == made.waiting()
    assert sum(isinstance(item, tuple) for item in made.items) > 50
    made.close()


async def test_chunks_with_nothing_in_common_are_soon_not_compared(raw_server: RawServers) -> None:
    """Where every chunk has an id of its own, only the first few make a template, and all of them are decoded."""
    made, _ = fed()
    tried = 0
    of = ChunkTemplate.of

    def counted(data: bytes, payload: Any) -> Any:
        nonlocal tried
        tried += 1
        return of(data, payload)

    with patch.object(ChunkTemplate, "of", counted):
        for i in range(50):
            made.feed(raw_server.event("a").replace(b"c-1", b"c-%d" % i))

    assert (reader.TRIALS, 50) == (tried, len(made.items))
    made.close()


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
async def test_no_event_is_edited(raw_server: RawServers, size: int) -> None:
    """What the model says is handed on as it came, the key included, however the bytes were cut."""
    made, _ = fed()
    body = b"".join(raw_server.event(text) for text in ("a", "b sk-secret", "c", "sk-secret", "d"))
    body += b"event: x\nid: 7\n" + raw_server.event("sk-secret", finish="stop")

    for at in range(0, len(body), size):
        made.feed(body[at : at + size])

    texts = [payload["choices"][0]["delta"]["content"] for payload in made.waiting()]
    assert ["a", "b sk-secret", "c", "sk-secret", "d", "sk-secret"] == texts
    made.close()


async def test_buffer_is_counted_in_bytes(raw_server: RawServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is not read once more is buffered than allowed, and read again when half of it was taken."""
    monkeypatch.setattr(module, "MAX_BUFFER", 100_000)
    made, exchange = fed()

    while not made.paused:
        made.feed(raw_server.event("x" * 5_000))
    count = len(made.items)
    assert 15 <= count <= 20
    assert 1 == exchange.pause.call_count

    while made.paused:
        made.items.popleft()
        made.relieve()
    assert count // 2 - 2 <= len(made.items) <= count // 2
    assert 1 == exchange.resume.call_count
    made.close()


async def test_event_in_many_pieces_is_counted_whole(raw_server: RawServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What of a large event came before its last piece counts too."""
    monkeypatch.setattr(module, "MAX_BUFFER", 100_000)
    made, _ = fed()
    event = raw_server.event("x" * 150_000)

    for at in range(0, len(event), 1_000):
        made.feed(event[at : at + 1_000])

    assert made.paused
    made.close()
