"""Who writes down what becomes of the rows of a run: of a map with a journal, and of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async._core.journal.journal_lines import UNRECORDED, Twin, answer_line, error_line
from anyfast_async._journal.bill import RowWitness, named
from anyfast_async.errors import AnyFastError, APIConnectionError, DeadlineExceeded

if TYPE_CHECKING:
    from anyfast_async._journal.journal import Journal
    from anyfast_async._map.early_end import Ending
    from anyfast_async._map.result import Result


@attrs.frozen
class Unwritten:
    """A result that could not be written."""

    custom_id: str
    result: Result[Any]
    stem: str
    request: str | None = None
    """What equal requests have in common, where that is known."""


class Keeper:
    """Keeps the results of one run in a journal.

    Args:
        journal: open; closing it is the caller's.
        ending: what ends the run early.
        stop_on: kinds of errors that end it, besides those that are no row's fault in any run.

    """

    def __init__(self, journal: Journal, ending: Ending, stop_on: Iterable[str] = ()) -> None:
        self.journal = journal
        self._ending = ending
        self._unrecorded = UNRECORDED.union(stop_on)
        self._kept: list[Unwritten] = []

    @property
    def unsaved(self) -> int:
        """Results that could not be written, or perhaps not be brought to the disk."""
        return len(self._kept) + self.journal.unsaved

    def witness(self, custom_id: str) -> RowWitness:
        """Return who is to be told of the requests of a row."""
        return RowWitness(self.journal, custom_id)

    def is_its_own(self, error: AnyFastError) -> bool:
        """Return whether *error* is a row's own, so that the row has failed.

        It is not where every row after it would meet the same, where there was no connection at all, or where the time
        of the run was over: such a row is as if it had not been taken up.
        """
        if isinstance(error, APIConnectionError) and error.phase == "unsent":
            return False
        of_the_run = self._ending.is_late and error.retryable and isinstance(error, DeadlineExceeded)
        return error.kind not in self._unrecorded and not of_the_run

    def write(self, custom_id: str, result: Result[Any], stem: str, request: str | None = None) -> bool:
        """Write what became of a row that was sent; return whether it is in its file now.

        It is not where the row keeps an earlier answer, because it was asked again in vain, or where the error is not
        its own. What cannot be written is kept for :meth:`again`. *request* is what equal requests have in common,
        where those are sent once.

        Raises:
            OSError: it cannot be written.

        """
        journal, error = self.journal, result.error
        if result.recorded:
            if all(attempt.billed == "no" for attempt in result.attempts):
                journal.unsent(custom_id)
            return False
        if result.completion is None and (error is None or not self.is_its_own(error)):
            if error is not None and error.billed == "no":
                journal.unsent(custom_id)
            return False
        twin = None if request is None else Twin(request, None if result.same_as is None else str(result.same_as))
        try:
            if result.completion is not None:
                line = answer_line(custom_id, result.completion, stem=stem, twin=twin)
                named(journal, result.completion.model, result.model)
                journal.answered(custom_id, line)
            elif error is not None:
                journal.failed(custom_id, error_line(custom_id, error, stem=stem, twin=twin))
        except OSError:
            self._kept.append(Unwritten(custom_id, result, stem, request))
            raise
        return True

    def again(self) -> Iterator[Unwritten]:
        """Give, once each, what could not be written, for another try: there may be room again."""
        kept, self._kept = self._kept, []
        yield from kept
