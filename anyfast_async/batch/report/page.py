"""The page of a report: one file that needs nothing else. Pure.

There is no script in it and no style but its own sheet, and a policy that the browser enforces says so: whatever a
model or a gateway wrote is text, even where escaping had a hole.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, Final

from anyfast_async._core.histogram import Histogram
from anyfast_async._values.outcome import ODD
from anyfast_async._values.text import measured
from anyfast_async.batch.report.charts import Chart, charts
from anyfast_async.batch.report.recorder import FailureExample, Recorder, ReportHead
from anyfast_async.errors import escaped

GENERATOR: Final = '<meta name="generator" content="anyfast batch --report">'
"""By which such a page is told from other files."""
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


def page(head: ReportHead, record: Recorder, draw: Callable[[dict[str, Any]], str]) -> str:
    """Return the report as HTML.

    Args:
        head: what it says of the run besides what was recorded.
        record: what was recorded.
        draw: makes SVG of a Vega-Lite specification.

    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return "".join(
        (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{GENERATOR}\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n',
            f"<title>{_text(head.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            _heading(head, record),
            _tiles(head, record),
            _section("Over time", f'<div class="grid">{"".join(_figure(one, draw) for one in charts(record))}</div>'),
            _section("Rows to look at", _examples(record)),
            _section("Seconds", _times(record)),
            _section("Tokens", _tokens(record)),
            _section("What limited the run", _limits(head, record)),
            _section("Second attempts", _attempts(record)),
            _section("This run", _pairs(head.settings)),
            "</body>\n</html>\n",
        )
    )


# -- parts of the page -----------------------------------------------------------------------------------------------


def _heading(head: ReportHead, record: Recorder) -> str:
    tally = record.tally
    good = head.status == "complete"
    began = f"began {record.started.isoformat(' ', 'seconds')}, " if record.started is not None else ""
    told = f'<span class="{"good" if good else "bad"}">{_text(head.status)}</span>, {_text(began)}'
    lines = [f"<header><h1>{_text(head.title)}</h1>", f"<p>{told}took {measured(tally.seconds)}</p>"]
    if tally.already:
        what = f"{tally.already:,} of {tally.total:,} rows had their result from earlier runs"
        lines.append(
            f'<p class="soft">{what}. The counts are of all rows, the rest of the page is of the last run.</p>'
        )
    if tally.left:
        lines.append(f"<p>{tally.left:,} rows are left: the same command goes on.</p>")
    if head.maybe_billed:
        lines.append(f'<p class="words">Perhaps billed, with no answer to show for it: {_text(head.maybe_billed)}</p>')
    return "".join((*lines, "</header>\n"))


def _tiles(head: ReportHead, record: Recorder) -> str:
    tally = record.tally
    median = tally.latency.percentile(50)
    tiles = [
        (_short(tally.file.answered), "answered"),
        (f'<span class="bad">{_short(tally.file.failed)}</span>' if tally.file.failed else "0", "failed"),
        *((_short(tally.file.outcomes[word]), word) for word in ODD if tally.file.outcomes[word] or word in _ALWAYS),
        *([(_short(tally.without), "not answered")] if tally.without else []),
        (_short(tally.rate), "rows/s"),
        (_short(tally.tokens), "tokens"),
        *([(measured(median), "median")] if median is not None else []),
        *([(_text(head.spend), "spent")] if head.spend is not None else []),
    ]
    drawn = "".join(f'<div class="tile"><b>{value}</b><span class="soft">{name}</span></div>' for value, name in tiles)
    return f'<div class="tiles">{drawn}</div>\n'


_ALWAYS: Final = ("empty", "cut")


def _figure(chart: Chart, draw: Callable[[dict[str, Any]], str]) -> str:
    drawn = draw(chart.spec).replace("<svg ", f'<svg role="img" aria-label="{chart.title}" ', 1)
    note = f'<p class="soft">{chart.note}</p>' if chart.note else ""
    return f"<figure><figcaption>{chart.title}</figcaption>{note}{drawn}</figure>\n"


def _times(record: Recorder) -> str:
    tally = record.tally
    rows = [
        (name, *_percentiles(histogram))
        for name, histogram in (
            ("latency", tally.latency),
            ("of it waiting for limits", tally.queue),
            ("first token", tally.first_token),
        )
        if histogram.count
    ]
    return _table(("", "mean", "p50", "p90", "p95", "p99"), rows) if rows else "<p>No row was answered.</p>"


def _percentiles(histogram: Histogram) -> Iterable[str]:
    yield measured(histogram.total / histogram.count)
    for percent in (50, 90, 95, 99):
        yield measured(histogram.percentile(percent) or 0.0)


