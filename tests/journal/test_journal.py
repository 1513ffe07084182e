"""A journal's files: found as they were left, mended after every kind of damage, settled at the end."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import (
    AnyFastError,
    AssistantMessage,
    ChatCompletion,
    Choice,
    ConfigurationError,
    ForeignFileError,
    IncompleteStreamError,
    LockedError,
    MismatchError,
)
from anyfast_async._core.journal import journal_lines
from anyfast_async._journal import disk
from anyfast_async._journal import journal as _journal
from anyfast_async._journal.journal import Journal, open_journal
from anyfast_async._journal.records import failures_of, log_of

LONG = os.environ.get("ANYFAST_LONG") == "1"
STEM = "0" * 24


def thorough(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of which there is a long form."""
    marked: Callable[..., None] = pytest.mark.reliability(pytest.mark.timeout(900)(test))
    return marked


def answer(custom_id: str, text: str = "x") -> bytes:
    return journal_lines.answer_line(
        custom_id, ChatCompletion(choices=(Choice(message=AssistantMessage(text)),)), stem=STEM
    )


def failure(custom_id: str, message: str = "cut") -> bytes:
    return journal_lines.error_line(custom_id, IncompleteStreamError(message), stem=STEM)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def write(opened: Journal, *, answered: str = "", failed: str = "", open_ids: str = "") -> None:
    for custom_id in answered + failed + open_ids:
        opened.started(custom_id)
    for custom_id in answered:
        opened.answered(custom_id, answer(custom_id))
    for custom_id in failed:
        opened.failed(custom_id, failure(custom_id))


def killed(opened: Journal) -> None:
    """Let go of the files as the end of the process does."""
    opened._syncer.close()
    opened.abandon()
    assert opened._held is not None
    os.close(opened._held)
    opened._held = None


def ids_in(path: Path) -> list[str | None]:
    return (
        [journal_lines.recorded_id(line) for line in path.read_bytes().splitlines(keepends=True)]
        if path.exists()
        else []
    )


# -- what is there ---------------------------------------------------------------------------------------------------


def test_files_and_what_is_in_them(out: Path) -> None:
    """Beside the answers are the failed rows and a log, and nothing else; each id is in one of the two."""
    with open_journal(out, header={"a": 1}) as opened:
        write(opened, answered="abc", failed="de", open_ids="f")
        assert (["a", "b", "c"], False) == (ids_in(out), failures_of(out).exists())
        assert (("f",), 0) == (opened.open, opened.unsaved)

    assert {"out.jsonl", "out.jsonl.run", "out.errors.jsonl"} == {path.name for path in out.parent.iterdir()}
    assert (["a", "b", "c"], ["d", "e"]) == (ids_in(out), ids_in(failures_of(out)))


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_second_run_finds_it_all(out: Path, how: str) -> None:
    """Answers and failures are found again line by line, after an orderly end and after a kill."""
    opened = open_journal(out)
    write(opened, answered="ab", failed="cd", open_ids="e")
    opened.close() if how == "closed" else killed(opened)

    with open_journal(out) as again:
        found = again.records
        assert [answer("a"), None, None] == [found.answer(name) for name in "ace"]
        assert [None, failure("c"), None] == [found.failure(name) for name in "ace"]
        assert [failure("c"), failure("d")] == list(found.failed_lines())
        assert (("e",), 0) == (again.maybe_billed, again.quarantined)

    assert (["a", "b"], ["c", "d"]) == (ids_in(out), ids_in(failures_of(out)))


def test_failures_that_are_answered_leave(out: Path) -> None:
    """A failed row that is answered later leaves the file of failures, one that fails again has its latest line."""
    with open_journal(out) as opened:
        write(opened, failed="abc")
    with open_journal(out) as opened:
        write(opened, answered="a")
        opened.started("b")
        opened.failed("b", failure("b", "again"))
        assert (None, failure("b", "again")) == (opened.records.failure("a"), opened.records.failure("b"))
    assert failure("c") + failure("b", "again") == failures_of(out).read_bytes()

    with open_journal(out) as opened:
        write(opened, answered="bc")

    assert (["a", "b", "c"], False) == (ids_in(out), failures_of(out).exists())


