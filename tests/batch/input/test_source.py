"""What a batch reads: six formats, and what goes wrong before the first row."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyfast_async.batch.input.request_lines import LineError, SourceError
from anyfast_async.batch.input.source import Source, lines_of, open_source


def prompts(source: Source) -> list[tuple[str, str]]:
    """The ids and prompts of a source."""
    found = []
    for number, record in source.records():
        assert not isinstance(record, LineError), record
        line = source.line(number, record)
        assert source.id_of(number, record) == line.custom_id
        (message,) = line.request.messages
        content = message["content"] if isinstance(message, dict) else message.content  # type: ignore[union-attr]
        found.append((line.custom_id, str(content)))
    return found


REQUESTS = [{"messages": [{"role": "user", "content": "good"}]}, {"id": 7, "messages": "so, so"}]
CASES: list[tuple[str, Any, dict[str, Any], list[tuple[str, str]]]] = [
    ("in.txt", "good\n\nso, so", {}, [("line-1", "good"), ("line-3", "so, so")]),
    ("in.txt", "good\n", {"template": "Label: {text}"}, [("line-1", "Label: good")]),
    ("in", "\ufeffgood\r\n", {}, [("line-1", "good")]),
    ("in.jsonl", "\n".join(map(json.dumps, REQUESTS)), {}, [("line-1", "good"), ("7", "so, so")]),
    ("in.csv", 'id,text\na,good\nb,"so, so"\n', {"template": "{text}"}, [("line-2", "good"), ("line-3", "so, so")]),
    ("in.csv", "id,text\na,good\n", {"template": "{text}", "id_column": "id"}, [("a", "good")]),
    ("in.jsonl", '{"n": 1, "text": "good"}\n', {"template": "{text}", "id_column": "n"}, [("1", "good")]),
    ("in.jsonl", '{"n": 1, "text": "good"}\n', {"template": "{text} {n}"}, [("line-1", "good 1")]),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "text", "options", "expected"), CASES)
def test_formats(
    tmp_path: Path, *, name: str, text: str, options: dict[str, Any], expected: list[tuple[str, str]], packed: bool
) -> None:
    """Each format gives its prompts, with the ids that are given or the numbers of the lines, packed or not."""
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    assert expected == prompts(open_source(path, **options))


def test_parquet(tmp_path: Path) -> None:
    """Parquet is a table too; its rows are numbered."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"key": [5, 6], "text": ["good", "bad"]}), path)

    assert [("row-1", "good"), ("row-2", "bad")] == prompts(open_source(path, template="{text}"))
    assert [("5", "good 5"), ("6", "bad 6")] == prompts(open_source(path, template="{text} {key}", id_column="key"))


def test_the_batch_format(tmp_path: Path, make_line: Callable[..., bytes]) -> None:
    """Lines in the OpenAI Batch format have ids of their own."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(make_line("a") + make_line("b"))

    assert [("a", "Hi"), ("b", "Hi")] == prompts(open_source(path))


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("in.csv", "id,text\n", {}, "a template must say.*its columns: id, text"),
        (
            "in.csv",
            "id,text\n",
            {"template": "{txt}"},
            "no column 'txt'; did you mean 'text'. The columns are: id, text",
        ),
        ("in.csv", "id,text\n", {"template": "{text}", "id_column": "x"}, "no column 'x'. The columns are: id, text"),
        ("in.csv", "text,text\n", {"template": "{text}"}, "column 'text' is there 2 times"),
        ("in.csv", "", {"template": "{text}"}, "names of the columns must stand there"),
        ("in.txt", "a\n", {"template": "{line}"}, "no column 'line'. The columns are: text"),
        ("in.txt", "a\n", {"id_column": "x"}, "no column 'x'"),
        ("in.jsonl", '{"messages": []}\n', {"id_column": "x"}, "one request body per line; templates and id"),
        ("in.txt", "a\n", {"kind": "batch", "template": "{text}"}, "OpenAI Batch lines; templates and id columns"),
        ("in.jsonl", "{}\n", {"kind": "rows"}, "a template must say"),
        ("in.parquet", "x", {"template": "{text}"}, "Arrow cannot read it"),
        ("in.csv", "a\n", {"template": "{"}, "no partner"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, name: str, text: str, options: dict[str, Any], words: str) -> None:
    """What does not go together is refused before a row is read, and a missing column with those that are there."""
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(SourceError, match=words):
        open_source(path, **options)


@pytest.mark.parametrize(
    ("record", "problems"),
    [
        ({"n": "1"}, ["has no text; it has n"]),
        ({"n": "1", "text": ""}, ["text: nothing stands there"]),
        ({"n": "", "text": "a"}, ["n: must be a non-empty string or a whole number, not str of 0 characters"]),
        ({"text": "a"}, ["n: is missing"]),
        ({"n": "1", "text": b"a"}, ["text: holds bytes, not text"]),
    ],
)
def test_rows_that_make_no_request(record: dict[str, Any], problems: list[str]) -> None:
    """A row that makes no prompt, or has no id, says why."""
    source = Source(Path("in.jsonl"), "rows", id_column="n")

    with pytest.raises(LineError) as caught:
        source.line(1, record)

    assert problems == list(caught.value.problems)


def test_a_line_without_end(tmp_path: Path) -> None:
    """A line that is too long is an error and is not held in memory; the lines after it are read."""
    path = tmp_path / "in"
    path.write_bytes(b"a\n" + b"x" * 31 + b"\n" + b"y" * 130 + b"\n" + b"b\n" + b"z" * 70)

    found = [(number, str(data)) for number, data in lines_of(path, 30)]

    too_long = "is longer than 30 bytes"
    assert [(1, "b'a\\n'"), (2, too_long), (3, too_long), (4, "b'b\\n'"), (5, too_long)] == found


def test_a_packed_file_that_is_cut(tmp_path: Path) -> None:
    """A packed file that ends early or is damaged is an error after the last line that could be read."""
    path = tmp_path / "in.gz"
    whole = gzip.compress(b"".join(b"%d\n" % n for n in range(9000)), mtime=0)

    for data in (whole[:-9], whole[: len(whole) // 2], whole[:500] + b"\xff" * 40 + whole[540:]):
        path.write_bytes(data)
        *_, (_, last) = lines_of(path, 100)
        assert "cannot be unpacked" in str(last)
