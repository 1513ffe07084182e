"""A thousand workers on one store: round trips, the hot key, fairness. In virtual time, in one process.

    python benchmarks/shared_quota.py [WORKERS ...]

Each worker is a gate of its own, with a backlog of its own; they share nothing but the store, which answers after a
millisecond. A row for each number of workers: what was sent in the minutes after the first, the worst 60 seconds,
commands a permit, questions a second at the busiest (they all meet one key), processor time of a question in the pure
core, and how far the workers' parts are apart (Jain's index, 1: all equal).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from conftest import VirtualTimeLoop

from anyfast_async import Limits
from anyfast_async._limits.gate import Gate
from anyfast_async.stores import MemoryStore, Question, StoreReply

REQUESTS = 6_000
SECONDS = 240
SCOPE = ("https://gateway", b"key", "model")


class Measured(MemoryStore):
    """Counts, and takes a millisecond."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []
        self.busy = 0.0

    async def ask(self, scope: str, question: Question) -> StoreReply:
        """Answer a question."""
        await asyncio.sleep(0.001)
        self.asked.append(asyncio.get_running_loop().time())
        began = time.process_time()
        reply = await super().ask(scope, question)
        self.busy += time.process_time() - began
        return reply


async def run(workers: int) -> str:
    """Let so many workers send what they may."""
    store, loop = Measured(), asyncio.get_running_loop()
    sent: list[tuple[float, int]] = []

    async def work(number: int, gate: Gate) -> None:
        await asyncio.sleep(number * 0.0007)
        scope = gate.scope(SCOPE)
        while True:
            permit = await gate.acquire(scope)
            sent.append((loop.time(), number))
            await asyncio.sleep(0.5)
            gate.release(permit)

    gates = [Gate(Limits(requests_per_minute=REQUESTS, concurrency=5_000, store=store)) for _ in range(workers)]
    backlog = max(2, 200 // workers)
    tasks = [asyncio.create_task(work(number, gate)) for number, gate in enumerate(gates) for _ in range(backlog)]
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for gate in gates:
        if gate.sharing is not None:
            await gate.sharing.aclose()
    times = [at for at, _ in sent]
    worst, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - 60:
            first += 1
        worst = max(worst, last - first + 1)
    used = sum(at >= 60 for at in times) / (REQUESTS * (SECONDS - 60) / 60)
    parts = Counter(number for _, number in sent)
    jain = sum(parts.values()) ** 2 / (workers * sum(part**2 for part in parts.values()))
    hottest = max(Counter(int(at) for at in store.asked).values())
    per_question = store.busy / len(store.asked) * 1e6
    return (
        f"{workers:>8} {used:>7.1%} {worst:>8} {len(store.asked) / len(sent):>10.3f} {hottest:>10} "
        f"{per_question:>9.0f} us {jain:>7.3f}"
    )


def main() -> None:
    """Print the table."""
    print(" workers    used  worst 60  cmds/grant  hottest/s  a question  fairness")
    for workers in [int(number) for number in sys.argv[1:]] or [2, 4, 16, 100, 1_000]:
        print(VirtualTimeLoop().run_until_complete(run(workers)), flush=True)


if __name__ == "__main__":
    main()
