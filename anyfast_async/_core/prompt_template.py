"""Templates that make a prompt of a row: ``"Label: {text}"``. Pure.

What stands between two braces is the name of a column and nothing more: no attributes, no indices, no formats, nothing
that is evaluated. Where there is no column ``meta.author``, it is the field ``author`` of what the column ``meta``
holds. ``{{`` and ``}}`` are literal braces.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, Final

import attrs

from anyfast_async._core.json import codec

_PIECE: Final = re.compile(r"(\{\{|\}\})|\{([^{}]+)\}|([{}])")


@attrs.frozen
class Column:
    """The place of a column's value."""

    name: str


@attrs.frozen
class PromptTemplate:
    """Text with places for columns."""

    text: str
    parts: tuple[str | Column, ...] = attrs.field(repr=False)

    @classmethod
    def parse(cls, text: str, *, may_be_same: bool = False) -> PromptTemplate:
        """Read a template; *may_be_same* says whether it may make the same prompt of every row.

        Raises:
            ValueError: a brace stands alone, or no column is named.

        """
        parts: list[str | Column] = []
        end = 0
        for found in _PIECE.finditer(text):
            parts.append(text[end : found.start()])
            literal, name, alone = found.groups()
            if alone is not None:
                message = (
                    f"the {alone!r} at character {found.start() + 1} has no partner; a literal brace is written twice"
                )
                raise ValueError(message)
            parts.append(literal[0] if literal is not None else Column(name))
            end = found.end()
        parts.append(text[end:])
        if not may_be_same and not any(isinstance(part, Column) for part in parts):
            message = "no column is named, so every row would be the same prompt; write {column}"
            raise ValueError(message)
        return cls(text, tuple(part for part in parts if part != ""))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order, each once."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Column)))

    def lacks(self, row: Mapping[str, Any]) -> list[str]:
        """Return the names of the columns that *row* does not have."""
        return [name for name in self.columns if cell_at(row, name) is NOTHING]

    def cells(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the columns of *row*, which lacks none of them, as they stand in the prompt.

        Raises:
            TypeError: a column holds what is no text; it is named.

        """
        return {name: cell_text(name, cell_at(row, name)) for name in self.columns}

    def fill(self, row: Mapping[str, Any]) -> str | None:
        """Return the prompt for *row*, which lacks none of the columns; None if all of them are empty.

        Raises:
            TypeError: a column holds what is no text; it is named.

        """
        cells = self.cells(row)
        if cells and not any(text.strip() for text in cells.values()):
            return None
        return "".join(part if isinstance(part, str) else cells[part.name] for part in self.parts)


TEXT: Final = PromptTemplate("{text}", (Column("text"),))
"""The template of plain text."""


def top_level(name: str, columns: Container[str]) -> str:
    """Return the column in which *name* is: itself, or what stands before the dot that leads to one of its fields."""
    while name not in columns and "." in name:
        name = name.rpartition(".")[0]
    return name


NOTHING: Final[Any] = object()


def cell_at(row: Mapping[str, Any], name: str) -> Any:
    """Return the value at *name*; a field of a missing value is missing."""
    if name in row:
        return row[name]
    top = top_level(name, row)
    if top not in row:
        return NOTHING
    value = row[top]
    for field in name[len(top) + 1 :].split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping) or field not in value:
            return NOTHING
        value = value[field]
    return value


def cell_text(name: str, value: Any) -> str:
    """Return a cell as text: nothing for a missing one, JSON for what is neither text nor a date."""
    if isinstance(value, str):
        return value
    if value is None or value != value:  # noqa: PLR0124 - NaN is how pandas writes a missing number
        return ""
    if isinstance(value, bytes):
        message = f"{name}: holds bytes, not text"
        raise TypeError(message)
    if isinstance(value, (dict, list, bool, int, float)):
        try:
            return codec.dumps(value).decode()
        except TypeError:
            message = f"{name}: holds what cannot be written as JSON"
            raise TypeError(message) from None
    return str(value)
