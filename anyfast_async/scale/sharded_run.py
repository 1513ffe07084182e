"""A run over shards: gives them to workers, again where one is lost, and adds up what they say."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._client.stats import Stats
from anyfast_async._core.errors.failures import CLOSERS
from anyfast_async._core.limits.rate_limit import PERIOD
from anyfast_async.batch.counts import Census
from anyfast_async.batch.run import TooManyFailuresError, allowed_failures
from anyfast_async.batch.tally import Tally
from anyfast_async.errors import AnyFastError, BudgetExceeded, NotSentError
from anyfast_async.scale.control import Leading
from anyfast_async.scale.exchange import ShardExchange
from anyfast_async.scale.lease import Beat, LeaseFolder, latest
from anyfast_async.scale.one_shard import run_shard
from anyfast_async.scale.plan import Plan, Shard
from anyfast_async.scale.settings import BatchSettings, Turn
from anyfast_async.scale.shard import spent_on
from anyfast_async.scale.shard_result import ShardResult
from anyfast_async.scale.shares import Portion, Purse, Shares
from anyfast_async.scale.totals import earlier, state_of, stats_of, sum_into
from anyfast_async.scale.workers import Workers, WorkersLostError

if TYPE_CHECKING:
    from anyfast_async.batch.run import RowDone

_TICK: Final = 0.5
"""Seconds between two looks at what the workers say."""
_LOOKS: Final = 3.0  # the same, in a store
_OUTPUT: Final = -1
"""In place of a shard's number: what was spent by runs before this plan."""
_LOST: Final = 3
"""Workers that one shard may lose in a row without a row more done."""
_LEFT_TO_THEMSELVES: Final = 10.0
"""Seconds beyond the grace after which a run that was told to stop no longer waits for its workers."""
_OTHERS: Final = 60.0
"""Seconds for what other shards have in flight when one of them ends the run."""


@attrs.define(eq=False)
class _Given:
    """A shard that a worker has."""

    shard: Shard
    share: Portion
    done: int
    """Rows of it that were done before."""
    lease: int
    """The number of its lease before."""


