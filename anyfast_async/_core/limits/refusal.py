"""A throttled answer."""

from __future__ import annotations

import attrs

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
