"""A journal: the answers and failures of a run in their files, and beside them a log of what was sent.

What is in which file after a crash at each moment stands in ``docs/explanation/batches.md``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from anyfast_async._core.journal import journal_lines, reserved_money
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._journal.disk import UPDATE, Appender, Syncer, lines_of, lock, replace, sync_file, sync_folder
from anyfast_async._journal.records import Records, failures_of, log_of
from anyfast_async._limits.budget import Need
from anyfast_async.errors import ConfigurationError, ForeignFileError, LockedError

if TYPE_CHECKING:
    from types import TracebackType

Sync = Literal["each", "batch"]

_OPEN_LISTED: Final = 1024
"""Starts after which the ids at work are listed, so that a recovery need not read further back."""
_HOLDER_TRIES: Final = 10
_HOLDER_PAUSE: Final = 0.02


class Journal:
    """The files of a run, open for writing; a context manager that closes them. Made by :func:`open_journal`.

    Not for two threads at once.
    """

    def __init__(self, records: Records, held: int, sync: Sync) -> None:
        self.records = records
        """What is there."""
        self.sync = sync
        self.error: OSError | None = None
        """The first thing that could not be written or brought to the disk; a run must not go on after it."""
        self.guard: Callable[[], None] | None = None
        """Asked before anything is sent; an ``OSError`` of it says that these files are no longer this process's."""
        self._held: int | None = held
        self._answers, self._log = Appender(records.answers), Appender(records.log)
        self._syncer = Syncer(self._log, self._answers)
        self._open: dict[str, Need | None] = {}
        self._recent: deque[tuple[int, str]] = deque()
        self._starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def maybe_billed(self) -> tuple[str, ...]:
        """Ids that were sent, or about to be, when an earlier process ended without writing down what came of them.

        Those that were sent again since may have been billed twice.
        """
        return tuple(self.records.past.maybe_billed)

    @property
    def quarantined(self) -> int:
        """Lines that were found damaged and are kept in the log; their ids counted as not done."""
        return self.records.past.quarantined

    @property
    def open(self) -> tuple[str, ...]:
        """Ids that this run has started and that have no result."""
        return tuple(self._open)

    @property
    def unsaved(self) -> int:
        """After an error: results that are in their file and perhaps not on the disk."""
        return self._syncer.written - self._syncer.synced if self._syncer.error is not None else 0

    def answer(self, custom_id: str) -> bytes | None:
        """Return the line of the answer for *custom_id*, None if there is none."""
        return self.records.answer(custom_id)

    # -- what is written ---------------------------------------------------------------------------------------------

    def started(self, custom_id: str, need: Need = Need()) -> None:  # noqa: B008 - a tuple
        """Write down that *custom_id* is about to be sent, unless it is already, and what a budget has reserved for it.

        Raises:
            OSError: it cannot be written, or what was written before cannot be brought to the disk: do not send it.

        """
        self._check()
        if self._open.get(custom_id) is not None:
            return
        if self._starts >= _OPEN_LISTED:
            self._list_open()
        if self.records.is_answered(custom_id):
            self._write(self._log, journal_lines.record("again", custom_id))
        self._write(self._log, journal_lines.record("started", reserved_money.opened(custom_id, need)))
        self._starts += 1
        self._open[custom_id] = need

    def unsent(self, custom_id: str) -> None:
        """Take back that *custom_id* was started: nothing was done for it at the gateway."""
        if custom_id in self._open:
            del self._open[custom_id]
            self._write(self._log, journal_lines.record("unsent", custom_id))

    def counted(self, custom_id: str) -> None:
        """Say that what was reserved for *custom_id* is counted as spent."""
        if custom_id in self._open:
            self._open[custom_id] = None

    def answered(self, custom_id: str, line: bytes) -> None:
        """Write the *line* of an answer; when this returns it survives the end of the process.

        An answer that it replaces goes into the log, and leaves the file of answers when that is closed.

        Raises:
            OSError: it cannot be written.

        """
        before = self.records.answer(custom_id)
        if before is not None:
            self._write(self._log, journal_lines.replaced_record(before))
        self.records.add_answer(custom_id, self._write(self._answers, line))
        self._ended(custom_id)
        self._recent.append((self._syncer.written, custom_id))
        self._forget_saved()

    def failed(self, custom_id: str, line: bytes) -> None:
        """Write the *line* of a failure, as :meth:`answered`; closing puts it into the file of failures.

        Raises:
            OSError: it cannot be written.

        """
        self.records.add_failure(custom_id, self._write(self._log, journal_lines.failed_record(line)))
        self._ended(custom_id)

    def note(self, kind: str, value: Any) -> None:
        """Write down something about the run; an ``OSError`` says that it cannot be written."""
        self._write(self._log, journal_lines.record(kind, value))

    async def saved(self) -> None:
        """Wait, with ``sync="each"``, until all that was written is on the disk.

        Raises:
            OSError: it cannot be brought there.

        """
        if self.sync == "each":
            await self._syncer.saved(asyncio.get_running_loop())
        self._check()

    def _ended(self, custom_id: str) -> None:
        self._open.pop(custom_id, None)
        self.records.settled &= len(self.records.failed) == 0
        self._syncer.wrote()

    def _forget_saved(self) -> None:
        while self._recent and self._recent[0][0] <= self._syncer.synced:
            self._recent.popleft()

    def _list_open(self) -> None:
        # After a loss of power a line that was not on the disk may be gone: its id counts as open until it is.
        self._forget_saved()
        listed = {custom_id: Need() for _, custom_id in self._recent} | self._open
        self._write(
            self._log, journal_lines.record("open", [reserved_money.opened(one, need) for one, need in listed.items()])
        )
        self._starts = 0

    def _check(self) -> None:
        if self.guard is not None:
            self.guard()
        if self._syncer.error is not None:
            self.error = self.error or self._syncer.error
            raise self._syncer.error

    def _write(self, file: Appender, line: bytes) -> int:
        try:
            return file.write(line)
        except OSError as error:
            self.error = self.error or error
            raise

    # -- the beginning and the end -----------------------------------------------------------------------------------

    def mend(self, header: Mapping[str, Any]) -> None:
        """Mend what a crash has left, and write down with what this run begins.

        Each step may be the last, and the next run then takes it again: bytes are in the log, on the disk, before they
        leave their file.

        Raises:
            OSError: a file cannot be written.

        """
        records, past = self.records, self.records.past
        if not records.are_ended[records.log]:
            self._write(self._log, b"\n")
        if header and past.header is None:
            self._write(self._log, journal_lines.record("header", header))
            past.header = header
        if records.failures != failures_of(records.answers) and records.failures.name not in past.failures:
            self._write(self._log, journal_lines.record("failures", records.failures.name))
        for span in records.damage:
            self._write(self._log, journal_lines.damaged_record(span.read(), at=span.at, torn=span.torn))
            past.quarantined += not span.torn
        if records.damage and self._log.file is not None:
            sync_file(self._log.file)
        self._mend_answers()
        lost = {one: need for one, need in past.open.items() if not past.is_answered(one, records.answer(one))}
        if lost:
            self._write(self._log, journal_lines.record("maybe_billed", [*lost]))
            past.maybe_billed |= dict.fromkeys(lost)
            self.note("spent", spent := reserved_money.lost(lost.values()))
            past.bill.add(spent)
        self._list_open()

    def _mend_answers(self) -> None:
        records = self.records
        damage = [span for span in records.damage if span.path == records.answers]
        if any(not span.torn for span in damage):
            records.close()
            bad = {span.at for span in damage}
            kept = (line for at, line in lines_of(records.answers) if at not in bad and line.strip())
            replace(records.answers, (line if line.endswith(b"\n") else line + b"\n" for line in kept))
            records.read_answers()
        elif damage:
            os.truncate(records.answers, damage[0].at)
        elif not records.are_ended[records.answers]:
            self._write(self._answers, b"\n")

    def close(self) -> None:
        """Bring everything to the disk, settle what stands in which file, and let the lock go.

        Settled means that each id stands in one of the two files, once. Calling it again does nothing.

        Raises:
            OSError: something cannot be written, which had not shown before; the next run settles it.

        """
        held, self._held = self._held, None
        if held is None:
            return
        before = self.error
        self._syncer.close()
        self.error = self.error or self._syncer.error
        try:
            if self._starts:
                self._list_open()
            if not self.records.settled:
                self._settle()
            if self.records.outdated:
                self._compact()
        except OSError as error:
            self.error = self.error or error
        self.abandon()
        os.close(held)
        if self.error is not None and before is None:
            raise self.error

    def abandon(self) -> None:
        """Close the files as they are, but for the lock."""
        for file in (self._answers, self._log, self.records):
            file.close()

    def _settle(self) -> None:
        path, lines = self.records.failures, self.records.failed_lines()
        first = next(lines, None)
        if first is not None:
            replace(path, chain((first,), lines))
        elif path.exists():
            path.unlink()
            sync_folder(path.parent)
        self._write(self._log, journal_lines.record("settled", True))

    def _compact(self) -> None:
        """Take answers that were replaced out of their file; they are in the log, which must be on the disk before."""
        path, answered = self.records.answers, self.records.answered
        if self._log.file is not None:
            sync_file(self._log.file)
        self._answers.close()
        ids = ((at, line, journal_lines.recorded_id(line)) for at, line in lines_of(path))
        replace(path, (line for at, line, custom_id in ids if custom_id is None or answered.find(custom_id) == at))
        self._write(self._log, journal_lines.record("compacted", True))


