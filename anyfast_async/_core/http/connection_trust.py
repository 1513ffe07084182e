"""Whether a server's connections may be used again, as its surplus bytes tell."""

from __future__ import annotations

import math
from typing import Final

WINDOW: Final = 60.0
"""Seconds within which a second surplus costs the trust, and for how long."""


class Trust:
    """Trust in one origin.

    Bytes that nobody asked for can be told from an answer only while no request is on its way. A server that sends them
    again and again will do so at the wrong moment too; then a connection of its own for each request is what keeps
    the answer of one call out of another.
    """

    __slots__ = ("_surplus_at", "is_news", "is_silent", "until")

    def __init__(self, *, is_silent: bool = False) -> None:
        self.until = 0.0
        """When there is trust again; 0 as long as it was never lost."""
        self.is_news = False
        """Whether it was lost, and nobody was told yet."""
        self.is_silent = is_silent
        """Whether it says nothing before it is asked."""
        self._surplus_at = -math.inf

    def heard(self, *, silent: bool) -> None:
        """Take in whether it said nothing before it was asked."""
        self.is_silent = silent

    def told(self) -> None:
        """Take in that somebody was told that it was lost."""
        self.is_news = False

    def surplus(self, now: float) -> None:
        """Take in that bytes came which nobody had asked for."""
        if now - self._surplus_at <= WINDOW:
            self.is_news = self.is_news or self.until <= now
            self.until = now + WINDOW
        self._surplus_at = now
        self.is_silent = False
