"""What refusals teach of a limiter: arithmetic on given times, against limiters of every kind."""

from __future__ import annotations

import math
from collections import deque

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.limits.adaptive_window import AdaptiveWindow
from anyfast_async._core.limits.rate_limit import Slot
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.limits.throttle import Throttle
from anyfast_async._core.retry.suspicion import Suspicion


@attrs.frozen
class Sent:
    """A request that was let in."""

    at: float
    granted: Slot
    hold: int
    number: int
    first: bool


def send(throttle: Throttle, now: float) -> Sent:
    assert throttle.wait(now) == 0
    first = throttle.fresh
    return Sent(now, throttle.take(now), throttle.holds, throttle.number, first)


def refuse(throttle: Throttle, sent: Sent, now: float, row: Suspicion, asked: float | None = None) -> None:
    throttle.refused(sent, now, row, Refusal(asked, 0.0))
    throttle.left(sent)


def succeed(throttle: Throttle, sent: Sent, now: float) -> None:
    throttle.succeeded(sent, now, 64)
    throttle.left(sent)


def busy(throttle: Throttle, rate: float, now: float) -> float:
    """Have a scope answered for a while; return the time."""
    for _ in range(40):
        succeed(throttle, send(throttle, now), now)
        now += 1 / rate
    return now


# -- how long it holds -----------------------------------------------------------------------------------------------


def test_holds_double_up_to_a_minute() -> None:
    """Without a word of the server's: 1, 2, 4 ... 60 s, each after a request that went alone."""
    throttle, row, now, holds = Throttle(), Suspicion(), 0.0, []
    for _ in range(8):
        refuse(throttle, send(throttle, now), now, row)
        holds.append(throttle.held_until - now)
        now = throttle.held_until
    assert holds == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_is_up_to_a_fifth() -> None:
    """Clients that were refused together do not come back together."""
    throttle = Throttle()
    throttle.refused(send(throttle, 0.0), 0.0, Suspicion(), Refusal(None, 1.0))
    assert throttle.held_until == pytest.approx(1.2)


def test_first_hold_is_the_users() -> None:
    """Who knows the limiter says so; the next holds are twice as long."""
    throttle, row = Throttle(), Suspicion()
    for at, until in ((0.0, 20.0), (20.0, 60.0)):
        throttle.refused(send(throttle, at), at, row, Refusal(None, 0.0, first_hold=20))
        assert throttle.held_until == until


def test_one_row_alone_holds_for_the_time_of_ten() -> None:
    """A scope that is answered 100 times a second loses a tenth of one by the refusal of one row alone."""
    throttle = Throttle()
    now = busy(throttle, 100.0, 0.0)
    refuse(throttle, send(throttle, now), now, Suspicion())
    assert 0.05 <= throttle.held_until - now <= 0.15


def test_several_rows_hold_for_a_second() -> None:
    """Refusals of others at the same time show that it is no row's fault; hundreds granted, that it is no second's."""
    throttle = Throttle()
    now = busy(throttle, 100.0, 0.0)
    several = [send(throttle, now) for _ in range(5)]
    for sent in several:
        refuse(throttle, sent, now, Suspicion())
    assert (throttle.held_until - now, throttle.streak) == (1.0, 1)

    throttle = Throttle()
    several = [send(throttle, 0.0) for _ in range(300)]
    for sent in several[200:]:
        refuse(throttle, sent, 0.0, Suspicion())
    assert throttle.held_until == 2.0


def test_a_second_row_that_is_refused_is_waited_for_longer() -> None:
    """Two rows refused one after the other speak of a limiter of minutes: four seconds, not two."""
    throttle, now = Throttle(), 0.0
    for held in (1.0, 4.0):
        refuse(throttle, send(throttle, now), now, Suspicion())
        assert throttle.held_until - now == held
        now = throttle.held_until


def test_after_an_outage_one_goes_first() -> None:
    """A gateway that comes back is asked by one request, and by more with each that it answers."""
    throttle = Throttle()
    assert not throttle.ramps
    throttle.hold()
    assert not throttle.ramps
    first = send(throttle, 0.0)
    assert throttle.ramps
    assert throttle.wait(0.0) is None

    succeed(throttle, first, 1.0)
    send(throttle, 1.0)
    assert throttle.wait(1.0) == 0


@pytest.mark.parametrize(("asked", "held"), [(7.0, 7.0), (0.5, 0.5), (0.0, 0.05)])
def test_the_servers_delay_is_kept(asked: float, held: float) -> None:
    """It wins; but one that asks for next to none is not tried at once for ever."""
    throttle, row = Throttle(), Suspicion()
    refuse(throttle, send(throttle, 0.0), 0.0, row, asked)
    assert throttle.held_until == held
    refuse(throttle, send(throttle, held), held, row, asked)
    assert throttle.held_until - held == pytest.approx(max(asked, 0.1))


