"""What a batch writes, and how it is found again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from anyfast_async import AnyFastError, AssistantMessage, ChatCompletion, Choice
from anyfast_async.batch.lines import answer_line, error_line, recorded_id
from anyfast_async.batch.output import Appender, ForeignFileError, open_batch, scan, settle_errors


def answer(custom_id: str, text: str = "x") -> bytes:
    return answer_line(custom_id, ChatCompletion(choices=(Choice(message=AssistantMessage(text)),)), row_id="1")


def failure(custom_id: str, message: str = "no") -> bytes:
    return error_line(custom_id, AnyFastError(message), row_id="1")


def ids_in(path: Path) -> list[str | None]:
    return [recorded_id(line) for line in path.read_bytes().splitlines(keepends=True)]


def test_no_file_is_made_before_the_first_line(tmp_path: Path) -> None:
    """Opening a batch makes no file; the first line does."""
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"

    with open_batch(out, err) as files:
        assert ([], frozenset()) == (list(tmp_path.iterdir()), files.done)
        files.answers.write(answer("a"))

    assert (answer("a"), False) == (out.read_bytes(), err.exists())


def test_every_cut_of_the_last_line(tmp_path: Path) -> None:
    """Wherever the last line was torn, the whole lines are found, the rest is cut off, and no result is lost."""
    out, whole, last = tmp_path / "out.jsonl", answer("a") + answer("b"), answer("c", "text")

    for size in range(len(last)):
        out.write_bytes(whole + last[:size])
        with open_batch(out, tmp_path / "err.jsonl") as files:
            complete = size == len(last) - 1  # only its line end is missing
            assert frozenset("abc" if complete else "ab") == files.done
            assert (whole + last if complete else whole) == out.read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"dear diary", b"dear diary\n", b'{"a": 1}\n', answer("a") + b"torn in the middle\n" + answer("b"), b"\x00" * 20],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    """A file that no batch wrote is refused and not touched, as output and as error file."""
    path = tmp_path / "notes"
    path.write_bytes(content)

    for out, err in ((path, tmp_path / "err"), (tmp_path / "out", path)):
        with pytest.raises(ForeignFileError, match=r"notes, line \d, is no result of a batch"):
            open_batch(out, err)

    assert content == path.read_bytes()


def test_an_output_that_cannot_be_read_back(tmp_path: Path) -> None:
    """What is no regular file is refused: nothing could be found again in it."""
    with pytest.raises(ForeignFileError, match="no regular file"):
        scan(Path(os.devnull))
    with pytest.raises(FileNotFoundError, match="no such directory"):
        open_batch(tmp_path / "nowhere" / "out", tmp_path / "err")


def test_each_id_in_one_file(tmp_path: Path) -> None:
    """After a rerun what was answered has left the error file, and what failed again is there once, with its latest."""
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
    out.write_bytes(answer("done"))
    err.write_bytes(failure("fixed") + failure("again", "first") + failure("not tried"))
    err.chmod(0o640)

    with open_batch(out, err) as files:
        files.errors.write(failure("again", "second"))
        files.answers.write(answer("fixed"))

    assert ["done", "fixed"] == ids_in(out)
    assert failure("not tried") + failure("again", "second") == err.read_bytes()
    assert 0o640 == err.stat().st_mode & 0o777
    assert {"out.jsonl", "err.jsonl"} == {path.name for path in tmp_path.iterdir()}


def test_an_error_file_without_errors_is_removed(tmp_path: Path) -> None:
    """When the last failed row is answered the error file goes."""
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
    err.write_bytes(failure("a"))

    with open_batch(out, err) as files:
        files.answers.write(answer("a"))

    assert not err.exists()


def test_after_a_kill_both_files_are_settled(tmp_path: Path) -> None:
    """What a killed process left, an id in both files and a torn error line, the next run mends."""
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
    out.write_bytes(answer("a"))
    err.write_bytes(failure("a") + failure("b") + failure("c")[:30])

    open_batch(out, err).close()

    assert (["a"], ["b"]) == (ids_in(out), ids_in(err))


def test_an_error_file_in_order_is_left_alone(tmp_path: Path) -> None:
    """Nothing to settle means nothing is rewritten."""
    err = tmp_path / "err.jsonl"
    err.write_bytes(failure("a") + failure("b"))
    before = err.stat().st_ino

    assert 2 == settle_errors(err, frozenset())
    assert before == err.stat().st_ino


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """An error file behind a symbolic link is settled where it is."""
    real, link = tmp_path / "real.jsonl", tmp_path / "err.jsonl"
    real.write_bytes(failure("a", "1") + failure("a", "2"))
    link.symlink_to(real)

    open_batch(tmp_path / "out.jsonl", link).close()

    assert (True, failure("a", "2")) == (link.is_symlink(), real.read_bytes())


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of which only a part could be written is taken back, and the error is raised."""
    appender = Appender(tmp_path / "out.jsonl")
    appender.write(answer("a"))
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) <= 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data[:-10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            appender.write(answer("b"))
    appender.write(answer("c"))
    appender.close()

    assert answer("a") + answer("c") == (tmp_path / "out.jsonl").read_bytes()


def test_one_write_per_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line reaches the system in one write, at once: a killed process tears at most the last."""
    sizes: list[int] = []
    write = os.write

    def counted(file: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(file, data)

    monkeypatch.setattr(os, "write", counted)
    appender = Appender(tmp_path / "out.jsonl")

    for custom_id in "abc":
        appender.write(answer(custom_id, "y" * 100_000))
        assert sizes[-1] == len(answer(custom_id, "y" * 100_000))
    appender.close()

    assert 3 == len(sizes)
