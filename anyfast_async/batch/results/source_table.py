"""The table that a batch was made of, read whole: every column of every row, for answers to stand beside."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async.batch.input.formats import detect
from anyfast_async.batch.input.packed_files import checked_encoding
from anyfast_async.batch.input.request_lines import ID_NAMES, LineError, SourceError, object_in
from anyfast_async.batch.input.source import MAX_LINE, Source, lines_of, open_source
from anyfast_async.batch.input.survey import BadRow
from anyfast_async.batch.results import parquet_tables
from anyfast_async.batch.results.table import Kind, kinds_of
from anyfast_async.errors import escaped

if TYPE_CHECKING:
    import pyarrow as pa

_SOME: Final = 4096
_KEPT: Final = 1000
"""Rows that cannot be read and are kept."""
_NAMED: Final = 40
"""Columns that are named."""


@attrs.frozen
class SourceRow:
    """A row of the table."""

    custom_id: str | None
    """None if it has no valid one."""
    cells: Mapping[str, Any]
    """Empty if the row cannot be read."""


@attrs.frozen
class SourceTable:
    """A source with all its columns.

    Args:
        source: what a batch was made of.
        left_out: the rows of it that the batch could not send, by their numbers.

    """

    source: Source
    left_out: Mapping[int, BadRow] = attrs.field(factory=dict)
    kinds: Mapping[str, Kind] = attrs.field(
        default=attrs.Factory(lambda self: _kinds_of(self.source), takes_self=True), kw_only=True
    )
    """Its columns; those of Parquet have types of their own."""
    unreadable: dict[int, LineError] = attrs.field(factory=dict, kw_only=True, eq=False, repr=False)
    """The rows that were met and cannot be read, by their numbers, without those that are left out; the first few."""

    @property
    def has_ids(self) -> bool:
        """Whether the ids stand in a column of it."""
        names = ID_NAMES if self.source.format in ("batch", "requests") else (self.source.id_column,)
        return any(name in self.kinds for name in names)

    @property
    def is_parquet(self) -> bool:
        """Whether it can be given as batches of Arrow."""
        return self.source.format == "parquet"

    def rows(self) -> Iterator[SourceRow]:
        """Yield every row; values that JSON has no word for as text.

        Raises:
            OSError: the file cannot be read.

        """
        if self.is_parquet:
            for begin, batch in parquet_tables.batches(self.source.path):
                for number, row in enumerate(batch.to_pylist(), begin):
                    yield SourceRow(self.id_of(number, row), {name: as_json(value) for name, value in row.items()})
            return
        for number, value in self.source.records():
            if isinstance(value, LineError):
                if number not in self.left_out and len(self.unreadable) < _KEPT:
                    self.unreadable[number] = value
                yield SourceRow(self.id_of(number, None), {})
            else:
                yield SourceRow(self.id_of(number, value), value)

    def ids(self) -> Iterator[Sequence[str | None] | pa.Array]:
        """Yield the ids of all rows, some at a time, in lists or as they are in Parquet; None for no valid one.

        Raises:
            OSError: the file cannot be read.

        """
        if self.is_parquet:
            name, left_out = self.source.id_column, bool(self.left_out)
            for begin, batch in parquet_tables.batches(self.source.path, None if name is None else [name]):
                if name is not None and not left_out and parquet_tables.are_texts(batch.column(0)):
                    yield batch.column(0)
                    continue
                given = [None] * batch.num_rows if name is None else batch.column(0).to_pylist()
                yield [
                    one if type(one) is str and one and not left_out else self.id_of(number, {name or "": one})
                    for number, one in enumerate(given, begin)
                ]
            return
        records = ((number, None if isinstance(value, LineError) else value) for number, value in self.source.records())
        while some := list(islice(records, _SOME)):
            yield [self.id_of(number, value) for number, value in some]

    def id_of(self, number: int, row: Mapping[str, Any] | None) -> str | None:
        """Return the id of a row, None if it has none; *row* is None where it cannot be read."""
        if number in self.left_out:
            return self.left_out[number].custom_id
        return None if row is None else self.source.id_of(number, row)


def _kinds_of(source: Source) -> Mapping[str, Kind]:
    if source.format == "parquet":
        return dict.fromkeys(parquet_tables.columns(source.path), "text")
    if source.format in ("csv", "text"):
        problem = None
        for _, value in source.records():
            if not isinstance(value, LineError):
                return dict.fromkeys(value, "text")
            problem = problem or value
        if problem is not None:
            raise SourceError(str(problem))
        return {}
    return kinds_of(value for _, value in source.records() if not isinstance(value, LineError))


def whole_table(path: Path, id_column: str | None, encoding: str | None = None) -> Source:
    """Return the source at *path*, of which it is not known how requests were made.

    Without *id_column* the ids are those of a column ``custom_id`` or ``id``, else the numbers of lines and rows.

    Raises:
        SourceError: it cannot be read as a table, or has no such column.
        OSError: the file cannot be read.

    """
    encoding = None if encoding is None else checked_encoding(encoding)
    lines = (data for _, data in lines_of(path, MAX_LINE, encoding) if not isinstance(data, LineError))
    first = next(filter(bytes.strip, lines), b"")
    kind = detect(path.name, first, template=True)
    if kind == "text" or (kind == "rows" and id_column is None and _holds_requests(first)):
        return open_source(path, encoding=encoding)
    source = Source(path, kind, encoding=encoding)
    names = _kinds_of(source)
    if id_column is not None and id_column not in names:
        shown = ", ".join(escaped(name, 80) for name in [*names][:_NAMED])
        message = f"there is no column {escaped(id_column, 80)!r}. The columns are: {shown}"
        raise SourceError(message)
    return attrs.evolve(source, id_column=id_column or next((name for name in ID_NAMES if name in names), None))


def _holds_requests(first: bytes) -> bool:
    try:
        return not {"body", "messages"}.isdisjoint(object_in(first))
    except LineError:
        return False


def as_json(value: Any) -> Any:
    """Return a cell of Parquet as a JSON value that says the same: decimals, dates, times and bytes as text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and infinity have no word in JSON
    if isinstance(value, Mapping):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(inner) for inner in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else str(value)
