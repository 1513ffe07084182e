"""The shared quota: what is used in any 60 seconds stays within it, in whatever order clients ask."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standins import most_in

from anyfast_async._core.limits.shared_quota import (
    GRACE,
    SILENCE,
    SLOT,
    VALID,
    WIDTH,
    Question,
    SharedQuota,
    StoreReply,
    interval,
)

SECOND = 1_000_000
BEGAN = 1_790_000_000 * SECOND


def asked(client: str, number: int, **fields: Any) -> Question:
    return Question(
        **{
            "client": client,
            "number": number,
            "requests": 600,
            "tokens": 100_000,
            "places": 10_000,
            "want": 200 if fields.get("wanted") else 0,
            **fields,
        }
    )


def ask(quota: SharedQuota, at: float, question: Question) -> StoreReply:
    return quota.ask(BEGAN + int(at * SECOND), question)[0]


def worst(uses: list[tuple[int, int]], width: int = 60 * SECOND) -> float:
    """The most that was used in any window."""
    return most_in(uses, width)


@settings(max_examples=12)
@given(st.integers(0, 10**9), st.sampled_from([5, 60, 600]), st.sampled_from([None, 1_000, 40_000]))
def test_no_minute_has_more_than_the_limit(seed: int, requests: int, tokens: int | None) -> None:
    """Permits that are used as late as they may be, or given back, never add up to more than the limit in 60 s."""
    chance = random.Random(seed)
    quota, now = SharedQuota(), BEGAN
    sent: list[tuple[int, int]] = []
    spent: list[tuple[int, int]] = []
    owed: dict[str, list[tuple[int, int, int]]] = {"a": [], "b": [], "c": []}
    for number in range(120):
        now += chance.choice([0, 1_000, 30_000, 200_000, 1_500_000])
        client = chance.choice("abc")
        wanted = tuple(chance.choice([1, 40, 300]) for _ in range(chance.randrange(1, 20)))
        question = asked(
            client, number, requests=requests, tokens=tokens, wanted=wanted, corrections=tuple(owed[client])
        )
        owed[client].clear()
        reply, _ = quota.ask(now, question)
        for (wait, slot), amount in zip(reply.permits, wanted, strict=False):
            assert wait >= 0
            if chance.random() < 0.1:
                owed[client].append((slot, -1, -amount))
                continue
            at = now + wait + chance.choice([0, VALID, chance.randrange(VALID + 1)])
            used = chance.randrange(amount + 1)
            sent.append((at, 1))
            spent.append((at, used))
            owed[client].append((slot, 0, used - amount))
    assert worst(sent) <= requests
    if tokens is not None:
        assert worst(spent) <= tokens


def test_hardly_anything_of_the_limit_is_lost() -> None:
    """Clients that always want more get 98 % of the limit in ten minutes, each about a third."""
    quota, now, got = SharedQuota(), 0.0, {"a": 0, "b": 0, "c": 0}
    due = dict.fromkeys(got, 0.0)
    number = 0
    while now < 600:
        client = min(due, key=lambda name: due[name])
        now, number = due[client], number + 1
        reply = ask(quota, now, asked(client, number, tokens=None, interval=20_600, wanted=(1,)))
        got[client] += 1
        due[client] = now + reply.permits[0][0] / SECOND
    assert 600 * 10 * 0.98 <= sum(got.values()) <= 600 * 11
    assert max(got.values()) <= 1.06 * min(got.values())


def test_fifty_a_second_go_at_any_limit() -> None:
    """More where that is a limit of more; without one there is nothing to spread."""
    assert [0, 20_600, 20_600, 1_030] == [interval(limit) for limit in (None, 60, 3_000, 60_000)]


def test_order_is_that_of_the_questions() -> None:
    """Who asks first goes first; a small request passes a large one that waits only where that delays nobody."""
    quota = SharedQuota()
    ask(quota, 0, asked("a", 1, wanted=(90_000,)))
    large = ask(quota, 1, asked("b", 1, wanted=(80_000,)))
    fits = ask(quota, 2, asked("c", 1, wanted=(9_000,)))
    other = ask(quota, 3, asked("c", 2, wanted=(9_000,)))
    assert 59 * SECOND < large.permits[0][0] <= 61 * SECOND
    assert fits.permits[0][0] == 0
    assert other.permits[0][0] >= large.permits[0][0] - 2 * SECOND


def test_requests_that_are_booked_far_ahead_leave_tokens_right() -> None:
    """Where requests make a call wait longer than tokens, tokens are counted in the minute in which it may go."""
    quota = SharedQuota()
    few = {"requests": 2, "tokens": 1_000}
    waits = [ask(quota, 0, asked("a", n, wanted=(400,), **few)).permits[0][0] // SECOND for n in range(1, 7)]
    assert waits == [0, 0, 61, 61, 122, 122]
    assert ask(quota, 0, asked("a", 7, wanted=(900,), **few)).permits[0][0] // SECOND == 183


def test_more_than_the_limit_waits_for_an_empty_window() -> None:
    """A request that is larger than the whole limit is not starved, and has a minute of its own."""
    quota = SharedQuota()
    ask(quota, 0, asked("a", 1, wanted=(10,)))
    large = ask(quota, 0, asked("a", 2, wanted=(500_000,)))
    after = ask(quota, 0, asked("a", 3, wanted=(10,)))
    assert large.permits[0][0] // SLOT == WIDTH - (BEGAN % SLOT > 0)
    assert after.permits[0][0] >= large.permits[0][0] + 60 * SECOND


def test_a_question_asked_again_counts_once() -> None:
    """Under the same number there are the same permits, and nothing is booked or corrected twice."""
    quota = SharedQuota()
    first = ask(quota, 0, asked("a", 1, wanted=(100, 100)))
    question = asked("a", 2, wanted=(100,), corrections=((first.permits[0][1], 0, -60),))
    told = ask(quota, 1, question)
    again = ask(quota, 1.5, question)
    assert again.permits[0] == (told.permits[0][0] - SECOND // 2, told.permits[0][1])
    assert (again.requests, again.tokens) == (told.requests, told.tokens) == (3, 240)


def test_nobody_books_far_ahead() -> None:
    """Of many that are wanted there is one wherever it is, and others only if they may go within a quarter second."""
    quota = SharedQuota()
    many = asked("a", 1, tokens=None, interval=20_600, wanted=(1,) * 200)
    assert len(ask(quota, 0, many).permits) in range(12, 15)
    assert len(ask(quota, 0, asked("b", 1, tokens=None, interval=20_600, wanted=(1,) * 200)).permits) == 1


def test_nobody_takes_all_the_tokens_at_once() -> None:
    """One question takes at most half of its client's part of what is free."""
    quota = SharedQuota()
    ask(quota, 0, asked("b", 1))
    assert len(ask(quota, 0, asked("a", 1, requests=None, wanted=(1_000,) * 200)).permits) == 25


