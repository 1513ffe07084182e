"""``anyfast results --join``: answers beside the input's own columns."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


def line(custom_id: str, *texts: str, **message: Any) -> str:
    """An answer with one choice for each text."""
    choices = [
        {"index": n, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
        for n, text in enumerate(texts)
    ]
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    body = {"id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}
    return json.dumps({"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Answers to rows 17 and 7 in another order, one failure, and none to row 5."""
    path = tmp_path / "out.jsonl"
    answers = [line("7", '{"label": "good", "n": 123456789012345678901234567890}'), line("17", '{"label": "bad"}')]
    path.write_text("\n".join(answers) + "\n")
    failed = {"custom_id": "3", "response": {"status_code": 503, "body": None}, "error": "busy"}
    (tmp_path / "out.errors.jsonl").write_text(json.dumps(failed) + "\n")
    return path


IDS = [17, 3, 5, 7]


def joined(anyfast: Callable[..., Any], out: Path, source: Path, target: Path, *more: object) -> Path:
    """The table that is made."""
    ran = anyfast("results", out, "--join", source, "-o", target, *more)
    assert (0, f"{target}: 4 rows") == (ran.code, ran.err.splitlines()[-1].partition(",")[0]), ran.err
    return target


def test_csv_stays_as_it_is(anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """A CSV file keeps its cells as they are, ids with zeros and what looks like a formula included, in its order."""
    (tmp_path / "in.csv").write_text("id,note,outcome\n17,=1+1,a\n3,007,b\n5,-2.50,c\n7,é,d\n", encoding="utf-8")

    table = joined(anyfast, out, tmp_path / "in.csv", tmp_path / "t.csv")

    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["id", "note", "outcome", "label", "n", "answer.outcome"] == list(rows[0])[:6]
    assert [("17", "=1+1", "a"), ("3", "007", "b"), ("5", "-2.50", "c"), ("7", "é", "d")] == [
        (row["id"], row["note"], row["outcome"]) for row in rows
    ]
    assert ["ok", "failed", "missing", "ok"] == [row["answer.outcome"] for row in rows]
    assert ["bad", "", "", "good"] == [row["label"] for row in rows]
    assert ["", "server", "missing", ""] == [row["error_kind"] for row in rows]


def test_parquet_keeps_its_types(anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """Every column of a Parquet file stays as it is, decimals, dates, structs and dictionaries included."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {
        "id": pa.array(IDS, pa.int16()),
        "price": pa.array([Decimal("1.50"), None, Decimal("-0.01"), Decimal("9.99")], pa.decimal128(9, 2)),
        "day": pa.array([dt.date(2026, 1, 2)] * 4),
        "at": pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)] * 4, pa.timestamp("us", "UTC")),
        "meta": pa.array([{"a": [1, None]}, None, {"a": []}, {"a": None}]),
        "kind": pa.array(["x", "y", "x", None]).dictionary_encode(),
    }
    before = pa.table(columns)
    pq.write_table(before, tmp_path / "in.parquet", row_group_size=3)

    after = pq.read_table(joined(anyfast, out, tmp_path / "in.parquet", tmp_path / "t.parquet"))

    assert before.equals(after.select(before.column_names))
    assert ["bad", None, None, "good"] == after["label"].to_pylist()
    assert "custom_id" not in after.column_names
    lines = joined(anyfast, out, tmp_path / "in.parquet", tmp_path / "t.jsonl").read_text().splitlines()
    rows = [json.loads(one) for one in lines]
    assert [17, "1.50", "2026-01-02", {"a": [1, None]}] == [rows[0][name] for name in ("id", "price", "day", "meta")]


def test_lines_of_json(anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """Lines of JSON keep their values, integers of any size and nested ones; in Parquet these are JSON."""
    rows: list[dict[str, Any]] = [{"id": one, "big": 10**30 + one, "meta": {"a": [one]}} for one in IDS]
    rows[1]["late"] = True
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    table = joined(anyfast, out, tmp_path / "in.jsonl", tmp_path / "t.jsonl")

    after = [json.loads(one) for one in table.read_text().splitlines()]
    assert rows == [{name: row[name] for name in row if name in ("id", "big", "meta", "late")} for row in after]
    assert 123456789012345678901234567890 == after[3]["n"]
    pq = pytest.importorskip("pyarrow.parquet")
    stored = pq.read_table(joined(anyfast, out, tmp_path / "in.jsonl", tmp_path / "t.parquet")).to_pylist()
    assert [(row["id"], str(row["big"]), row.get("late")) for row in rows] == [
        (row["id"], row["big"], row["late"]) for row in stored
    ]
    assert ('{"a":[17]}', None) == (stored[0]["meta"], stored[1]["n"])
    assert "123456789012345678901234567890" == stored[3]["n"]


def test_everything_that_answers_hold(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """Second choices, tool calls, refusals, cached and reasoning tokens and the cost are columns."""
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    lines = [line("1", "a", "b", "c"), line("2", "", tool_calls=[call]), line("3", "", refusal="no")]
    (tmp_path / "out.jsonl").write_text("\n".join(lines))
    (tmp_path / "in.csv").write_text("id\n1\n2\n3\n4\n")
    (tmp_path / "p.toml").write_text('currency = "USD"\n[models.m]\nprompt = 1000000\ncompletion = 2000000\n')

    table = joined(
        anyfast, tmp_path / "out.jsonl", tmp_path / "in.csv", tmp_path / "t.jsonl", "--prices", tmp_path / "p.toml"
    )

    first, second, third, fourth = (json.loads(one) for one in table.read_text().splitlines())
    assert ("a", "b", "c") == tuple(first[name] for name in ("text", "choice_2", "choice_3"))
    assert (3, 2, 17.0) == tuple(first[name] for name in ("cached_tokens", "reasoning_tokens", "cost"))
    assert [call] == second["tool_calls"]
    assert ("refused", "no") == (third["outcome"], third["refusal"])
    assert ("missing", None, None) == tuple(fourth[name] for name in ("outcome", "cost", "choice_2"))


def test_what_it_was_begun_with(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A batch's own log says where the ids are; rows that were left out, or cannot be read, stand in their place."""
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("review,text\n17,Fine.\n3,\n5,a,b\n7,Bad.\n")
    asked = ("--template", "Good? {text}", "--id", "review", "--skip-bad", "--simulate", "-m", "gemini-2.5-flash")
    anyfast("batch", "-i", source, "-o", out, *asked)

    table = joined(anyfast, out, source, tmp_path / "t.jsonl", "--input", source)

    rows = [json.loads(one) for one in table.read_text().splitlines()]
    assert ["17", "3", None, "7"] == [row.get("review") for row in rows]
    assert ["ok", "failed", "failed", "ok"] == [row["outcome"] for row in rows]
    assert "3 cells" in rows[2]["error"]


def repeat(gateway: Simulator, *prompts: str) -> None:
    """Answer these prompts by repeating them."""
    for prompt in prompts:
        gateway.reply(f"re: {prompt}", when=re.compile(rf"\A{prompt}\Z"))


def begun(anyfast: Callable[..., Any], source: Path, text: str, *how: str) -> Path:
    """The output of a batch of that input."""
    source.write_text(text, encoding="cp1252")
    out = source.with_name("out.jsonl")
    assert 0 == anyfast("batch", "-i", source, "-o", out, *how).code
    return out


OTHERWISE = {
    "in.csv": "text\na\nb\nc\n",
    "some.csv": "text\na\nb\n",
    "more.csv": "text\na\nb\nc\nd\n",
    "in.jsonl": '{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n',
    "in.txt": "a\nb\nc\n",
    "gaps.txt": "a\n\nb\n\nc\n",
}


@pytest.mark.parametrize("first", ["in.csv", "in.jsonl", "in.txt"])
def test_rows_known_by_their_places(
    first: str, gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path
) -> None:
    """However they are packed now, each answer stands beside the row that it is of; beside other rows none stands."""
    repeat(gateway, "a", "b", "c")
    out = begun(anyfast, tmp_path / first, OTHERWISE[first], "--template", "{text}")
    for name, text in OTHERWISE.items():
        source, table = tmp_path / name, tmp_path / f"{name}.table.jsonl"
        source.write_text(text)
        ran = anyfast("results", out, "--join", source, "-o", table)
        rows = [json.loads(one) for one in table.read_text().splitlines()] if table.exists() else ran.err
        assert {("a", "re: a"), ("b", "re: b")} <= {(row["text"], row["answer.text"]) for row in rows}
        assert {"re: c", None} >= {row["answer.text"] for row in rows[2:]}

    for name, text in (("top.csv", "text\nnew\na\nb\nc\n"), ("top.txt", "new\na\nb\nc\n")):
        (tmp_path / name).write_text(text)
        refused = anyfast("results", out, "--join", tmp_path / name, "-o", tmp_path / "top.jsonl")
        assert (2, False) == (refused.code, (tmp_path / "top.jsonl").exists())
        assert "it has other rows than the batch was made of: 3 rows hold something else now" in refused.err


def test_lines_of_text_with_a_template(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """The prompt that is shown and the request that is written again are those that were sent."""
    gateway.fail(400, when="Rate b", times=1)
    (tmp_path / "in.txt").write_text("a\nb\n")
    out, table, again = tmp_path / "out.jsonl", tmp_path / "t.jsonl", tmp_path / "again.jsonl"
    anyfast("batch", "-i", tmp_path / "in.txt", "-o", out, "--template", "Rate {text}")

    anyfast("results", out, "--input", tmp_path / "in.txt", "-o", table, "--failed-input", again)

    assert ["Rate a", "Rate b"] == [json.loads(one)["prompt"] for one in table.read_text().splitlines()]
    (request,) = map(json.loads, again.read_text().splitlines())
    assert "Rate b" == request["body"]["messages"][-1]["content"]


def test_saved_in_another_encoding(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A file from Windows that is UTF-8 now is read as it is; what cannot be read is no empty table."""
    gateway.reply("fine")
    first, now = tmp_path / "in.csv", tmp_path / "now.csv"
    out = begun(
        anyfast, first, "id,text\n1,Größe\n2,ok\n", "--encoding", "cp1252", "--id", "id", "--template", "{text}"
    )
    now.write_text("id,text\n1,Größe\n2,ok\n", encoding="utf-8")
    for source in (first, now):
        table = tmp_path / f"{source.stem}.jsonl"
        anyfast("results", out, "--join", source, "-o", table)
        texts = [(row["text"], row["answer.text"]) for row in map(json.loads, table.read_text().splitlines())]
        assert [("Größe", "fine"), ("ok", "fine")] == texts

    assert 0 == anyfast("batch", "-i", now, "-o", out, "--id", "id", "--template", "{text}").code
    again = tmp_path / "again.jsonl"
    noted = anyfast("results", out, "--join", first, "-o", again)
    assert "note: 1 row of the input cannot be read" in noted.err
    assert "line 2: is not UTF-8; if the file is from Windows, --encoding cp1252" in noted.err
    assert 0 == anyfast("results", out, "--join", first, "-o", again, "--encoding", "cp1252").code
    assert "Größe" == json.loads(again.read_text().splitlines()[0])["text"]
    first.write_text("id,text\n1,Größe\n", encoding="cp1252")
    refused = anyfast("results", out, "--join", first, "-o", again)
    assert (2, True) == (refused.code, "--encoding cp1252" in refused.err)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--join",), "--join needs the batch's input"),
        (("--join", "IN"), "--join needs -o PATH"),
        (("--join", "IN", "--errors", "-o", "T"), "one of the two"),
        (("--join", "IN", "--input", "OUT", "-o", "T"), "name two inputs"),
        (("--join", "IN", "--id", "nothing", "-o", "T"), "The columns are: id"),
        (("--join", "IN", "-o", "IN"), "one of the files that are read"),
    ],
)
def test_refused(words: tuple[str, ...], reason: str, anyfast: Callable[..., Any], out: Path, tmp_path: Path) -> None:
    """What cannot be joined is refused with the reason, and nothing is written."""
    names = {"IN": tmp_path / "in.csv", "OUT": out, "T": tmp_path / "t.csv"}
    names["IN"].write_text("id\n17\n")

    ran = anyfast("results", out, *(names.get(word, word) for word in words))

    assert 2 == ran.code
    assert reason in ran.err
    assert not names["T"].exists()
