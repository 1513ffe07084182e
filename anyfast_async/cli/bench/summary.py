"""What a test measured, as tables and for programs. Pure but for the printing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from anyfast_async._values.text import counted
from anyfast_async.cli.bench.histogram import Times
from anyfast_async.cli.bench.knee import knee
from anyfast_async.cli.bench.measurement import Measurement
from anyfast_async.cli.bench.options import BenchOptions

SHOWN = (
    ("first_token", "first token"),
    ("first_token_sent", "  from sending"),
    ("per_token", "per token"),
    ("between", "between pieces"),
    ("whole", "whole answer"),
)
"""Times of a measurement, and what they are called."""
COLUMNS = ("load", "answers/s", "tokens/s", "failed", "first token p50", "p99", "per token p50", "p99", "valid")


def told(seconds: float) -> str:
    """Return a time to three digits."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s" if seconds < _LONG else f"{seconds:.0f} s"


_LONG = 1000


def percentiles(times: Times) -> str:
    """Return p50, p90, p95 and p99."""
    return " / ".join(told(times.percentile(p) or 0.0) for p in (50, 90, 95, 99))


def lines(one: Measurement) -> Iterator[tuple[str, str]]:
    """Yield the closing table of one load: names and values."""
    yield "load", f"{one.load}, {one.seconds:.4g} s"
    warm = f", {counted(one.warmed)} more as warm-up" if one.warmed else ""
    left = f", {counted(one.left)} left in flight" if one.left else ""
    yield "requests", f"{counted(one.requests)}{warm}{left}"
    yield "answered", counted(one.answered)
    if one.failed:
        yield "failed", ", ".join(f"{counted(number)} {kind}" for kind, number in one.failed.most_common())
    for kind, said in one.examples.items():
        yield f"  {kind}", said
    yield "throughput", f"{one.throughput:.3g} answers/s, {one.token_throughput:,.4g} tokens/s"
    if one.answered:
        yield "", "p50 / p90 / p95 / p99"
    for attribute, name in SHOWN:
        times: Times = getattr(one, attribute)
        if times.count:
            yield name, percentiles(times)
    if one.uncounted:
        yield "tokens", f"{counted(one.uncounted)} answers do not say how many: their pieces are counted"
    checks = one.checks
    late = f"loop late by {told(checks.loop_delay.percentile(99) or 0.0)} (p99)"
    yield "self-check", f"{late}, {checks.cpu:.0%} of a CPU"
    for problem in one.verdict():
        yield "INVALID", problem


def cells(one: Measurement) -> tuple[str, ...]:
    """Return one load of a sweep as a row."""

    def time(times: Times, percent: float) -> str:
        found = times.percentile(percent)
        return "" if found is None else told(found)

    return (
        str(one.load),
        f"{one.throughput:.3g}",
        f"{one.token_throughput:,.4g}",
        counted(one.failed.total()),
        time(one.first_token, 50),
        time(one.first_token, 99),
        time(one.per_token, 50),
        time(one.per_token, 99),
        "no" if one.verdict() else "yes",
    )


def knee_in_words(points: Sequence[Measurement]) -> str:
    """Return where the knee is."""
    found = knee(points)
    if found is None:
        return "knee: not reached with figures that are valid; offer more"
    return f"knee: {found.load}, {found.throughput:.3g} answers/s; with more, waiting grows faster than what is done"


def as_json(points: Sequence[Measurement], options: BenchOptions, status: str, where: dict[str, Any]) -> dict[str, Any]:
    """Return the whole test for a program; times in seconds, ``hdr`` in microseconds."""
    found = knee(points) if options.is_sweep else None
    return {
        "status": status,
        **where,
        "max_tokens": options.max_tokens,
        "prompt_tokens": None if options.prompts else options.prompt_tokens,
        "duration": options.span.seconds,
        "warm_up": options.span.warm_up,
        "seed": options.seed,
        "valid": bool(points) and not any(one.verdict() for one in points),
        "knee": None if found is None else found.load.amount,
        "loads": [one.as_json(_rounded) for one in points],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
