"""The two passes over an input: the first checks the whole of it, the second hands out its rows.

What is kept in between is counts, not rows and not ids.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import islice
from operator import eq
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from anyfast_async._core.journal.id_index import Seen
from anyfast_async.batch.input.checked_rows import Kind, Measure, checked_rows
from anyfast_async.batch.input.request_lines import BatchLine, LineError
from anyfast_async.batch.input.row_digests import RowDigests, number_of
from anyfast_async.batch.input.source import Source
from anyfast_async.errors import ConfigurationError, escaped

KEPT_PROBLEMS: Final = 1000
"""Problems that are named; of more, only their number is."""
EXAMPLES: Final = 3
"""Lines that are named for each kind of problem."""

_VALUE: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")

Stamp: TypeAlias = "tuple[int, int, int]"
"""File, size and time of change, by which the second pass knows that it reads what was checked."""


@attrs.frozen
class LineProblem:
    """One thing that is wrong with one line."""

    line: int
    """From 1."""
    problem: str
    unit: str = "line"
    """``"row"`` in a file that has no lines."""

    def __str__(self) -> str:
        return f"{self.unit} {self.line}: {self.problem}"


@attrs.define
class ProblemKind:
    """The same mistake on one line or on many."""

    problem: str
    """On the first of them."""
    lines: list[int] = attrs.field(factory=list)
    """The first :data:`EXAMPLES`."""
    count: int = 0


@attrs.frozen
class BadRow:
    """A row that cannot be sent."""

    custom_id: str
    """Its own, or one made of its number."""
    problems: tuple[str, ...]


@attrs.frozen
class Survey:
    """What the first pass found."""

    source: Source
    count: int
    """Rows that are good."""
    models: Mapping[str | None, int]
    """The rows by the model that they name; None: none."""
    problems: tuple[LineProblem, ...]
    """At most :data:`KEPT_PROBLEMS`, in the order of the lines."""
    problem_count: int
    sha256: str
    """Of the file."""
    stamp: Stamp
    kinds: tuple[ProblemKind, ...] = ()
    """The problems by what they have in common, in the order of their first lines."""
    bad: Mapping[int, BadRow] = attrs.field(factory=dict, repr=False)
    """With ``skip_bad``: rows that are left out, by their numbers."""
    is_whole: bool = True
    """Whether the file could be read to its end."""
    is_numbered: bool = attrs.field(default=False, eq=False)
    """Whether an id is made of the number of its line: in another file it would be another row's."""
    digests: RowDigests | None = attrs.field(default=None, eq=False, repr=False)
    """What the rows hold, in a few bytes each; None: not asked for, or known from a pass that was made before."""

    measured: Mapping[Kind, int] = attrs.field(factory=dict, eq=False, repr=False)
    """With a measure: the rows that are good by what they will take."""

    @property
    def total(self) -> int:
        """Rows, those that are left out included."""
        return self.count + len(self.bad)

    def moved(self, path: Path) -> Survey:
        """Return the same for the file in a new place."""
        return attrs.evolve(self, source=attrs.evolve(self.source, path=path))


