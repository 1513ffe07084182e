"""Tables as Parquet: written from rows, and answers beside the columns of a Parquet file, which stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.table import Kind

if TYPE_CHECKING:
    import pyarrow as pa

_TOGETHER: Final = 8192
"""Rows that are read or written together, at most."""
_BYTES: Final = 16 * 1024 * 1024
"""Of them, about: rows with pictures are few at a time."""

Row: TypeAlias = Mapping[str, Any]
Table: TypeAlias = "tuple[pa.Schema, Iterator[pa.RecordBatch]]"
"""Its columns, and its rows, some at a time."""
CellsOf: TypeAlias = Callable[[int, int], Mapping[str, Any]]
"""Returns the cells of rows by column: of the number of the first, from 0, and how many they are."""


def columns(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    with pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


def batches(path: Path, names: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of a Parquet file, some at a time, with the number of the first, from 1; *names*: its columns."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    number = 1
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_together(file.metadata), columns=names):
            yield number, batch
            number += batch.num_rows


def are_texts(column: pa.Array) -> bool:
    """Return whether each of the cells is text, and none is empty."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.compute  # noqa: PLC0415

    pc: Any = pyarrow.compute  # its functions are made when it is imported

    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return is_text and not column.null_count and pc.min(pc.binary_length(column)).as_py() != 0


def _together(metadata: Any) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    fitting: int = _BYTES * metadata.num_rows // max(size, 1)
    return max(1, min(_TOGETHER, fitting))


def write_rows(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Row]) -> int:
    """Write rows; return how many they were."""
    return _write(path, batches_of(kinds, rows))


def batches_of(kinds: Mapping[str, Kind], rows: Iterable[Row]) -> Table:
    """Return a table of rows."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    schema = pa.schema(_fields(kinds))

    def made() -> Iterator[pa.RecordBatch]:
        for some in _some(rows):
            yield pa.record_batch(_arrays(kinds, {name: [row.get(name) for row in some] for name in kinds}), schema)

    return schema, made()


def batches_in(path: Path) -> Table:
    """Return the table in a Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    with pq.ParquetFile(path) as file:
        return file.schema_arrow, (batch for _, batch in batches(path))


def write_beside(path: Path, own: Table, kinds: Mapping[str, Kind], beside: CellsOf) -> int:
    """Write the columns of a table, as they are, and others beside them; return the number of rows.

    Args:
        path: is written.
        own: the table.
        kinds: the columns beside its own.
        beside: returns their cells, some at a time.

    """
    import pyarrow as pa  # noqa: PLC0415 - an extra

    before, rows = own
    schema = pa.schema([*before, *_fields(kinds)], metadata=_metadata(before))

    def joined() -> Iterator[pa.RecordBatch]:
        number = 0
        for batch in rows:
            columns = [*batch.columns, *_arrays(kinds, beside(number, batch.num_rows))]
            yield pa.record_batch(columns, schema=schema)
            number += batch.num_rows

    return _write(path, (schema, joined()))


def _write(path: Path, table: Table) -> int:
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    schema, rows = table
    count = 0
    with pq.ParquetWriter(path, schema) as file:
        for batch in rows:
            file.write_batch(batch)
            count += batch.num_rows
    return count


def _metadata(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """Return what the file says of itself, but for the index of pandas: its list of columns is not that of ours."""
    kept = {name: value for name, value in (schema.metadata or {}).items() if name != b"pandas"}
    return kept or None


def _fields(kinds: Mapping[str, Kind]) -> list[pa.Field]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return [pa.field(name, type_of(kind)) for name, kind in kinds.items()]


def type_of(kind: Kind) -> pa.DataType:
    """Return the type of a column of this kind."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64()}.get(kind, pa.string())


def _arrays(kinds: Mapping[str, Kind], cells: Mapping[str, Any]) -> list[pa.Array]:
    """Return columns of *cells*, which are lists, or arrays already."""
    return [array_of(kind, cells[name]) for name, kind in kinds.items()]


def array_of(kind: Kind, cells: Any) -> pa.Array:
    """Return a column of *cells*, JSON values in a list, or an array already."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if not isinstance(cells, (list, tuple)):
        return cells.cast(type_of(kind))
    if kind == "json":
        cells = [None if one is None else json_text(one) for one in cells]
    elif kind == "number":
        cells = [None if one is None else float(one) for one in cells]
    return pa.array(cells, type_of(kind))


def _some(rows: Iterable[Row]) -> Iterator[list[Row]]:
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(some) == _TOGETHER or size > _BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
