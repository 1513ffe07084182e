"""Rows of a CSV file, one dict each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, TypeAlias

from anyfast_async.batch.input.request_lines import LineError, not_in, unreadable

Line: TypeAlias = "tuple[int, bytes | LineError]"
Record: TypeAlias = "tuple[int, dict[str, Any] | LineError]"
"""The number of a line or row, and what stands there."""

_DELIMITERS: Final = ",;\t"
_OLD_MAC: Final = "a carriage return stands in it; save the file with lines that end in LF or CR LF"


class CsvTable:
    """The rows below a header. The delimiter is the one of comma, semicolon and tab that gives the most columns.

    Args:
        lines: of the file, blank ones included: they may stand inside of a cell.
        longest: cell in bytes; an unclosed quote would make one of the rest of the file.
        encoding: what the file was before it was made UTF-8; None: that.

    Raises:
        LineError: there is no header.

    """

    def __init__(self, lines: Iterator[Line], longest: int, encoding: str | None = None) -> None:
        self._encoding = encoding
        texts = (_text(data) for _, data in lines)
        first = next(texts, "")
        csv.field_size_limit(longest)
        self.delimiter: str = max(_DELIMITERS, key=lambda one: _width(first, one))
        self._reader = csv.reader(chain([first], texts), delimiter=self.delimiter, strict=True)
        try:
            self.columns: list[str] = next(self._reader)
        except csv.Error as error:
            what = _OLD_MAC if "\r" in first.rstrip("\r\n") else error
            raise LineError((f"is no header of a CSV file: {what}",)) from None
        if not _is_text(self.columns):
            raise LineError((not_in(encoding),))
        if not self.columns:
            raise LineError(("is blank; the names of the columns must stand there",))

    def __iter__(self) -> Iterator[Record]:
        while True:
            number = self._reader.line_num + 1
            try:
                row = next(self._reader, None)
            except csv.Error as error:
                yield number, unreadable(f"is not CSV ({error})")
                return
            except LineError as error:
                yield self._reader.line_num + 1, error if error.is_end else unreadable(str(error))
                return
            if row is None:
                return
            if row:
                yield number, self._record(row)

    def _record(self, row: list[str]) -> dict[str, Any] | LineError:
        if len(row) != len(self.columns):
            return LineError((f"has {len(row)} cells, the header has {len(self.columns)}",))
        if not _is_text(row):
            return LineError((not_in(self._encoding),))
        return dict(zip(self.columns, row, strict=True))


def _width(line: str, delimiter: str) -> int:
    """Return the number of cells, 0 if there are none."""
    try:
        return len(next(csv.reader([line], delimiter=delimiter), ()))
    except csv.Error:
        return 0


def _is_text(row: list[str]) -> bool:
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(data: bytes | LineError) -> str:
    """Return a line as text; bytes that are no UTF-8 become lone surrogates, which no file can hold otherwise."""
    if isinstance(data, LineError):
        raise data
    return data.decode("utf-8", "surrogateescape")
