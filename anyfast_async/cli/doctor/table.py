"""Findings as a person reads them, and as programs do."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import attrs

from anyfast_async._values.text import printable
from anyfast_async.cli.display.terminal import is_live, write
from anyfast_async.cli.doctor.diagnosis import Finding, counts

_WIDTH = 100
_INDENT = " " * 10


def as_json(findings: list[Finding], **about: Any) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {**about, "counts": counts(findings), "findings": [attrs.asdict(one) for one in findings]}


def show(findings: list[Finding], where: str) -> None:
    """Print what was found: a table of what is as it should be, then what is not, with what to do."""
    fine = [one for one in findings if one.level == "ok"]
    if is_live(sys.stdout):
        from anyfast_async.cli.display import live  # noqa: PLC0415 - rich, on a terminal only

        live.heading(where)
        live.table(("", ""), [(one.title, one.detail) for one in fine], header=False)
    else:
        write(printable(f"{where}\n" + "".join(f"{'ok':8}  {_line(one)}\n" for one in fine)))
    for one in findings:
        if one.level != "ok":
            write(printable(f"{one.level:8}  {_line(one)}\n{_words('', one.meaning)}{_words('do: ', one.advice)}"))
    write(f"{summary(findings)}\n")


def summary(findings: list[Finding]) -> str:
    """Return the last line."""
    number = counts(findings)
    words = [f"{number[level]} {level}{'' if number[level] == 1 else 's'}" for level in ("problem", "warning", "note")]
    return f"{', '.join(words)}; {number['ok']} as it should be"


def _line(one: Finding) -> str:
    return f"{one.title}: {one.detail} [{one.name}]" if one.detail else f"{one.title} [{one.name}]"


def _words(before: str, text: str) -> str:
    if not text or text.startswith("Nothing,"):
        return ""
    return textwrap.fill(before + text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT) + "\n"
