"""Permits of a quota that is shared, and what was sent with them."""

from __future__ import annotations

from anyfast_async._core.limits.rate_limit import Slot


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
