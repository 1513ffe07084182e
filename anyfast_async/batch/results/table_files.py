"""Tables of results as files: CSV that no spreadsheet takes for formulas, JSON lines, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from anyfast_async._values.spreadsheet_cells import cell
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.table import Kind

FORMATS: Final = ("csv", "parquet", "jsonl")
_TOGETHER: Final = 2000
"""Rows that are written to Parquet together."""


def write_table(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a table to *path*, in the format that its name ends in; whole or not at all. Return the number of rows.

    Args:
        path: ends in one of :data:`FORMATS`. A file there is replaced.
        kinds: the columns.
        rows: cells by column.

    Raises:
        OSError: it cannot be written.
        ImportError: Parquet, without pyarrow.

    """
    write = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[path.suffix.removeprefix(".")]
    new = path.with_name(f".{path.name}.new")
    try:
        count = write(new, kinds, rows)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return count


def _write_csv(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with _text(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(map(cell, kinds))
        for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
            table.writerow([_csv_cell(row[name]) for name in kinds])
    return count


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    # Only text can be a formula: a number is its digits, and true and false are words.
    return cell(value) if isinstance(value, str) else json_text(value)


def _write_jsonl(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with _text(path) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
            file.write(f"{json_text({name: row[name] for name in kinds})}\n")
    return count


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


def _write_parquet(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> int:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64(), "text": pa.string()}
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in kinds.items()])
    count = 0
    with pq.ParquetWriter(path, schema) as file:
        for batch in _batches(rows):
            columns = [[_parquet_cell(row[name], kind) for row in batch] for name, kind in kinds.items()]
            file.write_batch(
                pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
            )
            count += len(batch)
    return count


def _parquet_cell(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    return json_text(value) if kind == "json" else float(value) if kind == "number" else value


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch
