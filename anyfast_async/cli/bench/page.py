"""The page about a test. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from anyfast_async._values.text import counted
from anyfast_async.batch.report.charts import TICKS, Chart, histogram, spec
from anyfast_async.batch.report.rendering import rendered
from anyfast_async.cli.bench.histogram import Times
from anyfast_async.cli.bench.knee import knee
from anyfast_async.cli.bench.measurement import PERCENTILES, Measurement
from anyfast_async.cli.bench.options import BenchOptions
from anyfast_async.cli.bench.summary import SHOWN, knee_in_words, told

GENERATOR: Final = "anyfast bench"
"""What such a page says that it was made by."""
Draw = Callable[[dict[str, Any]], str]


def page(
    points: Sequence[Measurement],
    options: BenchOptions,
    status: str,
    settings: Sequence[tuple[str, str]],
    draw: Draw,
) -> str:
    """Return the page as HTML; *draw* makes SVG of a Vega-Lite specification."""
    wrong = [problem for one in points for problem in one.verdict()]
    is_sweep = options.is_sweep and len(points) > 1
    values = {
        "generator": GENERATOR,
        "title": f"Load test: {', '.join(value for name, value in settings if name in ('model', 'gateway'))}",
        "status": status if not wrong else f"{status}, INVALID: the figures are not the gateway's",
        "good": status == "complete" and not wrong,
        "wrong": list(dict.fromkeys(wrong)),
        "all_tiles": list(_tiles(points)),
        "load_columns": _LOADS,
        "loads": [_load(one) for one in points] if is_sweep else [],
        "knee": knee_in_words(points) if is_sweep else "",
        "sweep": list(_sweep_charts(points)) if is_sweep else [],
        "time_columns": _TIMES,
        "points": [
            {
                "load": str(one.load),
                "charts": list(_charts(one)),
                "times": list(_times(one)),
                "facts": list(_facts(one)),
            }
            for one in points
        ],
        "definitions": _DEFINITIONS,
        "settings": (*settings, *_settings(options)),
    }
    return rendered("bench.html", values, draw)


def _point(one: Measurement) -> dict[str, Any]:
    parts = {"charts": _charts(one), "times": _times(one), "facts": _facts(one)}
    return {"load": str(one.load), **{name: list(part) for name, part in parts.items()}}


def _tiles(points: Sequence[Measurement]) -> Iterator[tuple[str, str, bool]]:
    """Yield value, name, and whether it is bad."""
    shown = knee(points) or (points[-1] if points else None)
    if shown is None:
        return
    failed = shown.failed.total()
    yield f"{shown.load.amount:g}", "requests/s offered" if shown.load.rate is not None else "at once", False
    yield f"{shown.throughput:.3g}", "answers/s", False
    yield f"{shown.token_throughput:,.4g}", "tokens/s", False
    yield counted(failed), "failed", failed > 0
    for times, name in ((shown.first_token, "first token, median"), (shown.per_token, "per token, median")):
        median = times.percentile(50)
        if median is not None:
            yield told(median), name, False


_LOADS: Final = (
    *("load", "answers/s", "tokens/s", "failed"),
    *("first token p50", "first token p99", "per token p50", "per token p99", "valid"),
)


def _load(one: Measurement) -> tuple[str, ...]:
    return (
        str(one.load),
        f"{one.throughput:.3g}",
        f"{one.token_throughput:,.4g}",
        counted(one.failed.total()),
        *_cells(one.first_token, (50, 99)),
        *_cells(one.per_token, (50, 99)),
        "no" if one.verdict() else "yes",
    )


_TIMES: Final = ("", "mean", *(f"p{percent:g}" for percent in PERCENTILES), "max", "count")


def _times(one: Measurement) -> Iterator[tuple[str, ...]]:
    for attribute, name in SHOWN:
        times: Times = getattr(one, attribute)
        if times.count:
            longest = (told(times.longest), counted(times.count))
            yield name.strip(), told(times.mean or 0.0), *_cells(times, PERCENTILES), *longest


def _cells(times: Times, percents: Iterable[float]) -> Iterator[str]:
    for percent in percents:
        found = times.percentile(percent)
        yield "" if found is None else told(found)


def _facts(one: Measurement) -> Iterator[tuple[str, str]]:
    yield "answered", f"{counted(one.answered)} of {counted(one.requests)}"
    if one.failed:
        yield "failed", ", ".join(f"{counted(number)} {kind}" for kind, number in one.failed.most_common())
    yield from one.examples.items()
    if one.left:
        yield "left in flight", counted(one.left)
    checks = one.checks
    for times, name in ((checks.loop_delay, "event loop late, p99"), (checks.start_delay, "started late, p99")):
        late = times.percentile(99)
        if late is not None:
            yield name, told(late)
    yield "CPU of this process", f"{checks.cpu:.0%}"
    for problem in one.verdict():
        yield "INVALID", problem


def _settings(options: BenchOptions) -> Iterator[tuple[str, str]]:
    yield "loads", ", ".join(map(str, options.loads))
    yield "seconds of each", f"{options.span.seconds:g}, after {options.span.warm_up:g} of warm-up"
    yield "prompts", f"of {options.input}" if options.prompts else f"made up, about {options.prompt_tokens} tokens"
    yield "max_tokens", counted(options.max_tokens)
    yield "seed", str(options.seed)


_DEFINITIONS: Final = (
    ("first token (TTFT)", "from when the request was due to the first piece with text, thoughts or a tool call"),
    ("from sending", "the same, from when it was sent: what vLLM's and NVIDIA's tools tell"),
    ("per token (TPOT)", "(last piece - first piece) / (tokens - 1) of an answer, tokens as the gateway counts"),
    ("between pieces (ITL)", "from one piece to the next, over all answers"),
    ("whole answer", "from when the request was due to the last piece"),
    ("answers/s", "answers that ended while requests were started, after the warm-up"),
    ("knee", "the load with the most answers/s for each second that an answer takes"),
)


# -- charts ----------------------------------------------------------------------------------------------------------


def _charts(one: Measurement) -> Iterator[Chart]:
    for times, title, note in (
        (one.first_token, "First token", "Seconds from when the request was due."),
        (one.per_token, "Per token", "Seconds per token after the first, of each answer."),
        (one.whole, "Whole answer", "Seconds from when the request was due."),
    ):
        if times.count:
            yield Chart(title, note, histogram(times, "answers"))


def _sweep_charts(points: Sequence[Measurement]) -> Iterator[Chart]:
    unit = "requests/s" if points[0].load.rate is not None else "at once"
    answered = [("answers/s", one.load.amount, one.throughput) for one in points]
    yield Chart("Throughput", "Answers a second.", _curve(answered, unit, ""))
    for attribute, title in (("first_token", "First token"), ("per_token", "Per token")):
        found = [
            (f"p{percent}", one.load.amount, value)
            for percent in (50, 99)
            for one in points
            if (value := getattr(one, attribute).percentile(percent)) is not None
        ]
        if found:
            yield Chart(title, "Seconds.", _curve(found, unit, "seconds"))


def _curve(values: Sequence[tuple[str, float, float]], across: str, up: str) -> dict[str, Any]:
    """Return lines over the load, one for each name."""
    drawn = [
        {"what": what, "load": load, "value": value, "told": f"{what} at {load:g}: {value:.3g}"}
        for what, load, value in values
    ]
    names = list(dict.fromkeys(what for what, *_ in values))
    colours = {
        "field": "what",
        "type": "nominal",
        "scale": {"domain": names, "range": ["var(--one)", "var(--two)"][: len(names)]},
        "legend": {"orient": "top", "title": None} if len(names) > 1 else None,
    }
    scale = {"type": "log", "nice": False}
    encoding = {
        "x": {"field": "load", "type": "quantitative", "scale": scale, "title": across, "axis": TICKS},
        "y": {"field": "value", "type": "quantitative", "title": up or None, "axis": {"tickCount": 4}},
        "color": colours,
    }
    line = {"mark": {"type": "line", "aria": False}, "encoding": encoding}
    dots = {
        "mark": {"type": "point", "filled": True, "size": 60},
        "encoding": encoding | {"description": {"field": "told"}},
    }
    return spec({"data": {"values": drawn}, "layer": [line, dots]})
