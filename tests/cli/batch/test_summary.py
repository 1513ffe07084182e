"""How ``anyfast batch`` ends."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from anyfast_async import AuthenticationError, BudgetExceeded
from anyfast_async.batch import Tally, open_source, survey
from anyfast_async.batch.counts import Census, Counts
from anyfast_async.cli.batch.command import batch
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.batch.options import Options
from anyfast_async.cli.batch.summary import BatchEnd, note_recovery, report


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., BatchJob]:
    """A job of ten rows."""

    def make(*arguments: str) -> BatchJob:
        source = tmp_path / "in.txt"
        source.write_text("".join(f"row {n}\n" for n in range(10)))
        given = batch.make_context("batch", ["-i", str(source), "-o", str(tmp_path / "out.jsonl"), *arguments]).params
        found = survey(open_source(source))
        return BatchJob(
            survey=found, options=Options(**given), fields={}, model="m", prices=None, command="anyfast batch x"
        )

    return make


def run(*, answered: int, failed: int = 0, **fields: Any) -> Any:
    """A run of ten rows that has ended."""
    return SimpleNamespace(
        tally=Tally(10, 0, answered=answered, failed=failed),
        **{"stopped": None, "unfinished": (), "in_doubt": 0, "unsaved": 0} | fields,
    )


STOPPED = AuthenticationError("401: no")


@pytest.mark.parametrize(
    ("ended", "signal", "status", "code", "left"),
    [
        (run(answered=10), None, "complete", 0, 0),
        (run(answered=8, failed=2), None, "complete", 1, 0),
        (run(answered=3, stopped=STOPPED), None, "stopped", 3, 7),
        (run(answered=3), 2, "interrupted", 130, 7),
        (run(answered=3), 15, "interrupted", 143, 7),
        (run(answered=10), 15, "complete", 0, 0),
        (run(answered=9, failed=1), 2, "complete", 1, 0),
    ],
)
def test_exit_codes(
    job: Callable[..., BatchJob], *, ended: Any, signal: int | None, status: str, code: int, left: int
) -> None:
    """The status and exit code say how it ended; a signal after the last row changes nothing."""
    ending = BatchEnd(job(), Census(), run=ended, signal=signal)

    assert (status, code, left) == (ending.status, ending.code, ending.left)
    assert (left > 0 or ended.tally.failed > 0) == ending.needs_input


def test_nothing_to_do(job: Callable[..., BatchJob], capsys: pytest.CaptureFixture[str]) -> None:
    """A job that was done before says so, and is complete."""
    ending = BatchEnd(job(), Census(Counts(Counter({"ok": 10})), 10))
    ending.tell()

    assert ("complete", 0, False) == (ending.status, ending.code, ending.needs_input)
    assert ("nothing to do: every row (10) has its result; nothing was sent\n", "") == capsys.readouterr()


def test_what_is_said(job: Callable[..., BatchJob], capsys: pytest.CaptureFixture[str]) -> None:
    """What went wrong, what is not safe, what may be billed and how to go on are said, in this order."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.jsonl")
    ids = tuple(f"r{n}" for n in range(25))
    BatchEnd(job(), Census(), run=run(answered=3, failed=1, stopped=full, unfinished=ids, unsaved=2)).tell()

    out, err = capsys.readouterr()
    assert "answered  " in out
    failed, disk, unsaved, work, left, command = err.splitlines()
    assert failed.startswith("1 row failed: ")
    assert "error: out.jsonl: No space left on device" == disk
    assert unsaved.startswith("2 rows answered, but not safely on the disk")
    assert work.endswith(", r18, r19 and 5 more")
    assert ("6 rows left; to go on:", "  anyfast batch x") == (left, command)


def test_as_json(job: Callable[..., BatchJob], capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the end is one object."""
    BatchEnd(job("--json"), Census(), run=run(answered=3, stopped=STOPPED, unfinished=("a",), unsaved=1)).tell()

    told = json.loads(capsys.readouterr().out)
    assert ("stopped", 3, 7, ["a"], 1) == tuple(
        told[name] for name in ("status", "answered", "left", "unfinished", "unsaved")
    )
    assert {"kind": "auth", "message": "401: no"} == told["stopped_by"]
    assert None is told["estimate"]


def test_going_on_needs_a_higher_budget(job: Callable[..., BatchJob], capsys: pytest.CaptureFixture[str]) -> None:
    """A budget is the file's: the same command would stop at once, so another ceiling is asked for."""
    words = ("batch", "-i", "in", "-o", "out.jsonl", "--budget-tokens", "5", "--json", "--budget-usd=1")
    made = attrs.evolve(job("--budget-tokens", "5", "--budget-usd", "1"), argv=words)
    BatchEnd(made, Census(), run=run(answered=3, stopped=BudgetExceeded("spent"))).tell()

    assert capsys.readouterr().err.endswith(
        "7 rows left; to go on with a higher budget:\n"
        "  anyfast batch -i in -o out.jsonl --json --budget-tokens N --budget-usd N\n"
    )


def test_what_may_be_billed_is_told(job: Callable[..., BatchJob], capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that this run or an earlier one may be billed for without an answer, once each, also when all is well."""
    BatchEnd(job("--json"), Census(), run=run(answered=3, unfinished=("b", "c")), earlier=("a", "b")).tell()
    assert ["a", "b", "c"] == json.loads(capsys.readouterr().out)["maybe_billed"]

    BatchEnd(job(), Census(), run=run(answered=10), earlier=("a", "b")).tell()
    assert "perhaps billed  2 rows" in capsys.readouterr().out

    BatchEnd(job(), Census(), run=run(answered=10)).tell()
    assert "perhaps billed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answered", "damaged", "billed", "words"),
    [
        (10, 0, (), []),
        (12, 0, (), ["holds 2 answers to rows that are not in"]),
        (10, 3, (), ["had 3 damaged lines"]),
        (10, 0, ("a", "b"), ["perhaps billed twice: a, b"]),
    ],
)
def test_what_an_earlier_run_left(
    job: Callable[..., BatchJob],
    capsys: pytest.CaptureFixture[str],
    *,
    answered: int,
    damaged: int,
    billed: tuple[str, ...],
    words: list[str],
) -> None:
    """Other rows' answers, damage and rows that may be billed twice are said before anything is sent."""
    files: Any = SimpleNamespace(answered=answered, quarantined=damaged, maybe_billed=billed)
    note_recovery(job(), files, 10)

    lines = capsys.readouterr().err.splitlines()
    assert len(words) == len(lines)
    assert all(word in line for word, line in zip(words, lines, strict=True))


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors of the gateway come with advice, those of the disk with the file."""
    report(STOPPED)
    report(OSError(errno.EIO, os.strerror(errno.EIO)))

    assert ["error: 401: no", "To try it without a key: --simulate.", "error: a file: Input/output error"] == (
        capsys.readouterr().err.splitlines()
    )
