"""Rows of a Parquet file."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyfast_async.batch.input.parquet import columns, rows
from anyfast_async.batch.input.request_lines import LineError, SourceError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file of 1000 rows in several groups."""
    path = tmp_path / "in.parquet"
    data = {"id": range(1000), "text": [None if n == 1 else f"row {n}" for n in range(1000)], "unused": range(1000)}
    pq.write_table(pa.table({name: list(values) for name, values in data.items()}), path, row_group_size=300)
    return path


def test_rows(table: Path) -> None:
    """Rows come in their order, numbered from 1, with the columns that are wanted and no others."""
    found = list(rows(table, ("id", "text")))

    assert ["id", "text", "unused"] == columns(table)
    assert [(1, {"id": 0, "text": "row 0"}), (2, {"id": 1, "text": None})] == found[:2]
    assert list(range(1, 1001)) == [number for number, _ in found]


@pytest.mark.parametrize("cut", [slice(None, -9), slice(None, 0)])
def test_damage(table: Path, cut: slice) -> None:
    """A file that is none is an error that says so, not one of another package."""
    table.write_bytes(table.read_bytes()[cut])

    with pytest.raises(LineError, match="no Parquet, or damaged"):
        columns(table)


def test_damage_inside(table: Path) -> None:
    """Damage in the middle shows when the rows are read."""
    data = bytearray(table.read_bytes())
    data[4:200] = b"x" * 196
    table.write_bytes(data)

    with pytest.raises(LineError, match="damaged"):
        list(rows(table, ("id", "text")))


def test_without_the_package(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow there is one line that says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(SourceError, match=r"pip install 'anyfast-async\[parquet\]'"):
        columns(table)
