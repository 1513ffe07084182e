"""How long answers are, learned in the order in which they were asked for."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.limits.answer_lengths import Lengths


def test_lengths_are_learned_in_the_order_of_sending() -> None:
    """Short answers come first: they count when those sent before them have ended."""
    lengths = Lengths()
    long, *short = [lengths.begin(0.0) for _ in range(10)]
    for one in short:
        lengths.end(1.0, one, 5)
    assert lengths.seen == 0

    lengths.end(50.0, long, 900)
    assert (10, 900) == (lengths.seen, lengths.upper())


def test_a_call_that_hangs_counts_as_one_of_the_longest() -> None:
    """After a minute nobody waits for it, and when it ends at last it is not counted again."""
    lengths = Lengths()
    known = lengths.begin(0.0)
    lengths.end(0.0, known, 700)
    hanging, later = lengths.begin(0.0), lengths.begin(1.0)
    lengths.end(61.0, later, 5)
    assert (3, 700) == (lengths.seen, lengths.upper())

    lengths.end(500.0, hanging, 5)
    assert lengths.seen == 3


def test_failed_calls_teach_nothing() -> None:
    """An answer whose length nobody told does not hold up what came after it."""
    lengths = Lengths()
    failed, good = lengths.begin(0.0), lengths.begin(0.0)
    lengths.end(1.0, good, 5)
    lengths.end(1.0, failed, None)

    assert (1, 5) == (lengths.seen, lengths.upper())


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=1200))
def test_upper_is_exact_over_the_last_ones(values: list[int]) -> None:
    """It is the 97 % quantile of the last 512 lengths."""
    lengths = Lengths()
    for value in values:
        lengths.end(0.0, lengths.begin(0.0), value)

    kept = sorted(values[-512:])
    assert lengths.upper() == kept[int(0.97 * len(kept))]


@given(st.lists(st.integers(1, 100_000), min_size=8, max_size=1200), st.integers(0, 40))
def test_share_is_the_mean_and_a_margin_that_shrinks_with_those_in_flight(values: list[int], flying: int) -> None:
    """Of the last 512, by the usual formulas."""
    lengths = Lengths()
    for value in values:
        lengths.end(0.0, lengths.begin(0.0), value)
    for _ in range(flying):
        lengths.begin(0.0)

    kept = values[-512:]
    margin = 2 / math.sqrt(flying + 1) + 3 / math.sqrt(len(kept))
    expected = statistics.fmean(kept) + statistics.stdev(kept) * margin
    assert lengths.share(2.0) == pytest.approx(expected, rel=1e-6, abs=0.1)


def test_share_of_few_is_the_longest() -> None:
    """Seven answers tell no mean."""
    lengths = Lengths()
    for value in (10, 10, 10, 10, 10, 10, 900):
        lengths.end(0.0, lengths.begin(0.0), value)

    assert lengths.share(2.0) == 900
