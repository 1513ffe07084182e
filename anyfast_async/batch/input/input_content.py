"""What the rows of an input hold, noted while it is read."""

from __future__ import annotations

from collections.abc import Sequence

from anyfast_async.batch.input.row_digests import RowDigests, number_of
from anyfast_async.batch.input.source import Source


class NoContent:
    """What rows hold, if nobody wants to know."""

    def add(self, numbers: Sequence[int], ids: Sequence[str | None], cells: Sequence[bytes | None]) -> None:
        """Take in rows; the cells of one that cannot be sent are None."""

    def void(self, place: int) -> None:
        """Take in that the row at *place* cannot be sent after all."""

    def found(self, *, is_numbered: bool) -> RowDigests | None:  # noqa: ARG002 - asked for below
        """Return what they hold."""
        return None


class Content(NoContent):
    """What rows of a source hold."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows = RowDigests(source.parts, source.unit if source.is_counted else None)

    def add(self, numbers: Sequence[int], ids: Sequence[str | None], cells: Sequence[bytes | None]) -> None:
        """Take in rows; the cells of one that cannot be sent are None."""
        own = numbers if self._source.is_counted else [0 if one is None else number_of(one) for one in ids]
        for number, cell in zip(own, cells, strict=True):
            self._rows.add(number, cell)

    def void(self, place: int) -> None:
        """Take in that the row at *place* cannot be sent after all."""
        self._rows.void(place)

    def found(self, *, is_numbered: bool) -> RowDigests:
        """Return what they hold."""
        self._rows.by_place = is_numbered or self._source.is_counted
        return self._rows
