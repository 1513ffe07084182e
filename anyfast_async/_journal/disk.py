"""Files that survive: locked, appended to in whole lines, replaced as a whole, brought to the disk by a thread."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

EVERY_SECONDS: Final = 1.0
"""``"batch"``: how long a line is in the file at most before it is brought to the disk."""
EVERY_LINES: Final = 256
"""``"batch"``: how many lines are, at most."""

_LONGEST: Final = 256 * 1024 * 1024
_LOCK_AT: Final = 2**31 - 2
"""Windows: a byte that is never written, because nobody else can read a locked one."""
_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
UPDATE: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


# -- what differs between systems ------------------------------------------------------------------------------------

if sys.platform == "win32":
    import msvcrt

    def lock(file: int) -> bool:
        """Lock an open *file* for this process; return False if another one has it."""
        os.lseek(file, _LOCK_AT, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def sync_folder(folder: Path) -> None:
        """Do nothing: Windows brings names to the disk with the file."""

else:
    import fcntl

    def lock(file: int) -> bool:
        """Lock an open *file* for this process; return False if another one has it."""
        # Not lockf: that one is lost as soon as anything in this process closes the same file.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sync_folder(folder: Path) -> None:
        """Bring the names in *folder* to the disk."""
        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


sync_file: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)


# -- one file --------------------------------------------------------------------------------------------------------


class Appender:
    """Appends whole lines to a file, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: int | None = None
        self._whole: int | None = None  # where a line that was not finished begins

    def write(self, line: bytes) -> int:
        """Write *line*, which ends in a line end, at once and whole; return the byte where it begins.

        Raises:
            OSError: it cannot be written (disk full, quota, file removed); what was written of it is taken back.

        """
        if self.file is None:
            self.file = os.open(self.path, _APPEND, 0o666)
        status = os.fstat(self.file)
        if not status.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the file was removed while it was being written", str(self.path))
        start = status.st_size
        if self._whole is not None:
            os.ftruncate(self.file, start := self._whole)
        self._whole = start
        try:
            written = os.write(self.file, line)
            if written < len(line):
                rest = memoryview(line)[written:]
                while rest:
                    rest = rest[os.write(self.file, rest) :]
        except OSError as error:
            error.filename = str(self.path)
            with suppress(OSError):  # else it is tried again before the next line
                os.ftruncate(self.file, start)
                self._whole = None
            raise
        self._whole = None
        return start

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        file, self.file = self.file, None
        if file is not None:
            os.close(file)


class FileReader:
    """Reads lines at given places of a file that may not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def starts_with(self, at: int, head: bytes) -> bool:
        """Return whether the line at byte *at* begins with *head*."""
        file = self._opened()
        file.seek(at)
        return file.read(len(head)) == head

    def line(self, at: int) -> bytes:
        """Return the line at byte *at*, with its line end."""
        file = self._opened()
        file.seek(at)
        parts = [file.read(4096)]
        while parts[-1] and b"\n" not in parts[-1]:
            parts.append(file.read(65536))
        whole, end, _ = b"".join(parts).partition(b"\n")
        return whole + end

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = self.path.open("rb", buffering=0)
        return self._file

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line of the file at *path*, with its line end, and the byte where it begins; of no file, none."""
    at = 0
    try:
        file = path.open("rb", buffering=1024 * 1024)
    except FileNotFoundError:
        return
    with file:
        while line := file.readline(_LONGEST):
            yield at, line
            at += len(line)


def replace(path: Path, lines: Iterable[bytes]) -> None:
    """Put a file of *lines* in the place of *path*, whole or not at all, and on the disk when this returns.

    Raises:
        OSError: it cannot be written; what was there is there still.

    """
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(path.parent)


# -- the thread that brings it to the disk ---------------------------------------------------------------------------


class Syncer:
    """Brings files to the disk, in a thread: lines that came while it was at it go together the next time.

    After an error it never tries again: the kernel may have dropped what it could not write, and would report success.
    """

    def __init__(self, *files: Appender) -> None:
        self.error: OSError | None = None
        self.written = 0
        """Lines so far."""
        self.synced = 0
        """Those of them that are on the disk."""
        self._files = files
        self._begun = 0
        self._urgent = self._closing = False
        self._condition = threading.Condition()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._thread: threading.Thread | None = None

    def wrote(self) -> int:
        """Say that a line was written; return how many were."""
        with self._condition:
            self.written += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="anyfast journal", daemon=True)
                self._thread.start()
            elif self.written - self._begun in (1, EVERY_LINES):
                self._condition.notify()
            return self.written

    async def saved(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until all that was written is on the disk, or cannot be brought there."""
        with self._condition:
            if self.synced >= self.written or self.error is not None:
                return
            done: asyncio.Future[None] = loop.create_future()
            self._waiters.append((self.written, done))
            self._urgent = True
            self._condition.notify()
        await done

    def close(self) -> None:
        """Bring the rest to the disk and end."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        named = set()
        while self.error is None and self._is_due():
            try:
                for one in self._files:
                    if one.file is not None:
                        sync_file(one.file)
                        if one not in named:
                            sync_folder(one.path.parent)
                            named.add(one)
            except OSError as error:
                self.error = error
            self._tell()

    def _tell(self) -> None:
        with self._condition:
            if self.error is None:
                self.synced = self._begun
            ended = [one for one in self._waiters if one[0] <= self.synced or self.error is not None]
            self._waiters = [one for one in self._waiters if one not in ended]
        for _, done in ended:
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                done.get_loop().call_soon_threadsafe(_set_done, done)

    def _is_due(self) -> bool:
        """Wait until there is something to do; return False if there will be nothing more."""
        with self._condition:
            while self.written == self._begun:
                if self._closing:
                    return False
                self._condition.wait()
            deadline = time.monotonic() + EVERY_SECONDS
            while not (self._urgent or self._closing or self.written - self._begun >= EVERY_LINES):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            self._begun, self._urgent = self.written, False
            return True


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
