"""Counts the calls of this package's functions that a completion, a lone text of a stream and a row of a batch take.

``python benchmarks/steps.py``. The count is no time, but the same in every run and on every machine, so that it can be
held in tests, where time is noise: ``budget.toml`` says how many there may be.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyfast_async
from anyfast_async import AnyFast
from anyfast_async.simulator import Latency, Simulator

PACKAGE = str(Path(anyfast_async.__file__).parent)
MODEL = "gemini-2.5-pro"
CALLS = 100
TEXTS = 40
APART = Latency(per_token=0.01)
"""So that each text of a stream comes alone."""


class Count:
    """How many functions were called."""

    calls = 0


@contextmanager
def counted() -> Iterator[Count]:
    """Count the calls of the package's functions in this thread; a coroutine that goes on counts as called."""
    count = Count()

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            count.calls += 1

    sys.setprofile(see)
    try:
        yield count
    finally:
        sys.setprofile(None)


async def completion(client: AnyFast) -> float:
    """Return what one awaited call takes."""
    await client.complete("hello")
    with counted() as count:
        for _ in range(CALLS):
            await client.complete("hello")
    return count.calls / CALLS


async def text(client: AnyFast) -> float:
    """Return what one text of a stream takes that comes by itself; the first ones, and the last, are others."""
    async with client.stream("hello") as stream:
        texts = aiter(stream)
        for _ in range(5):
            await anext(texts)
        with counted() as count:
            for _ in range(TEXTS):
                await anext(texts)
    return count.calls / TEXTS


async def row(client: AnyFast) -> float:
    """Return what one row of a batch takes."""
    await client.complete("hello")
    with counted() as count:
        async with client.map((f"row {number}" for number in range(CALLS)), concurrency=4) as results:
            async for result in results:
                if result.error is not None:
                    raise result.error
    return count.calls / CALLS


def steps() -> dict[str, float]:
    """Return what each of them takes."""

    async def measure(way: Callable[[AnyFast], Awaitable[float]], url: str) -> float:
        async with AnyFast("sk-steps", base_url=url, model=MODEL) as client:
            return round(await way(client), 1)

    found = {}
    for way in (completion, text, row):
        # From a thread of its own, whose functions are not counted.
        with Simulator.in_thread(latency=APART if way is text else None, answer_tokens=2 * TEXTS) as sim:
            found[way.__name__] = asyncio.run(measure(way, sim.base_url))
    return found


if __name__ == "__main__":
    for what, calls in steps().items():
        print(f"{what:11}{calls:6.1f}")
