"""The files that a batch writes: one line per answer, one per failed row, in one of the two; beside them a log.

They are a journal, as ``client.map`` writes one too; what is said here is which rows count as done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.send_again import ALL, SendAgain
from anyfast_async._journal.journal import Journal, Sync, open_journal
from anyfast_async._journal.records import Records, failures_of, log_of
from anyfast_async._values.outcome import Outcome
from anyfast_async.batch.counts import Census, Standing
from anyfast_async.batch.run_header import input_of, note_input, recorded
from anyfast_async.errors import MismatchError

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async.batch.input.survey import Survey
    from anyfast_async.completions import ChatCompletion


_LEFT_OUT: Final = re.compile(rb'"response":null,"error":\{"code":"validation",')
"""In the line of a row that could not be sent."""


class Done:
    """Rows that are not sent: those with an answer or a failure that is not asked for again."""

    def __init__(self, opened: Journal, again: SendAgain) -> None:
        self._records = opened.records
        self._again = again
        self._held: set[str] = set()

    def hold(self, custom_ids: Iterable[str]) -> None:
        """Let rows with a result stay as they are, failures that would be asked for again among them."""
        self._held |= {custom_id for custom_id in custom_ids if standing_in(self._records, custom_id) is not None}

    def __contains__(self, custom_id: object) -> bool:
        if not isinstance(custom_id, str):
            return False
        if custom_id in self._held:
            return True
        if self._again.outcomes:
            standing = standing_in(self._records, custom_id)
            return standing is not None and self.stays(standing)
        if self._records.is_answered(custom_id):
            return True
        if self._again.every_failure:
            return False
        failure = self._records.failure(custom_id)
        return failure is not None and not self._again.failed(journal_lines.error_in(failure).kind)

    def __len__(self) -> int:
        if self._again.outcomes:
            answered = sum(self.stays(Standing(outcome_in(line))) for line in self._records.answer_lines())
        else:
            answered = len(self._records.answered)
        failed = 0 if self._again.every_failure else sum(map(self._stays_failed, self._records.failed_lines()))
        return answered + failed + sum(not self._stays_unheld(custom_id) for custom_id in self._held)

    def _stays_unheld(self, custom_id: str) -> bool:
        standing = standing_in(self._records, custom_id)
        return standing is not None and self.stays(standing)

    def _stays_failed(self, failure: bytes) -> bool:
        return not self._again.failed(journal_lines.error_in(failure).kind)

    def holds(self, custom_id: str) -> bool:
        """Return whether a row stays as it is, whatever is asked for again."""
        return custom_id in self._held

    def stays(self, standing: Standing) -> bool:
        """Return whether a row that stands so is not sent again."""
        if standing.outcome == "failed":
            return not self._again.failed(standing.kind)
        return not self._again.answered(standing.outcome)

    def stays_answered(self, completion: ChatCompletion) -> bool:
        """Return whether a row with this answer is not sent again."""
        return not self._again.answered(completion.outcome)


def outcome_in(line: bytes) -> Outcome:
    """Return what the answer in a line is; one that holds no completion counts as it is: it is not sent again."""
    if _is_plain(line):
        return "ok"
    completion = journal_lines.completion_in(line)
    return "ok" if completion is None else completion.outcome


def _is_plain(line: bytes) -> bool:
    """Return whether an answer is text that ended in order, as nearly all are: told in a tenth of the time."""
    try:
        (choice,) = journal_lines.value_of(line)["response"]["body"]["choices"]  # type: ignore[index]  # of any shape
        message = choice["message"]
        text = message["content"]
        return choice["finish_reason"] == "stop" and isinstance(text, str) and text != "" and not message.get("refusal")
    except (TypeError, KeyError, ValueError, AttributeError):
        return False


def standing_in(records: Records, custom_id: str) -> Standing | None:
    """Return what stands in the files for a row, None if nothing does."""
    line = records.answer(custom_id)
    if line is not None:
        return Standing(outcome_in(line))
    failure = records.failure(custom_id)
    return None if failure is None else Standing("failed", journal_lines.error_in(failure).kind)


class BatchFiles:
    """The files of a batch, open for writing and locked; a context manager that closes them. See :func:`open_batch`."""

    def __init__(self, opened: Journal, retry_failed: str | Iterable[str] = ALL, survey: Survey | None = None) -> None:
        self.journal = opened
        """What is written goes here."""
        self.survey: Survey | None = survey
        """The input that they were opened with: its rows have the ids that they were given first."""
        self.done: Done = Done(opened, SendAgain.of(retry_failed, name="retry_failed"))
        """``custom_id in files.done``: it has a result that is not asked for again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def standing(self, custom_id: str) -> Standing | None:
        """Return what stands in the files for a row, None if nothing does."""
        return standing_in(self.journal.records, custom_id)

    def census(self, ids: Iterable[str], unsendable: Container[str] = frozenset()) -> Census:
        """Return what the rows with these *ids* came to so far; *unsendable* are those that cannot be sent."""
        census = Census()
        for custom_id in ids:
            standing = self.standing(custom_id)
            if standing is not None:
                census.counts.add(standing)
                census.already += custom_id in unsendable or self.done.stays(standing) or self.done.holds(custom_id)
            else:
                census.fresh += 1
                census.unsendable += custom_id in unsendable
        return census

    def drop_left_out(self, ids: Callable[[], Iterable[str]]) -> int:
        """Take out the failures of rows that could not be sent and are no rows of the input any more.

        Args:
            ids: tells those of the input, if it is asked.

        Returns:
            How many they are.

        """
        records = self.journal.records
        lines = filter(_LEFT_OUT.search, records.failed_lines())
        gone = {custom_id for line in lines if (custom_id := journal_lines.recorded_id(line)) is not None}
        gone = gone.difference(ids()) if gone else gone
        for custom_id in gone:
            records.drop_failure(custom_id)
        return len(gone)

    @property
    def answered(self) -> int:
        """Answers in the output, those of this run included."""
        return len(self.journal.records.answered)

    @property
    def maybe_billed(self) -> tuple[str, ...]:
        """Rows that were at work when an earlier run was killed, and so may be billed twice; of all earlier runs."""
        return self.journal.maybe_billed

    @property
    def quarantined(self) -> int:
        """Damaged lines that were moved into the log; their rows are sent again."""
        return self.journal.quarantined

    def close(self) -> None:
        """Bring everything to the disk and settle what stands in which file: each ``custom_id`` in one, once.

        Raises:
            OSError: the disk refuses, which had not shown before; the next run settles it.

        """
        self.journal.close()


