"""Writes the table of what is promised: ``python benchmarks/promises.py RUN-PART.xml...``; ``nox -s reliability`` does.

The promises and their tests stand in ``tests/promises.toml``; the files are what pytest saw of these tests
(``--junit-xml``), one or more for each run. A promise whose tests did not all pass in every run fails the program.
"""

from __future__ import annotations

import os
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import peers

ROOT = Path(__file__).parent.parent
PROMISES = ROOT / "tests" / "promises.toml"
PAGE = ROOT / "docs" / "explanation" / "reliability.md"
BEGIN, END = "<!-- promises -->\n", "<!-- end of promises -->\n"


@dataclass
class Seen:
    """What one run saw of the tests of a promise."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)


def promises() -> list[dict[str, Any]]:
    """Return what is promised, in its order."""
    found: list[dict[str, Any]] = tomllib.loads(PROMISES.read_text(encoding="utf-8"))["promise"]
    return found


def seen_in(run: Sequence[ET.Element], tests: Iterable[str]) -> Seen:
    """Return what a run saw of some tests."""
    seen = Seen()
    for case in (case for part in run for case in part.iter("testcase")):
        file = case.get("classname", "").replace(".", "/") + ".py"
        name = f"{file}::{case.get('name', '').partition('[')[0]}"
        if not any(test in {name, file} for test in tests):
            continue
        if case.find("failure") is not None or case.find("error") is not None:
            seen.failed.append(name)
        elif case.find("skipped") is None:
            seen.passed += 1
        figures = (one.get("value", "") for one in case.iter("property") if one.get("name") == "figure")
        seen.figures += [one for one in figures if one not in seen.figures]
    return seen


def table(runs: Sequence[Sequence[ET.Element]]) -> str:
    """Return the table; a promise that is not kept ends the program."""
    others = peers.measured()
    lines, broken = ["| | promised | seen | others |", "|--:|---|---|---|"], []
    for number, promise in enumerate(promises(), 1):
        all_seen = [seen_in(run, promise["tests"]) for run in runs]
        if any(seen.failed or not seen.passed for seen in all_seen):
            broken.append(f"{number}. {promise['says']} {[seen.failed or 'no test ran' for seen in all_seen]}")
        tests = ", ".join(f"`{test.removeprefix('tests/').rpartition('::')[2]}`" for test in promise["tests"])
        counts = " and ".join(f"{seen.passed:,}" for seen in all_seen)
        figures = "".join(f"; {figure}" for figure in all_seen[-1].figures)
        other = others[promise["peer"]] if "peer" in promise else ""
        lines.append(f"| {number} | {promise['says']}<br>{tests} | {counts} cases{figures} | {other} |")
    if broken:
        raise SystemExit("\n".join(["not kept:", *broken]))
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    runs: dict[str, list[ET.Element]] = {}
    for path in map(Path, sys.argv[1:]):
        runs.setdefault(path.stem.partition("-")[0], []).append(ET.parse(path).getroot())  # noqa: S314 - pytest's own
    counts = "whole" if os.environ.get("ANYFAST_LONG") else "a tenth of the whole"
    python = ".".join(map(str, sys.version_info[:3]))
    when = datetime.now(UTC).date()
    times = "one run" if len(runs) == 1 else f"{len(runs)} runs, one after the other,"
    note = f"Seen in {times} on {when}, Python {python}; counts at scale are {counts}."
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{note}\n\n{table([*runs.values()])}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
