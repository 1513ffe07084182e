"""``anyfast batch --preview``: the first rows before the rest, inputs and answers side by side, then the question."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

import attrs

from anyfast_async._core.journal.journal_lines import completion_in, error_in
from anyfast_async._values.text import counted
from anyfast_async.batch import BatchFiles, BatchLine, RowDone, Tally, rows
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.cli.batch.dry_run import TOO_FEW, SentSample, likely
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.progress import print_pairs, print_summary
from anyfast_async.cli.display.terminal import is_terminal, say, write
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError
from anyfast_async.messages import plain_text

_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"", "n", "no"})
_QUESTIONS: Final = 3
_FEW: Final = 30
"""Rows below which it is said that they are few."""


@attrs.frozen
class Previewed:
    """A row that was asked."""

    custom_id: str
    prompt: str
    answer: str
    """The text, or what went wrong."""
    error: AnyFastError | None = None


@attrs.define
class Preview:
    """The first rows of an input, and what became of them."""

    job: BatchJob
    files: BatchFiles
    first: int
    """How many rows of the input."""
    population: int
    """Rows of the input that are not done, those of the preview among them."""
    asked: list[BatchLine] = attrs.field(factory=list)
    """Those of the first rows that can be sent, in their order."""
    shown: list[Previewed] = attrs.field(factory=list)
    tally: Tally | None = None
    """Of the run that sent them."""
    _latency: list[float] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.asked = list(rows(self.job.survey, first=self.first))

    @property
    def todo(self) -> list[BatchLine]:
        """Those that have no result yet."""
        return [row for row in self.asked if row.custom_id not in self.files.done]

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer among them."""
        return any(row.error is None for row in self.shown)

    def row(self, event: RowDone) -> None:
        """Take in a row that is done."""
        trace = None if event.completion is None else event.completion.trace
        if trace is not None:
            self._latency.append(trace.total - trace.queue)

    def look(self, sent: int, tally: Tally | None) -> SentSample:
        """Take in what stands in the files for them; return what all rows will take.

        Args:
            sent: rows that were sent for it.
            tally: of these.

        """
        self.tally = tally
        self.shown = []
        before = len(self.asked) - sent
        sample = SentSample(self.job, self.population + before, len(self.asked))
        sample.take(self.asked, self._latency)
        for row in self.asked:
            completion, error = self._result(row.custom_id)
            if completion is not None or error is not None:
                sample.row(RowDone(row.custom_id, error, tally or Tally(0, 0), completion))
                answer = _said(completion) if error is None else f"{error.kind}: {error}"
                self.shown.append(Previewed(row.custom_id, _prompt(row), answer, error))
        return sample

    def _result(self, custom_id: str) -> tuple[ChatCompletion | None, AnyFastError | None]:
        line = self.files.journal.answer(custom_id)
        if line is not None:
            return completion_in(line), None
        failure = self.files.journal.records.failure(custom_id)
        return None, None if failure is None else error_in(failure)

    def tell(self, sample: SentSample) -> None:
        """Show the rows and what all will take.

        Raises:
            OSError: the standard output takes it not.

        """
        tally = self.tally or Tally(0, 0)
        if self.job.options.as_json:
            shown = [
                {
                    "custom_id": row.custom_id,
                    "input": row.prompt,
                    "answer": row.answer if row.error is None else None,
                    "error": None if row.error is None else {"kind": row.error.kind, "message": str(row.error)},
                }
                for row in self.shown
            ]
            write(json_text({"event": "preview", "rows": shown, "estimate": sample.as_json(tally)}) + "\n")
            return
        print_pairs(("id", "input", "answer"), [(row.custom_id, row.prompt, row.answer) for row in self.shown])
        print_summary(list(self._lines(sample, tally)))

    def _lines(self, sample: SentSample, tally: Tally) -> Iterator[tuple[str, str]]:
        answered = sample.count
        of = f"for {figures.rows_of(sample.population)}, from the first {counted(answered)}"
        few = f"{TOO_FEW}, and " if sample.is_small else ""
        few = few or ("they are few, and " if answered < min(_FEW, sample.population) else "")
        yield "estimate", of if answered == sample.population else f"{of}: {few}others may be longer"
        yield from sample.ranges()
        left = sample.population - len(self.asked)
        if left:
            yield "  time", likely(sample.times(tally, left), f"for the {figures.rows_of(left)} left")

    def goes_on(self, left: int) -> bool:
        """Return whether to send the rows that are left: as the option says, or whoever is at the terminal.

        Raises:
            KeyboardInterrupt: the answer is Ctrl-C.

        """
        options = self.job.options
        if not self.is_answered:
            say("none of these rows was answered, so the others are not sent")
            return False
        if options.yes:
            return True
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            say("nobody can be asked whether to go on: --yes says so, and so does the command without --preview")
            return False
        for _ in range(_QUESTIONS):
            sys.stderr.write(f"Go on with the {figures.rows_of(left)} left? [y/N] ")
            sys.stderr.flush()
            typed = sys.stdin.readline()
            if not typed:
                sys.stderr.write(os.linesep)
            answer = typed.strip().lower()
            if answer in _YES | _NO:
                return answer in _YES
        return False


def _prompt(row: BatchLine) -> str:
    """Return the text of the last message of a request."""
    return (plain_text(row.request.messages[-1]) or "") if row.request.messages else ""


def _said(completion: ChatCompletion | None) -> str:
    if completion is None:
        return ""
    beside = "" if completion.outcome == "ok" else f" ({completion.outcome})"
    calls = ", ".join(f"{call.name}({call.arguments})" for call in completion.tool_calls)
    images = f"[{counted(len(completion.images))} images]" if completion.images else ""
    return " ".join(filter(None, (completion.text, calls, images))) + beside


__all__ = ["Preview", "Previewed"]
