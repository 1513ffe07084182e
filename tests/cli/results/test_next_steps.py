"""What is said and written for going on with a batch."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.cli.results.next_steps import NextSteps

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def words_after(text: str, start: str) -> list[str]:
    """The command that follows *start*."""
    return shlex.split(text.partition(start)[2].splitlines()[0])[1:]


@pytest.fixture
def table(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch from a table, with fields and a system message, of which one row is cut and one was refused."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("key,text\na,good\nb,long\nc,bad\nd,\n")
    gateway.reply("half", finish_reason="length", when="long", times=1)
    gateway.fail(400, when="bad", times=1)
    gateway.reply("fine", when="bad")
    ran = anyfast(
        *("batch", "-i", "in.csv", "-o", "out.jsonl", "--template", "Say: {text}", "--id", "key", "--skip-bad"),
        *("--system", "Be 'brief'.", "--set", "temperature=0", "--max-tokens", "50", "-m", "gemini-2.5-pro"),
    )
    assert 1 == ran.code, ran.err


@pytest.mark.usefixtures("table")
def test_commands_go_on_as_it_was_begun(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """The command for rows that were cut asks these again, alone, in the way in which the batch was begun."""
    shown = anyfast("results", "out.jsonl", "--input", "in.csv", "--errors").out
    command = words_after(shown.partition("cut: 1 row")[2], "next: ")
    command[command.index("N")] = "500"

    ran = anyfast(*command)

    assert 1 == ran.code, ran.err  # one row was refused, and one cannot be sent
    last = gateway.requests[-1].body
    assert (4, 500, 0, "gemini-2.5-pro") == (
        len(gateway.requests),
        last["max_tokens"],
        last["temperature"],
        last["model"],
    )
    assert ["Be 'brief'.", "Say: long"] == [one["content"] for one in last["messages"]]
    assert "cut" not in anyfast("results", "out.jsonl").out


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ({"format": "text", "template": "{text}"}, ""),
        (
            {"format": "text", "template": "Rate {text}", "encoding": "cp1252"},
            "--template 'Rate {text}' --encoding cp1252",
        ),
        (
            {"format": "csv", "template": "{a}", "id": "b", "image": "c", "document": "d"},
            "--template '{a}' --id b --image c --document d --files-under DIR",
        ),
        ({"format": "batch", "template": "{text}"}, ""),
    ],
)
def test_how_rows_are_made_of_the_input(how: dict[str, Any], options: str, tmp_path: Path) -> None:
    """Without these options a batch would be refused as another one."""
    steps = NextSteps(tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl", None, {"input": how})

    begin = f"anyfast batch -i IN -o {tmp_path / 'out.jsonl'}"

    assert f"{begin} {options} --retry-failed cut".replace("  ", " ") == steps.command("--retry-failed", "cut")


@pytest.mark.usefixtures("table")
def test_rows_that_no_request_was_made_of(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """They are mended where they stand, in the input; the command for that then asks them, and what else failed."""
    shown = anyfast("results", "out.jsonl", "--input", "in.csv", "--errors").out
    advice = shown.partition("validation: 1 row")[2]
    assert "next: mend them in in.csv, then: anyfast batch " in advice
    Path("in.csv").write_text("key,text\na,good\nb,long\nc,bad\nd,mended\n")

    ran = anyfast(*words_after(advice, "then: "))

    assert "Say: mended" in [request.body["messages"][1]["content"] for request in gateway.requests]
    answered = {json.loads(one)["custom_id"] for one in Path("out.jsonl").read_text().splitlines()}
    assert (1, {"a", "b", "c", "d"}) == (ran.code, answered), ran.err  # b is cut still


@pytest.mark.usefixtures("table")
def test_requests_without_an_answer(gateway: Simulator, anyfast: Callable[..., Any]) -> None:
    """Requests of rows without an answer are written whole, to be sent as they are into the same output."""
    asked = anyfast("results", "out.jsonl", "--input", "in.csv", "--failed-input", "again.jsonl")
    (line,) = [json.loads(one) for one in Path("again.jsonl").read_text().splitlines()]

    ran = anyfast("batch", "-i", "again.jsonl", "-o", "out.jsonl", "--changed")

    assert (0, "c", 0) == (asked.code, line["custom_id"], ran.code), asked.err + ran.err
    assert "1 row of in.csv hold no request" in asked.err
    assert line["body"].items() <= gateway.requests[-1].body.items()
    assert (50, "Be 'brief'.") == (line["body"]["max_tokens"], line["body"]["messages"][0]["content"])
    ids = [json.loads(one)["custom_id"] for one in Path("out.jsonl").read_text().splitlines()]
    assert ["a", "b", "c"] == sorted(ids)


@pytest.mark.usefixtures("table")
def test_requests_replace_no_file(anyfast: Callable[..., Any]) -> None:
    """What is there already stays, and without the input there are no requests to write."""
    Path("mine.jsonl").write_text("mine\n")
    for more in (("--input", "in.csv", "--failed-input", name) for name in ("mine.jsonl", "in.csv", "out.jsonl.run")):
        assert 2 == anyfast("results", "out.jsonl", *more).code
    assert "mine\n" == Path("mine.jsonl").read_text()
    assert "needs --input" in anyfast("results", "out.jsonl", "--failed-input", "new.jsonl").err


def test_rows_with_local_files(anyfast: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose images are files come out with their paths, and go on by the command that is said."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    Path("pictures/a.png").write_bytes(PNG)
    Path("in.csv").write_text("name,picture\nfirst,a.png\nsecond,b.png\n")
    command = ("--template", "What is on {name}?", "--image", "picture", "--files-under", "pictures", "--simulate")
    anyfast("batch", "-i", "in.csv", "-o", "out.jsonl", "--skip-bad", *command)

    asked = anyfast("results", "out.jsonl", "--input", "in.csv", "--failed-input", "again.jsonl")
    Path("pictures/b.png").write_bytes(PNG)
    words = words_after(asked.err, "to send them:\n")
    words[words.index("DIR")] = "pictures"
    ran = anyfast(*words, "--simulate")

    assert {"name": "second", "picture": "b.png", "custom_id": "line-3"} == json.loads(Path("again.jsonl").read_text())
    assert 0 == ran.code, ran.err
    assert {"line-2", "line-3"} == {
        json.loads(line)["custom_id"] for line in Path("out.jsonl").read_text().splitlines()
    }