def survey(
    source: Source,
    *,
    skip_bad: bool = False,
    digests: bool = True,
    measure: Measure | None = None,
    told: Callable[[int], object] = int,
) -> Survey:
    """Read the whole of *source* and check every row.

    Args:
        source: what to read.
        skip_bad: whether rows that cannot be sent are left out: they stand in ``.bad`` then, and :func:`rows` passes
            them over. They are kept in memory.
        digests: whether to note what the rows hold: by this the same input is known in another file, and one that got
            more rows. 8 bytes a row, and 4 for each column that is used.
        measure: how to tell what the rows will take: it stands in ``.measured`` then.
        told: called with the number of rows that were read since the last time.

    Raises:
        ConfigurationError: the file was changed meanwhile.
        OSError: it cannot be read.

    """
    stamp, sha256 = stamp_of(source.path), fingerprint(source.path)
    seen = Seen()
    suspects: set[int] = set()  # two ids may share a hash: those that come again are looked at closely
    kinds, measured = Counter[Kind | None](), Counter[Kind | None]()
    left = 0 if measure is None else sys.maxsize if measure.first is None else measure.first
    problems = _Problems(source.unit, keeps_rows=skip_bad)
    named: dict[int, tuple[Kind | None, bool, int]] = {}  # to be taken back if a row turns out to be bad
    is_whole, is_numbered = True, source.is_counted
    content = _Content(source) if digests else _NoContent()
    total = 0
    for numbers, checked in checked_rows(source, measure, digests=digests):
        ids, of, cells, errors = zip(*checked, strict=True)
        kinds.update(of)
        measured.update(of[:left])
        for number, error in zip(numbers, errors, strict=True) if any(errors) else ():
            if error is not None:
                is_whole &= not error.is_end
                problems.add(number, error.custom_id, error.problems)
        if not is_numbered:
            is_numbered = any(map(eq, ids, map(source.made_id, numbers)))
        content.add(numbers, ids, cells)
        if not source.is_counted and (again := seen.again(hash(one) for one in ids if one is not None)):
            suspects |= again
            for place, number, one in zip(range(len(ids)), numbers, ids, strict=True) if skip_bad else ():
                if one is not None and hash(one) in again and number not in problems.rows:
                    named[number] = of[place], place < left, total + place
        left = max(0, left - len(ids))
        total += len(ids)
        told(len(ids))
    for number, custom_id, first in _duplicates(source, suspects):
        problem = f"{source.id_name}: {escaped(custom_id, 80)!r} stands on {source.unit} {first} already"
        if number in named:
            kind, is_measured, place = named[number]
            kinds[kind] -= 1
            measured[kind] -= is_measured
            content.void(place)
        problems.add(number, None, (problem,))
    if stamp_of(source.path) != stamp:
        raise _changed(source)
    models = Counter[str | None]()
    for kind, count in kinds.items():
        if kind is not None:
            models[kind[0]] += count
    return Survey(
        source,
        sum(models.values()),
        +models,
        tuple(sorted(problems.kept, key=lambda one: one.line)),
        problems.count,
        sha256,
        stamp,
        tuple(problems.kinds.values()),
        _named_rows(source, problems.rows),
        is_whole,
        is_numbered,
        content.found(is_numbered=is_numbered),
        {kind: count for kind, count in measured.items() if kind is not None and count},
    )


class _NoContent:
    """What rows hold, if nobody wants to know."""

    def add(self, numbers: Sequence[int], ids: Sequence[str | None], cells: Sequence[bytes | None]) -> None:
        """Take in rows; the cells of one that cannot be sent are None."""

    def void(self, place: int) -> None:
        """Take in that the row at *place* cannot be sent after all."""

    def found(self, *, is_numbered: bool) -> RowDigests | None:  # noqa: ARG002 - asked for below
        return None


class _Content(_NoContent):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows = RowDigests(source.parts, source.unit if source.is_counted else None)

    def add(self, numbers: Sequence[int], ids: Sequence[str | None], cells: Sequence[bytes | None]) -> None:
        own = numbers if self._source.is_counted else [0 if one is None else number_of(one) for one in ids]
        for number, cell in zip(own, cells, strict=True):
            self._rows.add(number, cell)

    def void(self, place: int) -> None:
        self._rows.void(place)

    def found(self, *, is_numbered: bool) -> RowDigests:
        self._rows.by_place = is_numbered or self._source.is_counted
        return self._rows


class _Problems:
    """What is wrong with an input: counted, the first of them kept, and the rows where they are to be left out."""

    def __init__(self, unit: str, *, keeps_rows: bool) -> None:
        self.kept: list[LineProblem] = []
        self.count = 0
        self.kinds: dict[str, ProblemKind] = {}
        self.rows: dict[int, tuple[str | None, tuple[str, ...]]] = {}
        self._unit = unit
        self._keeps_rows = keeps_rows

    def add(self, number: int, custom_id: str | None, found: tuple[str, ...]) -> None:
        for problem in found:
            self.count += 1
            if len(self.kept) < KEPT_PROBLEMS:
                self.kept.append(LineProblem(number, problem, self._unit))
            self._count(number, problem)
        if self._keeps_rows:
            self.rows[number] = custom_id, (*self.rows.get(number, (None, ()))[1], *found)

    def _count(self, number: int, problem: str) -> None:
        # What differs from row to row are the values, which are quoted, and numbers.
        key = _VALUE.sub("?", problem)
        if key not in self.kinds and len(self.kinds) == KEPT_PROBLEMS:
            key = next(reversed(self.kinds))
        kind = self.kinds.setdefault(key, ProblemKind(problem))
        kind.count += 1
        if len(kind.lines) < EXAMPLES:
            kind.lines.append(number)


