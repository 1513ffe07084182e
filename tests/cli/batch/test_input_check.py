"""The input of ``anyfast batch`` before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.batch import Source, Survey, survey

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("in.txt", "hi\n", "one prompt per line"),
        ("in", "hi\n", "one prompt per line"),
        ("in.jsonl", '{"messages": "hi"}\n', "one request body per line"),
    ],
)
def test_what_was_detected(anyfast: Callable[..., Any], tmp_path: Path, name: str, text: str, said: str) -> None:
    """What the input was taken for is said."""
    (tmp_path / name).write_text(text)

    ran = anyfast("batch", "--simulate", "-i", tmp_path / name, "-o", tmp_path / "out.jsonl")

    assert (0, f"{tmp_path / name}: {said}") == (ran.code, ran.err.splitlines()[0])


def test_a_json_list(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A file that cannot be read row by row is refused with what makes it so."""
    (tmp_path / "in.json").write_text("[{}]")

    ran = anyfast("batch", "--simulate", "-i", tmp_path / "in.json", "-o", tmp_path / "out.jsonl")

    assert 2 == ran.code
    assert f"{tmp_path / 'in.json'}: it begins with a JSON list; write one object per line" in ran.err


def test_checked_once(
    gateway: Simulator, anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input that was checked when the batch began is not checked again; one that was changed is."""
    source, out = write_batch("good", "bad"), tmp_path / "out.jsonl"
    gateway.fail(400, when="bad")
    assert 1 == anyfast("batch", "-i", source, "-o", out).code
    checks: list[Path] = []

    def counted(given: Source, **options: Any) -> Survey:
        checks.append(given.path)
        return survey(given, **options)

    monkeypatch.setattr("anyfast_async.cli.batch.input_check.survey", counted)

    assert (0, []) == (anyfast("batch", "-i", source, "-o", out).code, checks)
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    source.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[0]]))
    changed = anyfast("batch", "-i", source, "-o", out)

    assert (2, [source]) == (changed.code, checks)
    assert "line 3: custom_id: 'r1' stands on line 1 already" in changed.err


def test_many_problems(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """The same mistake on many rows is said once, with the first three lines and how many more there are."""
    (tmp_path / "in.jsonl").write_text("no\n" * 10)

    ran = anyfast("batch", "--simulate", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")

    _, only, last = ran.err.splitlines()
    assert f"{tmp_path / 'in.jsonl'}, lines 1, 2, 3 and 7 more: is not JSON" == only
    assert last.startswith("error: 10 problems in ")


async def test_typing_it(start: Callable[..., Any], tmp_path: Path) -> None:
    """On a terminal it is said that the standard input is read, and how to end it."""
    started = await start("batch", "--simulate", "-i", "-", "-o", "out.jsonl", terminal=True)
    await started.shows("reading the standard input; Ctrl-D ends it")
    started.type("Why is the sky blue?\n\x04")

    assert 0 == (await started.ended()).code
    assert 1 == len((tmp_path / "out.jsonl").read_bytes().splitlines())


def test_ids_that_come_again(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """A column that is no id is named once, with a count and examples, not row by row."""
    (tmp_path / "in.csv").write_text(
        "product,text\n" + "".join(f"{('kettle', 'lamp')[n % 2]},x\n" for n in range(3000))
    )

    ran = anyfast(
        *("batch", "--simulate", "-i", tmp_path / "in.csv", "-o", tmp_path / "out.jsonl"),
        *("--template", "{text}", "--id", "product"),
    )

    assert 2 == ran.code
    assert f"{tmp_path / 'in.csv'}, lines 4, 5, 6 and 2,995 more: product: 'kettle' stands on line 2 already" in ran.err
    assert len(ran.err.splitlines()) <= 4


def test_a_screen_of_problems(anyfast: Callable[..., Any], tmp_path: Path) -> None:
    """However many kinds of problems there are, they fit on a screen, and the rest is counted."""
    (tmp_path / "in.jsonl").write_text("".join(f'{{"messages": "x", "field{chr(97 + n)}": 1}}\n' for n in range(20)))

    ran = anyfast("batch", "--simulate", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")

    assert 2 == ran.code
    assert len(ran.err.splitlines()) <= 15
    assert "and 10 problems of 10 other kinds" in ran.err


def test_a_long_check(
    anyfast: Callable[..., Any], write_batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it takes more than a moment, it is said how many rows were checked: in a dry run, too."""
    monkeypatch.setattr("anyfast_async.cli.results.reading_progress.FIRST", 0.0)
    source = write_batch("a", "b")

    for options in (("--dry-run",), ("--simulate", "-o", tmp_path / "out.jsonl")):
        ran = anyfast("batch", "-i", source, *options)

        assert 0 == ran.code
        assert f"checking {source}: 2 rows\n" in ran.err
