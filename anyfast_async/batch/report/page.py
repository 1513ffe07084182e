"""The pages of reports on batches: what stands where on them. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from anyfast_async._core.histogram import Histogram
from anyfast_async._core.usage import Used
from anyfast_async._values.outcome import ODD
from anyfast_async._values.text import counted, measured
from anyfast_async.batch.report.charts import Chart, compared
from anyfast_async.batch.report.comparison import Comparison
from anyfast_async.batch.report.gathered import Gathered, RowKind, Run
from anyfast_async.batch.report.rendering import GENERATOR, rendered
from anyfast_async.batch.report.run_charts import over_time, times
from anyfast_async.batch.report.stretch import ModelFigures
from anyfast_async.prices import Prices

_ALWAYS: Final = ("empty", "cut")
_ZONE: Final = dt.UTC

_LIMITING: Final = {
    "": "nothing of ours: the time answers take",
    "concurrency": "concurrency",
    "window": "what the gateway takes at once",
    "reserve": "places that are kept free",
    "throttling": "the gateway asked for fewer requests",
    "outage": "the gateway was away",
    "unanswered": "no answer had come yet",
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
}


def page(
    found: Gathered,
    prices: Prices | None,
    draw: Callable[[dict[str, Any]], str],
    hide: Callable[[str], str] = str,
) -> str:
    """Return the report on a batch as HTML.

    Args:
        found: what its files say.
        prices: what tokens cost; None: no cost is told.
        draw: makes SVG of a Vega-Lite specification.
        hide: takes out of a text what is not to be shown.

    """
    whole = found.whole
    last = found.runs[-1] if found.runs else None
    samples = whole.limits.total()
    values = {
        "generator": GENERATOR,
        "title": found.name,
        "status": "" if last is None else last.status,
        "good": last is not None and last.status == "complete",
        "when": _when(found),
        "lines": list(_lines(found)),
        "all_tiles": list(_tiles(found, prices)),
        "runs": found.runs,
        "over_time": list(over_time(found, prices)),
        "times": list(times(found)),
        "kinds": [_card(kind) for kind in _sorted(found.kinds.values())],
        "models": _filled(_COLUMNS, list(_models(found, prices))),
        "money_note": _money_note(found, prices),
        "limits": [] if last is None else _limits(last, whole.peak),
        "shares": [_share(word, number / samples) for word, number in whole.limits.most_common()],
        "retried": [(f"after {what}", counted(number)) for what, number in whole.retried.most_common()],
        "in_doubt": _attempts(whole.in_doubt) if whole.in_doubt else "",
        "samples": found.samples,
        "settings": [] if last is None else [(name, str(value)) for name, value in last.said.get("settings", [])],
    }
    return rendered("run.html", values, draw, hide)


def _share(word: str, share: float) -> dict[str, str]:
    percent = f"{share:.0%}" if share >= 0.01 else "under 1%"  # noqa: PLR2004 - one hundredth
    return {"name": _LIMITING.get(word, word), "percent": percent, "width": f"{share:.1%}"}


def _filled(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return a table without the columns that are empty in every row."""
    kept = [place for place in range(len(columns)) if place == 0 or any(row[place] for row in rows)]
    return {"columns": [columns[place] for place in kept], "rows": [[row[place] for place in kept] for row in rows]}


def _attempts(number: int) -> str:
    return f"{counted(number)} {'attempt' if number == 1 else 'attempts'}"


def _rows(number: int) -> str:
    return f"{counted(number)} {'row' if number == 1 else 'rows'}"


# -- the head --------------------------------------------------------------------------------------------------------


def _when(found: Gathered) -> str:
    if found.is_dated:
        return f"answers of {measured(found.seconds)}, by the dates they bear"
    if not found.runs:
        return f"{_rows(found.counts.results)}; when is not recorded"
    first, last = found.runs[0], found.runs[-1]
    runs = "one run" if first is last else f"{counted(len(found.runs))} runs"
    until = "" if first is last else f", the last began {_date(last)}"
    return f"began {_date(first)}{until}; {runs}, {measured(found.seconds)} of work"


