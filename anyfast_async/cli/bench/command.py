"""``anyfast bench``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import click

from anyfast_async._core.json import codec
from anyfast_async.cli import exit_codes
from anyfast_async.cli.bench.histogram import missing
from anyfast_async.cli.bench.measurement import Measurement
from anyfast_async.cli.bench.options import BenchOptions, bench_options, options_of
from anyfast_async.cli.bench.run import LoadRun
from anyfast_async.cli.bench.summary import COLUMNS, as_json, cells, knee_in_words, lines
from anyfast_async.cli.bench.target import RETRY, LoadTarget, limits
from anyfast_async.cli.client_options import ClientOptions, gateway_options, no_key_option
from anyfast_async.cli.default_model import default_model, model_option
from anyfast_async.cli.display.money import price_options, prices_of
from anyfast_async.cli.display.progress import print_summary
from anyfast_async.cli.display.terminal import is_live, is_terminal, say, write
from anyfast_async.cli.signals import on_ending

_TOLD: Final = 5.0
"""Seconds between two lines about how it goes."""


@click.command()
@bench_options
@click.option("--yes", is_flag=True, help="Do not ask before requests are sent, which cost money.")
@model_option
@price_options
@gateway_options
@no_key_option
def bench(
    *,
    model: str | None,
    prices: str | None,
    price_factor: float,
    simulate: bool,
    key_file: str | None,
    no_key: bool,
    yes: bool,
    **given: Any,
) -> int:
    """Test how a gateway takes a load: time to the first token, time per token, throughput, errors.

    With --rate requests start when they are due, whatever the answers take, and times count from then. With
    --concurrency the next one starts when one is done. The test watches itself: where this machine was the limit, it
    says that the figures are invalid.

    \b
    Examples:
      anyfast bench --rate 4 --duration 60
      anyfast bench --rate 1..64 --report bench.html       a sweep, with its knee
      anyfast bench --concurrency 8 --requests 200 --yes --json
      anyfast bench --rate 20 --simulate

    Exit codes: 0 valid, 1 invalid or nothing answered, 2 wrong usage, 130 interrupted (what was measured is shown).
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    install = missing()
    if install is not None:
        message = f"bench needs one more package: {install}"
        raise click.UsageError(message)
    options = options_of(**given)
    if options.report is not None:
        from anyfast_async.cli.bench.report_file import check_report  # noqa: PLC0415 - with the first report

        check_report(options.report, (options.input, key_file, prices))
    gateway = ClientOptions(simulate, key_file, no_key)
    gateway.check()
    name = model or default_model()
    if not simulate:
        _ask(options, prices, price_factor, name, gateway.url, yes=yes)
    return asyncio.run(_Bench(options, gateway, name).run())


def _ask(options: BenchOptions, prices: str | None, factor: float, model: str, url: str, *, yes: bool) -> None:
    """Say what the test will take, and have it agreed to.

    Raises:
        click.UsageError: there is nobody to ask.
        click.Abort: no.

    """
    listed = prices_of(prices, factor)
    for name, value in (("gateway", url), *options.plan(listed, model)):
        say(f"{name}: {value}")
    if yes:
        return
    if not is_terminal(sys.stdin):
        message = "nothing was sent; --yes agrees to what is said above"
        raise click.UsageError(message)
    if not click.confirm("send them?", err=True):
        message = "nothing was sent"
        raise click.UsageError(message)


@attrs.define
class _Bench:
    """A test on its way."""

    options: BenchOptions
    gateway: ClientOptions
    model: str
    points: list[Measurement] = attrs.field(factory=list)
    _signal: int | None = None
    _run: LoadRun | None = None

    async def run(self) -> int:
        """Offer each load, and say what came of it."""
        settings = {"model": self.model, "limits": limits(self.options.in_flight), "retry": RETRY}
        async with self.gateway.client(latency=_latency() if self.gateway.simulate else None, **settings) as client:
            with on_ending(self._end, then_deaf=True):
                await self._loads(LoadTarget(client, self.options.prompt(), self.options.fields))
        return self._told()

    async def _loads(self, target: LoadTarget) -> None:
        number = 0
        for load in self.options.loads:
            if self._signal is not None:
                return
            self._run = LoadRun(load, self.options.span, target, Random(self.options.seed), first=number)  # noqa: S311
            telling = asyncio.ensure_future(self._tell(self._run))
            self.points.append(self._run.measurement)
            try:
                await self._run.run()
            finally:
                telling.cancel()
            number = self._run.number

    def _end(self, number: int) -> None:
        self._signal = number
        if self._run is not None:
            self._run.stop()

    async def _tell(self, run: LoadRun) -> None:
        """Say now and then how it goes."""
        say(f"{run.measurement.load}: {self.options.span.warm_up:g} s of warm-up, then {self.options.span.seconds:g} s")
        seconds = 0.0
        while True:
            await asyncio.sleep(_TOLD)
            seconds += _TOLD
            one = run.measurement
            failed = f", {one.failed.total():,} failed" if one.failed else ""
            say(f"  {seconds:g} s: {one.answered:,} answered{failed}, {run.in_flight:,} in flight")

    def _told(self) -> int:
        options, points = self.options, self.points
        status = "complete" if self._signal is None else "interrupted"
        url = "simulator" if self.gateway.simulate else self.gateway.url
        if options.as_json:
            write(codec.dumps(as_json(points, options, status, {"gateway": url, "model": self.model})).decode() + "\n")
        elif options.is_sweep:
            _print_table([cells(one) for one in points])
            for one in points:
                for problem in one.verdict():
                    write(f"INVALID at {one.load}: {problem}\n")
            write(f"{knee_in_words(points)}\n")
        else:
            for one in points:
                print_summary(list(lines(one)))
        if options.report is not None:
            from anyfast_async.cli.bench.report_file import write_report  # noqa: PLC0415

            write_report(Path(options.report), points, options, status, (("gateway", url), ("model", self.model)))
        if self._signal is not None:
            say("interrupted: what is shown is what was measured until then")
            return 128 + self._signal
        good = all(one.answered and not one.verdict() for one in points)
        return exit_codes.OK if good else exit_codes.FAILED


def _print_table(rows: list[tuple[str, ...]]) -> None:
    if is_live(sys.stdout):
        from anyfast_async.cli.display.live import table  # noqa: PLC0415 - rich, on a terminal only

        table(COLUMNS, rows)
        return
    for row in (COLUMNS, *rows):
        write("\t".join(row) + "\n")


def _latency() -> Any:
    from anyfast_async.simulator import Latency  # noqa: PLC0415 - a server's imports

    return Latency(ttft=0.3, per_token=0.02, jitter=0.3, slow_share=0.02, slow=0.5)
