"""One streamed answer: nothing that arrived is lost, nothing cut short passes for complete, nothing stays open."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    APIConnectionError,
    APIError,
    BadRequestError,
    ChatCompletion,
    ChatCompletionChunk,
    ChatStream,
    ClientStateError,
    DeadlineExceeded,
    FirstTokenTimeout,
    IdleTimeout,
    IncompleteStreamError,
    InternalServerError,
    Limits,
    RateLimitError,
    ResponseShapeError,
    RetryPolicy,
    Timeouts,
    _stream,
)
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Connect, RawServers

ONCE = RetryPolicy(attempts=1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.001)


def connections_in_use(client: AnyFast) -> int:
    session = client._shared.transport._session
    assert session is not None
    assert session.connector is not None
    return len(session.connector._acquired)


# -- reading ---------------------------------------------------------------------------------------------------------


async def test_tokens_are_the_text_that_is_not_streamed(sim: Simulator, client: AnyFast) -> None:
    """The tokens joined are the text of the same request when it is not streamed; there are several."""
    text = (await client.complete("Tell me a story")).text

    async with client.stream("Tell me a story") as stream:
        tokens = [token async for token in stream]

    assert "".join(tokens) == text
    assert len(tokens) > 5
    assert all(tokens)


async def test_completion_is_what_the_stream_amounts_to(client: AnyFast) -> None:
    """After the end ``completion`` equals the answer that is not streamed: text, usage, finish reason."""
    whole = await client.complete("Hi", n=2)

    folded = await client.stream("Hi", n=2).drain()

    assert [choice.message.text for choice in folded.choices if choice.message] == [
        choice.message.text for choice in whole.choices if choice.message
    ]
    assert [choice.finish_reason for choice in folded.choices] == ["stop", "stop"]
    assert folded.usage == whole.usage
    assert folded.request_id
    assert folded.trace is not None
    assert [attempt.outcome for attempt in folded.trace.attempts] == ["ok"]
    assert folded.trace.first_token is not None


async def test_chunks_are_typed_and_complete(client: AnyFast) -> None:
    """``chunks`` gives every event, of every choice, with usage at the end."""
    async with client.stream("Hi", n=2) as stream:
        chunks = [chunk async for chunk in stream.chunks()]

    assert {type(chunk) for chunk in chunks} == {ChatCompletionChunk}
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    assert chunks[-1].usage is not None
    assert "".join(chunk.text for chunk in chunks) == stream.completion.text


async def test_completion_so_far(raw_server: RawServers, connect: Connect) -> None:
    """While the stream runs, ``completion`` holds what was read, and no more."""
    server = await raw_server([raw_server.stream("one ", "two ", "three")])

    async with connect(server.base_url).stream("Hi") as stream:
        seen = [(token, stream.completion.text) async for token in stream]

    assert seen == [("one ", "one "), ("two ", "one two "), ("three", "one two three")]


async def test_awaited_stream(client: AnyFast) -> None:
    """``await client.stream(...)`` opens it; at its end it is closed, without a context manager."""
    stream = await client.stream("Hi")

    assert isinstance(stream, ChatStream)
    text = "".join([token async for token in stream])
    assert text == stream.completion.text != ""
    assert (client._shared.gate.in_flight, connections_in_use(client)) == (0, 0)


async def test_first_step_opens(client: AnyFast) -> None:
    """A stream that was neither entered nor awaited is opened by its first step."""
    tokens = [token async for token in client.stream("Hi")]

    assert "".join(tokens) == (await client.complete("Hi")).text


async def test_nothing_is_sent_before_it_is_opened(sim: Simulator, client: AnyFast) -> None:
    """Making a stream sends nothing, and dropping it unopened is no leak."""
    stream = client.stream("Hi")
    await asyncio.sleep(0.005)
    del stream

    assert sim.requests == []


async def test_reading_on_after_the_end(client: AnyFast) -> None:
    """After its end a stream has nothing more: iterating ends at once, ``drain`` gives the completion again."""
    async with client.stream("Hi") as stream:
        first = await stream.drain()
        assert [token async for token in stream] == []
        again = await stream.drain()

    assert first == again


async def test_streams_in_a_row_use_one_connection(sim: Simulator, client: AnyFast) -> None:
    """200 streams, one after the other, read to their ends: one TCP connection."""
    for _ in range(200):
        await client.stream("Hi", max_tokens=5).drain()

    assert sim.connections == 1
    assert len(sim.requests) == 200


async def test_tool_calls_and_reasoning_are_content(sim: Simulator, client: AnyFast) -> None:
    """A stream without text opens on its thoughts or its tool call, and folds both."""
    sim.reply("", tool_calls=[("weather", {"city": "Rome"})], reasoning="Where?")

    completion = await client.stream("Weather?").drain()

    assert completion.reasoning == "Where?"
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [("weather", '{"city": "Rome"}')]


# -- opening, and what is retried ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["enter", "await", "step", "drain", "chunks"])
async def test_errors_with_a_status_surface_on_opening(sim: Simulator, client: AnyFast, form: str) -> None:
    """A 400 is raised where the stream is opened, whichever way, and keeps no connection."""
    sim.fail(400, message="no such thing")
    stream = client.stream("Hi")

    with pytest.raises(BadRequestError, match="no such thing"):
        match form:
            case "enter":
                async with stream:
                    pass
            case "await":
                _ = await stream
            case "step":
                await anext(stream)
            case "drain":
                await stream.drain()
            case _:
                await anext(stream.chunks())

    assert (client._shared.gate.in_flight, connections_in_use(client)) == (0, 0)


async def test_failures_before_content_are_retried(sim: Simulator, client: AnyFast) -> None:
    """Statuses, an error event before any content and a cut before it are met with another attempt."""
    sim.fail(502)
    sim.fail(500, after=1)
    sim.cut(after=1)

    completion = await client.stream("Hi").drain()

    assert completion.trace is not None
    assert [attempt.outcome for attempt in completion.trace.attempts] == ["server", "server", "incomplete", "ok"]
    assert len(sim.requests) == 4


async def test_nothing_is_retried_after_content(sim: Simulator, client: AnyFast) -> None:
    """Once text was there, a cut is an error: exactly one request was sent."""
    sim.cut(after=4)

    with pytest.raises(IncompleteStreamError) as caught:
        await client.stream("Hi").drain()

    assert len(sim.requests) == 1
    assert [(attempt.outcome, attempt.billed) for attempt in caught.value.attempts] == [("incomplete", "maybe")]


async def test_throttled_inside_a_success_is_throttled(raw_server: RawServers, connect: Connect) -> None:
    """An error event that says 429 before any content holds and is tried again, like the status."""
    error = b'data: {"error": {"message": "slow down", "code": 429, "retry_after": 0}}\n\n'
    body = raw_server.stream_head() + raw_server.chunk(error) + raw_server.LAST
    server = await raw_server([body], [raw_server.stream("ok")])
    client = connect(server.base_url, retry=RetryPolicy(attempts=1))

    with pytest.raises(RateLimitError):
        await client.stream("Hi").drain()


# -- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rst", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("after", [2, 3, 5])
async def test_cut_stream_is_incomplete_and_keeps_its_part(
    sim: Simulator, client: AnyFast, after: int, rst: bool
) -> None:
    """Cut after so many events: every token before it is delivered, then one error with the part and the reason."""
    sim.reply(chunks=[f"secret {i} " for i in range(6)])
    sim.cut(after=after, rst=rst)
    tokens: list[str] = []

    with pytest.raises(IncompleteStreamError, match="broke off") as caught:
        async for token in client.stream("Hi"):
            tokens.append(token)  # noqa: PERF401 - it raises

    assert caught.value.reason == "cut"
    assert tokens == [f"secret {i} " for i in range(after - 1)]  # the first event is the role
    assert caught.value.partial is not None
    assert caught.value.partial.text == "".join(tokens)
    assert "secret" not in str(caught.value) + repr(caught.value)
    assert (client._shared.gate.in_flight, connections_in_use(client)) == (0, 0)


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_slow_consumer_gets_everything_that_arrived(raw_server: RawServers, connect: Connect, end: str) -> None:
    """200 events, then the connection ends; the consumer takes 5 ms an item: 200 of 200, then the error."""
    events = b"".join(raw_server.chunk(raw_server.event(f"{i} ")) for i in range(200))
    # The reset destroys what the kernel has not delivered yet, so it comes when the client has read.
    server = await raw_server([raw_server.stream_head() + events, ("sleep", 0.05), end])
    tokens: list[str] = []

    with pytest.raises(IncompleteStreamError) as caught:
        async with connect(server.base_url).stream("Hi") as stream:
            async for token in stream:
                tokens.append(token)
                await asyncio.sleep(0.005 if len(tokens) < 30 else 0)

    assert tokens == [f"{i} " for i in range(200)]
    assert (caught.value.reason, len(server.requests)) == ("cut", 1)


async def test_bytes_in_aiohttps_buffer_are_not_lost(raw_server: RawServers, connect: Connect) -> None:
    """Events and the end of the connection in one go: what stood in the buffer as it broke is delivered."""
    events = b"".join(raw_server.chunk(raw_server.event(f"{i} ")) for i in range(500))
    server = await raw_server([raw_server.stream_head() + events, "fin"])
    tokens: list[str] = []

    with pytest.raises(IncompleteStreamError):
        async for token in connect(server.base_url).stream("Hi"):
            tokens.append(token)  # noqa: PERF401 - it raises

    assert len(tokens) == 500


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


async def test_failed_stream_stays_failed(sim: Simulator, client: AnyFast) -> None:
    """After its error a stream does not pass for complete: reading on raises again."""
    sim.cut(after=3)
    stream = await client.stream("Hi")
    with pytest.raises(IncompleteStreamError):
        await stream.drain()

    with pytest.raises(IncompleteStreamError):
        await stream.drain()


# -- other bodies ----------------------------------------------------------------------------------------------------


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
        "pings": [raw_server.stream_head(), *ping * 40],
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
    """Tokens 40 ms apart never meet an idle clock of 100 ms, however long the whole takes."""
    beat: list[Any] = [raw_server.chunk(raw_server.event("x")), ("sleep", 0.04)]
    end = raw_server.chunk(raw_server.event(finish="stop")) + raw_server.LAST
    server = await raw_server([raw_server.stream_head(), *beat * 6, end])

    completion = await connect(server.base_url, timeouts=Timeouts(idle=0.1)).stream("Hi").drain()

    assert completion.text == "xxxxxx"


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
    monkeypatch.setattr(_stream, "MAX_BUFFER", 2**16)
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
    raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB pushed at a reader that sleeps: our buffer stops near its limit, and the server waits."""
    monkeypatch.setattr(_stream, "MAX_BUFFER", 2**20)
    piece = raw_server.chunk(raw_server.event("x" * 65_000))
    server = await raw_server([raw_server.stream_head(), ("flood", piece, 1000)])
    client = connect(server.base_url)

    async with client.stream("Hi") as stream:
        await until(lambda: bool(server.requests) and server.requests[0].written > 0)
        last = -1
        while server.requests[0].written != last:
            last = server.requests[0].written
            await asyncio.sleep(0.03)
        reception = stream._reception
        assert reception is not None
        buffered, written = reception._buffered, server.requests[0].written
        size = 0
        async for token in stream:
            size += len(token)
            if size > 20 * 2**20:
                break

    assert buffered < 3 * 2**20
    assert written < 20 * 2**20  # the rest waits in the kernel's buffers
    assert size > 20 * 2**20  # and goes on when it is read


