"""Reading a batch's input in two passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anyfast_async import ConfigurationError
from anyfast_async.batch import source
from anyfast_async.batch.source import rows, survey


def test_a_good_file(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """The first pass knows every id with its line; the second gives the rows in order, without those to skip."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + make_line("b", model=None) + make_line("c"))

    found = survey(path)

    assert ({"a": 1, "b": 2, "c": 3}, 1, ()) == (found.ids, found.without_model, found.problems)
    assert [("a", 1), ("c", 3)] == [(row.custom_id, row.number) for row in rows(found, skip={"b"})]


def test_what_editors_leave_in_a_file(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """A byte order mark, CRLF, blank lines and a missing last line end are passed over; numbers count every line."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + make_line("a").replace(b"\n", b"\r\n") + b"\r\n  \n" + make_line("b").rstrip(b"\n")
    )

    found = survey(path)

    assert ({"a": 1, "b": 4}, ()) == (found.ids, found.problems)
    assert ["a", "b"] == [row.custom_id for row in rows(found)]


def test_every_problem_with_its_line(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """Problems of all lines are found in one pass, a duplicate id with both of its lines, also on a bad line."""
    path = tmp_path / "in.jsonl"
    lines = [make_line("a"), b"nope\n", make_line("a"), make_line("b", n=0), make_line("b", {"method": "GET"})]
    path.write_bytes(b"".join(lines))

    found = survey(path)

    assert [
        "line 2: is not JSON",
        "line 3: custom_id: 'a' stands on line 1 already",
        "line 4: body.n: must be an integer of at least 1, not 0",
        "line 5: method: is 'GET'; must be 'POST'",
        "line 5: custom_id: 'b' stands on line 4 already",
    ] == [str(problem) for problem in found.problems]
    assert 5 == found.problem_count


def test_problems_beyond_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is none, the first problems are kept and all are counted."""
    monkeypatch.setattr(source, "KEPT_PROBLEMS", 3)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"no\n" * 10)

    found = survey(path)

    assert (3, 10) == (len(found.problems), found.problem_count)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_line: Callable[..., bytes]) -> None:
    """A line that is too long is a problem and is not held in memory; the lines after it are checked."""
    monkeypatch.setattr(source, "MAX_LINE", 300)
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + b"x" * 301 + b"\n" + b"y" * 1300 + b"\n" + make_line("b") + b"z" * 700)

    found = survey(path)

    too_long = "is longer than 300 bytes"
    assert [(2, too_long), (3, too_long), (5, too_long)] == [(p.line, p.problem) for p in found.problems]
    assert {"a": 1, "b": 4} == found.ids


@pytest.mark.parametrize("change", ["append", "swap", "garbage"])
def test_a_file_that_changes(tmp_path: Path, make_line: Callable[..., bytes], change: str) -> None:
    """A file that is not the one that was checked ends the second pass with an error that says so."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + make_line("b"))
    found = survey(path)
    changed = {
        "append": make_line("a") + make_line("b") + make_line("c"),
        "swap": make_line("b") + make_line("a"),
        "garbage": make_line("a") + b"x\n",
    }
    path.write_bytes(changed[change])

    with pytest.raises(ConfigurationError, match="was changed while the batch ran"):
        list(rows(found))
