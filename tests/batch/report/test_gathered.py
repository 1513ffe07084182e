"""What a report gathers from the files of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyfast_async._journal.records import log_of

from .written import answer, busy, gather, leave, refused


def test_kinds_and_examples(tmp_path: Path) -> None:
    """Of each kind of failure and each odd outcome the first three rows are named, and all are counted."""
    rows = [(f"bad-{n}", refused(400, f"no {n}")) for n in range(5)]
    rows += [(f"cut-{n}", answer("half", "length")) for n in range(4)]  # type: ignore[misc]
    found = gather(leave(tmp_path, [("good", answer()), *rows]))

    bad, cut = found.kinds["bad_request"], found.kinds["cut"]
    assert (5, ["bad-0", "bad-1", "bad-2"], False) == (bad.rows, [one.custom_id for one in bad.examples], bad.retryable)
    assert (4, 3, True, None) == (cut.rows, len(cut.examples), cut.is_answer, cut.retryable)
    assert (5, 5) == (found.counts.answered, found.counts.failed)
    assert "max_tokens" in cut.examples[0].message


def test_later_lines_count(tmp_path: Path) -> None:
    """The counts are of the rows in the files, not of lines: an answer wins over the failure before it."""
    found = gather(leave(tmp_path, [("a", refused(500, "gone")), ("a", answer()), ("a", answer("again"))]))

    assert (1, 0, {"m": 1}, {}) == (found.counts.answered, found.counts.failed, found.answers, found.kinds)


def test_runs(tmp_path: Path) -> None:
    """The stretches of all runs are read, each with its run; one that was killed has no end."""
    output = leave(tmp_path, [("a", answer())], [*busy(10.0, 5), *busy(20.0, 3)])
    log = log_of(output)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))

    found = gather(output)

    assert [(10.0, 10.0, "complete"), (20.0, 6.0)] == [
        (found.runs[0].began, found.runs[0].seconds, found.runs[0].status),
        (found.runs[1].began, found.runs[1].seconds),
    ]
    assert "killed" in found.runs[1].status
    assert (8, 16.0, False) == (len(found.stretches), found.seconds, found.is_dated)


def test_damaged_records_are_left_out(tmp_path: Path) -> None:
    """A record that does not match its checksum is no figure."""
    output = leave(tmp_path, [("a", answer())], busy(10.0, 5))
    log = log_of(output)
    log.write_bytes(log.read_bytes().replace(b'"answered"', b'"answerex"').replace(b'"samples":4', b'"samples":5', 1))

    assert 4 == len(gather(output).stretches)


def test_batches_of_others_are_dated_by_their_answers(tmp_path: Path) -> None:
    """Without a log the dates that answers bear say what came when; with one date alone, nothing does."""
    dated = leave(tmp_path, [(f"r{n}", answer(created=1_700_000_000 + 7 * n)) for n in range(1000)])
    same = leave(tmp_path, [(f"r{n}", answer(created=1_700_000_000)) for n in range(9)], name="same.jsonl")

    found = gather(dated)

    assert found.is_dated
    assert len(found.stretches) <= 400
    assert (1000, 10_000) == (found.whole.models["m"].answered, found.whole.models["m"].used.prompt)
    assert 6993 <= found.seconds <= 7100
    assert ([], 0) == (gather(same).stretches, gather(same).seconds)


@pytest.mark.parametrize("size", [0, 3, 20])
def test_samples(tmp_path: Path, size: int) -> None:
    """Answers are drawn on request alone, from all places, and the same ones every time."""
    output = leave(tmp_path, [(f"r{n}", answer(f"text {n}")) for n in range(200)])

    samples = gather(output, samples=size).samples

    assert size == len({one.custom_id for one in samples})
    assert samples == gather(output, samples=size).samples
    assert all(one.text == one.custom_id.replace("r", "text ") for one in samples)
    assert size < 20 or any(int(one.custom_id[1:]) > 100 for one in samples)
