"""One budget for many processes, as a store keeps it: what each has drawn of it, on a given ``now``.

A process draws an amount before it sends what that may cost, and says with every question how much it has drawn in all,
less what it gave back. So nothing counts twice when an answer is lost, and a store that was restored from an older copy
is made whole by whoever still runs. What a process has drawn when it dies stays drawn: what was in flight may have been
billed, and nobody can tell.

Amounts are tokens, billionths of a US dollar, and requests, all of them whole numbers. The same algorithm stands in
``budget_script``, for stores that run it themselves; a test holds both equal.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from anyfast_async._core.limits.budget_amounts import NOTHING, Amounts, minus, plus
from anyfast_async._values.bases import Value

KEPT: Final = 3_600_000_000
"""Microseconds after the end of its lease for which a store knows what a client has drawn; what it drew stays drawn."""
CHOOSY: Final = 2_000_000
"""Microseconds after a client was refused in which the others give back what they do not use."""
RETELL: Final = 6_500_000
"""Microseconds in which everybody who was there says what they drew, once a store has lost its memory."""
SET_BACK: Final = 10_000_000
"""Microseconds by which a clock goes back only if it was set, or began anew with the machine."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Draw(Value):
    """What one client asks of a budget, and tells it, in one go."""

    client: str
    number: int
    """Of the question, rising; one that comes late, after a later one, changes nothing."""
    limits: Amounts
    """That all may spend together, ever; -1: not limited."""
    total: Amounts = NOTHING
    """That the client has drawn so far, less what it gave back."""
    held: Amounts = NOTHING
    """Of these: what may still come back, because it is not spent for certain."""
    least: Amounts = NOTHING
    """What its first call needs; less is of no use."""
    want: Amounts = NOTHING
    """What it could use, with that."""
    lease: int = 15_000_000
    """Microseconds after which a client that has said nothing is taken for dead: nothing more comes back from it."""
    born: int = 0
    """When the store's memory of the budget began, as it said before; 0: nothing is known of it."""
    leaving: bool = False
    """Whether it has nothing in flight, and wants nothing."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DrawReply(Value):
    """What a store answers."""

    born: int
    """When its memory of the budget began. Another one than before: it has forgotten everything, nothing was done."""
    opens: int = 0
    """Microseconds until it gives anything; 0: now."""
    granted: Amounts = NOTHING
    """What the client may spend from now on beside what it had drawn."""
    left: Amounts = NOTHING
    """What nobody has drawn after that, less than nothing where more was spent than there is; 0: not limited."""
    others: int = 0
    """Other clients that have said something lately."""
    outstanding: Amounts = NOTHING
    """What may still come back from them."""
    short: bool = False
    """Whether another client was refused lately, and needs what is given back."""


@attrs.define(eq=False, repr=False)
class SharedBudget(Value):
    """What a store knows of one budget."""

    born: int = 0
    asked: int = 0
    opens: int = 0
    """When it gives again."""
    drawn: Amounts = NOTHING
    """By all, ever."""
    short: int = 0
    """Until when clients give back what they do not use."""
    refused: str = ""
    """The client that was refused last."""
    leases: dict[str, int] = attrs.field(factory=dict)
    clients: dict[str, list[int]] = attrs.field(factory=dict)
    """Number of the last question of each, what it has drawn, and what of that may come back."""

    def ask(self, now: int, draw: Draw) -> DrawReply:
        """Answer *draw* at *now*."""
        if now < self.asked - SET_BACK:
            self.opens = self.short = 0
            self.leases = dict.fromkeys(self.leases, now)
        else:
            now = max(now, self.asked)
        self.born = self.born or now
        self.asked = now
        self._forget(now)
        granted = NOTHING
        known = draw.born in {0, self.born}
        if not known:
            self.opens = max(self.opens, self.born + RETELL)
        said = self.clients.get(draw.client)
        if known and (said is None or draw.number > said[0]):
            before = NOTHING if said is None else said[1:4]
            self.drawn = plus(self.drawn, minus(draw.total, before))
            granted = self._granted(now, draw)
            self.drawn = plus(self.drawn, granted)
            held = NOTHING if draw.leaving else plus(draw.held, granted)
            self.clients[draw.client] = [draw.number, *plus(draw.total, granted), *held]
            self.leases[draw.client] = now + (0 if draw.leaving else draw.lease)
        return self._reply(now, draw, granted)

    def _granted(self, now: int, draw: Draw) -> Amounts:
        if not any(draw.want) or now < self.opens:
            return NOTHING
        left = minus(draw.limits, self.drawn)
        for limit, least, rest in zip(draw.limits, draw.least, left, strict=True):
            if limit >= 0 and least > max(0, rest):
                self.short, self.refused = now + CHOOSY, draw.client
                return NOTHING
        tokens, nanos, requests = (
            want if limit < 0 else min(want, max(0, rest))
            for limit, want, rest in zip(draw.limits, draw.want, left, strict=True)
        )
        return tokens, nanos, requests

    def _reply(self, now: int, draw: Draw, granted: Amounts) -> DrawReply:
        outstanding, others = NOTHING, 0
        for client, lease in self.leases.items():
            if lease > now and client != draw.client:
                outstanding, others = plus(outstanding, self.clients[client][4:7]), others + 1
        tokens, nanos, requests = (
            0 if limit < 0 else limit - drawn for limit, drawn in zip(draw.limits, self.drawn, strict=True)
        )
        return DrawReply(
            born=self.born,
            opens=max(0, self.opens - now),
            granted=granted,
            left=(tokens, nanos, requests),
            others=others,
            outstanding=outstanding,
            short=now < self.short and draw.client != self.refused,
        )

    def _forget(self, now: int) -> None:
        for client in [client for client, lease in self.leases.items() if lease + KEPT <= now]:
            del self.leases[client], self.clients[client]

    def dump(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return attrs.asdict(self)

    @classmethod
    def load(cls, values: dict[str, Any]) -> SharedBudget:
        """Return what was dumped."""
        return cls(**{**values, "drawn": tuple(values["drawn"])})
