"""``anyfast batch`` before it is run: what it will take, from the file alone or from a sample that is sent."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, Final

import attrs

from anyfast_async._core.json import codec
from anyfast_async._core.limits.token_estimate import ASSUMED
from anyfast_async._core.usage import Used, used_by
from anyfast_async._values.text import counted, rough
from anyfast_async.batch import BatchLine, RowDone, Tally, rows
from anyfast_async.batch.forecast import Interval, seconds_under, total_of
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.progress import print_summary
from anyfast_async.cli.display.terminal import say, write

_LATENCY: Final = 5.0
"""Seconds that an answer is taken to need, where nothing is known."""
TOO_FEW: Final = "too few to say how exact that is"
_DRAWN = random.SystemRandom()


# -- from the file alone ---------------------------------------------------------------------------------------------


def planned(job: BatchJob) -> dict[str, Any]:
    """Return what the whole input will take, as far as it can be told without sending anything."""
    cost = 0.0
    prompt = completion = 0
    models = Counter[str]()
    for (named, asking, answered), number in job.survey.measured.items():
        prompt, completion = prompt + number * asking, completion + number * answered
        model = job.model_of(named)
        models[model] += number
        cost += number * job.cost(model, Used(asking, answered))
    count = models.total()
    seconds, limit = seconds_under(job.options.limits, count, prompt + completion, _LATENCY)
    return {
        "status": "dry_run",
        "rows": count,
        "models": dict(models),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "seconds": round(seconds, 1),
        "limited_by": limit,
        "cost": None if job.prices is None else round(cost, 6),
        "currency": None if job.prices is None else job.prices.currency,
    }


def print_plan(job: BatchJob) -> None:
    """Print what the input will take; nothing is sent."""
    plan = planned(job)
    if job.options.as_json:
        write(codec.dumps(plan).decode() + "\n")
        return
    models = ", ".join(f"{model} {counted(count)}" for model, count in plan["models"].items())
    assumed = f"an answer taken for {ASSUMED} tokens, or max_tokens where that is less"
    time = f"{rough(plan['seconds'])}, limited by {figures.LIMITS[plan['limited_by']]}"
    lines = [
        ("rows", counted(plan["rows"])),
        ("models", models),
        ("prompt tokens", f"about {counted(plan['prompt_tokens'])}"),
        ("completion tokens", f"about {counted(plan['completion_tokens'])} ({assumed})"),
        ("time", f"about {time} (an answer taken for {_LATENCY:g} s)"),
    ]
    if job.prices is not None:
        lines.append(("cost", f"about {job.prices.shown(plan['cost'])} ({job.prices.source})"))
    print_summary(lines)
    say("nothing was sent; --estimate 50 sends 50 rows, and measures instead of assuming")


# -- from a sample ---------------------------------------------------------------------------------------------------


@attrs.define
class SentSample:
    """Rows that are sent to learn what the others will take."""

    job: BatchJob
    population: int
    """Rows that are not done."""
    size: int
    _models: dict[str, str] = attrs.field(factory=dict)
    _prompt: list[float] = attrs.field(factory=list)
    _completion: list[float] = attrs.field(factory=list)
    _cost: list[float] = attrs.field(factory=list)
    _latency: list[float] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.size = min(self.size, self.population)

    def drawn(self, skip: Container[str]) -> Iterable[BatchLine]:
        """Return random rows, each as likely as the others, of those that are not in *skip*."""
        # All at once, before the first is sent: reading the whole file meanwhile would hold the answers up.
        places = frozenset(_DRAWN.sample(range(self.population), self.size))
        chosen = list(rows(self.job.survey, skip=skip, only=places))
        self.take(chosen)
        return chosen

    def take(self, chosen: Iterable[BatchLine], latency: Iterable[float] = ()) -> None:
        """Say which rows it is of, and, of rows that were sent before, how many seconds answers took."""
        self._latency += latency
        self._models = {row.custom_id: self.job.model_of(row.request.model) for row in chosen}

    @property
    def count(self) -> int:
        """Rows of it whose answers said what they used."""
        return len(self._prompt)

    @property
    def is_small(self) -> bool:
        """Whether it says about how much all will take, and not between what."""
        return bool(self._prompt) and None in self.totals().values()

    def row(self, event: RowDone) -> None:
        """Take in a row that is done."""
        used = used_by(event.completion.usage) if event.completion is not None else None
        if used is None:
            return
        trace = None if event.completion is None else event.completion.trace
        if trace is not None:
            self._latency.append(trace.total - trace.queue)
        self._prompt.append(used.prompt)
        self._completion.append(used.completion)
        if self.job.prices is not None:
            self._cost.append(self.job.cost(self._models[event.custom_id], used))

    def totals(self) -> dict[str, Interval | None]:
        """Return prompt tokens, completion tokens and cost of all rows that are not done, the sample included."""
        counted = {"prompt_tokens": self._prompt, "completion_tokens": self._completion}
        if self.job.prices is not None:
            counted["cost"] = self._cost
        return {name: total_of(values, self.population) for name, values in counted.items()}

    def seconds(self, tally: Tally) -> tuple[float, str]:
        """Return how long the rest will take, and what limits it."""
        left = self.population - self.size
        # What an answer took without the wait for our own limits, which is in the arithmetic already.
        latency = (tally.latency.total - tally.queue.total) / tally.latency.count if tally.latency.count else _LATENCY
        tokens = (sum(self._prompt) + sum(self._completion)) / (len(self._prompt) or 1) * left
        return seconds_under(self.job.options.limits, left, tokens, latency)

    def times(self, tally: Tally, left: int) -> tuple[Interval, str]:
        """Return between which seconds *left* more rows will take, and what limits them."""
        seconds, limit = self.seconds(tally)
        latency, total = total_of(self._latency, self.population), self.totals()
        prompt, completion = total["prompt_tokens"], total["completion_tokens"]
        if latency is None or prompt is None or completion is None:
            return Interval(seconds, seconds, seconds), limit
        low, high = (
            seconds_under(self.job.options.limits, left, tokens * left / self.population, all_of / self.population)[0]
            for tokens, all_of in (
                (prompt.low + completion.low, latency.low),
                (prompt.high + completion.high, latency.high),
            )
        )
        return Interval(min(low, seconds), seconds, max(high, seconds)), limit

    def as_json(self, tally: Tally) -> dict[str, Any]:
        """Return the estimate for a program."""
        seconds, limit = self.seconds(tally)
        totals = {
            name: None if total is None else {key: round(value, 6) for key, value in attrs.asdict(total).items()}
            for name, total in self.totals().items()
        }
        currency = None if self.job.prices is None else self.job.prices.currency
        return {
            "sample": len(self._prompt),
            "rows": self.population,
            **totals,
            "currency": currency,
            "seconds_left": round(seconds, 1),
            "limited_by": limit,
        }

    def lines(self, tally: Tally) -> Iterator[tuple[str, str]]:
        """Yield the estimate as a table."""
        few = f": {TOO_FEW}" if self.is_small else ""
        yield "estimate", f"for {figures.rows_of(self.population)}, from {counted(len(self._prompt))} of them{few}"
        yield from self.ranges()
        seconds, limit = self.seconds(tally)
        left = figures.rows_of(self.population - self.size)
        yield "  time", f"about {rough(seconds)} for the {left} left, limited by {figures.LIMITS[limit]}"

    def ranges(self) -> Iterator[tuple[str, str]]:
        """Yield what all rows use, as lines of a table."""
        for name, total in self.totals().items():
            yield f"  {name.replace('_', ' ')}", self._ranged(name, total)

    def _ranged(self, name: str, total: Interval | None) -> str:
        prices = self.job.prices
        shown: Callable[[float], str] = prices.shown if name == "cost" and prices is not None else _rounded
        if total is None:
            known = {"prompt_tokens": self._prompt, "completion_tokens": self._completion, "cost": self._cost}[name]
            if not known:
                return "not known: no answer said what it used"
            about = shown(sum(known) / len(known) * self.population)
            return f"about {about}"
        return f"{shown(total.estimate)} (90 %: {shown(total.low)} to {shown(total.high)})"


def likely(times: tuple[Interval, str], what: str) -> str:
    """Return a time in words."""
    seconds, limit = times
    if seconds.high < 1:
        return f"under 1 s {what}, limited by {figures.LIMITS[limit]}"
    low, about, high = rough(seconds.low), rough(seconds.estimate), rough(seconds.high)
    between = "" if low == high else f" (90 %: {low} to {high})"
    return f"about {about}{between} {what}, limited by {figures.LIMITS[limit]}"


def _rounded(value: float) -> str:
    return counted(round(value))
