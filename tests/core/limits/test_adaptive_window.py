"""The window that finds what a gateway takes, as arithmetic: what makes it grow, shrink, and stay."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable

import pytest

from anyfast_async._core.limits.adaptive_window import EACH, FIRST, AdaptiveWindow


def fed(window: AdaptiveWindow, seconds: Callable[[int], float], answers: int, kind: int = EACH) -> list[int]:
    """Give the window answers that take so long with so many in flight; return its sizes."""
    sizes = []
    for number in range(answers):
        window.answered(window.count, kind, seconds(window.count), 1.0, number, number + window.count)
        sizes.append(window.count)
    return sizes


def slots(capacity: int) -> Callable[[int], float]:
    return lambda count: max(1.0, count / capacity)


@pytest.mark.parametrize("capacity", [4, 10, 33, 150])
def test_it_finds_the_capacity(capacity: int) -> None:
    """Answers that get slower above a capacity keep the window at it, within 15 % or one."""
    sizes = fed(AdaptiveWindow(4, 1, 1000), slots(capacity), 150 * capacity)[50 * capacity :]

    assert sum(sizes) / len(sizes) == pytest.approx(capacity, abs=max(1.0, 0.15 * capacity))


def test_it_doubles_while_nothing_gets_slower() -> None:
    """From its start it doubles with each round, and does not pass its most."""
    sizes = fed(AdaptiveWindow(4, 1, 100), slots(10**6), 3000)

    assert [size for size in (4, 8, 16, 32, 64, 100) if size not in sizes] == []
    assert max(sizes) == 100


def test_a_window_that_is_not_full_learns_nothing() -> None:
    """Where fewer are in flight than there may be, the time of answers says nothing of the window."""
    window = AdaptiveWindow(16, 1, 1000)
    for number in range(1000):
        window.answered(15, EACH, 1.0, 1.0, number, number)

    assert window.count == 16


def test_each_refusal_is_one_too_many() -> None:
    """Of 32 in flight 12 are refused: 20 are what it takes; it never goes below its least."""
    window = AdaptiveWindow(32, 3, 1000)
    for _ in range(12):
        window.refused()
    assert window.count == 20

    for _ in range(100):
        window.refused()
    assert window.count == 3


def test_what_does_not_get_better_with_fewer_is_the_new_floor() -> None:
    """Answers that take twice as long from now on, however few there are, do not shrink the window for good."""
    window = AdaptiveWindow(4, 1, 1000)
    fed(window, slots(40), 6000)

    sizes = fed(window, lambda count: 2 * slots(40)(count), 6000)

    assert sum(sizes[-2000:]) / 2000 == pytest.approx(40, rel=0.2)


def test_answers_of_any_length_count_by_the_token() -> None:
    """Twice the tokens in twice the time is not slower."""
    window = AdaptiveWindow(4, 1, 64)
    for number in range(4000):
        tokens = 100.0 if number % 3 else 900.0
        window.answered(window.count, EACH, tokens / 50, tokens, number, number + window.count)

    assert window.count >= 50


def test_answers_without_a_count_are_left_out() -> None:
    """An answer that does not say how many tokens it has says nothing."""
    window = AdaptiveWindow(4, 1, 64)
    for number in range(1000):
        window.answered(window.count, EACH, 1.0, 0.0, number, number)

    assert window.count == 4


def test_a_limiter_that_refuses_is_not_judged_by_the_time_of_answers() -> None:
    """Who refuses has no queue: a little slower is chance there."""
    window = AdaptiveWindow(32, 1, 1000)
    fed(window, lambda _: 1.0, 400)
    while window.count > 20:
        window.refused()

    sizes = fed(window, lambda _: 1.15, 400)

    assert min(sizes) >= 20


def test_nothing_is_slower_before_the_first_step() -> None:
    """As somebody may ask at any time."""
    assert AdaptiveWindow(4, 1, 10).slowed == 1.0


def test_at_its_most_it_still_looks_below() -> None:
    """Else the floor would be that of the first minutes for ever."""
    sizes = fed(AdaptiveWindow(4, 1, 100), slots(10**6), 20_000)[-10_000:]

    assert {80, 100} == {min(sizes), max(sizes)}


def test_a_small_window_looks_one_below() -> None:
    """A tenth of it would be nothing, and two of six are a third of the work."""
    sizes = fed(AdaptiveWindow(6, 1, 6), slots(10**6), 4000)

    assert {5, 6} == set(sizes)


def test_a_dozen_quick_answers_are_no_floor() -> None:
    """A tenth of the answers is eleven times slower, and none of those came first: the window opens all the same."""
    chance, window = random.Random(4), AdaptiveWindow(4, 1, 64)
    sizes = fed(window, lambda _: 0.5, 16)

    sizes += fed(window, lambda _: 0.5 if chance.random() < 0.9 else 5.5, 3000)

    assert min(sizes) >= 4
    assert sizes.index(64) < 600


@pytest.mark.parametrize("seed", range(3))
def test_a_tail_does_not_close_it(seed: int) -> None:
    """Nothing gets slower with more, and answers scatter much: a floor that was low by chance shuts nobody out."""
    chance, window = random.Random(seed), AdaptiveWindow(32, 1, 32)
    sizes = fed(window, lambda _: 0.5 if chance.random() < 0.9 else 5.5, 20_000)

    assert sum(sizes[2000:]) / len(sizes[2000:]) > 20


def test_it_grows_until_something_is_found() -> None:
    """While it doubles nobody can tell how fast those who wait will get on; at its most, or once found, one can."""
    window = AdaptiveWindow(4, 1, 1000)
    assert window.grows(0)

    fed(window, slots(16), 3000)
    assert not window.grows(3000)
    assert not AdaptiveWindow(8, 1, 8).grows(0)


def test_it_grows_no_more_when_answers_tell_nothing() -> None:
    """Once eight rounds of requests went, and no answer has said how long it took, it stays what it is."""
    window = AdaptiveWindow(4, 1, 1000)
    fed(window, slots(10**6), 100)
    newest, count = window.heard, window.count
    assert window.grows(newest + count)

    assert not window.grows(newest + 8 * count + 1)
    window.answered(count, EACH, 1.0, 1.0, newest + 8 * count, newest + 9 * count)
    assert window.grows(newest + 9 * count)
    assert not window.grows(0)  # another loop counts anew


# -- against a gateway with a queue ----------------------------------------------------------------------------------

WORK: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda _: 1.0,
    "uniform": lambda chance: chance.uniform(0.5, 1.5),
    "exponential": lambda chance: chance.expovariate(1.0),
}


def windows(capacity: Callable[[float], int], work: Callable[[random.Random], float], seconds: float) -> list[float]:
    """Send as many as the window lets to a gateway that works at *capacity* at once; return the window each second."""
    window, chance, now = AdaptiveWindow(4, 1, 1000), random.Random(7), 0.0
    ends, waiting, began = list[tuple[float, int]](), deque[int](), dict[int, float]()
    sizes, number = list[float](), 0
    while now < seconds:
        while len(began) < window.count:
            number += 1
            began[number] = now
            waiting.append(number)
        while waiting and len(ends) < capacity(now):
            heapq.heappush(ends, (now + work(chance), waiting.popleft()))
        before, (now, ended) = now, heapq.heappop(ends)
        sizes += [window.count] * (math.ceil(now) - math.ceil(before))
        in_flight = len(began)
        window.answered(in_flight, EACH, now - began.pop(ended), 1.0, ended, number)
    return sizes


def mean(sizes: list[float]) -> float:
    return sum(sizes) / len(sizes)


@pytest.mark.parametrize("seed", [10, 28, 39])
def test_a_limiter_with_a_tail_that_takes_more_than_before_is_followed(seed: int) -> None:
    """It refuses the 17th, later on the 33rd: slow answers by chance do not keep the window where it was."""
    window, chance, now = AdaptiveWindow(4, 1, 1000), random.Random(seed), 0.0
    ends, sizes, number = list[tuple[float, int, float]](), list[float](), 0
    while now < 300:
        while len(ends) < window.count:
            if len(ends) >= (16 if now < 150 else 32):
                window.refused()
                continue
            number += 1
            heapq.heappush(ends, (now + (0.5 if chance.random() < 0.9 else 5.5), number, now))
        before, in_flight, (now, ended, began) = now, len(ends), heapq.heappop(ends)
        sizes += [window.count] * (math.ceil(now) - math.ceil(before))
        window.answered(in_flight, EACH, now - began, 1.0, ended, number)

    assert mean(sizes[210:]) == pytest.approx(32, rel=0.1)


@pytest.mark.parametrize("capacity", [5, 16, 48])
@pytest.mark.parametrize("kind", WORK)
def test_of_a_gateway_that_queues_it_finds_what_is_worked_at_at_once(kind: str, capacity: int) -> None:
    """From the second minute on within a fifth or one, and half to twice of it at any time.

    Within half a minute it is near. Where answers are spread widely a step takes more of them, and more are in flight
    for not being sure: a quarter, and up to two and a half times as many.
    """
    sizes = windows(lambda _: capacity, WORK[kind], 400.0)
    is_spread = kind == "exponential"

    assert is_spread or sizes[30] >= 0.75 * capacity
    assert capacity / 2 <= min(sizes[60:]) <= max(sizes[60:]) <= (2.5 if is_spread else 2) * capacity
    assert mean(sizes[60:]) == pytest.approx(capacity, rel=0.25 if is_spread else 0.2, abs=1)


@pytest.mark.parametrize("kind", WORK)
@pytest.mark.parametrize("after", [8, 32])
def test_what_a_gateway_takes_may_halve_or_double(kind: str, after: int) -> None:
    """The window is there within a minute."""
    sizes = windows(lambda now: 16 if now < 150 else after, WORK[kind], 400.0)

    assert mean(sizes[60:150]) == pytest.approx(16, rel=0.25)
    assert mean(sizes[210:]) == pytest.approx(after, rel=0.2)
    assert after / 2 <= min(sizes[210:]) <= max(sizes[210:]) <= 2 * after


def test_a_slow_reader_is_no_full_gateway() -> None:
    """Streams that are read twice as slowly, whose first tokens come as soon as before, do not shrink the window."""
    window, sizes = AdaptiveWindow(4, 1, 64), list[int]()
    for number in range(6000):
        slow = 2.0 if number > 3000 else 1.0
        newest = number + window.count
        window.answered(window.count, FIRST, 0.1, 1.0, number, newest)
        window.answered(window.count, EACH, slow, 1.0, number, newest)
        sizes.append(window.count)

    assert min(sizes[3000:]) >= 48
