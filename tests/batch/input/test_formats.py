"""Telling the format of an input."""

from __future__ import annotations

import pytest

from anyfast_async.batch.input.formats import DESCRIBED, FORMATS, detect
from anyfast_async.batch.input.request_lines import SourceError


@pytest.mark.parametrize(
    ("name", "first", "template", "found"),
    [
        ("a.csv", b"id,text\n", True, "csv"),
        ("a.TSV.gz", b"id\ttext\n", True, "csv"),
        ("a.parquet", b"PAR1", True, "parquet"),
        ("a", b"PAR1\x15", False, "parquet"),
        ("a.txt", b'{"messages": []}\n', False, "text"),
        ("a.jsonl", b'{"custom_id": "a", "body": {}}\n', False, "batch"),
        ("a.jsonl.gz", b'{"messages": []}\n', False, "requests"),
        ("a.json", b"broken\n", False, "batch"),
        ("a.jsonl", b'{"text": "a"}\n', True, "rows"),
        ("a", b'{"messages": []}\n', False, "requests"),
        ("a.jsonl", b'{"key": "a", "request": {"contents": []}}\n', False, "gemini"),
        ("a.jsonl", b'{"contents": []}\n', False, "gemini"),
        ("a.jsonl", b'{"key": "a", "request": {"contents": []}}\n', True, "rows"),
        ("a", b'{"broken\n', False, "batch"),
        ("", b"Why is the sky blue?\n", False, "text"),
        ("a.md", b"Why?\n", False, "text"),
        ("", b"", False, "text"),
    ],
)
def test_detection(name: str, first: bytes, template: bool, found: str) -> None:
    """The suffix tells, else the first line; a broken JSON line never becomes a prompt."""
    assert found == detect(name, first, template=template)


@pytest.mark.parametrize(
    ("name", "first", "words"),
    [
        ("a.csv", b"\xff\xfei\0d\0", "UTF-16"),
        ("a.json", b' [{"messages": []}]', "JSON list"),
        ("a.xlsx", b"PK\x03\x04\0\0", "workbook"),
        ("a.bin", b"\x7fELF\0\0", "not text"),
    ],
)
def test_what_cannot_be_read(name: str, first: bytes, words: str) -> None:
    """What is none of the formats is refused with what to do."""
    with pytest.raises(SourceError, match=words):
        detect(name, first, template=False)


def test_every_format_is_described() -> None:
    """What is said of a detected format exists for each."""
    assert set(FORMATS) == set(DESCRIBED)


def test_rows_that_need_a_template() -> None:
    """JSON objects that are neither lines nor requests are taken for the rows of a table, and the option is named."""
    with pytest.raises(SourceError, match=r"row: --template '\{text\}'; its columns: review, text$"):
        detect("in.jsonl", b'{"review": 7, "text": "Fine."}', template=False)
    assert "rows" == detect("in.jsonl", b'{"review": 7, "text": "Fine."}', template=True)


@pytest.mark.parametrize(
    ("first", "example"),
    [
        (b'{"id": "a-1", "title": "b", "Prompt": "c"}', "Prompt"),
        (b'{"id": "a-1", "notes": "the longest of them", "n": 1}', "notes"),
        (b'{"n": 1, "m": 2}', "n"),
    ],
)
def test_the_column_that_is_named(first: bytes, example: str) -> None:
    """The example names a column that is likely the text: by its name, else by what stands in it."""
    with pytest.raises(SourceError, match=rf"--template '\{{{example}\}}'; its columns: "):
        detect("in.jsonl", first, template=False)
