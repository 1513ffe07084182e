"""One run of a batch: rows in, ``client.map``, one line written for each result. Knows no terminal."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Unpack

import attrs

from anyfast_async._client.calls import AT_ONCE
from anyfast_async._client.map_arguments import plan_of, run_of
from anyfast_async._core.errors.failures import CLOSERS, STOPPERS
from anyfast_async._core.journal.journal_lines import STEM_DIGITS, error_line
from anyfast_async._journal.bill import charge
from anyfast_async._journal.keeper import Keeper
from anyfast_async._map.deduplicated import DedupedRun
from anyfast_async._map.twins import InJournal
from anyfast_async.batch.counts import Counts, Standing
from anyfast_async.batch.input.request_lines import BatchLine
from anyfast_async.batch.input.survey import BadRow
from anyfast_async.batch.output_files import BatchFiles
from anyfast_async.batch.tally import Tally
from anyfast_async.batch.wrong_address import WrongAddress
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import (
    AnyFastError,
    Attempt,
    ClientStateError,
    ConfigurationError,
    InsufficientQuotaError,
    NotSentError,
    OutputError,
    RequestValidationError,
)

if TYPE_CHECKING:
    from anyfast_async._map.map_run import MapRun
    from anyfast_async._map.result import Result
    from anyfast_async.client import AnyFast
    from anyfast_async.requests import ChatOptions

_NOTED_EVERY: Final = 1.0
"""Seconds after which what was sent is written down."""
_LONGEST: Final = 3
"""Rows that are named when the end is near."""
_LONG: Final = 5.0
"""Seconds from which a row is."""
_LOOK: Final = 0.05
"""Seconds between two looks at what is still in flight when the run is told to stop."""


def _judged(result: Result[Any]) -> Result[Any]:
    """Return *result* as it counts in a batch: an answer that does not fit has failed, unless it says why itself."""
    if not isinstance(result.error, OutputError) or result.completion is None:
        return result
    if result.completion.outcome != "ok":  # cut, refused: an answer with that outcome
        return attrs.evolve(result, error=None)
    return attrs.evolve(result, completion=None)


def _stem() -> str:
    return uuid.uuid4().hex[:STEM_DIGITS]


class TooManyFailuresError(AnyFastError):
    """More rows failed than ``max_failures`` allows; the run was stopped. They stand in the error file."""

    kind = "failures"


def allowed_failures(limit: float | None, total: int) -> float:
    """Return how many of *total* rows may fail.

    Args:
        limit: a number of rows, or with a fraction below 1 a share of all; None is no limit.
        total: rows of the input.

    Raises:
        ConfigurationError: *limit* is neither.

    """
    if limit is None:
        return math.inf
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit >= 0:
        message = f"max_failures must be a number of rows from 0 up, or a share below 1, not {limit!r}"
        raise ConfigurationError(message)
    if isinstance(limit, int) or limit >= 1:
        return math.floor(limit)
    return math.floor(limit * total)


@attrs.frozen
class RowDone:
    """A line was written; given to ``on_row``."""

    custom_id: str
    error: AnyFastError | None
    """None for an answer."""
    tally: Tally
    """The counts so far; it is the same object every time."""
    completion: ChatCompletion | None = attrs.field(default=None, repr=False)
    """The answer, None for a failed row."""
    attempts: tuple[Attempt, ...] = ()
    """Every try that was made for the row, oldest first."""
    model: str = ""
    """The one that was asked."""


class BatchRun:
    """One run. It ends when all rows have a result, at the first error that is no row's own, or when told to.

    Args:
        client: sends the rows.
        rows: the requests, without those that are done.
        files: where results go; closing them is the caller's.
        total: rows of the input, for the counts.
        already: rows of it that are done.
        before: what the rows of the input came to before, see ``BatchFiles.census``; None: the rows that are done have
            an answer.
        bad: rows of the input that cannot be sent, see ``Survey.bad``: they fail.
        concurrency: rows in work at once, from 1.
        on_row: called after each line that was written.
        max_failures: failed rows of this run that are allowed: a number from 0, or a share of *total* below 1. With
            one more the run stops. None allows any number.
        give_up_after: seconds above 0 after which it stops if nothing was answered or is in flight; None for never.
        dedupe: True to send equal requests once, and give the answer to all rows that ask so.
        into: a class that answers must fit; those that do not have failed, with what does not fit. None: any text.
        **options: as for ``client.complete``; they win over what the rows say.

    Raises:
        RequestValidationError: an option is wrong; nothing is sent.
        ConfigurationError: *concurrency* or *max_failures* is wrong.

    """

    def __init__(
        self,
        client: AnyFast,
        rows: Iterable[BatchLine],
        files: BatchFiles,
        *,
        total: int,
        already: int = 0,
        before: Counts | None = None,
        bad: Iterable[BadRow] = (),
        concurrency: int = AT_ONCE,
        on_row: Callable[[RowDone], None] | None = None,
        max_failures: float | None = None,
        give_up_after: float | None = None,
        dedupe: bool = False,
        into: type[Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> None:
        self.tally: Tally = Tally(total, already) if before is None else Tally(total, already, file=before)
        self._knows_file = before is not None
        self.stopped: AnyFastError | OSError | None = None
        """What ended the run early, where an error did; an ``OSError`` is of a file that cannot be read or written."""
        self._on_row = [] if on_row is None else [on_row]
        self.in_doubt: int = 0
        """After the run: rows without a result that this run or an earlier one may have sent."""
        self._client = client
        self._rows = rows
        self._bad = bad
        self._files = files
        self._journal = files.journal
        self._allowed = allowed_failures(max_failures, total)
        self._max_failures = max_failures
        self._address = WrongAddress(answered=before is not None and before.answered > 0)
        self._intake = True
        self._began = self._began_wall = 0.0
        self._clock: asyncio.Timeout | None = None
        self._closing: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._left: AnyFastError | None = None
        self._since: dict[str, float] = {}
        plan = plan_of(
            client._calls,  # noqa: SLF001 - one house
            options,
            request=lambda row: row.request,
            concurrency=concurrency,
            give_up_after=give_up_after,
            into=into,
            is_looked_into=dedupe,
        )
        self._keeper = keeper = Keeper(files.journal, plan.ending)
        self._map: MapRun[Any] = run_of(
            self._taken(),
            plan,
            concurrency=min(concurrency, max(1, total)),
            stop_on=STOPPERS - CLOSERS,
            dedupe=dedupe,
            shelf=InJournal(files.journal.records, files.done.stays_answered) if dedupe else None,
            witness_of=lambda row: keeper.witness(row.custom_id),
            record=self._record,
        )
        self._digest: Callable[[int], str | None] = (
            self._map.twins.digest if isinstance(self._map, DedupedRun) else lambda _: None
        )
        """Returns what equal requests have in common."""
        self._noted = (0, 0)
        self._noting: asyncio.TimerHandle | None = None

    @property
    def unfinished(self) -> tuple[str, ...]:
        """After the run: rows whose request went out and has no recorded answer; it may be billed."""
        return self._journal.open

    @property
    def unsaved(self) -> int:
        """After the run: results that could not be written, or not be brought to the disk; their rows are not done."""
        return self._keeper.unsaved

    def longest(self) -> list[tuple[str, float]]:
        """Return the rows that are in work for longest, with the seconds since they were taken up, when no more are."""
        if self._intake or self._clock is None:
            return []
        now = asyncio.get_running_loop().time()
        rows = itertools.islice(self._since.items(), _LONGEST)
        return [(custom_id, now - since) for custom_id, since in rows if now - since >= _LONG]

    def stop(self, grace: float) -> None:
        """Take up no more rows; what is in flight gets *grace* seconds, then is left. The client is closed.

        Rows that still wait for their turn end at once, and so does the run when nothing is in flight. May be called
        again, with less.
        """
        self._intake = False
        if self._clock is None or self._clock.expired():
            return
        loop = asyncio.get_running_loop()
        if self._closing is None:
            self._is_stopping = True
            closing = loop.create_task(self._client.aclose(grace))  # begins before the clock can ring
            self._closing = loop.create_task(self._close(closing))
        self._clock.reschedule(loop.time() + grace)

    async def _close(self, closing: asyncio.Task[None]) -> None:
        while not closing.done() and self._client.stats().in_flight:
            await asyncio.wait({closing}, timeout=_LOOK)
        # What is left pauses before another try.
        if self._clock is not None and not (self._clock.expired() or closing.done()):
            self._clock.reschedule(asyncio.get_running_loop().time())
        await closing

    async def run(self, on_row: Callable[[RowDone], None] | None = None) -> Tally:
        """Make the run, once. What ends it early stands in ``.stopped``.

        Args:
            on_row: called after each line that was written, besides the one that the run was made with.

        """
        self._on_row += () if on_row is None else (on_row,)
        spending = self._client._shared.spending  # noqa: SLF001 - one house
        if spending.budget is not None:
            await asyncio.to_thread(charge, self._journal, spending)
        self._began, self._began_wall = asyncio.get_running_loop().time(), time.time()
        try:
            async with asyncio.timeout(None) as self._clock, self._map as results:
                self._client._shared.gate.remember(self._journal.records.past.sent)  # noqa: SLF001 - one house
                self._note_sent()
                self._fail_bad()
                async for _ in results:
                    pass
        except TimeoutError:
            if self._clock is None or not self._clock.expired():
                raise
        except (OSError, AnyFastError) as error:  # of our files, or what stopped the map
            if not self._is_left(error):
                self.stopped = self.stopped or error
        finally:
            self._clock = None
            self._note_sent(again=False)
            close = getattr(self._rows, "close", None)
            if close is not None:  # a generator that has the input open
                close()
            if self._closing is not None:
                await self._closing
        await self._retry()
        self.look()
        doubtful = dict.fromkeys((*self._journal.open, *self._journal.maybe_billed))
        self.in_doubt = sum(self._files.standing(custom_id) is None for custom_id in doubtful)
        if self.stopped is None and self._left is not None and not self._is_stopping:  # a model was given up
            self.stopped = self._left
        return self.tally

    def look(self) -> None:
        """Take in how long the run takes so far. A machine that sleeps stops the loop's clock, not the wall's."""
        since = asyncio.get_running_loop().time() - self._began
        self.tally.seconds = max(since, time.time() - self._began_wall)

    def _note_sent(self, *, again: bool = True) -> None:
        """Write down what was sent since this was done last: the next run may begin within the same minute."""
        if self._noting is not None:
            self._noting.cancel()
        stats = self._client.stats()
        now = (stats.requests, stats.tokens_used + stats.tokens_reserved)
        if now[0] > self._noted[0]:
            with suppress(OSError):  # it shows with the next line that matters
                sent = [round(time.time(), 1), now[0] - self._noted[0], max(0, now[1] - self._noted[1])]
                self._journal.note("sent", sent)
                self._journal.records.past.sent.append((sent[0], sent[1], sent[2]))  # for a run that follows
            self._noted = now
        if again:
            self._noting = asyncio.get_running_loop().call_later(_NOTED_EVERY, self._note_sent)

    def _fail_bad(self) -> None:
        """Write down the rows that cannot be sent, those that no earlier run has written down."""
        for row in self._bad:
            if self._files.standing(row.custom_id) is None:
                error = RequestValidationError("; ".join(row.problems))
                self._journal.failed(row.custom_id, error_line(row.custom_id, error, stem=_stem()))
                self._count(row.custom_id, None, error, (), None)

    def _is_left(self, error: AnyFastError | OSError) -> bool:
        """Return whether *error* only says that the run was told to stop before a row's turn came."""
        return self._is_stopping and isinstance(error, ClientStateError)

    async def _retry(self) -> None:
        """Write what could not be written before: there may be room again."""
        for kept in self._keeper.again():
            await self._record(kept.result)

    def _taken(self) -> Iterator[BatchLine]:
        now = asyncio.get_running_loop().time
        for row in self._rows:
            if not self._intake:
                return
            self._since[row.custom_id] = now()
            yield row
        self._intake = False

    async def _record(self, result: Result[Any]) -> None:
        """Write what became of a row, before anybody hears of it."""
        result = _judged(result)
        custom_id = result.item.custom_id
        self._since.pop(custom_id, None)
        try:
            before = self._files.standing(custom_id) if self._knows_file else None
            if not self._keeper.write(custom_id, result, _stem(), self._digest(result.index)):
                self._leave(result.error)
                return
            try:
                await self._journal.saved()
            finally:  # it is in the file, even if the run ends while the disk is waited for
                self.tally.same += result.same_as is not None and result.completion is not None
                self._count(custom_id, result.completion, result.error, result.attempts, before, result.model or "")
        except OSError as error:
            self._end(error)

    def _leave(self, error: AnyFastError | None) -> None:
        """Take in why a row has no line: its model is given up, or the run ends."""
        if isinstance(error, (NotSentError, InsufficientQuotaError)):
            if self._left is None or (isinstance(error, NotSentError) and not isinstance(self._left, NotSentError)):
                self._left = error  # which names the model
        elif error is not None and not self._is_left(error):
            self._end(error)

    def _count(  # noqa: PLR0917 - what there is to say of a row
        self,
        custom_id: str,
        completion: ChatCompletion | None,
        error: AnyFastError | None,
        attempts: tuple[Attempt, ...],
        before: Standing | None,
        model: str = "",
    ) -> None:
        tally = self.tally
        self.look()
        if completion is not None:
            tally.count_answer(completion, before, model)
            self._address.answered()
        elif error is not None:
            tally.count_failure(error.kind, attempts, before)
            if isinstance(error, OutputError) and error.completion is not None:
                tally.count_usage(error.completion, model)
            if tally.failed > self._allowed:
                self._end(self._too_many())
            elif (wrong := self._address.failed(error)) is not None:
                self._end(wrong)
        if self._on_row:
            done = RowDone(custom_id, error, tally, completion, attempts, model)
            for tell in self._on_row:
                tell(done)

    def _end(self, error: AnyFastError | OSError) -> None:
        self.stopped = self.stopped or error
        self._intake = False

    def _too_many(self) -> TooManyFailuresError:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.tally.kinds.most_common())
        given = f"{self._max_failures:.3g}" if isinstance(self._max_failures, float) else self._max_failures
        message = f"{self.tally.failed} rows failed ({kinds}), more than max_failures={given} allows"
        return TooManyFailuresError(message)
