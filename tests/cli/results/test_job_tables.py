"""What people do with tables: label every row with a class, put the labels beside their own columns, look at them.

The tables are made by the libraries that people have them from. With ``TABLES_ROWS`` they are long ones.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pq = pytest.importorskip("pyarrow.parquet")
ROWS = int(os.environ.get("TABLES_ROWS", "60"))
BAD = 50
"""One row in so many has nothing to be asked about."""

LABELS = """
import attrs
from typing import Literal

@attrs.frozen
class Label:
    mood: Literal["good", "bad"]
    score: int
"""


def texts() -> list[str | None]:
    """Reviews; some are missing."""
    return [None if n % BAD == 7 else f'Nr. {n}: "schön", aber; teuer\n= 3,50 €' for n in range(ROWS)]


def columns() -> dict[str, list[Any]]:
    """A table whose types are easily lost. Its ids look like numbers, and some of its columns are called like ours."""
    return {
        "review": [f"{n:05}" for n in range(ROWS)],
        "text": texts(),
        "outcome": [n if n % 3 else None for n in range(ROWS)],
        "price": [Decimal(n) / 100 for n in range(ROWS)],
        "day": [dt.date(1960, 1, 1) + dt.timedelta(days=n) for n in range(ROWS)],
        "at": [dt.datetime(1969, 12, 31, 23, 59, n % 60, tzinfo=dt.UTC) for n in range(ROWS)],
        "big": [2**63 - 1 - n for n in range(ROWS)],
    }


def pandas_parquet(path: Path) -> Path:
    """A frame with an index of its own, categories and whole numbers of which some are missing."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(columns(), index=pandas.RangeIndex(5, 5 + 3 * ROWS, 3, name="row"))
    frame["outcome"] = frame["outcome"].astype("Int64")
    frame["kind"] = pandas.Categorical(["a", "b", None] * ROWS)[:ROWS]
    frame.to_parquet(path / "in.parquet", row_group_size=17)
    return path / "in.parquet"


def polars_parquet(path: Path) -> Path:
    """Decimals, structs, lists and enumerations."""
    polars = pytest.importorskip("polars")
    more = {"meta": [{"a": [n, None], "b": None} if n % 4 else None for n in range(ROWS)], "most": [2**64 - 1] * ROWS}
    frame = polars.DataFrame(columns() | more, schema_overrides={"most": polars.UInt64, "price": polars.Decimal(38, 2)})
    frame = frame.with_columns(polars.lit("x").cast(polars.Categorical).alias("kind"))
    frame.write_parquet(path / "in.parquet", row_group_size=13)
    return path / "in.parquet"


QUERY = """
create table reviews as select printf('%05d', n) as review, case when n % ? <> 7 then 'Nr. ' || n end as text,
(n / 100)::decimal(9, 2) as price, date '1960-01-01' + n::int as day, {'a': [n]} as meta, (n % 200)::utinyint as s
from range(?) as numbers(n)
"""


def duckdb_parquet(path: Path) -> Path:
    """What a query gives."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as base:
        base.execute(QUERY, [BAD, ROWS])
        base.execute(f"copy reviews to '{path / 'in.parquet'}' (format parquet)")
    return path / "in.parquet"


def duckdb_csv(path: Path) -> Path:
    """The same as CSV."""
    duckdb = pytest.importorskip("duckdb")
    source = duckdb_parquet(path)
    with duckdb.connect() as base:
        base.execute(f"copy (from '{source}') to '{path / 'in.csv'}' (header)")
    return path / "in.csv"


def datasets_jsonl(path: Path) -> Path:
    """Lines of JSON of a data set."""
    datasets = pytest.importorskip("datasets")
    table = columns()
    kept = {name: table[name] for name in ("review", "text", "outcome", "big")}
    datasets.Dataset.from_dict(kept).to_json(path / "in.jsonl")
    return path / "in.jsonl"


def german_csv(path: Path, encoding: str) -> Path:
    """As Excel saves it on a German Windows: semicolons, decimal commas, CR LF, and its code page or UTF-16."""
    table = columns()
    with (path / "in.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["review", "text", "Preis in €", "Größe"])
        for one, text, price in zip(table["review"], table["text"], table["price"], strict=True):
            writer.writerow([one, text or "", f"{price:.2f}".replace(".", ","), "1.000,5"])
    return path / "in.csv"


PEOPLE: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "pandas": (pandas_parquet, ()),
    "polars": (polars_parquet, ()),
    "duckdb": (duckdb_parquet, ()),
    "duckdb csv": (duckdb_csv, ()),
    "datasets": (datasets_jsonl, ()),
    "excel cp1252": (lambda path: german_csv(path, "cp1252"), ("--encoding", "cp1252")),
    "excel utf-16": (lambda path: german_csv(path, "utf-16"), ("--encoding", "utf-16")),
    "excel utf-8": (lambda path: german_csv(path, "utf-8-sig"), ()),
}


def rows_in(path: Path, *, encoding: str = "utf-8-sig", delimiter: str = ",") -> list[dict[str, Any]]:
    """The rows of a table."""
    match path.suffix:
        case ".parquet":
            return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
        case ".csv":
            with path.open(encoding=encoding, newline="") as file:
                return list(csv.DictReader(file, delimiter=delimiter))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The class in a file of a person's own."""
    (tmp_path / "labels_of_a_person.py").write_text(LABELS)
    monkeypatch.syspath_prepend(tmp_path)
    return "labels_of_a_person:Label"


