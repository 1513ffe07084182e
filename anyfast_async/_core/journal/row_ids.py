"""What a map is given: whether a source gives rows, the ids that they have, and how a journal knows them. Pure."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from anyfast_async.errors import ConfigurationError, FieldError, RequestValidationError, escaped

IdOf: TypeAlias = Callable[[Any], Any]

NAMES: Final = ("custom_id", "id")
"""Where a row's own id is looked for, as a key or an attribute."""

# -- sources ---------------------------------------------------------------------------------------------------------

_FRAMES: Final = frozenset({"DataFrame", "LazyFrame"})
_WAYS: Final = {
    "itertuples": "frame.to_dict('records') or frame.itertuples()",
    "fetchall": "relation.fetchall(), or the records of relation.to_arrow_table().to_pylist()",
    "iter_rows": "frame.iter_rows(named=True) or frame.to_dicts()",
    "collect_schema": "frame.collect().iter_rows(named=True)",
    "to_pylist": "the records of table.to_pylist()",
    "toLocalIterator": "frame.toLocalIterator()",
}
"""A method by which a kind of table is told, and how to get at its rows."""


def check_source(source: object) -> None:
    """Refuse what is no source of rows, though Python might iterate over it.

    Raises:
        ConfigurationError: it is one prompt, a table that is iterated over by its columns, or not iterable.

    """
    kind = type(source)
    name = kind.__name__
    if is_table(kind):
        library = kind.__module__.partition(".")[0].lstrip("_")
        way = next((way for method, way in _WAYS.items() if hasattr(kind, method)), "its rows, as records (dicts)")
        problem = (
            f"rows one by one, and a {library} {name} is iterated over by its columns; say with template='{{text}}' "
            f"how a prompt is made of a row; or pass {way}, and request= to make the prompt of a row, such as "
            "request=lambda row: row['text']"
        )
    elif name == "DatasetDict" and isinstance(source, Mapping):
        splits = ", ".join(repr(escaped(str(one), 40)) for one in source)
        problem = f"one split of a DatasetDict, such as dataset['train']; its splits: {splits}"
    elif isinstance(source, (str, bytes, bytearray, memoryview, Mapping)):
        problem = f"an iterable of prompts, not one {name}; put it into a list"
    elif isinstance(source, (AsyncIterable, Iterable)) or hasattr(kind, "__getitem__"):
        return
    elif isinstance(source, Awaitable):
        problem = f"an iterable of prompts, not a {name}; await it first"
    elif callable(source):
        problem = f"an iterable of prompts, not a {name}; call it first"
    else:
        problem = f"an iterable of prompts, not one {name}; put it into a list"
    message = f"map takes {problem}"
    raise ConfigurationError(message)


def is_table(kind: type) -> bool:
    """Return whether what is of this *kind* is a table that iterates over its columns, such as a data frame.

    The signs are those of the dataframe interchange protocol and of Arrow's, and the name that the others have.
    """
    if callable(getattr(kind, "columns", print)):  # SQLAlchemy's results have a method of that name, and give rows
        return False
    protocols = hasattr(kind, "__dataframe__") or hasattr(kind, "__arrow_c_stream__")
    return protocols or any(base.__name__ in _FRAMES for base in kind.__mro__)


# -- ids -------------------------------------------------------------------------------------------------------------


def id_of(item: Any) -> Any:
    """Return an item's own id as it is, None if it has none: its ``custom_id`` or ``id``, as a key or an attribute.

    Raises:
        RequestValidationError: asking the item for it raises.

    """
    if isinstance(item, str):
        return None
    try:
        for name in NAMES:
            value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
            if _is_id(value):
                return value
    except Exception as error:
        what = "the item's own id"
        raise _raised(what, error) from error
    return None


def asked_for(wanted: IdOf | str) -> IdOf:
    """Return what gives the id of an item, for the argument ``id`` of a map: a function, or the name of a field.

    Raises:
        ConfigurationError: *wanted* is neither.

    """
    if not isinstance(wanted, str) and not callable(wanted):
        message = f"id must be the name of a field or a function of an item, not {wanted!r}"
        raise ConfigurationError(message)

    def found(item: Any) -> Any:
        try:
            if not isinstance(wanted, str):
                value = wanted(item)
            else:
                value = item[wanted] if isinstance(item, Mapping) else getattr(item, wanted)
            if _is_id(value):
                return value
        except Exception as error:
            what = "id="
            raise _raised(what, error) from error
        shown = escaped(repr(value), 80)
        problem = f"id= must give something that can be compared and hashed, such as text or a number, not {shown}"
        raise RequestValidationError.of([FieldError("id", problem)])

    return found


def _is_id(value: Any) -> bool:
    if type(value) in (str, int):
        return True
    if value is None or isinstance(value, bool) or callable(value):
        return False
    try:
        hash(value)
        return bool(value == value)  # noqa: PLR0124 - NaN and its like say that there is none
    except (TypeError, ValueError):
        return False


def _raised(what: str, error: Exception) -> RequestValidationError:
    problem = f"{what} raised {type(error).__name__} for this item: {escaped(str(error), 100)}"
    return RequestValidationError.of([FieldError("id", problem)])


# -- how a journal knows them ----------------------------------------------------------------------------------------

_TAGS: Final[tuple[tuple[type, str, Callable[[Any], str]], ...]] = (
    (int, "int", int.__repr__),
    (float, "float", float.__repr__),
    (decimal.Decimal, "decimal", str),
    (uuid.UUID, "uuid", str),
    (dt.datetime, "datetime", dt.datetime.isoformat),
    (dt.date, "date", dt.date.isoformat),
    (dt.time, "time", dt.time.isoformat),
    (bytes, "bytes", bytes.hex),
)
_TAGGED: Final = re.compile("(?:str|" + "|".join(tag for _, tag, _ in _TAGS) + "|tuple):")


def recorded_as(name: Any) -> str:
    """Return the ``custom_id`` under which a journal records the id *name*: a text as it is, others with their type.

    So 7 (``int:7``) and ``"7"`` are told apart; a text that looks like one of the others gets ``str:`` before it.

    Raises:
        RequestValidationError: an id of this type cannot be told from others in a file.

    """
    if isinstance(name, str):
        return f"str:{name}" if _TAGGED.match(name) else str.__str__(name)
    if isinstance(name, tuple):
        parts = [recorded_as(part) for part in name]
        return "tuple:" + "".join(f"{len(part)}:{part}" for part in parts)
    if type(name).__module__ == "numpy" and hasattr(name, "item"):
        name = name.item()
    value: Any = name
    for kind, tag, text in _TAGS:
        if isinstance(name, kind):
            try:
                return f"{tag}:{text(value)}"
            except ValueError:  # more digits than Python writes
                break
    problem = (
        f"with a journal an id must be text, a number, a UUID, a date or time, bytes, or a tuple of these, not of type "
        f"{type(name).__name__}; id= can make one"
    )
    raise RequestValidationError.of([FieldError("id", problem)])
