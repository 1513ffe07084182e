"""Text that is shown: made harmless for a terminal, a log or a spreadsheet; the nearest name; numbers and times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SHOWN_CHARACTERS: Final = 400
"""How much of a server's text an exception message shows; the whole of it stands in ``.message`` or ``.body``."""

# -- harmless --------------------------------------------------------------------------------------------------------

STEERING: Final = {
    code: f"\\u{code:04x}"
    for code in (
        *(c for c in range(0x20) if c not in (0x09, 0x0A)),
        *range(0x7F, 0xA0),  # DEL and C1: some terminals take U+009B for ESC [
        *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # text in another order
        *(0x2028, 0x2029, 0xFEFF),  # ends of lines for some programs, and what no program shows
    )
}
"""Characters that steer a terminal, or show text in another order than it has, as escapes. The same in JSON."""


def printable(text: str) -> str:
    """Return *text* with what would steer a terminal as ``\\u....`` escapes; line ends and tabs stay."""  # noqa: D301 - an escape as text
    return text.translate(STEERING)


def escaped(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    r"""Return *text* safe for a log or a terminal: one line, printable, at most *limit* characters.

    Control characters, escape sequences and bidirectional overrides become ``\x..``/``\u....`` escapes.
    """
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:limit])
    return f"{shown}... ({len(text)} characters)" if len(text) > limit else shown


def unfenced(text: str) -> str:
    """Return what stands in a Markdown block, if *text* is one: models put JSON into them, even in JSON mode."""
    fence, line, inside = text.strip().partition("\n")
    mark = fence[:3]
    if not line or mark not in ("```", "~~~") or mark[0] in fence[3:] or not inside.endswith(mark):
        return text
    return inside[:-3].strip()


# -- names -----------------------------------------------------------------------------------------------------------


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *name* was probably meant to be, None if none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - with the first mistake

    return next(iter(get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question whether it was that, ``""`` if none is near."""
    near = nearest(name, known)
    return "" if near is None else f"did you mean {escaped(near, 80)!r}?"


# -- numbers and times -----------------------------------------------------------------------------------------------

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_UNITS: Final = ((5400.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From how many seconds on, seconds in one, name."""


def counted(number: int) -> str:
    """Return *number* with separators."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Return a time in two units at most."""
    if seconds < _MINUTE:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004
    if seconds < _HOUR:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // _HOUR} h {int(seconds) % _HOUR // 60} min"


def rough(seconds: float) -> str:
    """Return a time that is only about right: whole seconds."""
    return f"{round(seconds)} s" if seconds < _MINUTE else duration(seconds)


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit for times up to *seconds*: seconds in one, name."""
    return next((one, name) for least, one, name in _UNITS if seconds >= least)


def measured(seconds: float) -> str:
    """Return a time in one unit, to three digits."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"  # noqa: PLR2004
    scale, name = time_unit(seconds)
    return f"{seconds / scale:.3g} {'s' if scale == 1 else name}"
