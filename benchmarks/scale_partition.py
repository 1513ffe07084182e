"""One of two workers of Dask is cut off for half a minute: ``nox -s scale_runs``. Linux, as root.

    python benchmarks/scale_partition.py [--times 5] [--rows 3000] [--seconds 30]

The worker is in a network namespace of its own, with one link to the scheduler and one to the gateway. At a random
moment the first goes down, and an empty file system is put over the folder of the output (every second time: only over
the leases in it, so that all the rest goes on), so that it can neither tell nor see anything: but the gateway is there
for it, as it is for the others, which is the worst case. Afterwards both are as before.
Where there are no namespaces it is stopped by SIGSTOP instead, and that is said.

For each time: rows lost or twice in the output (0), requests of that worker after the cut and when the last one came
(within 60 % of a lease of 30 s), rows sent again, and of these how many are not named as perhaps billed twice (0).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from dask_cluster import Cluster, running
from scale_quota import write_rows

NAMESPACE = "anyfast-cut"
NEAR, FAR = "10.77.0.1", "10.77.0.2"
GATEWAY, SENDER = "10.78.0.1", "10.78.0.2"
LEASE, HOLDS = 30.0, 18.0
ANSWER = 3.0
"""Seconds: so long that a shard takes longer than a lease."""


def do(*words: str) -> None:
    """Run a command of the system."""
    subprocess.run(words, check=True, capture_output=True)  # noqa: S603 - ours


@contextmanager
def links() -> Iterator[bool]:
    """Make a namespace with two links; give whether there is one."""
    if shutil.which("ip") is None or os.geteuid():
        yield False
        return
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)  # noqa: S603, S607
    try:
        do("ip", "netns", "add", NAMESPACE)
    except subprocess.CalledProcessError:
        yield False
        return
    try:
        for name, here, there in (("afs", NEAR, FAR), ("afg", GATEWAY, SENDER)):
            do("ip", "link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1", "netns", NAMESPACE)
            do("ip", "addr", "add", f"{here}/24", "dev", f"{name}0")
            do("ip", "link", "set", f"{name}0", "up")
            do("ip", "-n", NAMESPACE, "addr", "add", f"{there}/24", "dev", f"{name}1")
            do("ip", "-n", NAMESPACE, "link", "set", f"{name}1", "up")
        do("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        yield True
    finally:
        do("ip", "netns", "del", NAMESPACE)


class Gateway:
    """Answers after some seconds, and notes when each request came, from where, and for which row."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(size))
                row = request["messages"][-1]["content"].partition(":")[0]
                self.asked.append((time.monotonic(), peer, row))
                await asyncio.sleep(ANSWER)
                message = {"role": "assistant", "content": row}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
                answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
                body = json.dumps(answer | {"usage": usage}).encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(head + body)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def cut(cluster: Cluster, over: list[Path], *, is_cut: bool, has_links: bool) -> None:
    """Cut the worker off, also from the folders *over*, or let it back."""
    process = cluster.processes["cut"]
    if not has_links:
        process.send_signal(signal.SIGSTOP if is_cut else signal.SIGCONT)
        return
    if process.poll() is not None:  # it ended itself meanwhile, as distributed's workers do without a scheduler
        do("ip", "-n", NAMESPACE, "link", "set", "afs1", "down" if is_cut else "up")
        return
    inside = ("nsenter", "-t", str(process.pid), "-m")
    if is_cut:
        do("ip", "-n", NAMESPACE, "link", "set", "afs1", "down")
        for folder in over:
            do(*inside, "mount", "-t", "tmpfs", "none", str(folder))
    else:
        for folder in over:
            do(*inside, "umount", str(folder))
        do("ip", "-n", NAMESPACE, "link", "set", "afs1", "up")


async def run(turn: int, rows: int, seconds: float, *, has_links: bool) -> list[str]:
    """Print the row of a run; return what was out of bounds."""
    gateway = Gateway()
    here, at = (GATEWAY, NEAR) if has_links else ("127.0.0.1", "127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="af") as made:
        folder = Path(made)
        shared = folder / "shared"
        shared.mkdir()
        server = await asyncio.start_server(gateway.serve, here, 0)
        url = f"http://{here}:{server.sockets[0].getsockname()[1]}/v1"
        write_rows(folder / "shared" / "in.jsonl", rows, 20)
        with running(folder, url, at) as cluster:
            before = ("ip", "netns", "exec", NAMESPACE) if has_links else ()
            cluster.worker("cut", "--host", FAR if has_links else at, before=before)
            cluster.worker("other", "--host", at)
            command = [sys.executable, "-m", "anyfast_async", "batch", "-i", "in.jsonl", "-o", "out.jsonl", "-m", "m"]
            sending = await asyncio.create_subprocess_exec(
                *[*command, "--dask", cluster.address, "--json", "--concurrency", "64"],
                cwd=shared,
                env=cluster.environment(key=False),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            moment = random.Random(turn).randint(64, rows // 2)
            ended = asyncio.create_task(sending.communicate())
            while len(gateway.asked) < moment and not ended.done():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            leases = shared.glob("out.jsonl.shards/outputs/*.shard")
            over = [*leases] if turn % 2 == 0 else [shared]
            cut(cluster, over, is_cut=True, has_links=has_links)
            cut_at = time.monotonic()
            await asyncio.sleep(seconds)
            cut(cluster, over, is_cut=False, has_links=has_links)
            out, err = await ended
        server.close()
        found = [json.loads(line)["custom_id"] for line in (shared / "out.jsonl").open()]
    if sending.returncode:
        return [f"turn {turn}: exit code {sending.returncode}: {err.decode()[-500:]}"]
    said = json.loads(out.decode().splitlines()[-1])
    return judge(turn, rows, moment, cut_at, gateway.asked, found, said["maybe_billed"], has_links=has_links)


def judge(  # noqa: PLR0917
    turn: int,
    rows: int,
    moment: int,
    cut_at: float,
    asked: list[tuple[float, str, str]],
    found: list[str],
    named: list[str],
    *,
    has_links: bool,
) -> list[str]:
    """Print what was seen; return what was out of bounds."""
    lost = rows - len(set(found))
    twice = len(found) - len(set(found))
    late = [when - cut_at for when, peer, _ in asked if peer == SENDER and when > cut_at]
    # It may come back and work again: what counts is when it stopped.
    pause = next((before for before, after in pairwise(late) if after - before > 8), None)
    last = pause if pause is not None else late[-1] if late else 0.0
    times = Counter(row for *_, row in asked)
    again = {row for row, n in times.items() if n > 1}
    ids = {re.sub("row-", "r", row) for row in again}
    unnamed = ids - set(named)
    shown = f"{last:.1f}" if has_links else "-"
    most = max(times.values())
    print(
        f"| {turn} | {moment} | {lost} | {twice} | {len(late)} | {shown} | {len(again)} | {most} | {len(unnamed)} |",
        flush=True,
    )
    wrong = [f"turn {turn}: {lost} lost, {twice} twice"] if lost or twice else []
    if has_links and last > HOLDS + 1:
        wrong.append(f"turn {turn}: sent {last:.1f} s after the cut")
    if unnamed:
        wrong.append(f"turn {turn}: {len(unnamed)} rows were sent again and are not named")
    return wrong


def main() -> None:
    """Make the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    wrong = []
    with links() as has_links:
        print("cut off by", "a network namespace, and its files away" if has_links else "SIGSTOP")
        print("| time | after | lost | twice | sent by it after the cut | last, s | again | most | not named |")
        for turn in range(given.times):
            wrong += asyncio.run(run(turn, given.rows, given.seconds, has_links=has_links))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
