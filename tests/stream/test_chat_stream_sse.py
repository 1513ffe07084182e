"""``ChatStream.sse``: a stream passed on to a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import AnyFast, AnyFastError, ChatStream
from anyfast_async._core.sse import Decoder
from anyfast_async._core.stream.fold import Fold
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from conftest import Connect, RawServers


async def passed_on(stream: ChatStream) -> list[bytes]:
    """Return the data of the events that a browser gets."""
    decoder = Decoder()
    return [event for piece in [data async for data in stream.sse()] for event in decoder.feed(piece)]


async def test_browser_gets_the_whole_answer(client: AnyFast) -> None:
    """The events amount to the same completion as the stream, and end with ``[DONE]``."""
    async with client.stream("Tell me a story") as stream:
        *events, last = await passed_on(stream)

    fold = Fold()
    for event in events:
        fold.add(json.loads(event))
    assert b"[DONE]" == last
    assert stream.completion == fold.completion()
    assert "stop" == stream.completion.finish_reason


async def test_fields_that_are_not_known_go_through(raw_server: RawServers, connect: Connect) -> None:
    """What the gateway sends and this package does not know reaches the browser as it is."""
    event = raw_server.event("Hi", thought_signature="s", more={"null": None})
    end = raw_server.event(finish="stop")
    body = b"".join(map(raw_server.chunk, (event, end, raw_server.DONE)))
    server = await raw_server([raw_server.stream_head() + body + raw_server.LAST])

    async with connect(server.base_url).stream("x") as stream:
        *events, _ = await passed_on(stream)

    assert [json.loads(sent.removeprefix(b"data: ")) for sent in (event, end)] == list(map(json.loads, events))


@pytest.mark.parametrize("cut", ["transport", "no finish"])
async def test_late_failure_is_one_error_event(raw_server: RawServers, connect: Connect, cut: str) -> None:
    """What arrived is passed on, then one event with the error in OpenAI's shape, and no ``[DONE]``."""
    sent = [raw_server.event("Hel"), raw_server.event("lo")]
    body = raw_server.stream_head() + b"".join(map(raw_server.chunk, sent))
    ends: dict[str, list[Any]] = {
        "transport": [body, "rst"],
        "no finish": [body + raw_server.chunk(raw_server.DONE) + raw_server.LAST],
    }
    server = await raw_server(ends[cut])

    async with connect(server.base_url).stream("x") as stream:
        *events, last = map(json.loads, await passed_on(stream))
        with pytest.raises(AnyFastError) as failed:
            await stream.drain()

    assert ["Hel", "lo"] == [event["choices"][0]["delta"]["content"] for event in events]
    assert failed.value.kind == last["error"]["type"]
    assert {"message", "type", "param", "code"} == last["error"].keys()


async def test_it_is_over_after_an_error(sim: Simulator, client: AnyFast) -> None:
    """After the error event there is no other, however often it is asked for."""
    sim.cut(after=2)
    async with client.stream("Tell me a story") as stream:
        events = stream.sse()
        assert [event async for event in events]
        assert [] == [event async for event in events]
