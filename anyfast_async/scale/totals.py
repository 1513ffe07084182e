"""Counts of shards as plain values, which travel between processes, and their sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from anyfast_async._client.stats import Phase, Stats
from anyfast_async._core.histogram import Histogram
from anyfast_async._limits.spent import Spent
from anyfast_async.batch.counts import Counts
from anyfast_async.batch.tally import Tally

_SUMS: Final = (
    *("total", "already", "answered", "failed", "empty", "length", "unsent", "retries"),
    *("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens"),
)
_HISTOGRAMS: Final = ("latency", "first_token", "queue")


def state_of(tally: Tally) -> dict[str, Any]:
    """Return *tally* as plain JSON values."""
    spent, file = tally.spent, tally.file
    state: dict[str, Any] = {name: getattr(tally, name) for name in _SUMS}
    state["kinds"] = dict(tally.kinds)
    state["file"] = [dict(file.outcomes), dict(file.kinds)]
    state["spent"] = [spent.calls, spent.unknown, [[*key, *sums] for key, sums in [*spent._sums.items()]]]  # noqa: SLF001
    for name in _HISTOGRAMS:
        one: Histogram = getattr(tally, name)
        state[name] = [one.count, one.total, [[*pair] for pair in [*one._buckets.items()]]]  # noqa: SLF001 - one house
    return state


def sum_into(tally: Tally, states: Iterable[Mapping[str, Any]]) -> None:
    """Make *tally*, but for its seconds, the sum of *states*."""
    counts: Counter[str] = Counter()
    kinds, spent, file = Counter[str](), Spent(), Counts()
    found = {name: Histogram() for name in _HISTOGRAMS}
    for state in states:
        for name in _SUMS:
            counts[name] += state[name]
        kinds.update(state["kinds"])
        outcomes, failures = state["file"]
        file.outcomes.update(outcomes)
        file.kinds.update(failures)
        calls, unknown, sums = state["spent"]
        spent.calls += calls
        spent.unknown += unknown
        for model, step, *values in sums:
            before = spent._sums.get((model, step)) or [0] * len(values)  # noqa: SLF001
            spent._sums[model, step] = [a + b for a, b in zip(before, values, strict=True)]  # noqa: SLF001
        for name, histogram in found.items():
            _add(histogram, *state[name])
    for name in _SUMS:
        setattr(tally, name, counts[name])
    tally.kinds, tally.spent, tally.file = kinds, spent, file
    tally.latency, tally.first_token, tally.queue = (found[name] for name in _HISTOGRAMS)


def _add(histogram: Histogram, count: int, total: float, buckets: Iterable[tuple[int, int]]) -> None:
    histogram.count += count
    histogram.total += total
    for bucket, number in buckets:
        histogram._buckets[bucket] = histogram._buckets.get(bucket, 0) + number  # noqa: SLF001


def earlier(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what *state* of an earlier run says of a shard that this run has not taken up yet."""
    tally = Tally(state["total"], 0)
    outcomes, kinds = state["file"]
    tally.file = Counts(Counter(outcomes), Counter(kinds))
    tally.already = tally.file.answered
    return state_of(tally)


def stats_of(said: Sequence[Mapping[str, Any]], tally: Tally) -> Stats:
    """Return what workers said last, taken together."""
    limits = Counter(one.get("limited_by") for one in said if one.get("limited_by") is not None)
    return Stats(
        in_flight=sum(one.get("in_flight", 0) for one in said),
        queued=sum(one.get("queued", 0) for one in said),
        limited_by=limits.most_common(1)[0][0] if limits else None,
        held_for=max((one.get("held_for", 0.0) for one in said), default=0.0),
        requests=sum(one.get("counted", (0, 0))[0] for one in said),
        maybe_billed=sum(one.get("maybe_billed", 0) for one in said),
        tokens_used=tally.tokens,
        tokens_reserved=0,
        total=Phase(tally.latency.percentile(50), tally.latency.percentile(95)),
    )
