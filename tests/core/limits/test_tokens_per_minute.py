"""Tokens a minute: what calls take, and when they give back what they did not use; limits in simulated minutes."""

from __future__ import annotations

import heapq
import itertools
import math
import os
import random
from bisect import bisect_left, bisect_right
from typing import Any

import attrs
import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from anyfast_async._core.limits.token_estimate import Asked, Expected
from anyfast_async._core.limits.tokens_per_minute import Taken, Tokens

LONG = os.environ.get("ANYFAST_LONG") == "1"


def lined(tokens: Tokens, now: float, amount: float, longest: float) -> Taken:
    taken = tokens.take(now, amount)
    tokens.line_up(taken, longest)
    return taken


def test_what_was_reserved_in_full_is_given_back_at_once() -> None:
    """Nothing longer can come of such calls."""
    tokens = Tokens(1000)
    tokens.take(0.0, 400)
    tokens.settle(1.0, tokens.take(0.0, 400), 10)

    assert tokens.window.taken == 410


def test_short_answers_wait_for_those_before_them() -> None:
    """The second gives back when the first has ended; the third takes more than it had at once."""
    tokens = Tokens(1000)
    first, second, third = (lined(tokens, 0.0, 100, 500) for _ in range(3))
    tokens.settle(1.0, second, 10)
    assert tokens.window.taken == 300
    tokens.settle(2.0, third, 350)
    assert tokens.window.taken == 100 + 100 + 350
    tokens.settle(3.0, first, 20)
    assert tokens.window.taken == 20 + 10 + 350


def test_what_is_not_billed_is_given_back_at_once() -> None:
    """A refusal tells nothing of lengths."""
    tokens = Tokens(1000)
    lined(tokens, 0.0, 100, 500)
    tokens.settle(1.0, lined(tokens, 0.0, 100, 500), 0)

    assert tokens.window.taken == 100


def test_what_nobody_knows_stays_reserved_and_holds_up_nobody() -> None:
    """A call that ended without a word of what it used."""
    tokens = Tokens(1000)
    first, second = (lined(tokens, 0.0, 100, 500) for _ in range(2))
    tokens.settle(1.0, second, 10)
    first.ended = True

    assert tokens.wait(1.0, 890) == 0.0
    assert tokens.window.taken == 110


def test_a_call_that_lasts_is_a_long_one() -> None:
    """After 20 s those behind it give back, and it takes what such a call may use; who waits is told when to look."""
    tokens = Tokens(1000)
    first, second = (lined(tokens, 0.0, 300, 600) for _ in range(2))
    tokens.settle(1.0, second, 100)

    assert tokens.wait(5.0, 500) == 15.0
    tokens.wait(20.0, 500)
    assert tokens.window.taken == 600 + 100
    tokens.settle(30.0, first, 50)
    assert tokens.window.taken == 50 + 100


def test_disbanded_nobody_waits_for_calls_of_a_loop_that_is_closed() -> None:
    """What they took stays taken."""
    tokens = Tokens(1000)
    lined(tokens, 0.0, 100, 500)
    tokens.disband()
    tokens.settle(1.0, lined(tokens, 0.0, 100, 500), 10)

    assert tokens.window.taken == 110


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "line up", "settle", "lose"]), st.floats(0, 0.7), st.integers(1, 200)),
    max_size=80,
)


@any_of(STEPS)
def test_nothing_is_lost_or_counted_twice(steps: list[tuple[str, float, int]]) -> None:
    """When all have ended the minute counts what was used, and of what nobody knows, what is reserved for it."""
    tokens, now = Tokens(1e9), 0.0
    flying, lost = list[Taken](), list[Taken]()
    used = 0
    for what, passed, amount in steps:
        now += passed
        match what:
            case "take":
                flying.append(tokens.take(now, amount))
            case "line up":
                flying.append(lined(tokens, now, amount, 2 * amount))
            case "settle" if flying:
                tokens.settle(now, flying.pop(amount % len(flying)), amount)
                used += amount
            case "lose" if flying:
                lost.append(flying.pop(0))
                lost[-1].ended = True
    for taken in flying:
        tokens.settle(now, taken, 7)
    tokens.wait(now, 0)

    assert tokens.window.taken == pytest.approx(used + 7 * len(flying) + sum(taken.tokens for taken in lost))


# -- in simulated minutes --------------------------------------------------------------------------------------------


@attrs.frozen
class Minutes:
    """What a run of simulated minutes came to."""

    over: float
    """Share of the windows in which more was used than the limit."""
    by: float
    share: float
    """Of the limit that was used, from the third minute on."""


def simulated(limit: int, cap: int, median: float, seed: int, latency: str, *, given: bool) -> Minutes:
    """Send as fast as the limit lets, log-normal answers of sigma 1 that take up to five seconds."""
    rand, tokens, expected = random.Random(seed), Tokens(limit), Expected()
    max_tokens = cap if given else None
    now, order, prompt = 0.0, itertools.count(), Asked({"text": 10.0}, {"text": 10.0})
    ends: list[Any] = []
    used: list[tuple[float, float]] = []
    while now < 300:
        while ends and ends[0][0] <= now:
            _, _, taken, length, pending = heapq.heappop(ends)
            tokens.settle(now, taken, 10 + length)
            expected.end(pending, 1, now, length)
            expected.asked(prompt, 10)
        need = expected.likely(prompt, max_tokens, 1, limit)
        wait = tokens.wait(now, need)
        if wait == 0:
            taken = tokens.take(now, need)
            longest = expected.longest(prompt, max_tokens, 1)
            if longest is not None:
                tokens.line_up(taken, longest)
            assert tokens.window.taken <= limit * (1 + 1e-9)
            length = max(1, min(cap, round(rand.lognormvariate(math.log(median), 1))))
            takes = {"any": rand.uniform(0.5, 5), "by length": 0.3 + 4.5 * length / cap, "same": 5.0}[latency]
            used.append((now, 10 + length))
            heapq.heappush(ends, (now + takes, next(order), taken, length, expected.begin(max_tokens, now)))
            continue
        now = min([now + wait, *(end[0] for end in ends[:1])])
    times, sums = [at for at, _ in used], [0.0]
    for _, amount in used:
        sums.append(sums[-1] + amount)
    minutes = [sums[i + 1] - sums[bisect_right(times, times[i] - 60)] for i in range(len(times))]
    over = [minute / limit - 1 for minute in minutes if minute > limit]
    steady = sums[bisect_left(times, 300)] - sums[bisect_left(times, 120)]
    return Minutes(len(over) / len(minutes), max(over, default=0.0), steady / (limit * 3))


@pytest.mark.slow
@pytest.mark.parametrize("latency", ["any", "by length", "same"])
@pytest.mark.parametrize("shorter", [20, 8, 2])
@pytest.mark.parametrize("caps", [50, 200])
def test_tokens_of_any_minute(caps: int, shorter: int, latency: str) -> None:
    """Used: at most 1 % of the windows over, by 5 %, and 85 % of the limit; with max_tokens no less than without.

    Reserved never is more than the limit.
    """
    cap = 2000
    for seed in range(12 if LONG else 1):
        with_cap, without = (
            simulated(caps * cap, cap, cap / shorter, seed, latency, given=given) for given in (True, False)
        )
        for found, least in ((with_cap, 0.95), (without, 0.85)):
            assert found.over <= 0.01
            assert found.by <= 0.05
            assert found.share >= least
        assert with_cap.share >= without.share
