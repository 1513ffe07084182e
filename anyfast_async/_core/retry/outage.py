"""Is it the row that fails, or the gateway? Arithmetic on given values.

A batch that meets an outage must not spend the attempts of its rows on it, nor pay for them again and again. What
tells the two apart is the company: a row that fails while others succeed is at fault itself; when several have failed
and nothing has succeeded since, the gateway is away, and the rows wait while one at a time tries whether it is back.

Failures with no success between them are one *stretch*. A success counts from when its request was sent: answers that
were on their way when the first failure came say nothing of what came after it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import attrs

from anyfast_async._values.bases import Shown

IN_A_ROW: Final = 3
"""Failures of at least two rows, in one stretch, that make an outage."""
OWN: Final = 1
"""Times that a request which may have been billed is sent again for a failure of its own."""
RESENDS: Final = 3
"""Times that it is sent again at most: once for each outage, and for a failure of its own."""


class Company(NamedTuple):
    """How the others of a scope fared when a request of it failed; by default nobody knows."""

    stretch: int = -1
    outages: Collection[int] = ()
    """The stretches that were outages."""
    away_since: float | None = None
    """When the gateway was taken to be away, None if it is not."""
    probe: bool = False
    """Whether the request was sent to try whether it is back."""


ALONE: Final = Company()


class Outage:
    """What the requests of one scope tell about the gateway behind it. Rows are compared by identity."""

    __slots__ = (
        "_began",
        "_failed_probes",
        "_failures",
        "_last",
        "_next",
        "_out",
        "_probes",
        "_row",
        "_several",
        "_turn",
        "_waiting",
        "outages",
        "reached",
        "since",
        "stretch",
        "successes",
    )

    def __init__(self) -> None:
        self.since: float | None = None
        """When the outage was recognised; None: there is none."""
        self.stretch: int = 0
        """The number of the stretch of failures that lasts, or comes next."""
        self.outages: set[int] = set()
        """The stretches that were outages."""
        self.successes: int = 0
        self.reached: bool = False
        """Whether a server has ever been met: before that, a wrong address looks just the same."""
        self._failures = 0
        self._began = 0.0
        """When the first of them came."""
        self._row: object = None
        self._several = False
        """Whether they are of more than one row."""
        self._waiting: dict[object, bool] = {}
        """Rows that wait, the longest first, and whether any request of theirs was sent."""
        self._turn: object = None
        """The row whose turn it is to probe."""
        self._out: object = None
        """The row whose probe is on its way."""
        self._last: object = None
        """The row that probed last."""
        self._probes = 0
        self._failed_probes = 0
        self._next = 0.0

    # -- what came of a request --------------------------------------------------------------------------------------

    def succeeded(self, sent: float) -> bool:
        """Take in the success of a request that was sent at loop time *sent*.

        Returns:
            Whether those who wait should look again: the outage is over, or one more may try.

        """
        self.successes += 1
        if not self._failures:
            self.reached = True
            return False
        if sent >= self._began:
            return self.answered()
        if self.since is None or self._failed_probes:
            return False
        self._next = 0.0  # somebody is at work there still; it may be the rows that are at fault
        return True

    def answered(self) -> bool:
        """Take in that the gateway is there; return whether that ends an outage."""
        ended = self.since is not None
        self.since, self.reached, self.stretch = None, True, self.stretch + 1
        self._failures, self._row, self._several = 0, None, False
        self._turn = self._out = self._last = None
        return ended

    def failed(self, now: float, row: object, *, reached: bool, longest: float, rand: float) -> bool:
        """Take in that a request of *row* failed as it does when the gateway is away.

        Args:
            now: loop time.
            row: whose request.
            reached: whether a server was met.
            longest: seconds between two probes, at most.
            rand: 0 to 1.

        Returns:
            Whether those who wait should look again: a probe came back.

        """
        self.reached = self.reached or reached
        if not self._failures:
            self._began = now
        self._failures += 1
        self._several = self._several or (self._row is not None and self._row is not row)
        self._row = row
        if self.since is None:
            # Not to get through at all is never about one row, and costs nothing.
            if self._failures >= IN_A_ROW and self.reached and (self._several or not reached):
                self.since = now
                self.outages.add(self.stretch)
                self._probes = self._failed_probes = 0
                self._next = now + min(longest, 1.0)
            return False
        if row is not self._out:
            return False
        self._out = None
        self._failed_probes += 1
        self._next = now + min(longest, 2.0 ** min(self._probes, 32)) * (1 + 0.2 * rand)
        return True

    def company(self, *, probe: bool) -> Company:
        """Return how things stand, for a request that has just failed."""
        return Company(self.stretch, self.outages, self.since, probe)

    # -- who may try -------------------------------------------------------------------------------------------------

    def enter(self, row: object, *, sent: bool) -> None:
        """Have *row* wait; *sent* tells whether any request of it went out before."""
        self._waiting[row] = sent

    def leave(self, row: object) -> bool:
        """Have *row* wait no more: it goes, or was cancelled; return whether it leaves its turn to another."""
        del self._waiting[row]
        if self._turn is not row:
            return False
        self._turn, self._next = None, 0.0
        return True

    def wait(self, now: float, row: object, longest: float) -> float:
        """Return the seconds for which *row*, which has entered, waits before it asks again; 0 if it may go.

        When a probe is due, one row makes it: one that was never sent, if there is one, else the one that has waited
        longest, never the same twice while another waits. The next is due when it has failed, or after *longest*.
        """
        if self.since is None:
            return 0.0
        if self._turn is None and now >= self._next:
            self._turn, self._next = self._chosen(), now + longest
        if self._turn is row:
            self._go(now, row, longest)
            return 0.0
        return self._next - now

    def take(self, now: float, row: object, longest: float) -> bool:
        """Return whether *row*, which does not wait here, may probe at once."""
        if self._turn is not None or now < self._next or row is self._last:
            return False
        self._go(now, row, longest)
        return True

    def _go(self, now: float, row: object, longest: float) -> None:
        self._turn, self._out, self._last = None, row, row
        self._probes += 1
        self._next = now + longest

    def _chosen(self) -> object:
        for row, sent in self._waiting.items():
            if not sent:
                return row
        return next((row for row in self._waiting if row is not self._last), self._last)


@attrs.define(eq=False, repr=False)
class Resends(Shown):
    """The failures of one row that may have been billed."""

    _stretches: list[int] = attrs.field(factory=list)

    def failed(self, stretch: int) -> None:
        """Take in a failure in that stretch of the scope."""
        self._stretches.append(stretch)

    def allow(self, outages: Collection[int]) -> bool:
        """Return whether the row may be sent again: once for each outage and once of its own, three times in all."""
        own = sum(stretch not in outages for stretch in self._stretches)
        return own <= OWN and own + len({*self._stretches}.intersection(outages)) <= RESENDS
