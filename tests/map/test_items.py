"""What a map does with its items: bodies bounded in bytes, answers found in a journal or sent for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from anyfast_async import ChatRequest, UserMessage
from anyfast_async._map import items
from anyfast_async._map.items import Room


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task and no descriptor outlives its test."""


def request_of(size: int) -> ChatRequest:
    return ChatRequest("x" * size, model="gemini-2.5-flash")


# -- bytes in flight -------------------------------------------------------------------------------------------------


async def test_bodies_are_bounded() -> None:
    """While too many bytes are held nothing is encoded; whoever waited longest is next, and is let in by a leaver."""
    room = Room(1000)
    order: list[int] = []

    async def use(number: int) -> None:
        body = await room.encoded(request_of(600), stream=False)
        order.append(number)
        assert room.held < 1000 + len(body)
        await asyncio.sleep(0)
        room.leave(body)

    await asyncio.gather(*(use(number) for number in range(10)))

    assert (list(range(10)), 0) == (order, room.held)


async def test_a_body_larger_than_the_bound_goes_alone() -> None:
    """It is not refused: it waits until there is room, and the next one waits for it."""
    room = Room(10)
    first = await room.encoded(request_of(100), stream=False)
    second = asyncio.create_task(room.encoded(request_of(100), stream=False))
    await asyncio.sleep(0)
    assert not second.done()

    room.leave(first)

    room.leave(await second)
    assert 0 == room.held


async def test_large_bodies_are_encoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How large they are shows only then: were they encoded together, they could exceed the bound by all of them."""
    encoding = peak = 0

    async def slow(request: ChatRequest, *, stream: bool) -> bytes:
        nonlocal encoding, peak
        encoding += 1
        peak = max(peak, encoding)
        await asyncio.sleep(0)
        encoding -= 1
        return b"x" * 100

    monkeypatch.setattr(items, "encoded", slow)
    room = Room(10_000)

    await asyncio.gather(*(room.encoded(request_of(1), stream=False) for _ in range(20)))

    assert (1, 2000) == (peak, room.held)


@pytest.mark.parametrize("given", [False, True], ids=["waiting", "in the tick in which it was let in"])
async def test_who_is_cancelled_lets_the_next_one_in(given: bool) -> None:
    """A turn that nobody takes any more is passed on."""
    room = Room(10)
    first = await room.encoded(request_of(100), stream=False)
    second, third = (asyncio.create_task(room.encoded(request_of(100), stream=False)) for _ in range(2))
    await asyncio.sleep(0)

    if given:
        room.leave(first)
    second.cancel()
    if not given:
        room.leave(first)

    room.leave(await third)
    assert (True, 0) == (second.cancelled(), room.held)


async def test_a_request_that_cannot_be_encoded_holds_nothing() -> None:
    """Its error comes out, and the next one is encoded."""
    room = Room(10)

    with pytest.raises(ValueError, match="cannot send the file"):
        await room.encoded(ChatRequest(UserMessage([Path("/nowhere.pdf")]), model="x"), stream=False)

    room.leave(await room.encoded(request_of(1), stream=False))
    assert 0 == room.held
