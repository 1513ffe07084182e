"""What the attrs classes that every program loads have in common: how they are shown, and how values are compared.

It stands once here, because to have attrs write it for each class is more than half of what a class costs at import.
"""

from __future__ import annotations

from reprlib import recursive_repr
from typing import Any

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


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, a.name) for a in attrs.fields(type(value)) if a.eq)
