"""JSON text to values and back, also where orjson refuses.

Where it does (lone surrogates, NaN, bad UTF-8, deep nesting) the standard library reads or writes the text instead.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from anyfast_async._values.json_reading import DECODER, finite, mended_value, no_number
from anyfast_async._values.json_values import opened, problems_of_json

loads_strictly: Final = orjson.loads
"""Without the second reading of :func:`loads`: a ValueError says that the text is not JSON, or not quite."""


_DEPTH: Final = 1024
"""Levels of arrays and objects, orjson's bound. The interpreter's own differs from one Python to the next."""
_VALUES: Final = 2**26
"""Values that are written: more than an answer of the largest size holds."""


class InvalidJSONError(ValueError):
    """The text is no JSON."""


def copied(value: Any) -> Any:
    """Return a deep copy of a JSON value as it was read, however deep it is nested."""
    if type(value) is not dict and type(value) is not list:
        return value
    top = value.copy()
    todo = [top]
    while todo:
        container = todo.pop()
        for key, item in container.items() if type(container) is dict else enumerate(container):
            if type(item) is dict or type(item) is list:
                container[key] = fresh = item.copy()
                todo.append(fresh)
    return top


def loads(data: bytes, *, mend: bool = True) -> Any:
    """Return the value of JSON *data*.

    With *mend* false, strings may hold lone surrogates: a pair may be split over two events of a stream.

    Raises:
        InvalidJSONError: it is no JSON, or nested deeper than 1024 levels.

    """
    try:
        return loads_strictly(data)
    except orjson.JSONDecodeError:
        return mended_value(loads_exactly(data)) if mend else loads_exactly(data)


def loads_exactly(data: bytes) -> Any:
    """Return the value of JSON *data* as the standard library reads it: integers of any size, halves of surrogates.

    Raises:
        InvalidJSONError: as :func:`loads`.

    """
    try:
        text = data.decode("utf-8-sig", "replace")
        value = json.loads(text, strict=False, parse_constant=no_number, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise InvalidJSONError(type(error).__name__) from None
    if _is_deep(value):
        message = f"nested deeper than {_DEPTH} levels"
        raise InvalidJSONError(message)
    return value


def documents(data: bytes) -> tuple[list[Any], bytes]:
    """Return the JSON values that *data* begins with, one behind the other, and what stands behind them."""
    try:
        return [loads_strictly(data)], b""
    except orjson.JSONDecodeError:
        text = data.decode("utf-8-sig", "replace")
    values: list[Any] = []
    at = 0
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing too
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return values, text[at:].encode()
        if _is_deep(value):
            return values, text[at:].encode()
        values.append(value)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        if not inner:
            return False
        level = [item for items in inner for item in items]
    return True


_SPACE: Final = re.compile(r"\s*")


def _has_nan(value: Any) -> bool:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return True
        if isinstance(item, Mapping):
            todo += item.values()
        elif isinstance(item, (list, tuple)):
            todo += item
    return False


def _as_orjson_does(value: Any) -> Any:
    """Return the JSON of a value that orjson knows and the standard library does not."""
    inner = opened(value)
    return mended_value(inner) if inner is not value else loads_strictly(orjson.dumps(value))


def dumps(value: Any) -> bytes:
    """Return *value* as JSON bytes, valid UTF-8 whatever the strings hold.

    Raises:
        TypeError: it holds something that JSON cannot, itself for example, or is nested deeper than 1024 levels or
            than the interpreter's stack.

    """
    try:
        data = orjson.dumps(value)
    except TypeError:  # lone surrogates, integers over 64 bits, deep nesting; anything else is refused again
        pass
    else:
        if b"null" in data and _has_nan(value):  # orjson writes null for them
            message = "NaN and Infinity cannot be sent as JSON"
            raise TypeError(message)
        return data
    for problem in problems_of_json("value", value, levels=_DEPTH, most=_VALUES):
        raise TypeError(str(problem))
    plain, slim = mended_value(value), (",", ":")
    try:
        text = json.dumps(plain, ensure_ascii=False, separators=slim, allow_nan=False, default=_as_orjson_does)
    except (RecursionError, ValueError) as error:
        message = f"a value cannot be sent as JSON: {error}"
        raise TypeError(message) from None
    return text.encode()
