"""Lines of waiting calls: how long one more will wait, and who has not the time for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from anyfast_async import AutoConcurrency, Limits, QueueFullError
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._core.usage import Used
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.lanes import Entrance
from anyfast_async._limits.scope import Permit, Scope

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def call(gate: Gate, scope: Scope, within: float | None = None) -> None:
    permit: Permit = gate.admit(scope, 0.0, now()) or await gate.queue(scope, within=within)
    await asyncio.sleep(1.0)
    scope.quickest = 1.0
    gate.release(permit)


async def test_who_has_not_the_time_to_wait_is_told_at_once() -> None:
    """Once it is seen how fast a line gets on, a call that would wait longer than it has is refused, not queued."""
    gate = Gate(Limits(concurrency=10))
    scope = gate.scope("a")
    tasks = [asyncio.create_task(call(gate, scope)) for _ in range(100)]
    await asyncio.sleep(2.5)  # 70 wait, ten a second go

    began = now()
    with pytest.raises(QueueFullError, match=r"70 calls are waiting already, for about .* this one has 3 s") as found:
        await gate.queue(scope, within=3.0)

    assert now() == began
    assert found.value.retryable
    assert found.value.retry_after == pytest.approx(3.0, abs=2.0)
    assert gate.queued == 70
    await call(gate, scope, within=9.0)
    await asyncio.gather(*tasks)


async def test_nobody_is_refused_while_nobody_knows() -> None:
    """Before enough have gone, a call is queued however little time it has: its clock will tell."""
    gate = Gate(Limits(concurrency=1))
    scope = gate.scope("a")
    tasks = [asyncio.create_task(call(gate, scope)) for _ in range(3)]
    await asyncio.sleep(0)

    await call(gate, scope, within=0.001)

    await asyncio.gather(*tasks)


async def test_the_minute_is_certain() -> None:
    """What requests_per_minute allows is known to the second, however many wait before."""
    gate = Gate(Limits(requests_per_minute=10))
    scope = gate.scope("a")
    tasks = [asyncio.create_task(call(gate, scope)) for _ in range(25)]
    await asyncio.sleep(1.0)

    assert scope.lines[0].expected(now(), 0.0) == pytest.approx(119.0, abs=0.5)
    with pytest.raises(QueueFullError) as found:
        await gate.queue(scope, within=30.0)
    assert found.value.retry_after == pytest.approx(90.0, abs=1.0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_hold_is_certain() -> None:
    """A call that has less time than the gateway asks for is refused at once."""
    gate = Gate(Limits())
    scope = gate.scope("a")
    permits = [await gate.acquire(scope) for _ in range(2)]
    for permit in permits:
        gate.throttled(permit, Refusal(30.0, 0.0), Suspicion())
        gate.release(permit)

    with pytest.raises(QueueFullError) as found:
        await gate.queue(scope, within=10.0)

    assert found.value.retry_after == pytest.approx(20.0, abs=1.0)


async def test_what_was_idle_is_not_taken_for_slow() -> None:
    """The pace of a line counts from when calls began to wait: a quiet hour says nothing."""
    gate = Gate(Limits(concurrency=2))
    scope = gate.scope("a")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(call(gate, scope))
    await asyncio.sleep(3600)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(call(gate, scope))
        await asyncio.sleep(5.5)

        assert scope.lines[0].expected(now(), 0.0) == pytest.approx(4.5, abs=1.5)


async def test_a_hold_says_nothing_of_what_comes_after() -> None:
    """A line that got on quickly, and was held for a minute, gets on quickly again: nobody is refused for the hold."""
    gate = Gate(Limits(requests_per_minute=10_000))
    scope = gate.scope("a")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(200):  # 160 a second
            tasks.create_task(call(gate, scope))
        await asyncio.sleep(0.5)
        scope.throttle.held_until = now() + 60.0
        await asyncio.sleep(1.0)
        with pytest.raises(QueueFullError):
            await gate.queue(scope, within=30.0)
        await asyncio.sleep(59.05)
        assert gate.queued > 10

        tasks.create_task(call(gate, scope, within=5.0))
        waits = scope.lines[0].expected(now(), 0.0)

    assert waits < 5.0


async def test_a_minute_that_is_used_up_says_nothing_of_what_comes_after() -> None:
    """Once there is room in the minute again, the line gets on as before: nobody is refused for the time it stood."""
    gate = Gate(Limits(requests_per_minute=300, concurrency=10))
    scope = gate.scope("a")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(1000):
            tasks.create_task(call(gate, scope, within=20.0))
            await asyncio.sleep(1 / 5.5)


async def test_while_calls_follow_one_by_one_nobody_knows() -> None:
    """After a hold more and more go: that the first few took long is no reason to refuse the next."""
    gate = Gate(Limits(concurrency=64))
    scope = gate.scope("a")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(400):
            tasks.create_task(call(gate, scope))
        await asyncio.sleep(0.5)
        scope.throttle.hold()
        for line in scope.lines:
            line.served.extend([now() - 0.45 + 0.05 * number for number in range(9)])

        assert scope.lines[0].expected(now(), 0.0) == 0.0
        scope.throttle.ceiling = None
        assert scope.lines[0].expected(now(), 0.0) > 10.0


# -- between lanes ---------------------------------------------------------------------------------------------------


def lane(gate: Gate, name: str, **settings: float) -> Entrance:
    found = gate.entrance(gate.named(name, settings))
    assert isinstance(found, Entrance)
    return found


async def enter(door: Entrance, gate: Gate, scope: Scope, within: float | None = None) -> float:
    """Make a call of a second in a lane; return how long it waited."""
    began = now()
    permit = door.admit(scope, 0.0, now()) or await door.queue(scope, within=within)
    waited = now() - began
    await asyncio.sleep(1.0)
    gate.settle(permit, 100)
    gate.release(permit)
    return waited


async def test_each_lane_is_judged_by_how_it_gets_on() -> None:
    """Of ten a second a lane of weight 4 gets eight: with as many sent to each, only the other has no time for more."""
    gate = Gate(Limits(concurrency=10))
    scope, chat, batch = gate.scope("a"), lane(gate, "chat", weight=4), lane(gate, "batch", weight=1)
    chance = random.Random(3)
    async with asyncio.TaskGroup() as tasks:
        for door in (chat, batch) * 100:
            tasks.create_task(enter(door, gate, scope))
            await asyncio.sleep(chance.uniform(0.0, 0.02))
        await asyncio.sleep(5.5)
        waiting = {one.name: sum(line.queued for line in one.lines.values()) for one in gate.lanes[1:]}
        assert waiting["chat"] < waiting["batch"]

        began = now()
        with pytest.raises(QueueFullError, match=f"{waiting['batch']} calls are waiting already") as found:
            await batch.queue(scope, within=5.0)
        assert (now(), gate.queued) == (began, sum(waiting.values()))
        assert found.value.retry_after is not None
        assert found.value.retry_after > 1.0
        last = tasks.create_task(enter(chat, gate, scope, within=8.0))

    assert last.result() <= 8.0


async def test_an_idle_lane_is_not_refused_for_the_queue_of_another() -> None:
    """Its call goes next, however many of the other lane wait, and however little time it has."""
    gate = Gate(Limits(concurrency=2))
    scope, chat, batch = gate.scope("a"), lane(gate, "chat"), lane(gate, "batch", priority=1)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(40):
            tasks.create_task(enter(batch, gate, scope))
        await asyncio.sleep(9.5)
        with pytest.raises(QueueFullError):
            await batch.queue(scope, within=2.0)

        waited = tasks.create_task(enter(chat, gate, scope, within=2.0))

    assert waited.result() <= 1.0


@pytest.mark.parametrize("seed", range(3))
async def test_who_is_refused_would_have_been_too_late(seed: int) -> None:
    """Three lanes of chance weights: whoever is told that it would wait so long waits three quarters of it at least."""
    chance = random.Random(seed)
    gate = Gate(Limits(concurrency=8))
    scope = gate.scope("a")
    doors = [lane(gate, name, weight=chance.choice([1, 2, 5])) for name in "abc"]
    told: list[tuple[float, float]] = []

    async def one(door: Entrance) -> None:
        expected = door.line(scope).expected(now(), 0.0)
        told.append((expected, await enter(door, gate, scope)))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(300):  # more than go, as long as they come
            tasks.create_task(one(chance.choice(doors)))
            await asyncio.sleep(chance.expovariate(12.0))

    expected = [(wait, waited) for wait, waited in told if wait > 2.0]
    assert len(expected) > 50
    late = [(wait, waited) for wait, waited in expected if waited < 0.75 * wait - 1.0]
    assert len(late) <= 0.05 * len(expected), late


# -- with a window that is found -------------------------------------------------------------------------------------


def serving(gate: Gate, scope: Scope, capacity: int) -> Callable[[float | None], asyncio.Task[float]]:
    """Return what makes a call to a server that answers in about a second, more than *capacity* of them later."""
    active, chance = 0, random.Random(1)

    async def one(within: float | None) -> float:
        nonlocal active
        began = now()
        permit = gate.admit(scope, 0.0, now()) or await gate.queue(scope, within=within)
        waited = now() - began
        active += 1
        await asyncio.sleep(chance.uniform(0.5, 1.5) * max(1.0, active / capacity))
        active -= 1
        scope.answered(permit, Used(10, 100))
        gate.succeeded(permit)
        gate.release(permit)
        return waited

    return lambda within: asyncio.create_task(one(within))


async def test_nobody_is_refused_while_the_window_opens() -> None:
    """A window that begins with four lets in ever more: 400 that came together, with 40 s each, are all answered."""
    gate = Gate(Limits(concurrency="auto"))
    call_ = serving(gate, gate.scope("a"), 64)
    tasks = []
    for _ in range(400):
        tasks.append(call_(40.0))
        await asyncio.sleep(0.01)

    assert max(await asyncio.gather(*tasks)) < 40.0


async def test_once_it_is_found_it_is_told_at_once() -> None:
    """Sixteen a second go, and it is known: with 160 waiting, 3 s are not enough, and it says when they will be."""
    gate = Gate(Limits(concurrency=AutoConcurrency(start=16, most=16)))
    scope = gate.scope("a")
    call_ = serving(gate, scope, 16)
    tasks = [call_(None) for _ in range(16 * 60)]
    await asyncio.sleep(1.0)
    while gate.queued > 160:
        await asyncio.sleep(0.1)

    began = now()
    with pytest.raises(QueueFullError, match=r"this one has 3 s") as found:
        await gate.queue(scope, within=3.0)

    assert now() == began
    assert found.value.retry_after == pytest.approx(10.0 - 3.0, rel=0.35)
    assert await call_(14.0) <= 14.0
    await asyncio.gather(*tasks)
