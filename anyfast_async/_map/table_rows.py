"""The rows of a table as dicts, a batch of them at a time: pandas, polars, Arrow, DuckDB, datasets, and others' Arrow.

A kind of table is known by its methods, so none of the libraries is imported, but for pyarrow where a table is of
another library and only Arrow's stream of it can be read. Cells keep the types that Python has for them; missing ones
are None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any, Final

from anyfast_async._core.journal.row_ids import is_table
from anyfast_async._core.prompt_template import top_level
from anyfast_async._values.text import did_you_mean
from anyfast_async.errors import ConfigurationError, escaped

_ROWS: Final = 512
"""Rows that are Python objects at a time."""
_NAMED: Final = 40
_NO_VALUE: Final = (ValueError, TypeError, NotImplementedError, OverflowError)
"""What Arrow raises for a value that Python has none for: a time in nanoseconds, a date after the year 9999."""
_MISSING: Final = frozenset({"NAType", "NaTType"})
"""What pandas has in place of values that are missing, beside NaN."""


class TableRows:
    """The rows of a table; :func:`rows_of` makes it.

    Args:
        columns: their names, none if they are not known.
        rows: gives them.

    """

    def __init__(self, columns: Sequence[str], rows: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self.columns: list[str] = list(columns)
        self.table: Any = None
        """What they are the rows of, where that is there still when they have been read."""
        self._rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._rows()


class CountedRows(TableRows):
    """The rows of a table whose number is known.

    Args:
        count: of rows.
        columns: their names.
        rows: gives them.

    """

    def __init__(self, count: int, columns: Sequence[str], rows: Callable[[], Iterator[dict[str, Any]]]) -> None:
        super().__init__(columns, rows)
        self._count = count

    def __len__(self) -> int:
        return self._count


def rows_of(source: Any, used: Sequence[str]) -> TableRows | None:
    """Return the rows of a table, None if *source* is none.

    Args:
        source: a table, or anything.
        used: the columns that a template and ids are made of. Others that cannot be read are left out.

    Raises:
        ConfigurationError: one of them is not there, two columns have one name, or the table can only be read with
            pyarrow, which is not installed.

    """
    kind = type(source)
    signs = ("to_batches", "read_next_batch", "column_names")
    if not (is_table(kind) or any(hasattr(kind, sign) for sign in signs)) or isinstance(source, Mapping):
        return None
    rows = _rows(source, kind, used)
    twice = sorted({name for name in rows.columns if rows.columns.count(name) > 1})
    if twice:
        message = f"the column {escaped(twice[0], 80)!r} is there {rows.columns.count(twice[0])} times; rename it"
        raise ConfigurationError(message)
    for name in used if rows.columns else ():
        if top_level(name, rows.columns) not in rows.columns:
            near = did_you_mean(name, rows.columns)
            listed = ", ".join(escaped(one, 80) for one in rows.columns[:_NAMED])
            message = (
                f"there is no column {escaped(name, 80)!r}{f'; {near}' if near else '.'} The columns are: {listed}"
            )
            raise ConfigurationError(message)
    if isinstance(rows, CountedRows):
        rows.table = source
    return rows


def _rows(source: Any, kind: type, used: Sequence[str]) -> TableRows:
    if hasattr(kind, "iloc") and hasattr(kind, "to_dict"):
        return _of_pandas(source)
    if hasattr(kind, "collect_schema") and hasattr(kind, "collect"):
        return _of_lazy_polars(source)
    if hasattr(kind, "iter_rows") and hasattr(kind, "height"):
        return CountedRows(source.height, source.columns, lambda: source.iter_rows(named=True, buffer_size=_ROWS))
    if hasattr(kind, "fetchall") and (hasattr(kind, "iter_rows") or hasattr(kind, "fetchmany")):
        return _of_duckdb(source, kind)
    if hasattr(kind, "with_format") and hasattr(kind, "column_names"):
        return _of_datasets(source)
    return _of_arrow(source, kind, used)


# -- pandas ----------------------------------------------------------------------------------------------------------


def _of_pandas(frame: Any) -> TableRows:
    """Return the rows of a frame: its columns, and before them the levels of its index that have names."""
    names = [str(name) for name in frame.columns]
    levels = [n for n, name in enumerate(frame.index.names) if name is not None and str(name) not in names]
    columns = [*(str(frame.index.names[n]) for n in levels), *names]

    def rows() -> Iterator[dict[str, Any]]:
        for start in range(0, len(frame), _ROWS):
            part = frame.iloc[start : start + _ROWS]
            cells = [part.index.get_level_values(n).tolist() for n in levels]
            cells += [part.iloc[:, n].tolist() for n in range(len(names))]
            for row in zip(*cells, strict=True):
                yield {name: _plain(cell) for name, cell in zip(columns, row, strict=True)}

    return CountedRows(len(frame), columns, rows)


def _plain(cell: Any) -> Any:
    """Return a cell of pandas as Python has it: None where it is missing, lists in place of arrays."""
    kind = type(cell)
    if kind is str or kind is int:
        return cell
    if kind.__name__ in _MISSING or (issubclass(kind, (float, Decimal)) and cell != cell):  # noqa: PLR0124 - NaN
        return None
    if kind.__module__ == "numpy" and hasattr(kind, "tolist"):
        return cell.tolist()
    return cell


# -- polars, DuckDB, datasets ----------------------------------------------------------------------------------------


def _of_lazy_polars(frame: Any) -> TableRows:
    def rows() -> Iterator[dict[str, Any]]:
        batches = frame.collect_batches() if hasattr(frame, "collect_batches") else (frame.collect(),)
        for batch in batches:
            yield from batch.iter_rows(named=True, buffer_size=_ROWS)

    return TableRows(frame.collect_schema().names(), rows)


def _of_duckdb(relation: Any, kind: type) -> TableRows:
    """Return the rows of a relation, read so that its connection can be used for other queries meanwhile."""
    columns = list(relation.columns)

    def rows() -> Iterator[dict[str, Any]]:
        for row in relation.iter_rows(_ROWS) if hasattr(kind, "iter_rows") else fetched():
            yield dict(zip(columns, row, strict=True))

    def fetched() -> Iterator[tuple[Any, ...]]:  # before 2.0
        relation.execute()
        while part := relation.fetchmany(_ROWS):
            yield from part

    return TableRows(columns, rows)


def _of_datasets(data: Any) -> TableRows:
    """Return the rows of a data set of Hugging Face, whatever it was told to make of them for a model."""
    plain = data.with_format(None)
    columns = plain.column_names or ()  # those of a stream need not be known
    if hasattr(plain, "__len__"):
        return CountedRows(len(plain), columns, plain.__iter__)
    return TableRows(columns, plain.__iter__)


# -- Arrow -----------------------------------------------------------------------------------------------------------


def _of_arrow(source: Any, kind: type, used: Sequence[str]) -> TableRows:
    table: Any = source
    is_batch = kind.__module__.startswith("pyarrow") and hasattr(kind, "to_pylist") and not hasattr(kind, "to_batches")
    if not (is_batch or hasattr(kind, "read_next_batch") or hasattr(kind, "to_batches")):
        table = _through_arrow(source, kind)

    def rows() -> Iterator[dict[str, Any]]:
        batches = (table,) if is_batch else table.to_batches() if hasattr(table, "to_batches") else table
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS):
                yield from dicts_in(batch.slice(start, _ROWS), used)

    names = list(table.schema.names)
    count = getattr(table, "num_rows", None)
    return CountedRows(count, names, rows) if isinstance(count, int) else TableRows(names, rows)


def _through_arrow(source: Any, kind: type) -> Any:
    """Return what pyarrow makes of a table of another library."""
    name = f"{kind.__module__.partition('.')[0].lstrip('_')} {kind.__name__}"
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import interchange  # noqa: PLC0415
    except ImportError:
        message = f"reading a {name} needs one more package: pip install 'anyfast-async[parquet]'"
        raise ConfigurationError(message) from None
    try:
        if hasattr(kind, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(source)
        if hasattr(kind, "__dataframe__"):
            return interchange.from_dataframe(source)
    except Exception as error:
        message = f"Arrow cannot read the {name}: {escaped(str(error).partition(chr(10))[0], 200)}"
        raise ConfigurationError(message) from error
    message = f"a {name} is no table that can be read row by row; pass its rows, as records (dicts)"
    raise ConfigurationError(message)


def dicts_in(batch: Any, used: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Return the rows of a batch of Arrow; a column that has no values in Python is left out if it is not *used*.

    Raises:
        ConfigurationError: one that is used has none; Arrow's words are in the message.

    """
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except _NO_VALUE:
        pass  # which column it is shows below
    needed = {top_level(name, batch.schema.names) for name in used}
    cells: dict[str, list[Any]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            cells[name] = column.to_pylist()
        except _NO_VALUE as error:
            if name in needed:
                reason = escaped(str(error).partition("\n")[0], 200)
                message = f"the column {escaped(name, 80)!r} cannot be read: {reason}"
                raise ConfigurationError(message) from error
    rows = zip(*cells.values(), strict=True) if cells else repeat((), batch.num_rows)
    return (dict(zip(cells, row, strict=True)) for row in rows)


__all__ = ["CountedRows", "TableRows", "dicts_in", "rows_of"]
