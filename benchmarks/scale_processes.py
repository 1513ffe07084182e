"""One process against several: ``anyfast batch`` on the same rows, with the stub gateway.

    python benchmarks/scale_processes.py --rows 60000 --rounds 3 plain apart 2 dask

``plain`` is one process, a number so many of them, ``dask`` two workers of a local cluster. ``apart`` is what the
machine can do: two plain commands at once that know nothing of each other, each with half of the rows and half of
``--concurrency``. The ways take turns. *Sending* is without starting, looking at the input and putting the answers
together; ratios are of its medians. The gateway is a process of its own on the same machine:
how much of a processor it takes stands in the table, with the load of the machine before the turn. The peak is that of
the process that leads, in MiB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from stub import running

KINDS = {"plain": [], "dask": ["--dask", "local", "--processes", "2"]}
HEAD = "| way | seconds | sending | rows/s | rows/CPU s | gateway's part | load | peak |"


class Ran(NamedTuple):
    """What one run took."""

    seconds: float
    sending: float
    """Without starting, looking at the input and putting the answers together."""
    peak: float


class Command:
    """One that runs."""

    def __init__(self, url: str, source: Path, out: Path, words: list[str], concurrency: int) -> None:
        environment = {**os.environ, "ANYFAST_BASE_URL": url, "ANYFAST_API_KEY": "sk-made-up-for-the-stub"}
        command = [sys.executable, "-m", "anyfast_async", "batch", "-i", str(source), "-o", str(out), "-m", "m"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--json", "--concurrency", str(concurrency), *words],
            env=environment,
            stdout=self._said,
            stderr=subprocess.DEVNULL,
        )
        self.began = time.monotonic()
        self.peak = 0.0

    def look(self) -> bool:
        """Take in its size; return whether it has ended."""
        try:
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        except OSError:
            found = None
        self.peak = max(self.peak, int(found[1]) / 1024 if found else 0.0)
        return self.process.poll() is not None

    def ended(self, rows: int) -> Ran:
        """Return what it took; every row must have its answer."""
        seconds = time.monotonic() - self.began
        with self._said as file:
            file.seek(0)
            end = json.loads(file.read().splitlines()[-1])
        assert end["answered"] == rows, end
        return Ran(seconds, end["seconds"], self.peak)


def run(  # noqa: PLR0917 - what a run is made of
    url: str, folder: Path, source: Path, rows: int, words: list[str], concurrency: int
) -> Ran:
    """Run the command; every row must have its answer."""
    (found,) = runs(url, folder, [(source, rows)], words, concurrency)
    return found


def runs(url: str, folder: Path, parts: list[tuple[Path, int]], words: list[str], concurrency: int) -> list[Ran]:
    """Run the command for each of the parts at once, with a part of *concurrency*."""
    for path in folder.glob("out*"):
        path.unlink()
    commands = [
        Command(url, source, folder / f"out-{number}.jsonl", words, concurrency // len(parts))
        for number, (source, _) in enumerate(parts)
    ]
    while sum(command.look() for command in commands) < len(commands):
        time.sleep(0.05)
    return [command.ended(rows) for command, (_, rows) in zip(commands, parts, strict=True)]


def write_rows(path: Path, rows: int) -> None:
    """Write an input."""
    with path.open("w") as file:
        for n in range(rows):
            body = {"messages": [{"role": "user", "content": f"Say something about {n}."}], "max_tokens": 100}
            line = {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


def cpu_of(pid: int) -> float:
    """Return the seconds of processors that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run each in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("ways", nargs="*", default=["plain", "apart", "2"])
    given = parser.parse_args()
    half = given.rows // 2
    seen: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, running() as gateway:
        folder = Path(name)
        source, one, two = folder / "in.jsonl", folder / "in-0.jsonl", folder / "in-1.jsonl"
        for path, rows in ((source, given.rows), (one, half), (two, given.rows - half)):
            write_rows(path, rows)
        print(HEAD + "\n" + "|---" * (HEAD.count("|") - 1) + "|", flush=True)
        for _ in range(given.rounds):
            for way in given.ways:
                parts = [(one, half), (two, given.rows - half)] if way == "apart" else [(source, given.rows)]
                words = [] if way == "apart" else KINDS.get(way, ["--processes", way])
                before, answering, load = os.times(), cpu_of(gateway.pid), os.getloadavg()[0]
                ran = runs(gateway.url, folder, parts, words, given.concurrency)
                after, answering = os.times(), cpu_of(gateway.pid) - answering
                cpu = after.children_user + after.children_system - before.children_user - before.children_system
                whole, sending, peak = (max(values) for values in zip(*ran, strict=True))
                seen[way].append(given.rows / sending)
                print(
                    f"| {way} | {whole:.1f} | {sending:.1f} | {given.rows / sending:,.0f} | {given.rows / cpu:,.0f} "
                    f"| {answering / sending:.1%} | {load:.1f} | {peak:.0f} |",
                    flush=True,
                )
    for other, way in itertools.combinations(seen, 2):
        ratio = statistics.median(seen[way]) / statistics.median(seen[other])
        by_round = ", ".join(f"{a / b:.2f}" for a, b in zip(seen[way], seen[other], strict=True))
        print(f"{way}: {ratio:.2f}x {other} while sending ({by_round})")


if __name__ == "__main__":
    main()
