"""What a client is doing, and how long its calls take."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import attrs

from anyfast_async._core.histogram import Histogram, Phases
from anyfast_async._limits.spent import Spent
from anyfast_async._values.bases import Shown
from anyfast_async.prices import Prices, usual_prices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anyfast_async._core.retry.hedging import Hedging
    from anyfast_async._limits.budget import Spending
    from anyfast_async._limits.gate import Gate


@attrs.frozen(repr=False)
class Phase(Shown):
    """How long one phase of the calls takes, in seconds, to within 1 %; None while there were none."""

    p50: float | None = None
    p95: float | None = None


@attrs.frozen(kw_only=True, repr=False)
class Stats(Shown):
    """What a client is doing now, and what it has done."""

    in_flight: int
    """Calls admitted and not ended."""
    queued: int
    """Calls waiting for admission."""
    limited_by: str | None
    """What the first waiting call waits for: ``"concurrency"``, ``"window"`` (as many as the gateway was found to take
    are in flight), ``"reserve"`` (what is free is kept free for other lanes), ``"throttling"`` (the gateway asked for
    fewer requests), ``"outage"`` (the gateway is away), ``"requests_per_minute"`` or ``"tokens_per_minute"``; None if
    none waits. ``client.explain()`` says it for each model and lane."""
    held_for: float
    """Seconds for which throttling still holds calls back; of the model that is held longest."""
    requests: int
    """Requests that went out, retries included."""
    maybe_billed: int = 0
    """How many of them may have been billed although no answer came: lost, cut or ended early. In an outage the probes
    are among them."""
    tokens_used: int
    """Prompt and completion tokens, as the gateway reported them; of attempts that may have been billed without a
    report, what was estimated."""
    tokens_reserved: int
    """Of a ``Budget`` or of the tokens of a minute, for the calls in flight; 0 where neither is limited."""
    usage_missing: int = 0
    """Requests that may have been billed, and of which the gateway did not say what they used."""
    hedges: int = 0
    """Streams that were asked for a second time because they were late, see ``Hedge``."""
    hedges_won: int = 0
    """How many of these second attempts were the ones that were read."""
    hedge_tokens: int = 0
    """Tokens that hedging is taken to have cost: each attempt that was not read for as many as the one that was. What
    the gateway bills for a stream that is closed early, it does not say."""
    queue: Phase = Phase()
    """Waiting for admission, over all attempts of a call."""
    connect: Phase = Phase()
    """Name lookup, TCP and TLS, of calls that needed a new connection."""
    first_token: Phase = Phase()
    """Of streams: from sending to the first content; of one that was asked for twice, from the first sending."""
    total: Phase = Phase()
    """The whole call that succeeded."""

    _spent: Spent = attrs.field(factory=Spent, repr=False, alias="spent")
    _prices: Prices | None = attrs.field(default=None, repr=False, alias="prices")

    @property
    def cost(self) -> float | None:
        """What the reported tokens cost, in the currency of the client's ``prices``, by default US dollars of the list.

        None without a price for a model that was used. Requests in ``usage_missing`` are not in it.
        """
        return self._spent.cost(self._prices or usual_prices())

    def __str__(self) -> str:
        waiting = f", {self.queued} waiting for {_WORDS[self.limited_by]}" if self.limited_by is not None else ""
        held = f" ({self.held_for:.0f} s to go)" if self.held_for > 0 else ""
        lost = f" ({self.maybe_billed} perhaps billed without an answer)" if self.maybe_billed else ""
        sent = f"{self.requests} requests sent{lost}, {self.tokens_used} tokens used"
        took = ""
        if self.total.p50 is not None and self.total.p95 is not None:
            took = f"; a call takes {_seconds(self.total.p50)} (median), {_seconds(self.total.p95)} (95 %)"
        twice = f"; {self.hedges} hedges, {self.hedges_won} of them won" if self.hedges else ""
        return f"{self.in_flight} calls in flight{waiting}{held}; {sent}{twice}{took}"


_WORDS: Final = {
    "concurrency": "a free place (Limits.concurrency)",
    "window": "as many as the gateway takes at once",
    "reserve": "a place that is not kept free for other lanes",
    "throttling": "the gateway's limiter",
    "outage": "the gateway to come back",
    "requests_per_minute": "Limits.requests_per_minute",
    "tokens_per_minute": "Limits.tokens_per_minute",
}


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _phase(values: Histogram) -> Phase:
    return Phase(values.percentile(50), values.percentile(95))


def stats_of(gate: Gate, spending: Spending, phases: Phases, hedging: Iterable[Hedging] = ()) -> Stats:
    """Return what is going on."""
    lanes = list(hedging)
    queue, connect, first_token, total = map(_phase, phases.counted())
    return Stats(
        in_flight=gate.in_flight,
        queued=gate.queued + gate.holding_off,
        limited_by=gate.limited_by(),
        held_for=gate.held_for(),
        requests=spending.requests,
        maybe_billed=gate.maybe_billed,
        tokens_used=round(spending.tokens + spending.assumed),
        tokens_reserved=round(max(spending.reserved, gate.reserved())),
        usage_missing=spending.spent.unknown,
        hedges=sum(one.sent for one in lanes),
        hedges_won=sum(one.won for one in lanes),
        hedge_tokens=round(sum(one.tokens for one in lanes)),
        spent=copy.deepcopy(spending.spent),
        prices=spending.prices,
        queue=queue,
        connect=connect,
        first_token=first_token,
        total=total,
    )
