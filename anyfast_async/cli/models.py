"""``anyfast models``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from anyfast_async._core.json import codec
from anyfast_async.cli import exit_codes
from anyfast_async.cli.client_options import ClientOptions, gateway_options, no_key_option, patience_options
from anyfast_async.cli.display.terminal import is_live, shown, write
from anyfast_async.cli.verbosity import verbosity_options

if TYPE_CHECKING:
    from anyfast_async.completions import Model


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@verbosity_options
@patience_options
@gateway_options
@no_key_option
def models(*, as_json: bool, simulate: bool, key_file: str | None, no_key: bool) -> int:
    """List the models that the key may use: a table in a terminal, one id per line in a pipe.

    \b
    Examples:
      anyfast models
      anyfast models | grep gemini
      anyfast models --simulate --json
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    found = asyncio.run(_models(ClientOptions(simulate, key_file, no_key)))
    if as_json:
        write(shown(codec.dumps([codec.as_dict(model) for model in found]).decode()) + "\n")
    elif is_live(sys.stdout):
        from anyfast_async.cli.display.live import table  # noqa: PLC0415 - rich, on a terminal only

        table(("model", "owner"), [(model.id or "", model.owned_by or "") for model in found])
    else:
        write("".join(f"{model.id}\n" for model in found))
    return exit_codes.OK


async def _models(gateway: ClientOptions) -> list[Model]:
    async with gateway.client() as client:
        return await client.models()
