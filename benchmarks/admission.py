"""What admission costs: processor time of a call that finds a place, and of one that is let in from a long queue.

    python benchmarks/admission.py [WORDS of the cases to measure]

Prints microseconds: the least of many batches of calls, which is what it takes on a machine that does nothing else, and
the median of all. With a store, what is asked of the store is left out: it answers at once.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise

from anyfast_async import Limits
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.lanes import Entrance

BATCHES = 100
CALLS = 500
ROUNDS = 2
WAITING = 100_000
SLICE = 1_000
MANY = 100_000_000
LIMITED = Limits(requests_per_minute=MANY, tokens_per_minute=10**12)


def door_of(gate: Gate, lane: str | None) -> Gate | Entrance:
    """Return where calls of the lane come in."""
    return gate.entrance(gate.named(lane, {"weight": 4}) if lane is not None else None)


async def free(limits: Limits, lane: str | None = None) -> list[float]:
    """Admit and release where nothing has to be waited for; return the seconds of a call, of each batch."""
    gate = Gate(limits)
    scope, door = gate.scope("a"), door_of(gate, lane)
    time_of, found = asyncio.get_running_loop().time, []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(CALLS):
            gate.release(door.admit(scope, 500.0, time_of()) or await door.queue(scope, 500.0))
        found.append((time.process_time() - began) / CALLS)
    return found


async def semaphore_free() -> list[float]:
    """The same for a semaphore."""
    semaphore, found = asyncio.Semaphore(200), []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(CALLS):
            await semaphore.acquire()
            semaphore.release()
        found.append((time.process_time() - began) / CALLS)
    return found


async def drained(acquire: Callable[[], Awaitable[object]], release: Callable[[object], None]) -> list[float]:
    """Let 100 000 tasks queue, then let them in one after another; the tasks' own cost is in the figures."""
    first, marks = await acquire(), list[float]()

    async def one(number: int) -> None:
        permit = await acquire()
        if number % SLICE == 0:
            marks.append(time.process_time())
        release(permit)

    tasks = [asyncio.create_task(one(number)) for number in range(WAITING)]
    await asyncio.sleep(0)
    release(first)
    await asyncio.gather(*tasks)
    return [(after - before) / SLICE for before, after in pairwise(marks)]


async def queue(limits: Limits, lane: str | None = None) -> list[float]:
    """Admit out of a queue of 100 000."""
    gate = Gate(limits)
    scope, door = gate.scope("a"), door_of(gate, lane)

    async def acquire() -> object:
        return door.admit(scope, 500.0, asyncio.get_running_loop().time()) or await door.queue(scope, 500.0)

    return await drained(acquire, gate.release)  # type: ignore[arg-type]


async def semaphore_queue() -> list[float]:
    """The same for a semaphore."""
    semaphore = asyncio.Semaphore(1)
    return await drained(semaphore.acquire, lambda _: semaphore.release())


def cases() -> Iterator[tuple[str, Callable[[], Awaitable[list[float]]]]]:
    """Yield what is measured."""
    one = Limits(concurrency=1)
    limited = Limits(concurrency=1, requests_per_minute=MANY, tokens_per_minute=10**12)
    yield "free, concurrency only", lambda: free(Limits())
    yield "free, requests and tokens per minute", lambda: free(LIMITED)
    yield 'free, concurrency="auto"', lambda: free(Limits(concurrency="auto"))
    yield "free, in a lane", lambda: free(Limits(), "chat")
    yield "free, asyncio.Semaphore", semaphore_free
    yield "100 000 waiting, concurrency only", lambda: queue(one)
    yield "100 000 waiting, requests and tokens per minute", lambda: queue(limited)
    yield "100 000 waiting, in a lane", lambda: queue(one, "chat")
    yield "100 000 waiting, asyncio.Semaphore", semaphore_queue


async def main() -> None:
    """Measure and print."""
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for name, case in cases():
            if sys.argv[1:] and not all(word in name for word in sys.argv[1:]):
                continue
            if number == 0 or name.startswith("free"):
                found.setdefault(name, []).extend(await case())
    for name, values in found.items():
        print(f"{name:<50} {min(values) * 1e6:6.2f} us  (median {statistics.median(values) * 1e6:.2f})")


if __name__ == "__main__":
    asyncio.run(main())
