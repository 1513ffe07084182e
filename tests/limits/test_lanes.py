"""Lanes by name: shares of what is limited, places that are kept free, and no cost for those who name none."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Any

import pytest

from anyfast_async import AnyFast, ConfigurationError, Limits
from anyfast_async._core.limits.learned_limits import Places
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.lanes import Entrance
from anyfast_async._limits.scope import Permit, Scope

pytestmark = pytest.mark.virtual

LONG = bool(os.environ.get("ANYFAST_LONG"))
KEY = "sk-test-0123456789"


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


def now() -> float:
    return asyncio.get_running_loop().time()


def lane(gate: Gate, name: str, **settings: Any) -> Entrance:
    found = gate.entrance(gate.named(name, settings))
    assert isinstance(found, Entrance)
    return found


async def enter(door: Gate | Entrance, scope: Scope, tokens: float = 0.0) -> Permit:
    return door.admit(scope, tokens, now()) or await door.queue(scope, tokens)


async def call(gate: Gate, door: Gate | Entrance, scope: Scope, seconds: float, used: float = 100.0) -> float:
    """Make a call; return how long it waited."""
    began = now()
    permit = await enter(door, scope, used if scope.tokens is not None else 0.0)
    waited = now() - began
    await asyncio.sleep(seconds)
    gate.settle(permit, used)
    gate.release(permit)
    return waited


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# -- a chat beside a batch -------------------------------------------------------------------------------------------


async def beside(rows: int, **chat: Any) -> tuple[float, list[float]]:
    """Run a batch of *rows* with one chat call a second beside it; return its seconds and what the chat waited."""
    gate, chance, waits = Gate(Limits(concurrency=64)), random.Random(7), list[float]()
    scope, batch = gate.scope("a"), lane(gate, "batch", priority=1)
    items = iter(range(rows))

    async def work() -> None:
        for _ in items:
            await call(gate, batch, scope, chance.uniform(0.5, 1.5))

    async def talk() -> None:
        waits.append(await call(gate, lane(gate, "chat", **chat), scope, chance.uniform(0.5, 1.5)))

    async def chatting(tasks: asyncio.TaskGroup) -> None:
        while True:
            await asyncio.sleep(1.0)
            tasks.create_task(talk())

    async with asyncio.TaskGroup() as tasks:
        talking = tasks.create_task(chatting(tasks)) if chat else None
        async with asyncio.TaskGroup() as workers:
            for _ in range(64):
                workers.create_task(work())
        took = now()
        if talking is not None:
            talking.cancel()
    return took, waits


@pytest.mark.reliability
@pytest.mark.parametrize(("chat", "most"), [({"weight": 4}, 0.100), ({"weight": 1}, 0.100), ({"reserve": 2}, 0.010)])
async def test_a_chat_hardly_waits_beside_a_batch(chat: dict[str, Any], most: float) -> None:
    """Of a chat call a second beside a batch, 64 in flight, 99 % wait for less than 100 ms, with a reserve 10 ms.

    The batch keeps nine tenths of its pace, less the places that are kept free.
    """
    rows = 10_000 if LONG else 1_500

    took, waits = await beside(rows, **chat)

    assert len(waits) >= rows // 100
    assert quantile(waits[2:], 0.99) <= most  # the batch begins with all places at once
    assert rows / took >= 0.9 * 64


async def test_without_lanes_the_chat_waits_with_all() -> None:
    """In one lane it is the order of arrival that counts: the same chat waits for about a second."""
    gate = Gate(Limits(concurrency=4))
    scope = gate.scope("a")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(40):
            tasks.create_task(call(gate, gate, scope, 1.0))
        await asyncio.sleep(0)
        late = tasks.create_task(call(gate, gate, scope, 1.0))

    assert late.result() == pytest.approx(10.0)


# -- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "workers"),
    [(Limits(concurrency=8), 16), (Limits(concurrency=900, tokens_per_minute=60_000), 400)],
    ids=["places", "tokens"],
)
async def test_lanes_share_by_tokens(limits: Limits, workers: int) -> None:
    """Three times the weight gets three times the tokens, though its calls are nine times as large."""
    gate, took = Gate(limits), Counter[str]()
    scope = gate.scope("a")

    async def work(name: str, door: Entrance, used: float) -> None:
        while now() < 300:
            waited = await call(gate, door, scope, 1.0, used)
            if waited and now() < 300:  # the first minute is for whoever comes, the last for who is left
                took[name] += int(used)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(work("small", lane(gate, "small"), 100.0))
            tasks.create_task(work("large", lane(gate, "large", weight=3), 900.0))

    assert took["large"] / took["small"] == pytest.approx(3.0, rel=0.15)
    assert gate.in_flight == gate.queued == 0


async def test_those_without_a_lane_share_with_lanes() -> None:
    """Calls that name no lane are one lane among the others, of weight 1."""
    gate, took = Gate(Limits(concurrency=4)), Counter[str]()
    scope = gate.scope("a")

    async def work(name: str, door: Gate | Entrance) -> None:
        while now() < 300:
            await call(gate, door, scope, 1.0)
            took[name] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(work("nameless", gate))
            tasks.create_task(work("named", lane(gate, "named")))

    assert took["named"] / took["nameless"] == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("own_lane", [False, True])
async def test_a_large_request_waits_for_its_fair_time(own_lane: bool) -> None:
    """A request of 90 units among those of 5 waits until 90 units are free, in their lane or in one of its own."""
    gate = Gate(Limits(tokens_per_minute=6000))  # 100 a second
    scope, small = gate.scope("a"), lane(gate, "small")
    waits: dict[str, float] = {}

    async def trickle() -> None:
        while now() < 130:
            await call(gate, small, scope, 0.01, 5.0)

    async def large() -> None:
        await asyncio.sleep(100.0)
        waits["large"] = await call(gate, lane(gate, "large") if own_lane else small, scope, 0.01, 90.0)

    async def spread() -> None:
        """Use the minute up evenly, so that 100 units a second come free."""
        while now() < 60:
            await call(gate, gate, scope, 0.0, 5.0)
            await asyncio.sleep(0.05)

    await spread()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(trickle())
        tasks.create_task(large())

    ahead = 5 if own_lane else 8 * 5
    assert waits["large"] <= 1.1 * (90 + ahead) / 100 + 0.1  # what is taken is counted by tenths of a second


# -- places that are kept free ---------------------------------------------------------------------------------------


async def test_reserved_places_stay_free_for_their_lane() -> None:
    """Others get all places but those; the lane finds them, and as many of the others' as come free."""
    gate = Gate(Limits(concurrency=5))
    scope, chat = gate.scope("a"), lane(gate, "chat", reserve=2)
    taken = [gate.admit(scope, 0.0, now()) for _ in range(5)]
    assert [permit is not None for permit in taken] == [True, True, True, False, False]

    first, second = chat.admit(scope, 0.0, now()), chat.admit(scope, 0.0, now())

    assert first is not None
    assert second is not None
    assert chat.admit(scope, 0.0, now()) is None
    gate.release(first)
    assert gate.admit(scope, 0.0, now()) is None  # it is kept free again
    third = chat.admit(scope, 0.0, now())
    assert third is not None
    for permit in (*taken[:3], second, third):
        assert permit is not None
        gate.release(permit)
    assert (gate.in_flight, gate.places) == (0, 3)


