"""What the rows of an input hold, in a few bytes a row: by it the same rows, or more, are known in another file.

A row is a number (of its id, or of its line where that is its id) and four bytes for each column that is used.
"""

from __future__ import annotations

import base64
import json
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, Final, Self

import attrs

_SIZE: Final = 4
"""Bytes of a column: one change in four thousand million is not seen."""
_ROWS: Final = 4096
"""Rows that stand in one block."""
_NO_ID: Final = 0


def number_of(custom_id: str) -> int:
    """Return 64 bits that stand for an id; never 0."""
    return int.from_bytes(blake2b(_bytes(custom_id), digest_size=8).digest(), "little") or 1


def text_digest(text: str) -> bytes:
    """Return what stands for a cell as text."""
    return blake2b(_bytes(text), digest_size=_SIZE).digest()


def json_digest(value: Any) -> bytes:
    """Return what stands for a JSON value, however it is written."""
    return text_digest(_json(value))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@attrs.frozen
class TextsDigest:
    """What :func:`json_digest` returns for values that differ in some texts alone."""

    _pieces: tuple[str, ...]
    """Of JSON: before, between and behind the texts."""

    @classmethod
    def of(cls, value: Any, marks: Sequence[str]) -> Self | None:
        """Return it for *value*, which holds *marks* instead of its texts; None if they also stand elsewhere."""
        pieces, rest = [], _json(value)
        for mark in marks:
            if rest.count(_json(mark)) != 1:
                return None
            before, _, rest = rest.partition(_json(mark))
            pieces.append(before)
        return cls((*pieces, rest))

    def of_texts(self, texts: Sequence[str]) -> bytes:
        """Return what stands for the value with these *texts*."""
        *pieces, last = self._pieces
        return text_digest("".join([*chain.from_iterable(zip(pieces, map(_json, texts), strict=True)), last]))


@attrs.define
class RowDigests:
    """The rows of an input, in its order.

    Args:
        columns: whose content is known, by their names.
        unit: ``"line"`` or ``"row"`` where ids are made of the numbers of those; None where the rows have ids.

    """

    columns: tuple[str, ...]
    unit: str | None = None
    by_place: bool = False
    """Whether an id is made of the row's place: then rows are known by it, and may only be added at the end."""
    numbers: array[int] = attrs.field(factory=lambda: array("Q"), repr=False)
    """Of the line or row where there is a unit, else for the id: 0 for none."""
    cells: bytearray = attrs.field(factory=bytearray, repr=False)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def width(self) -> int:
        """Bytes of a row's content."""
        return _SIZE * len(self.columns)

    def add(self, number: int, cells: bytes | None) -> None:
        """Add a row; *cells* is None for one whose content counts for nothing, as it cannot be sent."""
        self.numbers.append(number)
        self.cells += bytes(self.width) if cells is None else cells

    def void(self, place: int) -> None:
        """Let the row at *place* be one without an id."""
        if self.unit is None:
            self.numbers[place] = _NO_ID
        self.cells[place * self.width : (place + 1) * self.width] = bytes(self.width)

    def changed(self, place: int, other: RowDigests, its_place: int) -> str | None:
        """Return the first column in which a row differs from one of *other*, which has the same columns; else None."""
        width = self.width
        mine = self.cells[place * width : (place + 1) * width]
        its = other.cells[its_place * width : (its_place + 1) * width]
        if mine == its or not any(mine) or not any(its):
            return None
        at = next(at for at in range(width) if mine[at] != its[at])
        return self.columns[at // _SIZE]

    def is_void(self, place: int) -> bool:
        """Return whether the content of the row at *place* counts for nothing."""
        return not any(self.cells[place * self.width : (place + 1) * self.width])

    def blocks(self, places: Sequence[int], *, is_all: bool) -> Iterator[Mapping[str, Any]]:
        """Yield the rows at *places* as JSON values; the last block says that it is the last, there is always one.

        Args:
            places: in their order.
            is_all: whether what was written before does not count any more.

        """
        width = self.width
        for begin in range(0, len(places) or 1, _ROWS):
            some = places[begin : begin + _ROWS]
            numbers = array("Q", (self.numbers[place] for place in some))
            cells = b"".join(self.cells[place * width : (place + 1) * width] for place in some)
            yield {
                "columns": self.columns,
                "unit": self.unit,
                "by_place": self.by_place,
                "numbers": base64.b64encode(_little(numbers).tobytes()).decode(),
                "cells": base64.b64encode(cells).decode(),
                "all": is_all,
                "first": begin == 0,
                "last": begin + _ROWS >= len(places),
            }

    @classmethod
    def of(cls, blocks: Iterable[Mapping[str, Any]]) -> Self | None:
        """Return the rows in *blocks* that were written, those of which the last block is missing left out; else None.

        Where an id stands twice, what was written last counts.
        """
        found: Self | None = None
        written: Self | None = None
        for block in blocks:
            if written is None or block["first"]:
                written = cls(tuple(block["columns"]), block["unit"], block["by_place"])
            numbers = array("Q")
            numbers.frombytes(base64.b64decode(block["numbers"]))
            written.numbers += _little(numbers)
            written.cells += base64.b64decode(block["cells"])
            if not block["last"]:
                continue
            if found is None or block["all"] or found.columns != written.columns:
                found = written
            else:
                found.numbers += written.numbers
                found.cells += written.cells
                found.by_place = written.by_place
            written = None
        return found


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
