"""The page of a report on a batch. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from anyfast_async._core.histogram import Histogram
from anyfast_async._values.outcome import ODD
from anyfast_async._values.text import measured
from anyfast_async.batch.report.charts import charts
from anyfast_async.batch.report.document import figures, framed, pairs, section, table, text
from anyfast_async.batch.report.recorder import FailureExample, Recorder, ReportHead

GENERATOR: Final = '<meta name="generator" content="anyfast batch --report">'
"""By which such a page is told from other files."""


def page(head: ReportHead, record: Recorder, draw: Callable[[dict[str, Any]], str]) -> str:
    """Return the report as HTML.

    Args:
        head: what it says of the run besides what was recorded.
        record: what was recorded.
        draw: makes SVG of a Vega-Lite specification.

    """
    return framed(
        head.title,
        GENERATOR,
        (
            _heading(head, record),
            _tiles(head, record),
            section("Over time", figures(charts(record), draw)),
            section("Rows to look at", _examples(record)),
            section("Seconds", _times(record)),
            section("Tokens", _tokens(record)),
            section("What limited the run", _limits(head, record)),
            section("Second attempts", _attempts(record)),
            section("This run", pairs(head.settings)),
        ),
    )


# -- parts of the page -----------------------------------------------------------------------------------------------


def _heading(head: ReportHead, record: Recorder) -> str:
    tally = record.tally
    good = head.status == "complete"
    began = f"began {record.started.isoformat(' ', 'seconds')}, " if record.started is not None else ""
    told = f'<span class="{"good" if good else "bad"}">{text(head.status)}</span>, {text(began)}'
    lines = [f"<header><h1>{text(head.title)}</h1>", f"<p>{told}took {measured(tally.seconds)}</p>"]
    if tally.already:
        what = f"{tally.already:,} of {tally.total:,} rows had their result from earlier runs"
        lines.append(
            f'<p class="soft">{what}. The counts are of all rows, the rest of the page is of the last run.</p>'
        )
    if tally.left:
        lines.append(f"<p>{tally.left:,} rows are left: the same command goes on.</p>")
    if head.maybe_billed:
        lines.append(f'<p class="words">Perhaps billed, with no answer to show for it: {text(head.maybe_billed)}</p>')
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
        *([(text(head.spend), "spent")] if head.spend is not None else []),
    ]
    drawn = "".join(f'<div class="tile"><b>{value}</b><span class="soft">{name}</span></div>' for value, name in tiles)
    return f'<div class="tiles">{drawn}</div>\n'


_ALWAYS: Final = ("empty", "cut")


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
    return table(("", "mean", "p50", "p90", "p95", "p99"), rows) if rows else "<p>No row was answered.</p>"


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
    return table(("", "tokens", "per answer", "per second"), rows)


_LIMITING: Final = {
    None: "nothing of ours: the time answers take",
    "concurrency": "concurrency",
    "window": "what the gateway takes at once",
    "reserve": "places that are kept free",
    "throttling": "the gateway asked for fewer requests",
    "outage": "the gateway was away",
    "unanswered": "no answer had come yet",
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
}


def _limits(head: ReportHead, record: Recorder) -> str:
    samples = record.limits.total()
    shares = [
        (_LIMITING.get(word, text(str(word))), f"{number / samples:.0%}", _bar(number / samples))
        for word, number in record.limits.most_common()
    ]
    limits = pairs((*head.limits, ("most calls in flight", f"{record.peak:,}")))
    parts = [f'<div class="card"><h3>Limits in force</h3>{limits}</div>'] if limits else []
    if shares:
        parts.append(f'<div class="card"><h3>Share of the time</h3>{table(("limited by", "time", ""), shares)}</div>')
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
        (text(outcome), "" if status is None else str(status), f"{number:,}")
        for (outcome, status), number in record.retried.most_common()
    ]
    maybe = record.billed["maybe"] + record.billed["yes"]
    note = f"<p>{maybe:,} attempts without an answer may have been billed.</p>" if maybe else ""
    return table(("made again after", "status", "attempts"), rows) + note


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
    items = "".join(f"<li><code>{text(one.custom_id)}</code> {text(one.message)}</li>" for one in examples)
    return f'<div class="card words"><h3>{text(kind)}</h3><p class="soft">{text(facts)}</p><ul>{items}</ul></div>'


def _short(number: float) -> str:
    """Return a number for a tile; the tables have it in full."""
    for least, divisor, unit in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e5, 1e3, " k")):
        if number >= least:
            return f"{number / divisor:.4g}{unit}"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.3g}"
