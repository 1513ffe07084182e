"""Two runs held against each other."""

from __future__ import annotations

from pathlib import Path

from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.report.comparison import Comparison, Pair, compared_rows
from anyfast_async.batch.results.results import Results

from .written import Rows, answer, leave, refused


def compare(folder: Path, one: Rows, other: Rows, samples: int = 0) -> Comparison:
    paths = leave(folder, one, name="one.jsonl"), leave(folder, other, name="other.jsonl")
    first, second = (Results(path, failures_of(path), log_of(path)) for path in paths)
    with first, second:
        return compared_rows(first, second, samples=samples)


def test_every_row_once(tmp_path: Path) -> None:
    """Each row is in both, or in one: the same text, another one, or come to something else."""
    one: Rows = [("same", answer("a")), ("other", answer("a")), ("lost", answer()), ("was bad", refused(500, "x"))]
    other = [
        ("same", answer("a")),
        ("other", answer("b")),
        ("was bad", answer()),
        ("new", answer()),
        ("new2", answer()),
    ]

    found = compare(tmp_path, one, other, samples=5)

    assert (3, 1, 1, 1, 2) == (found.both, found.same, found.different, found.only_one, found.only_other)
    assert {("server", "ok"): 1} == found.changes
    assert {("server", "ok"): ["was bad"]} == found.examples
    assert [Pair("other", "a", "b")] == found.samples


def test_examples_and_samples_are_few(tmp_path: Path) -> None:
    """Three rows of each change are named; answers are drawn on request alone."""
    one = [(f"r{n}", answer("long", "length")) for n in range(50)]
    other = [(f"r{n}", answer("long enough")) for n in range(50)]

    found = compare(tmp_path, one, other)
    drawn = compare(tmp_path, one, other, samples=7)

    assert (50, ["r0", "r1", "r2"], []) == (found.changes["cut", "ok"], found.examples["cut", "ok"], found.samples)
    assert 7 == len({pair.custom_id for pair in drawn.samples})
