"""The two passes over an input: the first checks the whole of it, the second hands out its rows.

What is kept in between is counts, not rows and not ids.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from anyfast_async._core.index import Seen
from anyfast_async.batch.lines import BatchLine, LineError
from anyfast_async.batch.source import Source
from anyfast_async.errors import ConfigurationError, escaped

KEPT_PROBLEMS: Final = 1000
"""Problems that are named; of more, only their number is."""

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

    def moved(self, path: Path) -> Survey:
        """Return the same for the file in a new place."""
        return attrs.evolve(self, source=attrs.evolve(self.source, path=path))


def survey(source: Source) -> Survey:
    """Read the whole of *source* and check every row.

    Raises:
        ConfigurationError: the file was changed meanwhile.
        OSError: it cannot be read.

    """
    stamp, sha256 = stamp_of(source.path), fingerprint(source.path)
    seen = Seen()
    suspects: set[int] = set()  # two ids may share a hash: those that come again are looked at closely
    models: Counter[str | None] = Counter()
    problems: list[LineProblem] = []
    count = 0

    def report(number: int, problem: str) -> None:
        nonlocal count
        count += 1
        if len(problems) < KEPT_PROBLEMS:
            problems.append(LineProblem(number, problem, source.unit))

    for number, record in source.records():
        try:
            line = _line(source, number, record)
            custom_id: str | None = line.custom_id
            models[line.request.model] += 1
        except LineError as error:
            custom_id = error.custom_id
            for problem in error.problems:
                report(number, problem)
        if custom_id is not None and seen.count(hash(custom_id)) > 1:
            suspects.add(hash(custom_id))
    for number, custom_id, first in _duplicates(source, suspects):
        report(number, f"custom_id: {escaped(custom_id, 80)!r} stands on {source.unit} {first} already")
    if stamp_of(source.path) != stamp:
        raise _changed(source)
    problems.sort(key=lambda one: one.line)
    return Survey(source, sum(models.values()), models, tuple(problems), count, sha256, stamp)


def rows(
    surveyed: Survey, *, skip: Container[str] = frozenset(), only: Container[int] | None = None
) -> Iterator[BatchLine]:
    """Read the file again and yield its requests, without those whose ``custom_id`` is in *skip*.

    Args:
        surveyed: the first pass.
        skip: ids of rows to leave out.
        only: of the others, the places (from 0) of those to yield; None yields all.

    Raises:
        ConfigurationError: the file was changed since it was checked.
        OSError: it cannot be read.

    """
    source, place = surveyed.source, -1
    # A change right after the last one, of a byte into another, need not show in the stamp.
    if fingerprint(source.path) != surveyed.sha256:
        raise _changed(source)
    for number, record in source.records():
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
    """Read the file again and yield the ids of its rows.

    Raises:
        ConfigurationError: the file was changed since it was checked.
        OSError: it cannot be read.

    """
    for _, custom_id in _ids(surveyed.source):
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
