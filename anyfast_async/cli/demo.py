"""``anyfast demo``: one await, one stream and one batch, in front of you."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click

from anyfast_async._core.json import codec
from anyfast_async.batch import BatchRun, open_batch, open_source, rows, survey
from anyfast_async.batch.output_files import failures_of
from anyfast_async.cli import demo_prompts, exit_codes
from anyfast_async.cli.batch.job import supervised
from anyfast_async.cli.client_options import SIMULATOR_KEY, ClientOptions, gateway_options, retries_option
from anyfast_async.cli.default_model import default_model, model_option
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.progress import print_summary, progress_on
from anyfast_async.cli.display.terminal import is_live, shown, write
from anyfast_async.client import AnyFast
from anyfast_async.completions import ChatCompletion

ROWS: Final = 200
PAID_ROWS: Final = 20
CONCURRENCY: Final = 64
_FAILING: Final = (12, 57, 101, 144)
"""Rows that the embedded gateway refuses once, as if its upstream had failed."""
_THROTTLED: Final = 30
"""The row at which it says once that there are too many requests."""
_PAUSE: Final = 0.2
"""Seconds after which it wants to be asked again."""


@click.command()
@model_option
@retries_option
@gateway_options
def demo(*, model: str | None, simulate: bool, key_file: str | None) -> int:
    """Show one await, one stream and one batch from file to file.

    Without a key it starts the embedded gateway: 200 rows, no cost, nothing leaves this machine. With a key it talks to
    the real gateway, with 20 rows, which costs a little; --simulate keeps to the embedded one.

    \b
    Examples:
      anyfast demo
      anyfast demo --simulate -m gemini-2.5-pro
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    has_key = bool(key_file or os.environ.get("ANYFAST_API_KEY") or os.environ.get("ANYFAST_API_KEY_FILE"))
    return asyncio.run(_demo(ClientOptions(simulate or not has_key, key_file), model or default_model()))


async def _demo(gateway: ClientOptions, model: str) -> int:
    async with _opened(gateway, model) as client:
        await _await(client)
        await _stream(client)
        return await _batch(client, model, ROWS if gateway.simulate else PAID_ROWS)


@asynccontextmanager
async def _opened(gateway: ClientOptions, model: str) -> AsyncIterator[AnyFast]:
    """Open the client, and say whom it talks to."""
    if not gateway.simulate:
        async with gateway.client(model=model) as client:
            write(f"The real gateway: {gateway.url}\n{PAID_ROWS + 2} short requests, which cost money.\n")
            yield client
        return
    from anyfast_async.simulator import Latency, Simulator  # noqa: PLC0415 - a server's imports

    latency = Latency(ttft=0.12, per_token=0.003, jitter=0.4, slow_share=0.03, slow=0.6)
    async with (
        Simulator(latency=latency) as sim,
        AnyFast(SIMULATOR_KEY, base_url=sim.base_url, model=model) as client,
    ):
        for number in _FAILING:
            sim.fail(500, retry_after=_PAUSE, when=demo_prompts.prompt(number))
        sim.fail(429, retry_after=_PAUSE, when=demo_prompts.prompt(_THROTTLED))
        write(f"The embedded gateway: {sim.base_url}\nReal requests over sockets, made-up answers, no cost.\n")
        yield client


async def _await(client: AnyFast) -> None:
    prompt = "Why is the sky blue? Answer in two sentences."
    _heading(f'1  await client.complete("{prompt}")')
    completion = await client.complete(prompt)
    write(f"{shown(completion.text)}\n{_tokens(completion)}\n")


async def _stream(client: AnyFast) -> None:
    prompt = "Tell me a short story about a lighthouse."
    _heading(f'2  async for token in client.stream("{prompt}")')
    async with client.stream(prompt) as stream:
        async for token in stream:
            write(shown(token))
    trace = stream.completion.trace
    first = f", first token after {trace.first_token:.2f} s" if trace is not None and trace.first_token else ""
    write(f"\n{_tokens(stream.completion)}{first}\n")


async def _batch(client: AnyFast, model: str, count: int) -> int:
    _heading(f"3  anyfast batch: {count} prompts, from file to file")
    with tempfile.TemporaryDirectory(prefix="anyfast-demo-") as folder:
        source, output = _written(Path(folder, "prompts.jsonl"), model, count), Path(folder, "answers.jsonl")
        found = survey(open_source(source))
        with open_batch(output, failures_of(output)) as files:
            run = BatchRun(client, rows(found), files, total=found.count, concurrency=CONCURRENCY, via_stream=True)
            progress = progress_on(sys.stderr, run.tally, stats=client.stats, concurrency=CONCURRENCY)
            signal = await supervised(run, progress)
        write(f"{source.name}: {_beginning(source)}\n{output.name}: {_beginning(output)}\n")
    print_summary(list(figures.summary(run.tally)))
    if signal is not None:
        return 128 + signal
    if run.stopped is not None:
        raise run.stopped
    if count == ROWS:
        write(f"{len(_FAILING)} rows were failed and 1 was throttled on purpose: see the retries.\n")
    return exit_codes.FAILED if run.tally.failed else exit_codes.OK


def _written(path: Path, model: str, count: int) -> Path:
    path.write_bytes(b"".join(codec.dumps(demo_prompts.line(n, model)) + b"\n" for n in range(count)))
    return path


def _heading(text: str) -> None:
    write("\n")
    if is_live(sys.stdout):
        from anyfast_async.cli.display.live import heading  # noqa: PLC0415 - rich, on a terminal only

        heading(text)
    else:
        write(f"{text}\n")


def _tokens(completion: ChatCompletion) -> str:
    usage, trace = completion.usage, completion.trace
    used = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage is not None else "no usage reported"
    return f"-> {used}, {trace.total if trace is not None else 0.0:.2f} s"


def _beginning(path: Path) -> str:
    if not path.exists():
        return "(none)"
    with path.open() as file:
        return shown(f"{file.readline()[:60]}...")
