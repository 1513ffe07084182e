"""Counts the calls of this package's functions that a completion, a lone text of a stream and a row of a batch take.

``python benchmarks/steps.py``. The count is no time, but the same in every run and on every machine, so that it can be
held in tests, where time is noise: ``budget.toml`` says how many there may be. It also says how often one prompt hops:
from a function of one file to one of another, as they are called.

``python benchmarks/steps.py hops complete`` (``stream``, ``map``) shows its way.
"""

from __future__ import annotations

import asyncio
import itertools
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
ROWS = 10
"""Of the map that is followed."""


class Count:
    """The functions that were called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []
        """The file and the name of each, in their order."""

    @property
    def calls(self) -> int:
        """How many."""
        return len(self.called)

    @property
    def files(self) -> list[str]:
        """The files that they led through, in their order."""
        return [name for name, _ in itertools.groupby(name for name, _ in self.called)]

    @property
    def hops(self) -> int:
        """How often the next one stood in another file."""
        return len(self.files) - 1

    @property
    def returns(self) -> int:
        """How often a file was left for another one, to come back at once."""
        files = self.files
        return sum(one == other for one, other in zip(files, files[2:], strict=False))


@contextmanager
def counted() -> Iterator[Count]:
    """Count the calls of the package's functions in this thread; a coroutine that goes on counts as called."""
    count = Count()

    def see(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            count.called.append((code.co_filename[len(PACKAGE) + 1 : -3], code.co_qualname))

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


async def complete(client: AnyFast) -> None:
    """Ask one prompt."""
    await client.complete("hello")


async def stream(client: AnyFast) -> None:
    """Read one answer as it comes."""
    async with client.stream("hello") as texts:
        async for _ in texts:
            pass


async def map_of_some(client: AnyFast) -> None:
    """Ask some prompts, and read their answers."""
    async with client.map((f"row {number}" for number in range(ROWS)), concurrency=4) as results:
        async for result in results:
            result.unwrap()


WAYS = {"complete": complete, "stream": stream, "map": map_of_some}


def way(name: str) -> Count:
    """Follow one of :data:`WAYS`, as a client goes that has gone it before."""

    async def follow(url: str) -> Count:
        async with AnyFast("sk-steps", base_url=url, model=MODEL) as client:
            for _ in range(3):
                await WAYS[name](client)
            with counted() as count:
                await WAYS[name](client)
        return count

    with Simulator.in_thread(answer_tokens=TEXTS) as sim:
        return asyncio.run(follow(sim.base_url))


def steps() -> dict[str, float]:
    """Return what each of them takes."""

    async def measure(counting: Callable[[AnyFast], Awaitable[float]], url: str) -> float:
        async with AnyFast("sk-steps", base_url=url, model=MODEL) as client:
            return round(await counting(client), 1)

    found = {}
    for one in (completion, text, row):
        # From a thread of its own, whose functions are not counted.
        with Simulator.in_thread(latency=APART if one is text else None, answer_tokens=2 * TEXTS) as sim:
            found[one.__name__] = asyncio.run(measure(one, sim.base_url))
    found["hops"] = float(way("complete").hops)
    return found


def show(name: str) -> None:
    """Print the way of a prompt: the files in their order, and what was called in each."""
    count = way(name)
    for file, called in itertools.groupby(count.called, key=lambda one: one[0]):
        print(f"{file:26}{'  '.join(function for _, function in called)}")
    files = len(set(count.files))
    print(f"{count.calls} calls, {files} files, {count.hops} hops between them, {count.returns} of them there and back")


if __name__ == "__main__":
    if sys.argv[1:2] == ["hops"]:
        show(sys.argv[2] if sys.argv[2:] else "complete")
    else:
        for what, calls in steps().items():
            print(f"{what:11}{calls:6.1f}")
