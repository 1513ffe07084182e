"""Tables as Parquet: written from rows, and answers beside the columns of a Parquet file, which stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.table import Kind

if TYPE_CHECKING:
    import pyarrow as pa

_TOGETHER: Final = 8192
"""Rows that are read or written together, at most."""
_BYTES: Final = 16 * 1024 * 1024
"""Of them, about: rows with pictures are few at a time."""

Row = Mapping[str, Any]


def columns(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    with pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


def batches(path: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of a Parquet file, some at a time, with the number of the first, from 1."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    number = 1
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_together(file.metadata)):
            yield number, batch
            number += batch.num_rows


def _together(metadata: Any) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    fitting: int = _BYTES * metadata.num_rows // max(size, 1)
    return max(1, min(_TOGETHER, fitting))


def write_rows(path: Path, kinds: Mapping[str, Kind], rows: Iterable[Row]) -> int:
    """Write rows; return how many they were."""
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema(_fields(kinds))
    count = 0
    with pq.ParquetWriter(path, schema) as file:
        for some in _some(rows):
            file.write_batch(pa.record_batch(_arrays(kinds, some), schema=schema))
            count += len(some)
    return count


def write_beside(
    path: Path,
    table: Path,
    kinds: Mapping[str, Kind],
    cells_of: Callable[[int, Sequence[Any] | None, int], Sequence[Row]],
    id_column: str | None,
) -> int:
    """Write the columns of the Parquet file *table*, as they are, and others beside them; return the number of rows.

    Args:
        path: is written.
        table: is read.
        kinds: the columns beside its own.
        cells_of: returns their cells for some rows: of the number of the first, their ids and how many they are.
        id_column: where the ids are; None: nowhere.

    """
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(table) as source:
        before = source.schema_arrow
    schema = pa.schema([*before, *_fields(kinds)], metadata=_metadata(before))
    count = 0
    with pq.ParquetWriter(path, schema) as file:
        for number, batch in batches(table):
            ids = None if id_column is None else batch.column(id_column).to_pylist()
            beside = _arrays(kinds, cells_of(number, ids, batch.num_rows))
            file.write_batch(pa.record_batch([*batch.columns, *beside], schema=schema))
            count += batch.num_rows
    return count


def _metadata(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """Return what the file says of itself, but for the index of pandas: its list of columns is not that of ours."""
    kept = {name: value for name, value in (schema.metadata or {}).items() if name != b"pandas"}
    return kept or None


def _fields(kinds: Mapping[str, Kind]) -> list[pa.Field]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    types = {"boolean": pa.bool_(), "integer": pa.int64(), "number": pa.float64()}
    return [pa.field(name, types.get(kind, pa.string())) for name, kind in kinds.items()]


def _arrays(kinds: Mapping[str, Kind], rows: Sequence[Row]) -> list[pa.Array]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    return [
        pa.array([_cell(row.get(field.name), kind) for row in rows], field.type)
        for kind, field in zip(kinds.values(), _fields(kinds), strict=True)
    ]


def _cell(value: Any, kind: Kind) -> Any:
    if value is None or kind in ("text", "integer", "boolean"):
        return value
    return json_text(value) if kind == "json" else float(value)


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
