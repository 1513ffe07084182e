"""One process against several: ``anyfast batch`` on the same rows, with the stub gateway.

    python benchmarks/scale_processes.py --rows 20000 plain 1 2 4 dask

Rows a second need free cores; rows a CPU second hold on a busy machine, too. The peak of the process that leads is in
MiB, without its workers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from stub import running


class Ran(NamedTuple):
    """What one run took."""

    seconds: float
    sending: float
    """Without starting, looking at the input and putting the answers together."""
    peak: float


def run(  # noqa: PLR0917 - what a run is made of
    url: str, folder: Path, source: Path, rows: int, words: list[str], concurrency: int
) -> Ran:
    """Run the command; every row must have its answer."""
    out = folder / "out.jsonl"
    for path in folder.glob("out*"):
        path.unlink()
    environment = {**os.environ, "ANYFAST_BASE_URL": url, "ANYFAST_API_KEY": "sk-made-up-for-the-stub"}
    command = [sys.executable, "-m", "anyfast_async", "batch", "-i", str(source), "-o", str(out), "-m", "m", "--json"]
    began = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--concurrency", str(concurrency), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    peak = 0.0
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said = b""
    while process.poll() is None:
        try:
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        except OSError:
            found = None
        peak = max(peak, int(found[1]) / 1024 if found else 0.0)
        said += process.stdout.read() or b""
        time.sleep(0.05)
    said += process.stdout.read() or b""
    seconds = time.monotonic() - began
    end = json.loads(said.decode().splitlines()[-1])
    assert end["answered"] == rows, end
    return Ran(seconds, end["seconds"], peak)


def write_rows(path: Path, rows: int) -> None:
    """Write an input."""
    with path.open("w") as file:
        for n in range(rows):
            body = {"messages": [{"role": "user", "content": f"Say something about {n}."}], "max_tokens": 100}
            line = {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


def main() -> None:
    """Run each in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("ways", nargs="*", default=["plain", "1", "2"])
    given = parser.parse_args()
    kinds = {"plain": [], "dask": ["--dask", "local", "--processes", "2"]}
    with tempfile.TemporaryDirectory() as name, running() as gateway:
        folder = Path(name)
        source = folder / "in.jsonl"
        write_rows(source, given.rows)
        print("| way | seconds | rows/s | rows/CPU s | peak MiB |\n|---|---|---|---|---|", flush=True)
        for _ in range(given.rounds):
            for way in given.ways:
                before = os.times()
                ran = run(
                    gateway.url, folder, source, given.rows, kinds.get(way, ["--processes", way]), given.concurrency
                )
                after = os.times()
                cpu = after.children_user + after.children_system - before.children_user - before.children_system
                rate, each = given.rows / ran.sending, given.rows / cpu
                print(f"| {way} | {ran.seconds:.1f} | {rate:,.0f} | {each:,.0f} | {ran.peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
