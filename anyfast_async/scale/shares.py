"""One limit and one budget divided by workers that come and go. Pure: the time is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from anyfast_async._core.limits.rate_limit import PERIOD
from anyfast_async.policies import AutoConcurrency, Budget, Limits

Sent: TypeAlias = "tuple[float, float, float]"
"""Unix time, requests, tokens."""
_ALL: Final = Fraction(1)


@attrs.define(eq=False)
class Portion:
    """The part of one worker."""

    part: Fraction
    limits: Limits
    concurrency: int
    """Rows in work at once."""
    sent: tuple[Sent, ...]
    """What others have sent within this part in the last minute."""


class Shares:
    """Gives parts out and takes them back: never more than all of it at once, in no minute more than the limit.

    What was sent within a part that came back counts within the parts that are made of it, as long as it is in the
    minute that is looked at.
    """

    def __init__(self, limits: Limits, concurrency: int) -> None:
        self._limits, self._concurrency = limits, concurrency
        self._given: set[Portion] = set()
        self._ghosts: list[Sent] = []

    @property
    def is_shared(self) -> bool:
        """Whether workers keep the limits together, by a store: then each has all of them."""
        return getattr(self._limits, "store", None) is not None

    def most(self, workers: int) -> int:
        """Return how many of *workers* can have a part that is not nothing."""
        if self.is_shared:
            return workers
        limits = self._limits
        scarce = (self._concurrency, limits.most_in_flight, limits.requests_per_minute, limits.tokens_per_minute)
        return max(1, min([workers, *(one for one in scarce if one is not None)]))

    def remember(self, sent: Iterable[Sent]) -> None:
        """Take in what earlier workers have sent."""
        self._ghosts += sent

    def give(self, workers: int, now: float) -> Portion | None:
        """Return the part of one of *workers*, None as long as others have too much of it still."""
        part = Fraction(1, max(1, workers))
        free = _ALL - sum((share.part for share in self._given), Fraction(0))
        if free < part:
            return None
        taken = part / free
        self._ghosts = [one for one in self._ghosts if one[0] > now - PERIOD]
        sent = tuple((at, math.ceil(n * taken), math.ceil(tokens * taken)) for at, n, tokens in self._ghosts)
        self._ghosts = [
            (at, n - mine, tokens - mine_too)
            for (at, n, tokens), (_, mine, mine_too) in zip(self._ghosts, sent, strict=True)
            if n > mine or tokens > mine_too
        ]
        share = Portion(part, self._part_of(part), max(1, math.floor(self._concurrency * part)), sent)
        self._given.add(share)
        return share

    def take_back(self, share: Portion, sent: Iterable[Sent], now: float, *, is_known: bool) -> None:
        """Take a part back; *sent* is what was sent within it, all of it only if *is_known*."""
        self._given.discard(share)
        known = [one for one in (*share.sent, *sent) if one[0] > now - PERIOD]
        self._ghosts += known
        limits = share.limits
        if is_known or self.is_shared:
            return
        # Nobody knows what a dead worker sent since it last said it: no more than its part.
        requests = (limits.requests_per_minute or 0) - sum(one[1] for one in known)
        tokens = (limits.tokens_per_minute or 0) - sum(one[2] for one in known)
        if requests > 0 or tokens > 0:
            self._ghosts.append((now, max(0, requests), max(0, tokens)))

    def _part_of(self, part: Fraction) -> Limits:
        if self.is_shared:
            return self._limits
        limits = self._limits
        return attrs.evolve(
            limits,
            concurrency=_window(limits.auto, part) or max(1, math.floor(limits.most_in_flight * part)),
            requests_per_minute=_floor(limits.requests_per_minute, part),
            tokens_per_minute=_floor(limits.tokens_per_minute, part),
        )


def _window(auto: AutoConcurrency | None, part: Fraction) -> AutoConcurrency | None:
    """Return the part of a window that is found: each worker finds its own, and all of them are no wider than one."""
    if auto is None:
        return None
    most = max(1, math.floor(auto.most * part))
    return AutoConcurrency(start=min(auto.start, most), least=min(auto.least, most), most=most)


def _floor(whole: int | None, part: Fraction) -> int | None:
    return None if whole is None else max(1, math.floor(whole * part))


@attrs.define
class Purse:
    """A budget, divided by what is left to do."""

    tokens: float | None = None
    usd: float | None = None
    requests: float | None = None
    name: str | None = None
    """By which workers share what is left, where a store divides it among them; None: it is divided here."""
    _common: tuple[float | None, float | None, int | None] = (None, None, None)
    _spent: dict[int, tuple[float, float, float]] = attrs.field(factory=dict)
    _given: dict[int, tuple[float, float, float]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, budget: Budget | None) -> Purse:
        """Return all of a budget."""
        return cls() if budget is None else cls(budget.tokens, budget.usd, budget.requests)

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget."""
        return not (self.tokens is None and self.usd is None and self.requests is None)

    def spent(self, shard: int, amounts: tuple[float, float, float]) -> None:
        """Take in what a shard has spent in all runs, and take back what it was given and has not."""
        self._spent[shard] = amounts
        self._given.pop(shard, None)

    def lost(self, shard: int) -> None:
        """Take in that nobody knows what a shard has spent: all that it was given, until it is known."""
        given, before = self._given.pop(shard, (0.0, 0.0, 0.0)), self._spent.get(shard, (0.0, 0.0, 0.0))
        self._spent[shard] = (before[0] + given[0], before[1] + given[1], before[2] + given[2])

    def give(self, shard: int, part: float) -> tuple[float | None, float | None, int | None]:
        """Give a shard *part* (0 to 1) of what is left: tokens, money, requests; None where that is not limited."""
        if self.name is not None:
            return self._common
        tokens, usd, requests = (None if one is None else one * part for one in self._left())
        some = None if requests is None else math.floor(requests)
        self._given[shard] = (tokens or 0.0, usd or 0.0, float(some or 0))
        return tokens, usd, some

    def share(self, limits: Limits, budget: Budget | None, session: str) -> None:
        """Have a store divide what is left, if the workers have one; to be called when it is known what was spent.

        A budget with a name is not only this run's: the store knows what was spent of it, whoever did. Without a store
        workers refuse it.
        """
        store = limits.store
        can_divide = isinstance(store, str | Path) or hasattr(store, "draw")
        if budget is None or not self.is_limited or not (can_divide or budget.name):
            return
        tokens, usd, requests = self._left()
        self.name = budget.name or session
        self._common = tokens, usd, None if requests is None else math.floor(requests)
        if budget.name is not None:
            self._common = budget.tokens, budget.usd, budget.requests

    def _left(self) -> tuple[float | None, float | None, float | None]:
        whole = (self.tokens, self.usd, self.requests)
        tokens, usd, requests = (
            None if one is None else max(0.0, one - self._out(place)) for place, one in enumerate(whole)
        )
        return tokens, usd, requests

    def _out(self, place: int) -> float:
        return sum(one[place] for one in (*self._spent.values(), *self._given.values()))
