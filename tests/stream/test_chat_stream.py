"""One streamed answer: nothing that arrived is lost, nothing cut short passes for complete, nothing stays open."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    APIConnectionError,
    BadRequestError,
    ChatCompletion,
    ChatCompletionChunk,
    ChatStream,
    ClientStateError,
    IncompleteStreamError,
    Limits,
    RateLimitError,
    RetryPolicy,
)
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from conftest import Connect, RawServers, Until

ONCE = RetryPolicy(attempts=1)


def connections_in_use(client: AnyFast) -> int:
    return client._shared.transport.in_use


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
    """Statuses, and an error event before any content, are met with another attempt."""
    sim.fail(502)
    sim.fail(500, after=1)

    completion = await client.stream("Hi").drain()

    assert completion.trace is not None
    assert [attempt.outcome for attempt in completion.trace.attempts] == ["server", "server", "ok"]
    assert len(sim.requests) == 3


async def test_cut_after_the_head_of_a_success_is_not_retried(sim: Simulator, client: AnyFast) -> None:
    """The gateway was at work by then: also before any content the error comes out, and may have been billed."""
    sim.cut(after=1)

    with pytest.raises(IncompleteStreamError) as caught:
        await client.stream("Hi").drain()

    assert (1, "maybe") == (len(sim.requests), caught.value.billed)
    assert [("incomplete", 200, "maybe")] == [(a.outcome, a.status_code, a.billed) for a in caught.value.attempts]


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


async def test_failed_stream_stays_failed(sim: Simulator, client: AnyFast) -> None:
    """After its error a stream does not pass for complete: reading on raises again."""
    sim.cut(after=3)
    stream = await client.stream("Hi")
    with pytest.raises(IncompleteStreamError):
        await stream.drain()

    with pytest.raises(IncompleteStreamError):
        await stream.drain()


# -- leaving early ---------------------------------------------------------------------------------------------------


LEAVING = ["break", "exception", "aclose", "cancel", "cancel while waiting", "dropped"]


@pytest.mark.parametrize("how", LEAVING)
async def test_leaving_early_closes_the_connection(
    until: Until, raw_server: RawServers, connect: Connect, how: str
) -> None:
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
    assert client._shared.in_flight.members == set()


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


async def test_stream_closed_while_it_opens(until: Until, raw_server: RawServers, connect: Connect) -> None:
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


async def test_left_stream_is_written_down(raw_server: RawServers, connect: Connect) -> None:
    """A stream that was left stands in its trace as left and perhaps billed, and is counted so."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"])
    client = connect(server.base_url)

    async with client.stream("Hi") as stream:
        await anext(stream)

    assert isinstance(stream.completion, ChatCompletion)
    assert stream.completion.trace is not None
    assert [(a.outcome, a.billed) for a in stream.completion.trace.attempts] == [("left", "maybe")]
    assert client.stats().maybe_billed == 1


async def test_connection_error_while_opening_is_ours(raw_server: RawServers, connect: Connect) -> None:
    """A connection that dies before the head is the same error as without streaming."""
    server = await raw_server(["rst"])

    with pytest.raises(APIConnectionError) as caught:
        await connect(server.base_url, retry=ONCE).stream("Hi").drain()

    assert not isinstance(caught.value, IncompleteStreamError)


async def test_usage_of_a_stream_that_was_left(
    raw_server: RawServers, connect: Connect, sim: Simulator, client: AnyFast
) -> None:
    """Left before the gateway reported it, usage is an estimate and says so; what had arrived is the gateway's."""
    server = await raw_server([raw_server.stream_head() + raw_server.chunk(raw_server.event("one two ")), "hang"])
    found = []
    for leaver in (connect(server.base_url), client):
        async with leaver.stream("Hi") as stream:
            async for _ in stream:
                await asyncio.sleep(0.02)
                break
        assert stream.completion.usage is not None
        found.append((stream.completion.usage_source, (stream.completion.usage.completion_tokens or 0) > 2))

    assert [("estimate", False), ("gateway", True)] == found
    assert "gateway" == (await client.complete("Hi", via_stream=True)).usage_source
