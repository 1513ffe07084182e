"""Text that does nothing."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from anyfast_async._values.spreadsheet_cells import cell
from anyfast_async.batch.results.inert_json import json_text

ALL = "".join(map(chr, range(sys.maxunicode + 1)))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\uff1d1", "=", "- a list"]
)
def test_no_formula(text: str) -> None:
    """Text that begins like a formula, also after spaces, begins with an apostrophe in a spreadsheet."""
    assert cell(text).startswith("'")


@pytest.mark.parametrize("text", ["", "a=1", "1+1", "Hello", "'quoted", '"=1"', "ünï 漢字 👍", "a\nb\tc", " "])
def test_plain_text_is_left_alone(text: str) -> None:
    """Other text is as it was, tabs and line ends within it included."""
    assert text == cell(text)


def test_no_character_steers() -> None:
    """No character that steers a terminal or the direction of text is left, in cells and in JSON."""
    for text in (cell(ALL.replace("\n", "").replace("\t", "")), json_text(ALL)):
        assert {"Cc"}.isdisjoint(map(unicodedata.category, text))
        assert not set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029") & set(
            text
        )


def test_json_means_the_same() -> None:
    """JSON is on one line and reads back as what it was."""
    value = {"\x1b[2J": ["\u202egnp.exe", "\x9b31m", "\x7f", "a\nb", 1, None, True, "漢"]}

    assert value == json.loads(json_text(value))
    assert "\n" not in json_text(value)
