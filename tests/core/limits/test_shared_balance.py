"""What a client has of a shared quota, and what it tells the store: a given answer, then arithmetic."""

from __future__ import annotations

from collections import deque

import pytest

from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._core.limits.shared_quota import Question, SharedQuota, StoreReply


def test_a_new_client_goes_as_soon_as_a_store_has_granted_it() -> None:
    """What it gets with the first answer may be used at once: nobody who has told all is asked twice."""
    ours = SharedBalance(requests=600, tokens=1000, places=8, client="a")
    question = ours.question(0.0, [100.0], 1)
    assert question is not None
    ours.take_in(0.0, 0.01, question, StoreReply(born=77, held=1, permits=((0, 5),)))

    assert (ours.state, ours.wait(0.01, 100.0)) == ("near", 0.0)


@pytest.mark.parametrize(
    ("requests", "tokens", "told"),
    [(600, 1000, (2, 500)), (600, None, (2, 0)), (None, 1000, (0, 500))],
)
def test_what_was_taken_without_the_store_is_told_as_far_as_it_is_limited(
    requests: int | None, tokens: int | None, told: tuple[int, int]
) -> None:
    """Requests and tokens that went meanwhile count in the minute that all share; what has no limit is not counted."""
    ours = SharedBalance(requests=requests, tokens=tokens, places=8, client="a", state="away")
    for amount in (200.0, 300.0):
        assert 0.0 == ours.wait(0.0, amount)
        ours.take(0.0, amount)

    assert [told] == [one[1:] for one in ours.hello(10.0).history]


def test_what_may_have_been_given_back_is_not_given_back_twice() -> None:
    """After an answer that was lost, and longer than the store remembers, only what was used beyond is told again."""
    ours = SharedBalance(requests=600, tokens=1000, places=8, client="a")
    question = ours.question(0.0, [100.0, 100.0], 2)
    assert question is not None
    ours.take_in(0.0, 0.0, question, StoreReply(born=77, held=2, permits=((0, 5), (0, 6))))
    ours.undo(ours.take(0.0, 100.0))
    ours.correct(ours.take(0.0, 100.0), 0, 50.0)
    assert ours.news(0.0).corrections == ((5, -1, -100), (6, 0, 50))

    ours.lose(1.0, 0.0, None, 0.1)
    assert ours.hello(2.0).corrections == ((5, -1, -100), (6, 0, 50))
    assert ours.hello(60.0).corrections == ((6, 0, 50),)


def test_requests_that_may_have_been_given_back_are_not_given_back_twice() -> None:
    """The same where tokens have no limit."""
    ours = SharedBalance(requests=600, tokens=None, places=8, client="a")
    question = ours.question(0.0, [0.0], 1)
    assert question is not None
    ours.take_in(0.0, 0.0, question, StoreReply(born=77, held=1, permits=((0, 5),)))
    ours.undo(ours.take(0.0, 0.0))
    ours.news(0.0)

    ours.lose(1.0, 0.0, None, 0.1)
    assert ours.hello(60.0).corrections == ()


def test_without_the_store_a_call_waits_until_its_share_has_room_for_it() -> None:
    """Two that took a half each: a call that needs all waits for the end of both, one that needs half for the first."""
    ours = SharedBalance(requests=None, tokens=100, places=8, client="a", state="away")
    for at in (0.0, 20.0):
        assert 0.0 == ours.wait(at, 50.0)
        ours.take(at, 50.0)

    half, whole, more = (ours.wait(20.0, tokens) for tokens in (50.0, 100.0, 500.0))
    assert half == pytest.approx(40.1)
    assert whole == more == pytest.approx(60.1)


def test_a_store_that_opens_later_is_waited_for() -> None:
    """It says for how long it grants nothing; nobody asks in vain before."""
    ours = SharedBalance(requests=600, tokens=None, places=8, client="a")
    ours.take_in(1.0, 1.5, ours.news(1.0), StoreReply(born=77, opens=3_000_000))

    assert ours.opens == 4.5


