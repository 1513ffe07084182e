"""How ``anyfast batch`` ended, in words or as JSON, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._values.text import counted
from anyfast_async.batch import BatchFiles, BatchRun, Tally
from anyfast_async.batch.counts import Census
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.cli import exit_codes
from anyfast_async.cli.advice import cause_of
from anyfast_async.cli.batch.dry_run import SentSample
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.money import cost_json
from anyfast_async.cli.display.progress import print_summary
from anyfast_async.cli.display.terminal import is_quiet, say, write
from anyfast_async.errors import AnyFastError, BudgetExceeded, ModelNotFoundError, RequestValidationError, escaped

if TYPE_CHECKING:
    from anyfast_async.scale.sharded_run import ShardedRun

_NAMED: Final = 20
"""Rows that are named."""
_UNSENDABLE: Final = RequestValidationError.kind


@attrs.frozen
class BatchEnd:
    """What became of a job.

    Args:
        job: what was to be done.
        census: what its rows came to before.
        run: None if there was nothing to send.
        signal: the number of the one that ended it.
        sample: of an estimate.
        is_previewed: whether only the first rows were sent, and it was not gone on.
        earlier: rows that earlier runs may have been billed for without an answer.

    """

    job: BatchJob
    census: Census
    run: BatchRun | ShardedRun | None = None
    signal: int | None = None
    sample: SentSample | None = None
    is_previewed: bool = False
    earlier: tuple[str, ...] = ()

    @property
    def maybe_billed(self) -> tuple[str, ...]:
        """Rows of which a request went out and no answer to it is recorded, in this run or an earlier one."""
        now = () if self.run is None else self.run.unfinished
        return tuple(dict.fromkeys((*self.earlier, *now)))

    @property
    def tally(self) -> Tally:
        """The counts of the run, and of the files."""
        if self.run is not None:
            return self.run.tally
        return Tally(self.job.survey.total, self.census.already, file=self.census.counts)

    @property
    def left(self) -> int:
        """Rows that the same command would send, or hear of, still."""
        return self.job.survey.total - self.census.already - self.tally.answered - self.tally.failed

    @property
    def status(self) -> str:
        """``complete``, ``estimated``, ``limited``, ``previewed``, ``stopped`` or ``interrupted``."""
        if self.signal is not None and (self.tally.left or self.is_previewed):
            return "interrupted"
        if self.is_previewed:
            return "previewed"
        if self.run is not None and self.run.stopped is not None:
            return "stopped"
        if not self.left or (self.sample is None and self.job.options.limit is None):
            return "complete"
        return "estimated" if self.sample is not None else "limited"

    @property
    def why(self) -> str:
        """The status, with the reason where an error stopped it."""
        reason = f" ({self.run.stopped})" if self.run is not None and self.run.stopped is not None else ""
        return f"{self.status}{reason}"

    @property
    def is_nothing(self) -> bool:
        """Whether nothing came of it, and nothing may still be billed: it can be begun with other parameters."""
        if self.run is None or self.run.unfinished or self.tally.file.answered:
            return False
        return self.tally.file.kinds.keys() <= {ModelNotFoundError.kind}

    @property
    def needs_input(self) -> bool:
        """Whether there is something in the input that may be sent, or sent again."""
        return self.code != exit_codes.OK or self.left > 0

    @property
    def code(self) -> int:
        """The exit code: of a completed run whether all rows of the input are well, whoever sent them."""
        match self.status:
            case "interrupted":
                return 128 + (self.signal or 0)
            case "stopped" | "previewed":
                return exit_codes.STOPPED
        return exit_codes.FAILED if self.tally.file.is_bad(self.job.options.accept) else exit_codes.OK

    def tell(self) -> None:
        """Print how it went.

        Raises:
            OSError: the standard output takes it not.

        """
        options, tally, run = self.job.options, self.tally, self.run
        in_doubt = 0 if run is None else run.in_doubt
        self._advise()
        if options.as_json:
            write(f"{json_text({'event': 'end', **self._as_json(in_doubt)})}\n")
        elif is_quiet():
            pass
        elif run is None and self.code == exit_codes.OK and not self.left:
            write(f"nothing to do: every row ({counted(tally.total)}) has its result; nothing was sent\n")
        elif run is None:
            standing = figures.standing(tally, maybe_billed=len(self.maybe_billed))
            print_summary([*standing, ("sent now", "nothing"), ("output", str(options.answers))])
        else:
            summary = figures.summary(tally, self.job.spend, in_doubt=in_doubt, maybe_billed=len(self.maybe_billed))
            lines = [*summary, ("output", str(options.answers))]
            print_summary([*lines, *(self.sample.lines(tally) if self.sample is not None else ())])

    def _advise(self) -> None:
        """Say what is not well, and what to do about it: commands do what is said of them."""
        options, file, run = self.job.options, self.tally.file, self.run
        unsendable = min(len(self.job.survey.bad), file.kinds[_UNSENDABLE])  # others have an answer from before
        failed = file.failed - unsendable
        if unsendable:
            say(f"{figures.rows_of(unsendable)} cannot be sent: {options.failures} says why; {self._mending}")
        if failed > 0:
            again = all(options.again.failed(kind) for kind in file.kinds if kind != _UNSENDABLE)
            how = "the same command sends them again" if again else f"to send them again:\n  {self.job.asking('all')}"
            say(f"{figures.rows_of(failed)} failed: {options.failures}; {how}")
        for word in ("cut", "empty", "filtered"):
            if file.outcomes[word] and word not in options.accept:
                how = self.job.asking(word) if word == "filtered" else self.job.asking(word, max_tokens="N")
                say(f"{figures.rows_of(file.outcomes[word])} {word}: --accept {word}, or to ask them again:\n  {how}")
        if run is not None and run.stopped is not None:
            report(run.stopped)
        if run is not None and run.unsaved:
            say(f"{figures.rows_of(run.unsaved)} answered, but not safely on the disk; they may be sent again")
        if run is not None and self.status in ("interrupted", "stopped") and run.unfinished:
            say(f"in work without a result, so perhaps billed now and again when sent again: {named(run.unfinished)}")
        if self.left and run is not None and isinstance(run.stopped, AnyFastError) and _is_budget(run.stopped):
            say(f"{figures.rows_of(self.left)} left; to go on with a higher budget:\n  {self.job.with_budget('N')}")
        elif self.left:
            say(f"{figures.rows_of(self.left)} left; to go on:\n  {self.job.command}")

    @property
    def _mending(self) -> str:
        return f"mend them in {self.job.options.input_name}, then:\n  {self.job.asking('all')}"

    def _as_json(self, in_doubt: int) -> dict[str, Any]:
        run = self.run
        stopped = run.stopped if run is not None else None
        return {
            "status": self.status,
            **figures.as_json(self.tally, in_doubt),
            **cost_json(self.job.prices, self.tally.spent),
            "output": str(self.job.options.answers),
            "errors": str(self.job.options.failures) if self.tally.file.failed else None,
            "unfinished": list(run.unfinished) if run is not None else [],
            "maybe_billed": list(self.maybe_billed),
            "unsaved": run.unsaved if run is not None else 0,
            "stopped_by": None if stopped is None else _described(stopped),
            "estimate": None if self.sample is None else self.sample.as_json(self.tally),
        }


def _is_budget(error: AnyFastError) -> bool:
    return cause_of(error).kind == BudgetExceeded.kind


def note_recovery(job: BatchJob, files: BatchFiles, answered: int) -> None:
    """Say what an earlier run has left: answers to other rows, damage, rows that may be billed twice."""
    output, source = job.options.answers, job.options.input_name
    foreign = files.answered - answered
    if foreign > 0:
        say(f"note: {output} holds {counted(foreign)} answers to rows that are not in {source}")
    if files.quarantined:
        say(f"note: {output} had {counted(files.quarantined)} damaged lines; their rows are sent again")
    if files.maybe_billed:
        say(f"note: in work when an earlier run was killed, so perhaps billed twice: {named(files.maybe_billed)}")


def report(error: AnyFastError | OSError) -> None:
    """Say what went wrong, and what to do."""
    if isinstance(error, AnyFastError):
        exit_codes.report(error)
    else:
        say(f"error: {error.filename or 'a file'}: {error.strerror or error}")


def _described(error: AnyFastError | OSError) -> dict[str, str]:
    cause = cause_of(error) if isinstance(error, AnyFastError) else None
    return {"kind": "disk" if cause is None else cause.kind, "message": str(error)}


def named(ids: Sequence[str]) -> str:
    """Return *ids* in words: the first of many."""
    more = f" and {counted(len(ids) - _NAMED)} more" if len(ids) > _NAMED else ""
    return ", ".join(escaped(one, 80) for one in ids[:_NAMED]) + more
