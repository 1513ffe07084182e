"""When requests of a load test are due, and how loads are written."""

from __future__ import annotations

import itertools
import statistics
from random import Random

import click
import pytest

from anyfast_async.cli.bench.arrivals import Load, amounts, due


def test_constant() -> None:
    """A constant rate has equal gaps, and no error adds up over a day."""
    times = list(itertools.islice(due(Load(rate=3, arrivals="constant"), Random(1)), 259_201))

    assert times[:4] == [0.0, 1 / 3, 2 / 3, 1.0]
    assert times[-1] == 86_400


def test_poisson() -> None:
    """Poisson arrivals have gaps with the mean and the deviation of their rate, and are the same for one seed."""
    load = Load(rate=50, arrivals="poisson")
    times = list(itertools.islice(due(load, Random(7)), 50_000))
    gaps = [b - a for a, b in itertools.pairwise(times)]

    assert statistics.mean(gaps) == pytest.approx(0.02, rel=0.02)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.02)
    assert sum(gap > 0.02 for gap in gaps) / len(gaps) == pytest.approx(0.3679, rel=0.02)
    assert times[:100] == list(itertools.islice(due(load, Random(7)), 100))


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ("8", (8,)),
        ("0.5", (0.5,)),
        ("1,2,4", (1, 2, 4)),
        ("1..8", (1, 2, 4, 8)),
        ("1..10", (1, 2, 4, 8, 10)),
        ("3..3", (3,)),
        ("0.5..2", (0.5, 1, 2)),
    ],
)
def test_loads(text: str, loads: tuple[float, ...]) -> None:
    """A load is a number, several that grow, or a doubling."""
    assert amounts(text) == loads


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "2,1", "1,1", "1..", "..4", "4..1", "nan", "inf", "1,,2", "1e9"])
def test_no_loads(text: str) -> None:
    """Anything else is said to be none, with what to write."""
    with pytest.raises(click.BadParameter, match=r"is no load: write 8, or growing ones like 1,2,4, or 1\.\.64"):
        amounts(text)
