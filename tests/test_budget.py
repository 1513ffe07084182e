"""What may be spent."""

from __future__ import annotations

import pytest

from anyfast_async import Budget, BudgetExceeded
from anyfast_async._budget import Spending


def test_requests_are_counted_before_they_are_sent() -> None:
    """The third request of a budget of two is refused, and is not counted."""
    spending = Spending(Budget(requests=2))
    spending.admit(0)
    spending.admit(0)

    with pytest.raises(BudgetExceeded, match="the budget of 2 requests is spent"):
        spending.admit(0)
    assert spending.requests == 2


def test_tokens_fit_with_what_is_reserved() -> None:
    """Spent and reserved and the new estimate must fit; settling puts what was used in place of what was reserved."""
    spending = Spending(Budget(tokens=100))
    spending.admit(60)

    with pytest.raises(BudgetExceeded, match="0 spent, 60 reserved for calls in flight, 50 needed"):
        spending.admit(50)
    spending.settle(60, 20)
    spending.admit(50)

    assert (spending.tokens, spending.reserved) == (20, 50)


def test_without_a_budget_everything_is_counted_and_nothing_refused() -> None:
    """No budget is no ceiling."""
    spending = Spending(None)
    for _ in range(1000):
        spending.admit(1e6)

    assert (spending.requests, spending.reserved) == (1000, 1e9)
