"""Notes what a run does into its log, for a report. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._core.usage import used_by
from anyfast_async.batch.pace import limited_by
from anyfast_async.batch.report.stretch import NOTE, Stretch, width_after
from anyfast_async.errors import OutputError, RateLimitError

if TYPE_CHECKING:
    from anyfast_async import Stats
    from anyfast_async.batch.run import RowDone

BEGUN: Final = "run"
ENDED: Final = "run ended"
"""What the first and the last record of a run are called."""


@attrs.define
class Recorder:
    """Takes in what a run does, and notes it. What cannot be noted is left out: a run does not end because of it.

    Every *now* is of one clock that goes forward, in seconds.

    Args:
        note: writes a record into the log, given what it is called and its value; it may raise ``OSError``.
        run: when the run began, as Unix time.
        concurrency: workers of the run.

    """

    _note: Callable[[str, Any], None]
    _run: float
    _concurrency: int | None = None
    _began: float = 0.0
    _now: Stretch = attrs.field(factory=Stretch)
    _sent: bool = False

    def begin(self, now: float, said: Mapping[str, Any] | None = None) -> None:
        """Take in that the run begins; *said* is what a report says of it."""
        self._began = now
        self._now = Stretch(self._run)
        self._write(BEGUN, {"run": self._run, **(said or {})})

    def end(self, now: float, status: str) -> None:
        """Take in that the run has ended, and how."""
        self._put(now)
        self._write(ENDED, {"run": self._run, "seconds": round(now - self._began, 3), "status": status})

    def row(self, event: RowDone) -> None:
        """Take in that a row is done; one that was not sent counts for no rate, as in ``Tally.sent``."""
        if not event.attempts:
            return
        stretch, completion = self._now, event.completion
        figures = stretch.model(event.model)
        self._sent = True
        if len(event.attempts) > 1 or event.error is not None:
            self._attempts(event)
        if event.error is not None:
            figures.failed += 1
            completion = event.error.completion if isinstance(event.error, OutputError) else None
        else:
            figures.answered += 1
        if completion is None:
            return
        used, trace = used_by(completion.usage), completion.trace
        if used is not None:
            figures.add_used(used)
        if trace is not None and event.error is None:
            figures.latency.add(trace.total)
            figures.queue.add(trace.queue)
            if trace.first_token is not None:
                figures.first_token.add(trace.first_token)

    def _attempts(self, event: RowDone) -> None:
        stretch = self._now
        stretch.in_doubt += sum(one.outcome != "ok" and one.billed != "no" for one in event.attempts)
        for attempt in event.attempts[:-1]:
            status = "" if attempt.status_code is None else f" {attempt.status_code}"
            stretch.retried[f"{attempt.outcome}{status}"] += 1
            stretch.throttled += attempt.outcome == RateLimitError.kind

    def tick(self, stats: Stats, now: float) -> None:
        """Take a sample; several a second, also while no row ends."""
        stretch = self._now
        stretch.samples += 1
        stretch.in_flight += stats.in_flight
        stretch.queued += stats.queued
        stretch.held += stats.held_for > 0
        stretch.peak = max(stretch.peak, stats.in_flight)
        stretch.limits[limited_by(stats, self._concurrency, answering=self._sent) or ""] += 1
        self.step(now)

    def join(self, now: float, seconds: float) -> None:
        """Begin as one of several that record the rows of one run, *seconds* after it began."""
        self._began = now - seconds
        self._now = Stretch(self._run, seconds, seconds)

    def leave(self, now: float) -> None:
        """Note what is not noted yet; the run goes on."""
        self._put(now)

    def step(self, now: float) -> None:
        """Note the stretch, if it is as long as it should be."""
        start = self._now.start
        if now - self._began - start >= width_after(start):
            self._put(now)

    def _put(self, now: float) -> None:
        """Note the stretch, and begin the next one."""
        stretch = self._now
        stretch.end = max(stretch.start, now - self._began)
        self._now = Stretch(self._run, stretch.end, stretch.end)
        if stretch.models or stretch.samples:
            self._write(NOTE, stretch.as_json())

    def _write(self, kind: str, value: Any) -> None:
        with suppress(OSError):  # it shows with the next line that matters
            self._note(kind, value)
