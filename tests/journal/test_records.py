"""What the files of a journal hold, as it is read from them; nothing is written."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from anyfast_async import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    ForeignFileError,
    IncompleteStreamError,
    MismatchError,
)
from anyfast_async._core.journal import journal_lines
from anyfast_async._journal.records import Records, Span

STEM = "0" * 24


def answer(custom_id: str) -> bytes:
    return journal_lines.answer_line(
        custom_id, ChatCompletion(choices=(Choice(message=AssistantMessage("x")),)), stem=STEM
    )


def failure(custom_id: str, message: str) -> bytes:
    return journal_lines.error_line(custom_id, IncompleteStreamError(message), stem=STEM)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Answers, failures and log; none is there yet."""
    return tmp_path / "out", tmp_path / "out.errors.jsonl", tmp_path / "log"


def test_no_files(files: tuple[Path, Path, Path]) -> None:
    """Where there is no file, nothing is done, and none is made."""
    records = Records(*files)

    records.read({"a": 1})

    assert (0, [], True) == (len(records.answered), records.damage, records.settled)
    assert (False, None, None, []) == (
        records.is_answered("a"),
        records.answer("a"),
        records.failure("a"),
        list(records.failed_lines()),
    )
    assert not any(path.exists() for path in files)


def test_the_latest_failure_counts(files: tuple[Path, Path, Path]) -> None:
    """Of a row's failures the last one counts, the log is later than the file, and an answer beats them all."""
    out, err, log = files
    out.write_bytes(answer("a"))
    err.write_bytes(failure("a", "1") + failure("b", "1") + failure("c", "1") + failure("c", "2"))
    log.write_bytes(journal_lines.failed_record(failure("b", "2")) + journal_lines.failed_record(failure("b", "3")))
    records = Records(*files)

    records.read({})

    assert [None, failure("b", "3"), failure("c", "2")] == [records.failure(name) for name in "abc"]
    assert {failure("b", "3"), failure("c", "2")} == set(records.failed_lines())
    assert not records.settled
    records.close()


def test_failures_that_were_settled_are_in_their_file(files: tuple[Path, Path, Path]) -> None:
    """What the log has from before they were put into their file is not read: the file may have been changed since."""
    _, err, log = files
    err.write_bytes(failure("b", "1"))
    failed = [journal_lines.failed_record(failure(name, "0")) for name in "ab"]
    log.write_bytes(b"".join(failed) + journal_lines.record("settled", True))
    records = Records(*files)

    records.read({})

    assert ([failure("b", "1")], True) == (list(records.failed_lines()), records.settled)
    records.close()


def test_damage_is_found_where_it_is(files: tuple[Path, Path, Path]) -> None:
    """Damaged lines of both files are named with their place, and their bytes can be read."""
    out, err, log = files
    first = len(answer("a"))
    out.write_bytes(answer("a") + b"\0\0\0\n" + answer("b") + answer("c")[:20])
    err.write_bytes(b"\xff\n")
    log.write_bytes(journal_lines.record("open", []))
    records = Records(*files)

    records.read({})

    places = [(span.path, span.at, span.size, span.torn) for span in records.damage]
    assert [(out, first, 4, False), (out, 2 * first + 4, 20, True), (err, 0, 2, False)] == places
    assert [b"\0\0\0\n", answer("c")[:20], b"\xff\n"] == [span.read() for span in records.damage]
    assert [True, True, False] == [records.is_answered(name) for name in "abc"]
    assert [False, True, True] == [records.are_ended[path] for path in files]
    records.close()


def test_memory_goes_with_the_records(files: tuple[Path, Path, Path]) -> None:
    """When nobody holds them any more they are gone at once, not when garbage is next collected."""
    records = Records(*files)
    records.read({})
    gone = weakref.ref(records.answered)

    del records

    assert gone() is None


def test_refusals(files: tuple[Path, Path, Path]) -> None:
    """Another header and a file of somebody else are refused, with what is wrong."""
    out, _, log = files
    log.write_bytes(journal_lines.record("header", {"a": 1}))
    with pytest.raises(MismatchError, match="a was 1, is 2"):
        Records(*files).read({"a": 2})

    log.unlink()
    out.write_bytes(answer("a") + b"dear diary\n")
    with pytest.raises(ForeignFileError, match=f"byte {len(answer('a'))}"):
        Records(*files).read({"a": 2})


def test_a_piece_of_a_file(tmp_path: Path) -> None:
    """A span reads its own bytes alone."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    assert b"345" == Span(path, 3, 3, torn=False).read()
