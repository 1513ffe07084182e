"""An input held against the rows that a batch was begun with."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyfast_async.batch import MismatchError, Survey, ids_of, open_batch, open_source, survey
from anyfast_async.batch.growth import Growth, grown

ROWS = [{"id": f"r{n}", "text": f"text, {n}", "lang": "en"} for n in range(6)]
Write = Callable[..., Path]


def as_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """With a comma in every text."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def as_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """With blank lines, which count as lines."""
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))


def as_gzip(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """JSON lines, packed."""
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def as_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Parquet."""
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


FORMATS = {"in.csv": as_csv, "in.jsonl": as_jsonl, "in.jsonl.gz": as_gzip, "in.parquet": as_parquet}


def found_in(folder: Path, name: str, rows: Sequence[dict[str, Any]], id_column: str | None = "id") -> Survey:
    """The survey of *rows* in a file of this name."""
    FORMATS[name](folder / name, rows)
    return survey(open_source(folder / name, template="{text} ({lang})", id_column=id_column))


def growth(before: Survey, now: Survey) -> Growth:
    """What became of the rows."""
    assert before.digests is not None
    found = grown(before.digests, now)
    assert found is not None
    return found


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("id_column", ["id", None])
def test_packed_otherwise(tmp_path: Path, name: str, id_column: str | None) -> None:
    """The same rows in a file of another format are the same input, with the same ids."""
    before = found_in(tmp_path, "in.csv", ROWS, id_column)
    ids = list(ids_of(before))

    found = growth(before, found_in(tmp_path, name, ROWS, id_column))

    assert (True, False) == (found.is_same, found.is_longer)
    assert ids == list(ids_of(found.survey))


@pytest.mark.parametrize("name", FORMATS)
def test_more_rows_by_place(tmp_path: Path, name: str) -> None:
    """Rows at the end are new and get ids that no other has; those before keep theirs, in a file of any format."""
    before = found_in(tmp_path, "in.csv", ROWS[:4], None)

    found = growth(before, found_in(tmp_path, name, ROWS, None))

    assert (True, [4, 5]) == (found.is_longer, list(found.added))
    assert [f"line-{n}" for n in range(2, 8)] == list(ids_of(found.survey))


@pytest.mark.parametrize("name", FORMATS)
def test_another_order(tmp_path: Path, name: str) -> None:
    """Rows with ids may stand in any order, new ones among them."""
    before = found_in(tmp_path, "in.csv", ROWS[:4])

    found = growth(before, found_in(tmp_path, name, ROWS[::-1]))

    assert (True, [0, 1]) == (found.is_longer, list(found.added))


def test_a_row_in_the_middle(tmp_path: Path) -> None:
    """Where ids are made of places, a row that was put in or taken out changes all that come after it."""
    before = found_in(tmp_path, "in.csv", ROWS[:4], None)

    more = growth(before, found_in(tmp_path, "in.csv", [ROWS[0], ROWS[5], *ROWS[1:4]], None))
    fewer = growth(before, found_in(tmp_path, "in.csv", ROWS[1:4], None))
    shorter = growth(before, found_in(tmp_path, "in.csv", ROWS[:3], None))

    assert "3 rows hold something else now: 'line-3' (text), 'line-4' (text), 'line-5' (text), 1 row is new" == (
        more.problem
    )
    assert (3, 1) == (fewer.changed_count, fewer.missing)
    assert "1 row is not there any more" == shorter.problem


def test_changed_rows_are_named(tmp_path: Path) -> None:
    """A known id whose content differs is named with the column; so many as fit on a line, and how many more."""
    before = found_in(tmp_path, "in.csv", ROWS)
    one = [ROWS[5], *ROWS[:2], ROWS[2] | {"lang": "de"}, *ROWS[3:5]]

    assert "1 row holds something else now: 'r2' (lang)" == growth(before, found_in(tmp_path, "in.csv", one)).problem
    all_of_them = [row | {"text": "no"} for row in ROWS]
    assert growth(before, found_in(tmp_path, "in.csv", all_of_them)).problem.endswith("'r2' (text) and 3 more")


def test_a_column_that_is_not_used(tmp_path: Path) -> None:
    """What no prompt is made of may change."""
    before = found_in(tmp_path, "in.csv", ROWS)

    assert growth(before, found_in(tmp_path, "in.csv", [row | {"seen": "now"} for row in ROWS])).is_same


def line(custom_id: str, text: str, **fields: Any) -> str:
    """A line in the OpenAI Batch format."""
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        (line("b", "other"), "messages"),
        (line("b", "B", model="m"), "model"),
        (line("b", "B", temperature=1), "other fields"),
    ],
)
def test_requests(tmp_path: Path, changed: str, part: str) -> None:
    """Of requests it is said which part of them has changed; how the JSON is written says nothing."""
    path = tmp_path / "in.jsonl"
    path.write_text(line("a", "A") + line("b", "B"))
    before = survey(open_source(path))
    path.write_text(line("a", "A").replace(": ", ":") + changed)

    assert f"1 row holds something else now: 'b' ({part})" == growth(before, survey(open_source(path))).problem


def test_rows_that_could_not_be_sent(tmp_path: Path) -> None:
    """A row that was left out and is mended has not changed: nothing was paid for it."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "text": "A"}\n{"id": "b", "txt": "B"}\nno\n{"id": "a", "text": "again"}\n')
    before = survey(open_source(path, template="{text}", id_column="id"), skip_bad=True)
    path.write_text('{"id": "b", "text": "B"}\n{"id": "a", "text": "A"}\n{"id": "c", "text": "C"}\n')

    found = growth(before, survey(open_source(path, template="{text}", id_column="id")))

    assert (True, [2], [0]) == (found.is_longer, list(found.added), list(found.mended))


def test_from_python(tmp_path: Path) -> None:
    """Files that are opened with an input take the same rows, and more of them if that is wanted, and no others."""
    answers, errors = tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    with open_batch(
        answers, errors, header={"model": "m"}, found=found_in(tmp_path, "in.csv", ROWS[:4], None)
    ) as files:
        assert files.survey is not None
    longer = found_in(tmp_path, "in.parquet", ROWS, None)

    with pytest.raises(MismatchError, match=r"other rows, and was not touched: 2 rows are new; extend=True takes them"):
        open_batch(answers, errors, header={"model": "m"}, found=longer)
    with open_batch(answers, errors, header={"model": "m"}, found=longer, extend=True) as files:
        assert files.survey is not None
        assert ["line-2", "line-7"] == [*ids_of(files.survey)][:: len(ROWS) - 1]
    with open_batch(answers, errors, header={"model": "m"}, found=longer) as files:
        assert files.survey is not None
    with pytest.raises(MismatchError, match="model"):
        open_batch(answers, errors, header={"model": "n"}, found=longer)
    with pytest.raises(MismatchError, match="'line-2' \\(text\\)"):
        open_batch(answers, errors, found=found_in(tmp_path, "in.csv", ROWS[::-1], None), extend=True)
