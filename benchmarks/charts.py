"""Bar charts as SVG, written by hand: a dozen bars need no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, BAR, GAP, NAMES, NUMBERS = 760, 18, 8, 250, 90
OURS, OTHERS, REFERENCE = "#2a78c8", "#9aa3ad", "#5f6872"
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.note { fill: #6a737d }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #9da7b1 } }
"""


class Bar(NamedTuple):
    """One client and what it takes."""

    name: str
    value: float
    text: str
    kind: str = ""
    """``ours``, ``reference`` or nothing."""


def chart(title: str, note: str, bars: Sequence[Bar]) -> str:
    """Return a chart of horizontal bars, on a scale that grows tenfold in equal steps: clients are that far apart."""
    room = WIDTH - NAMES - NUMBERS
    low = math.log10(min(bar.value for bar in bars)) - 0.3
    high = math.log10(max(bar.value for bar in bars))
    top, step = 56, BAR + GAP
    height = top + step * len(bars) + 6
    box = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="18">{escape(title)}</text>',
        f'<text class="note" x="0" y="38">{escape(note)}</text>',
    ]
    for place, bar in enumerate(bars):
        y = top + place * step
        length = max(2.0, room * (math.log10(bar.value) - low) / ((high - low) or 1))
        colour = {"ours": OURS, "reference": REFERENCE}.get(bar.kind, OTHERS)
        parts += [
            f'<text x="{NAMES - 10}" y="{y + 14}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{NAMES + length + 6:.1f}" y="{y + 14}">{escape(bar.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
