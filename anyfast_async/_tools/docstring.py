"""What a docstring says of a function and of its parameters, in Google's, NumPy's or Sphinx's style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_PARAMETERS: Final = frozenset({"args", "arguments", "parameters", "params", "other parameters", "keyword args"})
_SECTIONS: Final = _PARAMETERS | {
    *("attributes", "example", "examples", "note", "notes", "raises", "references", "return", "returns", "see also"),
    *("todo", "warning", "warnings", "warns", "yield", "yields"),
}
"""Headings of sections in docstrings: napoleon's, in lower case."""
_FIELD: Final = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)")
"""Sphinx's fields: ``:param int count: how many``."""
_GOOGLE: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY: Final = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


class Documented(NamedTuple):
    """What a docstring says."""

    description: str
    """Everything before the first section; ``""`` if there is nothing."""
    parameters: dict[str, str]
    """By name, each in one line."""


def documented(text: str | None) -> Documented:
    """Return what the docstring *text* says."""
    lines = inspect.cleandoc(text or "").splitlines()
    head = next((at for at, line in enumerate(lines) if _begins(lines, at) or _FIELD.match(line)), len(lines))
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines[:head]).strip())
    description = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return Documented(description, _parameters(lines[head:]))


def _begins(lines: list[str], at: int) -> bool:
    """Tell the heading of a section: Google's has a colon and text below it, NumPy's is underlined."""
    line = lines[at]
    if line.strip().rstrip(":").lower() not in _SECTIONS or line[:1].isspace():
        return False
    return line.rstrip().endswith(":") or _is_rule(lines, at + 1)


def _is_rule(lines: list[str], at: int) -> bool:
    return at < len(lines) and bool(re.fullmatch(r"-{3,}\s*", lines[at]))


def _parameters(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(lines):
        if (field := _FIELD.match(lines[at])) is not None:
            at, text = _taken(lines, at, 0, field[3])
            if field[1] in ("param", "parameter", "arg", "argument", "key", "keyword") and field[2]:
                found[field[2].split()[-1].lstrip("*")] = text
        elif _begins(lines, at):
            section = lines[at].strip().rstrip(":").lower()
            end = next((i for i in range(at + 1, len(lines)) if _begins(lines, i)), len(lines))
            if section in _PARAMETERS:
                numpy = _is_rule(lines, at + 1)
                found |= _entries(lines[at + (2 if numpy else 1) : end], _NUMPY if numpy else _GOOGLE)
            at = end
        else:
            at += 1
    return found


def _entries(lines: list[str], entry: re.Pattern[str]) -> dict[str, str]:
    """Return the entries of one section: each begins at the section's own indent and goes on further in."""
    found: dict[str, str] = {}
    indent = min((_indent(line) for line in lines if line.strip()), default=0)
    at = 0
    while at < len(lines):
        line = lines[at]
        match = entry.fullmatch(line.strip()) if line.strip() and _indent(line) == indent else None
        if match is None:
            at += 1
            continue
        at, text = _taken(lines, at, indent, match[2] if entry is _GOOGLE else "")
        found |= dict.fromkeys((name.strip().lstrip("*") for name in match[1].split(",")), text)
    return {name: text for name, text in found.items() if text}


def _taken(lines: list[str], at: int, indent: int, first: str) -> tuple[int, str]:
    """Return where an entry ends that begins at *at*, and its text."""
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    return end, _joined([first, *lines[at + 1 : end]])


def _joined(lines: Iterable[str]) -> str:
    return " ".join(" ".join(lines).split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
