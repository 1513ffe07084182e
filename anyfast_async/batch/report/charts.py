"""What charts of reports are made of, as Vega-Lite specifications. Pure.

Colours are variables of the page's style sheet, so that one picture serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import attrs

from anyfast_async._core.histogram import Histogram
from anyfast_async._values.text import escaped, measured

Spec: TypeAlias = dict[str, Any]

BINS: Final = 40
"""Bars of a histogram, at most."""
MODELS: Final = 8
"""Models that are shown beside each other, at most."""
WIDTH, HEIGHT = 350, 170
"""In pixels: a phone shows them a little smaller, a desktop two beside each other."""
PERCENTILES: Final = (50, 95, 99)

TICKS: Final[dict[str, Any]] = {"tickCount": 6, "format": "~f", "labelOverlap": "greedy"}
_AMOUNT: Final = "abs(datum.value) < 1000 ? format(datum.value, '~r') : format(datum.value, '~s')"
_MODEL_LETTERS: Final = 40


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


def axis(title: str) -> Spec:
    """Return the encoding of amounts; those with a title are whole numbers, and so are their ticks."""
    ticks = {"labelExpr": _AMOUNT, "tickCount": 4} | ({"tickMinStep": 1} if title else {})
    return {"type": "quantitative", "title": title or None, "axis": ticks}


def colours(names: Sequence[str], symbol: str) -> Spec:
    """Return the encoding of two things by colour, with a legend."""
    scale = {"domain": list(names), "range": ["var(--one)", "var(--two)"][: len(names)]}
    legend = {"orient": "top", "title": None, "symbolType": symbol}
    return {"field": "what", "type": "nominal", "scale": scale, "legend": legend}


def by_model(latencies: dict[str, Histogram]) -> Spec:
    """Return a chart of how long each model took, those with most answers."""
    most = sorted(latencies, key=lambda name: -latencies[name].count)[:MODELS]
    values = []
    for name in most:
        p50, p95, p99 = (latencies[name].percentile(p) or 0.0 for p in PERCENTILES)
        shown = escaped(name, _MODEL_LETTERS)
        told = f"{shown}: p50 {measured(p50)}, p95 {measured(p95)}, p99 {measured(p99)}"
        values.append({"model": shown, "p50": p50, "p95": p95, "p99": p99, "told": told})
    seconds = {"type": "quantitative", "scale": {"type": "log", "nice": False}, "title": "seconds"}
    y = {
        "field": "model",
        "type": "nominal",
        "sort": None,
        "title": None,
        # Above its bar, so that a long name takes no room from it.
        "axis": {
            "labelAlign": "left",
            "labelBaseline": "bottom",
            "labelOffset": -9,
            "labelPadding": -4,
            "labelLimit": WIDTH,
            "labelColor": "var(--ink)",
            "ticks": False,
            "domain": False,
            "zindex": 1,
        },
    }
    data = {"data": {"values": values}}
    bar = {
        **data,
        "mark": {"type": "bar", "height": 10, "color": "var(--one)"},
        "encoding": {
            "x": {"field": "p50", "axis": TICKS | {"format": "~r"}, **seconds},
            "x2": {"field": "p95"},
            "y": y,
            "description": {"field": "told"},
        },
    }
    tick = {
        **data,
        "mark": {"type": "tick", "color": "var(--two)", "thickness": 2, "size": 16, "aria": False},
        "encoding": {"x": {"field": "p99", **seconds}, "y": y},
    }
    return spec(bar, tick) | {"height": 44 * len(values)}


def histogram(values: Distribution, noun: str = "rows") -> Spec:
    """Return a chart of how often which times came; *noun* is what is counted.

    The percentiles are lines, each of its own pattern; what they are stands in the legend, where nothing can cover it.
    """
    bars: list[Spec] = [
        {"from": low, "to": high, "low": 0, "rows": count, "told": f"{low:.3g} to {high:.3g} s: {count:,} {noun}"}
        for low, high, count in values.bins(BINS)
    ]
    found = [(percent, values.percentile(percent) or 0.0) for percent in PERCENTILES]
    marks = [{"at": at, "label": f"p{percent} {measured(at)}"} for percent, at in found]
    seconds = {"type": "quantitative", "scale": {"type": "log", "nice": False}, "title": "seconds"}
    drawn = {
        "data": {"values": bars},
        "mark": {"type": "rect", "color": "var(--one)"},
        "encoding": {
            "x": {"field": "from", "axis": TICKS | {"format": "~r"}, **seconds},
            "x2": {"field": "to"},
            "y": {**axis(noun), "field": "low"},
            "y2": {"field": "rows"},
            "description": {"field": "told"},
        },
    }
    return spec(drawn, rules(marks, seconds))


_DASHES: Final = ([1, 0], [6, 3], [2, 3])


def rules(marks: Sequence[Spec], seconds: Spec) -> Spec:
    """Return a layer of lines at percentiles, with a legend of them."""
    labels = [mark["label"] for mark in marks]
    legend = {
        "orient": "top",
        "title": None,
        "symbolType": "stroke",
        "symbolSize": 300,
        "symbolStrokeColor": "var(--ink)",
    }
    dash = {
        "field": "label",
        "type": "nominal",
        "scale": {"domain": labels, "range": list(_DASHES)},
        "legend": legend | {"symbolType": "stroke"},
    }
    encoding = {"x": {"field": "at", **seconds}, "strokeDash": dash}
    mark = {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.5, "aria": False}
    return {"data": {"values": list(marks)}, "mark": mark, "encoding": encoding}


def compared(one: Histogram, other: Histogram, names: tuple[str, str]) -> Spec:
    """Return a chart of the times of two runs: which share of answers had come after how long."""
    values = [
        {"at": histogram_.percentile(percent), "share": percent / 100, "what": name}
        for histogram_, name in ((one, names[0]), (other, names[1]))
        for percent in range(1, 101)
    ]
    seconds = {"type": "quantitative", "scale": {"type": "log", "nice": False}, "title": "seconds"}
    drawn = {
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "aria": False, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "at", "axis": TICKS | {"format": "~r"}, **seconds},
            "y": {"field": "share", "type": "quantitative", "title": None, "axis": {"format": ".0%", "tickCount": 4}},
            "color": colours(names, "stroke"),
        },
    }
    return spec(drawn)


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
            "legend": {"labelColor": "var(--soft)", "labelFontSize": 13, "labelLimit": WIDTH // 2},
        },
    }
