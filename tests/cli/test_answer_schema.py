"""``--schema``: answers are checked as they come."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["good", "bad"]}, "n": {"type": "integer", "maximum": 9}},
    "required": ["label"],
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an input and schemas of each kind, in which commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("in.csv").write_text("id,text\na,fine\nb,wrong\nc,words\nd,long\n")
    Path("schema.json").write_text(json.dumps(SCHEMA))
    Path("wrapped.json").write_text(json.dumps({"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}))
    Path("list.json").write_text('["good", "bad"]')
    Path("schema_of_a_test.py").write_text(
        "from dataclasses import dataclass\nfrom typing import Literal\n\n\n"
        "@dataclass\nclass Label:\n    label: Literal['good', 'bad']\n    n: int = 0\n"
    )
    return tmp_path


BATCH = ("batch", "-i", "in.csv", "-o", "out.jsonl", "--id", "id", "--template", "{text}", "-m", "gemini-2.5-flash")


def answers(gateway: Simulator) -> None:
    """What comes: one that fits, one that does not, one that is no JSON, one that is cut."""
    gateway.reply('{"label": "good", "n": 1}', when="fine")
    gateway.reply('{"label": "middling", "n": 1}', when="wrong", times=1)
    gateway.reply("Sorry, no.", when="words", times=1)
    gateway.reply('{"label": "go', finish_reason="length", when="long")


@pytest.mark.parametrize("given", ["schema.json", "wrapped.json", "schema_of_a_test:Label"])
def test_batch(given: str, gateway: Simulator, anyfast: Callable[..., Any], work: Path) -> None:
    """What does not fit has failed by name, keeps its text, counts as paid, and can be asked again alone."""
    answers(gateway)

    ran = anyfast(*BATCH, "--schema", given)

    assert 1 == ran.code
    counts = [["rows", "4"], ["answered", "2"], ["cut", "1"], ["failed", "2", "(output", "2)"]]
    assert counts == [line.split()[: len(want)] for line, want in zip(ran.out.splitlines(), counts, strict=False)]
    assert "json_schema" == gateway.requests[0].body["response_format"]["type"]
    failed = {row["custom_id"]: row for row in map(json.loads, Path("out.errors.jsonl").read_text().splitlines())}
    assert ({"b", "c"}, {"output"}) == ({*failed}, {row["error"]["code"] for row in failed.values()})
    assert "label" in failed["b"]["error"]["message"]
    assert "Sorry, no." == failed["c"]["response"]["body"]["choices"][0]["message"]["content"]

    anyfast("results", "out.jsonl", "--join", "in.csv", "-o", "t.jsonl")
    rows = [json.loads(line) for line in Path("t.jsonl").read_text().splitlines()]
    assert ["ok", "failed", "failed", "cut"] == [row["outcome"] for row in rows]
    assert ["good", None, None, None] == [row["label"] for row in rows]
    assert ["fine", "wrong", "words", "long"] == [row["text"] for row in rows]
    assert [None, '{"label": "middling", "n": 1}', "Sorry, no.", '{"label": "go'] == [
        row["answer.text"] for row in rows
    ]
    assert all(row["completion_tokens"] for row in rows)

    gateway.reply('{"label": "bad"}', when="wrong")
    gateway.reply('{"label": "bad"}', when="words")
    sent = len(gateway.requests)
    assert 1 == anyfast(*BATCH, "--schema", given, "--retry-failed", "output").code  # one is cut
    assert 2 == len(gateway.requests) - sent
    assert not Path("out.errors.jsonl").exists() or not Path("out.errors.jsonl").read_text()


def test_another_schema(gateway: Simulator, anyfast: Callable[..., Any], work: Path) -> None:
    """A batch does not go on with another schema by accident; the advice names the one that it had."""
    answers(gateway)
    anyfast(*BATCH, "--schema", "schema.json")
    sent = len(gateway.requests)

    ran = anyfast(*BATCH, "--schema", "list.json")

    assert (2, sent) == (ran.code, len(gateway.requests))
    assert "schema" in ran.err
    assert "--schema schema.json" in anyfast("results", "out.jsonl", "--errors").out


def test_labels(gateway: Simulator, anyfast: Callable[..., Any], work: Path) -> None:
    """A list of labels is asked for as the value of an object; one of them alone is an answer, too."""
    gateway.reply('{"value": "good"}', when="fine")
    gateway.reply('{"value": "other"}', when="wrong")
    gateway.reply("bad", when="words")
    gateway.reply('{"value": "bad"}', when="long")

    ran = anyfast(*BATCH, "--schema", "list.json")

    assert "output" in ran.out
    wanted = gateway.requests[0].body["response_format"]["json_schema"]["schema"]
    assert ["good", "bad"] == wanted["properties"]["value"]["enum"]
    assert "b" in {json.loads(line)["custom_id"] for line in Path("out.errors.jsonl").read_text().splitlines()}


@pytest.mark.parametrize(("said", "code"), [('{"label": "good"}', 0), ('{"label": "neither"}', 1)])
def test_chat(said: str, code: int, gateway: Simulator, anyfast: Callable[..., Any], work: Path) -> None:
    """A chat shows the answer whatever it is, and says with its exit code whether it fits."""
    gateway.reply(said)

    ran = anyfast("chat", "Hi", "-m", "gemini-2.5-flash", "--schema", "schema.json")

    assert (code, f"{said}\n") == (ran.code, ran.out)
    assert ("label" in ran.err) == bool(code)


@pytest.mark.parametrize(
    ("given", "text", "reason"),
    [
        ("nothing.json", None, "No such file"),
        ("x.json", "{", "is no JSON"),
        ("x.json", "[]", "a list of labels holds words"),
        ("x.json", "3", "must hold a JSON schema"),
        ("x.json", '{"type": "nonsense"}', "is no JSON schema: 'nonsense'"),
        ("json:Nothing", None, "has no Nothing"),
        ("no_such_module:X", None, "No module named"),
    ],
)
def test_refused(given: str, text: str | None, reason: str, anyfast: Callable[..., Any], work: Path) -> None:
    """What no answer can be held against is refused before anything is sent."""
    if text is not None:
        Path(given).write_text(text)

    ran = anyfast(*BATCH, "--schema", given)

    assert 2 == ran.code
    assert reason in ran.err
    assert not Path("out.jsonl").exists()
