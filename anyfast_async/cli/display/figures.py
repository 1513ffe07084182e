"""A batch's counts as words: for a table, for lines, for programs. Pure."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from anyfast_async._values.outcome import ODD
from anyfast_async._values.text import counted, duration, printable, rough
from anyfast_async.batch import Histogram, RowDone, Tally
from anyfast_async.batch.counts import DESCRIBED
from anyfast_async.batch.pace import Pace, limited_by
from anyfast_async.errors import APIStatusError, escaped

if TYPE_CHECKING:
    from anyfast_async import Stats

_MINUTE = 60
_BESIDE: Final = re.compile(r" \([^()]*\)")
"""Where prices are from: said at the end, and no news four times a second."""

Spend: TypeAlias = Callable[[Tally], str]
"""What was spent, as words: ``"$1.23"``."""

LIMITS: Final[dict[str | None, str]] = {
    None: "the time answers take",
    "concurrency": "--concurrency",
    "window": "what the gateway takes at once",
    "reserve": "places that are kept free",
    "throttling": "the gateway's limiter",
    "outage": "the gateway, which is away",
    "unanswered": "the gateway, which does not answer",
    "requests_per_minute": "--rpm",
    "tokens_per_minute": "--tpm",
}
"""What keeps a batch from being faster, by the word for it."""


def rows_of(number: int) -> str:
    """Return *number* with the noun."""
    return f"{counted(number)} {'row' if number == 1 else 'rows'}"


def per_second(rate: float, noun: str) -> str:
    """Return a rate."""
    return f"{rate:.3g} {noun}/s" if rate < 100 else f"{rate:,.0f} {noun}/s"  # noqa: PLR2004


def rate_of(tally: Tally) -> str:
    """Return the rows a second over the whole run."""
    return per_second(tally.rate, "rows")


def percentiles(histogram: Histogram) -> str:
    """Return p50, p95 and p99 of seconds."""
    return " / ".join(duration(histogram.percentile(p) or 0.0) for p in (50, 95, 99))


# -- while it runs ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Moment:
    """A batch at one moment."""

    tally: Tally
    pace: Pace
    stats: Stats | None = None
    concurrency: int | None = None
    spend: Spend | None = None
    wall: float = 0.0
    """Unix time, for telling until when."""
    per_minute: int | None = None
    """Requests that may be sent in a minute."""
    elapsed: float = 0.0
    """Seconds since the run began."""
    longest: Sequence[tuple[str, float]] = ()
    """When the end is near: rows in flight, and the seconds for which they are."""

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.tally.done / self.tally.total if self.tally.total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """At the pace of the last half minute, within our own limit; None while it says nothing about what comes."""
        is_waiting = self.throttled is not None or self.limit in ("outage", "unanswered")
        if not is_waiting and self.limit == "requests_per_minute" and self.per_minute is not None:
            # Each minute's worth goes out at its beginning: what is left goes with the next ones.
            minutes = math.ceil(self.tally.left / self.per_minute)
            return max(0.0, minutes * _MINUTE - self.elapsed % _MINUTE)
        seconds = None if is_waiting else self.pace.seconds_for(self.tally.left)
        if seconds is None or self.per_minute is None:
            return seconds
        return max(seconds, self.tally.left / self.per_minute * _MINUTE)

    @property
    def limit(self) -> str | None:
        """What keeps it from being faster: a key of :data:`LIMITS`."""
        if self.stats is None:
            return None
        return limited_by(self.stats, self.concurrency, answering=not (self.pace.is_still and self.stats.in_flight))

    @property
    def throttled(self) -> str | None:
        """Until when the gateway wants no more requests, in words; None if it takes them."""
        if self.stats is None or self.stats.held_for <= 0:
            return None
        now, end = time.localtime(self.wall), time.localtime(self.wall + self.stats.held_for)
        is_today = now[:3] == end[:3]
        until = time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", end)
        return f"throttled until {until} ({rough(self.stats.held_for)} to go)"

    def rows(self) -> Iterator[str]:
        """Yield how far it is, and how fast."""
        yield f"{counted(self.tally.done)} of {counted(self.tally.total)}"
        yield per_second(self.pace.rows, "rows")
        if self.tally.left and self.seconds_left is not None:
            yield f"{rough(self.seconds_left)} left"
        took = None if self.stats is None else self.stats.total
        if took is not None and took.p50 is not None and took.p95 is not None:
            yield f"p50 {duration(took.p50)}"
            yield f"p95 {duration(took.p95)}"

    def work(self) -> Iterator[str]:
        """Yield what is in work, and what it waits for."""
        if self.stats is None:
            return
        yield f"{counted(self.stats.in_flight)} in flight"
        yield self.throttled or f"limited by {LIMITS.get(self.limit, self.limit)}"
        if self.longest:
            rows = ", ".join(f"{escaped(custom_id, 30)} ({rough(seconds)})" for custom_id, seconds in self.longest)
            yield f"waiting for {rows}"

    def tokens(self) -> Iterator[str]:
        """Yield what it used."""
        yield counted(self.tally.tokens)
        yield per_second(self.pace.tokens, "tokens")
        if self.spend is not None:
            yield _BESIDE.sub("", self.spend(self.tally))

    def outcomes(self) -> Iterator[str]:
        """Yield how rows ended that need a look; nothing if all is well."""
        tally, file = self.tally, self.tally.file
        kinds = ", ".join(f"{kind} {counted(n)}" for kind, n in file.kinds.most_common())
        if file.failed:
            yield f"{counted(file.failed)} failed ({kinds})"
        retries = "retry" if tally.retries == 1 else "retries"
        for number, word in (*((file.outcomes[word], word) for word in ODD), (tally.retries, retries)):
            if number:
                yield f"{counted(number)} {word}"


def fitting(parts: Iterable[str], width: int, separator: str) -> str:
    """Return as many of *parts* as fit on a line, whole; of the first what fits."""
    shown = ""
    for part in parts:
        if shown and len(shown) + len(separator) + len(part) > width:
            break
        shown += f"{separator}{part}" if shown else part
    return shown


def line(moment: Moment) -> str:
    """Return a batch at one moment as one line."""
    first, *rest = moment.rows()
    parts = [f"{first} rows", *rest, *moment.work(), *moment.outcomes()]
    if moment.spend is not None:
        parts.append(moment.spend(moment.tally))
    return ", ".join(parts)


def failure(event: RowDone, most: int) -> str:
    """Return a failed row on one line, its message cut at *most* characters; nothing in it steers a terminal."""
    return f"{escaped(event.custom_id, 40)}: {escaped(str(event.error), most)}"


_BRIEF: Final = 400
"""Characters of a text that is looked at."""


def brief(text: str) -> str:
    """Return the beginning of a text on one line, safe for a terminal."""
    line = " ".join(text.split())
    return printable(line if len(line) <= _BRIEF else f"{line[: _BRIEF - 1]}…")


# -- events for programs ---------------------------------------------------------------------------------------------


def started_event(tally: Tally) -> dict[str, Any]:
    """Return the first event of ``--json``."""
    return {"event": "start", "rows": tally.total, "already_answered": tally.answered_before}


def progress_event(moment: Moment) -> dict[str, Any]:
    """Return how far a batch is; rates are of the last half minute, times in seconds."""
    tally, stats, left = moment.tally, moment.stats, moment.seconds_left
    return {
        "event": "progress",
        "done": tally.done,
        "rows": tally.total,
        **tally.file.as_dict(),
        "retries": tally.retries,
        "tokens": tally.tokens,
        "rows_per_second": round(moment.pace.rows, 3),
        "tokens_per_second": round(moment.pace.tokens, 3),
        "seconds_left": None if left is None else round(left, 1),
        "in_flight": None if stats is None else stats.in_flight,
        "limited_by": moment.limit,
        "throttled_for": None if stats is None else round(stats.held_for, 1),
        "longest": [{"custom_id": custom_id, "seconds": round(took, 1)} for custom_id, took in moment.longest],
    }


def failure_event(event: RowDone) -> dict[str, Any] | None:
    """Return the event for a row that failed; None for an answer."""
    error = event.error
    if error is None:
        return None
    return {
        "event": "failure",
        "custom_id": event.custom_id,
        "kind": error.kind,
        "message": str(error),
        "status_code": error.status_code if isinstance(error, APIStatusError) else None,
        "retryable": error.retryable,
        "billed": error.billed,
        "attempts": len(event.attempts),
        "request_id": error.request_id,
    }


# -- at the end ------------------------------------------------------------------------------------------------------


def standing(tally: Tally, *, in_doubt: int = 0, maybe_billed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield how the rows of the input stand in the files: names and values."""
    file = tally.file
    yield "rows", counted(tally.total)
    earlier = tally.answered_before
    before = f" ({counted(earlier)} of them before)" if 0 < earlier < file.answered else ""
    yield "answered", counted(file.answered) + before
    for word in ODD:
        if file.outcomes[word]:
            yield f"  {word}", f"{counted(file.outcomes[word])} ({DESCRIBED[word]})"
    kinds = ", ".join(f"{kind} {counted(n)}" for kind, n in file.kinds.most_common())
    yield "failed", counted(file.failed) + (f" ({kinds})" if kinds else "")
    if in_doubt:
        yield "in doubt", f"{counted(in_doubt)} (sent, and no answer)"
    if tally.without - in_doubt:
        yield "not sent", counted(tally.without - in_doubt)
    if maybe_billed:
        yield "perhaps billed", f"{rows_of(maybe_billed)} without an answer to show for it, in all runs"


