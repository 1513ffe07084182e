"""JSON as the standard library reads it; what is no finite number is null, and half a character is replaced."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final


def mended(text: str) -> str:
    """Return *text* with surrogate pairs joined and lone surrogates replaced, so that it can be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def map_strings(value: Any, change: Callable[[str], str], rename: Callable[[str], str] | None = None) -> Any:
    """Return a deep copy of a JSON value with *change* made to every string, however deep it is nested.

    To the names of fields *rename* is made, if it is given.
    """
    rename = rename or change
    holder = [value]
    todo: list[tuple[Any, Any]] = [(holder, 0)]
    while todo:
        container, key = todo.pop()
        item = container[key]
        if isinstance(item, str):
            container[key] = change(item)
        elif isinstance(item, Mapping):
            container[key] = fresh = {rename(k) if isinstance(k, str) else k: v for k, v in item.items()}
            todo += [(fresh, k) for k in fresh]
        elif isinstance(item, (list, tuple)):
            container[key] = items = list(item)
            todo += [(items, i) for i in range(len(items))]
    return holder[0]


def mended_value(value: Any) -> Any:
    """Return a copy of a JSON value with every string :func:`mended`."""
    return map_strings(value, lambda text: text if text.isascii() else mended(text)) if value else value


def no_number(_: str) -> None:
    """NaN and Infinity are no JSON; an answer that holds one is read as if it said null."""


def finite(text: str) -> float | None:
    """Return the number in *text*, None for one that is too large to be one."""
    value = float(text)
    return value if math.isfinite(value) else None


DECODER: Final = json.JSONDecoder(strict=False, parse_constant=no_number, parse_float=finite)
"""Reads JSON in a text as all of the package does; a number that is no finite one is null."""