def _named_rows(source: Source, bad: Mapping[int, tuple[str | None, tuple[str, ...]]]) -> dict[int, BadRow]:
    """Return the rows that are left out, each with an id that no other row has."""
    made = {source.made_id(number) for number, (custom_id, _) in bad.items() if custom_id is None}
    taken = {custom_id for number, custom_id in _ids(source) if number not in bad and custom_id in made} if made else ()
    found = {}
    for number, (custom_id, problems) in bad.items():
        name = custom_id or source.made_id(number)
        found[number] = BadRow(f"{name} (left out)" if custom_id is None and name in taken else name, problems)
    return found


def rows(
    surveyed: Survey,
    *,
    skip: Container[str] = frozenset(),
    only: Container[int] | None = None,
    first: int | None = None,
) -> Iterator[BatchLine]:
    """Read the file again and yield its requests, without those whose ``custom_id`` is in *skip*.

    Args:
        surveyed: the first pass.
        skip: ids of rows to leave out.
        only: of the others, the places (from 0) of those to yield; None yields all.
        first: rows of the file to look at; None looks at all.

    Raises:
        ConfigurationError: the file was changed since it was checked.
        OSError: it cannot be read.

    """
    source, place = surveyed.source, -1
    # A change right after the last one, of a byte into another, need not show in the stamp.
    if fingerprint(source.path) != surveyed.sha256:
        raise _changed(source)
    for number, record in islice(source.records(), first):
        if number in surveyed.bad:
            continue
        if not isinstance(record, LineError) and (source.id_of(number, record) or "") in skip:
            continue
        place += 1
        if only is not None and place not in only:
            continue
        if stamp_of(source.path) != surveyed.stamp:
            raise _changed(source)
        try:
            yield _line(source, number, record)
        except LineError:
            raise _changed(source) from None
    if stamp_of(source.path) != surveyed.stamp:
        raise _changed(source)


def ids_of(surveyed: Survey) -> Iterator[str]:
    """Read the file again and yield the ids of its rows, those that are left out included.

    Raises:
        ConfigurationError: the file was changed since it was checked.
        OSError: it cannot be read.

    """
    for row in surveyed.bad.values():
        yield row.custom_id
    for number, custom_id in _ids(surveyed.source):
        if number not in surveyed.bad:
            yield custom_id
    if stamp_of(surveyed.source.path) != surveyed.stamp:
        raise _changed(surveyed.source)


def _line(source: Source, number: int, record: Mapping[str, object] | LineError) -> BatchLine:
    if isinstance(record, LineError):
        raise record
    return source.line(number, record)


def _duplicates(source: Source, suspects: set[int]) -> Iterator[tuple[int, str, int]]:
    """Yield each row whose id an earlier row has: its number, the id, the number of the first that has it."""
    if not suspects:
        return
    first: dict[str, int] = {}
    for number, custom_id in _ids(source):
        if hash(custom_id) in suspects and first.setdefault(custom_id, number) != number:
            yield number, custom_id, first[custom_id]


def _ids(source: Source) -> Iterator[tuple[int, str]]:
    for number, record in source.records():
        custom_id = None if isinstance(record, LineError) else source.id_of(number, record)
        if custom_id is not None:
            yield number, custom_id


def _changed(source: Source) -> ConfigurationError:
    message = f"{source.path} was changed while the batch ran; start the batch again, what is written stays"
    return ConfigurationError(message)


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp_of(path: Path) -> Stamp:
    """Return what changes when somebody writes to a file."""
    status = os.stat(path)  # noqa: PTH116 - once per row; Path.stat takes twice as long
    return status.st_ino, status.st_size, status.st_mtime_ns