# -- leaving early ---------------------------------------------------------------------------------------------------


LEAVING = ["break", "exception", "aclose", "cancel", "cancel while waiting", "dropped"]


@pytest.mark.parametrize("how", LEAVING)
async def test_leaving_early_closes_the_connection(raw_server: RawServers, connect: Connect, how: str) -> None:
    """However a stream is left, the server sees its connection end, and the place is free."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"])
    client = connect(server.base_url, limits=Limits(concurrency=1))

    async def leave() -> None:
        match how:
            case "break":
                async with client.stream("Hi") as stream:
                    async for _ in stream:
                        break
            case "exception":
                with suppress(KeyError):
                    async with client.stream("Hi") as stream:
                        raise KeyError
            case "aclose":
                stream = await client.stream("Hi")
                await stream.aclose()
                await stream.aclose()
            case "cancel":
                async with client.stream("Hi"):
                    await asyncio.get_running_loop().create_future()
            case "cancel while waiting":
                await (await client.stream("Hi")).drain()
            case "dropped":
                await drop(client)

    task = asyncio.create_task(leave())
    if how.startswith("cancel"):
        await until(lambda: bool(server.requests))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task

    await asyncio.wait_for(server.requests[0].gone.wait(), 1)
    await until(lambda: (client._shared.gate.in_flight, connections_in_use(client)) == (0, 0))
    assert client._shared.running._members == set()


async def drop(client: AnyFast) -> None:
    streams = [await client.stream("Hi")]
    assert await anext(streams[0]) == "a"
    with pytest.warns(ResourceWarning, match="dropped") as caught:
        collect(streams)
    assert len(caught) == 1


def collect(dropped: list[ChatStream]) -> None:
    """Drop the streams, reference cycles included."""
    dropped.clear()
    gc.collect()


async def test_dropped_stream_is_closed_where_warnings_are_errors(raw_server: RawServers, connect: Connect) -> None:
    """``-W error`` turns the warning into an error that nobody sees; the connection is closed all the same."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"])
    client = connect(server.base_url)
    stream = await client.stream("Hi")
    ignored: list[Any] = []

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", ignored.append)
        warnings.simplefilter("error")
        del stream
        gc.collect()

    assert len(ignored) == 1
    await asyncio.wait_for(server.requests[0].gone.wait(), 0.2)


