"""Is it the row, or the gateway? Who tries whether it is back, and who is sent again at whose cost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from anyfast_async._core.retry.outage import IN_A_ROW, RESENDS, Outage, Resends

LONGEST = 30.0


class Row:
    """A row, which is no more than itself."""


def rows(count: int) -> list[Row]:
    return [Row() for _ in range(count)]


def fail(outage: Outage, row: Row, now: float = 0.0, *, reached: bool = True, rand: float = 0.0) -> bool:
    """A failure; whether the gateway is taken to be away then."""
    outage.failed(now, row, reached=reached, longest=LONGEST, rand=rand)
    return outage.since is not None


def away(*of: Row, now: float = 0.0) -> Outage:
    """A scope that is away: three failures at *now*, of rows one after the other."""
    outage = Outage()
    for row in itertools.islice(itertools.cycle(of or rows(3)), IN_A_ROW):
        fail(outage, row, now)
    assert outage.since == now
    return outage


# -- when it is one --------------------------------------------------------------------------------------------------


def test_three_failures_of_two_rows_are_an_outage() -> None:
    """Not two, and not before the first answer alone: nothing else need have been seen."""
    first, second = rows(2)
    outage = Outage()

    assert [False, False, True] == [fail(outage, row) for row in (first, second, first)]


def test_one_row_alone_is_at_fault_itself() -> None:
    """However often it fails."""
    outage, row = Outage(), Row()

    assert not any(fail(outage, row) for _ in range(100))


def test_not_getting_through_is_never_about_one_row() -> None:
    """Nothing is sent: with a server that was met before, three failures to connect of one row are enough."""
    outage, row = Outage(), Row()
    outage.succeeded(0.0)

    assert [False, False, True] == [fail(outage, row, reached=False) for _ in range(3)]


def test_address_that_was_never_reached_is_not_waited_for() -> None:
    """A wrong address looks just the same, and waiting for it would help nobody."""
    outage = Outage()

    assert not any(fail(outage, row, reached=False) for row in rows(100))
    assert fail(outage, Row()), "somebody is there"


def test_a_refusal_shows_that_somebody_is_there() -> None:
    """After any answer three failures to connect are an outage, of one row too."""
    outage, row = Outage(), Row()
    assert (False, 0) == (outage.answered(), outage.successes)

    assert [False, False, True] == [fail(outage, row, reached=False) for _ in range(3)]


def test_success_where_nothing_failed_wakes_nobody() -> None:
    """There is nothing to end; it is counted."""
    outage = Outage()
    assert (False, 1) == (outage.succeeded(0.0), outage.successes)


def test_success_in_between_shows_that_it_is_the_rows() -> None:
    """Rows that fail while others, sent since, succeed never make an outage."""
    outage = Outage()
    for now in range(100):
        assert not fail(outage, Row(), now)
        assert not fail(outage, Row(), now)
        assert not outage.succeeded(now + 0.5)


def test_answer_that_was_on_its_way_says_nothing_of_now() -> None:
    """A success that was sent before the first failure does not break the stretch."""
    outage = Outage()
    for row in rows(2):
        fail(outage, row, 5.0)
    outage.succeeded(4.9)

    assert fail(outage, Row(), 6.0)
    assert (False, 6.0) == (outage.succeeded(4.9) and outage.since is None, outage.since)
    assert outage.succeeded(6.1)
    assert None is outage.since


# -- who tries -------------------------------------------------------------------------------------------------------


def test_probes_are_ever_less_often() -> None:
    """1, 2, 4 ... 30 s apart, each counted from when the one before it has failed."""
    outage, waiting = away(), rows(2)
    for row in waiting:
        outage.enter(row, sent=True)

    now, probes = 0.0, list[float]()
    while now < 600:
        waits = [outage.wait(now, row, LONGEST) for row in waiting]
        if 0 in waits:
            probes.append(now)
            probing = waiting[waits.index(0)]
            fail(outage, probing, now)
            now += min(wait for wait in (outage.wait(now, row, LONGEST) for row in waiting) if wait > 0)
        else:
            now += min(waits)

    assert [1.0, 3.0, 7.0, 15.0, 31.0, 61.0] == probes[:6]
    assert {30.0} == {later - earlier for earlier, later in itertools.pairwise(probes[5:])}


@pytest.mark.parametrize(("longest", "waits"), [(30.0, [1.0, 2.4, 4.8, 9.6]), (3.0, [1.0, 2.4, 3.6, 3.6])])
def test_probes_of_many_clients_do_not_come_together(longest: float, waits: list[float]) -> None:
    """Up to a fifth more, by chance; the first comes after a second, and none later than the longest allows."""
    outage, waiting = Outage(), rows(2)
    for row in (*waiting, waiting[0]):
        outage.failed(0.0, row, reached=True, longest=longest, rand=1.0)
    for row in waiting:
        outage.enter(row, sent=True)

    now, found = 0.0, list[float]()
    for row in itertools.islice(itertools.cycle(waiting), 4):
        found.append(outage.wait(now, row, longest))
        now += found[-1]
        assert 0.0 == outage.wait(now, row, longest)
        outage.failed(now, row, reached=True, longest=longest, rand=1.0)

    assert waits == pytest.approx(found)


def test_second_outage_begins_from_the_start() -> None:
    """With a second until its first probe and two until the next, whatever the one before had come to."""
    outage, waiting = away(), rows(2)
    for row in waiting:
        outage.enter(row, sent=True)
    now = 0.0
    for row in itertools.islice(itertools.cycle(waiting), 4):
        now += outage.wait(now, row, LONGEST)
        assert 0.0 == outage.wait(now, row, LONGEST)
        fail(outage, row, now)
    assert outage.answered()

    for row in (*waiting, waiting[0]):
        fail(outage, row, 100.0)
    assert {0, 1} == outage.outages
    assert 1.0 == outage.wait(100.0, waiting[0], LONGEST)
    assert 0.0 == outage.wait(101.0, waiting[0], LONGEST)
    fail(outage, waiting[0], 101.0)
    assert 2.0 == outage.wait(101.0, waiting[1], LONGEST)


def test_probe_that_hangs_does_not_keep_the_next_one() -> None:
    """After the longest wait another row tries, while the first is still on its way."""
    outage, waiting = away(), rows(2)
    for row in waiting:
        outage.enter(row, sent=True)

    assert [0.0, LONGEST] == [outage.wait(1.0, row, LONGEST) for row in waiting]
    outage.leave(waiting[0])
    assert 0.5 == outage.wait(LONGEST + 0.5, waiting[1], LONGEST)
    assert 0.0 == outage.wait(LONGEST + 1.0, waiting[1], LONGEST)


def test_row_that_was_never_sent_tries_first() -> None:
    """It has not been paid for yet, whoever asks first."""
    outage, (sent, fresh) = away(), rows(2)
    outage.enter(sent, sent=True)
    outage.enter(fresh, sent=False)

    assert 0 < outage.wait(1.0, sent, LONGEST)
    assert 0 == outage.wait(1.0, fresh, LONGEST)


def test_turn_of_a_row_that_is_cancelled_goes_to_another() -> None:
    """Its place is free at once."""
    outage, (first, second) = away(), rows(2)
    outage.enter(first, sent=False)
    outage.enter(second, sent=True)
    assert 0 < outage.wait(1.0, second, LONGEST)

    assert outage.leave(first)

    assert 0 == outage.wait(1.0, second, LONGEST)


def test_only_a_probe_that_failed_is_news() -> None:
    """Requests that were on their way when the outage began wake nobody."""
    outage, (first, second) = away(), rows(2)
    outage.enter(first, sent=True)

    assert not outage.failed(0.5, second, reached=True, longest=LONGEST, rand=0.0)
    assert 0.0 == outage.wait(1.0, first, LONGEST)
    assert outage.failed(1.5, first, reached=True, longest=LONGEST, rand=0.0)


def test_who_leaves_without_the_turn_wakes_nobody() -> None:
    """The row whose turn it is keeps it."""
    outage, (first, second) = away(), rows(2)
    outage.enter(first, sent=False)
    outage.enter(second, sent=True)
    assert 0 < outage.wait(1.0, second, LONGEST)

    assert not outage.leave(second)
    assert 0 == outage.wait(1.0, first, LONGEST)


def test_old_answer_lets_one_more_try() -> None:
    """Somebody is at work there still: it may be the rows; once a probe has failed it is not."""
    outage, waiting = away(now=5.0), rows(2)
    for row in waiting:
        outage.enter(row, sent=True)
    assert 1.0 == outage.wait(5.0, waiting[0], LONGEST)

    assert outage.succeeded(4.0)
    assert 0.0 == outage.wait(5.0, waiting[0], LONGEST)
    fail(outage, waiting[0], 5.1)

    assert not outage.succeeded(4.0)
    assert 0.0 < outage.wait(5.2, waiting[1], LONGEST)


def test_who_has_a_place_already_may_try_when_one_is_due() -> None:
    """As a row that waited for admission while the outage began; but not before, and not twice in a row."""
    outage, row = away(), Row()

    assert [False, True] == [outage.take(now, row, LONGEST) for now in (0.5, 1.0)]
    fail(outage, row, 1.0)
    assert [False, True] == [outage.take(100.0, one, LONGEST) for one in (row, Row())]


def test_answer_that_is_no_success_ends_it_too() -> None:
    """The gateway refuses, so it is there."""
    outage = away()

    assert outage.answered()
    assert not outage.answered()


class Scope(RuleBasedStateMachine):
    """Rows of one scope that fail, are answered, wait and are cancelled, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.outage, self.now, self.rows = Outage(), 100.0, rows(5)
        self.streak: list[Row] = []
        self.waiting: dict[Row, bool] = {}
        self.last: Row | None = None

    @rule(number=st.integers(0, 4), sent=st.booleans())
    def fails(self, number: int, sent: bool) -> None:
        """An outage begins only after three failures of at least two rows."""
        row, before = self.rows[number], self.outage.since
        self.streak.append(row)
        if fail(self.outage, row, self.now):
            if before is None:
                assert len(self.streak) >= IN_A_ROW
                assert len(set(self.streak)) > 1
                self.last = None
            if row not in self.waiting:
                self.waiting[row] = sent
                self.outage.enter(row, sent=sent)

    @rule(age=st.floats(0, 3))
    def old_answer(self, age: float) -> None:
        """What was sent long ago ends nothing."""
        before = self.outage.since
        self.outage.succeeded(50 - age)
        assert before == self.outage.since

    @rule()
    def new_answer(self) -> None:
        """What was sent since ends it, always."""
        self.outage.succeeded(self.now)
        assert None is self.outage.since
        self.streak.clear()

    @rule(number=st.integers(0, 4))
    def cancelled(self, number: int) -> None:
        if self.waiting.pop(self.rows[number], None) is not None:
            self.outage.leave(self.rows[number])

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def all_ask(self) -> None:
        """One tries, one that was never sent if there is one, and none twice in a row while another waits."""
        asked = {row: self.outage.wait(self.now, row, LONGEST) for row in self.waiting}
        asked |= {row: self.outage.wait(self.now, row, LONGEST) for row, wait in asked.items() if wait > 0}
        going = [row for row, wait in asked.items() if wait == 0]
        if self.outage.since is None:
            assert going == list(self.waiting)
        elif going:
            (row,) = going
            assert not self.waiting[row] or all(self.waiting.values())
            assert row is not self.last or not self.waiting[row] or len(self.waiting) == 1
            self.last = row
        elif self.waiting:
            assert max(asked.values()) <= LONGEST, "somebody always tries in the end"
        for row in going:
            del self.waiting[row]
            self.outage.leave(row)
        self.now += 0.01


