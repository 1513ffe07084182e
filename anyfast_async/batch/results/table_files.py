"""Tables of results as files: CSV that no spreadsheet takes for formulas, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import attrs

from anyfast_async._values.spreadsheet_cells import cell
from anyfast_async.batch.input.packed_files import SUFFIXES, WRITTEN, check_packing, packed_for
from anyfast_async.batch.results import parquet_tables
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.table import Kind
from anyfast_async.errors import escaped

_CRLF: Final = "\r\n"
FORMATS: Final = (".csv", ".parquet", ".jsonl")


def format_of(path: Path) -> tuple[str, str]:
    """Return the format of a table by its name, and how it is packed: ends of names, the second perhaps ``""``.

    Raises:
        ValueError: there is none of that name; what there is is said.

    """
    *_, inner, last = ("", "", *path.suffixes)
    if inner in FORMATS and last in SUFFIXES:
        if inner == ".parquet":
            message = "Parquet is packed inside; leave the end of the name out, and it is read everywhere"
            raise ValueError(message)
        if last in WRITTEN:
            return inner, last
        message = f"tables are packed as {' or '.join(WRITTEN)}, not as {last}"
        raise ValueError(message)
    if last in FORMATS:
        return last, ""
    packed = ", ".join(f"{one}{end}" for one in FORMATS if one != ".parquet" for end in WRITTEN)
    message = f"it must end in one of {', '.join((*FORMATS, packed))}, not {escaped(last, 20)!r}"
    raise ValueError(message)


def check_written(path: Path) -> None:
    """Find out whether a table can be written under this name.

    Raises:
        ValueError: as :func:`format_of`.
        SourceError: what packs it is not installed.

    """
    check_packing(format_of(path)[1])


def write_table(
    path: Path, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]], own: Collection[str] = ()
) -> int:
    """Write a table to *path*, in the format that its name ends in; whole or not at all. Return the number of rows.

    Args:
        path: its name has a :func:`format <format_of>`. A file there is replaced.
        kinds: the columns.
        rows: cells by column; one that is not there is empty, or in JSON not there.
        own: columns that were in a table before, whose cells stay as they are, also where they look like formulas.

    Raises:
        OSError: it cannot be written.
        SourceError: what packs it is not installed.
        ImportError: Parquet, without pyarrow.

    """
    kind, packing = format_of(path)
    with replacing(path) as new:
        if kind == ".parquet":
            return parquet_tables.write_rows(new, kinds, rows)
        with packed_for(new, packing) as data, io.TextIOWrapper(data, "utf-8", newline="") as file:
            if kind == ".csv":
                return _write_csv(file, kinds, rows, frozenset(own))
            return _write_jsonl(file, kinds, rows)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file that takes the place of *path* when it is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@attrs.frozen
class _Lines:
    """Lines that end in LF, of a writer whose lines end in CR LF: so it quotes a cell with a CR, too."""

    _file: TextIO

    def write(self, line: str) -> int:
        return self._file.write(f"{line.removesuffix(_CRLF)}\n")


def _write_csv(file: TextIO, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]], own: frozenset[str]) -> int:
    count = 0
    ways = [(name, _own_cell if name in own else _csv_cell) for name in kinds]
    table = csv.writer(_Lines(file), lineterminator=_CRLF)
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


def _write_jsonl(file: TextIO, kinds: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
        file.write(f"{json_text({name: row[name] for name in kinds if name in row})}\n")
    return count
