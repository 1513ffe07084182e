"""Half an hour of calls, streams and maps, of which one answer in twenty is odd: nothing grows.

The server is another process (``server.py``); this one is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from anyfast_async import AnyFast, AnyFastError, Limits, RetryPolicy, Timeouts

from .gateway import running

LONG: Final = bool(os.environ.get("ANYFAST_LONG"))
SECONDS: Final = float(os.environ.get("ANYFAST_SOAK", "1800")) if LONG else 1.5
WIDE: Final = 32
DRIFT: Final = (5 if LONG else 32) * 1024 * 1024
"""Bytes by which the process may grow from the first third of the time to its end; half a second warms up nothing."""

pytestmark = [pytest.mark.reliability, pytest.mark.slow, pytest.mark.timeout(SECONDS + 120)]


@attrs.frozen
class Held:
    """What a process holds while nothing is on its way."""

    resident: int
    """Bytes."""
    descriptors: int
    tasks: int
    timers: int
    ours: int
    """Objects of the package's classes."""
    garbage: int


def held() -> Held:
    """Return what is held now."""
    gc.collect()
    loop: Any = asyncio.get_running_loop()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    ours = sum(str(type(one).__module__).startswith("anyfast_async") for one in gc.get_objects())
    timers = getattr(loop, "_scheduled", ())  # uvloop's are not to be seen
    return Held(
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(list(Path("/proc/self/fd").iterdir())),
        len(asyncio.all_tasks()),
        sum(not timer.cancelled() for timer in timers),
        ours,
        len(gc.garbage),
    )


async def use(client: AnyFast, rolls: random.Random, ends: Counter[str]) -> None:
    """Make a call, a stream that is read or left, or a map."""
    chance = rolls.random()
    try:
        if chance < 0.6:
            await client.complete("a prompt")
        elif chance < 0.9:
            async with client.stream("a prompt") as stream:
                async for _ in stream:
                    if chance > 0.85:
                        break
        else:
            await client.map(["one", "two", "three"], concurrency=3)
    except AnyFastError as error:
        ends[error.kind] += 1
    else:
        ends["ok"] += 1


async def busy(client: AnyFast, seconds: float, rolls: random.Random, ends: Counter[str]) -> None:
    """Use a client for so long; one use in fifty is cancelled."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def worker() -> None:
        while loop.time() < until:
            if rolls.random() < 0.02:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rolls.uniform(0, 0.05)):
                        await use(client, rolls, ends)
            else:
                await use(client, rolls, ends)

    async with asyncio.TaskGroup() as group:
        for _ in range(WIDE):
            group.create_task(worker())


async def test_nothing_grows(
    connect: Callable[..., AnyFast],
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Between the first third and the end: memory, descriptors, tasks, timers and our own objects stay as they were."""
    caplog.set_level(logging.CRITICAL, "anyfast_async")  # pytest keeps what is logged
    rolls, ends = random.Random(int(os.environ.get("ANYFAST_SEED", "1"))), Counter[str]()
    with running(1, 1, 0.05) as gateway:
        client = connect(
            f"http://127.0.0.1:{gateway.ports[0]}/v1",
            limits=Limits(concurrency=WIDE),
            retry=RetryPolicy(backoff=(0.01, 0.1)),
            timeouts=Timeouts(connect=5, first_token=2, idle=2, response=2, total=20),
        )
        await busy(client, SECONDS / 3, rolls, ends)
        before = held()
        await busy(client, SECONDS * 2 / 3, rolls, ends)
        after = held()
    drift = after.resident - before.resident
    figure = f"{sum(ends.values()):,} uses in {SECONDS:,.0f} s, {drift / 1024**2:+.1f} MiB"
    record_property("figure", figure)
    print(figure, dict(ends), before, after)  # noqa: T201 - the figures

    assert ends["ok"] > 0.9 * sum(ends.values())
    assert drift <= DRIFT
    assert after.descriptors <= before.descriptors + WIDE  # connections of the pool come and go
    assert (after.tasks, after.garbage) == (before.tasks, 0)
    assert after.timers <= before.timers + 2
    assert after.ours <= before.ours + 20 * WIDE  # connections that wait are ours