TestWhateverHappens = Scope.TestCase
TestWhateverHappens.settings = settings(stateful_step_count=40)


# -- who is sent again -----------------------------------------------------------------------------------------------


def allowed(*stretches: int, outages: set[int]) -> list[bool]:
    """Whether a row is sent again after each of its failures."""
    resends, found = Resends(), list[bool]()
    for stretch in stretches:
        resends.failed(stretch)
        found.append(resends.allow(outages))
    return found


def test_failure_of_its_own_is_met_with_one_resend() -> None:
    """Then it fails, whether the gateway worked in between or not."""
    assert [True, False] == allowed(0, 0, outages=set())
    assert [True, False] == allowed(0, 7, outages=set())


def test_each_outage_is_met_with_one_resend_and_three_at_most() -> None:
    """Failures before it was recognised belong to it."""
    assert [True] * 3 + [False] == allowed(1, 2, 3, 4, outages={1, 2, 3, 4})
    assert [True] * 3 == allowed(1, 1, 1, outages={1})
    assert [True] * 3 + [False] == allowed(1, 2, 9, 9, outages={1, 2})
    assert [True] * 3 + [False] == allowed(9, 1, 2, 3, outages={1, 2, 3})


@pytest.mark.parametrize("outages", [set[int](), {1, 2}, {0, 1, 2, 3, 4, 5}])
@given(stretches=st.lists(st.integers(0, 5), max_size=12))
def test_resends_are_bounded(outages: set[int], stretches: list[int]) -> None:
    """Whatever a row meets: one resend for each outage, one of its own, three in all."""
    met = set[int]()
    own = 0
    for allow, stretch in zip(allowed(*sorted(stretches), outages=outages), sorted(stretches), strict=True):
        if stretch in outages:
            met.add(stretch)
        else:
            own += 1
        assert allow == (own <= 1 and own + len(met) <= RESENDS)
