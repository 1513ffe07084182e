"""What was measured, as text."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from plan import Workload

HEADS = {
    "cpu_us": "CPU us",
    "wall_us": "wall us",
    "peak_mib": "peak MiB",
    "grown_mib": "grown MiB",
    "kib_per_stream": "KiB/stream",
    "p50_us": "p50 us",
    "p99_us": "p99 us",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "opened": "opened",
    "failed": "failed",
    "opening_s": "opening s",
    "total_s": "total s",
    "requests": "requests",
    "refused": "429s",
}
Runs = dict[str, list[dict[str, Any]]]


def values(runs: list[dict[str, Any]], key: str) -> list[float]:
    """Return what the runs say of one thing."""
    return [run[key] for run in runs if run.get(key) is not None]


def ratios(runs: Runs, name: str, reference: str, key: str) -> list[float]:
    """Return what a client takes for one of the reference's, round by round."""
    pairs = zip(runs[name], runs.get(reference, []), strict=False)
    return [mine[key] / its[key] for mine, its in pairs if mine.get(key) is not None and its.get(key)]


def number(value: float) -> str:
    """Return a number with three digits that mean something."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def table(
    workload: Workload,
    runs: Runs,
    reference: str,
    *,
    title_of: Callable[[str], str] = str,
) -> str:
    """Return the medians of a workload, best first, as a table in Markdown; *title_of* tells how to call a client."""
    key = workload.columns[0]
    heads = [HEADS[column] for column in workload.columns]
    rounds = max(map(len, runs.values()))
    notes = [f"{workload.name}, {rounds} round{'s' if rounds > 1 else ''}, medians"]
    if "cpu_us" in workload.columns:
        notes.append(f"CPU per {workload.unit}")
    if workload.compared:
        notes.append(f"x is {heads[0]} over that of {title_of(reference)} in the same round")
    lines = [
        f"\n### {workload.title}",
        "",
        "; ".join(notes),
        "",
        f"| {' | '.join(['client', heads[0], 'lowest to highest', 'x', *heads[1:]])} |",
        "|---|" + "---:|" * (len(heads) + 2),
    ]
    usable = {name: statistics.median(values(one, key)) for name, one in runs.items() if values(one, key)}
    for name in sorted(usable, key=usable.__getitem__):
        of_key, relative = values(runs[name], key), ratios(runs, name, reference, key)
        cells = [number(usable[name]), f"{number(min(of_key))} to {number(max(of_key))}"]
        cells.append(f"{statistics.median(relative):.2f}" if relative and workload.compared else "")
        for column in workload.columns[1:]:
            of_column = values(runs[name], column)
            cells.append(number(statistics.median(of_column)) if of_column else "")
        lines.append(f"| {title_of(name)} | {' | '.join(cells)} |")
    for name, one in runs.items():
        errors = [run["error"] for run in one if "error" in run]
        if errors:
            lines.append(f"\n{title_of(name)} failed in {len(errors)} of {len(one)} runs: {errors[0]}")
    return "\n".join(lines)


def machine(of: dict[str, Any]) -> str:
    """Return what the figures were measured on."""
    return f"{of['cores']} x {of['cpu']}, {of['system']}, Python {of['python']}, {of['date']}"


def versions(results: dict[str, Any]) -> str:
    """Return the versions of everything that took part."""
    found: dict[str, set[str]] = {}
    for workload in results["workloads"].values():
        for measured in workload["runs"].values():
            for run in measured:
                for name, version in run.get("versions", {}).items():
                    found.setdefault(name, set()).add(version)
    return "\nversions: " + ", ".join(f"{name} {'/'.join(sorted(all_of))}" for name, all_of in sorted(found.items()))
