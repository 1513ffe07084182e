"""A thousand workers on one store: round trips, the hot key, fairness. In virtual time, in one process.

    python benchmarks/shared_quota.py [WORKERS ...]

Each worker is a gate of its own, with a backlog of its own; they share nothing but the store, which answers after a
millisecond. A row for each number of workers: what was sent in the minutes after the first, the worst 60 seconds,
commands a permit, questions a second at the busiest (they all meet one key), processor time of a question in the pure
core, and how far the workers' parts are apart (Jain's index, 1: all equal).

Where a permit is ten seconds off or more, as it is for a thousand workers, its worker gives one sign of life meanwhile:
two commands a permit, and never more.

    python benchmarks/shared_quota.py --measure

lets two and four real processes do the same on a real Valkey for 20 s, and compares what was sent and commands a permit
with the prediction; the program ends with 1 if one is more than 15 % off. Then four of them share 2 000 requests a
second, which are leased in blocks: there it ends with 1 if a permit costs more than a tenth of a command.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from conftest import VirtualTimeLoop
from shared_processes import Store

from anyfast_async import Limits
from anyfast_async._limits.gate import Gate
from anyfast_async.stores import MemoryStore, Question, StoreReply

REQUESTS = 6_000
SECONDS = 240
BUSY = 120_000
"""Requests a minute of the run in which permits are leased in blocks."""
MEASURED = 20.0
"""Seconds of the comparison with real processes."""
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


async def load(
    store: object, numbers: range, workers: int, seconds: float, requests: int = REQUESTS
) -> list[tuple[float, int]]:
    """Let those of so many workers send what they may; return when each request went, and of whom."""
    loop = asyncio.get_running_loop()
    sent: list[tuple[float, int]] = []

    async def work(number: int, gate: Gate) -> None:
        await asyncio.sleep(number * 0.0007)
        scope = gate.scope(SCOPE)
        while True:
            permit = await gate.acquire(scope)
            sent.append((loop.time(), number))
            await asyncio.sleep(0.5)
            gate.release(permit)

    gates = {number: Gate(Limits(requests_per_minute=requests, concurrency=5_000, store=store)) for number in numbers}
    backlog = max(2, requests // 30 // workers)
    tasks = [asyncio.create_task(work(number, gate)) for number, gate in gates.items() for _ in range(backlog)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for gate in gates.values():
        if gate.sharing is not None:
            await gate.sharing.aclose()
    return sent


async def run(workers: int) -> str:
    """Return the row of so many workers."""
    store = Measured()
    sent = await load(store, range(workers), workers, SECONDS)
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


async def predicted(workers: int, requests: int = REQUESTS) -> tuple[float, float]:
    """Return requests, and commands a permit, of so many workers in virtual time."""
    store = Measured()
    sent = await load(store, range(workers), workers, MEASURED, requests)
    return len(sent), len(store.asked) / len(sent)


def measured(workers: int, requests: int = REQUESTS) -> tuple[float, float]:
    """Return the same of so many processes, on a real server."""
    with tempfile.TemporaryDirectory(prefix="af") as folder:
        store = Store("valkey", Path(folder))
        line = [sys.executable, __file__, "--load", store.url, str(workers), str(requests)]
        processes = [
            subprocess.Popen([*line, str(number)], stdout=subprocess.PIPE, stdin=subprocess.PIPE)  # noqa: S603
            for number in range(workers)
        ]
        for one in processes:
            assert one.stdout is not None
            one.stdout.readline()  # it is ready
        for one in processes:
            assert one.stdin is not None
            one.stdin.close()
            one.stdin = None
        sent = sum(int(one.communicate()[0]) for one in processes)
        commands = store.commands() or 0
        store.end()
    return sent, commands / sent


def compare() -> int:
    """Print prediction and measurement; return whether one is more than 15 % off."""
    print(" workers           sent   commands/grant    (predicted, measured)")
    worst = 0.0
    for workers in (2, 4):
        before, seen = VirtualTimeLoop().run_until_complete(predicted(workers)), measured(workers)
        print(f"{workers:>8} {before[0]:>7.0f} {seen[0]:>6.0f} {before[1]:>9.3f} {seen[1]:>7.3f}", flush=True)
        worst = max(worst, *(abs(one / other - 1) for one, other in zip(seen, before, strict=True)))
    print(f"at most {worst:.1%} off")
    before, seen = VirtualTimeLoop().run_until_complete(predicted(4, BUSY)), measured(4, BUSY)
    print(f"    busy {before[0]:>7.0f} {seen[0]:>6.0f} {before[1]:>9.3f} {seen[1]:>7.3f}")
    return int(worst > 0.15 or seen[1] > 0.1)


def main() -> None:
    """Print the table."""
    if "--measure" in sys.argv:
        sys.exit(compare())
    if "--load" in sys.argv:
        url, of, requests, number = sys.argv[2:]
        import redis.asyncio  # noqa: F401, PLC0415 - before the time counts

        print("ready", flush=True)
        sys.stdin.read()
        print(len(asyncio.run(load(url, range(int(number), int(number) + 1), int(of), MEASURED, int(requests)))))
        return
    print(" workers    used  worst 60  cmds/grant  hottest/s  a question  fairness")
    for workers in [int(number) for number in sys.argv[1:]] or [2, 4, 16, 100, 1_000]:
        print(VirtualTimeLoop().run_until_complete(run(workers)), flush=True)


if __name__ == "__main__":
    main()