def test_a_delay_that_is_asked_of_one_row_of_many_is_that_rows() -> None:
    """A scope that is answered 100 times a second waits for the time of ten, then another row goes first."""
    throttle, row = Throttle(), Suspicion()
    now = busy(throttle, 100.0, 0.0)
    refuse(throttle, send(throttle, now), now, row, 30.0)
    assert 0.05 <= throttle.held_until - now <= 0.15
    assert (row.apart, row.goes_first) == (True, False)

    now = throttle.held_until
    for _ in range(2):
        succeed(throttle, send(throttle, now), now)
    assert (throttle.wait(now), row.outdone, row.strikes) == (0, True, 0)


def test_a_delay_that_is_asked_of_a_second_row_is_the_scopes() -> None:
    """One request more is spent on that; from then on the first refusal holds all for as long as the server asks."""
    throttle = Throttle()
    now = busy(throttle, 100.0, 0.0)
    refuse(throttle, send(throttle, now), now, Suspicion(), 30.0)
    now = throttle.held_until
    refuse(throttle, send(throttle, now), now, Suspicion(), 30.0)
    assert throttle.held_until - now == 30

    now = busy(throttle, 100.0, throttle.held_until)
    refuse(throttle, send(throttle, now), now, Suspicion(), 30.0)
    assert throttle.held_until - now == 30


def test_a_delay_that_several_are_asked_at_once_is_the_scopes() -> None:
    """What was on its way says so before another one tries."""
    throttle = Throttle()
    now = busy(throttle, 100.0, 0.0)
    for sent in [send(throttle, now) for _ in range(3)]:
        refuse(throttle, sent, now, Suspicion(), 30.0)
    assert throttle.held_until - now == 30


def test_the_length_that_worked_is_remembered() -> None:
    """A limiter that took requests again after 31 s is not tried after one second the next time."""
    throttle, row, now = Throttle(), Suspicion(), 0.0
    while now < 30:
        refuse(throttle, send(throttle, now), now, row)
        now = throttle.held_until
    succeed(throttle, send(throttle, now), now)
    refuse(throttle, send(throttle, now + 100), now + 100, Suspicion())
    succeeded = throttle.held_until - now - 100
    assert 1.0 <= succeeded <= 31.0


# -- which limiter it is ---------------------------------------------------------------------------------------------


def cascade(throttle: Throttle, granted: int, refused: int, now: float) -> list[Sent]:
    """Send many at once; return those that were granted."""
    sent = [send(throttle, now) for _ in range(granted + refused)]
    for one in sent[granted:]:
        refuse(throttle, one, now + 0.01, Suspicion())
    return sent[:granted]


def test_others_follow_at_the_rate_that_was_seen() -> None:
    """Six of 32 were granted at once: after the first success the others come a few a second, not all."""
    throttle = Throttle()
    for sent in cascade(throttle, 6, 26, 0.0):
        succeed(throttle, sent, 0.02)
    now = throttle.held_until
    succeed(throttle, send(throttle, now), now + 0.02)
    assert throttle.rate is not None
    assert 3 <= throttle.rate.per_second <= 8


def test_refused_while_others_are_in_flight_there_are_fewer_next_time() -> None:
    """The fifth at once is refused: four may be in flight, nothing pauses."""
    throttle = Throttle()
    for sent in cascade(throttle, 4, 12, 0.0):
        succeed(throttle, sent, 0.25)
    now = throttle.held_until
    succeed(throttle, send(throttle, now), now + 0.25)
    now, throttle.ceiling = now + 100, None
    at_once = []
    for _ in range(5):
        now += throttle.wait(now) or 0
        at_once.append(send(throttle, now))
    refuse(throttle, at_once.pop(), now, Suspicion())

    assert throttle.places is not None
    assert throttle.places.count == 4
    assert throttle.wait(now) is None
    succeed(throttle, at_once.pop(), now + 0.1)
    assert throttle.wait(now + 10) == 0

    refuse(throttle, send(throttle, now + 10), now + 10, Suspicion())
    assert throttle.places is not None, "one refusal more is about the number still, not the pace"
    assert throttle.places.count == 3


def test_the_end_of_refusals_is_heard_of_behind_answers_to_what_was_sent_before() -> None:
    """An answer from before a refusal does not end the watch: the next one shows that the limiter takes more again."""
    throttle, now = Throttle(), 0.0
    for sent in cascade(throttle, 50, 10, 0.0):
        succeed(throttle, sent, 0.5)
    while throttle.learned.granted.limit == math.inf:
        now = throttle.held_until
        refuse(throttle, send(throttle, now), now, Suspicion())
    now += 100
    for _ in range(64):
        succeed(throttle, send(throttle, now), now)
        now += 60
    assert not throttle.watching
    before = send(throttle, now)
    refuse(throttle, send(throttle, now), now, Suspicion())

    succeed(throttle, before, now + 0.1)
    assert (throttle.streak, throttle.watching) == (1, True)
    succeed(throttle, send(throttle, now + 70), now + 70)
    assert (throttle.streak, throttle.watching) == (0, False)


