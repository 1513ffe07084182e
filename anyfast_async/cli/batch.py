"""``anyfast batch``."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from anyfast_async._core import codec
from anyfast_async.batch import BatchFiles, BatchRun, ForeignFileError, Survey, Tally, open_batch, rows, survey
from anyfast_async.cli import exits, figures
from anyfast_async.cli.gateway import Gateway, default_model, gateway_options
from anyfast_async.cli.progress import print_summary, progress_on
from anyfast_async.cli.signals import on_ending
from anyfast_async.cli.terminal import say, write
from anyfast_async.errors import AnyFastError
from anyfast_async.policies import Limits

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast

GRACE: Final = 5.0
"""Seconds that the rows in work get after the first Ctrl-C."""
_NAMED: Final = 20
"""Unfinished rows that are named."""


@attrs.frozen(kw_only=True)
class Job:
    """What one ``anyfast batch`` is to do."""

    survey: Survey
    output: Path
    errors: Path
    gateway: Gateway
    limits: Limits
    model: str | None
    options: dict[str, Any]
    command: str
    """The same command, for going on."""
    as_json: bool


@click.command()
@click.option(
    "-i", "--input", "source", required=True, metavar="IN.jsonl", help="Requests, in the OpenAI Batch format."
)
@click.option("-o", "--output", required=True, metavar="OUT.jsonl", help="Answers. Rows answered there are not sent.")
@click.option("--errors", metavar="PATH", help="Failed rows. Default: OUT.errors.jsonl")
@click.option("-m", "--model", metavar="MODEL", help="The model for every row, also for those that name another.")
@click.option("--system", metavar="TEXT", help="A system message, put before those of every row.")
@click.option("--max-tokens", type=int, metavar="N", help="For every row, from 1. Thinking counts too.")
@click.option("--concurrency", type=click.IntRange(1), default=64, metavar="N", help="Requests at once. Default: 64")
@click.option("--rpm", type=click.IntRange(1), metavar="N", help="Requests in any minute. Default: no limit.")
@click.option("--tpm", type=click.IntRange(1), metavar="N", help="Tokens in any minute. Default: no limit.")
@click.option(
    "--via-stream", is_flag=True, help="Stream between gateway and here, for proxies that cut silent answers."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@gateway_options
@click.pass_obj
def batch(
    argv: tuple[str, ...],
    *,
    source: str,
    output: str,
    errors: str | None,
    model: str | None,
    system: str | None,
    max_tokens: int | None,
    concurrency: int,
    rpm: int | None,
    tpm: int | None,
    via_stream: bool,
    as_json: bool,
    simulate: bool,
    key_file: str | None,
) -> int:
    """Run a file of requests, and write one line per answer.

    Each line of IN.jsonl is {"custom_id": ..., "method": "POST", "url": "/v1/chat/completions", "body": {...}}. The
    whole file is checked first: if anything is wrong, every problem is listed with its line, and nothing is sent.

    Interrupted or stopped, the same command goes on: rows answered in OUT.jsonl are not sent again, failed ones are.

    \b
    Examples:
      anyfast batch -i prompts.jsonl -o answers.jsonl
      anyfast batch -i prompts.jsonl -o answers.jsonl --rpm 500 --concurrency 32
      anyfast batch -i prompts.jsonl -o trial.jsonl --simulate --json
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    paths = _paths(source, output, errors)
    found = _surveyed(paths[0])
    if model is None and found.without_model:
        say(f"{figures.counted(found.without_model)} of {figures.rows_of(len(found.ids))} without a model of their own")
        fallback: str | None = default_model()
    else:
        fallback = model
    job = Job(
        survey=found,
        output=paths[1],
        errors=paths[2],
        gateway=Gateway(simulate, key_file),
        limits=Limits(concurrency=concurrency, requests_per_minute=rpm, tokens_per_minute=tpm),
        model=fallback,
        options={"model": model, "system": system, "max_tokens": max_tokens, "via_stream": via_stream},
        command=shlex.join(("anyfast", *argv)),
        as_json=as_json,
    )
    try:
        with _opened(job) as files:
            already = sum(custom_id in files.done for custom_id in found.ids)
            foreign = len(files.done) - already
            if foreign:
                say(f"note: {output} holds {figures.counted(foreign)} answers to rows that are not in {source}")
            if already == len(found.ids):
                return _nothing_to_do(job, already)
            run, signal = asyncio.run(_batch(job, files, already))
    except BrokenPipeError:
        raise
    except OSError as error:  # the last of what was written did not reach the disk
        _report(error)
        say(f"to go on:\n  {job.command}")
        return exits.STOPPED
    return _ended(job, run, signal)


def _paths(source: str, output: str, errors: str | None) -> tuple[Path, Path, Path]:
    out = Path(output)
    err = Path(errors) if errors is not None else errors_beside(out)
    named = {"-i": Path(source), "-o": out, "--errors": err}
    for path in named.values():
        if str(path) == "-":
            message = "files only: the input is read twice, and the output is read back to go on after an interruption"
            raise click.UsageError(message)
    if len({path.resolve() for path in named.values()}) < len(named):
        message = "-i, -o and --errors must be three different files"
        raise click.UsageError(message)
    return named["-i"], out, err