def open_batch(
    answers: Path,
    errors: Path,
    *,
    header: Mapping[str, Any] | None = None,
    found: Survey | None = None,
    extend: bool = False,
    sync: Sync = "batch",
    retry_failed: str | Iterable[str] = ALL,
) -> BatchFiles:
    """Return the files of a batch: locked for this process, mended where a crash or the disk has damaged them.

    Beside *answers* is ``answers.run``, the log: who writes, the header, which rows were started, damaged bytes.

    Args:
        answers: the output.
        errors: failed rows; it is replaced as a whole when the files are closed.
        header: what the run depends on, as plain JSON values, such as a hash of the input, model and options. It is
            compared with that of the run that began the files; None compares nothing.
        found: the input. Its rows must hold what those held with which the files were begun: in any order and in a file
            of any format where they have ids of their own, else in the same places. Then ``files.survey`` is what to
            read the rows of. None compares nothing.
        extend: whether *found* may have rows more; without ids of their own, at the end.
        sync: when a line is brought to the disk: ``"batch"`` once a second and at 256 lines, ``"each"`` before the row
            counts as done.
        retry_failed: which rows with a result are sent again: ``"all"`` (every failed one), ``"none"``, or words with
            commas between them: kinds of errors, and outcomes of answers (``"empty"``, ``"cut"``, ``"filtered"``,
            ``"refused"``), whose new answer replaces the one that is there.

    Raises:
        LockedError: another process writes them; it names it.
        MismatchError: they were begun with another header or other rows; it names what differs.
        ForeignFileError: one of them is no file of a batch.
        ConfigurationError: *retry_failed* holds another word, or the files are the same.
        OSError: a file cannot be read or written, or its directory is not there.

    None of these has touched anything.

    """
    SendAgain.of(retry_failed, name="retry_failed")
    if found is None:
        return BatchFiles(open_journal(answers, errors, header=header, sync=sync), retry_failed)
    begun = recorded(answers.resolve())
    growth = begun.growth(found)
    if growth is not None:
        if not (growth.is_same or (growth.is_longer and extend)):
            how = "; extend=True takes them" if growth.is_longer else ""
            error = MismatchError(f"{answers} was begun with other rows, and was not touched: {growth.problem}{how}")
            error.differences = (growth.problem,)
            raise error
        found = growth.survey
    given = begun.input if growth is not None else input_of(found)
    opened = open_journal(answers, errors, header={**(header or {}), "input": given}, sync=sync)
    try:
        note_input(opened, found, growth)
    except BaseException:
        opened.close()
        raise
    return BatchFiles(opened, retry_failed, found)


__all__ = [
    "BatchFiles",
    "failures_of",
    "log_of",
    "open_batch",
]
