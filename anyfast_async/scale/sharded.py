"""``run_sharded``: an input over the workers of any executor, from the first look at it to one output."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs

from anyfast_async._values.bases import Shown
from anyfast_async.batch.input.source import Source, open_source
from anyfast_async.batch.input.survey import Survey
from anyfast_async.batch.output_files import BatchFiles, failures_of, open_batch
from anyfast_async.batch.run_header import header_for
from anyfast_async.batch.tally import Tally
from anyfast_async.errors import AnyFastError, ConfigurationError
from anyfast_async.scale.exchange import ShardExchange
from anyfast_async.scale.merge import merge, spread
from anyfast_async.scale.object_store import is_address
from anyfast_async.scale.plan import Plan, discard, found_again, kept, look_at, remove
from anyfast_async.scale.settings import BatchSettings
from anyfast_async.scale.sharded_run import ShardedRun
from anyfast_async.scale.workers import OnExecutor, Workers, WorkersLostError

if TYPE_CHECKING:
    from os import PathLike

R = TypeVar("R")

PIECES: Final = 4
"""Shards for each worker: so many that the last ones do not keep the others waiting for long."""
_LARGEST: Final = 256 * 1024 * 1024
"""Bytes of input in a shard: what a lost worker leaves is read again by another one."""
_TRIES: Final = 4


@attrs.frozen(kw_only=True, repr=False)
class ShardedResult(Shown):
    """What became of a run over shards."""

    tally: Tally
    """The counts of all shards together."""
    stopped: AnyFastError | OSError | None = None
    """What ended it early; the same call goes on."""
    maybe_billed: tuple[str, ...] = ()
    """Rows that were at work when a worker was killed: sent again, and perhaps billed twice."""
    unfinished: tuple[str, ...] = ()
    """Rows whose request went out and has no recorded answer."""
    lost: int = 0
    """How often a worker was lost."""

    @property
    def exit_code(self) -> int:
        """As of ``anyfast batch``: 0 all well, 1 rows that failed or are cut, empty or filtered, 3 stopped early."""
        if self.stopped is not None:
            return 3
        return int(self.tally.file.is_bad() or self.tally.left > 0)


def run_sharded(
    input: str | PathLike[str],  # noqa: A002 - what it is
    output: str | PathLike[str],
    settings: BatchSettings = BatchSettings(),  # noqa: B008 - frozen
    *,
    executor: Executor,
    shards: int | None = None,
    slots: int | None = None,
    template: str | None = None,
    id_column: str | None = None,
    max_failures: float | None = None,
    through: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> ShardedResult:
    """Send the rows of a file with many workers, and write their answers into one file; wait for the end.

    The input is cut into shards, every row is looked at before the first is sent, and each shard is given to a worker
    (see :func:`run_shard`). A shard whose worker is lost goes on with another one. After a kill the same call goes on.

    Args:
        input: a file of rows, of any kind that ``anyfast batch`` reads.
        output: the answers. It, and ``OUTPUT.shards/`` in which workers write, must be on a path that all of them see.
        settings: how rows are sent; limits and budget are of all workers together.
        executor: calls functions somewhere: ``ProcessPoolExecutor``, ``distributed``'s ``client.get_executor()``, ...
        shards: about how many; None: four for each worker.
        slots: how many shards are in work at once, and by how many limits are divided; None: as many as the executor
            says that it has workers.
        template: the prompt of a table's row.
        id_column: the column of a table that holds the ids.
        max_failures: failed rows that are allowed: a number, or a share below 1.
        through: an address in an object store (``s3://bucket/folder``, the extra ``[fsspec]``) through which shards go
            to workers and come back, where there is no path that all of them see. The folder is this run's alone.
        say: told what people should know of, such as workers that were lost.

    Raises:
        ConfigurationError: an argument or the input is wrong; nothing was sent.
        LockedError: another run writes the output.
        MismatchError: the output was begun with something else.
        OSError: a file cannot be read or written.

    """
    for name, given in (("input", input), ("output", output)):
        if is_address(given):
            message = (
                f"{name} must be a file that this process sees, not {given!r}: copy it from or to there, or call "
                "run_shard for parts of it; through= is the way of shards to workers"
            )
            raise ConfigurationError(message)

    def whole() -> ShardedResult:
        source = open_source(Path(input), template=template, id_column=id_column)
        try:
            exchange = None if through is None else ShardExchange(through)
            workers = OnExecutor(executor, slots)
            return _sharded(source, Path(output), settings, workers, shards, max_failures, exchange, say)
        finally:
            discard(Path(output))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return whole()
    with ThreadPoolExecutor(1, "anyfast shards") as thread:  # as in a notebook
        return thread.submit(whole).result()


def _sharded(  # noqa: PLR0917 - those of :func:`run_sharded`
    source: Source,
    answers: Path,
    settings: BatchSettings,
    workers: Workers,
    shards: int | None,
    max_failures: float | None,
    exchange: ShardExchange | None,
    say: Callable[[str], None],
) -> ShardedResult:
    plan = planned(source, answers, workers, shards=shards, skip_bad=settings.skip_bad, is_far=exchange is not None)
    found = plan.found
    if found.problems and not (settings.skip_bad and found.is_whole):
        message = f"{found.problem_count} problems in {source.path}, nothing was sent; the first: {found.problems[0]}"
        raise ConfigurationError(message)
    if settings.model is None and found.models.get(None):
        message = f"{found.models[None]} rows name no model, and BatchSettings.model is None"
        raise ConfigurationError(message)
    header = header_for(found, model=settings.model, system=settings.system, fields=settings.fields)
    with open_batch(answers, failures_of(answers), header=header, sync=settings.sync) as files:
        plan = begun(plan, files)
    with open_batch(answers, failures_of(answers), header=header, sync=settings.sync) as files:
        run = ShardedRun(
            plan,
            settings,
            workers,
            max_failures=max_failures,
            before=spent_before(files),
            exchange=exchange,
            say=say,
        )
        asyncio.run(run.run())
        ended(plan, files, run)
    return ShardedResult(
        tally=run.tally,
        stopped=run.stopped,
        maybe_billed=run.maybe_billed,
        unfinished=run.unfinished,
        lost=run.lost,
    )


def planned(
    source: Source, output: Path, workers: Workers, *, shards: int | None, skip_bad: bool, is_far: bool = False
) -> Plan:
    """Return what is to be done: as it was begun, or, for a new run, looked at by the workers and not begun yet.

    Where they are far, and do not see the pieces, this process looks.

    Raises:
        ConfigurationError: *shards* cannot be; or it was begun with another input.
        WorkersLostError: the workers are lost again and again.
        UncutError: the input cannot be read as what it is.
        OSError: a file cannot be read or written.

    """
    if shards is not None and (isinstance(shards, bool) or not isinstance(shards, int) or shards < 1):
        message = f"shards must be a whole number from 1 up, not {shards!r}"
        raise ConfigurationError(message)
    workers.begin()
    begun_before = found_again(source, output)
    if begun_before is not None:
        return begun_before
    by_size = -(-source.path.stat().st_size // _LARGEST)
    pieces = shards if shards is not None else max(PIECES * max(1, workers.slots), by_size)

    def all_of(calls: Sequence[Callable[[], Future[Survey]]]) -> list[Survey]:
        return _all_of(calls, workers)

    if not is_far:
        return look_at(source, output, pieces=pieces, submit=workers.submit, all_of=all_of, skip_bad=skip_bad)
    with ThreadPoolExecutor(1, "anyfast look") as thread:
        submit: Callable[..., Future[Survey]] = cast("Any", thread.submit)
        return look_at(source, output, pieces=pieces, submit=submit, all_of=all_of, skip_bad=skip_bad)


def _all_of(calls: Sequence[Callable[[], Future[R]]], workers: Workers) -> list[R]:
    """Return what all calls return; those whose worker is lost are made again."""
    found: dict[int, R] = {}
    for left in range(_TRIES, 0, -1):
        futures: dict[int, Future[R]] = {}
        lost: Exception | None = None
        try:
            for number, call in enumerate(calls):
                if number not in found:
                    futures[number] = call()
        except Exception as error:  # noqa: BLE001 - of any engine
            lost = error
        for number, future in futures.items():
            try:
                found[number] = future.result()
            except (AnyFastError, OSError):
                raise
            except Exception as error:  # noqa: BLE001
                lost = error
        if lost is None:
            break
        if left == 1:
            message = (
                f"workers were lost again and again while they looked at the input ({type(lost).__name__}: {lost})"
            )
            raise WorkersLostError(message[:500])
        workers.heal()
    return [found[number] for number in range(len(calls))]


def begun(plan: Plan, files: BatchFiles) -> Plan:
    """Begin a plan that is not begun yet: what stands in the output already is given to its shards.

    Raises:
        OSError: a file cannot be written.

    """
    output = files.journal.records.answers
    if not plan.folder.name.startswith("."):
        return plan
    spread(plan, files)
    return kept(plan, output)


def spent_before(files: BatchFiles) -> tuple[float, float, float]:
    """Return what was spent for an output and stands in its log alone: tokens, money, requests."""
    bill = files.journal.records.past.bill
    return bill.tokens, bill.cost, float(bill.uncounted)


def ended(plan: Plan, files: BatchFiles, run: ShardedRun) -> None:
    """Put together what the shards have; without anything left to do, they are no longer needed.

    Raises:
        OSError: the output cannot be written.

    """
    is_last = run.stopped is None and not run.tally.left
    if run.exchange is not None:
        run.exchange.fetch_all(plan)
    merge(plan, files, is_last=is_last)
    if is_last:
        remove(plan.folder)
        if run.exchange is not None:
            run.exchange.remove()
