"""Results as a data frame of pandas, polars or pyarrow: the items' own columns, and those of the answers beside them.

Whichever of the three is there is used; none of them is needed for anything else.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from anyfast_async._core.json import codec
from anyfast_async.errors import ConfigurationError, escaped

if TYPE_CHECKING:
    from anyfast_async._map.result import Result

LIBRARIES: Final = ("pandas", "polars", "pyarrow")
_NULLABLE: Final[Mapping[type, str]] = {int: "Int64", bool: "boolean"}
"""What pandas has for whole numbers and truth values of which some are missing, which else become others."""

_TOLD: Final = ("outcome", "finish_reason", "prompt_tokens", "completion_tokens")

Column: TypeAlias = tuple[str, list[Any]]


def frame_of(results: Sequence[Result[Any]], library: str | None, table: Any = None) -> Any:
    """Return *results* as a data frame.

    Args:
        results: in the order of the rows.
        library: of the frame; None: that of *table*, else the first that is installed.
        table: that the items were the rows of, all of them; None: their columns are made of the items.

    Raises:
        ConfigurationError: *library* is not one of those, or is not installed.

    """
    its = _library_of(table)
    name = _chosen(library or its)
    keeps = table is not None and its == name and len(results) == len(table)
    before = [] if keeps else _items(results)
    taken = {str(one) for one in (_names(table, name) if keeps else [column for column, _ in before])}
    columns = [(_free(column, taken), cells) for column, cells in _answers(results)]
    module = import_module(name)
    match name:
        case "pandas":
            return _pandas(module, before, columns, table if keeps else None)
        case "polars":
            return _polars(module, before, columns, table if keeps else None)
    return _pyarrow(module, before, columns, table if keeps else None)


def _library_of(table: Any) -> str | None:
    name = type(table).__module__.partition(".")[0]
    return name if name in LIBRARIES and hasattr(type(table), "__len__") else None


def _chosen(library: str | None) -> str:
    if library is None:
        library = next((name for name in LIBRARIES if find_spec(name) is not None), None)
        if library is None:
            message = f"a data frame needs one of {', '.join(LIBRARIES)}, and none is installed"
            raise ConfigurationError(message)
    elif library not in LIBRARIES:
        message = f"library must be one of {', '.join(LIBRARIES)}, not {escaped(str(library), 40)!r}"
        raise ConfigurationError(message)
    elif find_spec(library) is None:
        message = f"{library} is not installed: pip install {library}"
        raise ConfigurationError(message)
    return library


def _names(table: Any, library: str) -> Collection[Any]:
    names: Collection[Any] = table.column_names if library == "pyarrow" else table.columns
    return names


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"answer.{name}"
    taken.add(name)
    return name


# -- columns ---------------------------------------------------------------------------------------------------------


def _items(results: Sequence[Result[Any]]) -> list[Column]:
    """Return the columns of the items: those of rows, else their ids, and the items themselves where they are text."""
    rows = [result.item for result in results]
    if rows and all(isinstance(row, Mapping) and "messages" not in row and "role" not in row for row in rows):
        return [(str(name), [row.get(name) for row in rows]) for name in dict.fromkeys(n for row in rows for n in row)]
    ids = [result.index if result.id is None else result.id for result in results]
    texts = [("item", rows)] if rows and all(isinstance(row, str) for row in rows) else []
    return [("id", ids), *texts]


def _answers(results: Sequence[Result[Any]]) -> list[Column]:
    fields = [_plain(result._fields()) for result in results]
    names = dict.fromkeys(name for row in fields for name in row)
    texts = [None if row else result.text or None for row, result in zip(fields, results, strict=True)]
    columns = [(str(name), [row.get(name) for row in fields]) for name in names]
    if not names or any(text is not None for text in texts):
        columns.append(("text", texts))
    own = set(names)
    rows = [result.row() for result in results]
    columns += [(_free(name, own), [row[name] for row in rows]) for name in _TOLD]
    costs = [result.cost for result in results]
    if any(cost is not None for cost in costs):
        columns.append((_free("cost", own), costs))
    kinds = [result.error.kind if result.error is not None else None for result in results]
    errors = [str(result.error) if result.error is not None else None for result in results]
    return [*columns, (_free("error_kind", own), kinds), (_free("error", own), errors)]


def _plain(value: Any) -> Any:
    """Return *value* as dicts, lists and values of which every library knows columns."""
    if isinstance(value, enum.Enum):
        return value.value
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(type(value), "model_fields"):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple, set, frozenset)) else value


# -- libraries -------------------------------------------------------------------------------------------------------


def _pandas(pandas: ModuleType, before: list[Column], columns: list[Column], table: Any) -> Any:
    index = None if table is None else table.index
    made = {name: pandas.Series(_typed(pandas, cells), index=index) for name, cells in (*before, *columns)}
    beside = pandas.DataFrame(made, index=index)
    return beside if table is None else pandas.concat([table, beside], axis="columns")


def _typed(pandas: ModuleType, cells: list[Any]) -> Any:
    kinds = {type(cell) for cell in cells if cell is not None}
    kind = _NULLABLE.get(next(iter(kinds))) if len(kinds) == 1 else None
    if kind is None or None not in cells:
        return cells
    try:
        return pandas.array(cells, dtype=kind)
    except (OverflowError, TypeError, ValueError):
        return cells


def _polars(polars: ModuleType, before: list[Column], columns: list[Column], table: Any) -> Any:
    series = [_made(lambda name, cells: polars.Series(name, cells, strict=True), *one) for one in (*before, *columns)]
    return polars.DataFrame(series) if table is None else table.hstack(series)


def _pyarrow(pyarrow: ModuleType, before: list[Column], columns: list[Column], table: Any) -> Any:
    names = [name for name, _ in (*before, *columns)]
    arrays = [_made(lambda _, cells: pyarrow.array(cells), *one) for one in (*before, *columns)]
    if table is None:
        return pyarrow.table(arrays, names=names)
    for name, array in zip(names, arrays, strict=True):
        table = table.append_column(name, array)
    return table


def _made(make: Callable[[str, list[Any]], Any], name: str, cells: list[Any]) -> Any:
    """Return a column of *cells*; of those that no type fits, as JSON."""
    try:
        return make(name, cells)
    except (OverflowError, TypeError, ValueError):
        return make(name, [None if cell is None else _json(cell) for cell in cells])


def _json(value: Any) -> str:
    try:
        return codec.dumps(value).decode()
    except TypeError:
        return json.dumps(value, default=str, ensure_ascii=False)
