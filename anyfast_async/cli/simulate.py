"""``anyfast simulate``."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from anyfast_async._values.text import printable
from anyfast_async.cli import exit_codes
from anyfast_async.cli.client_options import SIMULATOR_KEY
from anyfast_async.cli.default_model import DEFAULT_MODEL
from anyfast_async.cli.display.terminal import is_terminal, say, write
from anyfast_async.cli.signals import on_ending

if TYPE_CHECKING:
    from anyfast_async.simulator import RecordedRequest, Simulator

_RECORDED: Final = 1000
_POLL: Final = 0.1


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, metavar="N", help="Default: 8765; 0 takes a free one."
)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1")
@click.option(
    "--ttft", type=click.FloatRange(0), default=0.0, metavar="S", help="Seconds to the first token. Default: 0"
)
@click.option("--per-token", type=click.FloatRange(0), default=0.0, metavar="S", help="Seconds per further token.")
@click.option("--script", metavar="FILE", help="TOML file with replies, faults and limits.")
@click.option(
    "--quirk", "quirks", multiple=True, metavar="NAME", help="Deviation of a real upstream in every answer; repeatable."
)
def simulate(
    *, port: int, host: str, ttft: float, per_token: float, script: str | None, quirks: tuple[str, ...]
) -> int:
    """Serve the embedded gateway until Ctrl-C or SIGTERM (exit code 0): made-up answers in authentic shapes.

    On a terminal every request is shown.

    \b
    Examples:
      anyfast simulate
      anyfast simulate --port 0 --ttft 0.3 --per-token 0.02
      anyfast simulate --script faults.toml --quirk tool-calls-at-index-0
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    from anyfast_async.simulator import Latency, Simulator  # noqa: PLC0415 - a server's imports
    from anyfast_async.simulator.script.script_file import ScriptError, load_script  # noqa: PLC0415

    options: dict[str, Any] = {"max_recorded": _RECORDED}
    try:
        scripted = load_script(Path(script)) if script is not None else None
        options |= scripted.options if scripted is not None else {}
        if ttft or per_token:
            options["latency"] = Latency(ttft=ttft, per_token=per_token)
        if quirks:
            options["quirks"] = quirks
        sim = Simulator(port=port, host=host, **options)
    except OSError as error:
        say(f"error: cannot read {script}: {error.strerror}")
        return exit_codes.USAGE
    except (ScriptError, ValueError) as error:
        say(f"error: {error}")
        return exit_codes.USAGE
    if scripted is not None:
        scripted.apply(sim)
    try:
        return asyncio.run(_simulate(sim, port, host))
    except AssertionError as error:  # strict = true in the script
        say(f"error: {error}")
        return exit_codes.FAILED


async def _simulate(sim: Simulator, port: int, host: str) -> int:
    ended = asyncio.Event()
    try:
        async with sim:
            with on_ending(lambda _: ended.set()):
                write(
                    f"serving {sim.base_url}\n"
                    f"  export ANYFAST_BASE_URL={sim.base_url}\n"
                    f"  export ANYFAST_API_KEY={SIMULATOR_KEY}\n"
                    f"  export ANYFAST_MODEL={DEFAULT_MODEL}\n"
                )
                if is_terminal(sys.stdout):
                    write("Ctrl-C ends it.\n")
                    await _log(sim, ended)
                    write("\n")
                else:
                    await ended.wait()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        say(f"error: cannot listen on {host}:{port}: {reason}")
        say("Choose another one with --port; --port 0 takes a free one.")
        return exit_codes.USAGE
    return exit_codes.OK


async def _log(sim: Simulator, ended: asyncio.Event) -> None:
    """Show every request once it is answered."""
    logged: set[tuple[int, float]] = set()
    waiting = asyncio.ensure_future(ended.wait())
    while not ended.is_set():
        present = {(record.connection, record.time): record for record in sim.requests}
        for key, record in present.items():
            if key not in logged and (record.status is not None or record.disconnected):
                logged.add(key)
                write(_logged(record))
        logged &= present.keys()
        await asyncio.wait({waiting}, timeout=_POLL)
    waiting.cancel()


def _logged(record: RecordedRequest) -> str:
    status = "left" if record.disconnected else str(record.status)
    body = record.body if isinstance(record.body, dict) else {}
    model, streamed = body.get("model"), " stream" if body.get("stream") else ""
    what = f" {model}{streamed}" if model else ""
    return printable(f"{time.strftime('%H:%M:%S')} {status} {record.method} {record.path}{what}") + "\n"
