"""The copy of an input that cannot be read twice."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch.input.stdin_copy import StdinCopy


def names(folder: Path) -> set[str]:
    """The files in *folder*."""
    return {path.name for path in folder.iterdir()}


def test_kept(tmp_path: Path) -> None:
    """The copy is private from the beginning, gets its name when it is kept, and is removed when told."""
    with StdinCopy(tmp_path / "out.jsonl") as spool:
        assert spool.fill(io.BytesIO(b"hello"))
        assert (b"hello", 0o600) == (spool.path.read_bytes(), stat.S_IMODE(spool.path.stat().st_mode))
        assert "out.jsonl.stdin" not in names(tmp_path)
        assert tmp_path / "out.jsonl.stdin" == spool.keep() == spool.path

    assert ({"out.jsonl.stdin"}, 0o600) == (names(tmp_path), stat.S_IMODE(spool.kept.stat().st_mode))
    spool.remove()
    assert set() == names(tmp_path)


def test_not_kept(tmp_path: Path) -> None:
    """A copy that is not kept is gone at the end, also after an error; what was kept before stays."""
    (tmp_path / "out.jsonl.stdin").write_bytes(b"before")

    with pytest.raises(ZeroDivisionError), StdinCopy(tmp_path / "out.jsonl") as spool:
        spool.fill(io.BytesIO(b"new"))
        _ = 1 / 0

    assert ({"out.jsonl.stdin"}, b"before") == (names(tmp_path), spool.kept.read_bytes())


def test_ended_as_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal in the very moment in which the copy is made leaves nothing behind."""
    made = os.open

    def ended(*args: Any) -> int:
        os.close(made(*args))
        raise SystemExit(143)

    with pytest.raises(SystemExit), StdinCopy(tmp_path / "out.jsonl") as spool:
        monkeypatch.setattr(os, "open", ended)
        spool.fill(io.BytesIO(b"new"))

    assert set() == names(tmp_path)


def test_nothing_to_copy(tmp_path: Path) -> None:
    """An empty stream makes no file, and what was kept before is what there is to read."""
    (tmp_path / "out.jsonl.stdin").write_bytes(b"before")

    with StdinCopy(tmp_path / "out.jsonl") as spool:
        assert not spool.fill(io.BytesIO(b""))
        assert b"before" == spool.path.read_bytes()

    assert {"out.jsonl.stdin"} == names(tmp_path)


def test_large(tmp_path: Path) -> None:
    """A stream of many pieces is copied whole."""
    data = bytes(range(256)) * 20_000

    with StdinCopy(tmp_path / "out.jsonl") as spool:
        spool.fill(io.BytesIO(data))

        assert data == spool.path.read_bytes()
