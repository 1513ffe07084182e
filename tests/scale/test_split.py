"""Inputs cut into pieces."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyfast_async.batch import LineError, Source, open_source
from anyfast_async.scale.split import UncutError, split

OFTEN = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


def records(source: Source) -> list[tuple[int, Any]]:
    return [(number, str(one) if isinstance(one, LineError) else one) for number, one in source.records()]


def cut(source: Source, folder: Path, pieces: int) -> list[Source]:
    for old in folder.glob("*"):
        old.unlink()
    folder.mkdir(exist_ok=True)
    return split(source, folder, pieces)


@OFTEN
@given(st.lists(CELLS, min_size=1, max_size=12), st.integers(1, 12))
def test_lines(tmp_path: Path, texts: list[str], pieces: int) -> None:
    """Each line is in one piece, with the number that it has in the whole; blank lines count, the last one as well."""
    path = tmp_path / "in.txt"
    path.write_text("\n".join(["x", *(text.replace("\n", " ") for text in texts)]), encoding="utf-8", newline="")
    source = open_source(path)
    found = cut(source, tmp_path / "pieces", pieces)
    assert [one for piece in found for one in records(piece)] == records(source)
    assert len(found) <= pieces + 1


@OFTEN
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20), st.integers(1, 12), st.sampled_from([",", ";", "\t"])
)
def test_csv(tmp_path: Path, rows: list[tuple[str, str]], pieces: int, delimiter: str) -> None:
    """A row of CSV is never cut, whatever stands in its cells; rows have the numbers of their lines in the whole."""
    path = tmp_path / "in.csv"
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([("text", "of two\nlines"), *rows])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    source = open_source(path, template="{text}")
    found = cut(source, tmp_path / "pieces", pieces)
    assert [one for piece in found for one in records(piece)] == records(source)


def test_pieces_are_of_one_size(tmp_path: Path) -> None:
    """Pieces are as many as asked for, and about as large as each other."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"messages": [], "n": n}) + "\n" for n in range(1000)))
    found = cut(open_source(path), tmp_path / "pieces", 8)
    sizes = [one.path.stat().st_size for one in found]
    assert len(found) == 8
    assert max(sizes) - min(sizes[:-1]) < 60


def test_packed_and_in_another_encoding(tmp_path: Path) -> None:
    """Pieces are plain UTF-8, whatever the input is."""
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress('text;id\r\nGrüße;1\r\n"a\nb";2\r\n'.encode("cp1252")))
    source = open_source(path, template="{text}", id_column="id", encoding="cp1252")
    found = cut(source, tmp_path / "pieces", 2)
    assert [one for piece in found for one in records(piece)] == records(source)
    assert "Grüße" in found[0].path.read_text(encoding="utf-8")


@pytest.mark.parametrize("group", [3, 1000])
def test_parquet(tmp_path: Path, group: int) -> None:
    """Rows of small groups and of one large group are cut alike; columns that nobody uses are left out."""
    table = pa.table({"text": [f"t{n}" for n in range(50)], "more": [b"x" * 100] * 50})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=group)
    source = open_source(tmp_path / "in.parquet", template="{text}")
    found = cut(source, tmp_path / "pieces", 4)
    assert [one for piece in found for one in records(piece)] == records(source)
    assert [pq.read_metadata(one.path).num_rows for one in found] == [13, 13, 13, 11]
    assert pq.read_schema(found[0].path).names == ["text"]


def test_what_cannot_be_read_to_its_end(tmp_path: Path) -> None:
    """A quote that is never closed, or a packed file that is cut off, is an error, not a shorter input."""
    broken = tmp_path / "in.csv"
    broken.write_text('text\na\n"b\n')
    with pytest.raises(UncutError):
        cut(open_source(broken, template="{text}"), tmp_path / "pieces", 2)
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"messages": []}\n' * 1000)[:-20])
    with pytest.raises(UncutError):
        cut(open_source(packed, kind="requests"), tmp_path / "pieces", 2)
