"""What may be spent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from anyfast_async import Budget, BudgetExceeded, Price, Prices
from anyfast_async._core.usage import Used
from anyfast_async._limits.budget import Earlier, Need, Reserved, Spending

pytestmark = pytest.mark.virtual

PRICES = Prices("USD", {"m": Price(1, 10)})


def admitted(spending: Spending, tokens: float = 0.0, cost: float = 0.0) -> Reserved:
    reserved = spending.admit(Need(tokens, cost))
    assert reserved is not None
    return reserved


def waiting(spending: Spending, tokens: float) -> asyncio.Task[Reserved | None]:
    return asyncio.get_running_loop().create_task(spending.room(lambda: Need(tokens)))


def test_requests_are_counted_before_they_are_sent() -> None:
    """The third request of a budget of two is refused, and is not counted; one that was not sent is given back."""
    spending = Spending(Budget(requests=2))
    admitted(spending)
    spending.cancel(admitted(spending))
    spending.refused(admitted(spending))

    with pytest.raises(BudgetExceeded, match="the budget of 2 requests is spent"):
        spending.admit()
    assert spending.requests == 2


@pytest.mark.parametrize(
    ("budget", "needed"), [(None, False), (Budget(requests=2), False), (Budget(tokens=9), True), (Budget(usd=9), True)]
)
def test_only_what_is_limited_is_estimated(budget: Budget | None, needed: bool) -> None:
    """Prompts are looked at where tokens or money have an end, and not for the number of requests."""
    assert Spending(budget, PRICES).is_reserving == needed


def test_tokens_fit_with_what_is_reserved() -> None:
    """Spent and reserved and what is needed must fit; what was used takes the place of what was reserved."""
    spending = Spending(Budget(tokens=100))
    first = admitted(spending, 60)

    with pytest.raises(BudgetExceeded, match="0 spent, 60 reserved for calls in flight, 50 needed at most"):
        spending.admit(Need(50))
    spending.reported(first, "m", Used(5, 15))
    admitted(spending, 50)

    assert (spending.tokens, spending.reserved) == (20, 50)


def test_what_nobody_reports_stays() -> None:
    """A request that may have been billed counts as it was reserved, and is told apart."""
    spending = Spending(Budget(tokens=100))
    lost = admitted(spending, 60)
    spending.unknown(lost, Need())
    spending.unknown(lost, Need())
    spending.refused(lost)

    assert (spending.tokens, spending.assumed, spending.reserved, spending.spent.unknown) == (0, 60, 0, 1)
    with pytest.raises(BudgetExceeded, match="60 spent, 60 of it as reserved for 1 requests without usage, 50 needed"):
        spending.admit(Need(50))


def test_money_is_a_ceiling_too() -> None:
    """In US dollars, by the price of the model; the message says where the prices are from."""
    spending = Spending(Budget(usd=1), PRICES)
    first = admitted(spending, 0, 0.9)
    spending.reported(first, "m", Used(100_000, 50_000))
    assert spending.cost == pytest.approx(0.6)

    with pytest.raises(BudgetExceeded, match=r"budget of 1 USD \(your prices\) has no room: 0.6000 USD spent, 0.5000"):
        spending.admit(Need(0, 0.5))
    assert spending.left(PRICES.models["m"]) == pytest.approx(40_000)


def test_money_that_nobody_reports_counts_as_it_was_reserved() -> None:
    """It is spent as far as anybody knows: the ceiling has that much less room."""
    spending = Spending(Budget(usd=1), PRICES)
    for cost in (0.5, 0.25):
        spending.unknown(admitted(spending, 0, cost), Need())

    assert (0.75, 0.0) == (spending.cost_assumed, spending.cost_reserved)
    with pytest.raises(BudgetExceeded):
        spending.admit(Need(0, 0.26))
    assert spending.admit(Need(0, 0.25)) is not None, "to the last cent"


def test_without_a_budget_everything_is_counted_and_nothing_refused() -> None:
    """No budget is no ceiling, and nothing is reserved."""
    spending = Spending(None)
    for _ in range(1000):
        assert spending.admit(Need(1e6)) is None
    spending.reported(None, "m", Used(1, 2))
    spending.unknown(None, Need(5))

    assert (spending.requests, spending.tokens, spending.assumed, spending.reserved) == (1000, 3, 5, 0)
    assert spending.spent.cost(PRICES) == pytest.approx(21e-6)


def test_what_earlier_runs_spent_counts_once() -> None:
    """A budget belongs to the file: what it has cost is counted when it is opened first, and named."""
    spending = Spending(Budget(tokens=100))
    for _ in range(2):
        spending.charge(Path("a"), lambda: Earlier(70, 0, 3))

    with pytest.raises(BudgetExceeded, match="70 spent, 70 of it by earlier runs, 40 needed"):
        spending.admit(Need(40))
    spending.charge(Path("b"), lambda: Earlier(20, 0, 1))
    assert spending.left(None) == 10
    assert (spending.earlier.requests, spending.tokens) == (4, 0)


async def test_rows_wait_in_their_order() -> None:
    """A row that does not fit waits for those in flight, and those behind it wait for it."""
    spending = Spending(Budget(tokens=100))
    first = admitted(spending, 60)
    large, small = waiting(spending, 70), waiting(spending, 10)
    await asyncio.sleep(1)
    assert (large.done(), small.done()) == (False, False)

    spending.reported(first, "m", Used(5, 5))
    await asyncio.sleep(0)
    assert (large.done(), small.done()) == (True, True)
    assert spending.reserved == 80


async def test_a_row_that_can_never_fit_ends() -> None:
    """When nothing that is in flight could make room any more, all rows that need too much end with the reason."""
    spending = Spending(Budget(tokens=100))
    first = admitted(spending, 60)
    rows = [waiting(spending, 70) for _ in range(3)]
    await asyncio.sleep(1)
    spending.reported(first, "m", Used(20, 40))
    await asyncio.wait(rows)

    assert all("60 spent, 70 needed" in str(row.exception()) for row in rows)
    assert spending.reserved == 0


async def test_a_row_that_is_cancelled_leaves_its_place() -> None:
    """Cancelled while it waits, or in the tick in which it got room, a row keeps nothing and holds nobody."""
    spending = Spending(Budget(tokens=100))
    first = admitted(spending, 60)
    large, small = waiting(spending, 70), waiting(spending, 10)
    await asyncio.sleep(1)
    large.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (small.done(), spending.reserved) == (True, 70)

    granted = waiting(spending, 50)
    await asyncio.sleep(1)
    spending.refused(first)
    granted.cancel()
    await asyncio.wait([granted])
    assert (granted.cancelled(), spending.reserved, spending.requests) == (True, 10, 2)


async def test_room_without_a_budget_is_free() -> None:
    """Nothing is reserved where nothing is limited."""
    assert await Spending(None).room(lambda: Need(1e9)) is None


def test_what_is_given_back_leaves_no_crumbs() -> None:
    """Sums of money that do not add up to the last bit are not told as reserved."""
    spending = Spending(Budget(usd=0.5), Prices("USD", {}))
    reserved = [admitted(spending, cost=cost) for cost in (0.1, 0.2, 0.1)]
    for one in reserved:
        spending.refused(one)

    with pytest.raises(BudgetExceeded) as caught:
        admitted(spending, cost=0.6)

    assert spending.cost_reserved != 0.0
    assert "reserved" not in str(caught.value)