async def test_stream_closed_while_it_opens(raw_server: RawServers, connect: Connect) -> None:
    """``aclose`` from another task before there is content: nothing stays open once it has come."""
    ready = asyncio.Event()

    async def waits(*_: object) -> None:
        await ready.wait()

    script: list[Any] = [raw_server.stream_head(), waits, raw_server.chunk(raw_server.event("a")), "hang"]
    server = await raw_server(script)
    client = connect(server.base_url)
    stream = client.stream("Hi")
    opening = asyncio.create_task(stream.drain())
    await until(lambda: bool(server.requests))

    await stream.aclose()
    ready.set()
    with pytest.raises(ClientStateError):
        await asyncio.wait_for(opening, 0.2)

    await asyncio.wait_for(server.requests[0].gone.wait(), 0.2)


async def test_second_reader_is_refused(raw_server: RawServers, connect: Connect) -> None:
    """One reader at a time: the second is told so, the first goes on."""
    script: list[Any] = [raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), ("sleep", 0.03)]
    end = raw_server.chunk(raw_server.event(finish="stop")) + raw_server.LAST
    server = await raw_server([*script, end])

    async with connect(server.base_url).stream("Hi") as stream:
        assert await anext(stream) == "a"
        first = asyncio.create_task(stream.drain())
        await asyncio.sleep(0)
        with pytest.raises(ClientStateError, match="one reader"):
            await anext(stream)
        assert (await first).text == "a"