def test_minutes_of_refusals_teach_the_minutes_limit() -> None:
    """Ten seconds of refusals of several rows: what was granted in the last minute is the limit, and is waited for."""
    throttle, now = Throttle(), 0.0
    for sent in cascade(throttle, 50, 10, 0.0):
        succeed(throttle, sent, 0.5)
    now = 0.0
    for refused in range(1, 4):
        now = throttle.held_until
        refuse(throttle, send(throttle, now), now, Suspicion())
        assert throttle.learned.granted.limit == (50 if refused == 3 else math.inf)
    wait = throttle.wait(now)
    assert wait is not None
    assert now + wait == pytest.approx(60.1, abs=0.1)


def test_a_small_limit_is_waited_for_and_known_when_it_is_found_twice() -> None:
    """Of five in any minute four refusals are spent on finding that out, then few: twice the same is believed."""
    throttle, granted, refused, now = Throttle(), deque[float](), [], 0.0
    while now < 600:
        while granted and now - granted[0] >= 60:
            granted.popleft()
        sent = send(throttle, now)
        if len(granted) < 5:
            granted.append(now)
            succeed(throttle, sent, now + 0.1)
        else:
            refused.append(now)
            refuse(throttle, sent, now + 0.1, Suspicion())
        now += 0.2
        now += throttle.wait(now) or 0

    assert sum(at < 60 for at in refused) == 4
    assert 58 < throttle._worked <= 61
    assert throttle.learned.granted.limit <= 6
    assert len(refused) <= 12


def test_a_small_number_that_is_found_once_is_no_limit() -> None:
    """It may be what others have left of one: when they are gone, all is used at once."""
    throttle, now = Throttle(), 0.0
    for sent in cascade(throttle, 4, 4, 0.0):
        succeed(throttle, sent, 0.1)
    while not throttle.learned.granted.taken < 4:
        now = throttle.held_until
        if now > 60:
            break
        refuse(throttle, send(throttle, now), now, Suspicion())
    assert throttle.learned.granted.limit == math.inf
    assert 60 < throttle.held_until < 62


def test_one_row_alone_teaches_no_limit() -> None:
    """However long one row is refused: it may be the row."""
    throttle, row, now = Throttle(), Suspicion(), busy(Throttle(), 10.0, 0.0)
    busy(throttle, 10.0, 0.0)
    for _ in range(6):
        refuse(throttle, send(throttle, now), now, row)
        now = throttle.held_until
    assert throttle.learned.granted.limit == float("inf")


# -- whose fault it is -----------------------------------------------------------------------------------------------


def test_a_row_is_struck_when_two_that_were_sent_later_are_answered() -> None:
    """Refused, first after the hold and refused again, then others are answered: one strike, not before the second."""
    throttle, row = Throttle(), Suspicion()
    refuse(throttle, send(throttle, 0.0), 0.0, row)
    assert (row.goes_first, row.on_trial) == (True, False)
    refuse(throttle, send(throttle, 1.0), 1.0, row)
    assert (row.goes_first, row.on_trial) == (False, True)

    succeed(throttle, send(throttle, 3.0), 3.1)
    assert row.strikes == 0
    succeed(throttle, send(throttle, 3.2), 3.3)
    assert (row.strikes, row.on_trial) == (1, False)


def test_answers_to_what_was_sent_before_are_no_witnesses() -> None:
    """They say nothing of what the limiter takes now."""
    throttle, row = Throttle(), Suspicion()
    before = [send(throttle, 0.0) for _ in range(5)]
    refuse(throttle, send(throttle, 0.0), 0.0, row)
    now = throttle.held_until
    refuse(throttle, send(throttle, now), now, row)
    for sent in before:
        succeed(throttle, sent, now + 1)
    assert (row.strikes, row.on_trial) == (0, True)


def test_two_rows_refused_one_after_the_other_are_nobodys_fault() -> None:
    """A second row that goes first and is refused, too, acquits the one before it."""
    throttle, first, second = Throttle(), Suspicion(), Suspicion()
    refuse(throttle, send(throttle, 0.0), 0.0, first)
    refuse(throttle, send(throttle, 1.0), 1.0, first)
    told: list[str] = []
    first.on_verdict = lambda: told.append("first")
    refuse(throttle, send(throttle, 3.0), 3.0, second)

    assert told == ["first"]
    assert (first.on_trial, first.strikes, second.on_trial) == (False, 0, True)


