"""``anyfast report``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

pytestmark = pytest.mark.skipif(find_spec("jinja2") is None, reason="extra [report]")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and charts that are quickly drawn."""
    monkeypatch.setattr("anyfast_async.batch.report.rendering.find_spec", lambda name: name)
    monkeypatch.setattr("anyfast_async.cli.report.writing.svg", lambda _: "<svg ></svg>")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tile(page: str, name: str) -> str:
    (value,) = re.findall(rf"<b[^>]*>([^<]*)</b><span class=\"soft\">{name}</span>", Path(page).read_text())
    return str(value)


def test_of_what_a_batch_left(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is of the files, after one run and after the next; answers are in it on request, the key never is."""
    key = "sk-0123456789abcdef0123456789"
    gateway.fail(400, message=f"no {key}", when="bad")
    gateway.reply("TOLD IN SECRET", when="good")
    monkeypatch.setenv("ANYFAST_API_KEY", key)
    source = write_batch("good", "bad", "good too")
    first = anyfast("batch", "-i", source, "-o", "out.jsonl")
    once = anyfast("report", "out.jsonl")
    before = Path("out.html").read_text()
    anyfast("batch", "-i", source, "-o", "out.jsonl")
    again = anyfast("report", "out.jsonl", "--samples", "20")
    after = Path("out.html").read_text()

    assert (1, 0, 0, "report: out.html\n") == (first.code, once.code, again.code, again.err)
    assert ("one run" in before, "2 runs" in after) == (True, True)
    assert ("bad_request" in before, "bad_request" in after) == (True, False)
    assert (False, 2) == ("SECRET" in before, after.count("TOLD IN SECRET"))
    assert key not in before
    assert "3" == tile("out.html", "answered")


def test_two_batches(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, here: Path) -> None:
    """Two outputs are compared, row by row."""
    gateway.reply("yes", when="same")
    source = write_batch("same", "other")
    anyfast("batch", "-i", source, "-o", "a.jsonl")
    anyfast("batch", "-i", source, "-o", "b.jsonl", "--set", "seed=7")

    ran = anyfast("report", "a.jsonl", "b.jsonl", "-o", "compared.html", "--samples", "5")

    assert (0, "report: compared.html\n") == (ran.code, ran.err)
    assert ["2", "0"] == [tile("compared.html", name) for name in ("rows in both", "only in a.jsonl")]
    assert 1 <= int(tile("compared.html", "same answer"))


def test_of_another_program(anyfast: Callable[..., Any], here: Path) -> None:
    """The output of an OpenAI batch has a page, dated by its answers."""
    lines = []
    for number in range(30):
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000 + 60 * number,
            "model": "gpt-x",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }
        response = {"status_code": 200, "request_id": "r", "body": body}
        lines.append(json.dumps({"id": "b", "custom_id": f"r{number}", "response": response, "error": None}))
    Path("theirs.jsonl").write_text("\n".join(lines))

    ran = anyfast("report", "theirs.jsonl")

    assert 0 == ran.code
    assert ("30", "210") == (tile("theirs.html", "answered"), tile("theirs.html", "tokens"))
    assert "by the dates they bear" in Path("theirs.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gone.jsonl",), "gone.jsonl does not exist"),
        (("a.jsonl", "a.jsonl", "a.jsonl"), "one batch, or two to compare; not 3"),
        (("a.jsonl", "-o", "a.jsonl"), "-o a.jsonl is one of the files that are read"),
        (("a.jsonl", "-o", "notes.html"), "-o notes.html is there already, and was not written by -o"),
        (("a.jsonl", "-o", "nowhere/a.html"), "there is no such directory"),
        (("a.jsonl", "--samples", "0"), "--samples"),
        ((), "Missing argument"),
    ],
)
def test_wrong_usage(anyfast: Callable[..., Any], here: Path, arguments: tuple[str, ...], words: str) -> None:
    """What cannot be is said, exit code 2, and no file is touched."""
    Path("a.jsonl").write_text("")
    Path("notes.html").write_text("mine")

    ran = anyfast("report", *arguments)

    assert 2 == ran.code
    assert words in " ".join(ran.err.split())
    assert "mine" == Path("notes.html").read_text()
    assert {"a.jsonl", "notes.html"} == {path.name for path in here.iterdir()}


def test_without_the_packages(anyfast: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the extra there is one line that installs it."""
    monkeypatch.setattr("anyfast_async.batch.report.rendering.find_spec", lambda name: None)

    ran = anyfast("report", tmp_path / "a.jsonl")

    assert 2 == ran.code
    assert "anyfast report needs more packages: pip install 'anyfast-async[report]'" in ran.err
