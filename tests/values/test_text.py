"""Text that is shown."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from anyfast_async._values.spreadsheet_cells import cell
from anyfast_async._values.text import (
    STEERING,
    counted,
    did_you_mean,
    duration,
    escaped,
    measured,
    nearest,
    printable,
    rough,
    time_unit,
    unfenced,
)
from anyfast_async.batch.results.inert_json import json_text

TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Bidirectional classes of what embeds, overrides and isolates (UAX 9)."""
MARKS = "\u061c\u200e\u200f"
"""Bidi_Control, but for those; they have the classes of letters."""


def steers(character: str) -> bool:
    """Whether Unicode says that a character is a control, ends a line, or turns text around."""
    if character in "\t\n":
        return False
    category = unicodedata.category(character)
    return category in {"Cc", "Zl", "Zp"} or unicodedata.bidirectional(character) in TURNING or character in MARKS


def test_the_table_is_what_unicode_says() -> None:
    """Every control, line end and mark of direction is in it, and the byte order mark; nothing else."""
    wanted = {code for code in range(sys.maxunicode + 1) if steers(chr(code))}
    assert set(STEERING) == wanted | {0xFEFF}


@pytest.mark.parametrize("code", sorted(STEERING))
def test_no_way_of_showing_lets_one_through(code: int) -> None:
    """A terminal, a message, a cell and a line of JSON: none holds a character that steers."""
    character = chr(code)
    for shown in (printable(character), escaped(character), cell(f"x{character}"), json_text(character)):
        assert character not in shown
        assert shown.isprintable()


@pytest.mark.parametrize(
    ("name", "near", "question"),
    [
        ("max_token", "max_tokens", "did you mean 'max_tokens'?"),
        ("xyz", None, ""),
    ],
)
def test_near_misses(name: str, near: str | None, question: str) -> None:
    """A name that was mistyped is told from one that is just unknown."""
    known = ("max_tokens", "temperature")
    assert nearest(name, known) == near
    assert did_you_mean(name, known) == question


def test_a_near_name_is_escaped() -> None:
    """The known names may be those of a file's columns."""
    assert did_you_mean("na\x1bme", ["na\x1bmee"]) == r"did you mean 'na\\x1bmee'?"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.123, "0.12 s"), (9.994, "9.99 s"), (42.0, "42.0 s"), (61, "1 min 1 s"), (3600 * 5 + 60 * 7, "5 h 7 min")],
)
def test_durations(seconds: float, words: str) -> None:
    """Times are in units that fit them."""
    assert words == duration(seconds)


def test_rough_times() -> None:
    """What is only about right has no fractions."""
    assert [rough(seconds) for seconds in (1.4, 61)] == ["1 s", "1 min 1 s"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0004, "under 1 ms"), (0.25, "250 ms"), (2.345, "2.35 s"), (300, "5 minutes"), (9000, "2.5 hours")],
)
def test_measured_times(seconds: float, words: str) -> None:
    """Three digits, in one unit."""
    assert words == measured(seconds)


def test_units() -> None:
    """Times are in seconds, minutes or hours, whichever gives readable numbers."""
    assert ["seconds", "minutes", "hours"] == [time_unit(seconds)[1] for seconds in (119, 120, 5400)]


def test_numbers_are_grouped() -> None:
    """A number has separators."""
    assert counted(1234567) == "1,234,567"


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("\n ``` \n[1]```\n", "[1]"),
        ("Here: ```json\n{}\n```", "Here: ```json\n{}\n```"),
        ("```", "```"),
        ("plain", "plain"),
    ],
)  # fmt: skip
def test_what_stands_in_a_block(text: str, inside: str) -> None:
    """A text that is one Markdown block is what stands in it; any other is as it is."""
    assert inside == unfenced(text)
