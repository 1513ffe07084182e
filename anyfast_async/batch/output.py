"""The files that a batch writes: one line per answer, one per failed row, in one of the two.

Lines are appended with one write each, whole and not buffered, so that a process that is killed leaves at most one torn
line, the last. That one is cut off when the file is opened again.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import attrs

from anyfast_async.batch import lines

if TYPE_CHECKING:
    from types import TracebackType

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class ForeignFileError(ValueError):
    """A file that no batch wrote; it was not touched."""


@attrs.frozen
class Recovered:
    """What a file of results holds."""

    ids: frozenset[str] = frozenset()
    size: int = 0
    """Bytes of whole lines, from the start of the file."""
    unended: bool = False
    """Whether the last of them lacks its line end."""
    torn: int = 0
    """Bytes after them: a line that was not written to its end."""


def scan(path: Path) -> Recovered:
    """Return what the file at *path* holds; nothing is changed.

    Raises:
        ForeignFileError: a line in it is no line of a batch.
        OSError: it cannot be read.

    """
    if not path.exists():
        return Recovered()
    if not path.is_file():
        message = f"{path} is no regular file: what a batch has done is read back from its output"
        raise ForeignFileError(message)
    ids: set[str] = set()
    size = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            custom_id = lines.recorded_id(line)
            whole = line.endswith(b"\n")
            if custom_id is not None:
                ids.add(custom_id)
            elif not whole and lines.may_be_torn(line):
                return Recovered(frozenset(ids), size, torn=len(line))
            elif line.strip():
                message = f"{path}, line {number}, is no result of a batch; the file was not touched: name another one"
                raise ForeignFileError(message)
            size += len(line)
            if not whole:
                return Recovered(frozenset(ids), size, unended=True)
    return Recovered(frozenset(ids), size)


def repair(path: Path, recovered: Recovered) -> None:
    """Cut a torn last line off, and end one that only lacks its line end."""
    if recovered.torn:
        os.truncate(path, recovered.size)
    elif recovered.unended:
        with path.open("ab") as file:
            file.write(b"\n")


class Appender:
    """Appends whole lines to a file, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def write(self, line: bytes) -> None:
        """Write *line*, which ends in a line end, at once and whole.

        Raises:
            OSError: it cannot be written (disk full, quota); what was written of it is taken back.

        """
        if self._file is None:
            self._file = os.open(self.path, _FLAGS, 0o666)
        start = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, start)
            raise

    def close(self) -> None:
        """Close the file once it is on the disk. Calling it again does nothing."""
        file, self._file = self._file, None
        if file is not None:
            try:
                os.fsync(file)
            finally:
                os.close(file)


class BatchFiles:
    """The two files of a batch, open for writing; a context manager that closes them.

    Closing also settles them: each ``custom_id`` stands in one of the two, once. A failed row that was sent again and
    answered leaves the error file, one that failed again stands there with its latest error.
    """

    def __init__(self, answers: Path, errors: Path, done: frozenset[str]) -> None:
        self.answers: Appender = Appender(answers)
        self.errors: Appender = Appender(errors)
        self.done = done
        """What was answered before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close both files and settle what stands in which.

        Raises:
            OSError: the disk refuses; the next run settles it.

        """
        try:
            self.answers.close()
        finally:
            self.errors.close()
        if self.errors.path.exists():
            settle_errors(self.errors.path, scan(self.answers.path).ids)


def open_batch(answers: Path, errors: Path) -> BatchFiles:
    """Return the files of a batch, recovered: torn last lines are cut off, what is answered is in ``.done``.

    No file is made by this.

    Raises:
        ForeignFileError: one of the two is no file of a batch; neither was touched.
        OSError: a file cannot be read or written, or its directory is not there.

    """
    # Symbolic links are followed here, because replacing the error file would replace the link.
    answers, errors = answers.resolve(), errors.resolve()
    for path in (answers, errors):
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such directory", str(path.parent))
    found = [(path, scan(path)) for path in (answers, errors)]
    for path, recovered in found:
        repair(path, recovered)
    return BatchFiles(answers, errors, found[0][1].ids)


def settle_errors(path: Path, answered: Container[str]) -> int:
    """Take out of the error file what is *answered*, and all but the latest line of each other id.

    The file is replaced as a whole, or removed if nothing is left.

    Returns:
        The number of rows that stand in it.

    """
    if not path.exists():
        return 0
    latest: dict[str, int] = {}
    count = 0
    for number, custom_id, _ in _recorded(path):
        count += 1
        if custom_id not in answered:
            latest[custom_id] = number
    if not latest:
        path.unlink()
    elif len(latest) < count:
        _replace(path, latest)
    return len(latest)


def _replace(path: Path, latest: dict[str, int]) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            for number, custom_id, line in _recorded(path):
                if latest.get(custom_id) == number:
                    file.write(line)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _recorded(path: Path) -> Iterator[tuple[int, str, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file):
            custom_id = lines.recorded_id(line)
            if custom_id is not None:
                yield number, custom_id, line
