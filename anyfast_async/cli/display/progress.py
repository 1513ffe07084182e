"""How a batch shows that it gets on: a live view on a terminal, a line now and then elsewhere, events for programs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO, TypeAlias

from anyfast_async._values.text import printable
from anyfast_async.batch.pace import Pace
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.figures import Moment, Spend
from anyfast_async.cli.display.terminal import is_live, is_quiet

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async import Stats
    from anyfast_async.batch import RowDone, Tally
    from anyfast_async.batch.report.recorder import Recorder

Longest: TypeAlias = Callable[[], Sequence[tuple[str, float]]]

EVERY: Final = 10.0
"""Seconds between two lines, or two events."""
TICK: Final = 0.25
"""Seconds between two looks at a run, also while no row ends."""


class View(Protocol):
    """Shows a batch in one way."""

    def start(self, moment: Moment) -> None:
        """Begin."""

    def tick(self, moment: Moment, now: float) -> None:
        """Show how far it is, if it is time to."""

    def row(self, event: RowDone) -> None:
        """Take in that a row is done."""

    def note(self, message: str) -> None:
        """Show a line."""

    def stop(self) -> None:
        """End."""


class _Periodic:
    """Writes to a stream now and then. Nobody reading it is no reason to end a batch."""

    def __init__(self, stream: TextIO, text: Callable[[Moment], str]) -> None:
        self._stream = stream
        self._text = text
        self._next: float | None = None

    def start(self, moment: Moment) -> None:
        pass

    def row(self, event: RowDone) -> None:
        pass

    def stop(self) -> None:
        pass

    def tick(self, moment: Moment, now: float) -> None:
        self._next = now + EVERY if self._next is None else self._next
        if now >= self._next:
            self._next += EVERY * (1 + (now - self._next) // EVERY)
            self._write(self._text(moment))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):  # full, or the other end is gone; closed
            self._next = float("inf")


class BatchLines(_Periodic):
    """A line every ten seconds."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, figures.line)

    def note(self, message: str) -> None:
        """Write a line."""
        self._write(printable(message))


class BatchEvents(_Periodic):
    """JSON, an object per line: ``start``, ``progress`` every ten seconds, ``failure`` for a failed row, ``note``."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, lambda moment: json_text(figures.progress_event(moment)))

    def start(self, moment: Moment) -> None:
        """Write the first event."""
        self._write(json_text(figures.started_event(moment.tally)))

    def row(self, event: RowDone) -> None:
        """Write an event for a failed row."""
        failure = figures.failure_event(event)
        if failure is not None:
            self._write(json_text(failure))

    def note(self, message: str) -> None:
        """Write an event."""
        self._write(json_text({"event": "note", "message": message}))


class BatchProgress:
    """Tells the views, and the recorder of a report, how a batch gets on; a context manager within a running loop."""

    def __init__(
        self,
        views: Sequence[View],
        tally: Tally,
        *,
        stats: Callable[[], Stats] | None,
        concurrency: int | None,
        spend: Spend | None,
        recorder: Recorder | None,
        said: Mapping[str, Any] | None,
        longest: Longest | None,
        per_minute: int | None,
    ) -> None:
        self._views = views
        self._tally = tally
        self._stats = stats
        self._concurrency = concurrency
        self._spend = spend
        self._recorder = recorder
        self._said = said
        self._longest = longest
        self._per_minute = per_minute
        self._pace = Pace()
        self._began = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._began = now = asyncio.get_running_loop().time()
        moment = self._moment(now)
        if self._recorder is not None:
            self._recorder.begin(now, self._said)
        for view in self._views:
            view.start(moment)
        self._tick()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._look()
        for view in self._views:
            view.stop()

    def row(self, event: RowDone) -> None:
        """Take in that a row is done."""
        if self._recorder is not None:
            self._recorder.row(event)
        for view in self._views:
            view.row(event)

    def note(self, message: str) -> None:
        """Show a line."""
        for view in self._views:
            view.note(message)

    def _tick(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(TICK, self._tick)
        self._look()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        moment = self._moment(now)
        if self._recorder is not None and moment.stats is not None:
            self._recorder.tick(moment.stats, now)
        for view in self._views:
            view.tick(moment, now)

    def _moment(self, now: float) -> Moment:
        self._pace.sample(self._tally, now)
        stats = None if self._stats is None else self._stats()
        longest = () if self._longest is None else self._longest()
        return Moment(
            self._tally,
            self._pace,
            stats,
            self._concurrency,
            self._spend,
            time.time(),
            self._per_minute,
            now - self._began,
            longest,
        )


def progress_on(
    stream: TextIO,
    tally: Tally,
    *,
    stats: Callable[[], Stats] | None = None,
    concurrency: int | None = None,
    spend: Spend | None = None,
    recorder: Recorder | None = None,
    said: Mapping[str, Any] | None = None,
    longest: Longest | None = None,
    per_minute: int | None = None,
    events: TextIO | None = None,
) -> BatchProgress:
    """Return what shows a batch on *stream* in the way that suits it.

    Args:
        stream: for people, a terminal or not.
        tally: what the run counts.
        stats: ``client.stats``, for what is in flight and what holds it back.
        concurrency: workers of the run.
        spend: tells the money, where prices are known.
        recorder: of a report; it is given every row and, four times a second, the stats.
        said: what it notes of the run when it begins.
        longest: the rows that are waited for when the end is near, see :meth:`BatchRun.longest`.
        per_minute: requests that may be sent in a minute.
        events: where JSON events go. With them *stream* gets no plain lines, and no view if both are one terminal.

    """
    views: list[View] = [] if events is None else [BatchEvents(events)]
    if is_quiet():
        pass
    elif is_live(stream):
        if events is None or not events.isatty():
            from anyfast_async.cli.display.live import Live  # noqa: PLC0415 - rich, on a terminal only

            views.append(Live(stream))
    elif events is None:
        views.append(BatchLines(stream))
    return BatchProgress(
        views,
        tally,
        stats=stats,
        concurrency=concurrency,
        spend=spend,
        recorder=recorder,
        said=said,
        longest=longest,
        per_minute=per_minute,
    )


def print_pairs(columns: Sequence[str], rows: Sequence[tuple[str, str, str]]) -> None:
    """Print rows of a name and two texts, which stand side by side where there is room for it."""
    if is_live(sys.stdout):
        from anyfast_async.cli.display.live import pairs  # noqa: PLC0415

        pairs(columns, rows)
        return
    _, left, right = columns
    for name, one, other in rows:
        sys.stdout.write(f"{printable(name)}\n  {left}: {figures.brief(one)}\n  {right}: {figures.brief(other)}\n")
    sys.stdout.flush()


def print_summary(rows: list[tuple[str, str]]) -> None:
    """Print the closing table to the standard output."""
    if is_live(sys.stdout):
        from anyfast_async.cli.display.live import table  # noqa: PLC0415

        table(("", ""), rows, header=False)
        return
    width = max(len(name) for name, _ in rows)
    sys.stdout.write("".join(f"{name:<{width}}  {printable(value)}\n" for name, value in rows))
    sys.stdout.flush()
