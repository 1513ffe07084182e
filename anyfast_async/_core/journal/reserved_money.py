"""What the log of a journal says of money: what was reserved for requests, and what is taken as spent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import attrs

from anyfast_async._values.bases import Shown


class Amount(NamedTuple):
    """What a budget reserves for a request; nothing without one."""

    tokens: float = 0.0
    cost: float = 0.0


def opened(custom_id: str, amount: Amount | None) -> Any:
    """Return how the log names an id at work: alone, with what is reserved for it, or as counted already (None)."""
    if amount is None:
        return [custom_id]
    return [custom_id, *amount] if any(amount) else custom_id


def read_opened(value: Any) -> tuple[str, Amount | None]:
    """Return what :func:`opened` was given."""
    if isinstance(value, str):
        return value, Amount()
    return value[0], Amount(*value[1:3]) if value[1:] else None


def unknown(custom_id: str, amount: Amount, *, answered: bool) -> dict[str, Any]:
    """Return what the log says of a request of which nothing says what it used.

    Args:
        custom_id: whose it was.
        amount: what was reserved for it.
        answered: whether it has an answer, which does not say it.

    """
    if not any(amount):
        return {"id": custom_id, "uncounted": 1}
    value = {"id": custom_id, "tokens": amount.tokens, "usd": amount.cost}
    return value | ({"answered": 1} if answered else {})


def lost(amounts: Iterable[Amount | None]) -> dict[str, Any]:
    """Return the same for requests of which nothing will ever be known, by what was reserved for each."""
    reserved = [amount for amount in amounts if amount is not None]  # the others are counted already
    tokens, cost = sum(one.tokens for one in reserved), sum(one.cost for one in reserved)
    return {"tokens": tokens, "usd": cost, "uncounted": sum(not any(one) for one in reserved)}


@attrs.define(repr=False)
class Bill(Shown):
    """What is taken as spent, beside what answers say that they used."""

    tokens: float = 0.0
    cost: float = 0.0
    uncounted: int = 0
    """Requests of runs without a budget: nobody reserved anything for them."""
    covered: int = 0
    """Answers without usage whose reservation is in the sums."""

    def add(self, value: Mapping[str, Any]) -> None:
        """Add what the log says: :func:`unknown` or :func:`lost`."""
        self.tokens += value.get("tokens", 0.0)
        self.cost += value.get("usd", 0.0)
        self.uncounted += value.get("uncounted", 0)
        self.covered += value.get("answered", 0)