def _tokens(record: Recorder) -> str:
    tally = record.tally
    answered = tally.answered or 1
    rows = [
        (name, f"{number:,}", f"{number / answered:,.1f}", f"{number / tally.seconds:,.1f}" if tally.seconds else "")
        for name, number in (
            ("prompt", tally.prompt_tokens),
            ("of it cached", tally.cached_tokens),
            ("answer", tally.completion_tokens),
            ("of it thinking", tally.reasoning_tokens),
            ("together", tally.tokens),
        )
        if number or not name.startswith("of it")
    ]
    return _table(("", "tokens", "per answer", "per second"), rows)


_LIMITING: Final = {
    None: "nothing of ours: the time answers take",
    "concurrency": "concurrency",
    "throttling": "the gateway asked for fewer requests",
    "outage": "the gateway was away",
    "unanswered": "no answer had come yet",
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
}


def _limits(head: ReportHead, record: Recorder) -> str:
    samples = record.limits.total()
    shares = [
        (_LIMITING.get(word, _text(str(word))), f"{number / samples:.0%}", _bar(number / samples))
        for word, number in record.limits.most_common()
    ]
    limits = _pairs((*head.limits, ("most calls in flight", f"{record.peak:,}")))
    parts = [f'<div class="card"><h3>Limits in force</h3>{limits}</div>'] if limits else []
    if shares:
        parts.append(f'<div class="card"><h3>Share of the time</h3>{_table(("limited by", "time", ""), shares)}</div>')
    return f'<div class="grid">{"".join(parts)}</div>'


def _bar(share: float) -> str:
    # Attributes of SVG, because the page's policy forbids style attributes.
    return (
        f'<svg viewBox="0 0 100 8" role="presentation"><rect width="100" height="8" fill="var(--grid)"/>'
        f'<rect width="{share * 100:.1f}" height="8" fill="var(--one)"/></svg>'
    )


def _attempts(record: Recorder) -> str:
    if not record.retried:
        return "<p>Every row ended with its first attempt.</p>"
    rows = [
        (_text(outcome), "" if status is None else str(status), f"{number:,}")
        for (outcome, status), number in record.retried.most_common()
    ]
    maybe = record.billed["maybe"] + record.billed["yes"]
    note = f"<p>{maybe:,} attempts without an answer may have been billed.</p>" if maybe else ""
    return _table(("made again after", "status", "attempts"), rows) + note


def _examples(record: Recorder) -> str:
    tally = record.tally
    counts: dict[str, int] = {**tally.kinds, **record.odd}
    kinds = sorted(record.examples, key=lambda kind: (kind in ODD, -counts.get(kind, 0)))
    cards = (_card(kind, counts.get(kind, 0), record.examples[kind]) for kind in kinds)
    return f'<div class="grid">{"".join(cards)}</div>' if kinds else "<p>None.</p>"


def _card(kind: str, rows: int, examples: Sequence[FailureExample]) -> str:
    first = examples[0]
    facts = f"{rows:,} {'row' if rows == 1 else 'rows'}, billed: {first.billed}"
    if kind not in ODD:
        facts += f", {'may succeed if sent again' if first.retryable else 'would fail again'}"
    items = "".join(f"<li><code>{_text(one.custom_id)}</code> {_text(one.message)}</li>" for one in examples)
    return f'<div class="card words"><h3>{_text(kind)}</h3><p class="soft">{_text(facts)}</p><ul>{items}</ul></div>'


# -- pieces ----------------------------------------------------------------------------------------------------------


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>\n"


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td class="words">{_text(value)}</td></tr>' for name, value in pairs
    )
    return f"<table><tbody>{rows}</tbody></table>"


_CLASSES: Final = {
    **dict.fromkeys(("mean", "p50", "p90", "p95", "p99"), ' class="number"'),
    **dict.fromkeys(("tokens", "per answer", "per second", "time", "status", "attempts", "rows"), ' class="number"'),
}
"""By the heading of a column, how its cells look."""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    kinds = [_CLASSES.get(column, "") for column in columns]
    head = "".join(f'<th scope="col"{kind}>{column}</th>' for kind, column in zip(kinds, columns, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(value: str) -> str:
    """Return *value* as HTML: nothing in it is markup, or changes the direction of what stands around it."""
    return escape(escaped(value, 2000))


def _short(number: float) -> str:
    """Return a number for a tile; the tables have it in full."""
    for least, divisor, unit in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e5, 1e3, " k")):
        if number >= least:
            return f"{number / divisor:.4g}{unit}"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.3g}"
