"""``anyfast batch``."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import sys
from typing import Any, Final

import attrs
import click

from anyfast_async._journal import log_of
from anyfast_async.batch import BatchFiles, MismatchError, Survey, ids_of, open_batch, rows
from anyfast_async.batch.header import forget
from anyfast_async.batch.ordering import put_in_order
from anyfast_async.batch.report import Recorder
from anyfast_async.batch.spool import Spool
from anyfast_async.cli import exits, figures
from anyfast_async.cli.batch_end import Ending, note_recovery, report
from anyfast_async.cli.batch_input import surveyed
from anyfast_async.cli.batch_job import Job, supervised
from anyfast_async.cli.batch_options import STDIN, Options, batch_options
from anyfast_async.cli.batch_plan import Sample, print_plan
from anyfast_async.cli.batch_report import check_report, write_report
from anyfast_async.cli.gateway import default_model, gateway_options
from anyfast_async.cli.money import price_options, prices_of
from anyfast_async.cli.progress import progress_on
from anyfast_async.cli.signals import terminated_as_exit
from anyfast_async.cli.terminal import say
from anyfast_async.prices import INSTALL, Prices

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""A disk that takes no more: no fault of the command, which goes on when it does again."""


@click.command()
@batch_options
@price_options
@gateway_options
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
    with terminated_as_exit(), Spool(options.answers) as spool:
        found = surveyed(options, spool)
        job = Job(
            survey=found,
            options=options,
            fields=fields,
            model=None if "model" in fields else _fallback(found),
            prices=prices,
            command=options.going_on(argv),
        )
        needed = options.prices is not None or options.budget_usd is not None
        if prices is not None and (missing := prices.missing(job.models)):
            if needed:
                message = f"{options.prices or prices.source}: has no price for {', '.join(missing)}"
                raise click.UsageError(message)
            job = attrs.evolve(job, prices=None)  # nobody asked for it
        if options.dry_run:
            print_plan(job)
            return exits.OK
        return _run(job, spool)


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
        say(f"{figures.counted(without)} of {figures.rows_of(found.count)} without a model of their own")
    return default_model()


def _run(job: Job, spool: Spool) -> int:
    options = job.options
    if not log_of(options.answers).exists():  # what cannot begin leaves no file
        options.gateway.check()
    try:
        with _opened(job) as files:
            if options.input == STDIN:  # from here on it is what the batch goes on with
                job = attrs.evolve(job, survey=job.survey.moved(spool.keep()))
            already = sum(custom_id in files.done for custom_id in ids_of(job.survey))
            note_recovery(job, files, already)
            ending = Ending(job, already)
            if already < job.survey.count:
                ending = asyncio.run(_sent(ending, files))
            if options.ordered and not ending.left and files.answered:
                _put_in_order(job, files)
    except BrokenPipeError:
        raise
    except OSError as error:
        report(error)
        say(f"to go on:\n  {job.command}")
        return exits.STOPPED
    if ending.is_nothing and not (files.answered or files.maybe_billed or options.failures.exists()):
        forget(options.answers)  # so that it can be begun with another model
    ending.tell()
    write_report(ending)
    if options.input == STDIN:
        if ending.needs_input:
            say(f"the standard input is kept in {spool.kept} until all of it is answered")
        else:
            spool.remove()
    return ending.code


def _opened(job: Job) -> BatchFiles:
    options = job.options
    try:
        return open_batch(
            options.answers, options.failures, header=job.header, sync=options.sync, retry_failed=options.retry_failed
        )
    except MismatchError as error:
        if not any(one.startswith("input.sha256") for one in error.differences):
            raise
        message = (
            f"{options.answers} was begun with another input than {options.input_name}, and was not touched; to begin "
            f"anew, name another file; to go on with its answers all the same, remove {log_of(options.answers)}"
        )
        raise click.UsageError(message) from None
    except OSError as error:
        if error.errno in _FULL:
            raise
        message = f"{error.filename or options.answers}: {error.strerror or error}"
        raise click.UsageError(message) from None


async def _sent(ending: Ending, files: BatchFiles) -> Ending:
    """Send the rows that are not done, or the sample of an estimate."""
    job, options = ending.job, ending.job.options
    left = job.survey.count - ending.already
    sample = None if options.estimate is None else Sample(job, left, options.estimate)
    gateway = options.gateway
    async with gateway.client(
        model=job.model, limits=options.limits, budget=options.budget, prices=job.prices
    ) as client:
        if sample is not None:
            run = job.run(client, files, sample.drawn(files.done), total=sample.size, already=0)
        else:
            todo = rows(job.survey, skip=files.done)
            run = job.run(client, files, todo, total=job.survey.count, already=ending.already)
        record = None
        if options.report is not None:
            record = Recorder(run.tally, options.concurrency, dt.datetime.now().astimezone())
        progress = progress_on(
            sys.stderr,
            run.tally,
            stats=client.stats,
            concurrency=options.concurrency,
            spend=job.spend,
            recorder=record,
            events=sys.stdout if options.as_json else None,
        )
        signal = await supervised(run, progress, on_row=None if sample is None else sample.row)
    return attrs.evolve(ending, run=run, signal=signal, sample=sample, record=record)


def _put_in_order(job: Job, files: BatchFiles) -> None:
    if files.answered > job.survey.count:
        say(f"note: {job.options.answers} is not put in order, because of the answers to other rows in it")
        return
    put_in_order(files, ids_of(job.survey))
