"""The page about a test. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from anyfast_async._values.text import counted
from anyfast_async.batch.report.charts import TICKS, Chart, histogram, spec
from anyfast_async.batch.report.document import figures, framed, pairs, section, table, text
from anyfast_async.cli.bench.histogram import Times
from anyfast_async.cli.bench.knee import knee
from anyfast_async.cli.bench.measurement import PERCENTILES, Measurement
from anyfast_async.cli.bench.options import BenchOptions
from anyfast_async.cli.bench.summary import SHOWN, knee_in_words, told

GENERATOR: Final = '<meta name="generator" content="anyfast bench --report">'
"""By which such a page is told from other files."""
Draw = Callable[[dict[str, Any]], str]


def page(
    points: Sequence[Measurement],
    options: BenchOptions,
    status: str,
    settings: Sequence[tuple[str, str]],
    draw: Draw,
) -> str:
    """Return the page as HTML; *draw* makes SVG of a Vega-Lite specification."""
    title = f"Load test: {', '.join(value for name, value in settings if name in ('model', 'gateway'))}"
    parts = [_heading(title, points, status), _tiles(points)]
    if options.is_sweep and len(points) > 1:
        parts.append(section("Loads", _loads(points) + f"<p>{text(knee_in_words(points))}</p>"))
        parts.append(section("Over the load", figures(_sweep_charts(points), draw)))
    for one in points:
        content = figures(_charts(one), draw) + _times(one) + pairs(_facts(one))
        parts.append(section(text(str(one.load)), content))
    parts.append(section("What is measured", _DEFINITIONS))
    parts.append(section("This test", pairs((*settings, *_settings(options)))))
    return framed(title, GENERATOR, parts)


def _heading(title: str, points: Sequence[Measurement], status: str) -> str:
    wrong = [problem for one in points for problem in one.verdict()]
    good = status == "complete" and not wrong
    words = status if not wrong else f"{status}, INVALID: the figures are not the gateway's"
    items = "".join(f"<li>{text(problem)}</li>" for problem in dict.fromkeys(wrong))
    told_why = f'<ul class="words">{items}</ul>' if items else ""
    kind = "good" if good else "bad"
    return f'<header><h1>{text(title)}</h1><p><span class="{kind}">{words}</span></p>{told_why}</header>\n'


def _tiles(points: Sequence[Measurement]) -> str:
    shown = knee(points) or (points[-1] if points else None)
    if shown is None:
        return ""
    failed = shown.failed.total()
    first, token = shown.first_token.percentile(50), shown.per_token.percentile(50)
    tiles = [
        (f"{shown.load.amount:g}", "requests/s offered" if shown.load.rate is not None else "at once"),
        (f"{shown.throughput:.3g}", "answers/s"),
        (f"{shown.token_throughput:,.4g}", "tokens/s"),
        (f'<span class="bad">{failed:,}</span>' if failed else "0", "failed"),
        *([(told(first), "first token, median")] if first is not None else []),
        *([(told(token), "per token, median")] if token is not None else []),
    ]
    drawn = "".join(f'<div class="tile"><b>{value}</b><span class="soft">{name}</span></div>' for value, name in tiles)
    return f'<div class="tiles">{drawn}</div>\n'


def _loads(points: Sequence[Measurement]) -> str:
    rows = [
        (
            text(str(one.load)),
            f"{one.throughput:.3g}",
            f"{one.token_throughput:,.4g}",
            counted(one.failed.total()),
            *_cells(one.first_token, (50, 99)),
            *_cells(one.per_token, (50, 99)),
            '<span class="bad">no</span>' if one.verdict() else "yes",
        )
        for one in points
    ]
    columns = ("load", "answers/s", "tokens/s", "failed", "first token p50", "p99", "per token p50", "p99", "valid")
    return table(columns, rows)


def _times(one: Measurement) -> str:
    rows = []
    for attribute, name in SHOWN:
        times: Times = getattr(one, attribute)
        if times.count:
            longest = (told(times.longest), counted(times.count))
            rows.append((name.strip(), told(times.mean or 0.0), *_cells(times, PERCENTILES), *longest))
    columns = ("", "mean", *(f"p{percent:g}" for percent in PERCENTILES), "max", "count")
    return table(columns, rows) if rows else "<p>Nothing was answered.</p>"


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


_DEFINITIONS: Final = pairs(
    (
        ("first token (TTFT)", "from when the request was due to the first piece with text, thoughts or a tool call"),
        ("from sending", "the same, from when it was sent: what vLLM's and NVIDIA's tools tell"),
        ("per token (TPOT)", "(last piece - first piece) / (tokens - 1) of an answer, tokens as the gateway counts"),
        ("between pieces (ITL)", "from one piece to the next, over all answers"),
        ("whole answer", "from when the request was due to the last piece"),
        ("answers/s", "answers that ended while requests were started, after the warm-up"),
        ("knee", "the load with the most answers/s for each second that an answer takes"),
    )
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
