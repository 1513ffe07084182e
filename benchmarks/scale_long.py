"""A long batch by one process and by two, each killed twice on its way, and gone on with: ``nox -s scale_runs``.

    python benchmarks/scale_long.py [--rows 300000] [plain] [2]

Every process of the command is ended by SIGKILL after a third and after two thirds of the rows; the same command goes
on. Seconds and rows/s are of all three runs together; *going on* is the time from the start of a command until it has a
connection to the gateway again; *killed at*: the answers that were in files then. Peaks are in MiB: of the process that
leads, of the largest other one, and of all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from scale_processes import write_rows
from stub import running


class Watched:
    """One start of the command: its processes, and what they have done."""

    def __init__(self, url: str, folder: Path, words: list[str], concurrency: int) -> None:
        self.folder, self._port = folder, urlsplit(url).port or 0
        self.leading = self.largest = self.whole = 0.0
        self.connected: float | None = None
        self._counted: dict[Path, tuple[int, int]] = {}
        environment = {**os.environ, "ANYFAST_BASE_URL": url, "ANYFAST_API_KEY": "sk-made-up-for-the-stub"}
        command = [sys.executable, "-m", "anyfast_async", "batch", "-i", "in.jsonl", "-o", "out.jsonl", "-m", "m"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--json", "--concurrency", str(concurrency), *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _members(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid:  # its session
                found.append(int(path.parent.name))
        return found

    def look(self) -> None:
        """Take in the sizes of processes, and whether there is a connection."""
        if self.connected is None:
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                _, _, there, state, *_ = line.split()
                if state == "01" and int(there.partition(":")[2], 16) == self._port:
                    self.connected = time.monotonic() - self.began
                    break
        sizes = {}
        for pid in self._members():
            try:
                found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            except OSError:
                continue
            if found is not None:
                sizes[pid] = int(found[1]) / 1024
        self.leading = max(self.leading, sizes.pop(self.process.pid, 0.0))
        self.largest = max([self.largest, *sizes.values()])
        self.whole = max(self.whole, self.leading + sum(sizes.values()))

    def answered(self) -> int:
        """Return how many rows have an answer in the files; of a shard's files the largest holds all of them."""
        outputs = [*self.folder.glob("out.jsonl.shards/outputs/*.jsonl")]
        outputs += [path.parent / path.name.removesuffix(".shard") for path in self.folder.glob("*/outputs/*.shard")]
        total = 0
        for output in {self.folder / "out.jsonl", *outputs}:
            files = (output, *output.parent.glob(f"{output.name}.shard/answers-*.jsonl"))
            total += max((self._lines_of(one) for one in files), default=0)
        return total

    def _lines_of(self, path: Path) -> int:
        """Return the lines of a file that only grows, counted from where they were counted to."""
        at, lines = self._counted.get(path, (0, 0))
        try:
            with path.open("rb") as file:
                file.seek(at)
                while block := file.read(1 << 20):
                    at, lines = at + len(block), lines + block.count(b"\n")
        except FileNotFoundError:
            return 0
        self._counted[path] = at, lines
        return lines

    def until(self, rows: int) -> None:
        """Wait until so many rows have an answer, or it ends."""
        while self.process.poll() is None and self.answered() < rows:
            self.look()
            time.sleep(0.2)

    def kill(self) -> None:
        """End all of its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        time.sleep(0.2)


def run(url: str, folder: Path, rows: int, words: list[str], concurrency: int) -> str:
    """Return the row of a table."""
    for path in folder.glob("out*"):
        subprocess.run(["rm", "-rf", str(path)], check=True)  # noqa: S603, S607
    seconds, waits, killed = 0.0, [], []
    leading = largest = whole = 0.0
    for part in (rows // 3, 2 * rows // 3, None):
        watched = Watched(url, folder, words, concurrency)
        if part is not None:
            watched.until(part)
            watched.kill()
            killed.append(watched.answered())
        else:
            while watched.process.poll() is None:
                watched.look()
                time.sleep(0.2)
            said = json.loads((watched.process.communicate()[0] or b"{}").decode().splitlines()[-1])
            assert said["status"] == "complete", said
        seconds += time.monotonic() - watched.began
        waits.append(watched.connected or 0.0)
        leading, largest = max(leading, watched.leading), max(largest, watched.largest)
        whole = max(whole, watched.whole)
    with (folder / "out.jsonl").open() as file:
        ids = Counter(json.loads(line)["custom_id"] for line in file)
    lost, twice = rows - len(ids), sum(ids.values()) - len(ids)
    at = " and ".join(f"{one:,}" for one in killed)
    going_on = " and ".join(f"{one:.1f}" for one in waits[1:])
    way = " ".join(words) or "one process"
    return (
        f"| {way} | {seconds:.0f} | {rows / seconds:,.0f} | {at} | {waits[0]:.1f} | {going_on} | "
        f"{leading:.0f} | {largest:.0f} | {whole:.0f} | {lost} | {twice} |"
    )


def main() -> None:
    """Run each way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("ways", nargs="*", default=["plain", "2"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running() as gateway:
        folder = Path(name)
        write_rows(folder / "in.jsonl", given.rows)
        print(
            "| way | seconds | rows/s | killed at | begins, s | going on, s | leads | largest | all | lost | twice |",
            flush=True,
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for way in given.ways:
            words = [] if way == "plain" else ["--processes", way]
            print(run(gateway.url, folder, given.rows, words, given.concurrency), flush=True)


if __name__ == "__main__":
    main()
