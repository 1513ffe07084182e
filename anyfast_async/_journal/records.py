"""What the files of a journal hold: whose line stands where, and what is damaged. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.id_index import Index
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._journal.disk import FileReader, lines_of
from anyfast_async.errors import ForeignFileError, MismatchError


def log_of(answers: Path) -> Path:
    """Return where the log of a journal is: ``out.jsonl`` to ``out.jsonl.run``."""
    return answers.with_name(f"{answers.name}.run")


def failures_of(answers: Path) -> Path:
    """Return where failures go unless told otherwise: ``out.jsonl`` to ``out.errors.jsonl``."""
    return answers.with_name(f"{answers.name.removesuffix('.jsonl')}.errors.jsonl")


class Span(NamedTuple):
    """Bytes that are no line."""

    path: Path
    at: int
    size: int
    torn: bool
    """A line that was not written to its end, which a kill leaves."""

    def read(self) -> bytes:
        """Return the bytes."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            return file.read(self.size)


class Records:
    """What three files hold, read once and then kept up to date by the one who writes them."""

    def __init__(self, answers: Path, failures: Path, log: Path) -> None:
        self.answers: Path = answers
        self.failures: Path = failures
        self.log: Path = log
        self.past: LogReplay = LogReplay()
        """What the log says."""
        self._readers = {path: FileReader(path) for path in (answers, failures, log)}
        # Of the readers, not of this object: in a circle the indexes would outlive it, with all their memory.
        self._is_answer: Callable[[str, int], bool] = partial(_is_answer, self._readers[answers])
        self._is_failure: Callable[[str, int], bool] = partial(_is_failure, self._readers[log], self._readers[failures])
        self._failure_at: Callable[[int], bytes] = partial(_failure_at, self._readers[log], self._readers[failures])
        self.answered: Index = Index(self._is_answer)
        self.failed: Index = Index(self._is_failure)
        self.damage: list[Span] = []
        self.are_ended: dict[Path, bool] = {answers: True, failures: True, log: True}
        """Whether the last line of a file has its line end."""
        self.outdated: int = 0
        """Answers in their file that a later one has replaced."""
        self.settled: bool = True
        """Whether the file of failures holds just what has failed and has no answer."""
        self._dropped: set[str] = set()

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, header: Mapping[str, Any]) -> None:
        """Read all three.

        Raises:
            MismatchError: the log has another header.
            ForeignFileError: a file is none of a journal.
            OSError: one cannot be read.

        """
        self._read_log()
        before = self.past.header
        if header and before is not None and (found := journal_lines.differences(before, header)):
            error = MismatchError(
                f"{self.answers} was begun with something else, and was not touched: {'; '.join(found)}. To go on with "
                "it, give what it was begun with; to begin anew, name another file; to keep its answers and go on all "
                f"the same, remove {self.log}"
            )
            error.differences = tuple(found)
            raise error
        self.read_answers()
        self._read_failures()

    def _read_log(self) -> None:
        past, settled = self.past, 0
        for at, line in self._lines(self.log):
            failed = past.add(line)
            if failed is not None:
                self.add_failure(failed, at)
            elif past.settled > settled:
                settled, self.failed, self.settled = past.settled, Index(self._is_failure), True

    def read_answers(self) -> None:
        """Index the answers."""
        self.answered, self.outdated = Index(self._is_answer), 0
        for at, line in self._lines(self.answers):
            custom_id = journal_lines.recorded_id(line)
            if custom_id is not None and self.answered.add(custom_id, at):
                if len(self.answered) == 1 and not journal_lines.is_answer(line):
                    message = f"{self.answers} holds failed rows, not answers, and was not touched: name another output"
                    raise ForeignFileError(message)
            elif custom_id in self.past.replaced:
                self.add_answer(custom_id, at)
            elif line.strip():
                self._note(self.answers, at, line)

    def _read_failures(self) -> None:
        noted, is_first = len(self.damage), True
        for at, line in self._lines(self.failures):
            custom_id = journal_lines.recorded_id(line)
            if custom_id is not None:
                if is_first:
                    self._check_failures(is_answer=journal_lines.is_answer(line))
                is_first = False
                place = self.failed.find(custom_id)
                self.settled &= place is None and not self.is_answered(custom_id)
                if place is None or not place & 1:  # what the log has is later
                    self.failed.replace(custom_id, at << 1)
            elif line.strip():
                self._note(self.failures, at, line)
                self.settled = False
        if is_first and len(self.damage) > noted:
            self._check_failures(is_answer=False)

    def _check_failures(self, *, is_answer: bool) -> None:
        """Refuse a file for failures that is none, or another run's: it would be replaced as a whole."""
        is_own = self.failures == failures_of(self.answers) or self.failures.name in self.past.failures
        is_own |= not self.past.known and len(self.answered) > 0  # the log of these answers was removed on purpose
        if is_answer or not is_own:
            message = f"{self.failures} was not written by this batch or map, and was not touched: name another file"
            raise ForeignFileError(message)

    def _lines(self, path: Path) -> Iterator[tuple[int, bytes]]:
        line = b"\n"
        for at, line in lines_of(path):
            yield at, line
        self.are_ended[path] = line.endswith(b"\n")

    def _note(self, path: Path, at: int, line: bytes) -> None:
        torn = not line.endswith(b"\n")
        if not self.past.known and not (torn and journal_lines.may_be_torn(line)):
            message = f"{path} was not written by a batch or a map (byte {at}), and was not touched: name another file"
            raise ForeignFileError(message)
        self.damage.append(Span(path, at, len(line), torn))

    # -- asking ------------------------------------------------------------------------------------------------------

    def is_answered(self, custom_id: str) -> bool:
        """Return whether the answer for *custom_id* is there."""
        return self.answered.find(custom_id) is not None

    def answer(self, custom_id: str) -> bytes | None:
        """Return the line of the answer for *custom_id*, None if there is none."""
        at = self.answered.find(custom_id)
        return None if at is None else self._readers[self.answers].line(at)

    def answer_at(self, at: int) -> bytes:
        """Return the line of an answer that begins at byte *at*."""
        return self._readers[self.answers].line(at)

    def answer_lines(self) -> Iterator[bytes]:
        """Yield the line of each answer."""
        yield from map(self._readers[self.answers].line, self.answered.places())

    def failure(self, custom_id: str) -> bytes | None:
        """Return the line of the latest failure of *custom_id*, None if it has none or was answered."""
        place = None if custom_id in self._dropped else self.failed.find(custom_id)
        return None if place is None or self.is_answered(custom_id) else self._failure_at(place)

    def paid_lines(self) -> Iterator[bytes]:
        """Yield every answer there is and was, those that later ones have replaced included."""
        replaced = {line for _, kept in lines_of(self.log) if (line := journal_lines.replaced_in(kept)) is not None}
        for _, line in lines_of(self.answers):
            replaced.discard(journal_lines.plain(line))  # not taken out yet
            yield line
        yield from replaced

    def failed_lines(self) -> Iterator[bytes]:
        """Yield the line of the latest failure of each id that has no answer, with its line end."""
        for place in self.failed.places():
            line = self._failure_at(place)
            custom_id = journal_lines.recorded_id(line)
            if custom_id is not None and custom_id not in self._dropped and not self.is_answered(custom_id):
                yield line if line.endswith(b"\n") else line + b"\n"
        self._readers[self.failures].close()  # Windows replaces no open file

    def add_answer(self, custom_id: str, at: int) -> bool:
        """Say that the answer for *custom_id* begins at byte *at*; return whether there was one before it."""
        if self.answered.add(custom_id, at):
            return False
        self.answered.replace(custom_id, at)
        self.outdated += 1
        return True

    def add_failure(self, custom_id: str, at: int) -> None:
        """Say that the latest failure of *custom_id* is in the log, at byte *at*."""
        self.failed.replace(custom_id, at << 1 | 1)
        self._dropped.discard(custom_id)
        self.settled = False

    def drop_failure(self, custom_id: str) -> None:
        """Let the failure of *custom_id* count no more: it leaves the file of failures when that is settled."""
        self._dropped.add(custom_id)
        self.settled = False

    def close(self) -> None:
        """Close the files; they are opened again when needed."""
        for reader in self._readers.values():
            reader.close()


def _is_answer(reader: FileReader, custom_id: str, at: int) -> bool:
    return (
        reader.starts_with(at, journal_lines.head_of(custom_id))
        or journal_lines.recorded_id(reader.line(at)) == custom_id
    )


def _is_failure(log: FileReader, failures: FileReader, custom_id: str, place: int) -> bool:
    return journal_lines.recorded_id(_failure_at(log, failures, place)) == custom_id


def _failure_at(log: FileReader, failures: FileReader, place: int) -> bytes:
    # Places in the log are odd, those in the file of failures even.
    return journal_lines.failure_in(log.line(place >> 1)) or b"" if place & 1 else failures.line(place >> 1)