def test_what_was_booked_for_later_and_given_back_delays_nobody() -> None:
    """A client that leaves with bookings far ahead leaves no gap behind."""
    quota = SharedQuota()
    slots = [ask(quota, 0, asked("a", n, requests=1, tokens=None, wanted=(1,))).permits[0][1] for n in range(1, 4)]
    ask(quota, 1, asked("a", 9, requests=1, tokens=None, corrections=tuple((slot, -1, 0) for slot in slots[1:])))
    assert ask(quota, 2, asked("b", 1, requests=1, tokens=None, wanted=(1,))).permits[0][0] < 60 * SECOND


def test_what_is_given_back_is_there_at_once() -> None:
    """Tokens that were not used go to the next who asks, though others have bookings that are far ahead."""
    quota = SharedQuota()
    first = ask(quota, 0, asked("a", 1, tokens=1_000, wanted=(1_000,)))
    far = ask(quota, 1, asked("b", 1, tokens=1_000, wanted=(400,)))
    ask(quota, 2, asked("a", 2, tokens=1_000, corrections=((first.permits[0][1], 0, -900),)))
    near = ask(quota, 3, asked("c", 1, tokens=1_000, wanted=(500,)))
    assert far.permits[0][0] > 59 * SECOND
    assert near.permits[0][0] == 0
    again = ask(quota, 4, asked("b", 2, tokens=1_000, wanted=(400,), corrections=((far.permits[0][1], -1, -400),)))
    assert again.permits[0][0] == 0


