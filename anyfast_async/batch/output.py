"""The files that a batch writes: one line per answer, one per failed row, in one of the two; beside them a log.

They are a journal, as ``client.map`` writes one too; what is said here is which rows count as done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from anyfast_async._core import journal
from anyfast_async._core.journal import KINDS
from anyfast_async._journal import Journal, LockedError, Sync, failures_of, log_of, open_journal
from anyfast_async._records import ForeignFileError, MismatchError
from anyfast_async.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

RETRY_ALL: Final = "all"
RETRY_NONE: Final = "none"


class Done:
    """Rows that are not sent: answered ones, and failed ones that are not to be tried again."""

    def __init__(self, opened: Journal, retry_failed: str) -> None:
        self._records = opened.records
        self._retry_failed = retry_failed

    def __contains__(self, custom_id: object) -> bool:
        if not isinstance(custom_id, str):
            return False
        if self._records.is_answered(custom_id):
            return True
        if self._retry_failed == RETRY_ALL:
            return False
        failure = self._records.failure(custom_id)
        return failure is not None and self._stays(failure)

    def __len__(self) -> int:
        count = len(self._records.answered)
        if self._retry_failed != RETRY_ALL:
            count += sum(map(self._stays, self._records.failed_lines()))
        return count

    def _stays(self, failure: bytes) -> bool:
        return self._retry_failed == RETRY_NONE or self._retry_failed != journal.error_in(failure).kind


class BatchFiles:
    """The files of a batch, open for writing and locked; a context manager that closes them. See :func:`open_batch`."""

    def __init__(self, opened: Journal, retry_failed: str = RETRY_ALL) -> None:
        self.journal = opened
        """What is written goes here."""
        self.done: Done = Done(opened, retry_failed)
        """``custom_id in files.done``: answered, or failed and not to be tried again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

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
    sync: Sync = "batch",
    retry_failed: str = RETRY_ALL,
) -> BatchFiles:
    """Return the files of a batch: locked for this process, mended where a crash or the disk has damaged them.

    Beside *answers* is ``answers.run``, the log: who writes, the header, which rows were started, damaged bytes.

    Args:
        answers: the output.
        errors: failed rows; it is replaced as a whole when the files are closed.
        header: what the run depends on, as plain JSON values, such as a hash of the input, model and options. It is
            compared with that of the run that began the files; None compares nothing.
        sync: when a line is brought to the disk: ``"batch"`` once a second and at 256 lines, ``"each"`` before the row
            counts as done.
        retry_failed: which failed rows are sent again: ``"all"``, ``"none"`` or those with one ``kind`` of error.

    Raises:
        LockedError: another process writes them; it names it.
        MismatchError: they were begun with another header; it names what differs.
        ForeignFileError: one of them is no file of a batch.
        ConfigurationError: *retry_failed* is no kind of error, or the files are the same.
        OSError: a file cannot be read or written, or its directory is not there.

    None of these has touched anything.

    """
    if retry_failed not in {RETRY_ALL, RETRY_NONE, *KINDS}:
        message = (
            f"retry_failed must be 'all', 'none' or a kind of error ({', '.join(sorted(KINDS))}), not {retry_failed!r}"
        )
        raise ConfigurationError(message)
    return BatchFiles(open_journal(answers, errors, header=header, sync=sync), retry_failed)


__all__ = [
    "BatchFiles",
    "ForeignFileError",
    "LockedError",
    "MismatchError",
    "failures_of",
    "log_of",
    "open_batch",
]
