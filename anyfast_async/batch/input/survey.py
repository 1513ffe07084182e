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

from anyfast_async.batch.input.checked_rows import UNMEASURED, Kind, Measure, checked_rows
from anyfast_async.batch.input.input_content import Content, NoContent
from anyfast_async.batch.input.repeated_ids import RepeatedIds
from anyfast_async.batch.input.request_lines import BatchLine, LineError
from anyfast_async.batch.input.row_digests import RowDigests
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
    """Of the file; empty if it is not read again."""
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
    told: Callable[[int], object] | None = None,
    read_again: bool = True,
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
        read_again: whether :func:`rows` will read the file after this; if not, it is not known by its SHA-256.

    Raises:
        ConfigurationError: the file was changed meanwhile.
        OSError: it cannot be read.

    """
    stamp, sha256 = stamp_of(source.path), fingerprint(source.path) if read_again else ""
    first = _Pass(source, skip_bad=skip_bad, digests=digests)
    left = sys.maxsize if measure is None or measure.first is None else measure.first
    for numbers, (ids, found, cells, errors) in checked_rows(source, measure, digests=digests):
        kinds = found
        if left < len(kinds):
            kinds = (*kinds[:left], *(None if kind is None else (kind[0], *UNMEASURED) for kind in kinds[left:]))
        first.take(numbers, ids, kinds, cells)
        if any(errors):
            first.take_errors(numbers, errors)
        left = max(0, left - len(kinds))
        if told is not None:
            told(len(kinds))
    first.look_closely()
    if stamp_of(source.path) != stamp:
        raise _changed(source)
    models, measured, problems = first.models, first.measured, first.problems
    return Survey(
        source,
        sum(models.values()),
        models,
        tuple(sorted(problems.kept, key=lambda one: one.line)),
        problems.count,
        sha256,
        stamp,
        tuple(problems.kinds.values()),
        _named_rows(source, problems.rows),
        first.is_whole,
        first.is_numbered,
        first.content.found(is_numbered=first.is_numbered),
        measured,
    )


def kind_of(problem: str) -> str:
    """Return what a problem has in common with others: what differs from row to row are quoted values and numbers."""
    return _VALUE.sub("?", problem)


class _Pass:
    """What the first pass has found so far."""

    def __init__(self, source: Source, *, skip_bad: bool, digests: bool) -> None:
        self._source = source
        self._skip_bad = skip_bad
        self._repeated = RepeatedIds(lambda: (custom_id for _, custom_id in _ids(source)))
        self._suspects: set[int] = set()
        """Hashes of ids. Two ids may share one: those that come again are looked at closely."""
        self._named: dict[int, tuple[Kind | None, int]] = {}
        """Of suspects: their kinds and places, to be taken back if a row turns out to be bad."""
        self._kinds = Counter[Kind | None]()
        self._count = 0
        self.problems = _Problems(source.unit, keeps_rows=skip_bad)
        self.content = Content(source) if digests else NoContent()
        self.is_whole = True
        self.is_numbered = source.is_counted

    def take(
        self,
        numbers: Sequence[int],
        ids: Sequence[str | None],
        kinds: Sequence[Kind | None],
        cells: Sequence[bytes | None],
    ) -> None:
        """Take in what was told of some rows."""
        source = self._source
        self._kinds.update(kinds)
        if not self.is_numbered:
            is_near = source.made_ids_begin in "".join(filter(None, ids))
            self.is_numbered = is_near and any(map(eq, ids, source.made_ids(numbers)))
        self.content.add(numbers, ids, cells)
        own = () if source.is_counted else [one for one in ids if one is not None]
        if own and (again := self._repeated.hashes(own)):
            self._suspects |= again
            if self._skip_bad:
                rows = enumerate(zip(numbers, ids, kinds, strict=True), self._count)
                self._named |= {
                    number: (kind, place)
                    for place, (number, one, kind) in rows
                    if kind is not None and hash(one) in again
                }
        self._count += len(ids)

    def take_errors(self, numbers: Sequence[int], errors: Sequence[LineError | None]) -> None:
        """Take in what is wrong with some rows."""
        for number, error in zip(numbers, errors, strict=True):
            if error is not None:
                self.is_whole &= not error.is_end
                self.problems.add(number, error.custom_id, error.problems)

    def look_closely(self) -> None:
        """Find the rows whose ids earlier ones have."""
        source = self._source
        for number, custom_id, first in _duplicates(source, self._suspects):
            problem = f"{source.id_name}: {escaped(custom_id, 80)!r} stands on {source.unit} {first} already"
            if number in self._named:
                kind, place = self._named[number]
                self._kinds[kind] -= 1
                self.content.void(place)
            self.problems.add(number, None, (problem,))

    @property
    def models(self) -> Counter[str | None]:
        """The good rows by their models."""
        counts = Counter[str | None]()
        for kind, count in self._kinds.items():
            if kind is not None:
                counts[kind[0]] += count
        return +counts

    @property
    def measured(self) -> dict[Kind, int]:
        """The good rows that were measured, by their kinds."""
        return {kind: count for kind, count in self._kinds.items() if kind is not None and kind[1] >= 0 < count}


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
        key = kind_of(problem)
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
