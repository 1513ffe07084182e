"""What is divided among workers."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async import Budget, Limits
from anyfast_async.policies import AutoConcurrency
from anyfast_async.scale.shares import Portion, Purse, Shares


def test_equal_parts() -> None:
    """Each of so many workers has the same part, and there is none for one more."""
    shares = Shares(Limits(concurrency=200, requests_per_minute=600, tokens_per_minute=100_000), 64)
    given = [shares.give(4, 0.0) for _ in range(4)]
    assert {
        (one.limits.requests_per_minute, one.limits.tokens_per_minute, one.concurrency) for one in given if one
    } == {(150, 25_000, 16)}
    assert shares.give(4, 0.0) is None


def test_more_workers_than_there_is() -> None:
    """A part is never nothing: fewer workers then."""
    assert Shares(Limits(requests_per_minute=3), 64).most(8) == 3
    assert Shares(Limits(), 2).most(8) == 2
    assert Shares(Limits(), 64).most(8) == 8


def test_who_comes_later_waits() -> None:
    """A part for one of more workers is given when there is room for it, and those that were given stay as they are."""
    shares = Shares(Limits(requests_per_minute=600), 64)
    first, second = shares.give(2, 0.0), shares.give(2, 0.0)
    assert first is not None
    assert second is not None
    assert shares.give(3, 0.0) is None
    shares.take_back(first, [], 0.0, is_known=True)
    third = shares.give(3, 0.0)
    assert third is not None
    assert third.limits.requests_per_minute == 200
    assert shares.give(3, 0.0) is None


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_never_over_in_any_minute(data: st.DataObject) -> None:
    """Workers that send all that they may, come, go and are lost: in no 60 s more was sent than the limit."""
    limit = data.draw(st.integers(8, 100), label="limit")
    shares = Shares(Limits(requests_per_minute=limit), 64)
    at_work: list[tuple[Portion, list[tuple[float, float, float]]]] = []
    sent: deque[tuple[float, float]] = deque()
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40), label="steps")):
        now += data.draw(st.floats(0, 40), label="pause")
        match data.draw(st.sampled_from(["come", "go", "lose", "send"]), label="what"):
            case "come":
                if (share := shares.give(data.draw(st.integers(1, 4)), now)) is not None:
                    at_work.append((share, [*share.sent]))
            case "go" if at_work:
                share, mine = at_work.pop(0)
                shares.take_back(share, mine[len(share.sent) :], now, is_known=True)
            case "lose" if at_work:
                share, mine = at_work.pop(0)
                shares.take_back(share, mine[len(share.sent) :][:-1], now, is_known=False)
            case _:
                for share, mine in at_work:
                    most = share.limits.requests_per_minute or 0
                    free = most - sum(n for at, n, _ in mine if at > now - 60)
                    if free > 0:
                        mine.append((now, free, 0))
                        sent.append((now, free))
        assert sum(n for at, n in sent if at > now - 60) <= limit


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_budget_is_never_passed(data: st.DataObject) -> None:
    """Whatever shards spend of what they are given, and whoever is lost: together it is no more than the budget."""
    purse, spent, given_out = Purse(tokens=1000.0), dict.fromkeys(range(4), 0.0), dict[int, float]()
    for _ in range(data.draw(st.integers(1, 30))):
        shard = data.draw(st.integers(0, 3))
        if shard not in given_out:
            tokens, _, _ = purse.give(shard, data.draw(st.floats(0, 1)))
            assert tokens is not None
            given_out[shard] = tokens
        else:
            most = given_out.pop(shard)
            spent[shard] += data.draw(st.floats(0, 1)) * most
            if data.draw(st.booleans()):
                purse.spent(shard, (spent[shard], 0.0, 0.0))
            else:
                purse.lost(shard)
        assert sum(spent.values()) + sum(given_out.values()) <= 1000.0 * (1 + 1e-9)


def test_without_a_budget_nothing_is_limited() -> None:
    """A shard may spend any amount then."""
    assert Purse().give(0, 0.5) == (None, None, None)
    assert not Purse().is_limited
    assert Purse(usd=1.0).give(0, 0.25) == (None, 0.25, None)


def test_a_window_that_is_found_is_divided_by_its_ceiling() -> None:
    """Each worker finds its own window; together they are no wider than one would be."""
    shares = Shares(Limits(concurrency=AutoConcurrency(start=8, least=2, most=10)), 10)
    parts = [shares.give(4, 0.0) for _ in range(4)]
    windows = [part.limits.concurrency for part in parts if part is not None]
    assert windows == [AutoConcurrency(start=2, least=2, most=2)] * 4


def test_what_a_store_divides() -> None:
    """Each shard may spend all that is left; of a budget with a name the store alone knows how much that is."""
    for name, left in ((None, (600.0, None, 4)), ("x", (1000, None, 10))):
        budget = Budget(tokens=1000, requests=10, name=name)
        purse = Purse(1000, None, 10)
        purse.spent(0, (400.0, 0.0, 6.0))
        purse.share(Limits(), budget, "run")
        assert purse.name == name, "workers refuse what has a name, and no store"
        purse.share(Limits(store="sqlite:///tmp/x"), budget, "run")
        assert purse.name == (name or "run")
        assert [purse.give(1, 0.5), purse.give(2, 0.1)] == [left, left]
