"""Cancelled at any step of the loop: ``CancelledError`` comes out, and nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import AnyFast, Limits, MapRun, RetryPolicy
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from conftest import Connect


class Stepper:
    """Runs a coroutine as a task and cancels it at its k-th step."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.steps = 0
        self.task: asyncio.Task[Any] | None = None

    async def run(self, work: Awaitable[Any]) -> str:
        """Return how it ended: "cancelled", or "done" when it had fewer steps."""
        self.task = asyncio.get_running_loop().create_task(self._counted(work))
        await asyncio.wait({self.task})
        if self.task.cancelled():
            return "cancelled"
        self.task.result()
        return "done"

    async def _counted(self, work: Awaitable[Any]) -> Any:
        return await _Steps(work, self)


class _Steps:
    """Awaits *work* and counts how often it gives way; at the k-th time its task is cancelled from outside."""

    def __init__(self, work: Awaitable[Any], owner: Stepper) -> None:
        self._work = work
        self._owner = owner

    def __await__(self) -> Any:
        inner = self._work.__await__()
        sent: Any = None
        error: BaseException | None = None
        while True:
            try:
                waited = inner.send(sent) if error is None else inner.throw(error)
            except StopIteration as stop:
                return stop.value
            self._owner.steps += 1
            if self._owner.steps == self._owner.k:
                task = self._owner.task
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            sent, error = None, None
            try:
                sent = yield waited
            except BaseException as found:  # noqa: BLE001 - handed on as it is
                error = found


async def settled(client: AnyFast) -> tuple[int, int, int, int]:
    """Connections in use, calls in flight, queued and running, after the loop had a moment."""
    left = (0, 0, 0, 0)
    for _ in range(200):
        gate = client._shared.gate
        left = (
            client._shared.transport.in_use,
            gate.in_flight,
            gate.queued,
            len(client._shared.in_flight.members),
        )
        if left == (0, 0, 0, 0):
            break
        await asyncio.sleep(0.001)
    return left


async def complete(client: AnyFast, sim: Simulator) -> None:
    await client.complete("Hi", max_tokens=5)


async def complete_afresh(client: AnyFast, sim: Simulator) -> None:
    session = client._shared.transport._session
    if session is not None and session.connector is not None:
        await session.connector.close()
        await client._shared.transport.leave_loop()
    await client.complete("Hi", max_tokens=5)


async def retried(client: AnyFast, sim: Simulator) -> None:
    sim.fail(500, times=2)
    await client.complete("Hi", max_tokens=5)


async def streamed(client: AnyFast, sim: Simulator) -> None:
    async with client.stream("Hi", max_tokens=5) as stream:
        async for _ in stream:
            pass


async def awaited_stream(client: AnyFast, sim: Simulator) -> None:
    stream = await client.stream("Hi", max_tokens=5)
    async for _ in stream:
        pass


async def left_stream(client: AnyFast, sim: Simulator) -> None:
    async with client.stream("Hi") as stream:
        await anext(stream)


async def via_stream(client: AnyFast, sim: Simulator) -> None:
    await client.complete("Hi", max_tokens=5, via_stream=True)


async def mapped(client: AnyFast, sim: Simulator) -> None:
    await client.map(["a", "b", "c"], concurrency=2, max_tokens=5)


async def mapped_ordered(client: AnyFast, sim: Simulator) -> None:
    run: MapRun[Any] = client.map(["a", "b", "c"], concurrency=2, ordered=True, max_tokens=5)
    async with run as results:
        async for _ in results:
            pass


async def models(client: AnyFast, sim: Simulator) -> None:
    await client.models()


async def queued(client: AnyFast, sim: Simulator) -> None:
    await asyncio.gather(*(client.complete("Hi", max_tokens=5) for _ in range(4)))


VERBS: dict[str, Callable[[AnyFast, Simulator], Awaitable[None]]] = {
    "complete": complete,
    "complete, new connection": complete_afresh,
    "retried": retried,
    "stream": streamed,
    "stream, awaited": awaited_stream,
    "stream, left": left_stream,
    "via_stream": via_stream,
    "map": mapped,
    "map, ordered": mapped_ordered,
    "models": models,
    "queued": queued,
}
MOST_STEPS = 80


@pytest.mark.parametrize("verb", VERBS)
async def test_cancellation_at_every_step(sim: Simulator, connect: Connect, verb: str) -> None:
    """For k = 1, 2, ... until it completes: cancelled at its k-th step the call is cancelled, and leaves nothing."""
    client = connect(sim.base_url, limits=Limits(concurrency=2), retry=RetryPolicy(backoff=(0, 0), retry_ratio=1))
    await client.complete("warm")
    results: list[str] = []

    for k in range(1, MOST_STEPS):
        results.append(await Stepper(k).run(VERBS[verb](client, sim)))
        assert (k, *await settled(client)) == (k, 0, 0, 0, 0)
        sim.reset()
        if results[-1] == "done":
            break

    assert results[-1] == "done"
    assert results[:-1] == ["cancelled"] * (len(results) - 1)
    assert len(results) > 1
    assert (await client.complete("Hi", max_tokens=5)).text


async def test_answer_and_cancellation_in_one_tick(sim: Simulator, client: AnyFast) -> None:
    """A call that is cancelled as its answer comes is cancelled or done, never both, and gives its place back."""
    outcomes = set()
    for delay in range(60):
        task = asyncio.create_task(client.complete("Hi", max_tokens=3))
        for _ in range(delay):
            await asyncio.sleep(0)
        asked = task.cancel()
        await asyncio.wait({task})
        outcomes.add((asked, task.cancelled()))

    assert (True, False) not in outcomes
    assert await settled(client) == (0, 0, 0, 0)


async def test_task_group_gets_no_group_from_a_call(sim: Simulator, client: AnyFast) -> None:
    """A call that fails beside one that hangs: the other is cancelled, and its connection closed."""
    sim.stall(after=0, when="hangs")
    sim.fail(400, when="fails")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.complete("hangs"))
            group.create_task(client.complete("fails"))

    assert [type(error).__name__ for error in caught.value.exceptions] == ["BadRequestError"]
    assert await settled(client) == (0, 0, 0, 0)
    async with asyncio.timeout(1):
        while sim.in_flight:
            await asyncio.sleep(0.001)
    assert [r.disconnected for r in sim.requests if r.status is None] == [True]
