"""``anyfast doctor``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import click

from anyfast_async._core.json import codec
from anyfast_async._values.text import counted
from anyfast_async.cli import exit_codes
from anyfast_async.cli.client_options import ClientOptions, gateway_options, no_key_option
from anyfast_async.cli.default_model import default_model, model_option
from anyfast_async.cli.display.terminal import is_terminal, say, shown, write
from anyfast_async.cli.doctor import probes
from anyfast_async.cli.doctor.diagnosis import counts, diagnosed
from anyfast_async.cli.doctor.observations import Observations
from anyfast_async.cli.doctor.raw_exchange import RawExchanges
from anyfast_async.cli.doctor.table import as_json, show
from anyfast_async.errors import AnyFastError
from anyfast_async.policies import RetryPolicy

_ONCE: Final = RetryPolicy(attempts=1, throttle_patience=0)
_ENDING: Final = frozenset({"auth", "configuration", "connection", "timeout", "quota"})
"""Kinds of errors after which there is nothing to look at."""


@click.command()
@model_option
@click.option("--yes", is_flag=True, help="Spend the tokens without asking. Needed where there is no terminal.")
@click.option("--timeout", type=click.FloatRange(1), default=120.0, metavar="S", help="Longest time of one request.")
@click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object.")
@gateway_options
@no_key_option
def doctor(
    *,
    model: str | None,
    yes: bool,
    timeout: float,
    json_wanted: bool,
    simulate: bool,
    key_file: str | None,
    no_key: bool,
) -> int:
    """Look at a gateway, and say what is odd, what that means and what to do.

    It looks through whatever proxies stand before the gateway: it asks for a few short answers, which cost tokens, and
    for things that are refused, which do not. The exit code is 1 if there is a problem.

    \b
    Examples:
      anyfast doctor
      anyfast doctor -m gemini-2.5-pro --yes --json | jq '.findings[].name'
      anyfast doctor --simulate
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    options = ClientOptions(simulate, key_file, no_key)
    options.check()
    model = model or default_model()
    if not simulate:
        _agree(options.url, model, yes=yes, key_on_stdin=key_file == "-")
    seen, where = asyncio.run(_seen(options, model, timeout))
    findings = diagnosed(seen)
    if json_wanted:
        about: dict[str, Any] = {"base_url": where, "model": model}
        write(shown(codec.dumps(as_json(findings, **about)).decode()) + "\n")
    else:
        show(findings, f"{where} with {model}")
    return exit_codes.FAILED if counts(findings)["problem"] else exit_codes.OK


def _agree(url: str, model: str, *, yes: bool, key_on_stdin: bool) -> None:
    """Name what it costs, and go on only if that is wanted."""
    price = (
        f"{len(probes.PROBES) + 1} short answers of {model} from {url}, "
        f"at most {counted(probes.most_tokens())} tokens of answers, usually a third of that"
    )
    if yes:
        say(f"it asks for {price}")
        return
    if key_on_stdin or not is_terminal(sys.stdin) or not is_terminal(sys.stderr):
        message = f"doctor spends tokens: {price}. There is no terminal to ask on: add --yes"
        raise click.UsageError(message)
    if not click.confirm(f"It asks for {price}. Go on?", default=True, err=True):
        raise click.Abort


async def _seen(options: ClientOptions, model: str, timeout: float) -> tuple[Observations, str]:  # noqa: ASYNC109
    async with options.client(model=model, retry=_ONCE, latency=_latency(options)) as client:
        try:
            await client.models()  # whether there is a gateway, and whether it takes the key: said as ever
        except AnyFastError as error:
            if error.kind in _ENDING:
                raise
        setup = client._calls.setup  # noqa: SLF001 - what goes over the wire is looked at with its key
        headers = {**setup.headers, **(await setup.key.get()).headers()}
        async with RawExchanges(setup.base_url, headers, timeout) as raw:
            seen = await probes.observed(raw, model, keyless=setup.key.absent, tell=_progress)
        return seen, str(setup.base_url)


def _progress(what: str) -> None:
    if is_terminal(sys.stderr):
        say(f"... {what}")


def _latency(options: ClientOptions) -> Any:
    """Return a pace at which the embedded gateway shows whether streams are live."""
    if not options.simulate:
        return None
    from anyfast_async.simulator import Latency  # noqa: PLC0415

    return Latency(ttft=0.1, per_token=0.01)
