"""An input cut into pieces at borders of rows, without holding more of it than a block or a row."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import IO, Final, Self

import attrs

from anyfast_async.batch.input.csv_rows import CsvTable, Line
from anyfast_async.batch.input.packed_files import UNPACKING, is_packed, opened
from anyfast_async.batch.input.request_lines import LineError, SourceError
from anyfast_async.batch.input.source import Source, lines_of
from anyfast_async.scale.parquet_pieces import parquet_pieces

_BLOCK: Final = 1024 * 1024
_PACKED: Final = 4
"""By how much text is smaller packed, at a guess: the number of pieces is only about what was asked for then."""
_SUFFIX: Final = {"csv": ".csv", "text": ".txt", "parquet": ".parquet"}


class UncutError(SourceError):
    """An input that cannot be read to its end, so that it cannot be cut either; looking at its rows says why."""


def split(source: Source, folder: Path, pieces: int) -> list[Source]:
    """Write the rows of *source* into about *pieces* files of one size in *folder*; return them in order.

    Each row is in one piece, as it was, in UTF-8; lines keep their numbers. A row is never cut: not one of CSV with
    line ends in its cells either.

    Args:
        source: what to cut; it stays as it is.
        folder: for the pieces; it is there.
        pieces: how many, from 1. There are fewer if there are not so many rows.

    Raises:
        UncutError: the input cannot be read as what it is.
        OSError: it cannot be read, or a piece not be written.

    """
    suffix = _SUFFIX.get(source.format, ".jsonl")
    if source.format == "parquet":
        try:
            cut = parquet_pieces(source.path, folder, source.columns, pieces, suffix)
        except LineError as error:
            raise UncutError(str(error)) from None
        return [attrs.evolve(source, path=path, before=before) for path, before in cut]
    target = max(1, -(-_size_of(source.path) // pieces))
    try:
        cut = _csv_pieces(source, folder, target) if source.format == "csv" else _line_pieces(source, folder, target)
    except UNPACKING as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's
            raise
        raise UncutError(str(error)) from None
    return [attrs.evolve(source, path=path, before=before, encoding=None) for path, before in cut]


def piece_path(folder: Path, number: int, suffix: str) -> Path:
    """Return where a piece is written."""
    return folder / f"{number:05d}{suffix}"


def _size_of(path: Path) -> int:
    return path.stat().st_size * (_PACKED if is_packed(path) else 1)


class _Pieces:
    """Files that are filled one after another."""

    def __init__(self, folder: Path, suffix: str, target: int, head: bytes = b"") -> None:
        self.cut: list[tuple[Path, int]] = []
        self._folder, self._suffix, self._target, self._head = folder, suffix, target, head
        self._file: IO[bytes] | None = None
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def missing(self) -> int:
        """Bytes that the piece takes until it is as large as it should be."""
        return self._target - self._size if self._file is not None else self._target

    def write(self, data: bytes, before: int) -> None:
        """Write whole rows; *before* lines stand before them, to be counted if they are the first of a piece."""
        if self._file is None:
            path = piece_path(self._folder, len(self.cut), self._suffix)
            self._file = path.open("wb")
            self._file.write(self._head)
            self.cut.append((path, before))
            self._size = 0
        self._file.write(data)
        self._size += len(data)

    def end(self) -> None:
        """End the piece."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _line_pieces(source: Source, folder: Path, target: int) -> list[tuple[Path, int]]:
    before = source.before
    new = _Pieces(folder, _SUFFIX.get(source.format, ".jsonl"), target)
    with new as pieces, opened(source.path, source.encoding) as file:
        while block := file.read(min(_BLOCK, max(1, pieces.missing))):
            is_full = len(block) >= pieces.missing
            if is_full and not block.endswith(b"\n"):
                block += file.readline()
            pieces.write(block, before)
            before += block.count(b"\n")
            if is_full:
                pieces.end()
    return pieces.cut


def _csv_pieces(source: Source, folder: Path, target: int) -> list[tuple[Path, int]]:
    unwritten: list[bytes] = []
    lines = 0

    def told() -> Generator[Line, None, None]:
        nonlocal lines
        for number, data in lines_of(source.path, source.max_line, source.encoding):
            if isinstance(data, bytes):
                unwritten.append(data)
                lines = number
            yield number, data

    with closing(told()) as read:
        table = CsvTable(read, source.max_line, source.encoding)
        head = b"".join(unwritten)
        unwritten.clear()
        head_lines, before = lines, source.before
        with _Pieces(folder, ".csv", target, head) as pieces:
            for _, record in table:
                if isinstance(record, LineError) and record.is_end:
                    raise UncutError(str(record))
                data = b"".join(unwritten)
                unwritten.clear()
                pieces.write(data, before)
                before = source.before + lines - head_lines
                if pieces.missing <= 0:
                    pieces.end()
        return pieces.cut
