"""Who works on a shard: a lease on a path that all workers see, kept up by a heartbeat.

A lease is a file that is made once (``lease-3``), so that of two who want it one gets it; the highest number counts.
Beside it the one who has it writes a file anew with every beat (``beat-3``): a counter, how far it is, and at the end
that it lets go. Nobody's clock is compared with another's: who waits for a lease takes it when *its own* clock has seen
the same beat for ``expires`` seconds; who has it sends nothing once ``HOLDS`` of that have passed since its last beat.
On one machine the lock on the file tells at once that its process is gone.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import attrs

from anyfast_async._journal.disk import UPDATE, lock
from anyfast_async._values.bases import Shown
from anyfast_async.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

HOLDS: Final = 0.6
"""The part of ``expires`` after which who has the lease sends nothing any more. The rest is for clocks that do not go
equally fast, and for shares that show a change late."""
_BEATS: Final = 15
"""Beats within ``expires``."""
_SLOWEST: Final = 2.0
"""Seconds between two beats at most: they show how far the shard is."""


class LeaseLostError(OSError):
    """This worker was cut off from the files of its shard, or stood still, for so long that another may have them."""


def seconds() -> float:
    """Return seconds that go on while the machine sleeps, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _machine() -> str:
    """Return what is the same for processes that see each other's locks."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{socket.gethostname()}-{uuid.getnode():x}"


@attrs.frozen
class Beat:
    """What a worker says of its shard."""

    number: int
    """Of the lease."""
    raw: bytes
    said: Mapping[str, Any]

    @property
    def is_over(self) -> bool:
        """Whether the lease was let go."""
        return self.said.get("over") is not None

    @property
    def tally(self) -> Mapping[str, Any] | None:
        """The counts of its shard, None if it has said none."""
        state = (self.said.get("over") or {}).get("tally") or self.said.get("tally")
        return state if isinstance(state, Mapping) else None

    @property
    def files(self) -> int | None:
        """The number of the files that it writes, None as long as there are none."""
        number = self.said.get("files")
        return number if isinstance(number, int) else None


class LeaseFolder(Protocol):
    """Where a lease is kept."""

    def make(self) -> None:
        """Make it, if it is not there."""

    def names(self) -> list[str]:
        """Return the names in it; none if it is not there."""
        ...

    def read(self, name: str) -> bytes:
        """Return what stands in a file; ``FileNotFoundError`` if there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole."""

    def claim(self, name: str) -> int | None:
        """Make a file; return what to close when it is let go, None if it is there already."""

    def is_gone(self, name: str) -> bool:
        """Return whether it is known that the process that made a file is no more."""
        ...


class PathFolder:
    """A folder on a path that all workers see."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def make(self) -> None:
        """Make it."""
        self.path.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names in it."""
        try:
            return [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        """Return what stands in a file."""
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole."""
        new = self.path / f".{name}.new"
        new.write_bytes(data)
        new.replace(self.path / name)

    def claim(self, name: str) -> int | None:
        """Make a file, and lock it."""
        try:
            made = os.open(self.path / name, UPDATE | os.O_EXCL, 0o666)
        except FileExistsError:
            return None
        lock(made)
        return made

    def is_gone(self, name: str) -> bool:
        """Return whether the system has taken its lock away: the process was on this machine, and is no more."""
        try:
            file = os.open(self.path / name, UPDATE & ~os.O_CREAT)
        except OSError:
            return False
        try:
            return lock(file)
        finally:
            os.close(file)


def _kept_in(folder: Path | LeaseFolder) -> LeaseFolder:
    return PathFolder(folder) if isinstance(folder, Path) else folder


def latest(folder: Path | LeaseFolder) -> Beat | None:
    """Return what was said last in the latest lease of a shard; None if nobody has had it.

    Raises:
        OSError: the folder cannot be read.

    """
    numbers = _numbers(_kept_in(folder))
    return beat_of(folder, max(numbers)) if numbers else None


def beat_of(folder: Path | LeaseFolder, number: int) -> Beat:
    """Return what was said last in one lease."""
    try:
        raw = _kept_in(folder).read(f"beat-{number}")
        said = json.loads(raw)
    except (FileNotFoundError, ValueError):  # not said yet
        return Beat(number, b"", {})
    return Beat(number, raw, said if isinstance(said, dict) else {})


def _numbers(folder: LeaseFolder) -> list[int]:
    names = (name.removeprefix("lease-") for name in folder.names() if name.startswith("lease-"))
    return [int(name) for name in names if name.isdecimal()]


