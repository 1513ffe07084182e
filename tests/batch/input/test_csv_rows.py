"""Rows of a CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from anyfast_async.batch.input.csv_rows import CsvTable, Line
from anyfast_async.batch.input.request_lines import LineError


def lines(text: bytes) -> Iterator[Line]:
    """The lines of *text* with their numbers."""
    return iter(enumerate(text.splitlines(keepends=True), 1))


def read(text: bytes, longest: int = 1000) -> list[tuple[int, Any]]:
    """Every record, errors as their text."""
    table = CsvTable(lines(text), longest)
    return [(number, str(row) if isinstance(row, LineError) else row) for number, row in table]


@pytest.mark.parametrize(("delimiter", "name"), [(b",", ","), (b";", ";"), (b"\t", "\t")])
def test_delimiters(delimiter: bytes, name: str) -> None:
    """Comma, semicolon and tab are told by the header."""
    text = b'id%btext\r\n1%b"a, b; c\td"\r\n' % (delimiter, delimiter)
    table = CsvTable(lines(text), 1000)

    assert (name, ["id", "text"]) == (table.delimiter, table.columns)
    assert [(2, {"id": "1", "text": "a, b; c\td"})] == list(table)


def test_numbers_are_those_of_lines() -> None:
    """A cell over several lines counts them all, blank lines inside of it are kept, those between rows passed over."""
    text = b'id,text\n1,"one\n\ntwo"\n\n2,"say ""hi"""\n'

    assert [(2, {"id": "1", "text": "one\n\ntwo"}), (6, {"id": "2", "text": 'say "hi"'})] == read(text)


def test_bad_rows() -> None:
    """A row of another length or not in UTF-8 is an error with its line; the others are read."""
    text = b"id,text\n1\n2,caf\xe9\n3,c,\n4,d\n"

    assert [
        (2, "has 1 cells, the header has 2"),
        (3, "is not UTF-8; if the file is from Windows, --encoding cp1252"),
        (4, "has 3 cells, the header has 2"),
        (5, {"id": "4", "text": "d"}),
    ] == read(text)


def test_an_unclosed_quote() -> None:
    """A quote that is never closed is an error on the line where it opens, and does not take in the rest of a file."""
    text = b'id,text\n1,a\n2,"b\n'
    (_, good), (number, problem) = read(text)
    assert ({"id": "1", "text": "a"}, 3) == (good, number)
    assert problem.startswith("is not CSV (")

    *_, (number, problem) = read(text + b"x" * 90 + b"\n" + b"y,z\n" * 1000, longest=100)
    assert (3, "is not CSV (field larger than field limit (100)); what comes after it was not read") == (
        number,
        problem,
    )


def test_a_line_that_cannot_be_read() -> None:
    """An error in place of a line ends the table with what it says."""
    table = CsvTable(iter([(1, b"a,b\n"), (2, b"1,2\n"), (3, LineError(("is too long",)))]), 100)

    assert [{"a": "1", "b": "2"}, "is too long; what comes after it was not read"] == [
        str(row) if isinstance(row, LineError) else row for _, row in table
    ]


@pytest.mark.parametrize("text", [b"", b"\nid,text\n"])
def test_no_header(text: bytes) -> None:
    """Without a header there is no table."""
    with pytest.raises(LineError, match="names of the columns"):
        CsvTable(lines(text), 100)


@pytest.mark.parametrize("text", [b"id,text\r1,a\r2,b\r", b"id,te\rxt\n1,a\n"])
def test_line_ends_of_an_old_mac(text: bytes) -> None:
    """Nobody sees a carriage return in the header; the error says that there is one, and what to do."""
    with pytest.raises(LineError, match="carriage return stands in it; save the file with lines that end in LF"):
        CsvTable(iter([(1, text)]), 100)


def test_a_carriage_return_in_quotes_is_text() -> None:
    """As it is in the rows."""
    table = CsvTable(iter([(1, b'id,"te\rxt"\n'), (2, b'1,"a\rb"\n')]), 100)

    assert [(2, {"id": "1", "te\rxt": "a\rb"})] == list(table)
