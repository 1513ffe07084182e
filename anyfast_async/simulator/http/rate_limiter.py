"""The gateway's request limiter as arithmetic on a given ``now``.

new-api ``middleware/model-rate-limit.go``: a sliding window over the admitted requests; a refused request
does not count (`inMemoryRateLimiter.Request`).
"""

from __future__ import annotations

from collections import deque

import attrs

__all__ = ["Limiter", "MinuteWindow"]


@attrs.define
class MinuteWindow:
    """At most ``limit`` admissions in any ``seconds``."""

    limit: int
    seconds: float
    _admitted: deque[float] = attrs.field(factory=deque, init=False)

    def is_full(self, now: float) -> bool:
        """Whether a request at ``now`` must be refused."""
        while self._admitted and now - self._admitted[0] >= self.seconds:
            self._admitted.popleft()
        return len(self._admitted) >= self.limit

    def count(self, now: float) -> None:
        """A request was admitted at ``now``."""
        self._admitted.append(now)


@attrs.frozen
class Limiter:
    """Windows that must all have room."""

    windows: tuple[MinuteWindow, ...]
    empty_body: bool
    """Refuse without a body, as a gateway that counts in its memory does, not in Redis."""

    def refusing(self, now: float) -> MinuteWindow | None:
        """None if a request at ``now`` may pass (it then counts), else the window that is full."""
        for window in self.windows:
            if window.is_full(now):
                return window
        for window in self.windows:
            window.count(now)
        return None