# -- places ----------------------------------------------------------------------------------------------------------


def places(quota: SharedQuota, at: float, client: str, number: int, **fields: Any) -> StoreReply:
    return ask(quota, at, asked(client, number, requests=None, tokens=None, **fields))


def test_places_are_never_more_than_there_are() -> None:
    """Whoever wants places is given those that are free, and stands in line for the rest."""
    quota = SharedQuota()
    assert places(quota, 0, "a", 1, places=10, want=8).held == 8
    second = places(quota, 0, "b", 1, places=10, want=8)
    assert (second.held, second.others) == (2, 0)
    assert places(quota, 0, "a", 2, places=10, busy=8, want=8).others == 1


def test_who_has_more_than_its_part_hears_of_others() -> None:
    """Who waits in line with more than its part is told that somebody with less waits; what it gives goes to that."""
    quota = SharedQuota()
    places(quota, 0, "a", 1, places=10, want=30)
    _, told = quota.ask(BEGAN, asked("b", 1, requests=None, tokens=None, places=10, want=30))
    assert told == ["a"]
    reply, told = quota.ask(BEGAN, asked("a", 2, requests=None, tokens=None, places=10, busy=7, want=30, gives=3))
    assert (reply.held, reply.others, told) == (7, 1, ["b"])
    assert places(quota, 0, "b", 2, places=10, busy=3, want=30).held == 3
    assert places(quota, 0, "a", 3, places=10, busy=4, want=30, gives=3).held == 5


def test_places_go_round_where_there_are_fewer_than_clients() -> None:
    """With one place for three clients each has it in turn."""
    quota, turns = SharedQuota(), []
    for name in "abc":
        places(quota, 0, name, 1, places=1, want=5)
    for number in range(2, 11):
        holder = next(name for name, held in quota.held.items() if held)
        turns.append(holder)
        places(quota, number / 10, holder, number, places=1, want=5, gives=1)
    assert turns == [*"abc"] * 3


def test_who_has_its_part_lets_several_go_first() -> None:
    """Six clients that have their part, and want more, let the seventh have the next place, which has none."""
    quota = SharedQuota()
    for name in "abcdef":
        places(quota, 0, name, 1, places=6, busy=1, want=1)
    for name in "abcdef":
        places(quota, 1, name, 2, places=6, busy=1, want=2)
    places(quota, 2, "g", 1, places=6, want=1)

    places(quota, 3, "a", 3, places=6, want=2, gives=1)

    assert quota.held == dict.fromkeys("abcdef", 1) | {"a": 0, "g": 1}


def test_places_of_the_dead_are_free_after_the_lease() -> None:
    """A client that says nothing for the length of its lease holds nothing any more."""
    quota = SharedQuota()
    places(quota, 0, "a", 1, places=2, want=2, lease=15 * SECOND)
    waits = places(quota, 1, "b", 1, places=2, want=2)
    assert (waits.held, waits.expires) == (0, 14 * SECOND)
    assert places(quota, 15, "b", 2, places=2, want=2).held == 2


# -- when the store was away -----------------------------------------------------------------------------------------


def test_a_store_that_was_away_waits_for_everybody() -> None:
    """After a silence it grants nothing for a while, and then counts what all took meanwhile."""
    quota = SharedQuota()
    born = ask(quota, 0, asked("a", 1)).born
    for number, name in enumerate("ab"):
        back = asked(name, 2, away=True, born=born, history=((5 * SECOND, 300, 0),), wanted=(1,))
        reply = ask(quota, 30 + number, back)
        assert reply.permits == ()
        assert reply.opens == GRACE - number * SECOND
    late = ask(quota, 34, asked("a", 3, born=born, wanted=(1,)))
    assert late.permits[0][0] > 48 * SECOND


