"""The memory of the process that leads ``anyfast batch --processes 2``: it does not grow with the rows.

    python benchmarks/scale_memory.py [--rows 10000 100000 1000000]

Workers write an answer for each row without sending anything; all else is what the command does: cutting, looking,
leases, beats, the view, putting together. Each number of rows has a process of its own. Peaks are in MiB; more than an
eighth (and 2 MiB) above that of the fewest rows ends the program with 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch_memory import ANSWER, resident, write_input

from anyfast_async._core.journal.journal_lines import STEM_DIGITS, answer_line
from anyfast_async.batch.counts import Census
from anyfast_async.batch.input.survey import Survey, ids_of
from anyfast_async.batch.output_files import BatchFiles
from anyfast_async.batch.tally import Tally
from anyfast_async.cli import main as command
from anyfast_async.scale import ShardResult, sharded_run
from anyfast_async.scale.lease import Lease
from anyfast_async.scale.settings import BatchSettings, Turn
from anyfast_async.scale.shard import ShardRun
from anyfast_async.scale.totals import state_of


class CannedShard(ShardRun):
    """A shard of which all but the sending is real."""

    async def _sending(self, lease: Lease, files: BatchFiles, found: Survey, census: Census) -> ShardResult:
        tally = Tally(found.total, census.already)
        line = answer_line("ID", ANSWER, stem="0" * STEM_DIGITS)
        for number, custom_id in enumerate(ids_of(found)):
            files.journal.started(custom_id)
            files.journal.answered(custom_id, line.replace(b'"ID"', b'"%b"' % custom_id.encode(), 1))
            tally.count_answer(ANSWER)
            if number % 1000 == 0:
                self._said = {"session": self._turn.session, "tally": state_of(tally)}
        return ShardResult(status="complete", tally=state_of(tally), lease=lease.number)


def canned_shard(source: Path, output: Path, settings: BatchSettings, *, found: Survey, turn: Turn) -> ShardResult:
    """Do a shard without sending anything: called by a worker."""
    return CannedShard(source, output, settings, found, turn).run()


def lead(rows: int, folder: Path) -> None:
    """Be the command, and print the peak of this process."""
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    sharded_run.run_shard = canned_shard
    began = time.monotonic()
    code = command(["batch", "-i", str(source), "-o", str(output), "-q", "--processes", "2"])
    seconds = time.monotonic() - began
    with output.open("rb") as file:
        lines = sum(1 for _ in file)
    print(f"| {rows:,} | {lines:,} | {code} | {seconds:.0f} | {resident('VmHWM'):.1f} |", flush=True)
    sys.exit(int(code != 0 or lines != rows))


def main() -> None:
    """Run the command for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--lead", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lead is not None:
        lead(given.rows[0], given.lead)
    os.environ["ANYFAST_API_KEY"] = "sk-made-up-for-the-stub"
    print("| rows | in the output | exit code | seconds | peak |\n|---|---|---|---|---|", flush=True)
    peaks = []
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as name:
            write_input(Path(name) / "in.jsonl", rows)
            words = [sys.executable, __file__, "--rows", str(rows), "--lead", name]
            said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - this file
        print(said, end="", flush=True)
        peaks.append(float(said.split("|")[-2]))
    sys.exit(max(peaks) > peaks[0] * 1.125 + 2)


if __name__ == "__main__":
    main()
