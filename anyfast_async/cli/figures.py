"""A batch's counts as words: for a table, for lines, for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyfast_async.batch import Histogram, Tally

_MINUTE, _HOUR = 60, 3600


def counted(number: int) -> str:
    """Return *number* with separators."""
    return f"{number:,}"


def rows_of(number: int) -> str:
    """Return *number* with the noun."""
    return f"{counted(number)} {'row' if number == 1 else 'rows'}"


def duration(seconds: float) -> str:
    """Return a time in two units at most."""
    if seconds < _MINUTE:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004
    if seconds < _HOUR:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // _HOUR} h {int(seconds) % _HOUR // 60} min"


def rate_of(tally: Tally) -> str:
    """Return the rows a second."""
    return f"{tally.rate:.3g} rows/s" if tally.rate < 100 else f"{tally.rate:,.0f} rows/s"  # noqa: PLR2004


def percentiles(histogram: Histogram) -> str:
    """Return p50, p95 and p99 of seconds."""
    return " / ".join(duration(histogram.percentile(p) or 0.0) for p in (50, 95, 99))


def summary(tally: Tally) -> Iterator[tuple[str, str]]:
    """Yield the closing table: names and values."""
    yield "rows", counted(tally.total)
    earlier = f" ({counted(tally.already)} of them before)" if tally.already else ""
    yield "answered", counted(tally.answered + tally.already) + earlier
    if tally.empty:
        yield "  without text", f"{counted(tally.empty)} (thinking used up max_tokens, or the model said nothing)"
    if tally.cut:
        yield "  cut at max_tokens", counted(tally.cut)
    kinds = ", ".join(f"{kind} {counted(n)}" for kind, n in tally.kinds.most_common())
    yield "failed", counted(tally.failed) + (f" ({kinds})" if kinds else "")
    if tally.left:
        yield "left", counted(tally.left)
    yield "retries", counted(tally.retries)
    yield "time", f"{duration(tally.seconds)}, {rate_of(tally)}"
    if tally.latency.count:
        yield "latency p50 / p95 / p99", percentiles(tally.latency)
    if tally.first_token.count:
        yield "first token p50 / p95 / p99", percentiles(tally.first_token)
    prompt, completion = counted(tally.prompt_tokens), counted(tally.completion_tokens)
    yield "tokens", f"{counted(tally.tokens)} (prompt {prompt}, completion {completion})"


def as_json(tally: Tally) -> dict[str, Any]:
    """Return the counts for a program; times in seconds."""
    return {
        "rows": tally.total,
        "already_answered": tally.already,
        "answered": tally.answered,
        "empty": tally.empty,
        "cut": tally.cut,
        "failed": tally.failed,
        "failed_by_kind": dict(tally.kinds),
        "left": tally.left,
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
