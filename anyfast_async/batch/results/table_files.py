"""Tables of results as files: CSV that no spreadsheet takes for formulas, JSON lines, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from anyfast_async._values.spreadsheet_cells import cell
from anyfast_async.batch.results import parquet_tables
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.table import Kind

FORMATS: Final = ("csv", "parquet", "jsonl")


def write_table(
    path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]], own: Collection[str] = ()
) -> int:
    """Write a table to *path*, in the format that its name ends in; whole or not at all. Return the number of rows.

    Args:
        path: ends in one of :data:`FORMATS`. A file there is replaced.
        kinds: the columns.
        rows: cells by column; one that is not there is empty, or in JSON not there.
        own: columns that were in a table before, whose cells stay as they are, also where they look like formulas.

    Raises:
        OSError: it cannot be written.
        ImportError: Parquet, without pyarrow.

    """
    with replacing(path) as new:
        match path.suffix:
            case ".csv":
                return _write_csv(new, kinds, rows, frozenset(own))
            case ".jsonl":
                return _write_jsonl(new, kinds, rows)
            case _:
                return parquet_tables.write_rows(new, kinds, rows)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file that takes the place of *path* when it is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _write_csv(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]], own: frozenset[str]) -> int:
    count = 0
    ways = [(name, _own_cell if name in own else _csv_cell) for name in kinds]
    with _text(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([name if name in own else cell(name) for name in kinds])
        for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
            table.writerow([way(row.get(name)) for name, way in ways])
    return count


def _own_cell(value: Any) -> str:
    return value if isinstance(value, str) else _csv_cell(value)


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    # Only text can be a formula: a number is its digits, and true and false are words.
    return cell(value) if isinstance(value, str) else json_text(value)


def _write_jsonl(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with _text(path) as file:
        for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
            file.write(f"{json_text({name: row[name] for name in kinds if name in row})}\n")
    return count


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file