def _date(run: Run) -> str:
    return f"{dt.datetime.fromtimestamp(run.began, _ZONE):%Y-%m-%d %H:%M:%S} UTC"


def _lines(found: Gathered) -> Iterator[str]:
    if found.missing:
        yield f"{_rows(found.missing)} without a result: the command of the batch goes on."
    if found.maybe_billed:
        yield f"{_rows(found.maybe_billed)} perhaps billed, with no answer to show for it."


def _tiles(found: Gathered, prices: Prices | None) -> Iterator[tuple[str, str, bool]]:
    """Yield value, name, and whether it is bad; numbers in full."""
    counts, whole = found.counts, found.whole
    yield counted(counts.answered), "answered", False
    yield counted(counts.failed), "failed", counts.failed > 0
    for word in ODD:
        if counts.outcomes[word] or word in _ALWAYS:
            yield counted(counts.outcomes[word]), word, False
    if found.missing:
        yield counted(found.missing), "not answered", True
    used = _used(found)
    yield counted(used.tokens), "tokens", False
    spent = _spent(found, prices)
    if spent is not None:
        yield spent, "spent", False
    if found.seconds > 0:
        rows = sum(figures.answered + figures.failed for figures in whole.models.values())
        yield f"{rows / found.seconds:,.3g}", "rows/s", False
    median = _together(figures.latency for figures in whole.models.values()).percentile(50)
    if median is not None:
        yield measured(median), "median latency", False


def _used(found: Gathered) -> Used:
    return Used(*map(sum, zip(Used(0, 0), *map(found.spent.used, found.spent.models), strict=True)))


def _spent(found: Gathered, prices: Prices | None) -> str | None:
    cost = found.spent.cost(prices) if prices is not None and found.spent.calls else None
    return None if cost is None or prices is None else prices.shown(cost)


def _money_note(found: Gathered, prices: Prices | None) -> str:
    if prices is None:
        return ""
    notes = [prices.source]
    missing = prices.missing(found.spent.models)
    if missing:
        notes.append(f"no price for {', '.join(missing)}")
    if found.spent.unknown:
        notes.append(f"{_rows(found.spent.unknown)} without usage, whose cost is not known")
    return f"Cost: {'; '.join(notes)}."


# -- rows to look at -------------------------------------------------------------------------------------------------


def _sorted(kinds: Iterable[RowKind]) -> list[RowKind]:
    return sorted(kinds, key=lambda kind: (kind.is_answer, -kind.rows))


def _card(kind: RowKind) -> dict[str, Any]:
    facts = f"{_rows(kind.rows)}, billed: {kind.billed}"
    if kind.retryable is not None:
        facts += f", {'may succeed if sent again' if kind.retryable else 'would fail again'}"
    return {"name": kind.name, "facts": facts, "examples": kind.examples}


# -- models ----------------------------------------------------------------------------------------------------------

_COLUMNS: Final = (
    *("model", "answers", "prompt tokens", "answer tokens", "per answer"),
    *("latency p50", "p95", "p99", "of it waiting, p50", "first token, p50", "cost"),
)


def _models(found: Gathered, prices: Prices | None) -> Iterator[tuple[str, ...]]:
    figures = found.whole.models
    names = [name for name, _ in found.answers.most_common()]
    for name in names:
        money = _money(found.spent.cost_of(name, prices), prices)
        yield _model(name or "(not named)", found.answers[name], found.spent.used(name), figures.get(name), money)
    if len(names) > 1:
        together = ModelFigures()
        for one in figures.values():
            together.merge(one)
        yield _model("together", found.answers.total(), _used(found), together, _spent(found, prices) or "")


def _money(cost: float | None, prices: Prices | None) -> str:
    return "" if cost is None or prices is None else prices.shown(cost)


