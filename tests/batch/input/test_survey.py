"""The two passes over an input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anyfast_async import ConfigurationError
from anyfast_async.batch.input.checked_rows import Measure
from anyfast_async.batch.input.source import open_source
from anyfast_async.batch.input.survey import fingerprint, ids_of, rows, survey

LONG = os.environ.get("ANYFAST_LONG") == "1"


def test_a_good_file(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """The first pass counts the rows by model; the second gives them in order, without those to skip."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + make_line("b", model=None) + make_line("c"))

    found = survey(open_source(path))

    assert (3, {"gemini-2.5-flash": 2, None: 1}, ()) == (found.count, found.models, found.problems)
    assert fingerprint(path) == found.sha256
    assert ["a", "b", "c"] == list(ids_of(found))
    assert [("a", 1), ("c", 3)] == [(row.custom_id, row.number) for row in rows(found, skip={"b"})]


def test_some_of_the_rows(tmp_path: Path) -> None:
    """Rows can be picked by their place among those that are not skipped."""
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{n}\n" for n in range(10)))
    found = survey(open_source(path))

    picked = rows(found, skip={"line-1", "line-2"}, only={0, 3})

    assert ["line-3", "line-6"] == [row.custom_id for row in picked]


def test_what_editors_leave_in_a_file(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """A byte order mark, CRLF, blank lines and a missing last line end are passed over; numbers count every line."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + make_line("a").replace(b"\n", b"\r\n") + b"\r\n  \n" + make_line("b").rstrip(b"\n")
    )

    found = survey(open_source(path))

    assert (2, ()) == (found.count, found.problems)
    assert [("a", 1), ("b", 4)] == [(row.custom_id, row.number) for row in rows(found)]


def test_every_problem_with_its_line(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """Problems of all lines are found in one pass, a duplicate id with both of its lines, also on a bad line."""
    path = tmp_path / "in.jsonl"
    lines = [make_line("a"), b"nope\n", make_line("a"), make_line("b", n=0), make_line("b", {"method": "GET"})]
    path.write_bytes(b"".join(lines))

    found = survey(open_source(path))

    assert [
        "line 2: is not JSON",
        "line 3: custom_id: 'a' stands on line 1 already",
        "line 4: body.n: must be an integer of at least 1, not 0",
        "line 5: method: is 'GET'; must be 'POST'",
        "line 5: custom_id: 'b' stands on line 4 already",
    ] == [str(problem) for problem in found.problems]
    assert 5 == found.problem_count


def test_given_and_made_ids_do_not_mix(tmp_path: Path) -> None:
    """An id that is given and looks like the number of another line is a duplicate of it."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "line-2", "messages": "a"}\n{"messages": "b"}\n')

    found = survey(open_source(path, kind="requests"))

    assert ["line 2: custom_id: 'line-2' stands on line 1 already"] == [str(problem) for problem in found.problems]


def test_a_shared_hash_is_no_duplicate(
    tmp_path: Path, make_line: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are told apart even if their hashes are all the same; real duplicates among them are found."""
    for module in ("survey", "repeated_ids"):
        monkeypatch.setattr(f"anyfast_async.batch.input.{module}.hash", lambda _: 7, raising=False)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(make_line(name) for name in "abcb"))

    found = survey(open_source(path))

    assert ["line 4: custom_id: 'b' stands on line 2 already"] == [str(problem) for problem in found.problems]


def test_problems_beyond_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is none, the first problems are kept and all are counted."""
    monkeypatch.setattr("anyfast_async.batch.input.survey.KEPT_PROBLEMS", 3)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"no\n" * 10)

    found = survey(open_source(path))

    assert ([1, 2, 3], 10) == ([problem.line for problem in found.problems], found.problem_count)


@pytest.mark.parametrize("change", ["append", "swap", "garbage", "replace", "unnoticed"])
def test_a_file_that_changes(tmp_path: Path, make_line: Callable[..., bytes], change: str) -> None:
    """A file that is not the one that was checked gives no row, but an error that says so."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + make_line("b"))
    found = survey(open_source(path))
    changed = {
        "append": make_line("a") + make_line("b") + make_line("c"),
        "swap": make_line("b") + make_line("a"),
        "garbage": make_line("a") + b"x\n",
        "replace": make_line("a") + make_line("b"),
        "unnoticed": make_line("a") + make_line("c"),
    }
    before = path.stat()
    other = tmp_path / "other" if change == "replace" else path
    other.write_bytes(changed[change])
    other.replace(path)
    if change == "unnoticed":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(ConfigurationError, match="was changed while the batch ran"):
        next(rows(found))
    if change != "unnoticed":
        with pytest.raises(ConfigurationError, match="was changed while the batch ran"):
            list(ids_of(found))


def test_a_file_that_changes_meanwhile(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """A change while rows are handed out ends them at the next one."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + make_line("b") + make_line("c"))
    handed_out = rows(survey(open_source(path)))
    assert "a" == next(handed_out).custom_id
    with path.open("ab") as file:
        file.write(make_line("d"))

    with pytest.raises(ConfigurationError, match="was changed"):
        next(handed_out)


def test_a_file_in_another_place(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """A file that was moved is the same file, if one says where it is."""
    path, other = tmp_path / "in.jsonl", tmp_path / "moved"
    path.write_bytes(make_line("a"))
    found = survey(open_source(path))
    path.rename(other)

    assert ["a"] == [row.custom_id for row in rows(found.moved(other))]


MEMORY = """
import resource, sys
from pathlib import Path
from anyfast_async.batch import open_source, survey

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

path, count = Path(sys.argv[1]), int(sys.argv[2])
path.write_text("".join('{"id": "row-%d", "messages": "x"}\\n' % n for n in range(1000)))
survey(open_source(path))
before = peak()
with path.open("w") as file:
    for n in range(count):
        file.write('{"id": "row-%d", "messages": "x"}\\n' % n)
assert survey(open_source(path)).count == count
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory(tmp_path: Path) -> None:
    """Checking a hundred thousand rows takes 3 MiB more than checking a thousand; a million take 20 MiB."""
    count, limit = (1_000_000, 20) if LONG else (100_000, 3)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "in.jsonl"), str(count)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)

    assert int(done.stdout) <= limit


def test_bad_rows_are_left_out(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """With skip_bad the good rows are handed out, and each bad one has its reasons and an id that no other row has."""
    path = tmp_path / "in.jsonl"
    lines = [make_line("a"), b"nope\n", make_line("b", n=0), make_line("a"), make_line("line-2"), make_line("b")]
    path.write_bytes(b"".join(lines))

    found = survey(open_source(path), skip_bad=True)

    assert (2, 6, {"gemini-2.5-flash": 2}, True) == (found.count, found.total, found.models, found.is_whole)
    assert ["a", "line-2"] == [row.custom_id for row in rows(found)]
    assert {
        2: ("line-2 (left out)", ("is not JSON",)),
        3: ("b", ("body.n: must be an integer of at least 1, not 0",)),
        4: ("line-4", ("custom_id: 'a' stands on line 1 already",)),
        6: ("line-6", ("custom_id: 'b' stands on line 3 already",)),
    } == {number: (row.custom_id, row.problems) for number, row in found.bad.items()}
    assert ["a", "b", "line-2", "line-2 (left out)", "line-4", "line-6"] == sorted(ids_of(found))


def test_a_file_that_breaks_off_is_no_bad_row(tmp_path: Path) -> None:
    """What stands behind an unclosed quote was not read: that is told from a row that cannot be sent."""
    path = tmp_path / "in.csv"
    path.write_text('text\ngood\n"open\nlost\n')

    found = survey(open_source(path, template="{text}"), skip_bad=True)

    assert (1, False) == (found.count, found.is_whole)


def test_the_same_mistake_is_one_kind(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """Problems that differ in values and numbers alone are one kind, with a count and the first three lines."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(make_line("ab"[n % 2], n=-n if n > 5 else 1) for n in range(12)))

    found = survey(open_source(path))

    assert [
        ("body.n: must be an integer of at least 1, not -6", [7, 8, 9], 6),
        ("custom_id: 'a' stands on line 1 already", [3, 4, 5], 10),
    ] == [(kind.problem, kind.lines, kind.count) for kind in found.kinds]


def test_what_rows_will_take(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """The good ones of the first rows are measured, by model; one that turns out to be bad is taken back."""
    path = tmp_path / "in.jsonl"
    lines = [make_line("a"), b"no\n", make_line("b", model="m", max_tokens=9), make_line("a"), b"\n", make_line("c")]
    path.write_bytes(b"".join([*lines, make_line("d")]))
    read: list[int] = []

    found = survey(open_source(path), skip_bad=True, measure=Measure(lambda one: one, 5), told=read.append)

    assert {("gemini-2.5-flash", 5, 400): 2, ("m", 5, 9): 1} == found.measured
    assert (4, 6, {"gemini-2.5-flash": 3, "m": 1}) == (found.count, sum(read), found.models)
    assert {} == survey(open_source(path), skip_bad=True).measured


@pytest.mark.parametrize("names", [["b", "c", "bb"], ["a9", "a10", "a11"], ["b", "a", "c"], ["b", "c", "bb", "a", "c"]])
def test_ids_in_order_and_not(names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that comes again is found wherever it does, in rows that are read later, too."""
    monkeypatch.setattr("anyfast_async.batch.input.file_lines._PIECE", 70)
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"id": "{name}", "messages": "x"}}\n' for name in names * 2))

    found = survey(open_source(path, kind="requests"))

    again = [number for number, name in enumerate(names * 2, 1) if name in (names * 2)[: number - 1]]
    assert again == [problem.line for problem in found.problems]
