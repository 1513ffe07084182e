"""Appending, replacing, locking, and the thread that brings lines to the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anyfast_async._journal import disk
from anyfast_async._journal.disk import UPDATE, Appender, FileReader, Syncer, lines_of, lock, replace


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[Appender]:
    made = Appender(tmp_path / "out")
    yield made
    made.close()


# -- appending -------------------------------------------------------------------------------------------------------


def test_one_write_per_line(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line reaches the system in one write, at once: a killed process tears at most the last."""
    sizes: list[int] = []
    write = os.write

    def counted(file: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(file, data)

    monkeypatch.setattr(os, "write", counted)
    assert not appender.path.exists()

    places = [appender.write(letter * 100_000 + b"\n") for letter in (b"a", b"b")]

    assert ([100_001] * 2, [0, 100_001]) == (sizes, places)
    assert 200_002 == appender.path.stat().st_size


def test_short_writes_go_on(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes a line in pieces gets all of them."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))

    appender.write(b"0123456789abcdef\n")

    assert b"0123456789abcdef\n" == appender.path.read_bytes()


def full(after: int) -> Callable[[int, bytes], int]:
    """A write that takes so many bytes and then says that the disk is full."""
    write, left = os.write, after

    def limited(file: int, data: bytes) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(file, data[:left])
        left -= count
        return count

    return limited


def test_a_full_disk_leaves_no_half_line(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of which only a part could be written is taken back, and the error names the file."""
    appender.write(b"first\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full(3))
        with pytest.raises(OSError, match=r"No space left on device: '.*out'"):
            appender.write(b"second\n")
    assert b"first\n" == appender.path.read_bytes()

    appender.write(b"third\n")

    assert b"first\nthird\n" == appender.path.read_bytes()


def test_a_half_line_that_cannot_be_taken_back(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken back before the next line instead: nothing is ever glued to it."""
    appender.write(b"first\n")

    def refused(*_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full(3))
        patch.setattr(os, "ftruncate", refused)
        with pytest.raises(OSError, match="No space left"):
            appender.write(b"second\n")
        with pytest.raises(OSError, match="broken"):
            appender.write(b"third\n")
    assert b"first\nsec" == appender.path.read_bytes()

    appender.write(b"third\n")

    assert b"first\nthird\n" == appender.path.read_bytes()


def test_a_line_that_was_interrupted(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between two pieces of a line leaves a half one, which the next line does not go on with."""
    write, pieces = os.write, 0

    def interrupted(file: int, data: bytes) -> int:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            raise KeyboardInterrupt
        return write(file, data[:3])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            appender.write(b"first\n")

    appender.write(b"second\n")

    assert b"second\n" == appender.path.read_bytes()


def test_a_removed_file_is_noticed(appender: Appender) -> None:
    """Lines are not written into a file that nobody can find any more."""
    appender.write(b"first\n")
    appender.path.unlink()

    with pytest.raises(FileNotFoundError, match="removed while it was being written"):
        appender.write(b"second\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE and /dev/full")
@pytest.mark.parametrize("kind", ["limit", "device"])
def test_real_limits(tmp_path: Path, kind: str) -> None:
    """At the system's own limit of a file's size, with its short write, and at /dev/full: whole lines only."""
    program = """
import os, resource, sys
from pathlib import Path
from anyfast_async._journal.disk import Appender
out = Appender(Path(sys.argv[1]))
out.write(b"x" * 200 + b"\\n")
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
else:
    os.dup2(os.open("/dev/full", os.O_WRONLY), out.file)
written = 1
try:
    while True:
        out.write(b"x" * 200 + b"\\n")
        written += 1
except OSError as error:
    print(written, type(error).__name__, error.errno)
"""
    path = tmp_path / "out"

    done = subprocess.run(
        [sys.executable, "-c", program, str(path), kind], capture_output=True, text=True, check=True
    ).stdout.split()

    count = 2 if kind == "limit" else 1
    assert [str(count), "OSError", str(errno.EFBIG if kind == "limit" else errno.ENOSPC)] == done
    assert (b"x" * 200 + b"\n") * count == path.read_bytes()


# -- reading ---------------------------------------------------------------------------------------------------------


def test_lines_are_read_where_they_are(tmp_path: Path) -> None:
    """Any line is read at its place, long ones and the last without its end too."""
    path = tmp_path / "out"
    lines = [b"a\n", b"b" * 300_000 + b"\n", b"\n", b"c" * 4096 + b"\n", b"d"]
    path.write_bytes(b"".join(lines))
    reader = FileReader(path)

    found = [(at, reader.line(at)) for at, _ in lines_of(path)]

    assert (lines, [0, 2, 300_003, 300_004, 304_101]) == ([line for _, line in found], [at for at, _ in found])
    assert (True, False) == (reader.starts_with(2, b"bbb"), reader.starts_with(304_101, b"dd"))
    reader.close()
    assert b"a\n" == reader.line(0)
    reader.close()


def test_of_no_file_there_are_no_lines(tmp_path: Path) -> None:
    """A file that is not there yet holds nothing."""
    assert [] == list(lines_of(tmp_path / "none"))


# -- replacing -------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """The new file has the old one's mode, and nothing else is left; if it cannot be made, the old one stays."""
    path = tmp_path / "out"
    path.write_bytes(b"old\n")
    path.chmod(0o640)

    def breaking() -> Iterator[bytes]:
        yield b"new\n"
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        replace(path, breaking())
    assert ([path], b"old\n") == (list(tmp_path.iterdir()), path.read_bytes())
    replace(path, iter([b"new\n", b"er\n"]))

    assert ([path], b"new\ner\n", 0o640) == (list(tmp_path.iterdir()), path.read_bytes(), path.stat().st_mode & 0o777)


# -- locking ---------------------------------------------------------------------------------------------------------


def test_a_lock_holds_while_the_file_is_open(tmp_path: Path) -> None:
    """A second opener is refused, also after the first has closed another descriptor of the file; closing frees it."""
    path = tmp_path / "log"
    first, other, second = (os.open(path, UPDATE) for _ in range(3))

    assert (True, False) == (lock(first), lock(second))
    os.close(other)
    assert not lock(second)
    os.close(first)
    assert lock(second)
    os.close(second)


# -- bringing it to the disk -----------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that are brought to the disk, in order."""
    seen: list[int] = []
    monkeypatch.setattr(disk, "sync_file", seen.append)
    return seen


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_lines_are_brought_to_the_disk_together(
    appender: Appender, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 256 lines they are brought to the disk, once, and at the end the rest; never on the caller's thread."""
    threads: list[threading.Thread] = []
    monkeypatch.setattr(disk, "sync_folder", lambda _: threads.append(threading.current_thread()))
    monkeypatch.setattr(disk, "EVERY_SECONDS", 60.0)
    syncer = Syncer(appender)

    for _ in range(256):
        appender.write(b"x\n")
        syncer.wrote()
    await until(lambda: syncer.synced == 256)
    appender.write(b"x\n")
    syncer.wrote()
    syncer.close()

    assert ([appender.file] * 2, 257) == (synced, syncer.synced)
    assert 1 == len(threads)
    assert threading.current_thread() not in threads


async def test_a_single_line_is_brought_to_the_disk_in_time(
    appender: Appender, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that stays alone waits for no other."""
    monkeypatch.setattr(disk, "EVERY_SECONDS", 0.01)
    syncer = Syncer(appender)

    for count in (1, 2):
        appender.write(b"x\n")
        syncer.wrote()
        await until(lambda count=count: syncer.synced == count)  # type: ignore[misc]

    assert 2 == len(synced)
    syncer.close()


async def test_waiting_for_the_disk(appender: Appender, synced: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is let go when the line is on the disk, and does not wait for others; with nothing new, at once."""
    monkeypatch.setattr(disk, "EVERY_SECONDS", 60.0)
    syncer = Syncer(appender)
    loop = asyncio.get_running_loop()
    await syncer.saved(loop)

    for _ in range(3):
        appender.write(b"x\n")
        syncer.wrote()
        await asyncio.gather(syncer.saved(loop), syncer.saved(loop))

    assert (3, 3) == (len(synced), syncer.synced)
    syncer.close()


async def test_after_an_error_it_is_never_tried_again(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refused once is not asked again: it would say yes, and have dropped the lines."""
    tries = 0

    def broken(_: int) -> None:
        nonlocal tries
        tries += 1
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(disk, "sync_file", broken)
    syncer = Syncer(appender)
    loop = asyncio.get_running_loop()

    for _ in range(3):
        appender.write(b"x\n")
        syncer.wrote()
        await syncer.saved(loop)
    syncer.close()

    assert (1, 0, 3) == (tries, syncer.synced, syncer.written)
    assert isinstance(syncer.error, OSError)


def test_a_loop_that_is_gone_is_no_trouble(
    appender: Appender, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of a waiter whose loop was closed are brought to the disk all the same."""
    monkeypatch.setattr(disk, "EVERY_SECONDS", 60.0)
    syncer = Syncer(appender)
    begin = threading.Event()
    monkeypatch.setattr(disk, "sync_file", lambda _: begin.wait(5))

    async def leave() -> None:
        appender.write(b"x\n")
        syncer.wrote()
        task = asyncio.create_task(syncer.saved(asyncio.get_running_loop()))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    begin.set()
    syncer.close()

    assert (1, None) == (syncer.synced, syncer.error)
