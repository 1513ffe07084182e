"""``anyfast batch --processes`` and ``--dask``: the same batch, sent by other processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from anyfast_async._values.text import counted
from anyfast_async.batch import BatchFiles, Source, Survey, ids_of, survey
from anyfast_async.batch.counts import Census
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.batch.run_header import checked_before, recorded
from anyfast_async.cli.batch.job import BatchJob, supervised
from anyfast_async.cli.batch.options import Options
from anyfast_async.cli.batch.report_file import progress_of
from anyfast_async.cli.batch.summary import BatchEnd, named
from anyfast_async.cli.client_options import SIMULATOR_KEY, STDIN, simulator
from anyfast_async.cli.display.terminal import note, say
from anyfast_async.cli.settings import key_of
from anyfast_async.scale.exchange import ShardExchange
from anyfast_async.scale.object_store import Stored
from anyfast_async.scale.plan import Plan, discard, folder_of, found_again, remove
from anyfast_async.scale.settings import BatchSettings
from anyfast_async.scale.sharded import begun, ended, planned, spent_before
from anyfast_async.scale.sharded_run import ShardedRun
from anyfast_async.scale.split import UncutError
from anyfast_async.scale.workers import Processes

if TYPE_CHECKING:
    from anyfast_async.scale.workers import Workers

_KEY: Final = "ANYFAST_API_KEY"
_FILE: Final = "ANYFAST_API_KEY_FILE"


def check_shards(options: Options) -> None:
    """Refuse to go on in one process with what other processes have begun, and may be at still.

    Raises:
        click.UsageError: that is so.

    """
    folder = folder_of(options.answers)
    if options.is_sharded or options.dry_run or not folder.exists():
        return
    message = (
        f"{options.answers} was begun with --processes or --dask, and what is done of it is in {folder}; go on with "
        "--processes N (1 will do)"
    )
    raise click.UsageError(message)


def forget_shards(options: Options) -> None:
    """Remove what nothing came of."""
    folder = folder_of(options.answers)
    if folder.exists():
        remove(folder)


@contextmanager
def shards_of(options: Options) -> Iterator[Shards | None]:
    """Give what has other processes do the batch, None if this one does it."""
    if not options.is_sharded or options.dry_run:
        yield None
        return
    with ExitStack() as opened:
        base_url = options.gateway.base_url
        if options.simulate:
            base_url = opened.enter_context(simulator().in_thread()).base_url
        opened.enter_context(_key_for_workers(options))
        opened.callback(discard, options.answers)
        exchange = None if options.through is None else ShardExchange(options.through)
        yield Shards(options, opened.enter_context(_workers(options)), base_url, exchange)


@contextmanager
def _workers(options: Options) -> Iterator[Workers]:
    if options.dask is None:
        with Processes(options.processes or 1) as processes:
            yield processes
        return
    from anyfast_async.scale.dask import dask_workers  # noqa: PLC0415 - an extra, and slow to import

    number = options.processes or os.cpu_count() or 1
    key_file, no_key = key_of(options.key_file, no_key=options.no_key)
    needs_key = not no_key and key_file in (None, STDIN)
    folder = options.answers.absolute().parent if options.through is None else Stored(options.through)
    with dask_workers(options.dask, number, folder, needs_key=needs_key, key=_own_key, say=note) as workers:
        yield workers


def _own_key() -> str | None:
    """Return the key in this process's environment."""
    from anyfast_async._http.api_key import checked  # noqa: PLC0415 - as it is asked for

    value, source, file = os.environ.get(_KEY), _KEY, os.environ.get(_FILE)
    if not value and file:
        value, source = Path(file).read_text(encoding="utf-8-sig"), f"the key in {file}"
    if not value:
        return None
    return checked(value, source).headers()["Authorization"].removeprefix("Bearer ")


@contextmanager
def _key_for_workers(options: Options) -> Iterator[None]:
    """Put a key that only this process has into the environment, from which processes that it starts have theirs."""
    key_file, _ = key_of(options.key_file, no_key=options.no_key)
    if options.simulate:
        key = SIMULATOR_KEY
    elif key_file == STDIN:
        key = sys.stdin.readline().strip()
    else:
        yield
        return
    before = os.environ.get(_KEY)
    os.environ[_KEY] = key
    try:
        yield
    finally:
        del os.environ[_KEY]
        if before is not None:
            os.environ[_KEY] = before


