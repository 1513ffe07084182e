"""How fast a batch gets on, and what holds it back. Pure: the time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from anyfast_async import Stats
    from anyfast_async.batch.tally import Tally

WINDOW: Final = 30.0
"""Seconds over which the pace is taken."""

_BUSY: Final = 0.9


@attrs.frozen
class _Reached:
    at: float
    rows: int
    tokens: int


@attrs.define
class Pace:
    """Rows and tokens a second over the last :data:`WINDOW` seconds."""

    _samples: deque[_Reached] = attrs.field(factory=deque)

    def sample(self, tally: Tally, now: float) -> None:
        """Take in how far *tally* is at *now* (seconds of any clock that only goes forward)."""
        self._samples.append(_Reached(now, tally.sent, tally.tokens))
        while len(self._samples) > 2 and self._samples[1].at <= now - WINDOW:  # noqa: PLR2004 - one at either end
            self._samples.popleft()

    @property
    def rows(self) -> float:
        """Rows a second."""
        return self._per_second(lambda sample: sample.rows)

    @property
    def tokens(self) -> float:
        """Prompt and completion tokens a second."""
        return self._per_second(lambda sample: sample.tokens)

    @property
    def is_still(self) -> bool:
        """Whether no row has ended for as long as can be told."""
        return not self._samples or self._samples[-1].rows == self._samples[0].rows

    def seconds_for(self, rows: int) -> float | None:
        """Return the seconds that *rows* more rows take at this pace; None while there is none."""
        return rows / self.rows if self.rows > 0 else None

    def _per_second(self, of: Callable[[_Reached], int]) -> float:
        if not self._samples:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        return (of(last) - of(first)) / (last.at - first.at) if last.at > first.at else 0.0


def limited_by(stats: Stats, concurrency: int | None = None, *, answering: bool = True) -> str | None:
    """Return what keeps a batch from being faster: a word of ``Stats.limited_by``; None if it is the answers' time.

    Where the gateway is not *answering*, so that nobody knows how long answers take, it is ``"unanswered"``.

    A batch takes up a row when a worker is free, so that with as many workers as ``Limits.concurrency`` nobody waits
    for a place: *concurrency* workers of which nearly all are at work are limited by their number.
    """
    if stats.limited_by is not None:
        return stats.limited_by
    if stats.held_for > 0:
        return "throttling"
    if not answering:
        return "unanswered"
    return "concurrency" if concurrency is not None and stats.in_flight >= _BUSY * concurrency else None
