"""Rate limits as arithmetic: in no 60 seconds is more taken than the limit."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.limits.rate_limit import PERIOD, SLOT, Learned, Spacing, Window


def run(limit: float, wanted: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Take amounts in order, each no earlier than its time and only when the window lets it; return (time, amount)."""
    window, now, taken = Window(limit), 0.0, []
    for at, amount in wanted:
        now = max(now, at)
        for _ in range(5):
            wait = window.wait(now, amount)
            if wait == 0:
                break
            now += wait
        else:
            pytest.fail("the window gave waits that lead nowhere")
        window.take(now, amount)
        taken.append((now, amount))
    return taken


def check_promise(limit: float, taken: list[tuple[float, float]]) -> None:
    """In every window of 60 s that ends at a taking, no more than the limit is taken, or one oversize amount alone."""
    first, total = 0, 0.0
    for last, (end, amount) in enumerate(taken):
        total += amount
        while taken[first][0] <= end - PERIOD:
            total -= taken[first][1]
            first += 1
        assert total <= limit * (1 + 1e-9) or first == last


@given(
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 1) | st.sampled_from([0.05, 1.0, 1.5])), max_size=60),
)
def test_no_window_takes_more_than_the_limit(limit: float, wanted: list[tuple[float, float]]) -> None:
    """With random weights and times the limit holds at every event; only an oversize amount goes, alone."""
    check_promise(limit, run(limit, sorted((at, share * limit) for at, share in wanted)))


@pytest.mark.parametrize("seed", range(5))
def test_long_runs_keep_the_promise(seed: int) -> None:
    """The same over thousands of takings, in bursts, at rest and under saturation."""
    rng = random.Random(seed)
    times = itertools.accumulate(rng.choice([0.0, 0.0, 0.01, 0.5, 30.0]) for _ in range(3000))
    limit = rng.choice([10, 60, 1000.5])
    check_promise(limit, run(limit, [(t, rng.choice([1, 1, 2.5, limit / 3])) for t in times]))


@pytest.mark.parametrize("limit", [1, 6, 60, 600, 6000])
def test_saturation_uses_the_limit(limit: int) -> None:
    """Under saturation at least 96 % of the limit is used, and never more than all of it."""
    taken = run(limit, [(0.0, 1.0)] * (limit * 20))
    minutes = taken[-1][0] / PERIOD
    assert 0.96 <= (len(taken) - limit) / limit / minutes <= 1.0
    check_promise(limit, taken)


def test_wait_is_exact() -> None:
    """The wait is until the slots that hold enough have gone: not a moment longer, and then it is 0."""
    window = Window(10)
    window.take(0.0, 6)
    window.take(30.0, 4)
    assert 0.0 == window.wait(40.0, 0)
    assert pytest.approx(PERIOD + SLOT - 40.0) == window.wait(40.0, 6)
    assert pytest.approx(30.0 + PERIOD + SLOT - 40.0) == window.wait(40.0, 7)
    assert window.wait(PERIOD + SLOT - 0.001, 6) > 0
    assert 0.0 == window.wait(PERIOD + SLOT, 6)


def test_oversize_waits_for_an_empty_window_and_fills_it() -> None:
    """A request above the whole limit goes when nothing is in the window, and then nothing else does."""
    assert [(0.0, 1), (pytest.approx(60.1), 25), (pytest.approx(120.2), 1)] == run(10, [(0.0, 1), (0.0, 25), (0.0, 1)])
    assert [(0.0, 25)] == run(10, [(0.0, 25)])


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 50), st.floats(-1, 2), st.floats(0, 100)), max_size=40))
def test_settling_keeps_the_sum_right(steps: list[tuple[float, float, float, float]]) -> None:
    """Corrected up or down, soon or late, the slots' sum counts: never below zero, zero when all are gone."""
    window, now, open_slots = Window(1000), 0.0, []
    for passed, amount, change, delay in steps:
        now += passed
        open_slots.append((now + delay, window.take(now, amount), amount * change))
        for entry in [e for e in open_slots if e[0] <= now]:
            open_slots.remove(entry)
            window.settle(now, entry[1], entry[2])
        assert pytest.approx(sum(s.amount for s in window._slots), abs=1e-6) == window.taken
        assert window.taken > -1e-6
    assert 0.0 == window.wait(now + 2 * PERIOD, 1000)
    assert 0.0 == window.taken


def test_settling_frees_and_fills() -> None:
    """What was not used is free at once, what was used beyond it is not; a slot that has gone stays gone."""
    window = Window(100)
    slot = window.take(0.0, 80)
    window.settle(5.0, slot, -60)
    assert 0.0 == window.wait(5.0, 80)
    window.settle(5.0, slot, 70)
    assert window.wait(5.0, 20) > 0
    window.settle(PERIOD + 1, slot, 1000)
    assert 0.0 == window.wait(PERIOD + 1, 100)


def test_settling_never_forgets_the_newest_slot() -> None:
    """A slot that has gone does not change the sum although others are there."""
    window = Window(100)
    old = window.take(0.0, 10)
    window.take(59.0, 10)
    window.settle(61.0, old, 50)
    assert 10.0 == window.taken


