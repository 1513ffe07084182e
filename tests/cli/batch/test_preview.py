"""``anyfast batch --preview``."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


def ids_of(path: Path) -> list[str]:
    """The ids in a file of results, sorted."""
    return sorted(json.loads(line)["custom_id"] for line in path.read_bytes().splitlines())


def test_nobody_to_ask(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """Without a terminal the first rows are shown, the run stops with 3 and says how to go on; that sends the rest."""
    gateway.reply("x", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    source, out = write_batch(*map(str, range(30))), tmp_path / "out.jsonl"

    ran = anyfast("batch", "-i", source, "-o", out, "--preview", 2)

    assert (3, ["r1", "r2"], 2) == (ran.code, ids_of(out), len(gateway.requests))
    assert ran.out.startswith("r1\n  input: 0\n  answer: ")
    assert "for 30 rows, from the first 2: too few to say how exact that is, and others may be longer" in ran.out
    assert "about 60" in ran.out
    assert f"28 rows left; to go on:\n  anyfast batch -i {source} -o {out}\n" in ran.err
    assert 0 == anyfast("batch", "-i", source, "-o", out).code
    assert 30 == len(gateway.requests)


def test_yes(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """With --yes it goes on: no row twice, failed ones of the preview neither, and the cost is that of all rows."""
    source, out = write_batch(*[f"row {n:02}" for n in range(30)]), tmp_path / "out.jsonl"
    gateway.fail(400, when="row 03", times=99)
    gateway.reply("x", usage={"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30})

    ran = anyfast("batch", "-i", source, "-o", out, "--preview", 20, "--yes", "--json")

    *_, preview, _, end = map(json.loads, [line for line in ran.out.splitlines() if '"failure"' not in line])
    assert (1, 30, 29) == (ran.code, len(gateway.requests), len(ids_of(out)))
    assert ("preview", 20, "r4") == (preview["event"], len(preview["rows"]), preview["rows"][3]["custom_id"])
    assert ("row 03", None, "bad_request") == (
        preview["rows"][3]["input"],
        preview["rows"][3]["answer"],
        preview["rows"][3]["error"]["kind"],
    )
    assert (19, 30, 600.0) == (
        preview["estimate"]["sample"],
        preview["estimate"]["rows"],
        preview["estimate"]["completion_tokens"]["estimate"],
    )
    assert ("complete", 29, 1, 290) == (end["status"], end["answered"], end["failed"], end["prompt_tokens"])
    assert 0 == end["already_answered"]


def test_nothing_answered(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """If none of the first rows is answered, the others are not sent, whatever was said before."""
    gateway.fail(400, times=99)

    ran = anyfast("batch", "-i", write_batch(*"abcdef"), "-o", tmp_path / "out.jsonl", "--preview", 2, "--yes")

    assert (3, 2) == (ran.code, len(gateway.requests))
    assert "none of these rows was answered, so the others are not sent" in ran.err


def test_it_is_all(gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path) -> None:
    """Of an input that is no longer than the preview nothing is left to ask about."""
    ran = anyfast("batch", "-i", write_batch("a", "b"), "-o", tmp_path / "out.jsonl", "--preview", 20)

    assert (0, 2) == (ran.code, len(gateway.requests))
    assert "nobody can be asked" not in ran.err


@pytest.mark.parametrize("option", [("--estimate", 5), ("--limit", 5), ("--dry-run",)])
def test_one_of_the_two(anyfast: Callable[..., Any], option: tuple[object, ...]) -> None:
    """What sends other rows, or none, does not go with it."""
    ran = anyfast("batch", "-i", "in.jsonl", "-o", "out.jsonl", "--preview", 5, *option)

    assert (2, True) == (ran.code, "--preview sends the first rows and then asks" in ran.err)


@pytest.mark.parametrize(
    ("typed", "code", "sent"), [("no\n", 3, 12), ("well\n\n", 3, 12), ("", 3, 12), ("what\nY\n", 0, 30)]
)
def test_the_question(
    gateway: Simulator,
    anyfast: Callable[..., Any],
    write_batch: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    typed: str,
    code: int,
    sent: int,
) -> None:
    """Yes and no are taken in some spellings, what is neither is asked again, and nothing at all is no."""
    monkeypatch.setattr("anyfast_async.cli.batch.preview.is_terminal", lambda _: True)

    ran = anyfast("batch", "-i", write_batch(*"a" * 30), "-o", tmp_path / "out.jsonl", "--preview", 12, stdin=typed)

    assert (code, sent) == (ran.code, len(gateway.requests))
    assert ran.err.count("Go on with the 18 rows left? [y/N] ") == max(1, typed.count("\n"))


async def test_on_a_terminal(start: Callable[..., Any], tmp_path: Path) -> None:
    """Rows stand side by side; Ctrl-C at the question ends the command without a trace, to be gone on with."""
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"question {n}\n" for n in range(30)))

    running = await start("batch", "--simulate", "-i", source, "-o", out, "--preview", 12, terminal=True)
    await running.shows("Go on with the 18 rows left? [y/N] ")
    running.send(signal.SIGINT)
    ran = await running.ended()

    assert (130, 12) == (ran.code, len(ids_of(out)))
    assert "question 11" in ran.out
    assert "(90 %: " in ran.out
    assert "18 rows left; to go on" in ran.out
    assert "Traceback" not in ran.out