# -- opening it ------------------------------------------------------------------------------------------------------


def open_journal(
    answers: Path, failures: Path | None = None, *, header: Mapping[str, Any] | None = None, sync: Sync = "batch"
) -> Journal:
    """Return the journal in these files, locked and recovered.

    Args:
        answers: the file of answers.
        failures: the file of failures; else ``out.errors.jsonl`` beside ``out.jsonl``.
        header: what the run depends on, as plain JSON values; compared with that of the run that began the files.
        sync: when lines are brought to the disk: ``"batch"``, once a second and at 256; ``"each"``, before
            :meth:`Journal.saved` returns.

    Raises:
        LockedError: another process has it.
        MismatchError: it was begun with another *header*.
        ForeignFileError: a file is none of a journal.
        ConfigurationError: the files are the same.
        OSError: a file cannot be read or written, or its directory is not there.

    """
    # Symbolic links are followed here, because replacing the file would replace the link.
    answers = answers.resolve()
    failures = failures.resolve() if failures is not None else failures_of(answers)
    log = log_of(answers)
    _check_files(answers, failures, log)
    held, is_new = _held(log)
    records = Records(answers, failures, log)
    opened = Journal(records, held, sync)
    try:
        records.read(header or {})
        opened.mend(header or {})
    except BaseException:
        opened.abandon()
        if is_new:
            with suppress(OSError):  # Windows keeps what is open
                log.unlink()
        os.close(held)
        raise
    return opened