class Shards:
    """One batch, done by other processes."""

    def __init__(
        self, options: Options, workers: Workers, base_url: str | None, exchange: ShardExchange | None = None
    ) -> None:
        self._options, self._workers, self._base_url, self._exchange = options, workers, base_url, exchange
        self._source: Source | None = None
        self._known: Survey | None = None
        self._census: Census | None = None
        self._plan: Plan | None = None

    def look(self, source: Source) -> Survey:
        """Return what stands in the input, found out by the workers, or as it was found out before."""
        options = self._options
        self._source = source = attrs.evolve(source, path=source.path.absolute())
        self._plan = found_again(source, options.answers.absolute())
        if self._plan is None:
            self._known = checked_before(source, recorded(options.answers), needs_rows=False)
        if self._plan is not None:
            self._workers.begin()
        elif self._known is None:
            try:
                self._plan = self._planned(source)
            except UncutError:
                found = survey(source, skip_bad=options.skip_bad)  # whose problems say what is wrong with it
                if not found.problems:
                    raise
                return found
        return self._plan.found if self._plan is not None else self._known or survey(source)

    def _planned(self, source: Source) -> Plan:
        options = self._options
        answers, is_far = options.answers.absolute(), self._exchange is not None
        return planned(source, answers, self._workers, shards=None, skip_bad=options.skip_bad, is_far=is_far)

    def begin(self, files: BatchFiles) -> None:
        """Find out what is left, and give it to shards."""
        if self._plan is None and self._known is not None and self._source is not None:
            census = files.census(ids_of(self._known))
            if census.already == self._known.total:
                self._census = census
                return
            self._plan = self._planned(self._source)
        if self._plan is not None:
            self._plan = begun(self._plan, files)

    def done(self, job: BatchJob, files: BatchFiles) -> BatchEnd:
        """Do what is left; return how it ended."""
        if self._plan is None:
            return BatchEnd(job, self._census or Census(), earlier=files.maybe_billed)
        return asyncio.run(self._sent(job, files, self._plan))

    async def _sent(self, job: BatchJob, files: BatchFiles, plan: Plan) -> BatchEnd:
        options = self._options
        began = round(time.time(), 3)
        record = Recorder(files.journal.note, began, options.workers)
        run = ShardedRun(
            plan,
            self._settings(job),
            self._workers,
            max_failures=options.max_failures,
            before=spent_before(files),
            say=lambda message: progress.note(message),  # noqa: PLW0108 - made below, of the run
            exchange=self._exchange,
            recorded=began,
        )
        _say_division(run, options)
        progress = progress_of(job, run, stats=run.stats, recorder=record)
        signal = await supervised(run, progress, grace=options.grace)
        ended(plan, files, run)
        earlier = dict.fromkeys((*files.maybe_billed, *run.maybe_billed))
        if run.maybe_billed:
            say(f"note: in work when a worker was lost, so perhaps billed twice: {named(run.maybe_billed)}")
        ending = BatchEnd(job, run.census, run=run, signal=signal, earlier=tuple(earlier))
        record.end(asyncio.get_running_loop().time(), ending.why)
        return ending

    def _settings(self, job: BatchJob) -> BatchSettings:
        options, gateway = self._options, self._options.gateway
        key_file, no_key = key_of(options.key_file, no_key=options.no_key)
        is_file = key_file not in (None, STDIN) and not options.simulate
        given: dict[str, Any] = gateway.patience
        return BatchSettings(
            model=job.model,
            fields=job.fields,
            system=options.system,
            via_stream=options.via_stream,
            timeout=options.timeout,
            into=None if options.schema is None else options.schema.kind,
            concurrency=options.limits.most_in_flight,
            limits=options.limits,
            budget=options.budget,
            prices=job.prices,
            base_url=self._base_url,
            proxy=None if options.simulate or not gateway.url.startswith("https:") else "env",
            key_file=Path(key_file).absolute() if is_file and key_file is not None else None,
            no_key=no_key and not options.simulate,
            handed_key=self._workers.handed_key,
            retry_failed=options.retry_failed,
            skip_bad=options.skip_bad,
            ordered=options.ordered,
            parquet=options.parquet,
            give_up_after=options.give_up_after,
            sync=options.sync,
            **given,
        )


def _say_division(run: ShardedRun, options: Options) -> None:
    """Say by how many workers limits are divided: the sum is what was asked for."""
    workers = run.slots
    most = counted(max(1, options.limits.most_in_flight // workers))
    limits = [f"{most} rows at once" if options.workers else f"as many rows at once as go, up to {most}"]
    if options.rpm is not None:
        limits.append(f"{counted(max(1, options.rpm // workers))} requests a minute")
    if options.tpm is not None:
        limits.append(f"{counted(max(1, options.tpm // workers))} tokens a minute")
    budget = "" if options.budget is None else "; the budget is divided by the rows that are left"
    noun = "worker" if workers == 1 else "workers"
    note(f"{counted(workers)} {noun}, each with a part of the limits: {', '.join(limits)}{budget}")


__all__ = ["Shards", "check_shards", "forget_shards", "shards_of"]
