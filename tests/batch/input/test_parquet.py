"""Rows of a Parquet file."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyfast_async.batch.input.parquet import columns, rows
from anyfast_async.batch.input.request_lines import LineError, SourceError
from anyfast_async.batch.input.source import open_source


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

    with pytest.raises(LineError, match="Arrow cannot read it: "):
        columns(table)


def test_damage_inside(table: Path) -> None:
    """Damage in the middle shows when the rows are read."""
    data = bytearray(table.read_bytes())
    data[4:200] = b"x" * 196
    table.write_bytes(data)

    *_, (number, last) = rows(table, ("id", "text"))

    assert (1, True) == (number, isinstance(last, LineError))
    assert str(last).startswith("Arrow cannot read it: ")


def test_a_column_that_cannot_be_read(tmp_path: Path) -> None:
    """A column without values in Python matters only if it is used; then it is named, with Arrow's own words."""
    path = tmp_path / "in.parquet"
    times = pa.array([0] * 300 + [2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"late": times, "text": [str(n) for n in range(301)]}), path)

    assert [{"text": str(n)} for n in range(301)] == [row for _, row in rows(path, ("text",))]
    *_, (number, last) = rows(path, ("late",))
    words = "the column 'late' cannot be read: date value out of range; what comes after it was not read"
    assert (257, words) == (number, str(last))


def test_fields_and_uuids(tmp_path: Path) -> None:
    """A field of a struct brings the whole column, a column with a dot in its name goes before it; UUIDs are such."""
    path = tmp_path / "in.parquet"
    ids = [uuid.UUID(int=n) for n in range(2)]
    table = pa.table(
        {
            "id": pa.array([one.bytes for one in ids], pa.uuid()),
            "meta": [{"author": "Ann"}, None],
            "a.b": ["x", "y"],
            "a": [{"b": "z"}] * 2,
        }
    )
    pq.write_table(table, path)

    source = open_source(path, template="{meta.author} {a.b}", id_column="id")
    lines = [source.line(n, row) for n, row in source.records() if not isinstance(row, LineError)]

    assert [str(one) for one in ids] == [line.custom_id for line in lines]
    assert ["Ann x", " y"] == [line.request.messages[0].content for line in lines]  # type: ignore[union-attr]


def test_without_the_package(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow there is one line that says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(SourceError, match=r"pip install 'anyfast-async\[parquet\]'"):
        columns(table)
