"""What came out, as a page of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contenders import ALONE, CONTENDERS, SHARED, Contender
from loads import LOADS

PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "limiters-compared.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
ALONE_HEADS = (
    "limiter",
    "most in 60 s",
    "used",
    "used, when calls may take more than they take",
    "most in 60 s, then",
    "the large call waits",
    "beyond its turn, p99",
    "most in 1 s",
    "CPU a call",
)
SHARED_HEADS = (
    "limiter",
    "store",
    "most in 60 s",
    "used",
    "used after one is killed",
    "Jain",
    "beyond its turn, p99",
    "round trips a call",
)
NONE = "-"


def percent(part: float | None) -> str:
    return NONE if part is None else f"{100 * part:.0f} %"


def seconds(span: float | None) -> str:
    if span is None:
        return NONE
    return f"{span:.0f} s" if span >= 10 else f"{span:.1f} s"


def row_alone(_: Contender, runs: dict[str, Any]) -> list[str]:
    """Return a row of the first table."""
    burst, settle, large, free = (runs.get(name, {}) for name in ("burst", "settle", "large", "free"))
    waited = NONE
    if "large" in large:
        most = LOADS["large"].seconds - LOADS["large"].large_at
        waited = f"over {most:.0f} s" if large["large"] is None else seconds(large["large"])
    cpu = NONE
    if "cpu" in burst and "cpu" in free:
        cpu = f"{max(0.0, burst['cpu'] - free['cpu']):.0f} us"
    return [
        percent(burst.get("worst")),
        percent(burst.get("used")),
        percent(settle.get("used")),
        percent(settle.get("worst")),
        waited,
        seconds(burst.get("late")),
        str(burst.get("second", NONE)),
        cpu,
    ]


def row_shared(who: Contender, runs: dict[str, Any]) -> list[str]:
    """Return a row of the second table."""
    seen = runs["shared"]
    return [
        who.store,
        percent(seen.get("worst")),
        percent(seen.get("used")),
        percent(seen.get("after")),
        f"{seen['jain']:.2f}" if "jain" in seen else NONE,
        seconds(seen.get("late")),
        f"{seen['trips']:.1f}" if seen.get("trips") is not None else NONE,
    ]


def table(heads: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        "|---|" + "---:|" * (len(heads) - 1),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def wrong(results: dict[str, Any]) -> list[str]:
    """Return, as a list, where a guess was a tenth of the limit off or more, or half of the round trips."""
    lines = []
    for name, runs in results["runs"].items():
        who = CONTENDERS[name]
        seen = runs.get("shared", runs.get("burst", {}))
        where = f"{who.title}{f' ({who.store})' if who.store else ''}"
        if "worst" in seen and abs(seen["worst"] - who.guess[0]) >= 0.1:
            lines.append(f"- {where}: {percent(seen['worst'])} of the limit in 60 s; guessed {percent(who.guess[0])}.")
        used = runs.get("settle", {}).get("used")
        if used is not None and abs(used - who.guess[1]) >= 0.1:
            lines.append(f"- {where}: {percent(used)} used where calls may take more; guessed {percent(who.guess[1])}.")
        trips = seen.get("trips")
        if trips is not None and abs(trips - who.guess[1]) >= 0.5 * who.guess[1]:
            lines.append(f"- {where}: {trips:.1f} round trips a call; guessed {who.guess[1]:.0f}.")
    return lines


def figures(results: dict[str, Any]) -> str:
    """Return the part of the page that is made of figures."""
    runs = results["runs"]
    speed = results.get("speed", 1)
    pace = "at the world's pace" if speed == 1 else f"{speed:g} times as fast (LiteLLM and token-throttle: at its pace)"
    parts = [f"Measured on {results['date']}, the clock of the second table {pace}.", ""]
    parts += [part for note in results.get("notes", []) for part in (note, "")]
    for title, heads, whom, row, load in (
        ("### One process", ALONE_HEADS, ALONE, row_alone, "burst"),
        ("### Four processes, one quota", SHARED_HEADS, SHARED, row_shared, "shared"),
    ):
        seen = [one for one in whom if load in runs.get(one.name, {})]
        if seen:
            parts += [title, "", *table(heads, [[one.title, *row(one, runs[one.name])] for one in seen]), ""]
    if guesses := wrong(results):
        parts += ["### What was guessed otherwise", "", *guesses, ""]
    parts += [
        f"{CONTENDERS[name].title}, {load}: {found['error']}\n"
        for name, loads in runs.items()
        for load, found in loads.items()
        if "error" in found
    ]
    versions: dict[str, str] = {}
    for loads in runs.values():
        for found in loads.values():
            versions |= found.get("versions", {})
    parts += ["Versions: " + ", ".join(f"{name} {versions[name]}" for name in sorted(versions)) + ".", ""]
    return "\n".join(parts)


def publish(results: dict[str, Any]) -> None:
    """Write the figures into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + figures(results) + END + after)
