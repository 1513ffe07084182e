"""Counts that travel."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.usage import Used
from anyfast_async.batch import Tally
from anyfast_async.batch.counts import Standing
from anyfast_async.scale.totals import earlier, state_of, sum_into

ROWS = st.lists(
    st.tuples(st.sampled_from(["ok", "cut", "empty", "failed"]), st.integers(0, 90_000), st.floats(0, 100)), max_size=30
)


def counted(rows: list[tuple[str, int, float]]) -> Tally:
    tally = Tally(len(rows), 0)
    for outcome, tokens, seconds in rows:
        if outcome == "failed":
            tally.count_failure("server", ())
        else:
            tally.file.add(Standing(outcome))  # type: ignore[arg-type]  # drawn from its values
            tally.answered += 1
            tally.prompt_tokens += tokens
            tally.spent.add("m", Used(tokens, 1))
            tally.latency.add(seconds)
    return tally


@settings(deadline=None, max_examples=30)
@given(st.lists(ROWS, max_size=5))
def test_sum_of_parts_is_the_whole(parts: list[list[tuple[str, int, float]]]) -> None:
    """Shards that are added up come to what one run would have counted, through JSON as well."""
    together = Tally(0, 0)
    sum_into(together, [json.loads(json.dumps(state_of(counted(rows)))) for rows in parts])
    whole = counted([row for rows in parts for row in rows])
    whole.latency.total = together.latency.total  # of floats, in another order
    together.file.outcomes, whole.file.outcomes = +together.file.outcomes, +whole.file.outcomes
    assert state_of(together) == state_of(whole)
    assert together.spent == whole.spent


def test_adding_up_again_counts_nothing_twice() -> None:
    """The sum replaces what was there."""
    tally, part = Tally(0, 0), state_of(counted([("ok", 5, 1.0)]))
    for _ in range(3):
        sum_into(tally, [part, part])
    assert (tally.total, tally.answered, tally.latency.count, tally.file.answered) == (2, 2, 2, 2)


def test_an_earlier_run_counts_as_done_before() -> None:
    """Of a shard that nobody has taken up yet only what stands in its files counts."""
    tally = Tally(0, 0)
    sum_into(tally, [earlier(state_of(counted([("ok", 5, 1.0), ("failed", 0, 0.0)])))])
    assert (tally.total, tally.already, tally.answered, tally.file.failed) == (2, 1, 0, 1)
