"""One load in virtual time, against a gateway whose times are known exactly."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from anyfast_async.cli.bench.arrivals import Load
from anyfast_async.cli.bench.measurement import Measurement, Said
from anyfast_async.cli.bench.run import LoadRun, LoadSpan
from anyfast_async.errors import Attempt, InternalServerError, RateLimitError
from anyfast_async.simulator import Latency

pytestmark = pytest.mark.virtual

TOKENS = 6


def gateway(latency: Latency, seed: int = 5) -> Callable[[int, Callable[[], None]], Any]:
    """Answers as the simulator's model of latency says; what it said is kept."""
    random = Random(seed)

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        timing = latency.timing(random)
        begun = asyncio.get_running_loop().time()
        for token in range(TOKENS):
            await asyncio.sleep(begun + timing.due(token) - asyncio.get_running_loop().time())
            arrived()
        return Said(10, TOKENS)

    return ask


async def measured(load: Load, span: LoadSpan, ask: Any, **options: Any) -> Measurement:
    return await LoadRun(load, span, ask, Random(1), cpu=lambda: 0.0, **options).run()


MODEL = Latency(ttft=0.4, per_token=0.03, jitter=0.5, slow_share=0.05, slow=2.0)


@pytest.mark.parametrize("load", [Load(rate=40), Load(rate=40, arrivals="constant"), Load(concurrency=30)], ids=str)
async def test_known_latency(load: Load) -> None:
    """Percentiles of the first token and of the time per token are those of the model, to 1 %."""
    one = await measured(load, LoadSpan(seconds=60, warm_up=5), gateway(MODEL))

    random = Random(5)
    drawn = [MODEL.timing(random) for _ in range(one.answered + one.warmed)]
    first, per_token = sorted(t.ttft for t in drawn), sorted(t.per_token for t in drawn)
    assert one.answered > 1500
    for percent in (50, 90, 95, 99):
        rank = round(len(drawn) * percent / 100) - 1
        assert one.first_token.percentile(percent) == pytest.approx(first[rank], rel=0.03)
        assert one.per_token.percentile(percent) == pytest.approx(per_token[rank], rel=0.01)
    assert one.between.percentile(50) == pytest.approx(0.03, rel=0.03)
    assert one.verdict() == []


async def test_open_loop_does_not_wait() -> None:
    """A gateway that stands still for a second keeps no request from being sent, and every wait is counted."""
    stands = asyncio.Event()
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    begun = loop.time()

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        sent.append(loop.time() - begun)
        if 2 <= loop.time() - begun < 3:
            await stands.wait()
        await asyncio.sleep(0.01)
        arrived()
        return Said()

    loop.call_later(3, stands.set)
    one = await measured(Load(rate=10, arrivals="constant"), LoadSpan(seconds=5), ask)

    assert sent == pytest.approx([n / 10 for n in range(50)], abs=1e-6)
    assert one.first_token.percentile(100) == pytest.approx(1.01, rel=2e-3)
    assert sum(count for low, _, count in one.first_token.bins(1000) if low > 0.05) == 10


async def test_late_starts_count() -> None:
    """A client that is held up starts late; times count from when requests were due, and the test is invalid."""
    loop: Any = asyncio.get_running_loop()

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        if number == 10:
            loop.now += 1.0  # this process does something else for a second
        await asyncio.sleep(0.1)
        arrived()
        return Said()

    one = await measured(Load(rate=10, arrivals="constant"), LoadSpan(seconds=5), ask)

    assert one.first_token.longest == pytest.approx(1.1, rel=0.02)
    assert one.first_token_sent.percentile(95) == pytest.approx(0.1, rel=0.01)
    assert one.answered == 50
    assert any("requests started late" in problem for problem in one.verdict())


async def test_closed_loop() -> None:
    """So many are on their way at any time, and the next one starts when one is done."""
    flying, most = 0, 0

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.5)
        arrived()
        flying -= 1
        return Said()

    one = await measured(Load(concurrency=4), LoadSpan(seconds=9.9, warm_up=1), ask)

    assert most == 4
    assert (one.answered, one.warmed) == (80, 8)
    assert one.throughput == pytest.approx(8.0, rel=0.06)


@pytest.mark.parametrize("load", [Load(rate=10), Load(concurrency=3)], ids=str)
async def test_requests(load: Load) -> None:
    """A number of requests bounds those that count, and they are numbered on."""
    numbers: list[int] = []

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        numbers.append(number)
        await asyncio.sleep(0.2)
        arrived()
        return Said()

    one = await measured(load, LoadSpan(seconds=60, warm_up=1, requests=25), ask, first=100)

    assert one.answered == 25
    assert sorted(numbers) == [*range(100, 100 + 25 + one.warmed)]


async def test_failures() -> None:
    """What fails is counted by its kind, and is in no figure; what was never sent is the client's own doing."""
    kinds = itertools.cycle(["ok", "server", "held"])

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        await asyncio.sleep(0.1)
        kind = next(kinds)
        if kind == "server":
            error = InternalServerError("no")
            error.attempts = (Attempt(1, "server", 500, 0.1, "no"),)
            raise error
        if kind == "held":
            raise RateLimitError
        arrived()
        return Said()

    one = await measured(Load(rate=10, arrivals="constant"), LoadSpan(seconds=3), ask)

    assert (one.answered, dict(one.failed), one.checks.held_back) == (10, {"server": 10, "rate_limit": 10}, 10)
    assert one.first_token.count == 10
    assert one.verdict() == ["10 requests were held back here, and not sent when they were due"]


@pytest.mark.parametrize("load", [Load(rate=10, arrivals="constant"), Load(concurrency=3)], ids=str)
async def test_stopped(load: Load) -> None:
    """Stopped, it starts nothing more, ends what is on its way, and has what was measured."""
    ended = 0

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        nonlocal ended
        try:
            await asyncio.sleep(1)
            arrived()
        finally:
            ended += 1
        return Said()

    run = LoadRun(load, LoadSpan(seconds=3600), ask, Random(1), cpu=lambda: 0.0)
    asyncio.get_running_loop().call_later(5.5, run.stop)
    one = await run.run()

    assert one.left > 0
    assert one.answered == ended - one.left > 0
    assert one.seconds == pytest.approx(5.5, rel=0.02)
    assert run.in_flight == 0


async def test_programming_errors_come_out() -> None:
    """What is no error of a call is not counted away."""

    async def ask(number: int, arrived: Callable[[], None]) -> Said:
        raise LookupError

    with pytest.raises(LookupError):
        await measured(Load(rate=10), LoadSpan(seconds=1), ask)