def errors_beside(output: Path) -> Path:
    """Return where failed rows go unless told otherwise: ``out.jsonl`` to ``out.errors.jsonl``."""
    return output.with_name(f"{output.name.removesuffix('.jsonl')}.errors.jsonl")


def _surveyed(path: Path) -> Survey:
    """Check the whole input, or end with all that is wrong with it."""
    if not path.is_file():
        problem = "is no regular file; the input is read twice" if path.exists() else "does not exist"
        message = f"{path} {problem}"
        raise click.UsageError(message)
    try:
        found = survey(path)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise click.UsageError(message) from None
    if found.problems:
        for found_problem in found.problems:
            say(f"{path}, {found_problem}")
        unnamed = found.problem_count - len(found.problems)
        more = f" ({figures.counted(unnamed)} of them not shown)" if unnamed else ""
        noun = "problem" if found.problem_count == 1 else "problems"
        say(f"error: {figures.counted(found.problem_count)} {noun} in {path}{more}; nothing was sent, nothing written")
        raise click.exceptions.Exit(exits.USAGE)
    if not found.ids:
        message = f"{path} holds no requests"
        raise click.UsageError(message)
    return found


def _opened(job: Job) -> BatchFiles:
    try:
        return open_batch(job.output, job.errors)
    except ForeignFileError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        message = f"{error.filename or job.output}: {error.strerror or error}"
        raise click.UsageError(message) from None


async def _batch(job: Job, files: BatchFiles, already: int) -> tuple[BatchRun, int | None]:
    async with job.gateway.client(model=job.model, limits=job.limits) as client:
        concurrency = job.limits.concurrency
        run = prepared(client, job.survey, files, already=already, concurrency=concurrency, options=job.options)
        return run, await supervised(run)


def prepared(
    client: AnyFast, found: Survey, files: BatchFiles, *, already: int, concurrency: int, options: dict[str, Any]
) -> BatchRun:
    """Return the run of the rows that are not done."""
    todo = rows(found, skip=files.done)
    return BatchRun(client, todo, files, total=len(found.ids), already=already, concurrency=concurrency, **options)


async def supervised(run: BatchRun) -> int | None:
    """Make the run, show how it gets on, and end it on SIGINT or SIGTERM; return the signal's number, if any."""
    received: list[int] = []
    with progress_on(sys.stderr, run.tally) as progress:

        def ending(number: int) -> None:
            received.append(number)
            first = len(received) == 1
            run.stop(GRACE if first else 0.0)
            if first:
                progress.note(f"stopping: rows in work get {GRACE:g} s; once more to leave them")

        run.on_row = progress.row
        with on_ending(ending):
            await run.run()
    return received[0] if received else None


def _nothing_to_do(job: Job, already: int) -> int:
    if job.as_json:
        write(_json(job, "complete", Tally(already, already)))
    else:
        write(
            f"nothing to do: {job.output} holds an answer to every row ({figures.counted(already)}); nothing was sent\n"
        )
    return exits.OK


def _ended(job: Job, run: BatchRun, signal: int | None) -> int:
    """Print how it went, and return the exit code."""
    tally = run.tally
    resumable = True
    if signal is not None and tally.left:
        status, code = "interrupted", 128 + signal
    elif run.stopped is not None:
        status, code = "stopped", exits.STOPPED
    else:
        status, code, resumable = "complete", exits.FAILED if tally.failed else exits.OK, False
    if job.as_json:
        write(_json(job, status, tally, run))
    else:
        print_summary([*figures.summary(tally), ("output", str(job.output))])
    if tally.failed:
        say(f"{figures.rows_of(tally.failed)} failed: {job.errors}; the same command sends them again")
    if run.stopped is not None:
        _report(run.stopped)
    if resumable:
        _say_unfinished(run.unfinished)
        say(f"{figures.rows_of(tally.left)} left; to go on:\n  {job.command}")
    return code


def _report(error: AnyFastError | OSError) -> None:
    if isinstance(error, AnyFastError):
        exits.report(error)
    else:
        say(f"error: {error.filename or 'a file'}: {error.strerror or error}")


def _described(error: AnyFastError | OSError) -> dict[str, str]:
    return {"kind": error.kind if isinstance(error, AnyFastError) else "disk", "message": str(error)}


def _say_unfinished(ids: tuple[str, ...]) -> None:
    if not ids:
        return
    more = f" and {figures.counted(len(ids) - _NAMED)} more" if len(ids) > _NAMED else ""
    named = ", ".join(ids[:_NAMED])
    say(f"in work without a result, so perhaps billed now and again when sent again: {named}{more}")


def _json(job: Job, status: str, tally: Tally, run: BatchRun | None = None) -> str:
    stopped = run.stopped if run is not None else None
    value = {
        "status": status,
        **figures.as_json(tally),
        "output": str(job.output),
        "errors": str(job.errors) if tally.failed else None,
        "unfinished": list(run.unfinished) if run is not None else [],
        "stopped_by": None if stopped is None else _described(stopped),
    }
    return codec.dumps(value).decode() + "\n"
