"""Is it the row that fails, or the gateway? Arithmetic on given values.

A batch that meets an outage must not spend the attempts of its rows on it. What tells the two apart is the company: a
row that fails while others succeed is at fault itself; when nothing has succeeded since, nobody can say so, and the
rows wait, while one of them at a time tries whether the gateway is back.
"""

from __future__ import annotations

from typing import Final

import attrs

MOST_OFTEN: Final = frozenset({502, 503, 520, 521, 522, 523, 529})
"""Statuses that are never about one request: the gateway, or what it stands on, is away."""
IN_A_ROW: Final = 3
"""Failures without a success between them that make an outage."""


@attrs.define
class Outage:
    """What the requests of one lane tell about the gateway behind it."""

    worked: bool = False
    """Whether any request has ever succeeded: before that, a wrong address looks just the same."""
    since: float | None = None
    """When the outage was recognised; None: there is none."""
    successes: int = 0
    _failures: int = 0
    _row: object = None
    _several: bool = False
    """Whether the failures in a row are of more than one row."""
    _probes: int = 0
    _next: float = 0.0

    def succeeded(self) -> bool:
        """Take in a success; return whether it ends an outage."""
        ended = self.since is not None
        self.worked, self.since, self.successes = True, None, self.successes + 1
        self._failures, self._row, self._several = 0, None, False
        return ended

    def failed(self, now: float, row: object, status: int | None, longest: float) -> bool:
        """Take in that a request of *row* failed as it does when the gateway is away.

        Args:
            now: loop time.
            row: whose request; compared by identity.
            status: what the gateway answered, None if there was no connection.
            longest: seconds between two probes, at most.

        Returns:
            Whether the gateway is taken to be away.

        """
        self._several = self._several or (self._row is not None and self._row is not row)
        self._row = row
        self._failures += 1
        beyond_the_row = status is None or status in MOST_OFTEN or self._several
        if self.since is None and self.worked and beyond_the_row and self._failures >= IN_A_ROW:
            self.since, self._probes = now, 0
            self._next = now + self._step(longest)
        return self.since is not None

    def wait(self, now: float, longest: float, rand: float) -> float:
        """Return the seconds to wait before a request, 0 if it may go.

        In an outage the first that asks when a probe is due makes it; the others wait for the next one.
        """
        if self.since is None:
            return 0.0
        if now < self._next:
            return self._next - now
        self._probes += 1
        self._next = now + self._step(longest) * (1 + 0.2 * rand)
        return 0.0

    def _step(self, longest: float) -> float:
        return min(longest, 2.0 ** min(self._probes, 32))