class ShardedRun:
    """One run over the shards of a plan, as a ``BatchRun`` is one over the rows of an input.

    Args:
        plan: begun; its folder is on a path that every worker sees.
        settings: how rows are sent.
        workers: do it.
        max_failures: failed rows of this run that are allowed, see ``BatchRun``.
        before: tokens, money and requests that were spent for the output and are not in what its answers say.
        say: told what people should know of, such as workers that were lost.
        exchange: the store through which shards go to workers and come back; None: all see the folder of the plan.
        recorded: when the run began, as Unix time, if workers are to record for a report what becomes of its rows.

    """

    def __init__(
        self,
        plan: Plan,
        settings: BatchSettings,
        workers: Workers,
        *,
        max_failures: float | None = None,
        before: tuple[float, float, float] = (0.0, 0.0, 0.0),
        say: Callable[[str], None] = lambda _: None,
        exchange: ShardExchange | None = None,
        recorded: float | None = None,
    ) -> None:
        total = plan.found.total
        self.tally: Tally = Tally(total, 0)
        self.stopped: AnyFastError | OSError | None = None
        """What ended the run early, where an error did."""
        self.in_doubt: int = 0
        self.unfinished: tuple[str, ...] = ()
        self.unsaved: int = 0
        self.maybe_billed: tuple[str, ...] = ()
        """Rows that were at work when a worker was killed, and so may be billed twice."""
        self.lost: int = 0
        """How often a worker was lost with a shard."""
        self.session: str = uuid.uuid4().hex
        self._plan, self._settings, self._workers, self._say = plan, settings, workers, say
        self._before, self._recorded = before, recorded
        self.exchange: ShardExchange | None = exchange
        self._leading = Leading(plan.control if exchange is None else exchange.control, self.session)
        self._next_look = 0.0
        self._shares = Shares(settings.limits, settings.concurrency)
        self._allowed, self._max_failures = allowed_failures(max_failures, total), max_failures
        self._purse = Purse.of(settings.budget)
        self._states: dict[int, Mapping[str, Any]] = {}
        self._beats: dict[int, Beat] = {}
        self._results: dict[int, ShardResult] = {}
        self._left = deque(plan.shards)
        self._poor: deque[Shard] = deque()
        self._running: dict[asyncio.Future[ShardResult], _Given] = {}
        self._losses: Counter[int] = Counter()
        self._attempts: Counter[int] = Counter()
        self._leases: Counter[int] = Counter()
        self._grace: float | None = None
        self._until: float | None = None
        self._given_up: AnyFastError | OSError | None = None
        self._began = 0.0
        self._number = 0

    # -- what is asked meanwhile -------------------------------------------------------------------------------------

    @property
    def census(self) -> Census:
        """What the rows came to so far."""
        return Census(counts=self.tally.file, already=self.tally.already)

    @property
    def slots(self) -> int:
        """Shards that are in work at once."""
        return self._shares.most(self._number or max(1, self._workers.slots))

    def longest(self) -> list[tuple[str, float]]:
        """Return nothing: which rows take long, workers know."""
        return []

    def stats(self) -> Stats:
        """Return what the workers said last, taken together."""
        beats = (self._beats.get(given.shard.number) for given in self._running.values())
        return stats_of([beat.said for beat in beats if beat is not None], self.tally)

    # -- the run -----------------------------------------------------------------------------------------------------

    def stop(self, grace: float) -> None:
        """Have workers take up no more rows; what is in flight gets *grace* seconds. May be called again, with less."""
        if self._grace is not None and grace >= self._grace:
            return
        self._grace = self._leading.grace = grace
        self._until = asyncio.get_running_loop().time() + grace + _LEFT_TO_THEMSELVES

    async def run(self, on_row: Callable[[RowDone], None] | None = None) -> Tally:
        """Make the run, once. What ends it early stands in ``.stopped``.

        Args:
            on_row: never called: which rows are done, workers know.

        """
        del on_row
        self._began = time.time()
        await asyncio.to_thread(self._look_back)
        self._add_up()
        try:
            while await self._goes_on():
                pass
        except BaseException:
            self.stop(0.0)
            await asyncio.to_thread(self._listen)  # workers go on by themselves otherwise
            raise
        finally:
            for one in self._running:
                one.cancel()
        self._end()
        return self.tally

    async def _goes_on(self) -> bool:
        """Give out what can be given, wait for a moment, and take in what was done; return whether there is more."""
        await self._give_out()
        if not self._running:
            return False
        done, _ = await asyncio.wait(self._running, timeout=_TICK, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            await self._take_back(self._running.pop(one), one)
        await asyncio.to_thread(self._listen)
        self._add_up()
        return self._until is None or asyncio.get_running_loop().time() <= self._until

    def look(self) -> None:
        """Take in how long the run takes so far."""
        self.tally.seconds = max(0.0, time.time() - self._began)

    def _end(self) -> None:
        results = self._results.values()
        self.unfinished = tuple(one for result in results for one in result.unfinished)
        self.maybe_billed = tuple(dict.fromkeys(one for result in results for one in result.maybe_billed))
        self.unsaved = sum(result.unsaved for result in results)
        self.in_doubt = sum(result.in_doubt for result in results)
        self._add_up()
        if self.stopped is None and self._grace is None:
            self.stopped = self._given_up

    async def _give_out(self) -> None:
        """Give shards to workers as long as there are both, and a share for them."""
        while self._grace is None and len(self._running) < self.slots:
            if not self._left and not self._running and self._poor:
                self._left.append(self._poor.popleft())  # one by one, with all that is left of the budget
            if not self._left:
                return
            share = self._shares.give(self.slots, time.time())
            if share is None:
                return
            shard = self._left.popleft()
            tokens, usd, requests = self._purse.give(shard.number, self._part(shard))
            turn = Turn(
                limits=share.limits,
                concurrency=share.concurrency,
                tokens=tokens,
                usd=usd,
                requests=requests,
                budget=self._purse.name,
                sent=None if self._shares.is_shared else share.sent,
                session=self.session,
                control=self._plan.control if self.exchange is None else str(self.exchange.control),
                began=self._recorded,
                attempt=self._attempts[shard.number],
            )
            self._attempts[shard.number] += 1
            source, output = self._where(shard)
            given = _Given(shard, share, self._done_of(shard), self._leases[shard.number])
            try:
                future = await asyncio.to_thread(
                    self._workers.submit,
                    run_shard,
                    source,
                    output,
                    self._settings,
                    found=shard.found,
                    turn=turn,
                )
            except Exception as error:  # noqa: BLE001 - of any engine: as if the worker had been lost
                await self._lose(given, error)
                continue
            self._running[asyncio.wrap_future(future)] = given

    def _where(self, shard: Shard) -> tuple[Path | str, Path | str]:
        """Return where a worker finds a shard's rows, and where it puts their answers."""
        if self.exchange is None:
            return shard.found.source.path, shard.output
        return self.exchange.input_of(shard), self.exchange.output_of(shard)

    def _leases_of(self, shard: Shard) -> Path | LeaseFolder:
        if self.exchange is None:
            return shard.output.with_name(f"{shard.output.name}.shard")
        return self.exchange.leases_of(shard)

    def _part(self, shard: Shard) -> float:
        """Return the part of what is left of the budget that a shard gets: by rows, all of it to the last ones."""
        others = sum(self._undone(one) for one in self._left)
        mine = self._undone(shard)
        return mine / (mine + others) if mine + others else 1.0

    def _undone(self, shard: Shard) -> int:
        return max(0, shard.found.total - self._done_of(shard))

    def _done_of(self, shard: Shard) -> int:
        state = self._states[shard.number]
        return int(state["already"] + state["answered"] + state["failed"])

    async def _take_back(self, given: _Given, future: asyncio.Future[ShardResult]) -> None:
        """Take in how a worker ended with its shard."""
        number, now = given.shard.number, time.time()
        try:
            result = future.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever an engine makes of a lost worker
            await self._lose(given, error)
            return
        self._results[number] = result
        self._leases[number] = max(self._leases[number], result.lease)
        if result.status == "lost":
            self._shares.take_back(given.share, self._last_sent(number), now, is_known=False)
            self._purse.lost(number)
            self._say(f"shard {number}: its worker was cut off from its files; it is given out again")
            self._left.append(given.shard)
            return
        self._shares.take_back(given.share, result.sent, now, is_known=True)
        if self._purse.is_limited:
            self._purse.spent(number, result.spent)
        if result.tally is not None:
            self._states[number] = result.tally
        if result.status == "stopped" and (why := result.error) is not None:
            self._stopped_by(given, why)

    def _stopped_by(self, given: _Given, error: AnyFastError | OSError) -> None:
        """Decide what an error that ended one shard means for the others."""
        cause = error.__cause__ if isinstance(error, NotSentError) else error
        if isinstance(cause, BudgetExceeded):
            if self._done_of(given.shard) > given.done or self._running or self._left:
                self._poor.append(given.shard)  # what others give back may be enough
            elif not self._poor:
                self.stopped = self.stopped or error
            else:
                self._given_up = self._given_up or error
        elif isinstance(cause, AnyFastError) and cause.kind in CLOSERS:
            self._given_up = self._given_up or error  # its model's rows are left in this shard, others go on
        else:
            self._end_with(error)

    async def _lose(self, given: _Given, error: BaseException) -> None:
        """Take in that a worker was lost: the shard is given out again, if that may help."""
        number = given.shard.number
        await asyncio.to_thread(self._hear, given.shard)
        self._shares.take_back(given.share, self._last_sent(number), time.time(), is_known=False)
        self._purse.lost(number)
        self.lost += 1
        # An engine may have given it to several workers, one after another, before it gave up: each took the lease.
        workers = max(1, self._leases[number] - given.lease)
        self._losses[number] = 1 if self._done_of(given.shard) > given.done else self._losses[number] + workers
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        if self._grace is not None:
            return
        if self._losses[number] > _LOST:
            message = f"shard {number} lost its worker {self._losses[number]} times in a row ({reason})"
            self._end_with(WorkersLostError(message))
            return
        self._say(f"shard {number}: its worker was lost ({reason}); it goes on with another one")
        self._left.append(given.shard)
        try:
            await asyncio.to_thread(self._workers.heal)
        except Exception as broken:  # noqa: BLE001 - of any engine
            self._end_with(WorkersLostError(f"there are no workers any more: {type(broken).__name__}: {broken}"[:500]))

    def _end_with(self, error: AnyFastError | OSError) -> None:
        if self.stopped is None:
            self.stopped = error
            self.stop(_OTHERS)

    # -- what workers say --------------------------------------------------------------------------------------------

    def _look_back(self) -> None:
        """Take in what earlier runs have left."""
        if self.exchange is not None:
            self.exchange.send(self._plan)
        self._leading.beat()
        self._number = max(1, self._workers.slots)
        now = time.time()
        if self._purse.is_limited:
            self._purse.spent(_OUTPUT, self._before)
        for shard in self._plan.shards:
            beat = latest(self._leases_of(shard))
            self._leases[shard.number] = 0 if beat is None else beat.number
            state = None if beat is None else beat.tally
            self._states[shard.number] = state_of(Tally(shard.found.total, 0)) if state is None else earlier(state)
            if self._purse.is_limited:
                if self.exchange is not None:
                    self.exchange.fetch(shard, beat)
                there = beat if self.exchange is None else None  # else it has come back
                self._purse.spent(shard.number, spent_on(shard.output, there, self._settings.prices))
            if beat is not None:
                said = beat.said.get("sent") or ()
                self._shares.remember((at, n, tokens) for at, n, tokens in said if at > now - PERIOD)
        self._purse.share(self._settings.limits, self._settings.budget, self.session)

    def _listen(self) -> None:
        if self.exchange is not None:  # each look costs time there, and money
            if time.monotonic() < self._next_look and self._leading.grace is None:
                return
            self._next_look = time.monotonic() + _LOOKS
        with suppress(OSError):  # the share is away
            self._leading.beat()
        self._number = max(1, self._workers.slots)
        for given in [*self._running.values()]:
            self._hear(given.shard)

    def _hear(self, shard: Shard) -> None:
        with suppress(OSError):
            beat = latest(self._leases_of(shard))
            if beat is None:
                return
            self._leases[shard.number] = beat.number
            if beat.said.get("session") != self.session:
                return
            self._beats[shard.number] = beat
            state = beat.tally
            if state is not None:
                self._states[shard.number] = state

    def _last_sent(self, number: int) -> list[tuple[float, float, float]]:
        beat = self._beats.get(number)
        return [] if beat is None else [(at, n, tokens) for at, n, tokens in beat.said.get("sent") or ()]

    def _add_up(self) -> None:
        sum_into(self.tally, self._states.values())
        self.look()
        if self.tally.failed > self._allowed and self.stopped is None:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.tally.kinds.most_common())
            message = f"{self.tally.failed} rows failed ({kinds}), more than max_failures={self._max_failures} allows"
            self._end_with(TooManyFailuresError(message))
