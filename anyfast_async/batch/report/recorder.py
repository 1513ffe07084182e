"""What a report on a run is made of: collected while it runs, in memory of one size. Pure: the time is an argument.

``page`` makes the page of it, ``charts`` says what its charts are, ``svg`` draws them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

from anyfast_async._core.usage import used_by
from anyfast_async.batch.pace import limited_by
from anyfast_async.batch.report.timeline import Timeline
from anyfast_async.batch.tally import Tally
from anyfast_async.errors import RateLimitError, escaped

if TYPE_CHECKING:
    from anyfast_async import Stats
    from anyfast_async.batch.run import RowDone

EXAMPLES: Final = 3
"""Rows that are named for each kind of error."""
_SHOWN_ID: Final = 80


@attrs.frozen
class FailureExample:
    """A row that did not go well."""

    custom_id: str
    message: str
    attempts: int
    retryable: bool
    billed: str


@attrs.define
class Recorder:
    """Takes in what a run does; its values are what the page shows.

    Args:
        tally: what the run counts.
        concurrency: workers of the run.
        started: the time of day, with its zone.

    Every *now* is of one clock that goes forward, in seconds.
    """

    tally: Tally
    concurrency: int | None = None
    started: dt.datetime | None = None
    timeline: Timeline = attrs.field(factory=Timeline)
    examples: dict[str, list[FailureExample]] = attrs.field(factory=dict)
    """For each kind of error, and for each outcome of answers but ``"ok"``: the first few."""
    odd: Counter[str] = attrs.field(factory=Counter)
    """Answers of the run that are not ``"ok"``, by outcome."""
    retried: Counter[tuple[str, int | None]] = attrs.field(factory=Counter)
    """Attempts that were followed by another one, by outcome and HTTP status."""
    billed: Counter[str] = attrs.field(factory=Counter)
    """Attempts that ended in an error, by whether they may have cost money."""
    limits: Counter[str | None] = attrs.field(factory=Counter)
    """Samples by what limited the run, as in ``limited_by``."""
    peak: int = 0
    """Most calls in flight in any sample."""
    _began: float = 0.0

    def begin(self, now: float) -> None:
        """Take in that the run begins."""
        self._began = now

    def row(self, event: RowDone, now: float) -> None:
        """Take in that a row is done."""
        bucket = self.timeline.at(max(0.0, now - self._began))
        for attempt in event.attempts:
            if attempt.outcome != "ok":
                self.billed[attempt.billed] += 1
        for attempt in event.attempts[:-1]:
            self.retried[attempt.outcome, attempt.status_code] += 1
            if attempt.outcome == RateLimitError.kind:
                bucket.throttled += 1
            else:
                bucket.retries += 1
        if event.error is not None:
            bucket.failed += 1
            self._keep(event.error.kind, event)
        elif event.completion is not None:
            bucket.answered += 1
            used = used_by(event.completion.usage)
            bucket.prompt_tokens += used.prompt if used is not None else 0
            bucket.completion_tokens += used.completion if used is not None else 0
            outcome = event.completion.outcome
            if outcome != "ok":
                self.odd[outcome] += 1
                self._keep(outcome, event)

    def tick(self, stats: Stats, now: float) -> None:
        """Take a sample; several a second, also while no row ends."""
        bucket = self.timeline.at(max(0.0, now - self._began))
        bucket.samples += 1
        bucket.in_flight += stats.in_flight
        bucket.queued += stats.queued
        bucket.held += stats.held_for > 0
        bucket.peak = max(bucket.peak, stats.in_flight)
        self.peak = max(self.peak, stats.in_flight)
        self.limits[limited_by(stats, self.concurrency, answering=self.tally.sent > 0)] += 1

    def _keep(self, kind: str, event: RowDone) -> None:
        kept = self.examples.setdefault(kind, [])
        if len(kept) == EXAMPLES:
            return
        error, completion = event.error, event.completion
        kept.append(
            FailureExample(
                escaped(event.custom_id, _SHOWN_ID),
                escaped(str(error)) if error is not None else (completion and completion.diagnosis) or "",
                len(event.attempts),
                error is not None and error.retryable,
                error.billed if error is not None else "yes",
            )
        )


@attrs.frozen(kw_only=True)
class ReportHead:
    """What a report says of its run besides what was recorded."""

    title: str
    status: str
    """``"complete"``, ``"stopped"`` or ``"interrupted"``; with the reason, if there is one."""
    settings: tuple[tuple[str, str], ...] = ()
    """Files, model, command: names and values."""
    limits: tuple[tuple[str, str], ...] = ()
    """The limits in force: names and values."""
    spend: str | None = None
    """What was spent, in words, where prices are known."""
    maybe_billed: str = ""
    """Rows that may be billed without an answer, in words."""
