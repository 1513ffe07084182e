"""What calls have in common that ask alike: under which policies, where to, with which key. Frozen, and made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from anyfast_async._values.bases import Shown
from anyfast_async.observing import Destination

if TYPE_CHECKING:
    from anyfast_async._call.endpoint import Endpoint
    from anyfast_async._core.retry.hedging import Hedging
    from anyfast_async._http.api_key import Key
    from anyfast_async._http.request_headers import Route
    from anyfast_async._limits.gate import Gate
    from anyfast_async._limits.lanes import Entrance
    from anyfast_async._limits.scope import Scope
    from anyfast_async._observers.hooks import Hooks
    from anyfast_async.policies import RetryPolicy, Timeouts
    from anyfast_async.prices import Price


@attrs.frozen(eq=False, repr=False)
class Spec(Shown):
    """Made by the client; a call only reads it."""

    scope: Scope
    """Where the gate counts it."""
    gate: Gate | Entrance
    """Where it is admitted: with those of its lane."""
    policy: RetryPolicy
    """Whether it is tried again."""
    timeouts: Timeouts
    """Its clocks."""
    key: Key
    """The key that its attempts show."""
    route: Route
    """Where its requests go."""
    endpoint: Endpoint[Any]
    """What is there."""
    model: str = ""
    price: Price | None = None
    """Of the model, where a budget is in money."""
    accept_missing_finish: bool = False
    """Whether a stream that ends in order without a finish reason is complete."""
    hooks: Hooks | None = None
    """Who hears of it; None: nobody but the log."""
    destination: Destination = Destination("", "", "", "", None, streamed=False)
    """What observers are told of it."""
    hedging: Hedging | None = None
    """What is known of streams that may be asked for twice; None: they are not."""
