"""Going on with a batch: with the same rows, with more, or with others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator


@pytest.fixture
def label(gateway: Simulator, anyfast: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Label a table of ids and texts, given as ``"a=one b=two"``; without ``=`` they have no ids."""

    def run(rows: str, *options: object) -> Any:
        cells = [row.partition("=")[::2] for row in rows.split()]
        has_ids = any(text for _, text in cells)
        lines = [f"{name},{text}" if has_ids else name for name, text in cells]
        source = tmp_path / "in.csv"
        source.write_text("\n".join(["id,text" if has_ids else "text", *lines]) + "\n")
        given = ("--id", "id") if has_ids else ()
        return anyfast("batch", "-i", source, "-o", tmp_path / "out.jsonl", "--template", "{text}", *given, *options)

    gateway.reply("ok")
    return run


def asked(gateway: Simulator) -> list[str]:
    """The prompts that were sent."""
    return [request.body["messages"][-1]["content"] for request in gateway.requests]


def test_more_rows(gateway: Simulator, label: Callable[..., Any], tmp_path: Path) -> None:
    """Rows more are said with what to do about them; with --extend they are asked, and nothing else is."""
    assert 0 == label("a=one b=two").code

    refused = label("c=three b=two a=one")
    extended = label("c=three b=two a=one", "--extend")
    again = label("c=three b=two a=one")

    assert (2, 0, 0) == (refused.code, extended.code, again.code)
    assert "was begun with another input" in refused.err
    assert "which has 1 row more; the others are the same. To go on with all of them: --extend" in refused.err
    assert "answered                 3 (2 of them before)" in extended.out
    assert "nothing to do: every row (3)" in again.out
    assert ["one", "two", "three"] == asked(gateway)
    ids = [json.loads(line)["custom_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert ["a", "b", "c"] == sorted(ids)


def test_a_changed_row(gateway: Simulator, label: Callable[..., Any], tmp_path: Path) -> None:
    """A known id with other content is refused by name, with its column, also among new ones."""
    label("a=one b=two")
    before = (tmp_path / "out.jsonl").read_bytes()

    refused = label("a=one b=second c=three", "--extend")
    kept = label("a=one b=second c=three", "--changed")

    assert (2, 0) == (refused.code, kept.code)
    assert "1 row holds something else now: 'b' (text), 1 row is new; put back what was there; or give a row" in (
        refused.err
    )
    assert ["one", "two", "three"] == asked(gateway)
    assert (tmp_path / "out.jsonl").read_bytes().startswith(before)


def test_by_place(gateway: Simulator, label: Callable[..., Any]) -> None:
    """Where ids are places, rows are taken at the end only, with --changed or without."""
    label("one two")

    refused = [label("zero one two", *given).code for given in ((), ("--extend",), ("--changed", "--extend"))]
    told = label("zero one two", "--extend").err
    changed = label("one two three", "--changed")

    assert ([2] * 3, 2) == (refused, changed.code)
    assert "rows can only be added at the end (--extend)" in told
    assert "1 row more; the others are the same. To go on with all of them: --extend" in changed.err
    assert 0 == label("one two three", "--extend").code
    assert ["one", "two", "three"] == asked(gateway)


def test_a_kill_between(label: Callable[..., Any], tmp_path: Path) -> None:
    """A log without what the rows held, as a kill or an earlier version leaves it, gets it from the same input."""
    label("a=one")
    log = tmp_path / "out.jsonl.run"
    log.write_bytes(b"".join(line for line in log.read_bytes().splitlines(keepends=True) if b'{"rows":' not in line))

    unknown = label("a=one b=two", "--extend")
    same = label("a=one")

    assert (2, 0, 0) == (unknown.code, same.code, label("a=one b=two", "--extend").code)
    assert "what its rows held is not known, so --extend cannot tell which are new" in unknown.err


def test_extended_with_other_options(gateway: Simulator, label: Callable[..., Any]) -> None:
    """More rows with another model are refused for the model, unless that is on purpose."""
    label("a=one", "-m", "gemini-2.5-pro")

    assert 2 == label("a=one b=two", "-m", "gemini-2.5-flash", "--extend").code
    assert 0 == label("a=one b=two", "-m", "gemini-2.5-flash", "--extend", "--changed").code
    assert ["gemini-2.5-pro", "gemini-2.5-flash"] == [request.body["model"] for request in gateway.requests]
    assert 0 == label("a=one b=two", "-m", "gemini-2.5-pro").code


def test_rows_of_several_extensions(gateway: Simulator, label: Callable[..., Any], tmp_path: Path) -> None:
    """Each time only what is new is written down, and all of it counts."""
    rows = ["a=0"]
    label(*rows)
    for number, name in enumerate("bcdef", 1):
        rows.insert(number // 2, f"{name}={number}")
        assert 0 == label(" ".join(rows), "--extend").code

    assert 2 == label(" ".join(["a=x", *rows[1:]]), "--extend").code
    assert 6 == len(asked(gateway))
    log = (tmp_path / "out.jsonl.run").read_bytes()
    assert [1] * 6 == [
        len(json.loads(line[9:])["rows"]["numbers"]) // 12 for line in log.splitlines() if b'{"rows":' in line
    ]
