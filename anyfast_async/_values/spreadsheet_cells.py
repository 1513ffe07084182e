"""Text in a cell of a spreadsheet: never a formula."""

from __future__ import annotations

from typing import Final

from anyfast_async._values.text import printable

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - what Excel takes for ASCII
"""How a cell begins that a spreadsheet takes for a formula (OWASP, "CSV Injection")."""


def cell(text: str) -> str:
    """Return *text* for a spreadsheet: never a formula, and without what steers a terminal.

    A text that begins like a formula gets an apostrophe before it, which spreadsheets take for "this is text". A space
    before the sign does not help it: some programs trim cells.
    """
    begins = text.lstrip(" \u00a0")[:1]
    inert = printable(text)
    return f"'{inert}" if begins in _FORMULA and begins else inert
