"""One scope of the gate whose limits are shared with other clients, through a store.

Admission stays what it is: synchronous, and out of what is there. What is there are permits that the store has booked;
getting them is the business of ``shared_asking``, which is told here when somebody waits in vain.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import attrs

from anyfast_async._core.limits.rate_limit import Slot, Window
from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._core.limits.shared_permit import Booked
from anyfast_async._core.limits.tokens_per_minute import Tokens
from anyfast_async._limits.scope import Permit, Scope

if TYPE_CHECKING:
    from collections.abc import Callable


class Settling(Window):
    """Stands in the place of a window of tokens, for permits that have taken theirs already."""

    __slots__ = ("_balance", "taken_with")

    def __init__(self, balance: SharedBalance) -> None:
        super().__init__(math.inf)
        self._balance = balance
        self.taken_with: Booked | None = None

    def wait(self, now: float, amount: float) -> float:  # noqa: ARG002 - as of a window
        """Say that the balance knows."""
        return 0.0

    def take(self, now: float, amount: float) -> Slot:
        """Return the permit that tokens are taken with."""
        booked, self.taken_with = self.taken_with, None
        return super().take(now, amount) if booked is None else booked

    def settle(self, now: float, slot: Slot, difference: float) -> None:  # noqa: ARG002 - as of a window
        """Have the store told of the difference."""
        if isinstance(slot, Booked):
            self._balance.correct(slot, 0, difference)


@attrs.define(eq=False, repr=False)
class SharedScope(Scope):
    """What is counted per origin, key and model, for all clients of a store together."""

    balance: SharedBalance = attrs.field(kw_only=True)
    ask: Callable[[], None] = attrs.field(default=lambda: None, init=False)
    """Has the store asked, as soon as may be."""
    settling: Settling = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.settling = Settling(self.balance)
        if self.balance.tokens is not None:
            tokens = Tokens(self.balance.tokens)
            tokens.window = self.settling
            self.limit(tokens)

    @classmethod
    def sharing(cls, balance: SharedBalance) -> SharedScope:
        """Return a scope whose limits are those of *balance*."""
        return cls(None, None, None, balance=balance)

    def remember(self, now: float, age: float, requests: float, tokens: float) -> None:
        """Count nothing: the store has."""

    def begin_anew(self) -> None:
        """Go on in another loop, where nothing is in flight, with what the client itself has sent."""
        Scope.begin_anew(self)
        self.ask = lambda: None

    def wait(self, now: float, tokens: float, own: int = 0) -> float | None:
        """Return the seconds until the next call may go; None if only the end of another, or the store, can tell."""
        if self.tokens is not None and self.tokens.line:
            self.tokens.wait(now, 0)  # counts what has ended
        other = self.balance.wait(now, tokens)
        if other is None and not self.queued:
            return None  # whoever wants to know will queue, and ask again
        wait = self.throttle.wait(now, own)
        if wait is None:
            return None
        if other is None:
            self.ask()
            return None
        return max(wait, other)

    def limited_by(self, now: float, tokens: float) -> str:
        """Return what makes the next call wait longest."""
        throttled, balance = self.throttle.wait(now), self.balance
        if throttled is None or throttled > (balance.wait(now, tokens) or 0.0):
            return "throttling"
        if balance.used >= balance.held and not balance.permits:
            return "concurrency"
        return "requests_per_minute" if balance.tokens is None else "tokens_per_minute"

    def shared(self) -> tuple[str, str]:
        """Return who has how much of what is shared, and what would help."""
        balance = self.balance
        if balance.state != "near":
            meanwhile = (
                f"calls go within {balance.share:.0%} of the limits until it is back"
                if balance.alone
                else "calls wait until it is back"
            )
            help_ = "It is asked again by itself; Limits(on_store_error=...) chooses what happens meanwhile."
            return f"The store of the shared limits is away: {meanwhile}.", help_
        others = balance.clients - 1
        if others <= 0:
            return "The limits are shared through a store, and no other client uses them now.", ""
        waits = f", {balance.others} of them wait for a place" if balance.others else ""
        held = f"{balance.held} of {balance.places} places are held here"
        whose = "another client" if others == 1 else f"{others} other clients"
        help_ = "It is one quota for all: raise it for all of them if the key is granted more, or run fewer clients."
        return f"The limits are shared with {whose}{waits}; {held}.", help_

    def take(self, now: float, tokens: float) -> Permit:
        """Count a call that is admitted."""
        booked = self.balance.take(now, tokens)
        taken = None
        if self.tokens is not None:
            self.settling.taken_with = booked
            taken = self.tokens.take(now, booked.amount)
        self.expect(booked.amount)
        throttle, first = self.throttle, self.throttle.fresh
        granted = throttle.take(now)
        self.ask()
        return Permit(self, now, booked.amount, booked, taken, granted, throttle.holds, throttle.number, first)

    def left(self, permit: Permit) -> None:
        """Count a call that has ended."""
        Scope.left(self, permit)
        self.balance.left()
        if self.balance.gives or self.balance.owes or not self.balance.used:
            self.ask()

    def give_back(self, permit: Permit, now: float) -> None:
        """Count a call that was admitted, and is not sent, as if it had never been; then it is over."""
        if permit.counted is not None:
            self.balance.correct(permit.counted, -1, 0)  # type: ignore[arg-type]  # it is what take() put there
        Scope.give_back(self, permit, now)

    def first_ones(self, most: int) -> list[float]:
        """Return the tokens of the first calls that wait, as they are estimated now."""
        if self.queued == 1 and len(waiters := self.lines[0].waiters) == 1 and not waiters[0].granted.done():
            one = waiters[0]
            return [one.tokens if one.estimate is None else one.estimate()]
        waiting = (waiter for line in self.lines for waiter in line.waiters if not waiter.granted.done())
        return [w.tokens if w.estimate is None else w.estimate() for w in islice(waiting, most)]
