"""Files that a command is to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from anyfast_async.batch.results.table_files import write_table
from anyfast_async.cli.overwriting import check_target, is_table

ROWS: Any = [{"custom_id": "a", "text": "x" * 5000, "outcome": "ok"}]
KINDS: Any = {"custom_id": "text", "text": "text", "outcome": "text"}


def check(path: Path, *others: Path) -> None:
    check_target("--x", path, others=(*others, None), called="one that is read", own=is_table)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_own_files_are_replaced(tmp_path: Path, suffix: str) -> None:
    """A table that was written before is replaced, and so is an empty file; one that is not there is made."""
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"t.{suffix}"
    check(path)
    path.touch()
    check(path)
    write_table(path, KINDS, ROWS)
    check(path)


@pytest.mark.parametrize(
    "content",
    [
        b"review,text\n1,good\n",
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n',
        b'{"custom_id":"a","id":"batch_req_1","response":{"status_code":200},"error":null}\n',
        b'0a1b2c3d {"pid":[1,"host"]}\n',
        b"[models]\n",
        b"PAR1 and no more",
        b"\x00\xff",
    ],
)
def test_other_files_are_not(tmp_path: Path, content: bytes) -> None:
    """Inputs, answers, logs, prices and anything else that is no such table stay as they are."""
    path = tmp_path / "there"
    path.write_bytes(content)

    with pytest.raises(click.UsageError, match="is there already, and was not written by --x"):
        check(path)

    assert content == path.read_bytes()


def test_a_file_by_another_name(tmp_path: Path) -> None:
    """A link to a file that is read is that file, however it is linked."""
    read, hard, soft = (tmp_path / name for name in ("read", "hard", "soft"))
    read.touch()
    hard.hardlink_to(read)
    soft.symlink_to(read)

    for path in (read, hard, soft, tmp_path / "." / "read"):
        with pytest.raises(click.UsageError, match="is one that is read"):
            check(path, read)


@pytest.mark.parametrize(
    "argv",
    [
        ("--report", "out.jsonl.run"),
        ("--report", "prices.toml", "--prices", "prices.toml"),
        ("--report", "notes.html"),
        ("--errors", "notes.html"),
        ("--errors", "other.jsonl"),
        ("--errors", "other.errors.jsonl"),
        ("-o", "other.errors.jsonl"),
        ("-o", "prices.toml"),
    ],
)
def test_a_batch_replaces_nothing(
    gateway: Any,
    anyfast: Callable[..., Any],
    write_batch: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    argv: tuple[str, ...],
) -> None:
    """Whatever else is there when a batch begins is there as it was when it is refused, and nothing is sent."""
    monkeypatch.setattr("anyfast_async.cli.overwriting.missing", lambda: None)
    monkeypatch.chdir(tmp_path)
    source = write_batch("good", "bad")
    gateway.fail(400, when="bad")
    anyfast("batch", "-i", source, "-o", "other.jsonl")
    Path("prices.toml").write_text('[models."gemini-2.5-flash"]\nprompt = 1\ncompletion = 1\n')
    Path("notes.html").write_text("<p>mine</p>")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    ran = anyfast("batch", "-i", source, "-o", "out.jsonl", *argv)

    assert (2, 2) == (ran.code, len(gateway.requests)), ran.err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
