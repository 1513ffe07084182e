"""The clocks of a stream, in virtual time: what stops them and what does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from anyfast_async import FirstTokenTimeout, IdleTimeout, Timeouts
from anyfast_async._clocks.clocks import STOOD_STILL
from anyfast_async._core.stream.chunk_template import payload_of
from anyfast_async._stream.receiver import Receiver

pytestmark = pytest.mark.virtual


def event(text: str | None = None, finish: str | None = None, **delta: Any) -> bytes:
    """One event with a delta."""
    delta |= {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


ROLE = event("", role="assistant")
DONE = event(finish="stop") + b"data: [DONE]\n\n"

Script = Sequence["bytes | float"]
_PING: list[bytes | float] = [b": ping\n\n", 10.0, ROLE]
PINGS = 60 * _PING


def receiver(script: Script, timeouts: Timeouts = Timeouts()) -> Receiver:  # noqa: B008 - frozen
    """A receiver whose body is *script*: bytes, and seconds of silence."""
    may_go_on = asyncio.Event()
    may_go_on.set()

    async def play(sink: Any) -> None:
        for step in script:
            if isinstance(step, bytes):
                await may_go_on.wait()
                sink.feed(step)
            else:
                await asyncio.sleep(step)
        sink.eof()

    loop = asyncio.get_running_loop()
    playing: list[asyncio.Task[None]] = []
    exchange: Any = SimpleNamespace(
        headers={},
        sent_at=loop.time(),
        hide=str,
        push=lambda sink: playing.append(loop.create_task(play(sink))),
        pause=may_go_on.clear,
        resume=may_go_on.set,
        close=lambda: [task.cancel() for task in playing],
    )
    permit: Any = None
    made = Receiver(exchange, permit, timeouts, None)
    made.start()
    return made


async def read(made: Receiver, pause: float = 0.0) -> list[Any]:
    """Take every event, with a pause after each."""
    payloads = []
    while True:
        while made.items:
            payloads.append(payload_of(made.items.popleft()))
            if made.paused:
                made.relieve()
            await asyncio.sleep(pause)
        if made.ended:
            break
        await made.news()
    if made.error is not None:
        raise made.error
    return payloads


async def fails_after(made: Receiver, work: Callable[[], Awaitable[Any]], kind: type[BaseException]) -> float:
    """Return when *work* failed with *kind*."""
    start = asyncio.get_running_loop().time()
    with pytest.raises(kind):
        await work()
    made.close()
    return asyncio.get_running_loop().time() - start


async def test_a_thinking_model_may_be_silent_for_minutes() -> None:
    """A role chunk, 150 s of silence, then tokens: fine with the defaults."""
    made = receiver([ROLE, 150.0, event("a"), 100.0, event("b"), DONE])
    await made.opened()
    assert 150.0 == made.first_content
    assert len(await read(made)) == 4


async def test_comments_and_role_chunks_do_not_stop_the_first_token_clock() -> None:
    """Keep-alive comments every 10 s, and role chunks, are no token: 300 s after sending it is over."""
    made = receiver([ROLE, *PINGS])
    assert 300.0 == await fails_after(made, made.opened, FirstTokenTimeout)


async def test_comments_do_not_stop_the_idle_clock() -> None:
    """Nor do they count between two tokens: 120 s after the last token it is over."""
    made = receiver([event("a"), 7.0, event("b"), *PINGS])
    await made.opened()
    assert 127.0 == await fails_after(made, lambda: read(made), IdleTimeout)


async def test_reasoning_and_tool_calls_are_content() -> None:
    """What the user waits for is not only text."""
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}
    made = receiver([event(reasoning_content="hm"), 100.0, event(tool_calls=[call]), 100.0, DONE])
    await made.opened()
    assert 0.0 == made.first_content
    assert len(await read(made)) == 3


async def test_a_slow_reader_never_times_out() -> None:
    """The clock is the server's: a reader that takes an hour per token finds everything there."""
    made = receiver([event("a"), 1.0, event("b"), 1.0, event("c"), DONE])
    await made.opened()
    assert len(await read(made, pause=3600.0)) == 4


async def test_time_in_which_the_buffer_was_full_is_not_the_servers() -> None:
    """While the reader does not read and the buffer is full, the idle clock stands still."""
    large = event("x" * 3_000_000)
    made = receiver([large, large, large, large, 100.0, event("y"), DONE])
    await made.opened()
    assert len(await read(made, pause=500.0)) == 6


async def test_room_made_as_the_clock_rings_is_in_time() -> None:
    """A reader that makes room in the very turn in which the idle clock rings has not made the server late."""
    large = event("x" * 3_000_000)
    made = receiver([large, large, large, large, event("y"), DONE])
    await made.opened()
    assert len(await read(made, pause=120.0)) == 6


@pytest.mark.parametrize("clock", ["first_token", "idle"])
async def test_none_switches_a_clock_off(clock: str) -> None:
    """With None a stream may be silent for a day."""
    day = 86_400.0
    script: Script = [day, event("a"), DONE] if clock == "first_token" else [event("a"), day, event("b"), DONE]
    made = receiver(script, Timeouts(**{clock: None}))
    await made.opened()
    assert len(await read(made)) in (2, 3)


async def fails_at(made: Receiver, kind: type[BaseException]) -> float:
    """Return when reading failed with *kind*."""
    with pytest.raises(kind):
        await read(made)
    made.close()
    return asyncio.get_running_loop().time()


async def test_time_in_which_the_process_stood_still_is_given_once_more() -> None:
    """A clock that rings far too late shows a stopped process: the answer gets its time again, once."""
    loop: Any = asyncio.get_running_loop()
    for stops, wanted in ((1, 120.0), (2, 0.0)):
        made = receiver([event("a"), 9999.0, DONE])
        await made.opened()
        reading = asyncio.create_task(fails_at(made, IdleTimeout))
        for _ in range(stops):
            await asyncio.sleep(1)
            loop.now += 120 + STOOD_STILL
        stopped = loop.time()
        assert stopped + wanted == await reading


async def test_content_makes_up_for_a_stop() -> None:
    """A second stop, after content has come again, is forgiven like the first."""
    loop: Any = asyncio.get_running_loop()
    made = receiver([event("a"), 126.0, event("b"), 126.0, event("c"), DONE])
    await made.opened()
    reading = asyncio.create_task(read(made))
    for _ in range(2):
        await asyncio.sleep(0.5)
        loop.now += 120 + STOOD_STILL
        await asyncio.sleep(0.6)
    assert 4 == len(await reading)
