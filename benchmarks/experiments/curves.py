"""Curves over time as SVG, written by hand, for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import attrs

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 760, 320, 50, 50, 44, 10
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.note { fill: #6a737d }
.axis { stroke: #9aa3ad; stroke-width: 1 }
path { fill: none; stroke-width: 2 }
.c0 { stroke: #9aa3ad } .c1 { stroke: #c2783a } .ours { stroke: #2a78c8 }
.truth { stroke: #24292f; stroke-dasharray: 4 4 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9da7b1 } .truth { stroke: #e6edf3 } .ours { stroke: #58a6ff }
}
"""


@attrs.frozen
class Curve:
    """What one rule does."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str = ""
    """``ours``, ``truth`` (what the others should follow), or nothing."""


def drawn(path: Path, title: str, across: str, curves: Sequence[Curve], top: float) -> None:
    """Write a picture of *curves*; *top* is the end of the scale that goes up, *across* what goes to the right."""
    right = max(x for curve in curves for x, _ in curve.points)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> str:
        return f"{LEFT + wide * x / right:.1f},{TOP + high * (1 - min(y, top) / top):.1f}"

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="18">{escape(title)}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        y = TOP + high * (1 - step / 4)
        parts += [
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" opacity="0.4"/>',
            f'<text class="note" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>',
        ]
        x = LEFT + wide * step / 4
        low = HEIGHT - BOTTOM + 18
        parts.append(f'<text class="note" x="{x:.1f}" y="{low}" text-anchor="middle">{right * step / 4:.0f}</text>')
    parts.append(
        f'<text class="note" x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>'
    )
    for number, curve in enumerate(curves):
        kind = curve.kind or f"c{number % 2}"
        line = " L".join(place(x, y) for x, y in curve.points)
        x = LEFT + number * wide / len(curves)
        parts += [
            f'<path class="{kind}" d="M{line}"/>',
            f'<path class="{kind}" d="M{x:.0f},36 h20"/>',
            f'<text x="{x + 26:.0f}" y="40">{escape(curve.name)}</text>',
        ]
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")