async def test_two_readers_at_once_send_one_request(sim: Simulator, client: AnyFast) -> None:
    """Two tasks that make the first step together: one request is sent, one of them is refused."""
    stream = client.stream("Hi")

    results = await asyncio.gather(stream.drain(), stream.drain(), return_exceptions=True)

    assert len(sim.requests) == 1
    assert sorted(type(result).__name__ for result in results) == ["ChatCompletion", "ClientStateError"]


async def test_reading_after_close(client: AnyFast) -> None:
    """A stream that was closed before its end is not read on, not even what had arrived."""
    stream = await client.stream("Hi")
    assert await anext(stream)
    await asyncio.sleep(0.01)

    await stream.aclose()

    with pytest.raises(ClientStateError, match="closed"):
        await anext(stream)


async def test_closed_before_it_was_opened(sim: Simulator, client: AnyFast) -> None:
    """A stream that was closed unopened cannot be opened; nothing is sent."""
    stream = client.stream("Hi")
    await stream.aclose()

    with pytest.raises(ClientStateError, match="closed"):
        await stream.drain()

    assert sim.requests == []


async def test_body_that_stays_open_after_done_is_not_waited_for(raw_server: RawServers, connect: Connect) -> None:
    """``[DONE]`` ends the answer; a server that keeps the body open costs a moment and its connection."""
    server = await raw_server([raw_server.stream("all").removesuffix(raw_server.LAST), "hang"])
    began = time.monotonic()

    assert (await connect(server.base_url).stream("Hi").drain()).text == "all"

    assert time.monotonic() - began < 0.3
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)


async def test_left_stream_is_written_down(raw_server: RawServers, connect: Connect) -> None:
    """A stream that was left stands in its trace as left, and as billed."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"])

    async with connect(server.base_url).stream("Hi") as stream:
        await anext(stream)

    assert isinstance(stream.completion, ChatCompletion)
    assert stream.completion.trace is not None
    assert [(a.outcome, a.billed) for a in stream.completion.trace.attempts] == [("left", "yes")]


async def test_connection_error_while_opening_is_ours(raw_server: RawServers, connect: Connect) -> None:
    """A connection that dies before the head is the same error as without streaming."""
    server = await raw_server(["rst"])

    with pytest.raises(APIConnectionError) as caught:
        await connect(server.base_url, retry=ONCE).stream("Hi").drain()

    assert not isinstance(caught.value, IncompleteStreamError)
