"""What admission costs: processor time of a call that finds a place, and of one that is let in from a long queue.

    python benchmarks/admission.py

Prints microseconds, medians of interleaved rounds, next to a bare ``asyncio.Semaphore``. What a store adds is counted
without its round trip: this one answers in the next turn of the loop, and each call has to ask it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from anyfast_async import Limits
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.shared_scope import SharedScope
from anyfast_async.stores import Question, StoreReply

ROUNDS = 7
CALLS = 20_000
WAITING = 100_000
LIMITED = Limits(requests_per_minute=100_000_000, tokens_per_minute=10**12)


async def free(limits: Limits) -> float:
    """Admit and release where nothing has to be waited for."""
    gate = Gate(limits)
    scope = gate.scope("a")
    began = time.process_time()
    time_of = asyncio.get_running_loop().time
    for _ in range(CALLS):
        gate.release(gate.admit(scope, 500.0, time_of()) or await gate.queue(scope, 500.0))
    return (time.process_time() - began) / CALLS


class OneByOne:
    """A store that gives each question one permit."""

    async def ask(self, _: str, question: Question) -> StoreReply:
        await asyncio.sleep(0)
        return StoreReply(born=1, asked=1, held=question.want, permits=((0, 1),) * min(1, len(question.wanted)))

    async def news(self, _scope: str, _client: str, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        pass


async def through_a_store() -> float:
    """Admit and release where a store has to be asked for each call."""
    gate = Gate(Limits(requests_per_minute=600, tokens_per_minute=10**9, store=OneByOne()))
    scope = gate.scope("a")
    assert isinstance(scope, SharedScope)
    assert gate.sharing is not None
    best = float("inf")
    for _ in range(100):
        began = time.process_time()
        for _ in range(CALLS // 1_000):
            scope.balance._rate = 0.0  # noqa: SLF001 - as of calls that come one by one
            gate.release(await gate.acquire(scope, 500.0))
        best = min(best, time.process_time() - began)
    await gate.sharing.aclose()
    return best / (CALLS // 1_000)


async def task_free() -> float:
    """What a store needs anyhow: a task, and a turn of the loop in which its answer comes."""

    async def answer() -> None:
        await asyncio.sleep(0)

    best, few = float("inf"), CALLS // 1_000
    for _ in range(100):
        began = time.process_time()
        for _ in range(few):
            await asyncio.create_task(answer())
        best = min(best, time.process_time() - began)
    return best / few


async def semaphore_free() -> float:
    """The same for a semaphore."""
    semaphore = asyncio.Semaphore(200)
    began = time.process_time()
    for _ in range(CALLS):
        await semaphore.acquire()
        semaphore.release()
    return (time.process_time() - began) / CALLS


async def drained(acquire: Callable[[], Awaitable[object]], release: Callable[[object], None], first: object) -> float:
    """Let 100 000 tasks queue, then let them in one after another; the tasks' own cost is in both figures."""

    async def one() -> None:
        release(await acquire())

    tasks = [asyncio.create_task(one()) for _ in range(WAITING)]
    await asyncio.sleep(0)
    began = time.process_time()
    release(first)
    await asyncio.gather(*tasks)
    return (time.process_time() - began) / WAITING


async def queue(limits: Limits) -> float:
    """Admit out of a queue of 100 000."""
    gate = Gate(limits)
    scope = gate.scope("a")
    return await drained(lambda: gate.acquire(scope, 500.0), gate.release, await gate.acquire(scope))  # type: ignore[arg-type]


async def semaphore_queue() -> float:
    """The same for a semaphore."""
    semaphore = asyncio.Semaphore(1)
    return await drained(semaphore.acquire, lambda _: semaphore.release(), await semaphore.acquire())


CASES: dict[str, Callable[[], Awaitable[float]]] = {
    "free, concurrency only": lambda: free(Limits()),
    "free, requests and tokens per minute": lambda: free(LIMITED),
    "free, asyncio.Semaphore": semaphore_free,
    "free, asking a store, but for its round trip": through_a_store,
    "free, a task with a turn of the loop": task_free,
    "100 000 waiting, concurrency only": lambda: queue(Limits(concurrency=1)),
    "100 000 waiting, requests and tokens per minute": lambda: queue(
        Limits(concurrency=1, requests_per_minute=100_000_000, tokens_per_minute=10**12)
    ),
    "100 000 waiting, asyncio.Semaphore": semaphore_queue,
}


async def main() -> None:
    """Measure and print."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, case in CASES.items():
            found[name].append(await case() * 1e6)
    for name, values in found.items():
        print(f"{name:<50} {statistics.median(values):6.2f} us  ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    asyncio.run(main())