@pytest.mark.parametrize("person", PEOPLE)
def test_people(person: str, anyfast: Callable[..., Any], labels: str, tmp_path: Path) -> None:
    """Every row of the table comes back in its order, with its cells and types, and its label beside it."""
    make, said = PEOPLE[person]
    source, out = make(tmp_path), tmp_path / "out.jsonl"
    asked = ("--template", "Good or bad? {text}", "--id", "review", "--schema", labels, "--skip-bad", *said)

    ran = anyfast("batch", "-i", source, "-o", out, *asked, "--simulate", "-m", "gemini-2.5-flash", "--json")
    assert ran.code in (0, 1), ran.err

    is_excel = person.startswith("excel")
    encoding = said[1] if said else "utf-8-sig"
    before = rows_in(source, encoding=encoding, delimiter=";" if is_excel else ",")
    bad = [row["review"] for row in before if not row["text"]]
    assert len(bad) == sum(n % BAD == 7 for n in range(len(before)))
    for end in {source.suffix, ".parquet", ".jsonl"}:
        target = tmp_path / f"labelled{end}"
        joined = anyfast("results", out, "--join", source, "-o", target)
        assert 0 == joined.code, joined.err
        after = rows_in(target)
        assert [row["review"] for row in before] == [row["review"] for row in after]
        assert bad == [row["review"] for row in after if row["error_kind"]]
        labelled = [row for row in after if not row["error_kind"]]
        assert {"good", "bad"} >= {row["mood"] for row in labelled}
        assert {str if end == ".csv" else int} == {type(row["score"]) for row in labelled}
        if end == source.suffix:
            assert before == [{name: row.get(name) for name in before[0]} for row in after]
        if end == source.suffix == ".parquet":
            own, with_labels = pq.read_table(source), pq.read_table(target)
            assert own.schema.remove_metadata().equals(with_labels.select(own.column_names).schema.remove_metadata())
            assert own.equals(with_labels.select(own.column_names))


def answer_of(kind: str, custom_id: str, text: str) -> dict[str, Any]:
    """A line of the output of another batch."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    body["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    line = {"id": "b", "custom_id": custom_id, "response": {"status_code": 200, "request_id": "r", "body": body}}
    match kind:
        case "azure":
            choice["content_filter_results"] = {"hate": {"filtered": False, "severity": "safe"}}
            choice["logprobs"] = None
            body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_result": {}}]
            return {"custom_id": custom_id, "response": line["response"], "error": None}
        case "vllm":
            choice["message"] |= {"refusal": None, "tool_calls": [], "reasoning": None}
            choice |= {"stop_reason": None, "token_ids": None}
            return line | {"error": None}
        case "sglang":
            return line | {"response": {"status_code": 200, "body": body | {"choices": choice}}}
        case "gemini":
            candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}
            used = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
            return {"key": custom_id, "response": {"candidates": [candidate], "usageMetadata": used}}
    return line | {"error": None}


@pytest.mark.parametrize("end", [".parquet", ".jsonl", ".csv.gz"])
@pytest.mark.parametrize("kind", ["openai", "azure", "vllm", "sglang", "gemini"])
def test_other_batches(kind: str, end: str, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """The output of another batch is put beside its input, whichever order it came in; what is missing says so."""
    message = {"role": "user", "content": "Good or bad?"}
    source, out, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / f"t{end}"
    ids = [f"{n:03}" for n in range(30)]
    body = {"model": "m", "messages": [message], "metadata": {"n": 10**20}}
    asked = [{"custom_id": one, "method": "POST", "url": "/v1/chat/completions", "body": body} for one in ids]
    source.write_text("".join(json.dumps(one) + "\n" for one in asked))
    answers = [answer_of(kind, one, json.dumps({"score": int(one), "why": "é"})) for one in reversed(ids[1:])]
    out.write_text("".join(json.dumps(one) + "\n" for one in answers))

    ran = anyfast("results", out, "--join", source, "-o", target)

    assert 0 == ran.code, ran.err
    if end == ".csv.gz":
        with gzip.open(target, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = rows_in(target)
    assert ids == [row["custom_id"] for row in rows]
    assert ["missing", *["ok"] * 29] == [row["outcome"] for row in rows]
    assert [("1", "é", "3", "2"), ("29", "é", "3", "2")] == [
        tuple(str(rows[n][name]) for name in ("score", "why", "prompt_tokens", "completion_tokens")) for n in (1, 29)
    ]
    body_cell = rows[3]["body"]
    assert body == (json.loads(body_cell) if isinstance(body_cell, str) else body_cell)


def test_ids_that_come_twice(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """Rows of the table with one id have one answer; a table without rows stays one, and so do its types."""
    pa = pytest.importorskip("pyarrow")
    (tmp_path / "out.jsonl").write_text(
        "".join(json.dumps(answer_of("openai", one, "Hi")) + "\n" for one in ("1", "2"))
    )
    for ids in ([2, 1, 2, None, 3], []):
        table = pa.table({"id": pa.array(ids, pa.uint64()), "text": pa.array(["x"] * len(ids), pa.large_string())})
        pq.write_table(table, tmp_path / "in.parquet")
        target = tmp_path / "t.parquet"

        ran = anyfast("results", tmp_path / "out.jsonl", "--join", tmp_path / "in.parquet", "-o", target)

        assert 0 == ran.code, ran.err
        after = pq.read_table(target)
        assert table.equals(after.select(["id", "text"]))
        outcomes = ["ok", "ok", "ok", "missing", "missing"][: len(ids)]
        assert outcomes == after["outcome"].to_pylist()
        assert ["Hi", "Hi", "Hi", None, None][: len(ids)] == after["answer.text"].to_pylist()
