"""The charts of a report, as Vega-Lite specifications. Pure; nothing in them comes from a model or a gateway.

Colours are variables of the page's style sheet, so that one picture serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol, TypeAlias

import attrs

from anyfast_async._values.text import time_unit
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.batch.report.timeline import Bucket

Spec: TypeAlias = dict[str, Any]

STRETCHES, FEWEST = 80, 20
"""Points of a chart over time: at most, and when a run has few rows."""
BINS: Final = 40
"""Bars of a histogram, at most."""
WIDTH, HEIGHT = 350, 170
"""In pixels: a phone shows them a little smaller, a desktop two beside each other."""

_ROWS: Final = 5
"""Rows that make a point of a chart: fewer would be noise."""
TICKS: Final[dict[str, Any]] = {"tickCount": 6, "format": "~f", "labelOverlap": "greedy"}
_WHOLE_HEIGHT: Final = {"y": {"value": 0}, "y2": {"value": HEIGHT}}


class Distribution(Protocol):
    """Times that were counted."""

    def bins(self, most: int) -> Iterable[tuple[float, float, int]]:
        """Yield *most* bins or fewer: from, to, count."""
        ...

    def percentile(self, percent: float) -> float | None:
        """Return the time that *percent* of all do not exceed."""
        ...


@attrs.frozen
class Chart:
    """A chart of the page."""

    title: str
    note: str
    """One sentence under it, ``""`` for none."""
    spec: Spec


@attrs.frozen
class _Point:
    """What happened in one stretch of time; ends in the unit of the chart, amounts a second."""

    start: float
    end: float
    values: dict[str, float]
    held: bool
    told: str


def charts(record: Recorder) -> Iterator[Chart]:
    """Yield the charts that there is something to show in."""
    points = list(_points(record))
    if len(points) > 1:
        yield Chart("Throughput", "Rows a second.", _over_time(record, points, ("answered", "failed")))
        note = "Calls in flight, and calls that waited for our own limits. Grey: the gateway asked for fewer requests."
        yield Chart("In work", note, _levels(record, points, ("in flight", "waiting")))
        note = "Tokens a second, as the gateway reports them."
        yield Chart("Tokens", note, _over_time(record, points, ("prompt", "answer")))
        if any(point.values["throttled"] or point.values["retried"] for point in points):
            note = "Attempts that had to be made again, counted when their row ended."
            yield Chart("Second attempts", note, _over_time(record, points, ("throttled", "retried"), unit="attempts"))
    tally = record.tally
    if tally.latency.count:
        note = (
            "Seconds from taking a row up to its answer: waiting, every attempt and the pauses between them included."
        )
        yield Chart("Latency", note, histogram(tally.latency))
    if tally.first_token.count:
        yield Chart("First token", "Seconds from sending to the first content.", histogram(tally.first_token))


def _points(record: Recorder) -> Iterator[_Point]:
    scale, unit = time_unit(record.timeline.seconds)
    sampled = Bucket()
    rows = sum(bucket.answered + bucket.failed for *_, bucket in record.timeline.stretches(1))
    most = min(STRETCHES, max(FEWEST, rows // _ROWS))
    for start, end, bucket in record.timeline.stretches(most):
        # The last stretch has only begun: over too little time a rate would be a spike.
        until = min(end, max(record.timeline.seconds, (start + end) / 2))
        sampled = bucket if bucket.samples else sampled  # a stretch may be shorter than the time between samples
        values = _values(bucket, sampled, until - start)
        told = ", ".join(f"{name} {value:,.3g}" for name, value in values.items() if value or name == "answered")
        words = f"{start / scale:.3g} to {until / scale:.3g} {unit}: {told}"
        held = sampled.held * 2 > sampled.samples
        yield _Point(start / scale, until / scale, values, held, words)


def _values(bucket: Bucket, sampled: Bucket, span: float) -> dict[str, float]:
    samples = sampled.samples or 1
    return {
        "answered": bucket.answered / span,
        "failed": bucket.failed / span,
        "in flight": sampled.in_flight / samples,
        "waiting": sampled.queued / samples,
        "prompt": bucket.prompt_tokens / span,
        "answer": bucket.completion_tokens / span,
        "throttled": float(bucket.throttled),
        "retried": float(bucket.retries),
    }


def _over_time(record: Recorder, points: list[_Point], names: tuple[str, str], *, unit: str = "") -> Spec:
    """Return a chart of two amounts on top of each other."""
    boxes: list[Spec] = []
    for point in points:
        low = 0.0
        for name in names:
            high = low + point.values[name]
            if high > low:
                boxes.append({"from": point.start, "to": point.end, "low": low, "high": high, "what": name})
            low = high
    drawn = {
        "data": {"values": boxes},
        "mark": {"type": "rect", "aria": False},
        "encoding": {
            **_span(record),
            "y": {**axis(unit, max((box["high"] for box in boxes), default=0.0)), "field": "low"},
            "y2": {"field": "high"},
            "color": _colours(names, "square"),
        },
    }
    return spec(drawn, _told(record, points))


def _levels(record: Recorder, points: list[_Point], names: tuple[str, str]) -> Spec:
    """Return a chart of two levels, with the stretches in grey in which throttling held calls back."""
    values = [
        {"from": at, "what": name, "value": point.values[name]}
        for name in names
        for point in points
        for at in ((point.start,) if point is not points[-1] else (point.start, point.end))
    ]
    held = {
        "data": {"values": [{"from": point.start, "to": point.end} for point in points if point.held]},
        "mark": {"type": "rect", "color": "var(--grid)", "aria": False},
        "encoding": {**_span(record), **_WHOLE_HEIGHT},
    }
    drawn = {
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "aria": False, "strokeWidth": 2},
        "encoding": {
            "x": _span(record)["x"],
            "y": {**axis("", 0), "field": "value"},
            "color": _colours(names, "stroke"),
        },
    }
    return spec(held, drawn, _told(record, points))


def _told(record: Recorder, points: list[_Point]) -> Spec:
    """Return an invisible layer that tells the numbers of a stretch of time to who points at it."""
    values = [{"from": point.start, "to": point.end, "told": point.told} for point in points]
    encoding = {**_span(record), **_WHOLE_HEIGHT, "description": {"field": "told"}}
    return {
        "data": {"values": values},
        "mark": {"type": "rect", "color": "var(--one)", "opacity": 0},
        "encoding": encoding,
    }


def _span(record: Recorder) -> Spec:
    title = f"{time_unit(record.timeline.seconds)[1]} from the start"
    return {
        "x": {"field": "from", "type": "quantitative", "title": title, "scale": {"nice": False}, "axis": TICKS},
        "x2": {"field": "to"},
    }


def axis(title: str, most: float) -> Spec:
    """Return the encoding of amounts up to *most*; those with a title are whole numbers, and so are their ticks."""
    ticks = {"format": "~s", "tickCount": min(4, max(1, int(most))) if title else 4}
    return {"type": "quantitative", "title": title or None, "axis": ticks}


def _colours(names: tuple[str, str], symbol: str) -> Spec:
    scale = {"domain": list(names), "range": ["var(--one)", "var(--two)"]}
    legend = {"orient": "top", "title": None, "symbolType": symbol}
    return {"field": "what", "type": "nominal", "scale": scale, "legend": legend}


def histogram(values: Distribution, noun: str = "rows") -> Spec:
    """Return a chart of how often which times came; *noun* is what is counted."""
    bars: list[Spec] = [
        {"from": low, "to": high, "low": 0, "rows": count, "told": f"{low:.3g} to {high:.3g} s: {count:,} {noun}"}
        for low, high, count in values.bins(BINS)
    ]
    # Above the bars, and one below the other, as they may stand close together.
    marks = [{"at": values.percentile(p), "label": f"p{p}", "y": 13 * n} for n, p in enumerate((50, 95, 99))]
    most = max(bar["rows"] for bar in bars)
    room = {"domain": [0, most * 1.3], "nice": False}
    seconds = {"type": "quantitative", "scale": {"type": "log", "nice": False}, "title": "seconds"}
    drawn = {
        "data": {"values": bars},
        "mark": {"type": "rect", "color": "var(--one)"},
        "encoding": {
            "x": {"field": "from", "axis": TICKS | {"format": "~r"}, **seconds},
            "x2": {"field": "to"},
            "y": {**axis(noun, most), "field": "low", "scale": room},
            "y2": {"field": "rows"},
            "description": {"field": "told"},
        },
    }
    at = {"x": {"field": "at", **seconds}}
    rules = {"data": {"values": marks}, "mark": {"type": "rule", "color": "var(--ink)", "aria": False}, "encoding": at}
    last = "datum.label === 'p99'"  # which stands close to the edge
    text = {
        "type": "text",
        "align": {"expr": f"{last} ? 'right' : 'left'"},
        "dx": {"expr": f"{last} ? -3 : 3"},
        "dy": 6,
        "color": "var(--ink)",
        "aria": False,
        "fontSize": 12,
    }
    height = {"y": {"field": "y", "type": "quantitative", "scale": None}}
    labels = {"data": {"values": marks}, "mark": text, "encoding": {**at, **height, "text": {"field": "label"}}}
    return spec(drawn, rules, labels)


def spec(*layers: Spec) -> Spec:
    """Return a chart of layers, in the looks that all have."""
    quiet = {"labelColor": "var(--soft)", "titleColor": "var(--soft)", "labelFontSize": 13, "titleFontSize": 13}
    lines = {"gridColor": "var(--grid)", "domainColor": "var(--line)", "tickColor": "var(--line)"}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": WIDTH,
        "height": HEIGHT,
        "padding": 2,
        "background": None,
        "layer": layers,
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {**quiet, **lines, "titleFontWeight": "normal"},
            "axisX": {"grid": False},
            "legend": {"labelColor": "var(--soft)", "labelFontSize": 13},
        },
    }
