"""What a client may spend, and has spent.

A budget is a ceiling: before a call is sent, what it may take at most is reserved. What is in flight, and what may have
been billed without a report, counts as reserved until something better is known.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeAlias

from anyfast_async._core.journal.reserved_money import Amount
from anyfast_async._core.usage import Used
from anyfast_async._limits.spent import Spent
from anyfast_async.errors import BudgetExceeded, ClientStateError

if TYPE_CHECKING:
    from anyfast_async.policies import Budget
    from anyfast_async.prices import Price, Prices

Need: TypeAlias = Amount
"""What a call may take at most."""
_MILLION: Final = 1_000_000
_MANY: Final = 256


class Reserved:
    """What is kept for one request."""

    __slots__ = ("kept", "need")

    def __init__(self, need: Need) -> None:
        self.need: Need = need
        self.kept: bool = True


class Earlier:
    """What was spent by others before: by earlier runs into the same file."""

    __slots__ = ("cost", "requests", "tokens")

    def __init__(self, tokens: float = 0.0, cost: float = 0.0, requests: int = 0) -> None:
        self.tokens: float = tokens
        self.cost: float = cost
        self.requests: int = requests


class RowBudget(NamedTuple):
    """A row that waits for room."""

    need: Callable[[], Need]
    granted: asyncio.Future[Reserved]
    patient: bool
    """Whether it waits for what others may give back."""


class Spending:
    """What a client has spent and reserved.

    Args:
        budget: what it may spend; None: anything.
        prices: what tokens cost; where the budget is in money and there are none, those of the list.

    """

    is_shared: ClassVar[bool] = False
    """Whether others spend of it, so that the store that keeps it has to be asked."""

    def __init__(self, budget: Budget | None, prices: Prices | None = None) -> None:
        self.budget = budget
        self.is_reserving: bool = budget is not None and (budget.tokens is not None or budget.usd is not None)
        """Whether tokens or money are limited, so that calls need an estimate."""
        is_money = budget is not None and budget.usd is not None
        self.prices: Prices | None = prices
        if prices is None and is_money:
            from anyfast_async.prices import Prices  # noqa: PLC0415 - with the first budget in money

            self.prices = Prices.listed()
        self.requests: int = 0
        self.tokens: float = 0.0
        """Reported by the gateway."""
        self.assumed: float = 0.0
        """Of what may have been billed without a report: what was reserved for it."""
        self.reserved: float = 0.0
        """For what is in flight."""
        self.cost: float = 0.0
        self.cost_assumed: float = 0.0
        self.cost_reserved: float = 0.0
        """The same in money, where the budget is."""
        self._spent = Spent()
        self._reported: list[tuple[str, Used]] = []
        """Of calls that are not in it yet: many are added up in less time than one by one."""
        self.earlier: Earlier = Earlier()
        self._files: set[Path] = set()
        self._waiting: deque[RowBudget] = deque()

    @property
    def spent(self) -> Spent:
        """What was used, by model."""
        self._add_up()
        return self._spent

    def _add_up(self) -> None:
        reported, self._reported = self._reported, []
        for model in {model for model, _ in reported}:
            self._spent.extend(model, [used for one, used in reported if one == model])

    def charge(self, file: Path, earlier: Callable[[], Earlier]) -> None:
        """Count what earlier runs have spent for *file*, once: a budget belongs to the file that it fills."""
        if self.budget is None or file in self._files:
            return
        self._files.add(file)
        found = earlier()
        self.earlier.tokens += found.tokens
        self.earlier.cost += found.cost
        self.earlier.requests += found.requests

    def left(self, price: Price | None) -> float:
        """Return the tokens that are not spent; of a budget in money, as many as *price* buys."""
        budget, found = self.budget, math.inf
        if budget is None:
            return 0.0
        if budget.tokens is not None:
            found = budget.tokens - self.earlier.tokens - self.tokens - self.assumed
        if budget.usd is not None and price is not None and price.completion > 0:
            money = budget.usd - self.earlier.cost - self.cost - self.cost_assumed
            found = min(found, money / price.completion * _MILLION)
        return max(0.0, found) if found < math.inf else 0.0

    # -- before a request --------------------------------------------------------------------------------------------

    def admit(self, need: Need = Need()) -> Reserved | None:  # noqa: B008 - a tuple
        """Reserve what one request needs; None if nothing is limited.

        Raises:
            BudgetExceeded: there is no room now.

        """
        if self.budget is None:
            self.requests += 1
            return None
        if (problem := self._problem(need, settled=False)) is not None:
            raise BudgetExceeded(problem)
        return self._reserve(need)

    @property
    def rows_waiting(self) -> int:
        """Rows that wait for room."""
        return sum(not row.granted.done() for row in self._waiting)

    async def room(self, need: Callable[[], Need], *, patient: bool = True) -> Reserved | None:
        """Reserve what one request needs as soon as there is room; first come, first served.

        Who is not *patient* waits for nobody, as in :meth:`admit`.

        Raises:
            BudgetExceeded: there would be no room if all that is in flight took nothing.

        """
        if self.budget is None:
            return None
        if not self._waiting and (found := self._now(need())) is not None:
            return found
        row = RowBudget(need, asyncio.get_running_loop().create_future(), patient)
        self._line_up(row)
        try:
            return await row.granted
        except asyncio.CancelledError:
            if row.granted.done() and not row.granted.cancelled() and row.granted.exception() is None:
                self.cancel(row.granted.result())
            raise
        finally:
            if row in self._waiting:
                self._waiting.remove(row)
                self._serve()

    def _line_up(self, row: RowBudget) -> None:
        self._waiting.append(row)

    def begin_anew(self) -> None:
        """Go on in another loop, or in a child process."""

    async def aclose(self) -> None:
        """Give back what is not spent, where the budget is shared."""

    def close(self) -> None:
        """End every row that waits, with ``ClientStateError``."""
        waiting, self._waiting = self._waiting, deque()
        for row in waiting:
            if not row.granted.done():
                row.granted.set_exception(ClientStateError("the client is closed"))

    def _now(self, need: Need) -> Reserved | None:
        """Reserve *need* if there is room, None if there may be later."""
        if self._problem(need, settled=False) is None:
            return self._reserve(need)
        if (problem := self._problem(need, settled=True)) is not None:
            raise BudgetExceeded(problem)
        return None

    def _serve(self) -> None:
        while self._waiting:
            row = self._waiting[0]
            if not row.granted.done():
                try:
                    found = self._now(row.need())
                except BudgetExceeded as error:
                    row.granted.set_exception(error)
                else:
                    if found is None:
                        return
                    row.granted.set_result(found)
            self._waiting.popleft()

    def _reserve(self, need: Need) -> Reserved:
        self.requests += 1
        self.reserved += need.tokens
        self.cost_reserved += need.cost
        return Reserved(need)

    def _problem(self, need: Need, *, settled: bool) -> str | None:
        """Return why *need* does not fit; *settled*: even if all that is in flight took nothing."""
        budget, earlier = self.budget, self.earlier
        if budget is None:
            return None
        if budget.requests is not None and earlier.requests + self.requests + 1 > budget.requests:
            return f"the budget of {budget.requests} requests is spent"
        share = 0 if settled else 1
        if budget.tokens is not None:
            spent = earlier.tokens + self.tokens + self.assumed
            if spent + share * self.reserved + need.tokens > budget.tokens:
                return self._words(f"{budget.tokens:,} tokens", _tokens, spent, self.reserved, need.tokens)
        if budget.usd is not None:
            spent = earlier.cost + self.cost + self.cost_assumed
            if spent + share * self.cost_reserved + need.cost > budget.usd:
                source = f" ({self.prices.source})" if self.prices is not None else ""
                return self._words(f"{budget.usd:g} USD{source}", _money, spent, self.cost_reserved, need.cost)
        return None

    def _words(self, budget: str, shown: Callable[[float], str], spent: float, reserved: float, needed: float) -> str:
        earlier = self.earlier.cost if shown is _money else self.earlier.tokens
        assumed = self.cost_assumed if shown is _money else self.assumed
        parts = [f"{shown(spent)} spent"]
        if earlier:
            parts[0] += f", {shown(earlier)} of it by earlier runs"
        if assumed:
            parts[0] += f", {shown(assumed)} of it as reserved for {self.spent.unknown} requests without usage"
        if shown(abs(reserved)) != shown(0.0):  # what is given back need not add up to the last bit
            parts.append(f"{shown(reserved)} reserved for calls in flight")
        parts.append(f"{shown(needed)} needed at most for the next")
        return f"the budget of {budget} has no room: {', '.join(parts)}"

    # -- after it ----------------------------------------------------------------------------------------------------

    def cancel(self, reserved: Reserved | None) -> None:
        """Give back what was kept for a request that was not sent."""
        if reserved is not None and reserved.kept:
            self.requests -= 1
            self._free(reserved)

    def unsent(self, reserved: Reserved | None) -> None:
        """Take in that nothing of a request left this machine."""
        self.requests -= 1
        self._free(reserved)

    def refused(self, reserved: Reserved | None) -> None:
        """Take in that a request was not billed."""
        self._free(reserved)

    def reported(self, reserved: Reserved | None, model: str, used: Used) -> None:
        """Put what the gateway says was used in place of what was kept."""
        self.tokens += used.prompt + used.completion
        self._reported.append((model, used))
        if len(self._reported) >= _MANY:
            self._add_up()
        if reserved is not None:
            if self.prices is not None and (price := self.prices.price(model)) is not None:
                self.cost += price.cost(used)
            self._free(reserved)

    def unknown(self, reserved: Reserved | None, need: Need) -> None:
        """Take in that a request may have been billed and nothing says for how much: *need* counts as spent."""
        if reserved is not None and not reserved.kept:
            return
        need = need if reserved is None else reserved.need
        self._spent.unknown += 1
        self.assumed += need.tokens
        self.cost_assumed += need.cost
        self._free(reserved)

    def _free(self, reserved: Reserved | None) -> None:
        if reserved is None or not reserved.kept:
            return
        reserved.kept = False
        self.reserved -= reserved.need.tokens
        self.cost_reserved -= reserved.need.cost
        if self._waiting:
            self._serve()


def _tokens(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.4f} USD"
