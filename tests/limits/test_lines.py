"""Lines of waiting calls: how long one more will wait, and who has not the time for it."""

from __future__ import annotations

import asyncio

import pytest

from anyfast_async import Limits, QueueFullError
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._limits.gate import Gate
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
