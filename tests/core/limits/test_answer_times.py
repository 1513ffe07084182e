"""How long answers take, step by step: the floor, and how sure it is."""

from __future__ import annotations

import math
import random

import pytest

from anyfast_async._core.limits.answer_times import Signal, Tracked


def step(signal: Signal, seconds: list[float]) -> float:
    """Give a step of answers; return by how many times the floor they took longer, as a logarithm."""
    signal.begin()
    signal.seconds.extend(seconds)
    signal.units.extend([1.0] * len(seconds))
    return signal.end()


def test_a_step_says_how_many_times_the_floor_its_answers_took() -> None:
    """Twice the seconds for a token are a logarithm of 0.69, whatever the lengths of the answers."""
    signal = Signal()
    step(signal, [1.0] * 12)
    signal.look(0.0)
    signal.begin()
    for tokens in (10.0, 200.0, 3.0):
        signal.seconds.append(2.0 * tokens)
        signal.units.append(tokens)

    assert signal.end() == pytest.approx(math.log(2))
    assert not signal.is_usual


def test_the_variance_is_that_of_the_mean() -> None:
    """Of 400 answers whose scatter is 1 it is 1/400."""
    chance, signal = random.Random(1), Signal()
    step(signal, [chance.expovariate(1.0) for _ in range(400)])

    assert signal.variance == pytest.approx(1 / 400, rel=0.3)


def test_a_floor_without_a_tail_is_doubted_once_the_tail_is_seen() -> None:
    """Twelve quick answers make a floor that is sure; the first slow ones say how little it was worth."""
    signal = Signal()
    step(signal, [0.5, 0.55] * 6)
    signal.look(0.0)
    sure = signal.floor.variance

    longer = step(signal, [0.5] * 58 + [5.5] * 6)

    assert signal.surprise > 50
    assert longer < 2 * math.sqrt(signal.variance + signal.floor.variance)
    assert signal.floor.variance > 50 * sure


def test_usual_scatter_surprises_nobody() -> None:
    """Answers of 0.5 to 1.5 s look now more, now less scattered by the dozen."""
    chance, signal = random.Random(2), Signal()
    surprises = 0
    for _ in range(200):
        step(signal, [chance.uniform(0.5, 1.5) for _ in range(12)])
        surprises += signal.surprise > 1

    assert surprises == 0


def test_what_is_seen_again_is_averaged_and_what_jumps_begins_anew() -> None:
    """A figure within chance moves the average by its share; one far beyond it takes its place."""
    tracked = Tracked()
    assert tracked.see(1.0, 0.01, 0.0) == 0.0
    assert tracked.see(1.1, 0.01, 0.0) == 0.0
    assert tracked.value == pytest.approx(1.05)

    assert tracked.see(3.0, 0.01, 0.0) == pytest.approx(1.95)
    assert tracked.value == 3.0
