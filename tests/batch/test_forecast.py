"""What a batch will take: from counts, limits and a sample."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from statistics import fmean

import pytest

from anyfast_async import Limits
from anyfast_async.batch.forecast import Interval, _student, seconds_under, total_of

ROUNDS = 4000 if os.environ.get("ANYFAST_LONG") == "1" else 1000


@pytest.mark.parametrize(
    ("limits", "rows", "tokens", "seconds", "name"),
    [
        (Limits(concurrency=64), 640, 0, 20.0, "concurrency"),
        (Limits(concurrency=64), 1, 0, 2.0, "concurrency"),
        (Limits(concurrency="auto"), 640, 0, 20.0, "window"),
        (Limits(concurrency=1000, requests_per_minute=100), 1000, 0, 9 * 60 + 100 * 0.1 + 2, "requests_per_minute"),
        (Limits(concurrency=1000, requests_per_minute=3000), 300, 0, 300 * 0.02 + 2, "requests_per_minute"),
        (Limits(concurrency=1000, tokens_per_minute=1000), 10, 10_000, 9 * 60 + 2, "tokens_per_minute"),
        (Limits(concurrency=1, requests_per_minute=100, tokens_per_minute=1000), 10, 900, 20.0, "concurrency"),
    ],
)
def test_time_under_limits(limits: Limits, rows: int, tokens: int, seconds: float, name: str) -> None:
    """The slowest limit decides, and is named; answers take two seconds here."""
    found, limit = seconds_under(limits, rows, tokens, 2.0)

    assert (round(seconds, 6), name) == (round(found, 6), limit)


@pytest.mark.parametrize(("degrees", "quantile"), [(9, 1.8331), (14, 1.7613), (49, 1.6766), (1000, 1.6464)])
def test_students_quantiles(degrees: int, quantile: float) -> None:
    """The quantiles at 95 % are those of the printed tables."""
    assert quantile == pytest.approx(_student(0.95, degrees), abs=2e-3)


def test_what_is_certain() -> None:
    """All rows, or rows that are all alike, leave nothing open; few rows say nothing; what is known is not undercut."""
    values = [float(n) for n in range(20)]

    assert Interval(190, 190, 190) == total_of(values, 20)
    assert Interval(300, 300, 300) == total_of([3.0] * 50, 100)
    assert Interval(6, 6, 6) == total_of([1.0, 2.0, 3.0], 3)
    assert (None, None) == (total_of(values[:9], 1000), total_of([], 5))
    spread = total_of([0.0] * 49 + [1e6], 51)
    assert spread is not None
    assert spread.low == 1e6


def test_symmetric_counts_get_the_t_interval() -> None:
    """Without skewness the interval is the textbook's, with its correction for a finite population."""
    values = [100.0, 200.0] * 25
    error = 1.6766 * math.sqrt(2500 * 50 / 49 / 50) * math.sqrt(1 - 50 / 200)

    found = total_of(values, 200)

    assert found is not None
    expected = (200 * (150 - error), 200 * 150, 200 * (150 + error))
    assert expected == pytest.approx((found.low, found.estimate, found.high), rel=1e-3)


@pytest.mark.parametrize(
    ("draw", "least"),
    [
        (lambda r: r.gauss(500, 100), 0.88),
        (lambda r: r.expovariate(1 / 400), 0.88),
        (lambda r: min(1000, r.lognormvariate(5.5, 1)), 0.88),
        (lambda r: r.lognormvariate(5, 0.8), 0.85),
        (lambda r: r.lognormvariate(5, 1.2), 0.82),
    ],
)
def test_coverage(draw: Callable[[random.Random], float], least: float) -> None:
    """The interval of 50 rows of 5000 holds the true total in about nine samples of ten, also of skewed counts.

    The plain t interval holds it in 81 % of samples of the last of these populations.
    """
    chance = random.Random(3)
    population = [draw(chance) for _ in range(5000)]
    truth, rounds = fmean(population) * 5000, ROUNDS
    held = 0
    for _ in range(rounds):
        found = total_of(chance.sample(population, 50), 5000)
        assert found is not None
        held += found.low <= truth <= found.high

    assert least <= held / rounds <= 0.94, held / rounds