def test_a_row_with_strikes_holds_nobody() -> None:
    """Neither its refusals hold the scope, nor do they teach anything; the pause before it is a moment."""
    throttle, row = Throttle(), Suspicion(strikes=1)
    now = busy(throttle, 20.0, 0.0)
    throttle.pause(now)
    assert throttle.held_until - now <= 0.6
    now = throttle.held_until
    sent = send(throttle, now)
    assert sent.first
    refuse(throttle, sent, now, row)

    assert (throttle.wait(now), throttle.streak, row.on_trial) == (0, 0, True)
    for _ in range(2):
        succeed(throttle, send(throttle, now), now)
    assert row.strikes == 2


def test_alone_its_refusals_count_unless_the_limiter_may_be_full() -> None:
    """With nobody left to be answered a struck row is judged by itself; not within a minute of a limiter's grants."""
    throttle, row = Throttle(), Suspicion(strikes=1)
    throttle.pause(0.0)
    now = throttle.held_until
    refuse(throttle, send(throttle, now), now, row)
    throttle.refused_alone(row, now)
    assert (row.strikes, row.on_trial) == (2, False)

    throttle, row = Throttle(), Suspicion(strikes=1)
    cascade(throttle, 20, 5, 0.0)
    throttle.ceiling = None
    for at, strikes in ((30.0, 1), (200.0, 2)):
        throttle.pause(at)
        refuse(throttle, send(throttle, throttle.held_until), at, row)
        throttle.refused_alone(row, at)
        assert row.strikes == strikes


def test_alone_a_row_is_judged_by_those_that_were_answered_meanwhile() -> None:
    """Or else by a minute in which nothing was granted: before that the limiter may be full. Then it holds nobody."""
    throttle, row = Throttle(), Suspicion(outdone=True)
    throttle.pause(0.0)
    refuse(throttle, send(throttle, throttle.held_until), 2.0, row, 1.0)
    throttle.refused_alone(row, 2.0)
    assert (row.strikes, throttle.wait(2.0)) == (1, 0)

    for since, strikes in ((30.0, 0), (70.0, 1)):
        throttle, row = Throttle(), Suspicion()
        now = busy(throttle, 10.0, 0.0) + since
        throttle.pause(now)
        now = throttle.held_until
        refuse(throttle, send(throttle, now), now, row)
        throttle.refused_alone(row, now)
        assert row.strikes == strikes


def test_alone_from_the_beginning_nothing_counts() -> None:
    """Where nobody was answered yet, nobody can tell a row from the limiter, however long that goes on."""
    throttle, row, now = Throttle(), Suspicion(), 0.0
    for _ in range(20):
        now = max(now, throttle.held_until)
        refuse(throttle, send(throttle, now), now, row)
        throttle.refused_alone(row, now)
        now += 61.0
    assert row.strikes == 0


def test_what_is_not_waited_for_holds_nobody() -> None:
    """A row that is told to come back tomorrow does not hold the others."""
    throttle = Throttle()
    sent = send(throttle, 0.0)
    throttle.ignored(sent)
    throttle.left(sent)
    assert throttle.wait(0.0) == 0


# -- whatever comes --------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "answer", "refuse", "refuse, asked", "pause"]), st.floats(0, 30), st.integers(0, 5)
    ),
    max_size=120,
)


@given(STEPS)
def test_counts_stay_right_and_every_wait_ends(steps: list[tuple[str, float, int]]) -> None:
    """Nothing in flight is lost, no hold is longer than 72 s, and with nothing in flight one may go after the wait."""
    throttle, now, flying, rows = Throttle(), 0.0, [], [Suspicion() for _ in range(6)]
    for what, passed, which in steps:
        now += passed
        match what:
            case "send" if throttle.wait(now) == 0:
                flying.append(send(throttle, now))
            case "answer" if flying:
                succeed(throttle, flying.pop(which % len(flying)), now)
            case "refuse" | "refuse, asked" if flying:
                asked = 5.0 if what == "refuse, asked" else None
                refuse(throttle, flying.pop(which % len(flying)), now, rows[which], asked)
            case "pause":
                throttle.pause(now)
        assert throttle.in_flight == len(flying)
        assert throttle.held_until - now <= 72
    for sent in flying:
        succeed(throttle, sent, now)
    wait = throttle.wait(now)
    assert wait is not None
    assert wait <= 200
    assert throttle.wait(now + wait) == pytest.approx(0, abs=1e-6)


def test_refusals_of_what_was_sent_before_count_one_by_one_for_a_window() -> None:
    """A window hears of answers from its first, and loses one place by each refusal of a cascade, not more."""
    throttle, window = Throttle(), AdaptiveWindow(32, 1, 64)
    throttle.adapt(window)
    assert throttle.watching

    sent = [send(throttle, 0.0) for _ in range(32)]
    for one in sent[:6]:
        refuse(throttle, one, 0.0, Suspicion())
    assert window.count == 26
