"""What models and gateways said, as text that does nothing: in a cell of a spreadsheet, and in JSON. Pure."""

from __future__ import annotations

from typing import Any, Final

from anyfast_async._core import codec

_STEERING: Final = {
    code: f"\\u{code:04x}"
    for code in (
        *(c for c in range(0x20) if c not in (0x09, 0x0A)),
        *range(0x7F, 0xA0),  # DEL and C1: some terminals take U+009B for ESC [
        *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # text in another order
        *(0x2028, 0x2029, 0xFEFF),
    )
}
"""Characters that steer a terminal, or show text in another order than it has, as escapes. The same in JSON."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - what Excel takes for ASCII
"""How a cell begins that a spreadsheet takes for a formula (OWASP, "CSV Injection")."""


def cell(text: str) -> str:
    """Return *text* for a spreadsheet: never a formula, and without what steers a terminal.

    A text that begins like a formula gets an apostrophe before it, which spreadsheets take for "this is text". A space
    before the sign does not help it: some programs trim cells.
    """
    begins = text.lstrip(" \u00a0")[:1]
    inert = text.translate(_STEERING)
    return f"'{inert}" if begins in _FORMULA and begins else inert


def json_text(value: Any) -> str:
    """Return *value* as JSON on one line that means the same and steers no terminal."""
    return codec.dumps(value).decode().translate(_STEERING)