def test_a_store_that_forgot_everything_is_told() -> None:
    """To whoever knew it before it says that it is another, and books nothing until it was told what was taken."""
    quota = SharedQuota()
    reply = ask(quota, 0, asked("a", 7, born=BEGAN - 5, wanted=(1,), history=((SECOND, 600, 0),)))
    assert (reply.born, reply.permits, reply.opens) == (BEGAN, (), GRACE)
    told = asked("a", 8, born=reply.born, away=True, history=((2 * SECOND, 600, 0),))
    assert ask(quota, 1, told).requests == 600
    assert ask(quota, 4, asked("a", 9, born=reply.born, wanted=(1,))).permits[0][0] > 50 * SECOND


def test_one_that_was_cut_off_alone_stops_nobody() -> None:
    """Where others have asked all the time, what one took elsewhere is counted, and nobody waits."""
    quota = SharedQuota()
    born = ask(quota, 0, asked("a", 1)).born
    for number in range(60):
        ask(quota, number / 2, asked("b", number))
    assert ask(quota, 30, asked("a", 2, away=True, born=born)).opens == 0
    assert SILENCE > SECOND / 2


def test_a_question_from_before_a_stop_hides_nothing() -> None:
    """What a server finds on its socket after a stop was asked before it: others still tell what they took."""
    quota = SharedQuota()
    born = ask(quota, 0, asked("a", 1)).born
    ask(quota, 20, asked("b", 1, wanted=(1,)))
    assert ask(quota, 20.1, asked("a", 2, away=True, born=born)).opens == GRACE - SECOND // 10
    assert ask(quota, 21, asked("b", 2, wanted=(1,))).permits == ()


def test_whoever_waits_until_a_store_opens_does_not_close_it() -> None:
    """While it grants nothing nobody asks: that is no silence that somebody may have spent without it."""
    quota = SharedQuota()
    born = ask(quota, 0, asked("a", 1)).born
    opens = ask(quota, 30, asked("a", 2, away=True, born=born)).opens
    assert ask(quota, 30 + opens / SECOND, asked("a", 3, away=True, born=born)).opens == 0


def test_a_store_that_was_restored_from_an_older_copy_is_told() -> None:
    """One that knows less than it said before counts as one that has forgotten everything."""
    quota = SharedQuota()
    reply = ask(quota, 0, asked("a", 1))
    copy = quota.dump()
    later = ask(quota, 1, asked("a", 2, born=reply.born, seen=reply.asked, wanted=(1,)))
    assert (reply.asked, later.asked) == (BEGAN, BEGAN + SECOND)
    restored = SharedQuota.load(json.loads(json.dumps(copy)))
    again = ask(restored, 5, asked("a", 3, born=later.born, seen=later.asked, wanted=(1,)))
    assert (again.born, again.permits, again.opens) == (BEGAN + 5 * SECOND, (), GRACE)


def test_a_clock_that_was_set_back_stops_nobody() -> None:
    """What was booked in a future that no longer comes is forgotten."""
    quota = SharedQuota()
    ask(quota, 3600, asked("a", 1, wanted=(100_000,)))
    assert ask(quota, 0, asked("a", 2, wanted=(100_000,))).permits[0][0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_down_is_read_back(seed: int) -> None:
    """A quota that goes through JSON between any two questions answers the same."""
    chance, one, other = random.Random(seed), SharedQuota(), SharedQuota()
    for number in range(100):
        question = asked(
            chance.choice("abc"), number, want=chance.randrange(9), places=5, wanted=(chance.randrange(9_000),) * 3
        )
        at = number * 0.7
        assert ask(one, at, question) == ask(other, at, question)
        other = SharedQuota.load(json.loads(json.dumps(other.dump())))
