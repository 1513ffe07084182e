"""What the attrs classes that every program loads have in common: how they are shown, and how values are compared.

It stands once here, because to have attrs write it for each class is more than half of what a class costs at import.
"""

from __future__ import annotations

import re
from reprlib import Repr, recursive_repr
from typing import Any, Final

import attrs


class Shown:
    """Shows the fields by name, as attrs does; for classes that are defined with ``repr=False``."""

    __slots__ = ()

    @recursive_repr("...")
    def __repr__(self) -> str:
        kind: Any = type(self)
        fields = (f"{a.name}={getattr(self, a.name, attrs.NOTHING)!r}" for a in attrs.fields(kind) if a.repr)
        return f"{kind.__qualname__.rsplit('>.', 1)[-1]}({', '.join(fields)})"


class Value(Shown):
    """Is equal to what has the same class and the same fields; for classes that are defined with ``eq=False``, too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash((type(self), _compared(self)))


class Brief(Value):
    """As :class:`Value`, but shows only the fields that say something, and of long text and data a part."""

    __slots__ = ()

    @recursive_repr("...")
    def __repr__(self) -> str:
        kind: Any = type(self)
        fields = [(a, getattr(self, a.name, attrs.NOTHING)) for a in attrs.fields(kind) if a.repr and a.init]
        shown = (f"{a.name}={brief(value)}" for a, value in fields if value not in (a.default, (), {}))
        return f"{kind.__qualname__}({', '.join(shown)})"


class _Short(Repr):
    """Shows text and data in part, and what is shown by its own class as that shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 4, 8, 8, 8

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002 - Repr calls it so
        shown = re.sub(_BASE64, r"\1...", x) if "base64," in x else x
        if len(shown) > _LONGEST:
            return f"{shown[:_LONGEST]!r}... ({len(x)} characters)"
        return repr(shown) if shown is x else f"{shown!r} ({len(x)} characters)"

    def repr_bytes(self, data: bytes, level: int) -> str:  # noqa: ARG002
        return repr(data) if len(data) <= _LONGEST else f"{data[:40]!r}... ({len(data)} bytes)"

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002
        shown = repr(x)
        return shown if isinstance(x, Shown) or len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


_LONGEST: Final = 200
"""Characters of a text that are shown."""
_MOST: Final = 4000
"""Characters of anything that are shown."""
_BASE64: Final = r"(;base64,[\w+/]{8})[\w+/=]{32,}"
_SHORT: Final = _Short()


def brief(value: Any) -> str:
    """Return ``repr`` of *value*, with long text and data in it cut, and cut itself where that is not enough."""
    shown = _SHORT.repr(value)
    return shown if len(shown) <= _MOST else f"{shown[:_MOST]}..."


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, a.name) for a in attrs.fields(type(value)) if a.eq)
