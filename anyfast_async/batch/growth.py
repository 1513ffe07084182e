"""An input held against the rows that a batch was begun with: the same, more of them, or others.

Where rows have ids, they are known by these in any order. Where an id is made of a row's place, rows may only be added
at the end; the same rows may stand in a file of another format, which would count them in another way: they keep the
numbers that they were given first.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from anyfast_async._core.journal.id_index import Index
from anyfast_async._values.text import counted
from anyfast_async.batch.input.request_lines import LineError
from anyfast_async.batch.input.row_digests import RowDigests
from anyfast_async.batch.input.source import Renumbered, Source
from anyfast_async.batch.input.survey import Survey
from anyfast_async.errors import escaped

_NAMED: Final = 3
"""Rows that are named."""


@attrs.frozen
class ChangedRow:
    """A row that is known, and holds something else now."""

    custom_id: str
    column: str
    """The first that differs."""

    def __str__(self) -> str:
        return f"{escaped(self.custom_id, 80)!r} ({escaped(self.column, 80)})"


@attrs.frozen
class Growth:
    """What became of the rows of a batch in an input."""

    survey: Survey
    """The input, in which the rows have the ids that they were given first."""
    added: Sequence[int]
    """The places, from 0, of rows that are new."""
    changed: tuple[ChangedRow, ...] = ()
    """The first few that hold something else now."""
    changed_count: int = 0
    missing: int = 0
    """Rows that are not there any more."""
    mended: Sequence[int] = ()
    """The places of rows that could not be sent before, and can be now."""
    by_place: bool = False
    """Whether ids are made of places."""

    @property
    def is_same(self) -> bool:
        """Whether they are the same rows, wherever they stand."""
        return not (self.added or self.changed_count or self.missing)

    @property
    def is_longer(self) -> bool:
        """Whether they are the same rows, and more."""
        return bool(self.added) and not (self.changed_count or self.missing)

    @property
    def problem(self) -> str:
        """What is not as it was, in words."""
        found = []
        if self.changed_count:
            listed = ", ".join(map(str, self.changed))
            more = self.changed_count - len(self.changed)
            rows = "row holds" if self.changed_count == 1 else "rows hold"
            found.append(
                f"{counted(self.changed_count)} {rows} something else now: {listed}"
                + (f" and {counted(more)} more" if more else "")
            )
        if self.missing:
            found.append(f"{counted(self.missing)} {'row is' if self.missing == 1 else 'rows are'} not there any more")
        if self.added:
            found.append(f"{counted(len(self.added))} {'row is' if len(self.added) == 1 else 'rows are'} new")
        return ", ".join(found)


def grown(known: RowDigests, found: Survey) -> Growth | None:
    """Return what became of *known* rows in the input *found*; None if that cannot be told.

    Raises:
        OSError: it cannot be read.

    """
    now = found.digests
    if now is None or now.columns != known.columns or (now.unit is None) != (known.unit is None):
        return None
    return _by_place(known, now, found) if known.by_place or now.by_place else _by_id(known, now, found)


def _by_id(known: RowDigests, now: RowDigests, found: Survey) -> Growth:
    index = Index(lambda number, place: str(known.numbers[place]) == number)
    for place, number in enumerate(known.numbers):
        if number:
            index.replace(str(number), place)
    added, mended, changed, met = array("Q"), array("Q"), {}, 0
    for place, number in enumerate(now.numbers):
        if not number:
            continue
        before = index.find(str(number))
        if before is None:
            added.append(place)
            continue
        met += 1
        column = now.changed(place, known, before)
        if column is not None:
            changed[place] = column
        elif known.is_void(before) and not now.is_void(place):
            mended.append(place)
    return Growth(found, added, _named(found.source, changed), len(changed), len(index) - met, mended)


def _by_place(known: RowDigests, now: RowDigests, found: Survey) -> Growth:
    both = min(len(known), len(now))
    mended, changed = array("Q"), {}
    for place in range(both):
        column = now.changed(place, known, place)
        if column is None and now.unit is None and now.numbers[place] != known.numbers[place]:
            column = found.source.id_name
        if column is not None:
            changed[place] = column
        elif known.is_void(place) and not now.is_void(place):
            mended.append(place)
    found = _counted_as(known, found) if not changed else found
    added = range(both, len(now))
    names = _named(found.source, changed)
    return Growth(found, added, names, len(changed), len(known) - both, mended, by_place=True)


def _named(source: Source, changed: Mapping[int, str]) -> tuple[ChangedRow, ...]:
    """Return the first of the rows at these places, by their names."""
    names: list[ChangedRow] = []
    for place, (number, record) in enumerate(source.records()) if changed else ():
        if place not in changed:
            continue
        custom_id = None if isinstance(record, LineError) else source.id_of(number, record)
        names.append(ChangedRow(custom_id or source.made_id(number), changed[place]))
        if len(names) == _NAMED:
            break
    return tuple(names)


# -- rows that keep the numbers of another file ----------------------------------------------------------------------


def _counted_as(known: RowDigests, found: Survey) -> Survey:
    """Return the input with the ids that its rows were given first, if those are made of numbers."""
    now = found.digests
    if known.unit is None or now is None or not known or len(known) > len(now):
        return found
    if known.unit == now.unit and known.numbers == now.numbers[: len(known)]:
        return found
    source = renumbered(found.source, known)
    more = len(now) - len(known)
    numbers = known.numbers + array("Q", range(known.numbers[-1] + 1, known.numbers[-1] + 1 + more))
    bad = {number: attrs.evolve(row, custom_id=source.made_id(number)) for number, row in found.bad.items()}
    digests = attrs.evolve(now, unit=known.unit, numbers=numbers)
    return attrs.evolve(found, source=source, bad=bad, digests=digests)


def renumbered(source: Source, known: RowDigests) -> Source:
    """Return a source with the numbers that its rows were given first; those that are new are counted on.

    Raises:
        OSError: it cannot be read.

    """
    numbers = array("Q")
    last = 0
    for place, (number, _) in enumerate(source.records()):
        last = known.numbers[place] if place < len(known) else last + 1
        numbers.extend([0] * (number - len(numbers)))
        numbers.append(last)
    return attrs.evolve(source, renumbered=Renumbered(known.unit or source.unit, numbers))
