"""When a late stream is worth a second attempt: what is learned, who bears witness, what it may cost."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.retry.hedging import GENERATION, LIFETIME, RECENT, SAVED, FirstTokens, Hedging, Unanswered
from anyfast_async.policies import Hedge


class Loud:
    """Notes who was asked for twice."""

    def __init__(self, hedging: Hedging) -> None:
        self.hedging = hedging
        self.gone: list[float] = []

    def sent(self, at: float) -> Unanswered:
        def go() -> bool:
            self.gone.append(at)
            self.hedging.take(0.0)
            return True

        return self.hedging.begin(at, go)


def quick(hedging: Hedging, count: int, at: float = 0.0) -> None:
    """Have so many streams answered in 20 ms."""
    for _ in range(count):
        hedging.answered(hedging.begin(at, lambda: False), at + 0.02, 0.02)


# -- what is learned -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-3, 1e3), min_size=20, max_size=400), st.sampled_from([0.5, 0.9, 0.97]))
def test_quantile_is_that_of_the_values(values: list[float], share: float) -> None:
    """To within 3 %, and never below: what is not exceeded is not late."""
    firsts = FirstTokens(share)
    for value in values:
        firsts.add(value, 0.0)

    found = firsts.quantile()

    if found is None:
        assert len(values) < 2 / (1 - share)
        return
    true = sorted(values)[math.ceil(round(len(values) * share, 6)) - 1]
    assert true <= found * 1.000001
    assert found <= true * 1.0301


@pytest.mark.parametrize(("after", "needed"), [("p50", 20), ("p90", 20), ("p97", 67), ("p99.9", 2000)])
def test_quantile_is_not_known_before_enough_is(after: str, needed: int) -> None:
    """Two of the values have to lie above it."""
    hedging = Hedging(Hedge(after=after))
    quick(hedging, needed - 1)
    assert hedging.after is None

    quick(hedging, 1)
    assert hedging.after == pytest.approx(0.02, rel=0.04)


def test_what_is_late_is_found_anew_with_every_sixteenth() -> None:
    """It takes a look at all that is known, so not with each."""
    hedging = Hedging(Hedge(after="p50"))
    quick(hedging, 20)
    before, changes = hedging.after, []
    for number in range(1, 50):
        hedging.answered(hedging.begin(0.0, lambda: False), 1.0 + number, 1.0 + number)
        if hedging.after != before:
            changes.append(number)
            before = hedging.after

    assert changes == [32, 48]


def test_old_values_are_forgotten() -> None:
    """By number, and by time, so that what is known is bounded and of today."""
    firsts = FirstTokens(0.9)
    for _ in range(GENERATION):
        firsts.add(1.0, 0.0)
    for _ in range(GENERATION):
        firsts.add(0.1, 1.0)
    assert firsts.quantile() == pytest.approx(1.0, rel=0.04)
    for _ in range(2):
        firsts.add(0.1, 2.0)
        for _ in range(GENERATION):
            firsts.add(0.1, 2.0)
    assert firsts.quantile() == pytest.approx(0.1, rel=0.04)

    firsts.add(0.2, 2.0 + LIFETIME)
    firsts.add(0.2, 2.0 + 2 * LIFETIME)
    assert firsts.quantile() is None
    assert len(firsts._now) + len(firsts._before) <= 2


def test_five_hundred_newer_ones_end_what_was_known_before() -> None:
    """No slow hour is remembered once a thousand streams have come after it, to the very stream."""
    firsts = FirstTokens(0.9)
    for value in [1.0] * 500 + [0.1] * 500:
        firsts.add(value, 0.0)
    assert firsts.quantile() == pytest.approx(1.0, rel=0.04)

    firsts.add(0.1, 0.0)
    assert firsts.quantile() == pytest.approx(0.1, rel=0.04)


def test_ten_quiet_minutes_end_what_was_known_before() -> None:
    """Counted from the first of those that are known; a second less does not."""
    for seconds, known_still in ((599.0, True), (600.0, False)):
        firsts = FirstTokens(0.9)
        for _ in range(100):
            firsts.add(1.0, 5.0)
        for _ in range(20):
            firsts.add(0.1, 5.0 + seconds)
        firsts.add(0.1, 5.0 + 2 * seconds)

        assert (firsts.quantile() == pytest.approx(1.0, rel=0.04)) is known_still


def test_odd_values_have_a_place() -> None:
    """A first token after no time at all, or after days."""
    firsts = FirstTokens(0.5)
    for value in [0.0, 1e9] * 20:
        firsts.add(value, 0.0)

    assert firsts.quantile() == pytest.approx(1e-4, rel=0.04)


# -- witnesses -------------------------------------------------------------------------------------------------------


def known(**fields: object) -> tuple[Hedging, Loud]:
    """What is known after 100 quick streams."""
    hedging = Hedging(Hedge(**fields))  # type: ignore[arg-type]
    quick(hedging, 100)
    return hedging, Loud(hedging)


def test_alone_and_after_a_quick_one() -> None:
    """With nothing else on its way, the one before is the witness."""
    hedging, loud = known()

    hedging.late(loud.sent(1.0))

    assert [1.0] == loud.gone


def test_not_alone_waits_for_one_that_was_sent_no_earlier() -> None:
    """An answer in time to an earlier one says nothing of the gateway as it is now; one to a later one does."""
    hedging, loud = known()
    earlier, late, later = loud.sent(0.99), loud.sent(1.0), loud.sent(1.01)
    hedging.late(late)
    assert [] == loud.gone

    hedging.answered(earlier, 1.01, 0.02)
    assert [] == loud.gone

    hedging.answered(later, 1.03, 0.02)
    assert [1.0] == loud.gone


def test_last_of_many_becomes_alone() -> None:
    """When all others are answered in time, the one that was sent last is asked for twice."""
    hedging, loud = known()
    others = [loud.sent(1.0) for _ in range(5)]
    last = loud.sent(1.001)
    hedging.late(last)
    for one in others:
        hedging.answered(one, 1.02, 0.02)

    assert [1.001] == loud.gone


def test_many_late_ones_are_a_slow_gateway() -> None:
    """From a quarter on nobody is asked for twice, until enough are answered in time again."""
    hedging, loud = known()
    slow = [loud.sent(1.0 + n / 100) for n in range(RECENT // 4 + 1)]
    for one in slow:
        hedging.late(one)
    hedging.answered(loud.sent(2.0), 2.02, 0.02)
    assert [] == loud.gone

    quick(hedging, RECENT, at=3.0)
    assert 1.0 in loud.gone


def test_a_quarter_of_the_last_32_is_not_yet_slow() -> None:
    """Eight of them may be late; a ninth is forgiven with the 32nd stream after it."""
    hedging, loud = known()
    for one in [loud.sent(1.0) for _ in range(9)]:
        hedging.late(one)
    quick(hedging, 23, at=20.0)
    assert [] == loud.gone

    quick(hedging, 1, at=20.0)
    assert 1.0 in loud.gone


def test_who_was_late_is_no_witness() -> None:
    """That it was sent later and has come shows nothing: everything may be slow."""
    hedging, loud = known()
    first, second, _ = loud.sent(1.0), loud.sent(2.0), loud.sent(2.5)
    hedging.late(first)
    hedging.late(second)
    hedging.answered(second, 10.0, 8.0)

    assert [] == loud.gone


def test_three_quarters_late_is_slow_whoever_says_it_first() -> None:
    """A stream counts as late from when it is, not from when it is answered."""
    hedging, loud = known()
    others = [loud.sent(1.0) for _ in range(9)]
    for one in others:
        hedging.late(one)
    for one in others:
        hedging.gone(one)
    hedging.late(loud.sent(5.0))

    assert [] == loud.gone


def test_answered_or_gone_is_nothing_to_ask_for() -> None:
    """A clock that rings too late, and a stream that has failed meanwhile."""
    hedging, loud = known()
    one, other, third = loud.sent(1.0), loud.sent(1.1), loud.sent(1.1)
    hedging.answered(one, 1.02, 0.02)
    hedging.late(one)
    hedging.late(other)
    hedging.gone(other)
    hedging.gone(third)
    quick(hedging, 1, at=5.0)

    assert [] == loud.gone


def test_second_attempt_that_could_not_be_made_is_made_later() -> None:
    """With the next answer there may be a place."""
    hedging, _ = known()
    asked: list[bool] = []

    def go() -> bool:
        asked.append(True)
        return len(asked) == 2

    hedging.late(hedging.begin(1.0, go))
    quick(hedging, 3, at=1.1)

    assert 2 == len(asked)


# -- what it costs ---------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 1.0), st.integers(0, 300))
def test_no_more_than_the_share_of_the_streams(budget: float, streams: int) -> None:
    """Whoever is late, and however often: a share of what was sent."""
    hedging = Hedging(Hedge(after=0.1, budget=budget))
    loud, draw = Loud(hedging), random.Random(streams)
    for number in range(streams):
        pending = loud.sent(float(number))
        if draw.random() < 0.2:
            hedging.late(pending)
        hedging.answered(pending, number + 0.5, 0.02)

    assert hedging.sent == len(loud.gone) <= budget * streams + 1e-9


def test_nothing_is_counted_before_the_first() -> None:
    """What ``stats()`` shows of hedges begins at zero."""
    hedging = Hedging(Hedge())
    assert (0, 0, 0.0) == (hedging.sent, hedging.won, hedging.tokens)


def test_quiet_hours_buy_no_storm() -> None:
    """What is saved up is bounded."""
    hedging = Hedging(Hedge(after=0.1, budget=1.0))
    quick(hedging, 1000)
    loud = Loud(hedging)
    for n in range(40):
        hedging.late(hedging.begin(1.0 + n, loud.sent(0.0).go))
        quick(hedging, 0)
    assert len(loud.gone) <= SAVED


def test_tokens_are_a_share_of_those_of_the_streams() -> None:
    """An attempt may cost as much as a usual answer, or as its prompt, if that is larger."""
    hedging = Hedging(Hedge(budget=0.1))
    for _ in range(20):
        hedging.used(100.0)

    assert 100.0 == hedging.afford(30.0)
    assert 150.0 == hedging.afford(150.0)
    assert hedging.afford(201.0) is None
    hedging.take(150.0)
    assert hedging.afford(30.0) is None
    hedging.settle(150.0, 90.0)
    assert 100.0 == hedging.afford(30.0)
    assert 110.0 == hedging.afford(110.0), "to the last token of the share"
    assert 90.0 == hedging.tokens


def test_answers_that_do_not_tell_are_average_ones() -> None:
    """If none tells, the number of attempts alone bounds them."""
    hedging = Hedging(Hedge(budget=0.1))
    hedging.used(None)
    assert 1e6 == hedging.afford(1e6)

    hedging.used(100.0)
    for _ in range(18):
        hedging.used(None)
    assert 100.0 == hedging.afford(0.0)


def test_unsent_costs_nothing() -> None:
    """An attempt for which a budget had no room after all."""
    hedging = Hedging(Hedge(after=0.1, budget=0.5))
    quick(hedging, 2)
    hedging.take(40.0)
    hedging.give_back(40.0)

    assert (0, 0.0, 1.0) == (hedging.sent, hedging.tokens, hedging._saved)


def test_another_loop_has_another_clock() -> None:
    """What was on its way is forgotten, how long first tokens take is not."""
    hedging, loud = known()
    hedging.late(loud.sent(1.0))
    loud.sent(1.0)
    after = hedging.after

    hedging.begin_anew()
    quick(hedging, 1)
    hedging.late(loud.sent(0.5))

    assert after == hedging.after
    assert [1.0, 0.5] == loud.gone
