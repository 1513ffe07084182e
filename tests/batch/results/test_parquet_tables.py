"""Tables as Parquet, some rows at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyfast_async.batch.results.parquet_tables import batches, columns, write_rows

pq = pytest.importorskip("pyarrow.parquet")


def test_large_rows_are_few_at_a_time(tmp_path: Path) -> None:
    """Rows are read and written some at a time, fewer where they are large; their numbers begin at 1."""
    path = tmp_path / "t.parquet"

    count = write_rows(path, {"n": "integer", "t": "text"}, ({"n": n, "t": "x" * 4_000_000} for n in range(9)))

    assert (9, ["n", "t"]) == (count, columns(path))
    assert 1 < pq.ParquetFile(path).num_row_groups
    read = [(number, batch.num_rows) for number, batch in batches(path)]
    assert 9 == sum(rows for _, rows in read)
    assert read[0][0] == 1


def test_no_rows(tmp_path: Path) -> None:
    """A table without rows has its columns."""
    path = tmp_path / "t.parquet"

    assert 0 == write_rows(path, {"n": "integer"}, ())
    assert ["n"] == columns(path)
    assert [] == list(batches(path))
