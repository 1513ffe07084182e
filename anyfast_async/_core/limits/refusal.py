"""A throttled answer, and the request that it is one to."""

from __future__ import annotations

from typing import Protocol

import attrs

from anyfast_async._core.limits.rate_limit import Slot
from anyfast_async._values.bases import Shown


@attrs.frozen(eq=False, repr=False)
class Refusal(Shown):
    """A throttled answer."""

    asked: float | None
    """Seconds that the server asks to wait."""
    rand: float
    """0 to 1."""
    first_hold: float | None = None
    """Seconds of the first hold, None to learn it."""
    stated: float | None = None
    """Seconds between two requests by a limit that the user has stated."""


class Entry(Protocol):
    """A request that was let in, as its scope's throttle knows it; made of :meth:`Throttle.take`."""

    @property
    def at(self) -> float:
        """When."""
        ...

    @property
    def granted(self) -> Slot:
        """Where it is counted among what was granted."""
        ...

    @property
    def hold(self) -> int:
        """Number of the hold before it."""
        ...

    @property
    def number(self) -> int:
        """Its place among those of the scope."""
        ...

    @property
    def first(self) -> bool:
        """Whether it was the first after a hold."""
        ...
