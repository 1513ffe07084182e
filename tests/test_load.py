"""The client under load over real sockets: its queue loses nobody, and a stated limit is used and not exceeded."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from anyfast_async import AnyFast, Limits, RetryPolicy
from anyfast_async.simulator import Latency, Simulator

LONG = bool(os.environ.get("ANYFAST_LONG"))


@pytest.fixture
async def slow() -> AsyncIterator[Simulator]:
    """A simulator that answers after about 15 ms."""
    async with Simulator(latency=Latency(ttft=0.015), answer_tokens=4) as simulator:
        yield simulator


@pytest.fixture
def granting_50_a_second() -> Iterator[Simulator]:
    """A simulator in a thread of its own with a limiter of seconds."""
    with Simulator.in_thread(latency=Latency(ttft=0.05), answer_tokens=4) as sim:
        sim.limit(requests_per_second=50, empty_body=True)
        yield sim


async def test_no_call_is_stuck_behind_others_that_run_out_of_time(
    slow: Simulator, connect: Callable[..., AnyFast]
) -> None:
    """40 calls with 20 ms each and two without a limit, two at a time: the two are answered in every round.

    With aiohttp's own queue a round in two ends with a call that waits for ever although nothing is in flight.
    """
    client = connect(slow.base_url, limits=Limits(concurrency=2))
    for _ in range(40 if LONG else 8):

        async def hasty() -> None:
            try:
                async with asyncio.timeout(0.02):
                    await client.complete("x")
            except TimeoutError:
                pass

        patient = [asyncio.create_task(client.complete("y")) for _ in range(2)]
        tasks = [*patient, *(asyncio.create_task(hasty()) for _ in range(40))]
        random.shuffle(tasks)
        _, stuck = await asyncio.wait(tasks, timeout=10)
        assert not stuck, client.stats()
        assert all(task.result().choices[0].finish_reason for task in patient)
    assert (client.stats().in_flight, client.stats().queued) == (0, 0)


async def test_concurrency_is_exact_whatever_ends_the_calls(slow: Simulator, connect: Callable[..., AnyFast]) -> None:
    """A fifth of the calls is cancelled and a tenth fails: the gateway sees eight at once, never nine."""
    slow.fail(400, when=re.compile("^bad"), times=None)
    client = connect(slow.base_url, limits=Limits(concurrency=8), retry=RetryPolicy(attempts=1))
    rolls = random.Random(3)
    outcomes: list[str] = []

    async def one(number: int) -> None:
        kind = rolls.random()
        task = asyncio.create_task(client.complete(f"{'bad' if kind < 0.1 else 'good'} {number}"))
        if kind > 0.8:
            await asyncio.sleep(rolls.uniform(0, 0.05))
            task.cancel()
        await asyncio.wait({task})
        outcomes.append("cancelled" if task.cancelled() else type(task.exception()).__name__)

    await asyncio.gather(*(one(number) for number in range(1000 if LONG else 300)))

    assert slow.peak_in_flight == 8
    assert set(outcomes) == {"cancelled", "BadRequestError", "NoneType"}
    assert (client.stats().in_flight, client.stats().queued) == (0, 0)
    await asyncio.gather(*(client.complete("again") for _ in range(8)))


@pytest.mark.timeout(300 if LONG else 60)
async def test_stated_limit_is_used_and_not_exceeded(
    granting_50_a_second: Simulator, connect: Callable[..., AnyFast]
) -> None:
    """A gateway that grants 50 a second, and a client that was told 3 000 a minute: 95 % used, 1 % refused at most."""
    client = connect(granting_50_a_second.base_url, limits=Limits(requests_per_minute=3000))
    rows = 50 * (60 if LONG else 4)
    began = time.monotonic()
    results = await client.map(str(n) for n in range(rows))
    took = time.monotonic() - began
    assert all(result.ok for result in results)
    refused = client.stats().requests - rows

    assert refused <= 0.01 * rows
    if LONG:  # in a few seconds the first and the last request weigh too much
        assert rows / took >= 0.95 * 50
