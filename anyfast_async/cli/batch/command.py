"""``anyfast batch``."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import Any

import attrs
import click

from anyfast_async._journal.records import log_of
from anyfast_async._values.text import counted
from anyfast_async.batch import BatchFiles, Survey, Tally, ids_of, rows
from anyfast_async.batch.input.stdin_copy import StdinCopy
from anyfast_async.batch.output_order import put_in_order
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.batch.run_header import forget
from anyfast_async.cli import exit_codes
from anyfast_async.cli.batch.dry_run import SentSample, print_plan
from anyfast_async.cli.batch.input_check import surveyed
from anyfast_async.cli.batch.job import BatchJob, supervised
from anyfast_async.cli.batch.opening import Opened, check_changed, opened
from anyfast_async.cli.batch.options import STDIN, Options, batch_options
from anyfast_async.cli.batch.preview import Preview
from anyfast_async.cli.batch.report_file import progress_of, write_report
from anyfast_async.cli.batch.sharded import Shards, check_shards, forget_shards, shards_of
from anyfast_async.cli.batch.summary import BatchEnd, note_recovery, report
from anyfast_async.cli.client_options import gateway_options, no_key_option, retries_option
from anyfast_async.cli.default_model import default_model
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.money import price_options, prices_of
from anyfast_async.cli.display.terminal import forsake, note, say
from anyfast_async.cli.overwriting import check_report
from anyfast_async.cli.signals import terminated_as_exit
from anyfast_async.cli.verbosity import verbosity_options
from anyfast_async.prices import INSTALL, Prices


@click.command()
@batch_options
@price_options
@verbosity_options
@retries_option
@gateway_options
@no_key_option
@click.pass_obj
def batch(argv: tuple[str, ...], /, **given: Any) -> int:
    """Run a file of requests, and write one line per answer.

    IN holds lines in the OpenAI Batch format, bare requests (one JSON body a line), plain prompts (one a line), or a
    table (CSV, Parquet, or JSON objects with --template). The whole file is checked first: if anything is wrong, every
    problem is listed with its line, and nothing is sent.

    Interrupted or stopped, the same command goes on: rows answered in OUT.jsonl are not sent again, failed ones are.

    \b
    Examples:
      anyfast batch -i prompts.jsonl -o answers.jsonl
      anyfast batch -i reviews.csv -o labels.jsonl --id review --template 'Good or bad? {text}'
      anyfast batch -i prompts.jsonl -o answers.jsonl --estimate 50 --prices prices.toml
      anyfast batch -i prompts.txt -o trial.jsonl --simulate --json
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    options = Options(**given)
    check_report(options)
    fields, prices = options.fields, _prices(options)
    check_shards(options)
    with terminated_as_exit(), StdinCopy(options.answers) as spool, shards_of(options) as shards:
        found = surveyed(options, spool, None if shards is None else shards.look)
        job = BatchJob(
            survey=found,
            options=options,
            fields=fields,
            model=None if "model" in fields else _fallback(found),
            prices=prices,
            command=options.going_on(argv),
            argv=argv,
        )
        if prices is not None and (missing := prices.missing(job.models)):
            if options.prices is not None or options.budget_usd is not None:
                message = f"{options.prices or prices.source}: has no price for {', '.join(missing)}"
                raise click.UsageError(message)
            job = attrs.evolve(job, prices=None)  # nobody asked for it
        if options.dry_run:
            print_plan(job)
            return exit_codes.OK
        return _run(job, spool, shards)


def _prices(options: Options) -> Prices | None:
    found = prices_of(options.prices, options.price_factor)
    if options.budget_usd is None or (found is not None and found.currency in ("", "USD")):
        return found
    if found is not None:
        message = f"--budget-usd is in US dollars, {options.prices} in {found.currency}"
    else:
        message = f"--budget-usd needs prices: {INSTALL}, or --prices PRICES.toml"
    raise click.UsageError(message)


def _fallback(found: Survey) -> str | None:
    """Return the model of the rows that name none, if there are any, and say so."""
    without = found.models.get(None, 0)
    if not without:
        return None
    if without < found.count:
        note(f"{counted(without)} of {figures.rows_of(found.count)} without a model of their own")
    return default_model()


def _run(job: BatchJob, spool: StdinCopy, shards: Shards | None) -> int:
    options = job.options
    if options.dask is None and not log_of(options.answers).exists():  # what cannot begin leaves no file
        options.gateway.check()
    try:
        found = opened(job)
        if shards is not None:
            found = _begun(found, shards)
        job, files = found.job, found.files
        with files:
            ending = _done(found, spool, shards)
            if options.ordered and not ending.left and files.answered and shards is None:
                _put_in_order(job, files)
    except BrokenPipeError:
        raise
    except OSError as error:
        report(error)
        say(f"to go on:\n  {job.command}")
        return exit_codes.STOPPED
    if ending.is_nothing and not (files.answered or files.maybe_billed):
        kept = job.survey.sha256 if options.input == STDIN else None
        forget(options.answers, kept)  # so that it can be begun with another model
        forget_shards(options)
    code = _told(ending)
    write_report(ending)
    if options.input == STDIN:
        if ending.needs_input:
            say(f"the standard input is kept in {spool.kept} until all of it is answered")
        else:
            spool.remove()
    return code


