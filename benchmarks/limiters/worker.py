"""One process with one limiter: ``worker.py PEER TASK``, TASK being JSON.

It says "ready", reads from its standard input at which Unix time to begin ("" if it is to find that itself), and writes
a line into its log when a call asks and when it arrives. In the end it prints the processor time that it took, and the
versions of what it used.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from gateway import gateway
from loads import ANSWER, BEGINS, LOADS, MINUTE, REQUESTS, TOKENS, Work
from peer import Call, Peer, Terms

FIRST = 1_000_000
"""Calls of each worker have numbers of their own."""


async def work(kind: type[Peer], task: dict[str, str | int | None], log: int, versions: dict[str, str]) -> None:
    load = LOADS[str(task["load"])]
    works: dict[int, Work] = {}
    first = FIRST * (1 + int(task.get("worker") or 0))

    def note(event: dict[str, float | bool]) -> None:
        os.write(log, json.dumps(event).encode() + b"\n")

    def arrive(number: int) -> None:
        note({"number": number, "arrived": time.time()})

    async def ask(size: Work, *, large: bool = False) -> None:
        number = first + len(works)
        works[number] = size
        note({"number": number, "asked": time.time(), "used": size.used, "large": large})
        await peer.call(Call(number, size, arrive))

    async def forever(number: int) -> None:
        await asyncio.sleep(number * (load.pace or 0.01) / load.callers)
        while True:
            await ask(load.work)
            if load.pace is not None:
                await asyncio.sleep(load.pace - ANSWER)

    async def once(size: Work) -> None:
        await asyncio.sleep(load.large_at)
        await ask(size, large=True)

    async with AsyncExitStack() as stack:
        url = task.get("gateway") or await stack.enter_async_context(gateway(arrive, works))
        terms = Terms(
            load.pace is None,
            REQUESTS,
            TOKENS,
            load.callers + 1,
            load.work.max_tokens,
            str(url),
            **{name: task.get(name) for name in ("port", "folder")},  # type: ignore[arg-type]
        )
        async with kind(terms) as peer:
            print("ready", flush=True)
            given = sys.stdin.readline().strip()
            begin = float(given) if given else time.time() - time.time() % MINUTE + MINUTE + BEGINS
            await asyncio.sleep(begin - time.time())
            cpu = time.process_time()
            tasks = [asyncio.create_task(forever(number)) for number in range(load.callers)]
            if load.large is not None:
                tasks.append(asyncio.create_task(once(load.large)))
            done, _ = await asyncio.wait(tasks, timeout=load.seconds, return_when=asyncio.FIRST_EXCEPTION)
            cpu = time.process_time() - cpu
            for one in done:
                one.result()
            print(json.dumps({"cpu": cpu, "begin": begin, "versions": versions}), flush=True)
            os._exit(0)  # how others end is no matter here


def main() -> None:
    name, given = sys.argv[1:]
    task = json.loads(given)
    module = importlib.import_module(f"peers.{name}")
    log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    versions = {one: version(one) for one in getattr(module, "PACKAGES", ())}
    asyncio.run(work(module.Adapter, task, log, versions))


if __name__ == "__main__":
    main()