def summary(
    tally: Tally, spend: Spend | None = None, *, in_doubt: int = 0, maybe_billed: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield the closing table: names and values."""
    yield from standing(tally, in_doubt=in_doubt, maybe_billed=maybe_billed)
    if tally.same:
        yield "equal rows", f"{counted(tally.same)}, not sent again"
    yield "retries", counted(tally.retries)
    yield "time", f"{duration(tally.seconds)}, {rate_of(tally)}"
    if tally.latency.count:
        yield "latency p50 / p95 / p99", percentiles(tally.latency)
    if tally.first_token.count:
        yield "first token p50 / p95 / p99", percentiles(tally.first_token)
    prompt, completion = counted(tally.prompt_tokens), counted(tally.completion_tokens)
    unknown = f"; {rows_of(tally.spent.unknown)} without usage are not counted" if tally.spent.unknown else ""
    yield "tokens", f"{counted(tally.tokens)} (prompt {prompt}, completion {completion}){unknown}"
    if spend is not None:
        yield "spent", spend(tally)


def as_json(tally: Tally, in_doubt: int = 0) -> dict[str, Any]:
    """Return the counts for a program; times in seconds."""
    return {
        "rows": tally.total,
        "already_answered": tally.answered_before,
        **tally.file.as_dict(),
        "failed_by_kind": dict(tally.file.kinds),
        "not_sent": tally.without - in_doubt,
        "in_doubt": in_doubt,
        "left": tally.left,
        "equal_rows": tally.same,
        "retries": tally.retries,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "seconds": round(tally.seconds, 3),
        "rows_per_second": round(tally.rate, 3),
        "latency": _percentiles(tally.latency),
        "first_token": _percentiles(tally.first_token),
    }


def _percentiles(histogram: Histogram) -> dict[str, float] | None:
    if not histogram.count:
        return None
    return {f"p{p}": round(histogram.percentile(p) or 0.0, 4) for p in (50, 95, 99)}