def test_memory_is_constant() -> None:
    """However much is taken, there are at most as many slots as tenths of a second in the window."""
    window = Window(1e9)
    for i in range(20_000):
        window.take(i * 0.01, 1)
    assert len(window._slots) <= PERIOD / SLOT + 2


# -- pace ------------------------------------------------------------------------------------------------------------


def paced(pace: Spacing, count: int, start: float = 0.0) -> list[float]:
    """Send as soon as the pace lets; return when."""
    now, sent = start, []
    for _ in range(count):
        now += pace.wait(now)
        assert pace.wait(now) == 0.0
        pace.take(now)
        sent.append(now)
    return sent


@pytest.mark.parametrize(("limit", "most"), [(60, 100), (600, 90), (1200, 80), (3000, 50), (60_000, 1000)])
def test_no_second_takes_much_more_than_its_share(limit: int, most: int) -> None:
    """In any second go a sixtieth of the limit, or fifty and a burst, whichever is more."""
    sent = paced(Spacing(limit), 3 * most)
    first = 0
    for last, at in enumerate(sent):
        while sent[first] <= at - 1:
            first += 1
        assert last - first + 1 <= most


@pytest.mark.parametrize("limit", [1200, 3000, 60_000])
def test_pace_of_a_large_limit_uses_it(limit: int) -> None:
    """Over a minute at least 96 % of a large limit go out."""
    assert paced(Spacing(limit), round(limit * 0.96))[-1] <= PERIOD


def test_small_limits_keep_their_bursts() -> None:
    """49 requests under a limit of 60 a minute go at once; a refusal within the limit ends that."""
    pace = Spacing(60)
    assert paced(pace, 49) == [0.0] * 49

    pace.tighten()
    sent = paced(pace, 5, 100.0)
    assert min(b - a for a, b in itertools.pairwise(sent)) >= 0.99


def test_late_timers_are_made_up_for() -> None:
    """Requests that go a few milliseconds late do not slow the pace down."""
    pace, now = Spacing(3000), 0.0
    for _ in range(1000):
        now += pace.wait(now) + 0.004
        pace.take(now)

    assert now == pytest.approx(1000 * pace.interval, rel=0.01)


def test_a_request_that_was_not_sent_leaves_the_pace_as_it_was() -> None:
    """What is given back keeps nobody waiting."""
    pace = Spacing(60)
    pace.tighten()
    pace.take(0.0)
    before = pace.wait(0.0)
    pace.take(0.0)
    pace.give_back()

    assert pace.wait(0.0) == pytest.approx(before)


# -- a limit that nobody stated --------------------------------------------------------------------------------------


def grant(learned: Learned, count: int, now: float) -> None:
    for _ in range(count):
        assert learned.wait(now) == 0.0
        learned.granted.take(now, 1)


def test_limit_is_learned_from_a_refusal_that_proves_it() -> None:
    """What was granted in the last minute is the limit; before the proof nothing is held back."""
    learned = Learned()
    grant(learned, 300, 0.0)
    learned.refused(6.0, proven=False)
    assert learned.wait(6.0) == 0.0

    learned.refused(16.0, proven=True)

    assert learned.wait(17.0) == pytest.approx(60.1 - 17.0)
    assert learned.wait(60.2) == 0.0


def test_few_grants_prove_nothing() -> None:
    """Fewer than ten granted requests may just have found what others left of the limit."""
    learned = Learned()
    grant(learned, 9, 0.0)
    learned.refused(16.0, proven=True)

    assert learned.wait(17.0) == 0.0


@pytest.mark.parametrize("few", [1, 9])
def test_as_few_grants_in_another_minute_are_the_limit(few: int) -> None:
    """Even one a minute: what is found twice was not just left by others."""
    learned = Learned()
    for now in (0.0, 70.0):
        grant(learned, few, now)
        learned.refused(now + 16.0, proven=True)

    assert learned.granted.limit == few


def test_learned_limit_is_doubted_ever_more() -> None:
    """After two minutes in which nothing was refused it grows by 2 percent, after each further one by 4, 8 ..."""
    learned, now = Learned(), 0.0
    grant(learned, 100, now)
    learned.refused(16.0, proven=True)
    limits: dict[float, float] = {}
    now = 16.0
    while now < 600:
        wait = learned.wait(now)
        limits.setdefault(learned.granted.limit, now)
        if wait == 0:
            learned.granted.take(now, 1)
        now += wait

    assert [*limits][:4] == [100, 102, pytest.approx(106.08), pytest.approx(114.57, abs=0.01)]
    assert [*limits.values()][1] >= 16 + 120


def test_refusal_confirms_a_learned_limit_at_once() -> None:
    """Once learned, a single refusal brings a limit that had grown back to what was granted."""
    learned = Learned()
    grant(learned, 100, 0.0)
    learned.refused(16.0, proven=True)
    learned.granted.limit = 120.0
    learned.refused(30.0, proven=False)

    assert learned.granted.limit == 100.0
