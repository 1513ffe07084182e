"""What ``anyfast bench`` can be told, and the test that it amounts to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import click

from anyfast_async._core.limits.token_estimate import asked as tokens_asked
from anyfast_async._core.usage import Used
from anyfast_async._values.text import counted
from anyfast_async.cli.bench.arrivals import KINDS, Load, amounts
from anyfast_async.cli.bench.run import LoadSpan
from anyfast_async.cli.bench.target import made_up, read
from anyfast_async.cli.option_values import fields_of
from anyfast_async.prices import Prices
from anyfast_async.requests import ChatRequest

F = TypeVar("F", bound=Callable[..., Any])

_ASSUMED: Final = 2.0
"""Seconds that an answer is taken to need, to tell what a number of calls at once comes to."""


@attrs.frozen(kw_only=True)
class BenchOptions:
    """What a test is."""

    loads: tuple[Load, ...]
    span: LoadSpan
    in_flight: int
    max_tokens: int
    prompt_tokens: int
    input: str | None
    seed: int
    timeout: float | None
    settings: tuple[str, ...] = ()
    report: str | None = None
    as_json: bool = False
    prompts: tuple[str, ...] = ()
    """Of the input."""

    @property
    def is_sweep(self) -> bool:
        """Whether there are several loads."""
        return len(self.loads) > 1

    @property
    def fields(self) -> dict[str, Any]:
        """Of every request."""
        found = fields_of(self.settings, {"max_tokens": self.max_tokens})
        return found if self.timeout is None else {**found, "timeout": self.timeout}

    def prompt(self) -> Callable[[int], str]:
        """Return what makes the prompts."""
        if self.prompts:
            return lambda number: self.prompts[number % len(self.prompts)]
        return made_up(self.prompt_tokens, self.seed)

    # -- what it will take -------------------------------------------------------------------------------------------

    def requests(self) -> int:
        """Return how many requests there will be, about; of calls at once it depends on how long answers take."""
        return sum(math.ceil(self._requests(load)) for load in self.loads)

    def _requests(self, load: Load) -> float:
        rate = load.rate if load.rate is not None else (load.concurrency or 1) / _ASSUMED
        counting = rate * self.span.seconds
        if self.span.requests is not None:
            counting = min(counting, self.span.requests) if load.rate is not None else self.span.requests
        return counting + rate * self.span.warm_up

    def tokens(self) -> Used:
        """Return the tokens that will be asked and answered at most, about."""
        prompt = self.prompt()
        sample = [tokens_asked(ChatRequest(prompt(number))).tokens for number in range(_SAMPLE)]
        return Used(round(self.requests() * sum(sample) / _SAMPLE), self.requests() * self.max_tokens)

    def plan(self, prices: Prices | None, model: str) -> Iterator[tuple[str, str]]:
        """Yield what the test will take: names and values."""
        used = self.tokens()
        yield "load", ", ".join(map(str, self.loads))
        yield "time", f"about {counted(round(len(self.loads) * (self.span.seconds + self.span.warm_up)))} s"
        known = all(load.rate is not None for load in self.loads) or self.span.requests is not None
        basis = "" if known else f" (answers taken for {_ASSUMED:g} s)"
        yield "requests", f"about {counted(self.requests())}{basis}"
        yield "prompt tokens", f"about {counted(used.prompt)}"
        yield "answer tokens", f"up to {counted(used.completion)} (max_tokens {self.max_tokens})"
        price = prices.price(model) if prices is not None else None
        if prices is not None and price is not None:
            yield "cost", f"up to {prices.shown(price.cost(used))} ({prices.source})"
        else:
            yield "cost", "not known: no price for this model; --prices names a file with it"


_SAMPLE: Final = 8


def bench_options(command: F) -> F:
    """Give *command* its own options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of(
    *,
    rate: str | None,
    concurrency: str | None,
    arrivals: Any,
    duration: float,
    warm_up: float,
    requests: int | None,
    in_flight: int,
    max_tokens: int,
    prompt_tokens: int,
    input_: str | None,
    seed: int,
    timeout: float | None,
    settings: tuple[str, ...],
    report: str | None,
    as_json: bool,
) -> BenchOptions:
    """Return the test that the options amount to.

    Raises:
        click.UsageError: they do not go together, or a value cannot be.

    """
    if (rate is None) == (concurrency is None):
        message = (
            "name the load: --rate 8 (requests a second, whatever answers take) or --concurrency 8 (calls at once); "
            "several make a sweep: --rate 1..64"
        )
        raise click.UsageError(message)
    found = BenchOptions(
        loads=tuple(_loads(rate, concurrency, arrivals)),
        span=LoadSpan(seconds=duration, warm_up=warm_up, requests=requests),
        in_flight=in_flight,
        max_tokens=max_tokens,
        prompt_tokens=prompt_tokens,
        input=input_,
        seed=seed,
        timeout=timeout,
        settings=settings,
        report=report,
        as_json=as_json,
        prompts=() if input_ is None else tuple(read(input_)),
    )
    _ = found.fields  # what is wrong with --set shows now
    widest = max(load.concurrency or 0 for load in found.loads)
    if widest > in_flight:
        message = f"--concurrency {widest} is more than --in-flight {in_flight}"
        raise click.UsageError(message)
    if report is not None and not Path(report).resolve().parent.is_dir():
        message = f"--report {report}: there is no such directory"
        raise click.UsageError(message)
    return found


