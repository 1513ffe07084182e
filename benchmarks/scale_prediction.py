"""What the simulation says of two and four processes, beside what they do: ``nox -s scale_runs``.

    python benchmarks/scale_prediction.py [--rows 1920] [--delay-ms 1000]

Every worker has 64 rows at once, and answers take a second: four workers are no more than a part of a core, so what
is predicted is the order of events (shards that wait, start and end), not the speed of a processor. What a shard costs
before its first row is taken from a run of one process; nothing else is fitted. Off is how far the prediction is from
what was seen; more than 15 % ends the program with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import attrs
from scale_processes import run, write_rows
from scale_simulation import COSTS, World, simulate
from stub import running

AT_ONCE, PIECES = 64, 4


def seconds_of(url: str, folder: Path, rows: int, workers: int) -> float:
    """Return the seconds of sending that a run of the command takes."""
    source = folder / f"in-{workers}.jsonl"
    write_rows(source, rows)
    return run(url, folder, source, rows, ["--processes", str(workers)], AT_ONCE * workers).sending


def main() -> None:
    """Measure one process, predict and measure others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1920, help="for each worker")
    parser.add_argument("--delay-ms", type=int, default=1000)
    given = parser.parse_args()
    latency, wrong = given.delay_ms / 1000, False
    with tempfile.TemporaryDirectory() as name, running(delay_ms=given.delay_ms) as gateway:
        folder = Path(name)
        one = seconds_of(gateway.url, folder, given.rows, 1)
        start = (one - given.rows * latency / AT_ONCE) / PIECES
        costs = attrs.evolve(COSTS, latency=latency, in_flight=AT_ONCE, start=max(0.0, start))
        print(f"one process: {one:.1f} s, so a shard takes {start:.2f} s beside its answers", flush=True)
        print("| workers | rows | predicted, s | seen, s | off |\n|---|---|---|---|---|", flush=True)
        for workers in (2, 4):
            world = World(workers=workers, rows=given.rows * workers, shard=given.rows // PIECES, costs=costs)
            predicted = simulate(world).sending
            seen = seconds_of(gateway.url, folder, given.rows * workers, workers)
            off = predicted / seen - 1
            wrong |= abs(off) > 0.15
            print(f"| {workers} | {given.rows * workers} | {predicted:.1f} | {seen:.1f} | {off:+.0%} |", flush=True)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
