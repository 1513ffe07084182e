"""Puts what was measured into the documentation: ``python benchmarks/publish.py results.json [other.json ...]``.

It writes the tables between the two ``figures`` marks of ``docs/explanation/performance.md``, and the charts beside
that page, in ``charts/``. Of each further file, measured on another Python, there is one table: ratios alone.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import charts
import report
from plan import HERE, REFERENCE, WORKLOADS, title_of

PAGE = HERE.parent / "docs" / "explanation" / "performance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
CHARTS = {
    "await-64": ("CPU of one completion, 64 in flight", "microseconds, logarithmic; lower is better"),
    "stream-once": ("CPU of one streamed event, written at once", "microseconds, logarithmic; lower is better"),
    "open-2000": ("Memory of one open stream, 2 000 open", "KiB, logarithmic; lower is better"),
    "cold": ("CPU from a fresh process to the first answer", "milliseconds, logarithmic; lower is better"),
}


def bars(name: str, measured: report.Runs) -> list[charts.Bar]:
    """Return the medians of a workload, best first."""
    key = WORKLOADS[name].columns[0]
    scale = 1000 if name == "cold" else 1
    found = []
    for client, runs in measured.items():
        if values := report.values(runs, key):
            value = statistics.median(values) / scale
            kind = "ours" if client.startswith("ours") else "reference" if client == REFERENCE else ""
            found.append(charts.Bar(title_of(client), value, report.number(value), kind))
    return sorted(found, key=lambda bar: bar.value)


def brief(results: dict[str, Any]) -> str:
    """Return what was measured as one table: the client's CPU over the reference's, workload by workload."""
    compared = {
        name: measured["runs"]
        for name, measured in results["workloads"].items()
        if WORKLOADS[name].compared and WORKLOADS[name].columns[0] == "cpu_us"
    }
    ratios: dict[str, dict[str, float]] = {}
    for name, runs in compared.items():
        for client in runs:
            if found := report.ratios(runs, client, REFERENCE, "cpu_us"):
                ratios.setdefault(client, {})[name] = statistics.median(found)
    python = results["machine"]["python"]
    rounds = max(len(one) for runs in compared.values() for one in runs.values())
    lines = [
        f"\n### The same on Python {python}",
        "",
        f"CPU over that of {title_of(REFERENCE)} in the same round, {rounds} round{'s' if rounds > 1 else ''}, medians",
        "",
        f"| client | {' | '.join(compared)} |",
        "|---|" + "---:|" * len(compared),
    ]
    first = next(iter(compared))
    for client, found in sorted(ratios.items(), key=lambda one: one[1].get(first, float("inf"))):
        cells = (f"{found[name]:.2f}" if name in found else "" for name in compared)
        lines.append(f"| {title_of(client)} | {' | '.join(cells)} |")
    return "\n".join([*lines, report.versions(results)])


def figures(results: dict[str, Any], *others: dict[str, Any]) -> str:
    """Return the part of the page that is made of figures."""
    parts = [f"Measured on {report.machine(results['machine'])}."]
    for name, measured in results["workloads"].items():
        if name in CHARTS:
            parts.append(f"\n![{CHARTS[name][0]}](charts/{name}.svg)")
        parts.append(report.table(WORKLOADS[name], measured["runs"], REFERENCE, title_of=title_of))
    return "\n".join([*parts, report.versions(results), *map(brief, others), ""])


def main() -> None:
    """Write the page's figures and the charts."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    results, *others = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    folder = PAGE.parent / "charts"
    folder.mkdir(exist_ok=True)
    for name, (title, note) in CHARTS.items():
        if name in results["workloads"]:
            drawn = charts.chart(title, note, bars(name, results["workloads"][name]["runs"]))
            (folder / f"{name}.svg").write_text(drawn)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + figures(results, *others) + END + after)


if __name__ == "__main__":
    main()
