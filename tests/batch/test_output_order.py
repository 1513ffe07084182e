"""Answers in the order of the input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from anyfast_async import ChatCompletion, Choice
from anyfast_async._core.journal.journal_lines import answer_line
from anyfast_async.batch import BatchFiles, open_batch
from anyfast_async.batch.output_order import put_in_order
from anyfast_async.messages import AssistantMessage


def opened(folder: Path) -> BatchFiles:
    """Files with three answers."""
    files = open_batch(folder / "out.jsonl", folder / "out.errors.jsonl")
    for custom_id in ("c", "a", "b"):
        completion = ChatCompletion(choices=(Choice(message=AssistantMessage(f"answer {custom_id}")),))
        files.journal.answered(custom_id, answer_line(custom_id, completion, stem="0" * 24))
    return files


def ids(path: Path) -> list[str]:
    """The ids in a file, in its order."""
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


def test_order(tmp_path: Path) -> None:
    """The same lines stand in the file in the order of the input; ids without an answer are passed over."""
    with opened(tmp_path) as files:
        before = (tmp_path / "out.jsonl").read_bytes()
        put_in_order(files, ["a", "b", "missing", "c"])

    assert ["a", "b", "c"] == ids(tmp_path / "out.jsonl")
    assert sorted(before.splitlines()) == (tmp_path / "out.jsonl").read_bytes().splitlines()
    with open_batch(tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl") as again:
        assert (3, 0) == (again.answered, again.quarantined)


def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the new file cannot take its place, the old one stays as it was."""

    def refuse(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with opened(tmp_path) as files, monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        patch.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="No space"):
            put_in_order(files, ["a", "b", "c"])

    assert ["c", "a", "b"] == ids(tmp_path / "out.jsonl")
    assert {"out.jsonl", "out.jsonl.run"} == {path.name for path in tmp_path.iterdir()}
