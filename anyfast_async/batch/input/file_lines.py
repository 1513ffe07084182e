"""The lines of a file, packed or not, one by one or many at a time."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, TypeAlias

from anyfast_async.batch.input.csv_rows import Line
from anyfast_async.batch.input.packed_files import UNPACKING, is_packed, opened
from anyfast_async.batch.input.request_lines import LineError, unreadable

Piece: TypeAlias = "tuple[Sequence[int], Sequence[bytes | LineError]]"
"""Some lines: their numbers, and what stands there."""

BOM: Final = b"\xef\xbb\xbf"
_PIECE: Final = 1 << 18
"""Bytes that are read at a time."""


def lines_of(path: Path, longest: int, encoding: str | None = None) -> Iterator[Line]:
    """Yield every line of a file, packed or not, in UTF-8, with its number; of those that are too long an error."""
    number = 0
    try:
        with opened(path, encoding) as file:
            while line := _next_line(file, longest):
                number += 1
                yield number, line.removeprefix(BOM) if number == 1 and isinstance(line, bytes) else line
    except UNPACKING as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's
            raise
        problem = f"is not {encoding}" if isinstance(error, UnicodeError) else "cannot be unpacked"
        yield number + 1, unreadable(f"{problem} ({error})")


def pieces_of(path: Path, longest: int, encoding: str | None = None) -> Iterator[Piece]:
    """Yield what :func:`lines_of` yields, about a quarter of a megabyte at a time: the numbers, and the lines."""
    if encoding is not None or is_packed(path):
        yield from _gathered(lines_of(path, longest, encoding))
        return
    number = 1
    with path.open("rb") as file:
        while True:
            block = file.read(_PIECE)
            end = block.rfind(b"\n") + 1
            file.seek(end - len(block), os.SEEK_CUR)
            lines: list[bytes | LineError] = [*io.BytesIO(block[:end])] if end else [_next_line(file, longest)]
            if not lines[0]:
                return
            if longest < _PIECE:
                lines = [
                    line if isinstance(line, LineError) or len(line) <= longest else _long(longest) for line in lines
                ]
            if number == 1 and isinstance(lines[0], bytes):
                lines[0] = lines[0].removeprefix(BOM)
            yield range(number, number + len(lines)), lines
            number += len(lines)


def _gathered(given: Iterator[Line]) -> Iterator[Piece]:
    numbers: list[int] = []
    lines: list[bytes | LineError] = []
    size = 0
    for number, line in given:
        numbers.append(number)
        lines.append(line)
        size += 0 if isinstance(line, LineError) else len(line)
        if size >= _PIECE:
            yield numbers, lines
            numbers, lines, size = [], [], 0
    if lines:
        yield numbers, lines


def _next_line(file: IO[bytes], longest: int) -> bytes | LineError:
    """Return the next line; nothing at the end of the file."""
    data = file.readline(longest + 1)
    if len(data) <= longest:
        return data
    while not data.endswith(b"\n") and (data := file.readline(longest)):
        pass
    return _long(longest)


def _long(longest: int) -> LineError:
    return LineError((f"is longer than {longest} bytes",))