def test_a_file_of_failures_in_order_is_left_alone(out: Path) -> None:
    """A run without results rewrites nothing; what somebody took out of the file of failures stays out."""
    with open_journal(out) as opened:
        write(opened, failed="ab")
    failures_of(out).write_bytes(failure("b"))
    before = failures_of(out).stat().st_ino

    with open_journal(out) as opened:
        assert [failure("b")] == list(opened.records.failed_lines())

    assert before == failures_of(out).stat().st_ino


def test_what_may_be_billed_twice_adds_up(out: Path) -> None:
    """Every kill adds what was at work then; what was taken back, or had failed, is not among it."""
    for open_ids in ("ab", "bc", ""):
        opened = open_journal(out)
        write(opened, open_ids=open_ids)
        if open_ids:
            opened.started("not sent")
            opened.unsent("not sent")
        killed(opened)

    with open_journal(out) as opened:
        assert ("a", "b", "c") == opened.maybe_billed


def test_an_answer_that_is_asked_again_and_lost_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that is there says nothing of what was in flight at the kill, however long the log is."""
    monkeypatch.setattr(_journal, "_OPEN_LISTED", 3)
    with open_journal(out) as opened:
        write(opened, answered="abcdef")
    for again, lost, others in (("bc", "b", "xyz"), ("cd", "d", "uvw"), ("a", "", "rst")):
        opened = open_journal(out)
        write(opened, open_ids=again)
        for custom_id in again:
            if custom_id not in lost:
                opened.answered(custom_id, answer(custom_id, f"new {again}"))
        write(opened, answered=others)
        killed(opened)

    with open_journal(out) as opened:
        assert ("b", "d") == opened.maybe_billed
        opened.started("e")
        opened.unsent("e")
    with open_journal(out) as opened:
        assert ("b", "d") == opened.maybe_billed


def test_an_answer_that_was_about_to_be_replaced_is_lost(out: Path) -> None:
    """Killed between the two lines that replace an answer, or its new line torn: the new one was billed and is gone."""
    with open_journal(out) as opened:
        write(opened, answered="ab")
    before = out.read_bytes()
    opened = open_journal(out)
    write(opened, open_ids="ab")
    for custom_id in "ab":
        opened.answered(custom_id, answer(custom_id, "new"))
    killed(opened)
    for kept, lost in ((answer("a", "new"), ("b",)), (answer("a", "new")[:-9], ("a", "b")), (b"", ("a", "b"))):
        whole, log = out.read_bytes(), log_of(out).read_bytes()
        out.write_bytes(before + kept)

        with open_journal(out) as opened:
            assert lost == opened.maybe_billed

        out.write_bytes(whole)
        log_of(out).write_bytes(log)


def test_the_list_of_open_ids_spares_a_long_log(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids at work are listed now and then; what came before the list is not read, and nothing is forgotten by it."""
    monkeypatch.setattr(_journal, "_OPEN_LISTED", 5)
    opened = open_journal(out)
    opened.started("slow")
    for number in range(23):
        opened.started(f"r{number}")
        opened.answered(f"r{number}", answer(f"r{number}"))
    opened.started("last")
    killed(opened)

    assert log_of(out).read_bytes().count(b'{"open":') == 5
    with open_journal(out) as again:
        assert {"slow", "last"} == set(again.maybe_billed)


