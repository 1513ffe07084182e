"""What a batch left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anyfast_async import AssistantMessage, ChatCompletion, Choice, Usage
from anyfast_async._core.errors.failures import status_error
from anyfast_async._core.journal import journal_lines
from anyfast_async.batch.results.results import Results

LONG = bool(os.environ.get("ANYFAST_LONG"))
STEM = "0" * 24


def answered(custom_id: str, text: str = "Hi", finish: str = "stop") -> bytes:
    """A line of ours."""
    choice = Choice(message=AssistantMessage(text), finish_reason=finish)
    completion = ChatCompletion(choices=(choice,), usage=Usage(prompt_tokens=3, completion_tokens=2))
    return journal_lines.answer_line(custom_id, completion, stem=STEM)


def failed(custom_id: str, status: int = 500, message: str = "gone") -> bytes:
    """A line of ours."""
    error = status_error(status)(message)
    error.status_code = status
    return journal_lines.error_line(custom_id, error, stem=STEM)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Results]:
    """Reads a batch of which these are the lines."""

    def results(answers: list[bytes], errors: list[bytes] | None = None, log: list[bytes] | None = None) -> Results:
        for name, lines in (("o.jsonl", answers), ("e.jsonl", errors), ("o.jsonl.run", log)):
            if lines is not None:
                (tmp_path / name).write_bytes(b"".join(lines))
        return Results(tmp_path / "o.jsonl", tmp_path / "e.jsonl", tmp_path / "o.jsonl.run")

    return results


def outcomes(results: Results) -> list[tuple[str, str]]:
    return [(row.custom_id, row.error_kind or row.outcome) for row in results.rows()]


def test_joined(read: Callable[..., Results]) -> None:
    """Each id is there once: an answer wins over failures, the log over the error file, a later line over others."""
    log = [journal_lines.failed_record(failed("d", 500)), journal_lines.failed_record(failed("d", 503)), b"torn\n"]
    log.append(journal_lines.failed_record(failed("a", 400)))
    with read(
        [answered("a"), answered("b", ""), answered("c", "x", "length"), answered("b", "now")],
        [failed("c"), failed("d", 400), failed("e", 429)],
        log,
    ) as results:
        assert [("a", "ok"), ("c", "cut"), ("b", "ok"), ("d", "server"), ("e", "rate_limit")] == outcomes(results)
        assert {"ok": 2, "cut": 1, "failed": 2} == {k: v for k, v in results.counts.outcomes.items() if v}
        assert (5, 9, 6, 1) == (results.total, results.prompt_tokens, results.completion_tokens, results.again)
        assert "503: gone" == getattr(results.find("d").failure, "message", None)
        assert ("ok", "missing") == (results.find("b").outcome, results.find("nobody").outcome)


def test_broken_lines_are_counted_and_named(read: Callable[..., Results]) -> None:
    """Broken lines are passed over; how many there are is known, and where the first few stand."""
    with read([answered("a"), b"junk\n", b"\n", answered("b"), *[b"junk\n"] * 20, answered("c")[:-9]]) as results:
        assert [("a", "ok"), ("b", "ok")] == outcomes(results)
        assert (22, [2, 5, 6, 7, 8]) == (results.broken_count, [one.line for one in results.broken])


def test_only_answers(read: Callable[..., Results]) -> None:
    """The error file and the log need not be there; without the output there is an error."""
    with read([answered("a")]) as results:
        assert [("a", "ok")] == outcomes(results)


def test_every_row_is_looked_at(tmp_path: Path) -> None:
    """The first reading tells of every row that stands, so that columns are known before the second."""
    (tmp_path / "o").write_bytes(answered("a") + answered("b"))
    (tmp_path / "e").write_bytes(failed("b") + failed("c"))
    seen: list[str] = []
    with Results(tmp_path / "o", tmp_path / "e", tmp_path / "l", lambda told: seen.extend(told["custom_id"])):
        assert ["a", "b", "c"] == seen


MEASURED = """
import resource, sys
from anyfast_async.cli import main
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
main(["results", "few.jsonl", "-o", "few.csv"])
before = peak()
main(["results", "many.jsonl", "-o", "many.csv"])
print(peak() - before)
"""


@pytest.mark.reliability
def test_memory_is_bounded(tmp_path: Path) -> None:
    """A table of a million rows (a fiftieth by default) takes no more than 40 MiB above one of ten rows."""
    count = 1_000_000 if LONG else 20_000
    for name, rows in (("few", 10), ("many", count)):
        with (tmp_path / f"{name}.jsonl").open("wb") as file:
            file.writelines(answered(f"row-{number}", f'{{"n": {number}}}') for number in range(rows))

    command = [sys.executable, "-c", MEASURED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=True)

    with (tmp_path / "many.csv").open("rb") as file:
        assert count + 1 == sum(1 for _ in file)
    assert int(done.stdout) <= 40


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("files", ["oo", "oe", "eo", "ee"])
def test_an_answer_wins(read: Callable[..., Results], files: str, order: int) -> None:
    """Whichever comes first, and in whichever file: the answer counts, once."""
    answers: list[bytes] = []
    errors: list[bytes] = []
    for file, one in list(zip(files, [answered("a", "paid"), failed("a", 429)], strict=True))[::order]:
        (answers if file == "o" else errors).append(one)

    with read(answers, errors) as results:
        (row,) = results.rows()
        assert ("ok", "paid") == (row.outcome, row.text)
        assert (1, "ok", {"ok": 1}) == (
            results.total,
            results.find("a").outcome,
            {word: n for word, n in results.counts.outcomes.items() if n},
        )


def test_what_was_sent_is_told_from_what_was_not(read: Callable[..., Results]) -> None:
    """Rows without a result may have been sent, by what the log says, or were not."""
    header = {"input": {"rows": 5, "bad": 1}}
    log = [
        journal_lines.record("header", header),
        journal_lines.record("open", ["b", "a"]),
        journal_lines.record("maybe_billed", ["c"]),
    ]
    with read([answered("a")], [], log) as results:
        assert (6, 2) == (results.expected, results.in_doubt)
        assert ["maybe", "maybe", "no"] == [getattr(results.find(one).failure, "billed", None) for one in "bcd"]
        assert 2 == results.maybe_billed


def test_models_are_those_that_were_asked(read: Callable[..., Results]) -> None:
    """An answer counts for the model that was asked, by what the log says; else for the one that it names."""
    for asked, models in ((["m"], ["m"]), (["m", "n"], [""]), ([], [""])):
        with read([answered("a")], [], [journal_lines.record("model", ["", one]) for one in asked]) as results:
            assert models == list(results.spent.models)


def test_an_answer_that_is_asked_again_may_be_billed_again(read: Callable[..., Results]) -> None:
    """Also while it has its first answer; one that was lost stays counted when it is answered at last."""
    log = [
        journal_lines.record("again", "a"),
        journal_lines.record("open", ["a", "b"]),
        journal_lines.record("maybe_billed", ["c"]),
    ]
    with read([answered("a"), answered("b"), answered("c")], [], log) as results:
        assert (0, 2) == (results.in_doubt, results.maybe_billed)
