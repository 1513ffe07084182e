"""Permits of a quota that is shared, what was sent with them, and the times that all who have some keep to."""

from __future__ import annotations

from typing import Final

from anyfast_async._core.limits.rate_limit import Slot

MICRO: Final = 1_000_000
PREFETCH: Final = 0.1
"""Seconds of traffic for which permits are booked before anybody asks."""
LEASE: Final = 15.0
"""Seconds after which the places of a client that was killed are free."""
BEAT: Final = 5.0
"""Seconds between two signs of life."""
FAR: Final = 1.0
"""Seconds off, from which on it may be worth while to ask for a permit again."""
AT_ONCE: Final = 256
"""Permits that are asked for in one question, at most."""
PAUSE: Final = 0.95
"""Seconds that a store has to be away before anybody goes on without it: longer than its ``SILENCE``, so that it knows
that it was."""


class OwnSlot(Slot):
    """What the client itself has sent within a tenth of a second; ``amount`` is tokens."""

    __slots__ = ("known", "requests")

    def __init__(self, end: float, known: bool) -> None:
        super().__init__(end, 0.0)
        self.requests: int = 0
        self.known: bool = known
        """Whether the store has counted it."""


class Booked(Slot):
    """A permit, or what was taken with one; ``amount`` is its tokens."""

    __slots__ = ("number", "own", "since")

    def __init__(self, since: float, end: float, number: int | None, tokens: float) -> None:
        super().__init__(end, tokens)
        self.since: float = since
        """When it may be used, at the earliest; ``end``: at the latest."""
        self.number: int | None = number
        """The store's slot; None: of the client's own share."""
        self.own: OwnSlot | None = None
