"""What one call for a shard does: a batch run from file to file, under a lease."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async._core.journal import reserved_money
from anyfast_async._core.limits.rate_limit import PERIOD
from anyfast_async._journal.bill import earlier_spending
from anyfast_async._journal.records import Records, failures_of, log_of
from anyfast_async._version import __version__
from anyfast_async.batch.counts import Census
from anyfast_async.batch.input.source import open_source
from anyfast_async.batch.input.survey import Survey, ids_of, rows, stamp_of, survey
from anyfast_async.batch.output_files import BatchFiles, open_batch
from anyfast_async.batch.output_order import put_in_order
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.batch.run import BatchRun
from anyfast_async.batch.run_header import header_for
from anyfast_async.batch.tally import Tally
from anyfast_async.errors import ConfigurationError
from anyfast_async.policies import Budget
from anyfast_async.scale.control import Led
from anyfast_async.scale.lease import Beat, Lease, LeaseFolder, LeaseLostError, PathFolder, beat_of, take
from anyfast_async.scale.object_store import Stored, StoredFile
from anyfast_async.scale.parquet_parts import part_of, write_part
from anyfast_async.scale.settings import BatchSettings, Turn
from anyfast_async.scale.shard_result import ShardResult, said_of
from anyfast_async.scale.totals import state_of

if TYPE_CHECKING:
    from anyfast_async.client import AnyFast
    from anyfast_async.prices import Prices


def _control(turn: Turn) -> Path | StoredFile | None:
    if turn.control is None or isinstance(turn.control, Path):
        return turn.control
    folder, _, name = turn.control.rpartition("/")
    return StoredFile(Stored(folder), name)


class ShardRun:
    """One call of :func:`run_shard`."""

    def __init__(self, source: Path, output: Path, settings: BatchSettings, found: Survey | None, turn: Turn) -> None:
        self._input, self._output = source, output
        self._settings, self._found, self._turn = settings, found, turn
        self._folder: LeaseFolder = PathFolder(output.with_name(f"{output.name}.shard"))
        self._led = Led(_control(turn), turn.session, settings.lease)
        self._said: Mapping[str, Any] = {}
        self._sent: deque[tuple[float, float, float]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._run: BatchRun | None = None
        self._told: float | None = None

    def run(self) -> ShardResult:
        """Wait for the lease, send what is left, and let it go."""
        settings = self._settings
        if settings.version != __version__:
            message = (
                f"this worker has anyfast-async {__version__}, the run was begun with {settings.version}; nothing was "
                "sent: install the same on all of them"
            )
            raise ConfigurationError(message)
        found = self._look_at_input()
        lease = take(
            self._folder,
            expires=settings.lease,
            is_enough=self._is_enough,
            is_stopped=lambda: self._led.stop() is not None,
        )
        if lease is None:
            return ShardResult(status="interrupted")
        if isinstance(lease, Beat):
            return ShardResult.read(lease.said["over"])
        with lease:
            answers = self._files(lease)
            lease.beat()
            lease.begin(lambda: self._said, lambda: self._look(lease))
            result = self._done(lease, answers, found)
            if result.status != "lost":
                if settings.parquet and result.status == "complete":
                    write_part(answers, part_of(answers))
                self._publish(lease, answers)
                lease.let_go(attrs.asdict(result))
        return attrs.evolve(result, status="lost") if lease.is_lost else result

    def _is_enough(self, last: Beat) -> bool:
        over = last.said.get("over") or {}
        is_mine = self._turn.session != "" and last.said.get("session") == self._turn.session
        return is_mine and over.get("status") == "complete" and self._is_there()

    # -- its files ---------------------------------------------------------------------------------------------------

    def _look_at_input(self) -> Survey:
        """Return what stands in the input."""
        return self._found or _looked_at(self._input, self._settings)

    def _is_there(self) -> bool:
        """Return whether the output is where it is looked for."""
        return self._output.exists()

    def _files(self, lease: Lease) -> Path:
        """Return where the answers grow. After a worker that did not let go these are copies: it may come back."""
        if lease.files is not None:
            return generation_of(self._output, lease.files)
        before = next((one.files for one in self._earlier(lease) if one.files is not None), None)
        old = self._output if before is None else generation_of(self._output, before)
        new = generation_of(self._output, lease.number)
        for take_of in (lambda path: path, failures_of, log_of):
            if take_of(old).exists():
                shutil.copyfile(take_of(old), take_of(new))
        lease.files = lease.number
        return new

    def _earlier(self, lease: Lease) -> list[Beat]:
        return [beat_of(self._folder, number) for number in range(lease.number - 1, 0, -1)]

    def _publish(self, lease: Lease, answers: Path) -> None:
        """Put the files where they are looked for, each as a whole."""
        for take_of in (lambda path: path, failures_of, log_of, part_of):
            old, new = take_of(answers), take_of(self._output)
            if not old.exists():
                new.unlink(missing_ok=True)
                continue
            copy = new.with_name(f".{new.name}.{lease.number}")
            copy.unlink(missing_ok=True)
            try:
                copy.hardlink_to(old)
            except OSError:  # a file system without
                shutil.copyfile(old, copy)
            lease.check()
            copy.replace(new)
            copy.unlink(missing_ok=True)  # two names of one file are not replaced

    # -- the run -----------------------------------------------------------------------------------------------------

    def _done(self, lease: Lease, answers: Path, found: Survey) -> ShardResult:
        settings = self._settings
        header = header_for(found, model=settings.model, system=settings.system, fields=settings.fields)
        checked = header if not self._turn.session else None  # of a run over shards the header of the whole is checked
        with open_batch(
            answers,
            failures_of(answers),
            header=checked,
            sync=settings.sync,
            retry_failed=settings.retry_failed,
        ) as files:
            if files.journal.records.past.header is None:
                files.journal.note("header", header)
            files.journal.guard = lease.check
            records = files.journal.records
            census = Census()
            if len(records.answered) or len(records.failed):  # else reading every row would find nothing
                census = files.census(ids_of(found), {row.custom_id for row in found.bad.values()})
            if census.already == found.total:
                tally = Tally(found.total, census.already, file=census.counts)
                result = ShardResult(
                    status="complete",
                    tally=state_of(tally),
                    maybe_billed=files.maybe_billed,
                    lease=lease.number,
                    spent=self._spent_before(files),
                )
            else:
                result = asyncio.run(self._sending(lease, files, found, census))
            if result.status == "complete" and settings.ordered and 0 < files.answered <= found.total:
                put_in_order(files, ids_of(found))
        return result

    async def _sending(self, lease: Lease, files: BatchFiles, found: Survey, census: Census) -> ShardResult:
        settings, turn = self._settings, self._turn
        before = self._spent_before(files)
        if turn.sent is not None:
            files.journal.records.past.sent = [*turn.sent]
        async with settings.client(turn.limits, _budget(turn, before)) as client:
            run = BatchRun(
                client,
                rows(found, skip=files.done),
                files,
                total=found.total,
                already=census.already,
                before=census.counts,
                bad=found.bad.values(),
                concurrency=turn.concurrency,
                give_up_after=settings.give_up_after,
                into=settings.into,
                **settings.options,
            )
            self._loop = loop = asyncio.get_running_loop()
            self._run = run
            recorder = None if turn.began is None else Recorder(files.journal.note, turn.began)
            if recorder is not None and turn.began is not None:
                recorder.join(loop.time(), max(0.0, time.time() - turn.began))
            saying = asyncio.create_task(self._saying(client, run, lease, recorder))
            try:
                tally = await run.run(None if recorder is None else recorder.row)
            finally:
                if recorder is not None:
                    recorder.leave(loop.time())
                self._run = None
                saying.cancel()
                with suppress(asyncio.CancelledError):
                    await saying
            spending = client._shared.spending  # noqa: SLF001 - one house
            self._note(client, run, lease)
        stopped = run.stopped
        if lease.is_lost or isinstance(stopped, LeaseLostError):
            status = "lost"
        elif stopped is not None:
            status = "stopped"
        else:
            status = "complete" if not tally.left else "interrupted"
        return ShardResult(
            status=status,
            stopped=None if stopped is None else said_of(stopped),
            tally=state_of(tally),
            in_doubt=run.in_doubt,
            unfinished=run.unfinished,
            maybe_billed=files.maybe_billed,
            unsaved=run.unsaved,
            spent=(
                before[0] + spending.tokens + spending.assumed,
                before[1] + spending.cost + spending.cost_assumed,
                before[2] + spending.requests,
            ),
            sent=tuple(self._sent),
            lease=lease.number,
        )

    def _spent_before(self, files: BatchFiles) -> tuple[float, float, int]:
        if self._settings.budget is None:
            return 0.0, 0.0, 0
        found = earlier_spending(files.journal.records, self._settings.prices)
        return found.tokens, found.cost, found.requests

    # -- what is said meanwhile --------------------------------------------------------------------------------------

    async def _saying(self, client: AnyFast, run: BatchRun, lease: Lease, recorder: Recorder | None) -> None:
        while True:
            self._note(client, run, lease)
            if recorder is not None:
                recorder.step(asyncio.get_running_loop().time())
            await asyncio.sleep(lease.every / 2)

    def _note(self, client: AnyFast, run: BatchRun, lease: Lease) -> None:
        """Put together what the next beat says: here, because the thread would read counts while they change."""
        stats, now = client.stats(), time.time()
        run.look()
        requests, tokens = stats.requests, stats.tokens_used + stats.tokens_reserved
        known = self._said.get("counted", (0, 0))
        if requests > known[0] or tokens > known[1]:
            self._sent.append((round(now, 2), requests - known[0], max(0, tokens - known[1])))
        while self._sent and self._sent[0][0] < now - PERIOD - lease.every:
            self._sent.popleft()
        self._said = {
            "session": self._turn.session,
            "counted": (requests, tokens),
            "sent": [*self._sent],
            "tally": state_of(run.tally),
            "in_flight": stats.in_flight,
            "queued": stats.queued,
            "limited_by": stats.limited_by,
            "held_for": round(stats.held_for, 1),
            "maybe_billed": stats.maybe_billed,
        }

    def _look(self, lease: Lease) -> None:
        """Tell the run that it is over, from the thread that beats."""
        grace = 0.0 if lease.is_lost else self._led.stop()
        if grace is None or grace == self._told:
            return
        run, loop = self._run, self._loop
        if run is not None and loop is not None:
            self._told = grace
            with suppress(RuntimeError):  # its loop has ended meanwhile
                loop.call_soon_threadsafe(run.stop, grace)


def _budget(turn: Turn, before: tuple[float, float, int]) -> Budget | None:
    """Return a budget that leaves what the turn gives: it counts what the shard has spent before, too."""
    if turn.tokens is None and turn.usd is None and turn.requests is None:
        return None
    if turn.budget is not None:
        return Budget(
            tokens=None if turn.tokens is None else int(turn.tokens),
            usd=turn.usd,
            requests=turn.requests,
            name=turn.budget,
        )
    return Budget(
        tokens=None if turn.tokens is None else int(before[0] + turn.tokens),
        usd=None if turn.usd is None else before[1] + turn.usd,
        requests=None if turn.requests is None else before[2] + turn.requests,
    )


def spent_on(output: Path, beat: Beat | None, prices: Prices | None) -> tuple[float, float, float]:
    """Return what a shard has cost so far, by its files: tokens, money, requests; with what was at work at the end.

    Args:
        output: of the shard.
        beat: the last one of its worker, None if it had none.
        prices: what tokens cost.

    Raises:
        OSError: a file cannot be read.

    """
    generation = None if beat is None else beat.files
    answers = output if generation is None else generation_of(output, generation)
    records = Records(answers, failures_of(answers), log_of(answers))
    records.read({})
    found, past = earlier_spending(records, prices), records.past
    lost = [need for one, need in past.open.items() if not past.is_answered(one, records.answer(one))]
    records.close()
    open_now = reserved_money.lost(lost)
    return found.tokens + open_now["tokens"], found.cost + open_now["usd"], found.requests + len(lost)


def generation_of(output: Path, number: int) -> Path:
    """Return where the answers of a shard grow under a lease."""
    return output.with_name(f"{output.name}.shard") / f"answers-{number}.jsonl"


def _looked_at(path: Path, settings: BatchSettings) -> Survey:
    """Return what stands in an input that nobody has looked at.

    Raises:
        ConfigurationError: rows cannot be sent, and are not to be left out.

    """
    found = survey(open_source(path), skip_bad=settings.skip_bad, digests=False)
    if found.problems and not (settings.skip_bad and found.is_whole):
        message = f"{found.problem_count} problems in {path}, nothing was sent; the first: {found.problems[0]}"
        raise ConfigurationError(message)
    return found


def moved(found: Survey, path: Path) -> Survey:
    """Return *found* for a file with the same bytes elsewhere."""
    return attrs.evolve(found, source=attrs.evolve(found.source, path=path), stamp=stamp_of(path))