def _loads(rate: str | None, concurrency: str | None, arrivals: Any) -> Iterator[Load]:
    if rate is not None:
        yield from (Load(rate=amount, arrivals=arrivals) for amount in amounts(rate))
        return
    for amount in amounts(concurrency or ""):
        if amount != int(amount):
            message = f"--concurrency {amount:g}: must be a whole number"
            raise click.UsageError(message)
        yield Load(concurrency=int(amount), arrivals=arrivals)


_OPTIONS: Final = (
    click.option("--rate", metavar="LOADS", help="Open loop: requests a second. 8, or a sweep: 1,2,4 or 1..64."),
    click.option("--concurrency", metavar="LOADS", help="Closed loop: calls at once. 8, or a sweep: 1,2,4 or 1..64."),
    click.option(
        "--arrivals", type=click.Choice(KINDS), default="poisson", help="With --rate: how they come. Default: poisson"
    ),
    click.option(
        "--duration",
        type=click.FloatRange(0.1, 86400),
        default=30.0,
        metavar="S",
        help="Seconds of each load that count. Default: 30",
    ),
    click.option(
        "--warm-up",
        type=click.FloatRange(0, 3600),
        default=5.0,
        metavar="S",
        help="Seconds before those, which do not. Default: 5",
    ),
    click.option("--requests", type=click.IntRange(1), metavar="N", help="At most so many of each load that count."),
    click.option("--max-tokens", type=click.IntRange(1), default=128, metavar="N", help="Longest answer. Default: 128"),
    click.option(
        "--prompt-tokens",
        type=click.IntRange(1, 1_000_000),
        default=100,
        metavar="N",
        help="Length of the made-up prompts, about. Default: 100",
    ),
    click.option(
        "-i", "--input", "input_", metavar="FILE", help="Prompts, one a line, in turn, instead of made-up ones."
    ),
    click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A field of every request; repeatable."
    ),
    click.option(
        "--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds for a request. Default: none"
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(1, 100_000),
        default=1000,
        metavar="N",
        help="Most calls at once; a test that needs more is called invalid. Default: 1000",
    ),
    click.option("--seed", type=int, default=0, metavar="N", help="Of arrivals and prompts. Default: 0"),
    click.option("--report", metavar="BENCH.html", help="Write a page about the test."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table."),
)
