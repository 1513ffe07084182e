"""The tables of a script file: their keys, and which values each of them takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

import attrs

from anyfast_async.simulator.quirks.catalogue import QUIRKS

__all__ = ["ALWAYS", "ANY", "MANY", "ONE", "Kind"]

ALWAYS: Final = "always"
"""What ``times`` says for any number of requests; TOML has no null."""
ANY: Final = "any"
"""What ``models`` says for any model."""


@attrs.frozen
class Kind:
    """A kind of values: what to call it, whether a value is one, and what it becomes."""

    allowed: str
    fits: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


def _of(allowed: str, *kinds: type) -> Kind:
    # TOML's true and false are no numbers, though Python's are.
    return Kind(allowed, lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)))


def _whole(least: int) -> Kind:
    number = _of("", int)
    return Kind(f"a whole number from {least} up", lambda value: number.fits(value) and value >= least)


def _number(most: float | None = None) -> Kind:
    number = _of("", int, float)
    limit = math.inf if most is None else most
    return Kind(
        "a number from 0 up" if most is None else f"a number from 0 to {most:g}",
        lambda value: number.fits(value) and 0 <= value <= limit and math.isfinite(value),
    )


def _list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _compiles(value: object) -> bool:
    try:
        re.compile(value if isinstance(value, str) else "(")
    except re.error:
        return False
    return True


def _is_call(call: object) -> bool:
    if not isinstance(call, dict) or "name" not in call:
        return False
    kinds: dict[str, Any] = {"name": str, "arguments": (dict, str), "id": str}
    return all(name in kinds and isinstance(value, kinds[name]) for name, value in call.items())


def _is_chunk(chunk: object) -> bool:
    if not isinstance(chunk, dict) or ("data" in chunk) == ("base64" in chunk):
        return False
    kinds: dict[str, Any] = {"data": str, "base64": str, "at": (int, float)}
    return all(name in kinds and isinstance(value, kinds[name]) for name, value in chunk.items())


_TEXT = _of("a string", str)
_FLAG = _of("true or false", bool)
_TEXTS = Kind("an array of strings", _list_of_texts)
_PATTERN = Kind("a regular expression of Python", _compiles, re.compile)
_TIMES = Kind(
    f'{_whole(1).allowed}, or "{ALWAYS}"',
    lambda value: value == ALWAYS or _whole(1).fits(value),
    lambda value: None if value == ALWAYS else value,
)
_MODELS = Kind(
    f'an array of strings, or "{ANY}"',
    lambda value: value == ANY or _list_of_texts(value),
    lambda value: None if value == ANY else value,
)
_TOOL_CALLS = Kind(
    "an array of tables with name (a string), arguments (a table, or JSON in a string) and perhaps id",
    lambda value: isinstance(value, list) and all(map(_is_call, value)),
)
_QUIRKS = Kind(
    "an array of names from anyfast_async.simulator.QUIRKS",
    lambda value: _list_of_texts(value) and QUIRKS.keys() >= set(value),
)
_CHUNKS = Kind(
    "an array of tables with data or base64 (strings), and at (seconds)",
    lambda value: isinstance(value, list) and all(map(_is_chunk, value)),
)
_ENDS: Final = ("whole", "cut", "left")
_HEADERS = Kind(
    "a table of strings", lambda value: isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
)

_SELECTION: Final = {"when": _TEXT, "pattern": _PATTERN, "times": _TIMES}

MANY: Final[dict[str, dict[str, Kind]]] = {
    "reply": {
        "text": _TEXT,
        "json": Kind("any value", lambda _: True),
        "chunks": _TEXTS,
        "tool_calls": _TOOL_CALLS,
        "reasoning": _TEXT,
        "finish_reason": _TEXT,
        "usage": _of("a table of token counts", dict),
        "ttft": _number(),
        **_SELECTION,
    },
    "fail": {
        "status": _of("400 to 599, or from 200 with body", int),
        "code": _of("a string or a whole number", str, int),
        "message": _TEXT,
        "retry_after": _of("seconds, or an HTTP date in a string", str, int, float),
        "body": _of("a string, a table or an array", str, dict, list),
        "headers": _HEADERS,
        "after": _whole(0),
        **_SELECTION,
    },
    "cut": {"after": _whole(0), "rst": _FLAG, "clean": _FLAG, **_SELECTION},
    "drop": {"rst": _FLAG, **_SELECTION},
    "exchange": {
        "method": _TEXT,
        "path": _TEXT,
        "request": _TEXT,
        "request_base64": _TEXT,
        "status": _of("an HTTP status", int),
        "headers": _HEADERS,
        "chunks": _CHUNKS,
        "end": Kind('"whole", "cut" or "left"', lambda value: value in _ENDS),
        "times": _TIMES,
    },
    "quirk": {"name": _TEXT, **_SELECTION},
    "stall": {"after": _whole(0), "seconds": _number(), **_SELECTION},
}
"""Tables that stand for one call each, ``[[name]]``, with their keys."""

ONE: Final[dict[str, dict[str, Kind]]] = {
    "limit": {"requests_per_minute": _whole(0), "requests_per_second": _whole(0), "empty_body": _FLAG},
    "latency": {
        "ttft": _number(),
        "per_token": _number(),
        "jitter": _number(1),
        "slow_share": _number(1),
        "slow": _number(),
    },
    "simulator": {
        "seed": _of("a whole number", int),
        "strict": _FLAG,
        "quirks": _QUIRKS,
        "api_keys": _TEXTS,
        "models": _MODELS,
        "created": _whole(0),
        "answer_tokens": _whole(0),
        "ping": _number(),
        "max_body": _whole(1),
        "keep_alive": _number(),
        "timing": _FLAG,
        "ignore": _TEXTS,
    },
}
"""Tables that stand once, ``[name]``."""