def _model(name: str, answers: int, used: Used, figures: ModelFigures | None, money: str) -> tuple[str, ...]:
    figures = figures or ModelFigures()
    return (
        name,
        counted(answers),
        counted(used.prompt),
        counted(used.completion),
        f"{used.completion / answers:,.1f}" if answers else "",
        *(_time(figures.latency, percent) for percent in (50, 95, 99)),
        _time(figures.queue, 50),
        _time(figures.first_token, 50),
        money,
    )


def _time(times: Histogram, percent: float) -> str:
    found = times.percentile(percent)
    return "" if found is None else measured(found)


def _together(times: Iterable[Histogram]) -> Histogram:
    found = Histogram()
    for one in times:
        found.merge(one)
    return found


def _limits(run: Run, peak: int) -> list[tuple[str, str]]:
    given = [(str(name), str(value)) for name, value in run.said.get("limits", [])]
    return [*given, ("most calls in flight", counted(peak))] if given else []


# -- two runs --------------------------------------------------------------------------------------------------------


def comparison_page(
    pair: tuple[Gathered, Gathered],
    rows: Comparison,
    prices: Prices | None,
    draw: Callable[[dict[str, Any]], str],
    hide: Callable[[str], str] = str,
) -> str:
    """Return the page that holds two runs against each other; arguments as for :func:`page`."""
    one, other = pair
    names = one.name, other.name
    if names[0] == names[1]:
        names = f"{names[0]} (1)", f"{names[1]} (2)"
    latencies = [_together(figures.latency for figures in found.whole.models.values()) for found in pair]
    charts = []
    if all(latency.count for latency in latencies):
        note = "Share of answers that had come, by seconds from taking their row up."
        charts.append(Chart("Latency", note, compared(latencies[0], latencies[1], names)))
    values = {
        "generator": GENERATOR,
        "title": f"{names[0]} and {names[1]}",
        "names": names,
        "all_tiles": [
            (counted(rows.both), "rows in both", False),
            (counted(rows.same), "same answer", False),
            (counted(rows.different), "other answer", False),
            (counted(rows.only_one), f"only in {names[0]}", False),
            (counted(rows.only_other), f"only in {names[1]}", False),
        ],
        "figures_of": list(_side_by_side(pair, latencies, prices)),
        "charts": charts,
        "changes": [
            {"before": before, "after": after, "rows": _rows(number), "examples": rows.examples[before, after]}
            for (before, after), number in rows.changes.most_common()
        ],
        "samples": rows.samples,
    }
    return rendered("comparison.html", values, draw, hide)


def _side_by_side(
    pair: tuple[Gathered, Gathered], latencies: Sequence[Histogram], prices: Prices | None
) -> Iterator[tuple[str, str, str]]:
    def both(name: str, of: Callable[[Gathered], str]) -> tuple[str, str, str]:
        return name, of(pair[0]), of(pair[1])

    yield both("model", lambda found: ", ".join(one or "(not named)" for one in found.answers))
    yield both("answered", lambda found: counted(found.counts.answered))
    yield both("failed", lambda found: counted(found.counts.failed))
    for kind in dict.fromkeys((*pair[0].counts.kinds, *pair[1].counts.kinds)):
        yield both(f"failed: {kind}", lambda found, kind=kind: counted(found.counts.kinds[kind]))  # type: ignore[misc]
    for word in ODD:
        if any(found.counts.outcomes[word] for found in pair):
            yield both(word, lambda found, word=word: counted(found.counts.outcomes[word]))  # type: ignore[misc]
    if any(found.missing for found in pair):
        yield both("not answered", lambda found: "" if found.missing is None else counted(found.missing))
    yield both("prompt tokens", lambda found: counted(_used(found).prompt))
    yield both("answer tokens", lambda found: counted(_used(found).completion))
    yield both("answer tokens each", lambda found: f"{_used(found).completion / (found.counts.answered or 1):,.1f}")
    if prices is not None:
        yield both("cost", lambda found: _spent(found, prices) or "not known")
    yield both("work", lambda found: measured(found.seconds) if found.seconds else "not recorded")
    for percent in (50, 95, 99):
        if any(one.count for one in latencies):
            yield f"latency p{percent}", _time(latencies[0], percent), _time(latencies[1], percent)
