"""One run of a batch: rows in, ``client.map``, one line written for each result. Knows no terminal."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Unpack

import attrs

from anyfast_async._bill import RowWitness, charge
from anyfast_async._core.journal import STEM_DIGITS, STOPPERS, answer_line, error_line
from anyfast_async.batch.lines import BatchLine
from anyfast_async.batch.output import BatchFiles
from anyfast_async.batch.tally import Tally
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, APIConnectionError, Attempt, ConfigurationError

if TYPE_CHECKING:
    from anyfast_async._map import MapRun, Result
    from anyfast_async.client import AnyFast
    from anyfast_async.requests import ChatOptions


def stops(error: AnyFastError) -> bool:
    """Return whether *error* ends a run instead of failing a row: also a gateway that cannot be reached at all."""
    return error.kind in STOPPERS or (isinstance(error, APIConnectionError) and error.phase == "unsent")


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


class BatchRun:
    """One run. It ends when all rows have a result, at the first error that :func:`stops` it, or when told to.

    Args:
        client: sends the rows.
        rows: the requests, without those that are done.
        files: where results go; closing them is the caller's.
        total: rows of the input, for the counts.
        already: rows of it that are done.
        concurrency: rows in work at once, from 1.
        on_row: called after each line that was written.
        max_failures: failed rows of this run that are allowed: a number from 0, or a share of *total* below 1. With
            one more the run stops. None allows any number.
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
        concurrency: int = 64,
        on_row: Callable[[RowDone], None] | None = None,
        max_failures: float | None = None,
        **options: Unpack[ChatOptions],
    ) -> None:
        self.tally: Tally = Tally(total, already)
        self.stopped: AnyFastError | OSError | None = None
        """What ended the run early, where an error did; an ``OSError`` is of a file that cannot be read or written."""
        self.on_row = on_row
        """Called after each line that was written."""
        self._rows = rows
        self._journal = files.journal
        self._allowed = allowed_failures(max_failures, total)
        self._max_failures = max_failures
        self._intake = True
        self._kept: list[Result[Any]] = []
        self._began = 0.0
        self._clock: asyncio.Timeout | None = None
        self._map: MapRun[Any] = client.map(
            self._taken(),
            request=lambda row: row.request,
            concurrency=concurrency,
            stop_on=STOPPERS,
            **options,
        )
        self._map.before_giving = self._record
        self._map.items.witness_of = lambda row: RowWitness(files.journal, row.custom_id)
        self._spending = client._shared.spending  # noqa: SLF001 - one house

    @property
    def unfinished(self) -> tuple[str, ...]:
        """After the run: rows whose request went out and has no recorded answer; it may be billed."""
        return self._journal.open

    @property
    def unsaved(self) -> int:
        """After the run: results that could not be written, or not be brought to the disk; their rows are not done."""
        return len(self._kept) + self._journal.unsaved

    def stop(self, grace: float) -> None:
        """Take up no more rows; those in work get *grace* seconds, then are left.

        May be called again, with less.
        """
        self._intake = False
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time() + grace)

    async def run(self) -> Tally:
        """Make the run, once. What ends it early stands in ``.stopped``."""
        await asyncio.to_thread(charge, self._journal, self._spending)
        self._began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None) as self._clock, self._map as results:
                async for _ in results:
                    pass
        except TimeoutError:
            if self._clock is None or not self._clock.expired():
                raise
        except (OSError, AnyFastError) as error:  # of our files, or what stopped the map
            self.stopped = self.stopped or error
        finally:
            self._clock = None
            close = getattr(self._rows, "close", None)
            if close is not None:  # a generator that has the input open
                close()
        await self._retry()
        self._map.items = None
        self._map.before_giving = None  # no circle is left to hold what the journal has in memory
        return self.tally

    async def _retry(self) -> None:
        """Write what could not be written before: there may be room again."""
        kept, self._kept = self._kept, []
        for result in kept:
            await self._record(result)

    def _taken(self) -> Iterator[BatchLine]:
        for row in self._rows:
            if not self._intake:
                return
            yield row

    async def _record(self, result: Result[Any]) -> None:
        """Write what became of a row, before anybody hears of it."""
        try:
            if not self._write(result):
                return
            await self._journal.saved()
        except OSError as error:
            self._end(error)
            return
        self._count(result)

    def _write(self, result: Result[Any]) -> bool:
        """Write the line of a result; return whether it is one: an error that stops the run is none."""
        custom_id, error, stem = result.item.custom_id, result.error, uuid.uuid4().hex[:STEM_DIGITS]
        if error is not None and stops(error):
            self._end(error)
            if error.billed == "no":
                self._journal.unsent(custom_id)
            return False
        try:
            if error is not None:
                self._journal.failed(custom_id, error_line(custom_id, error, stem=stem))
            elif result.completion is not None:
                self._journal.answered(custom_id, answer_line(custom_id, result.completion, stem=stem))
        except OSError:
            self._kept.append(result)
            raise
        return True

    def _count(self, result: Result[Any]) -> None:
        tally = self.tally
        tally.seconds = asyncio.get_running_loop().time() - self._began
        if result.completion is not None:
            tally.count_answer(result.completion, result.model or "")
        elif result.error is not None:
            tally.count_failure(result.error.kind, result.attempts)
            if tally.failed > self._allowed:
                self._end(self._too_many())
        if self.on_row is not None:
            self.on_row(RowDone(result.item.custom_id, result.error, tally, result.completion, result.attempts))

    def _end(self, error: AnyFastError | OSError) -> None:
        self.stopped = self.stopped or error
        self._intake = False

    def _too_many(self) -> TooManyFailuresError:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.tally.kinds.most_common())
        given = f"{self._max_failures:.3g}" if isinstance(self._max_failures, float) else self._max_failures
        message = f"{self.tally.failed} rows failed ({kinds}), more than max_failures={given} allows"
        return TooManyFailuresError(message)