def _done(found: Opened, spool: StdinCopy, shards: Shards | None) -> BatchEnd:
    """Do what is to be done with the files open."""
    job, files = found.job, found.files
    if shards is not None:
        if found.is_changed:
            files.journal.note("changed", job.header)
        if job.options.input == STDIN:
            spool.keep()
        return shards.done(job, files)
    census = files.census(ids_of(job.survey), {row.custom_id for row in job.survey.bad.values()})
    if found.is_changed:
        check_changed(job, census)
    if gone := files.drop_left_out(lambda: ids_of(job.survey)):
        rows_out, name = figures.rows_of(gone), job.options.input_name
        say(f"{job.options.failures}: {rows_out} taken out that could not be sent, and that {name} has no more")
    found.note()
    if found.is_changed:
        files.journal.note("changed", job.header)
    if job.options.input == STDIN:  # from here on it is what the batch goes on with
        job = attrs.evolve(job, survey=job.survey.moved(spool.keep()))
    if foreign := files.answered - census.counts.answered:
        files.journal.note("foreign", foreign)
    note_recovery(job, files, census.counts.answered)
    ending = BatchEnd(job, census, earlier=files.maybe_billed)
    if not ending.left:
        return ending
    return asyncio.run(_sent(ending, files)) if job.options.preview is None else _previewed(ending, files)


def _previewed(ending: BatchEnd, files: BatchFiles) -> BatchEnd:
    """Send the first rows, show them, and send the others if that is wanted: in the same files, none of them twice."""
    job, population = ending.job, ending.left - ending.census.unsendable
    preview = Preview(job, files, job.options.preview or 0, population)
    sent = len(preview.todo)
    if sent:
        ending = asyncio.run(_sent(ending, files, preview))
        if ending.status in ("interrupted", "stopped"):
            return ending
    first = None if ending.run is None else ending.run.tally
    preview.tell(preview.look(sent, first))
    files.done.hold(row.custom_id for row in preview.asked)
    census = files.census(ids_of(job.survey), {row.custom_id for row in job.survey.bad.values()})
    rest = BatchEnd(job, census, earlier=files.maybe_billed)
    if not rest.left:
        return ending
    try:
        if preview.goes_on(rest.left - census.unsendable):
            return asyncio.run(_sent(rest, files, before=first))
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        ending = attrs.evolve(ending, signal=signal.SIGINT)
    return attrs.evolve(ending, is_previewed=True)


def _begun(found: Opened, shards: Shards) -> Opened:
    """Give what is left to shards; return the files, opened anew: what was to be settled in them is."""
    with found.files as files:
        if found.is_changed:
            check_changed(found.job, files.census(ids_of(found.job.survey)))
        shards.begin(files)
    return attrs.evolve(opened(found.job), is_changed=found.is_changed)


def _told(ending: BatchEnd) -> int:
    """Print how it went; return the exit code."""
    try:
        ending.tell()
    except OSError as error:
        forsake(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return exit_codes.BROKEN_PIPE
        reason = error.strerror or error
        say(f"error: the summary cannot be written to the standard output ({reason}); the answers are in their file")
        return exit_codes.STOPPED if ending.code in (exit_codes.OK, exit_codes.FAILED) else ending.code
    return ending.code


async def _sent(
    ending: BatchEnd, files: BatchFiles, preview: Preview | None = None, before: Tally | None = None
) -> BatchEnd:
    """Send the rows that are not done, or some of them.

    Args:
        ending: as it stands now.
        files: open.
        preview: whose rows are sent alone.
        before: what the preview came to, which the command has sent, too.

    """
    job, options = ending.job, ending.job.options
    population = ending.left - ending.census.unsendable
    sample = None if options.estimate is None else SentSample(job, population, options.estimate)
    first = [] if preview is None else preview.todo
    few = len(first)
    if options.limit is not None:
        few = sum(1 for _ in rows(job.survey, skip=files.done, first=options.limit))
        if not few:
            note(f"the first {figures.rows_of(options.limit)} have their results")
            return ending
    async with options.gateway.client(
        model=job.model, limits=options.limits, budget=options.budget, prices=job.prices
    ) as client:
        if sample is not None:
            run = job.run(client, files, sample.drawn(files.done), total=sample.size, census=None)
        elif few:
            todo = first or rows(job.survey, skip=files.done, first=options.limit)
            run = job.run(client, files, todo, total=few, census=None)
        else:
            todo = rows(job.survey, skip=files.done)
            run = job.run(client, files, todo, total=job.survey.total, census=ending.census)
        if before is not None:
            run.tally.carry_on(before)
        record = Recorder(files.journal.note, round(time.time(), 3), options.workers)
        progress = progress_of(job, run, stats=client.stats, recorder=record)
        on_row = sample.row if sample is not None else preview.row if preview is not None else None
        number = await supervised(run, progress, on_row=on_row, grace=options.grace)
    ended = attrs.evolve(ending, run=run, signal=number, sample=sample)
    record.end(asyncio.get_running_loop().time(), ended.why)
    return ended


def _put_in_order(job: BatchJob, files: BatchFiles) -> None:
    if files.answered > job.survey.total:
        say(f"note: {job.options.answers} is not put in order, because of the answers to other rows in it")
        return
    put_in_order(files, ids_of(job.survey))
