"""``anyfast simulate``."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from anyfast_async.cli import exits
from anyfast_async.cli.gateway import SIMULATOR_KEY
from anyfast_async.cli.signals import on_ending
from anyfast_async.cli.terminal import is_terminal, printable, say, write

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
def simulate(*, port: int, host: str, ttft: float, per_token: float) -> int:
    """Serve the embedded gateway until Ctrl-C or SIGTERM (exit code 0): made-up answers in authentic shapes.

    On a terminal every request is shown.

    \b
    Examples:
      anyfast simulate
      anyfast simulate --port 0 --ttft 0.3 --per-token 0.02
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    return asyncio.run(_simulate(port, host, ttft, per_token))


async def _simulate(port: int, host: str, ttft: float, per_token: float) -> int:
    from anyfast_async.simulator import Latency, Simulator  # noqa: PLC0415 - a server's imports

    latency = Latency(ttft=ttft, per_token=per_token)
    sim = Simulator(port=port, host=host, latency=latency, max_recorded=_RECORDED)
    ended = asyncio.Event()
    try:
        async with sim:
            with on_ending(lambda _: ended.set()):
                write(
                    f"serving {sim.base_url}\n"
                    f"  export ANYFAST_BASE_URL={sim.base_url}\n"
                    f"  export ANYFAST_API_KEY={SIMULATOR_KEY}\n"
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
        return exits.USAGE
    return exits.OK


async def _log(sim: Simulator, ended: asyncio.Event) -> None:
    """Show every request once it is answered."""
    logged: set[tuple[int, float]] = set()
    while not ended.is_set():
        present = {(record.connection, record.time): record for record in sim.requests}
        for key, record in present.items():
            if key not in logged and (record.status is not None or record.disconnected):
                logged.add(key)
                write(_logged(record))
        logged &= present.keys()
        try:
            await asyncio.wait_for(ended.wait(), _POLL)
        except TimeoutError:
            continue


def _logged(record: RecordedRequest) -> str:
    status = "left" if record.disconnected else str(record.status)
    body = record.body if isinstance(record.body, dict) else {}
    model, streamed = body.get("model"), " stream" if body.get("stream") else ""
    what = f" {model}{streamed}" if model else ""
    return printable(f"{time.strftime('%H:%M:%S')} {status} {record.method} {record.path}{what}") + "\n"