def test_a_line_that_is_not_on_the_disk_counts_as_open(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id whose answer a loss of power can still take is in the list: if it is gone, it is named."""
    monkeypatch.setattr(_journal, "_OPEN_LISTED", 2)
    monkeypatch.setattr(disk, "EVERY_SECONDS", 60.0)
    opened = open_journal(out)
    for name in "abcd":
        opened.started(name)
        opened.answered(name, answer(name))
    opened.abandon()
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.index(answer("c"))])  # the disk had not got the rest yet
    killed(opened)

    with open_journal(out) as again:
        assert ("c", "d") == again.maybe_billed


# -- refusals --------------------------------------------------------------------------------------------------------


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "content",
    [b"dear diary", b"dear diary\n", b'{"a": 1}\n', answer("a") + b"torn in the middle\n" + answer("b"), b"\x00" * 20],
)
@pytest.mark.parametrize("which", ["answers", "failures", "log"])
def test_a_file_of_another_kind(out: Path, content: bytes, which: str) -> None:
    """A file that no batch wrote is refused and not touched, whichever of the three it is; nothing is made."""
    if which == "log" and not content.strip(b"\0"):
        pytest.skip("so may a log begin after a loss of power, and there is nothing in it")
    {"answers": out, "failures": failures_of(out), "log": log_of(out)}[which].write_bytes(content)
    before = everything_in(out.parent)

    with pytest.raises(ForeignFileError, match=r"not touched"):
        open_journal(out)

    assert before == everything_in(out.parent)


def test_another_header(out: Path) -> None:
    """A run with other parameters is refused with what differs and how to go on; no header compares nothing."""
    with open_journal(out, header={"input": "x", "options": {"temperature": 0}}) as opened:
        write(opened, answered="a")
    before = everything_in(out.parent)

    with pytest.raises(MismatchError, match=r'input was "x", is "y"; options.temperature was 0, is 1') as caught:
        open_journal(out, header={"input": "y", "options": {"temperature": 1}})
    assert "remove" in str(caught.value)
    assert 'input was "x", is "y"' in caught.value.differences
    after = everything_in(out.parent)
    assert (before["out.jsonl"], before["out.jsonl.run"][512:]) == (after["out.jsonl"], after["out.jsonl.run"][512:])

    open_journal(out).close()
    log_of(out).unlink()
    with open_journal(out, header={"input": "y"}) as opened:
        assert opened.records.is_answered("a")


def test_files_that_cannot_be(out: Path, tmp_path: Path) -> None:
    """Files that are one and the same, devices, missing directories and files without access are refused."""
    with pytest.raises(ConfigurationError, match="must be three files"):
        open_journal(out, out)
    with pytest.raises(ForeignFileError, match="no regular file"):
        open_journal(Path(os.devnull), tmp_path / "err")
    with pytest.raises(FileNotFoundError, match="no such directory"):
        open_journal(tmp_path / "nowhere" / "out")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_may_not_be_written(out: Path) -> None:
    """An output that is read-only is refused before anything is sent."""
    out.write_bytes(answer("a"))
    out.chmod(0o400)

    with pytest.raises(PermissionError):
        open_journal(out)


def test_a_second_process_is_refused(out: Path) -> None:
    """It is told who has it, at once, and touches nothing; when the first is killed the lock is free."""
    program = f"""
import sys, time
from pathlib import Path
from anyfast_async._journal.journal import open_journal
opened = open_journal(Path({str(out)!r}))
opened.started("a")
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            first.stdout.readline()
            before, began = everything_in(out.parent), time.monotonic()

            with pytest.raises(LockedError, match=f"process {first.pid} on ") as caught:
                open_journal(out)

            assert (first.pid, before) == (caught.value.pid, everything_in(out.parent))
            assert time.monotonic() - began < 0.5
        finally:
            first.kill()
            first.wait()
    with open_journal(out) as opened:
        assert ("a",) == opened.maybe_billed


def test_a_lock_of_somebody_unknown(out: Path) -> None:
    """Where the first line does not say who has the lock, it is refused all the same."""
    opened = open_journal(out)
    with log_of(out).open("r+b") as file:
        file.write(b"\0" * 100)

    with pytest.raises(LockedError, match="another process writes") as caught:
        open_journal(out)

    assert caught.value.pid is None
    opened.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_unlock(out: Path) -> None:
    """A child of the process that ends, with the same descriptors, leaves the lock where it is."""
    with open_journal(out):
        done = subprocess.run(
            [sys.executable, "-c", ""], close_fds=False, check=True, env=os.environ | {"COVERAGE_PROCESS_CONFIG": ""}
        )
        assert 0 == done.returncode
        with pytest.raises(LockedError):
            open_journal(out)


def test_a_link_stays_a_link(tmp_path: Path, out: Path) -> None:
    """Files behind symbolic links are replaced where they are."""
    real, link = tmp_path / "real.jsonl", tmp_path / "err.jsonl"
    link.symlink_to(real)

    for message in "12":
        with open_journal(out, link) as opened:
            opened.started("a")
            opened.failed("a", failure("a", message))

    assert (True, failure("a", "2")) == (link.is_symlink(), real.read_bytes())


# -- damage ----------------------------------------------------------------------------------------------------------


def left_by_a_kill(out: Path) -> tuple[bytes, bytes]:
    opened = open_journal(out, header={"a": 1})
    write(opened, answered="abcd", failed="xy", open_ids="e")
    killed(opened)
    return out.read_bytes(), log_of(out).read_bytes()


def check_whole(out: Path, answered: str) -> None:
    """Every line of the answers is whole, and they are those of *answered*, in that order."""
    assert b"".join(map(answer, answered)) == out.read_bytes()


@thorough
def test_answers_cut_at_every_byte(out: Path) -> None:
    """Cut anywhere in its last three lines, exactly the torn id is not done, and nothing is glued to the next line."""
    whole, log = left_by_a_kill(out)
    step = 1 if LONG else 23

    first, last = len(whole) - len(answer("b") * 3), len(whole)
    for size in [*range(first, last - 1, step), last - 1, last]:
        out.write_bytes(whole[:size])
        log_of(out).write_bytes(log)
        done = "abcd"[: (size + 1) // len(answer("a"))]  # without its line end a line is whole

        with open_journal(out, header={"a": 1}) as opened:
            check_whole(out, done)
            assert [name in done for name in "abcd"] == [opened.records.is_answered(name) for name in "abcd"]
            assert ({*"abcde"} - {*done}, 0) == ({*opened.maybe_billed} | {*"abcd"} - {*done}, 0)
            opened.answered("e", answer("e"))
        check_whole(out, done + "e")


@thorough
def test_the_log_cut_at_every_byte(out: Path) -> None:
    """Cut anywhere, the log is taken up, answers are all there, and what is open at most has not been written down."""
    whole, log = left_by_a_kill(out)
    step = 1 if LONG else 13

    first = journal_lines.HOLDER_SIZE
    for size in [*range(0, first, 1 if LONG else 50), *range(first, len(log) + 1, step)]:
        out.write_bytes(whole)
        log_of(out).write_bytes(log[:size])
        failures_of(out).unlink(missing_ok=True)

        with open_journal(out, header={"a": 1}) as opened:
            check_whole(out, "abcd")
            assert {*opened.maybe_billed} <= {*"xye"}
            opened.started("new")
        with open_journal(out, header={"a": 1}) as opened:
            assert "new" in opened.maybe_billed
        assert ids_in(failures_of(out)) == [name for name in "xy" if failure(name)[:-1] + b"}" in log[:size]]


KINDS_OF_DAMAGE = {
    "zeros": lambda data, at, size: data[:at] + b"\0" * size + data[at + size :],
    "a flipped bit": lambda data, at, size: data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :],
    "bad UTF-8": lambda data, at, size: data[:at] + b"\xff\xfe\xfd" + data[at + 3 :],
    "a lost piece": lambda data, at, size: data[:at] + data[at + size :],
    "a line of text": lambda data, at, size: data[:at] + b"\nhello\n" + data[at:],
}


@thorough
@pytest.mark.parametrize("kind", KINDS_OF_DAMAGE)
def test_damage_in_the_middle(out: Path, kind: str) -> None:
    """Whole lines stay byte for byte and in their order; what is damaged leaves the file, and is to be sent again."""
    rand = random.Random(kind)
    opened = open_journal(out)
    names = [f"row-{i}" for i in range(40)]
    for name in names:
        opened.started(name)
        opened.answered(name, answer(name, "text " * 20))
    killed(opened)
    whole, log = out.read_bytes(), log_of(out).read_bytes()
    lines = whole.splitlines(keepends=True)

    for _ in range(100 if LONG else 10):
        bad = KINDS_OF_DAMAGE[kind](whole, rand.randrange(len(whole)), rand.choice([1, 30, 700]))
        kept = [line for line in bad.splitlines(keepends=True) if line in lines]
        out.write_bytes(bad)
        log_of(out).write_bytes(log)

        with open_journal(out) as opened:
            done = [name for name in names if opened.records.is_answered(name)]
            assert set(kept) <= set(out.read_bytes().splitlines(keepends=True))
            assert done == ids_in(out)
            assert [line for line in lines if line in kept] == kept
            assert opened.quarantined in range(4)
            for name in set(names) - set(done):
                opened.started(name)
                opened.answered(name, answer(name))
        assert sorted(names) == sorted(map(str, ids_in(out)))
        with open_journal(out) as opened:
            assert all(map(opened.records.is_answered, names))


@pytest.mark.parametrize("kind", ["windows line ends", "byte order mark", "blank lines"])
def test_what_an_editor_leaves(out: Path, kind: str) -> None:
    """Windows line ends, a byte order mark and blank lines are no damage: nothing is sent again."""
    left_by_a_kill(out)
    changed = {"windows line ends": (b"\n", b"\r\n"), "byte order mark": (b"", b""), "blank lines": (b"\n", b"\n\n")}
    data = (
        out.read_bytes().replace(*changed[kind]) if kind != "byte order mark" else journal_lines.BOM + out.read_bytes()
    )
    out.write_bytes(data)

    with open_journal(out) as opened:
        assert [True] * 4 == [opened.records.is_answered(name) for name in "abcd"]
        assert (0, data) == (opened.quarantined, out.read_bytes())


def test_damaged_bytes_are_kept(out: Path) -> None:
    """What is taken out of a file is in the log, byte for byte, from then on and once; the count is kept too."""
    left_by_a_kill(out)
    failures_of(out).write_bytes(failure("z") + b"\0\0\0\n")
    bad = b"\xff" + answer("b")[:30] + b"\n"
    out.write_bytes(out.read_bytes().replace(answer("b"), bad))

    for _ in range(2):
        with open_journal(out) as opened:
            assert 2 == opened.quarantined

    log = log_of(out).read_bytes().splitlines()
    kept = [json.loads(line[9:])["damaged"] for line in log if b'{"damaged":' in line]
    assert [(len(answer("a")), False), (len(failure("z")), False)] == [(one["at"], one["torn"]) for one in kept]
    assert (["a", "c", "d"], ["z", "x", "y"]) == (ids_in(out), ids_in(failures_of(out)))


def test_an_answer_that_is_there_twice(out: Path) -> None:
    """Of two lines of one id the first stays: each id is in the file once."""
    left_by_a_kill(out)
    with out.open("ab") as file:
        file.write(answer("b", "second"))

    with open_journal(out) as opened:
        assert (answer("b"), 1) == (opened.records.answer("b"), opened.quarantined)

    check_whole(out, "abcd")


@pytest.mark.parametrize("place", ["damaged", "replace", "truncate"])
def test_recovery_that_is_broken_off(out: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A recovery that fails at any step leaves files that the next one takes up; nothing is lost."""
    left_by_a_kill(out)
    data = out.read_bytes()
    out.write_bytes(data[:-20] if place == "truncate" else data.replace(answer("b"), b"\0" * 50 + b"\n"))

    def broken(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        if place == "damaged":
            patch.setattr(_journal, "sync_file", broken)
        elif place == "replace":
            patch.setattr(_journal, "replace", broken)
        else:
            patch.setattr(os, "truncate", broken)
        with pytest.raises(OSError, match="full"):
            open_journal(out)

    with open_journal(out) as opened:
        done = "abc" if place == "truncate" else "acd"
        assert [name in done for name in "abcd"] == [opened.records.is_answered(name) for name in "abcd"]
    check_whole(out, done)


# -- a disk that refuses ---------------------------------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(disk, name, broken)


async def test_a_disk_that_refuses(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When lines cannot be brought to the disk nothing more is started, and it is known how many are in doubt."""
    opened = open_journal(out, sync="each")
    write(opened, answered="a")
    await opened.saved()
    refuse(monkeypatch, "sync_file")
    write(opened, answered="bc")

    with pytest.raises(OSError, match="broken"):
        await opened.saved()
    with pytest.raises(OSError, match="broken"):
        opened.started("d")

    assert (2, OSError) == (opened.unsaved, type(opened.error))
    opened.close()
    check_whole(out, "abc")


def test_a_disk_that_refuses_at_the_end(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What shows only when the files are closed is raised then, and the lock is free."""
    opened = open_journal(out)
    monkeypatch.setattr(disk, "EVERY_SECONDS", 60.0)
    write(opened, answered="a")
    refuse(monkeypatch, "sync_file")

    with pytest.raises(OSError, match="broken"):
        opened.close()
    opened.close()

    assert 1 == opened.unsaved
    monkeypatch.undo()
    with open_journal(out) as again:
        assert again.records.is_answered("a")


def test_a_full_disk_at_the_end(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file of failures cannot be written, the failures stay in the log and the next run writes them."""
    opened = open_journal(out)
    write(opened, failed="ab")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(_journal, "replace", full)
        with pytest.raises(OSError, match="full"):
            opened.close()
    assert not failures_of(out).exists()

    open_journal(out).close()

    assert ["a", "b"] == ids_in(failures_of(out))


async def test_each_waits_for_the_disk(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sync="each" a line is on the disk when it counts as saved; with "batch" nobody waits."""
    synced: list[int] = []
    monkeypatch.setattr(disk, "sync_file", synced.append)
    monkeypatch.setattr(disk, "EVERY_SECONDS", 60.0)

    for sync, count in (("batch", 0), ("each", 2)):
        with open_journal(out.with_name(sync), sync=sync) as opened:  # type: ignore[arg-type]
            write(opened, answered="a")
            await opened.saved()
            assert count == len(synced)
        synced.clear()


@pytest.fixture(autouse=True)
def _no_stray_files(tmp_path: Path) -> Iterator[None]:
    """Whatever happened, no temporary file is left."""
    yield
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.endswith(".new")]


def test_errors_of_a_run_may_be_anything() -> None:
    """A failure of any class of this package has a line that is read back."""
    line = journal_lines.error_line("a", AnyFastError("\x1b[31m"), stem=STEM)

    assert "a" == journal_lines.recorded_id(line)


# -- answers that are replaced ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_kill_while_an_answer_is_replaced(out: Path, steps: int) -> None:
    """Whenever the process dies, one answer stands: the old one until the new one is whole, and both are kept."""
    old, new = answer("a"), answer("a").replace(b"batch_req_", b"batch_req_")
    with open_journal(out) as opened:
        opened.started("a")
        opened.answered("a", old)
    opened = open_journal(out)
    if steps >= 1:
        opened.started("a")
    if steps >= 2:
        opened.answered("a", new)
    killed(opened)
    if steps == 2:
        out.write_bytes(out.read_bytes()[:-7])  # the new line is torn

    with open_journal(out) as again:
        assert again.records.is_answered("a")
        assert steps < 3 or ((new, 1) == (again.answer("a"), again.records.outdated))
        assert not again.quarantined

    assert [new if steps == 3 else old] == out.read_bytes().splitlines(keepends=True)
    assert (steps >= 2) == (b'{"replaced":' in log_of(out).read_bytes())