def _check_files(*files: Path) -> None:
    if len(set(files)) < len(files):
        message = f"answers, failures and log must be three files, not {', '.join(map(str, files))}"
        raise ConfigurationError(message)
    for path in files:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such directory", str(path.parent))
        if not path.exists():
            continue
        if not path.is_file():
            message = f"{path} is no regular file: what is done is read back from it"
            raise ForeignFileError(message)
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _held(log: Path) -> tuple[int, bool]:
    """Return the log, locked, with this process as its holder, and whether it is new."""
    while True:
        file = os.open(log, UPDATE, 0o666)
        try:
            _take(log, file)
            head = _head(file)
            if head and journal_lines.read_holder(head) is None:
                _check_log(log, head)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, journal_lines.holder(os.getpid(), socket.gethostname()))
            is_there = os.fstat(file).st_nlink > 0
        except BaseException:
            os.close(file)
            raise
        if is_there:
            return file, not head
        os.close(file)  # the process that had it has removed it


def _take(log: Path, file: int) -> None:
    if lock(file):
        return
    found = None
    for _ in range(_HOLDER_TRIES):  # it may be about to write who it is
        found = journal_lines.read_holder(_head(file))
        if found is not None:
            break
        time.sleep(_HOLDER_PAUSE)
    who = f"process {found[0]} on {found[1]}" if found else "another process"
    error = LockedError(f"{who} writes this output now ({log}); nothing was touched. Wait for it, or end it first")
    error.pid, error.host = found or (None, None)
    raise error


def _head(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, journal_lines.HOLDER_SIZE)


def _check_log(log: Path, head: bytes) -> None:
    """Refuse a file that is no log; one whose first line is torn or damaged is."""
    if len(head) < journal_lines.HOLDER_SIZE and journal_lines.may_be_log(head):
        return
    past = LogReplay()
    for _, line in lines_of(log):
        past.add(line)
    if not past.open and not past.known:
        message = f"{log} is no log of a batch or a map, and was not touched: name another output"
        raise ForeignFileError(message)
