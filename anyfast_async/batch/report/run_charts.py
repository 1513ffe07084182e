"""The charts of a report on a batch: what happened over time, and how long answers took. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from anyfast_async._core.histogram import Histogram
from anyfast_async._core.usage import Used
from anyfast_async._values.text import time_unit
from anyfast_async.batch.report.charts import HEIGHT, TICKS, Chart, Spec, axis, by_model, colours, histogram, spec
from anyfast_async.batch.report.gathered import Gathered
from anyfast_async.batch.report.stretch import ModelFigures, Stretch
from anyfast_async.prices import Prices

POINTS, FEWEST = 80, 20
"""Points of a chart over time: at most, and when a run has few rows."""
LEAST: Final = 4
"""Stretches of time from which on there is a chart of them."""
_ROWS: Final = 5
"""Rows that make a point of a chart: fewer would be noise."""
_WHOLE_HEIGHT: Final = {"y": {"value": 0}, "y2": {"value": HEIGHT}}


@attrs.frozen
class _Point:
    """What happened in one stretch of time; ends in the unit of the chart, amounts a second."""

    start: float
    end: float
    values: dict[str, float]
    held: bool
    told: str


@attrs.frozen
class _Line:
    """The axis of time."""

    points: Sequence[_Point]
    title: str


def over_time(found: Gathered, prices: Prices | None) -> Iterator[Chart]:
    """Yield the charts over time that there is something to show in."""
    line = _line(found, prices)
    if line is None:
        return
    yield Chart("Throughput", "Rows a second.", _amounts(line, ("answered", "failed")))
    if not found.is_dated:
        note = "Calls in flight, and calls that waited for our own limits. Grey: the gateway asked for fewer requests."
        yield Chart("In work", note, _levels(line, ("in flight", "waiting")))
    yield Chart("Tokens", "Tokens a second, as the gateway reports them.", _amounts(line, ("prompt", "answer")))
    if prices is not None and any(point.values["cost"] for point in line.points):
        note = f"{prices.currency or 'Money'} so far; answers that were replaced since are in it."
        yield Chart("Cost", note, _levels(line, ("cost",), legend=False))
    if any(point.values["throttled"] or point.values["retried"] for point in line.points):
        note = "Attempts that had to be made again, counted when their row ended."
        yield Chart("Second attempts", note, _amounts(line, ("throttled", "retried"), unit="attempts"))


def _placed(found: Gathered) -> Iterator[tuple[float, float, Stretch]]:
    """Yield every stretch with its ends on one axis: the runs one behind the other, without the time between them."""
    before = 0.0
    for _, one in itertools.groupby(found.stretches, key=lambda stretch: stretch.run):
        stretches = list(one)
        for stretch in stretches:
            yield before + stretch.start, before + stretch.end, stretch
        before += max(stretch.end for stretch in stretches)


def _line(found: Gathered, prices: Prices | None) -> _Line | None:
    placed = [(start, end, one) for start, end, one in _placed(found) if end > start]
    if len(placed) < LEAST:
        return None
    seconds = max(end for _, end, _ in placed)
    scale, unit = time_unit(seconds)
    rows = sum(figures.answered + figures.failed for *_, one in placed for figures in one.models.values())
    number = min(POINTS, len(placed), max(FEWEST, rows // _ROWS))
    points: list[_Point] = []
    spent = 0.0
    for index, shares in enumerate(_shares(placed, seconds, number)):
        start, end = seconds * index / number, seconds * (index + 1) / number
        values = _values(shares, end - start, prices)
        spent += values["cost"]
        values["cost"] = spent
        told = ", ".join(f"{name} {value:,.3g}" for name, value in values.items() if value or name == "answered")
        held = sum(share * one.held for share, one in shares) * 2 > sum(share * one.samples for share, one in shares)
        words = f"{start / scale:.3g} to {end / scale:.3g} {unit}: {told}"
        points.append(_Point(start / scale, end / scale, values, held, words))
    where = "from the first answer" if found.is_dated else "of work"
    return _Line(points, f"{unit} {where}")


def _shares(
    placed: Sequence[tuple[float, float, Stretch]], seconds: float, number: int
) -> list[list[tuple[float, Stretch]]]:
    """Return, for each of *number* equal parts of the time, the stretches in it, each with how much of it is."""
    found: list[list[tuple[float, Stretch]]] = [[] for _ in range(number)]
    width = seconds / number
    for start, end, one in placed:
        for index in range(int(start / width), min(number - 1, int(end / width)) + 1):
            inside = min(end, (index + 1) * width) - max(start, index * width)
            if inside > 0:
                found[index].append((inside / (end - start), one))
    return found


def _values(shares: Iterable[tuple[float, Stretch]], span: float, prices: Prices | None) -> dict[str, float]:
    names = ("answered", "failed", "in flight", "waiting", "prompt", "answer", "throttled", "retried", "cost")
    found: dict[str, float] = dict.fromkeys(names, 0.0)
    samples = 0.0
    for share, one in shares:
        for model, figures in one.models.items():
            found["answered"] += share * figures.answered / span
            found["failed"] += share * figures.failed / span
            found["prompt"] += share * figures.used.prompt / span
            found["answer"] += share * figures.used.completion / span
            found["cost"] += share * cost_of(model, figures, prices)
        samples += share * one.samples
        found["in flight"] += share * one.in_flight
        found["waiting"] += share * one.queued
        found["throttled"] += share * one.throttled
        found["retried"] += share * (one.retried.total() - one.throttled)
    for name in ("in flight", "waiting"):
        found[name] /= samples or 1.0
    return found


def cost_of(model: str, figures: ModelFigures, prices: Prices | None) -> float:
    """Return what answers cost, each taken for one of middling size; 0 where there is no price."""
    price = prices.price(model) if prices is not None and figures.priced else None
    if price is None:
        return 0.0
    mean = Used(*(value / figures.priced for value in figures.used))  # type: ignore[arg-type]  # means
    return figures.priced * price.cost(mean)


def _amounts(line: _Line, names: tuple[str, str], *, unit: str = "") -> Spec:
    """Return a chart of two amounts on top of each other."""
    boxes: list[Spec] = []
    for point in line.points:
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
            **_span(line),
            "y": {**axis(unit), "field": "low"},
            "y2": {"field": "high"},
            "color": colours(names, "square"),
        },
    }
    return spec(drawn, _told(line))


def _levels(line: _Line, names: Sequence[str], *, legend: bool = True) -> Spec:
    """Return a chart of levels; with a legend, the stretches are grey in which throttling held calls back."""
    values = [
        {"from": at, "what": name, "value": point.values[name]}
        for name in names
        for point in line.points
        for at in ((point.start,) if point is not line.points[-1] else (point.start, point.end))
    ]
    held = {
        "data": {"values": [{"from": point.start, "to": point.end} for point in line.points if point.held and legend]},
        "mark": {"type": "rect", "color": "var(--grid)", "aria": False},
        "encoding": {**_span(line), **_WHOLE_HEIGHT},
    }
    drawn = {
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "aria": False, "strokeWidth": 2},
        "encoding": {
            "x": _span(line)["x"],
            "y": {**axis(""), "field": "value"},
            "color": colours(names, "stroke") if legend else {"value": "var(--one)"},
        },
    }
    return spec(held, drawn, _told(line))


def _told(line: _Line) -> Spec:
    """Return an invisible layer that tells the numbers of a stretch of time to who points at it."""
    values = [{"from": point.start, "to": point.end, "told": point.told} for point in line.points]
    encoding = {**_span(line), **_WHOLE_HEIGHT, "description": {"field": "told"}}
    return {
        "data": {"values": values},
        "mark": {"type": "rect", "color": "var(--one)", "opacity": 0},
        "encoding": encoding,
    }


def _span(line: _Line) -> Spec:
    x = {"field": "from", "type": "quantitative", "title": line.title, "scale": {"nice": False}, "axis": TICKS}
    return {"x": x, "x2": {"field": "to"}}


# -- times -------------------------------------------------------------------------------------------------------------


def times(found: Gathered) -> Iterator[Chart]:
    """Yield the charts of how long answers took."""
    models = found.whole.models
    latency, first = Histogram(), Histogram()
    for figures in models.values():
        latency.merge(figures.latency)
        first.merge(figures.first_token)
    if latency.count:
        note = (
            "Seconds from taking a row up to its answer: waiting, every attempt and the pauses between them included."
        )
        yield Chart("Latency", note, histogram(latency))
    taken = {name: figures.latency for name, figures in models.items() if figures.latency.count}
    if len(taken) > 1:
        yield Chart("Latency by model", "Bar: from p50 to p95. Tick: p99.", by_model(taken))
    if first.count:
        yield Chart("First token", "Seconds from sending to the first content.", histogram(first))
