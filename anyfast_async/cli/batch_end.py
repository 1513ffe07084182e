"""How ``anyfast batch`` ended, in words or as JSON, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from anyfast_async.batch import BatchFiles, BatchRun, Tally
from anyfast_async.batch.inert import json_text
from anyfast_async.batch.report import Recorder
from anyfast_async.cli import exits, figures
from anyfast_async.cli.batch_job import Job
from anyfast_async.cli.batch_plan import Sample
from anyfast_async.cli.money import cost_json
from anyfast_async.cli.progress import print_summary
from anyfast_async.cli.terminal import say, write
from anyfast_async.errors import AnyFastError

_NAMED: Final = 20
"""Rows that are named."""


@attrs.frozen
class Ending:
    """What became of a job.

    Args:
        job: what was to be done.
        already: rows that had a result before.
        run: None if there was nothing to do.
        signal: the number of the one that ended it.
        sample: of an estimate.
        record: for a report.

    """

    job: Job
    already: int
    run: BatchRun | None = None
    signal: int | None = None
    sample: Sample | None = None
    record: Recorder | None = None

    @property
    def tally(self) -> Tally:
        """The counts of the run."""
        return Tally(self.already, self.already) if self.run is None else self.run.tally

    @property
    def left(self) -> int:
        """Rows of the input without a result."""
        return self.job.survey.count - self.already - self.tally.answered - self.tally.failed

    @property
    def status(self) -> str:
        """``complete``, ``estimated``, ``stopped`` or ``interrupted``."""
        if self.signal is not None and self.tally.left:
            return "interrupted"
        if self.run is not None and self.run.stopped is not None:
            return "stopped"
        return "estimated" if self.sample is not None and self.left else "complete"

    @property
    def is_nothing(self) -> bool:
        """Whether nothing came of it, and nothing may still be billed: it can be begun with other parameters."""
        return self.run is not None and not (self.run.unfinished or self.tally.done)

    @property
    def needs_input(self) -> bool:
        """Whether the same command has something to send."""
        return self.left > 0 or self.tally.failed > 0

    @property
    def code(self) -> int:
        """The exit code."""
        match self.status:
            case "interrupted":
                return 128 + (self.signal or 0)
            case "stopped":
                return exits.STOPPED
        return exits.FAILED if self.tally.failed else exits.OK

    def tell(self) -> None:
        """Print how it went."""
        options, tally, run = self.job.options, self.tally, self.run
        if options.as_json:
            write(f"{json_text({'event': 'end', **self._as_json()})}\n")
        elif run is None:
            write(f"nothing to do: every row ({figures.counted(self.already)}) has its result; nothing was sent\n")
        else:
            lines = [*figures.summary(tally, self.job.spend), ("output", str(options.answers))]
            print_summary([*lines, *(self.sample.lines(tally) if self.sample is not None else ())])
        if tally.failed:
            say(f"{figures.rows_of(tally.failed)} failed: {options.failures}; the same command sends them again")
        if run is not None and run.stopped is not None:
            report(run.stopped)
        if run is not None and run.unsaved:
            say(f"{figures.rows_of(run.unsaved)} answered, but not safely on the disk; they may be sent again")
        if run is not None and self.status in ("interrupted", "stopped") and run.unfinished:
            say(f"in work without a result, so perhaps billed now and again when sent again: {_named(run.unfinished)}")
        if self.left:
            say(f"{figures.rows_of(self.left)} left; to go on:\n  {self.job.command}")

    def _as_json(self) -> dict[str, Any]:
        run = self.run
        stopped = run.stopped if run is not None else None
        return {
            "status": self.status,
            **figures.as_json(self.tally),
            **cost_json(self.job.prices, self.tally.spent),
            "output": str(self.job.options.answers),
            "errors": str(self.job.options.failures) if self.tally.failed else None,
            "unfinished": list(run.unfinished) if run is not None else [],
            "unsaved": run.unsaved if run is not None else 0,
            "stopped_by": None if stopped is None else _described(stopped),
            "estimate": None if self.sample is None else self.sample.as_json(self.tally),
        }


def note_recovery(job: Job, files: BatchFiles, answered: int) -> None:
    """Say what an earlier run has left: answers to other rows, damage, rows that may be billed twice."""
    output, source = job.options.answers, job.options.input_name
    foreign = files.answered - answered
    if foreign > 0:
        say(f"note: {output} holds {figures.counted(foreign)} answers to rows that are not in {source}")
    if files.quarantined:
        say(f"note: {output} had {figures.counted(files.quarantined)} damaged lines; their rows are sent again")
    if files.maybe_billed:
        say(f"note: in work when an earlier run was killed, so perhaps billed twice: {_named(files.maybe_billed)}")


def report(error: AnyFastError | OSError) -> None:
    """Say what went wrong, and what to do."""
    if isinstance(error, AnyFastError):
        exits.report(error)
    else:
        say(f"error: {error.filename or 'a file'}: {error.strerror or error}")


def _described(error: AnyFastError | OSError) -> dict[str, str]:
    return {"kind": error.kind if isinstance(error, AnyFastError) else "disk", "message": str(error)}


def _named(ids: Sequence[str]) -> str:
    more = f" and {figures.counted(len(ids) - _NAMED)} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
