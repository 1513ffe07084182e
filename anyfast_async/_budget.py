"""What a client may spend, and has spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyfast_async.errors import BudgetExceeded

if TYPE_CHECKING:
    from anyfast_async.policies import Budget


class Spending:
    """What a client has spent and reserved of its budget."""

    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget
        self.tokens = 0.0
        self.reserved = 0.0
        self.requests = 0

    def admit(self, tokens: float) -> None:
        """Reserve *tokens* for one request.

        Raises:
            BudgetExceeded: they do not fit.

        """
        budget = self.budget
        if budget is not None:
            if budget.requests is not None and self.requests + 1 > budget.requests:
                message = f"the budget of {budget.requests} requests is spent"
                raise BudgetExceeded(message)
            if budget.tokens is not None and self.tokens + self.reserved + tokens > budget.tokens:
                message = (
                    f"the budget of {budget.tokens} tokens has no room: {self.tokens:.0f} spent, "
                    f"{self.reserved:.0f} reserved for calls in flight, {tokens:.0f} needed"
                )
                raise BudgetExceeded(message)
        self.requests += 1
        self.reserved += tokens

    def unsent(self, tokens: float) -> None:
        """Take back what was admitted: nothing of it left this machine."""
        self.requests -= 1
        self.reserved -= tokens

    def settle(self, reserved: float, used: float) -> None:
        """Put *used* in place of what was reserved."""
        self.reserved -= reserved
        self.tokens += used
