"""Reading a batch's input: a first pass that checks the whole file, a second that hands out its rows.

What is kept of the file in between is its ids, not its bodies.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final

import attrs

from anyfast_async.batch.lines import BatchLine, LineError, parse_line
from anyfast_async.errors import ConfigurationError, escaped

MAX_LINE: Final = 128 * 1024 * 1024
"""Longest line in bytes; the gateway takes no larger body."""
KEPT_PROBLEMS: Final = 1000
"""Problems that are named; of more, only their number is."""

_BOM: Final = b"\xef\xbb\xbf"


@attrs.frozen
class LineProblem:
    """One thing that is wrong with one line."""

    line: int
    """From 1."""
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


@attrs.frozen
class Survey:
    """What the first pass found."""

    path: Path
    ids: dict[str, int]
    """Each ``custom_id`` with the number of its line."""
    without_model: int
    """Rows that name no model."""
    problems: tuple[LineProblem, ...]
    """At most :data:`KEPT_PROBLEMS`."""
    problem_count: int
    stamp: tuple[int, int]
    """Size and time of change, by which the second pass knows that it reads the same file."""


def survey(path: Path) -> Survey:
    """Read the file at *path* and check every line; blank lines are passed over.

    Raises:
        OSError: it cannot be read.

    """
    ids: dict[str, int] = {}
    problems: list[LineProblem] = []
    count = without_model = 0

    def report(number: int, problem: str) -> None:
        nonlocal count
        count += 1
        if len(problems) < KEPT_PROBLEMS:
            problems.append(LineProblem(number, problem))

    stamp = _stamp(path)
    for number, data in _lines(path):
        custom_id: str | None
        if len(data) > MAX_LINE:
            report(number, f"is longer than {MAX_LINE} bytes")
            continue
        try:
            line = parse_line(number, data)
            custom_id = line.custom_id
            without_model += line.request.model is None
        except LineError as error:
            custom_id = error.custom_id
            for problem in error.problems:
                report(number, problem)
        if custom_id is not None:
            first = ids.setdefault(custom_id, number)
            if first != number:
                report(number, f"custom_id: {escaped(custom_id, 80)!r} stands on line {first} already")
    return Survey(path, ids, without_model, tuple(problems), count, stamp)


def rows(surveyed: Survey, *, skip: Container[str] = frozenset()) -> Iterator[BatchLine]:
    """Read the file again and yield its requests, without those whose ``custom_id`` is in *skip*.

    Raises:
        ConfigurationError: the file was changed since it was checked.
        OSError: it cannot be read.

    """
    for number, data in _lines(surveyed.path):
        try:
            line = parse_line(number, data)
        except LineError:
            raise _changed(surveyed.path) from None
        if surveyed.ids.get(line.custom_id) != number:
            raise _changed(surveyed.path)
        if line.custom_id not in skip:
            yield line
    if _stamp(surveyed.path) != surveyed.stamp:
        raise _changed(surveyed.path)


def _changed(path: Path) -> ConfigurationError:
    message = f"{path} was changed while the batch ran; start the batch again, what is written stays"
    return ConfigurationError(message)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank with its number; of a line that is too long, the first part."""
    with path.open("rb") as file:
        number = 0
        while data := file.readline(MAX_LINE + 1):
            number += 1
            while len(data) > MAX_LINE and not data.endswith(b"\n") and (rest := file.readline(MAX_LINE)):
                if rest.endswith(b"\n"):
                    break
            if number == 1:
                data = data.removeprefix(_BOM)
            if data.strip():
                yield number, data
