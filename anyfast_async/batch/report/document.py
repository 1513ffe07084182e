"""What a page of a report is made of: one file that needs nothing else. Pure.

There is no script in it and no style but its own sheet, and a policy that the browser enforces says so: whatever a
model or a gateway wrote is text, even where escaping had a hole.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, Final

from anyfast_async.batch.report.charts import Chart
from anyfast_async.errors import escaped

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #1b2330; --line: #c3c9d2; --grid: #e4e7ec;
  --one: #2563c9; --two: #d9541e; --good: #1d7a46; --bad: #b3261e; --soft: #5a6473;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1b2129; --ink: #e6eaf0; --line: #4a5463; --grid: #2d3540;
    --one: #6ea8ff; --two: #ff9b66; --good: #62d196; --bad: #ff8a80; --soft: #a3adba;
  }
}
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --ink: #000; --line: #999; --grid: #ddd;
    --one: #2563c9; --two: #d9541e; --good: #1d7a46; --bad: #b3261e; --soft: #444;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 1.5rem; max-width: 66rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif;
}
h1 { margin: 0; font-size: 1.4rem }
h2 { margin: 2rem 0 .6rem; font-size: 1.1rem }
h3 { margin: 0 0 .4rem; font-size: 1rem }
p { margin: .3rem 0 }
.soft { color: var(--soft) }
.good { color: var(--good) }
.bad { color: var(--bad) }
.grid { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)) }
.tiles { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(6.8rem, 1fr)); margin-top: 1rem }
.card, .tile, figure {
  margin: 0; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--grid); border-radius: .6rem;
}
.tile { padding: .6rem .8rem }
.tile b { display: block; font-size: 1.25rem; line-height: 1.3; white-space: nowrap }
figure { break-inside: avoid }
figcaption { font-weight: 600 }
figure p { font-size: .85rem }
ul { margin: .4rem 0 0; padding-left: 1.1rem }
li { margin-top: .25rem }
svg { display: block; width: 100%; height: auto; shape-rendering: crispEdges }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--grid); text-align: left; vertical-align: top }
th { font-weight: 600; color: var(--soft); white-space: nowrap }
h1, header p, .words { overflow-wrap: anywhere }
tbody tr:last-child > * { border-bottom: 0 }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code { font: .9em ui-monospace, monospace }
summary { cursor: pointer }
@media (max-width: 30rem) { body { padding: .8rem } figure { padding: .6rem } }
@media print { body { padding: 0; max-width: none } }
"""


def framed(title: str, generator: str, parts: Iterable[str]) -> str:
    """Return the whole file, of *parts*; *generator* is the element that tells such pages from other files."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return "".join(
        (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{generator}\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n',
            f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            *parts,
            "</body>\n</html>\n",
        )
    )


def figures(charts: Iterable[Chart], draw: Callable[[dict[str, Any]], str]) -> str:
    """Return charts beside each other."""
    return f'<div class="grid">{"".join(_figure(one, draw) for one in charts)}</div>'


def _figure(chart: Chart, draw: Callable[[dict[str, Any]], str]) -> str:
    drawn = draw(chart.spec).replace("<svg ", f'<svg role="img" aria-label="{chart.title}" ', 1)
    note = f'<p class="soft">{chart.note}</p>' if chart.note else ""
    return f"<figure><figcaption>{chart.title}</figcaption>{note}{drawn}</figure>\n"


def section(title: str, content: str) -> str:
    """Return a part with a heading; *content* is HTML already."""
    return f"<section><h2>{title}</h2>{content}</section>\n"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table."""
    drawn = "".join(
        f'<tr><th scope="row">{text(name)}</th><td class="words">{text(value)}</td></tr>' for name, value in rows
    )
    return f"<table><tbody>{drawn}</tbody></table>"


_CLASSES: Final = {
    **dict.fromkeys(("mean", "p50", "p90", "p95", "p99"), ' class="number"'),
    **dict.fromkeys(("tokens", "per answer", "per second", "time", "status", "attempts", "rows"), ' class="number"'),
    **dict.fromkeys(("answers/s", "tokens/s", "failed", "max", "count"), ' class="number"'),
}
"""By the heading of a column, how its cells look."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    kinds = [_CLASSES.get(column, "") for column in columns]
    head = "".join(f'<th scope="col"{kind}>{column}</th>' for kind, column in zip(kinds, columns, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def text(value: str) -> str:
    """Return *value* as HTML: nothing in it is markup, or changes the direction of what stands around it."""
    return escape(escaped(value, 2000))
