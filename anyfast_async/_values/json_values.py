"""Whether a value can be sent as JSON, and if not, where in it what stands that cannot.

Callers hand in whatever they have: schemas whose references were resolved into cycles, a ``Decimal`` out of a database,
the same list a million times. Nearly every value passes the first, quick look; only the others are walked with paths.
Both looks are loops, not recursion, and take time that is linear in what is there, not in what it is written out.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final, NamedTuple

import attrs

from anyfast_async.errors import FieldError, escaped

MAX_DEPTH: Final = 200
"""Levels of lists and objects in a field of a request; orjson writes no more than 254 in all."""
MAX_VALUES: Final = 1_000_000
"""Values in a field, written out: what stands in it twice counts twice."""
MAX_CHARACTERS: Final = 512 * 1024 * 1024
"""Characters in a field, written out."""
_MAX_PROBLEMS: Final = 20
_MAX_PATH: Final = 300
_QUICK: Final = 100_000
"""Values that the quick look takes before it leaves the rest to the other, which looks at nothing twice."""
_MAX_BITS: Final = 2048
"""Of an integer: what Python writes out whatever its limit is set to (``sys.set_int_max_str_digits``)."""
_LARGE: Final = 2**63
_NAME: Final = r"[A-Za-z_$][\w$-]*"

_HINTS: Final[Mapping[str, str]] = {
    "Decimal": "pass float(x) or str(x)",
    "Fraction": "pass float(x) or str(x)",
    "bytes": "pass it as base64 text",
    "bytearray": "pass it as base64 text",
    "set": "pass a list",
    "frozenset": "pass a list",
    "generator": "pass a list",
    "deque": "pass a list",
    "ndarray": "pass x.tolist()",
    "DataFrame": "pass x.to_dict('records')",
}


def problems_of_json(
    path: str, value: Any, *, level: int = 1, levels: int = MAX_DEPTH, most: int = MAX_VALUES
) -> list[FieldError]:
    """Return what JSON cannot hold in *value*, each with its path below *path*; an empty list if it can be sent.

    The first twenty are named. Integers of any usual size, ``datetime``, ``date``, ``time``, ``UUID``, enums and
    dataclasses can be sent.

    Args:
        path: where *value* stands.
        value: anything.
        level: the level that *value* itself is on.
        levels: how many there may be.
        most: how many values it may come to.

    """
    return [] if _is_plain(value, levels - level) else _ValueWalk(path, level, levels, most).problems(value)


def opened(value: Any) -> Any:
    """Return what an enum or a dataclass is in JSON, of anything else itself; as orjson does."""
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields  # noqa: PLC0415 - whoever has one has loaded it

        return {f.name: getattr(value, f.name) for f in fields(value) if not f.name.startswith("_")}
    return value


def _is_plain(value: Any, deeper: int) -> bool:  # noqa: C901 - one loop over every value of every request
    """Return whether *value* is made of nothing but plain values, and is small; False says nothing."""
    containers = [value]
    if type(value) not in _CONTAINERS:
        return False
    values = characters = 0
    for _ in range(deeper + 1):
        inner: list[Any] = []
        for container in containers:
            items = container
            if type(container) is dict:
                for name in container:
                    if type(name) is not str:
                        return False
                items = container.values()
            values += len(container)
            if values > _QUICK:
                return False
            for item in items:
                kind = type(item)
                if kind is str:
                    characters += len(item)
                elif kind in _CONTAINERS:
                    inner.append(item)
                elif kind is int:
                    if not -_LARGE <= item < _LARGE:
                        return False
                elif kind is float:
                    if not math.isfinite(item):
                        return False
                elif kind is not bool and item is not None:
                    return False
        if not inner:
            return characters <= MAX_CHARACTERS
        containers = inner
    return False


_CONTAINERS: Final = frozenset({dict, list, tuple})


class _Size:
    """What a container comes to, written out."""

    __slots__ = ("characters", "levels", "values")

    def __init__(self, levels: int = 1, values: int = 0, characters: int = 0) -> None:
        self.levels = levels
        self.values = values
        self.characters = characters

    def add(self, inner: _Size) -> None:
        self.levels = max(self.levels, inner.levels + 1)
        self.values += inner.values
        self.characters += inner.characters


class _Open(NamedTuple):
    """A container that the walk is in."""

    value: Any
    """Kept, so that no other object gets its identity."""
    step: str
    """From the container around it."""
    items: Iterator[tuple[Any, Any]]
    size: _Size


class _ValueWalk:
    """One walk over a value; what was looked at once is not looked at again."""

    def __init__(self, path: str, level: int, levels: int, most: int) -> None:
        self._path = path
        self._level = level
        self._levels = levels
        self._most = most
        self._open: list[_Open] = []
        self._places: dict[int, int] = {}
        """Where among the open ones a container is."""
        self._known: dict[int, tuple[Any, _Size]] = {}
        self._found: list[FieldError] = []

    def problems(self, value: Any) -> list[FieldError]:
        """Return them."""
        whole = self._look("", value)
        while self._open and len(self._found) < _MAX_PROBLEMS:
            inside = self._open[-1]
            name, item = next(inside.items, (None, _END))
            if item is _END:
                whole = inside.size
                self._open.pop()
                del self._places[id(inside.value)]
                self._known[id(inside.value)] = inside.value, whole
                if self._open:
                    self._open[-1].size.add(whole)
                continue
            inside.size.values += 1
            if isinstance(name, str):
                inside.size.characters += len(name)
            elif type(name) is not int or isinstance(inside.value, Mapping):
                self._report("", f"has the key {escaped(repr(name), 40)}, and keys of JSON objects are strings")
                continue
            step = f"[{name}]" if type(name) is int else _step(str(name))
            if (size := self._look(step, item)) is not None:
                inside.size.add(size)
        if not self._found and whole is not None:
            self._check_size(whole)
        return self._found

    def _look(self, step: str, value: Any) -> _Size | None:
        """Return the size of *value*; None where it is not known yet, because the walk goes into it first."""
        while isinstance(value, enum.Enum) and not isinstance(value, (str, int, float)):
            value = opened(value)
        if isinstance(value, str):
            return _Size(0, 0, len(value))
        problem, items = _problem(value), _items(value)
        if problem is not None:
            self._report(step, problem)
        if items is None:
            return _Size(0)
        if (place := self._places.get(id(value))) is not None:
            self._report(step, f"contains itself: it is {self._path_of(place) or 'the whole'} again")
            return _Size()
        known = self._known.get(id(value))
        level = self._level + len(self._open)
        if level + (known[1].levels - 1 if known is not None else 0) > self._levels:
            self._report(step, f"is nested deeper than {self._levels} levels")
            return _Size()
        if known is not None:
            return known[1]
        self._places[id(value)] = len(self._open)
        self._open.append(_Open(value, step, items, _Size()))
        return None

    def _check_size(self, size: _Size) -> None:
        if size.values > self._most:
            self._report("", f"comes to {_about(size.values)} values when written out, and {self._most:,} are the most")
        elif size.characters > MAX_CHARACTERS:
            self._report(
                "",
                f"comes to {_about(size.characters)} characters when written out, and {MAX_CHARACTERS:,} are the most",
            )

    def _report(self, step: str, problem: str) -> None:
        self._found.append(FieldError(_shortened(self._path_of(len(self._open) - 1) + step), problem))

    def _path_of(self, place: int) -> str:
        return self._path + "".join(inside.step for inside in self._open[: place + 1])


_END: Final = object()


def _items(value: Any) -> Iterator[tuple[Any, Any]] | None:
    """Return what is in a container with its names or numbers, None if it is none that JSON has."""
    if isinstance(value, Mapping):
        return iter(value.items())
    if isinstance(value, (list, tuple)):
        return iter(enumerate(value))
    inner = opened(value)
    return iter(inner.items()) if inner is not value else None


def _problem(value: Any) -> str | None:
    """Return why a value that is no text cannot be sent, None if it can, as far as it can be told from outside."""
    match value:
        case None | bool() | dt.date() | uuid.UUID() | Mapping() | list() | tuple():
            return None
        case int():
            return None if value.bit_length() <= _MAX_BITS else f"is an integer of {value.bit_length()} bits"
        case float():
            return None if math.isfinite(value) else f"is {value}, which JSON cannot hold; pass None"
        case dt.time():
            return None if value.tzinfo is None else "is a time with a time zone; pass x.isoformat()"
    kind = type(value)
    if opened(value) is not value:
        return None
    hint = _HINTS.get(kind.__name__, "")
    if callable(getattr(value, "model_dump", None)):
        hint = "pass x.model_dump(mode='json')"
    elif kind.__module__.startswith("anyfast_async.") or isinstance(value, PurePath):
        hint = "a dict goes out as it is: put it into a UserMessage"
    elif attrs.has(kind):
        hint = "pass attrs.asdict(x)"
    return f"is a {kind.__name__}, which JSON cannot hold" + (f"; {hint}" if hint else "")


def _step(name: str) -> str:
    """Return the path from an object to the member of this name."""
    return f".{name}" if len(name) <= 60 and re.fullmatch(_NAME, name) else f"[{escaped(repr(name), 80)}]"  # noqa: PLR2004


def _shortened(path: str) -> str:
    half = _MAX_PATH // 2
    return path if len(path) <= _MAX_PATH else f"{path[:half]}...{path[-half:]}"


def _about(number: int) -> str:
    return f"{number:,}" if number.bit_length() < 64 else f"about 2 to the {number.bit_length()}"  # noqa: PLR2004
