"""One run of a batch: rows in, ``client.map``, one line written for each result. Knows no terminal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Unpack

import attrs

from anyfast_async.batch.lines import BatchLine, answer_line, error_line
from anyfast_async.batch.output import BatchFiles
from anyfast_async.batch.tally import Tally
from anyfast_async.errors import AnyFastError, APIConnectionError

if TYPE_CHECKING:
    from anyfast_async._map import MapRun, Result
    from anyfast_async.client import AnyFast
    from anyfast_async.requests import ChatOptions

STOPPERS: Final = frozenset({"auth", "quota", "model", "budget", "configuration", "state"})
"""Kinds of errors that are no fault of the row: they would fail every row after it."""


def stops(error: AnyFastError) -> bool:
    """Return whether *error* ends a run instead of failing a row: also a gateway that cannot be reached at all."""
    return error.kind in STOPPERS or (isinstance(error, APIConnectionError) and error.phase == "unsent")


@attrs.frozen
class RowDone:
    """A line was written; given to ``on_row``."""

    custom_id: str
    error: AnyFastError | None
    """None for an answer."""
    tally: Tally
    """The counts so far; it is the same object every time."""


class BatchRun:
    """One run. It ends when all rows have a result, at the first error that :func:`stops` it, or when told to.

    Args:
        client: sends the rows.
        rows: the requests, without those that are done.
        files: where results go; closing them is the caller's.
        total: rows of the input, for the counts.
        concurrency: rows in work at once, from 1.
        on_row: called after each line that was written.
        **options: as for ``client.complete``; they win over what the rows say.

    Raises:
        RequestValidationError: an option is wrong; nothing is sent.
        ConfigurationError: *concurrency* is wrong.

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
        **options: Unpack[ChatOptions],
    ) -> None:
        self.tally: Tally = Tally(total, already)
        self.stopped: AnyFastError | OSError | None = None
        """What ended the run early, where an error did; an ``OSError`` is of a file that cannot be read or written."""
        self._rows = rows
        self._files = files
        self.on_row = on_row
        """Called after each line that was written."""
        self._outstanding: dict[str, None] = {}
        self._intake = True
        self._clock: asyncio.Timeout | None = None
        self._map: MapRun[Any] = client.map(
            self._taken(),
            request=lambda row: row.request,
            concurrency=concurrency,
            stop_on=STOPPERS,
            **options,
        )

    @property
    def unfinished(self) -> tuple[str, ...]:
        """After the run: rows that were taken up and have no result; the gateway may have worked on them."""
        return tuple(self._outstanding)

    def stop(self, grace: float) -> None:
        """Take up no more rows; those in work get *grace* seconds, then are left.

        May be called again, with less.
        """
        self._intake = False
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time() + grace)

    async def run(self) -> Tally:
        """Make the run, once. What ends it early stands in ``.stopped``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(None) as self._clock, self._map as results:
                async for result in results:
                    self.tally.seconds = loop.time() - began
                    self._record(result)
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
        return self.tally

    def _taken(self) -> Iterator[BatchLine]:
        for row in self._rows:
            if not self._intake:
                return
            self._outstanding[row.custom_id] = None
            yield row

    def _record(self, result: Result[Any]) -> None:
        custom_id = result.item.custom_id
        row_id = uuid.uuid4().hex
        if result.completion is not None:
            self._files.answers.write(answer_line(custom_id, result.completion, row_id=row_id))
            self.tally.count_answer(result.completion)
        elif result.error is not None and stops(result.error):
            self.stopped = self.stopped or result.error
            self._intake = False
            if result.error.billed == "no":
                del self._outstanding[custom_id]
            return
        elif result.error is not None:
            self._files.errors.write(error_line(custom_id, result.error, row_id=row_id))
            self.tally.count_failure(result.error.kind, result.attempts)
        del self._outstanding[custom_id]
        if self.on_row is not None:
            self.on_row(RowDone(custom_id, result.error, self.tally))