def test_without_the_store_at_least_one_is_in_flight() -> None:
    """A fourth of two places is none, and nobody would ever go: so it is one, and not more."""
    ours = SharedBalance(requests=None, tokens=None, places=2, client="a", state="away", share=0.25)
    assert 0.0 == ours.wait(0.0, 1.0)
    ours.take(0.0, 1.0)
    assert ours.wait(0.0, 1.0) is None


def test_what_was_used_as_it_was_taken_is_not_told() -> None:
    """The store has booked it as it was: there is nothing to ask it for."""
    ours = SharedBalance(requests=600, tokens=1000, places=8, client="a")
    question = ours.question(0.0, [100.0], 1)
    assert question is not None
    ours.take_in(0.0, 0.0, question, StoreReply(born=77, held=1, permits=((0, 5),)))
    booked = ours.take(0.0, 100.0)

    ours.correct(booked, 0, 0.0)
    assert not ours.owes
    ours.correct(booked, 0, -1.0)
    assert ours.owes


def test_permits_are_asked_for_ahead_by_what_calls_took_lately() -> None:
    """Where fifteen go in a second one more is booked before it is asked for, with their tokens: one is no rule."""
    ours = SharedBalance(requests=6000, tokens=10**6, places=99, client="a", held=99)
    for number in range(30):
        ours.take(number / 15, 1000.0 if number == 29 else 100.0)
        ours.left()

    question = ours.question(2.0, [], 0)
    assert question is not None
    assert len(question.wanted) == 1
    assert 100 < question.wanted[0] < 400


def test_how_many_go_is_known_within_a_second() -> None:
    """Ten a second for two seconds: it is about ten, and soon none when they stop."""
    ours = SharedBalance(requests=None, tokens=None, places=99, client="a", held=99)
    for number in range(20):
        ours.take(number / 10, 1.0)

    assert ours.rate(1.9) == pytest.approx(10, rel=0.15)
    assert ours.rate(3.9) < 0.3


class Worker:
    """A client with more calls than may go, each of which takes half a second; a store answers within a moment."""

    WAY, CALLS = 0.002, 30

    def __init__(self, name: str) -> None:
        self.balance = SharedBalance(requests=600, tokens=None, places=400, client=name)
        self.in_flight = deque[float]()
        self.went: list[float] = []
        self.asked: tuple[float, Question, StoreReply] | None = None

    def turn(self, now: float, quota: SharedQuota) -> None:
        balance = self.balance
        while self.in_flight and self.in_flight[0] <= now:
            self.in_flight.popleft()
            balance.left()
        if self.asked is not None and self.asked[0] + self.WAY <= now:
            sent, question, reply = self.asked
            balance.take_in(sent, now, question, reply)
            self.asked = None
        while (waiting := self.CALLS - len(self.in_flight)) and balance.wait(now, 0.0) == 0.0:
            balance.take(now, 0.0)
            self.in_flight.append(now + 0.5)
            self.went.append(now)
        if self.asked is None and (wanted := balance.question(now, [0.0] * waiting, waiting)) is not None:
            self.asked = now, wanted, quota.ask(10**8 + int(now * 1e6), wanted)[0]


@pytest.mark.parametrize("count", [3, 4, 6])
def test_who_came_first_goes_no_faster_than_those_who_wait_as_well(count: int) -> None:
    """A second after they all are there each has its part, and together they use what may go."""
    quota, workers = SharedQuota(), [Worker(str(number)) for number in range(count)]
    for millisecond in range(0, 8000, 2):
        now = millisecond / 1000
        for worker in workers[: 1 if now < 1 else count]:
            worker.turn(now, quota)
    parts = [sum(at >= 2 for at in worker.went) for worker in workers]

    assert min(parts) >= 0.8 * max(parts)
    assert sum(parts) >= 6 * 48