@attrs.define(eq=False, repr=False)
class Lease(Shown):
    """A lease that this process has; a context manager that lets it go. :func:`take` waits for one."""

    folder: LeaseFolder
    number: int
    expires: float
    _lock: int = attrs.field(repr=False)
    files: int | None = None
    """The number of the files that are written under it."""
    is_lost: bool = False
    _until: float = 0.0
    _beats: int = 0
    _saying: Callable[[], Mapping[str, Any]] | None = None
    _looking: Callable[[], None] | None = None
    _over: Mapping[str, Any] | None = None
    _ended: threading.Event = attrs.field(factory=threading.Event, repr=False)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def every(self) -> float:
        """Seconds between two beats."""
        return min(self.expires / _BEATS, _SLOWEST)

    def check(self) -> None:
        """Find out whether the lease is still this process's: asked before anything is sent.

        Raises:
            LeaseLostError: it is not, or may not be.

        """
        if self.is_lost or seconds() > self._until:
            self.is_lost = True
            message = f"the lease of {self.folder} was not renewed in time, so that another worker may have it"
            raise LeaseLostError(message)

    def begin(self, saying: Callable[[], Mapping[str, Any]], looking: Callable[[], None]) -> None:
        """Beat in a thread from now on: a loop that is busy is no reason to lose the lease.

        Args:
            saying: what is said with each beat, as plain JSON values.
            looking: called after each beat, in the thread.

        """
        self._saying, self._looking = saying, looking
        self._thread = threading.Thread(target=self._go_on, name="anyfast lease", daemon=True)
        self._thread.start()

    def _go_on(self) -> None:
        while not self._ended.wait(self.every):
            with suppress(OSError):  # the share is away: what counts is when it was there last
                self.beat()
            if self._looking is not None:
                self._looking()
            if self.is_lost:  # one that goes on beating would be waited for
                return

    def beat(self) -> None:
        """Say that this process is there.

        Raises:
            OSError: it cannot be said.

        """
        began = seconds()
        self.is_lost |= began > self._until
        if self.is_lost:
            return
        self._beats += 1
        said: dict[str, Any] = {
            "beat": self._beats,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "files": self.files,
            "over": self._over,
        }
        if self._saying is not None:
            said |= self._saying()
        self.folder.write(f"beat-{self.number}", json.dumps(said).encode())
        names = self.folder.names()
        if f"lease-{self.number + 1}" in names:
            self.is_lost = True
        elif f"lease-{self.number}" in names and not self.is_lost:  # else it is another folder: a share that is away
            self._until = began + self.expires * HOLDS

    def claimed(self) -> Self:
        """Begin to have it."""
        self._until = seconds() + self.expires * HOLDS
        self.beat()
        return self

    def let_go(self, result: Mapping[str, Any]) -> None:
        """Say, if it is still this process's, how it ended: whoever comes next need not wait.

        Raises:
            OSError: it cannot be said.

        """
        self._stop()
        if not self.is_lost:
            self._over = result
            self.beat()

    def _stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """End beating. Calling it again does nothing."""
        self._stop()
        held, self._lock = self._lock, -1
        if held >= 0:
            os.close(held)


def take(
    folder: Path | LeaseFolder,
    *,
    expires: float,
    is_enough: Callable[[Beat], bool] = lambda _: False,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Lease | Beat | None:
    """Return the lease of a shard, as soon as nobody else has it.

    Args:
        folder: of the shard; it is made.
        expires: seconds after which a lease whose beat stands still is nobody's, above 0.
        is_enough: whether what an ended lease says is all that is wanted: then that is returned.
        is_stopped: whether to wait no longer: then None is returned.

    Raises:
        ConfigurationError: *expires* is no such number.
        OSError: the folder cannot be written.

    """
    if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not 0 < expires < float("inf"):
        message = f"expires must be seconds above 0, not {expires!r}"
        raise ConfigurationError(message)
    folder = _kept_in(folder)
    folder.make()
    seen: tuple[int, bytes] | None = None
    since, machine = 0.0, _machine()
    while True:
        last = latest(folder)
        if last is None or last.is_over:
            if last is not None and is_enough(last):
                return last
            files = None if last is None else last.files
            if (lease := _claim(folder, 1 if last is None else last.number + 1, expires, files)) is not None:
                return lease
            continue
        now = seconds()
        if (last.number, last.raw) != seen:
            seen, since = (last.number, last.raw), now
        if now - since >= expires or (last.said.get("machine") == machine and folder.is_gone(f"lease-{last.number}")):
            if (lease := _claim(folder, last.number + 1, expires, None)) is not None:
                return lease
            continue
        if is_stopped():
            return None
        time.sleep(min(expires / _BEATS, _SLOWEST) / 2)


def _claim(folder: LeaseFolder, number: int, expires: float, files: int | None) -> Lease | None:
    made = folder.claim(f"lease-{number}")
    return None if made is None else Lease(folder, number, expires, made, files).claimed()