async def test_reserve_holds_within_what_was_learned_of_the_gateway() -> None:
    """Where refusals have shown that fewer may be in flight, the places are kept free among those."""
    gate = Gate(Limits(concurrency=64))
    scope, chat = gate.scope("a"), lane(gate, "chat", reserve=2)
    chat.line(scope)
    scope.throttle.places = Places(4)
    taken = [gate.admit(scope, 0.0, now()) for _ in range(4)]
    assert [permit is not None for permit in taken] == [True, True, False, False]

    own = [chat.admit(scope, 0.0, now()) for _ in range(3)]

    assert [permit is not None for permit in own] == [True, True, False]
    for permit in (*taken, *own):
        if permit is not None:
            gate.release(permit)
    assert scope.throttle.kept == 2


async def test_one_place_is_always_for_the_others() -> None:
    """However small the gateway's limit turns out to be, who has no reserve is not shut out."""
    gate = Gate(Limits(concurrency=64))
    scope = gate.scope("a")
    lane(gate, "chat", reserve=8).line(scope)
    scope.throttle.places = Places(1)

    permit = gate.admit(scope, 0.0, now())

    assert permit is not None
    gate.release(permit)


async def test_a_lane_is_one_whoever_names_it() -> None:
    """Naming it again changes what is given and keeps the rest, for all who are in it."""
    gate = Gate(Limits(concurrency=10))
    lane(gate, "chat", weight=4, reserve=2)
    assert gate.places == 8

    lane(gate, "chat", reserve=3)

    assert gate.places == 7
    assert gate.lanes[1].share is not None
    assert gate.lanes[1].share.weight == 4
    lane(gate, "chat")
    assert (gate.places, len(gate.lanes)) == (7, 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lane": ""}, "Lane.name must be a text"),
        ({"lane": 3}, "Lane.name must be a text"),
        ({"weight": 4}, "weight= is of a lane"),
        ({"lane": "x", "weight": 0}, "Lane.weight must be 0.001 to 1000, not 0"),
        ({"lane": "x", "priority": 10}, "Lane.priority must be 0 to 9, not 10"),
        ({"lane": "x", "priority": 0.5}, "Lane.priority must be 0 to 9, not 0.5"),
        ({"lane": "x", "reserve": -1}, "Lane.reserve must be a whole number from 0 up, not -1"),
        ({"lane": "x", "reserve": 4}, r"would keep 4, and other lanes keep 0, of 4 in all"),
    ],
)
async def test_what_cannot_be_is_said(settings: dict[str, Any], said: str) -> None:
    """Settings that cannot be are refused with their name, their value and what is allowed; no lane comes of them."""
    client = AnyFast(KEY, base_url="http://127.0.0.1:1/v1", limits=Limits(concurrency=4))

    with pytest.raises(ConfigurationError, match=said):
        client.with_options(**settings)

    assert len(client._shared.gate.lanes) == 1


async def test_who_was_cancelled_gives_back_what_its_lane_was_charged() -> None:
    """A call that is cancelled in the tick of its turn leaves no trace in its lane, and no place is lost."""
    gate = Gate(Limits(concurrency=1))
    scope, chat = gate.scope("a"), lane(gate, "chat", reserve=0)
    permit = await enter(chat, scope)
    waiting = asyncio.create_task(enter(chat, scope))
    await asyncio.sleep(0)

    gate.release(permit)
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    share = gate.lanes[1].share
    assert share is not None
    assert (gate.in_flight, gate.lanes[1].in_flight, share.tag) == (0, 0, 0.0)


async def test_a_loop_that_was_left_leaves_nobody_in_a_lane() -> None:
    """After a change of loops the places of a lane are free and kept."""
    gate = Gate(Limits(concurrency=8))
    scope, chat = gate.scope("a"), lane(gate, "chat", reserve=2)
    await enter(chat, scope)
    assert gate.places == 7

    gate.reset()

    assert (gate.places, gate.lanes[1].in_flight, scope.throttle.kept) == (6, 0, 2)
