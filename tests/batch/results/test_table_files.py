"""Tables of results as files."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch.results.table import Kind
from anyfast_async.batch.results.table_files import write_table

HOSTILE = ['=HYPERLINK("http://x","y")', "+1", "-1+1|cmd", "@SUM(1)", "\t=1", "\r=1", "\x1b]0;t\x07", "\u202egnp.exe"]
KINDS: dict[str, Kind] = {
    "custom_id": "text",
    "=field": "text",
    "n": "integer",
    "x": "number",
    "ok": "boolean",
    "j": "json",
}


def rows() -> list[dict[str, Any]]:
    """Everything that can go into a cell."""
    good: dict[str, Any] = {"custom_id": "a", "=field": 'ünï\n"q",', "n": -5, "x": -0.5, "ok": True, "j": {"k": ["=1"]}}
    hostile = [good | {"custom_id": text, "=field": text} for text in HOSTILE]
    return [good, dict.fromkeys(KINDS), *hostile]


def test_csv(tmp_path: Path) -> None:
    """In CSV no cell of text begins like a formula, names of columns included, and none holds a control character."""
    path = tmp_path / "t.csv"

    assert len(rows()) == write_table(path, KINDS, iter(rows()))

    with path.open(encoding="utf-8", newline="") as file:
        head, good, empty, *hostile = csv.reader(file)
    assert ["custom_id", "'=field", "n", "x", "ok", "j"] == head
    assert ["a", 'ünï\n"q",', "-5", "-0.5", "true", '{"k":["=1"]}'] == good
    assert [""] * 6 == empty
    assert ["'", "'", "'", "'", "'", "'", "\\", "\\"] == [row[0][0] for row in hostile]
    assert all(char.isprintable() or char in "\n\t" for char in path.read_text(encoding="utf-8"))


def test_own_cells(tmp_path: Path) -> None:
    """Cells that were in a table before stay as they are, and each in its row, whatever ends lines elsewhere."""
    path, cells = tmp_path / "t.csv", ["=1", "a\rb", "\r", "a\r", "a\r\nb", "\n", "", '"', " "]

    write_table(path, {"a\rb": "text", "n": "integer"}, ({"a\rb": one, "n": 1} for one in cells), own={"a\rb"})

    with path.open(encoding="utf-8", newline="") as file:
        assert [["a\rb", "n"], *([one, "1"] for one in cells)] == [*csv.reader(file)]
    assert path.read_bytes().startswith(b'"a\rb",n\n=1,1\n')


def test_jsonl(tmp_path: Path) -> None:
    """JSON lines keep every value as it is, and are inert when shown on a terminal."""
    path = tmp_path / "t.jsonl"

    write_table(path, KINDS, iter(rows()))

    text = path.read_text(encoding="utf-8")
    assert rows() == [json.loads(line) for line in text.splitlines()]
    assert all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="extra [parquet]")
def test_parquet(tmp_path: Path) -> None:
    """Parquet has typed columns and every value as it is; objects are JSON."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    path = tmp_path / "t.parquet"

    write_table(path, KINDS, iter(rows() * 500))

    table = pq.read_table(path)
    assert ["string", "string", "int64", "double", "bool", "string"] == [str(field.type) for field in table.schema]
    assert [row | {"j": None if row["j"] is None else '{"k":["=1"]}'} for row in rows()] == table.to_pylist()[:10]
    assert 5000 == table.num_rows


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_whole_or_not_at_all(name: str, tmp_path: Path) -> None:
    """If the rows break off, a table that was there stays, and nothing else is left behind."""
    path = tmp_path / name
    path.write_text("before")

    def broken() -> Any:
        yield rows()[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_table(path, KINDS, broken())

    assert ("before", [name]) == (path.read_text(), [one.name for one in tmp_path.iterdir()])
