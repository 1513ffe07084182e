"""From shards to one output, and from an output that was begun otherwise to shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import attrs

from anyfast_async._core.journal.journal_lines import record_in
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._core.json import codec
from anyfast_async._journal.disk import lines_of, replace
from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.input.survey import ids_of
from anyfast_async.batch.output_files import BatchFiles
from anyfast_async.batch.report.stretch import NOTE
from anyfast_async.scale.parquet_parts import part_of, parts_folder
from anyfast_async.scale.plan import Plan, outputs_of

_BLOCK: Final = 1024 * 1024
_CHECKSUM: Final = 9
"""Bytes before the JSON in a line of a log."""
_FIGURES: Final = b'{"%b":' % NOTE.encode()


def spread(plan: Plan, files: BatchFiles) -> None:
    """Give each shard what stands in the output for its rows already; what is of no row is kept for :func:`merge`.

    Args:
        plan: not begun.
        files: of the output, open and settled.

    Raises:
        OSError: a file cannot be read or written.

    """
    records = files.journal.records
    if not len(records.answered) and not len(records.failed):
        return
    spread_out = set[int]()
    for shard in plan.shards:
        with ExitStack() as opened:
            answers, failures = _Lines(shard.output, opened), _Lines(failures_of(shard.output), opened)
            for custom_id in ids_of(shard.found):
                at = records.answered.find(custom_id)
                if at is not None:
                    spread_out.add(at)
                    answers.write(records.answer(custom_id))
                else:
                    failures.write(records.failure(custom_id))
    with ExitStack() as opened:
        foreign = _Lines(plan.foreign, opened)
        for at, line in lines_of(records.answers):
            if at not in spread_out and line.strip():
                foreign.write(line)


class _Lines:
    """A file that is there once a line is."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        self._path, self._opened = path, opened
        self._file: IO[bytes] | None = None

    def write(self, line: bytes | None) -> None:
        if line is None:
            return
        if self._file is None:
            self._file = self._opened.enter_context(self._path.open("wb"))
        self._file.write(line if line.endswith(b"\n") else line + b"\n")


def merge(plan: Plan, files: BatchFiles, *, is_last: bool) -> None:
    """Put what the shards have into the output, as a whole: first what is in no shard, then in the order of the input.

    Args:
        plan: whose shards have let go.
        files: of the output, open; nothing is written to them but by this.
        is_last: whether the shards are done for now, so that what they know besides goes into the log of the output.

    Raises:
        OSError: it cannot be written; the output is as it was.

    """
    records = files.journal.records
    answers = [plan.foreign, *outputs_of(plan)]
    replace(records.answers, blocks_of(answers))
    failures = blocks_of(failures_of(path) for path in outputs_of(plan))
    first = next(failures, None)
    if first is not None:
        replace(records.failures, chain((first,), failures))
    else:
        records.failures.unlink(missing_ok=True)
    _record(plan, files)
    if is_last:
        _gather_parts(plan, records.answers)
        _note(plan, files)


def blocks_of(paths: Iterable[Path]) -> Iterator[bytes]:
    """Yield what stands in files, those that are there, one after another; each ends in a line end.

    Not line by line: this is the one part of a run over shards that one process does for all of them.
    """
    for path in paths:
        if not path.exists():
            continue
        last = b"\n"
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                yield block
                last = block[-1:]
        if last != b"\n":
            yield b"\n"


def _gather_parts(plan: Plan, output: Path) -> None:
    """Put the Parquet files of the shards, where they have any, into one folder, in the order of the input."""
    parts = [part for path in outputs_of(plan) if (part := part_of(path)).exists()]
    if parts:
        folder = parts_folder(output)
        folder.mkdir(exist_ok=True)
        for before in folder.glob("part-*.parquet"):
            before.unlink()
        for number, part in enumerate(parts):
            part.replace(folder / f"part-{number:05d}.parquet")


def _record(plan: Plan, files: BatchFiles) -> None:
    """Take over what workers have recorded for a report, but for what was taken over before."""
    known = {data for _, data in _figures_in(files.journal.records.log)}
    for path in outputs_of(plan):
        for value, data in _figures_in(log_of(path)):
            if data not in known:
                files.journal.note(NOTE, value)


def _figures_in(log: Path) -> Iterator[tuple[Any, bytes]]:
    for _, line in lines_of(log):
        if line.startswith(_FIGURES, _CHECKSUM) and (data := record_in(line)) is not None:
            yield codec.loads(data)[NOTE], data


def _note(plan: Plan, files: BatchFiles) -> None:
    """Write down what the logs of the shards say of money: rows that may be billed twice, and what no answer says."""
    journal, together = files.journal, LogReplay()
    for path in outputs_of(plan):
        past = LogReplay()
        for _, line in lines_of(log_of(path)):
            past.add(line)
        together.maybe_billed |= past.maybe_billed
        for name, asked in past.models.items():
            together.models.setdefault(name, set()).update(asked)
        together.bill.tokens += past.bill.tokens
        together.bill.cost += past.bill.cost
        together.bill.uncounted += past.bill.uncounted
        together.bill.covered += past.bill.covered
        together.sent += past.sent
    new = [one for one in together.maybe_billed if one not in journal.records.past.maybe_billed]
    if new:
        journal.note("maybe_billed", new)
    bill = together.bill
    if any(attrs.astuple(bill)):
        journal.note(
            "spent", {"tokens": bill.tokens, "usd": bill.cost, "uncounted": bill.uncounted, "answered": bill.covered}
        )
    for name, asked in together.models.items():
        for one in asked - journal.records.past.models.get(name, set()):
            journal.note("model", [name, one])
    for sent in sorted(together.sent):
        journal.note("sent", [*sent])
