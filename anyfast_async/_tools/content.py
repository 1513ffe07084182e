"""What a tool returned, as the text that a model reads."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import attrs

from anyfast_async._core.json import codec
from anyfast_async._values.json_values import opened


def content_of(value: Any) -> str:
    """Return a text as it is, of anything else the JSON.

    Beside what JSON has: attrs classes, dataclasses, pydantic models, enums, dates, sets, ``Decimal`` and paths.

    Raises:
        TypeError: it holds something that JSON cannot.

    """
    if isinstance(value, str) and type(value) is str:
        return value
    try:
        return codec.dumps(_plain(value)).decode()
    except RecursionError:
        message = "value: is nested too deep, or contains itself"
        raise TypeError(message) from None


def error_content(words: str) -> str:
    """Return what a model is told of a call that failed: an object with ``error``, the name that Gemini knows."""
    return codec.dumps({"error": words}).decode()


def _plain(value: Any) -> Any:
    value = opened(value)
    if isinstance(value, Mapping):
        return {_name(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=repr)
    if isinstance(value, (decimal.Decimal, PurePath)):
        return str(value)
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        return {field.name: _plain(getattr(value, field.name)) for field in fields if not field.name.startswith("_")}
    if callable(dump := getattr(type(value), "model_dump", None)):
        return dump(value, mode="json")
    return value


def _name(name: Any) -> Any:
    name = opened(name)
    return name if isinstance(name, str) or name is None else str(name)
