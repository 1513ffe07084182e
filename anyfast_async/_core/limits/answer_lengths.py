"""How long the answers of a scope are, learned as they come. Arithmetic on given values."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from typing import ClassVar


class Pending:
    """A call whose answer is not there yet, among those whose *lengths* it is one of."""

    __slots__ = ("began", "length", "lengths")

    def __init__(self, began: float, lengths: Lengths) -> None:
        self.began: float = began
        self.lengths: Lengths = lengths
        self.length: float | None = None
        """Of its answer, once it has ended; negative: that cannot be told."""


class Lengths:
    """How long answers are, in tokens, of the last few hundred calls *in the order in which they were sent*.

    In the order in which they end, short ones come first, and a limit that believes them is over as soon as the long
    ones arrive.
    """

    __slots__ = ("_last", "_pending", "_sorted", "_squares", "_sum", "known", "seen")

    KEPT: ClassVar[int] = 512
    QUANTILE: ClassVar[float] = 0.97
    """Of the lengths, that few answers are above."""
    KNOWN: ClassVar[int] = 8
    """Answers from which on the lengths are known."""
    DOUBT: ClassVar[float] = 3.0
    """Standard errors that are added to the mean, because it is one of so many answers."""
    PATIENCE: ClassVar[float] = 60.0
    """Seconds after which a call that hangs is not waited for: it counts as one of the longest."""

    def __init__(self) -> None:
        self.seen: int = 0
        self.known: bool = False
        """Whether enough answers were seen."""
        self._last: deque[float] = deque()
        self._sorted: list[float] = []
        self._sum = 0.0
        self._squares = 0.0
        self._pending: deque[Pending] = deque()

    def begin(self, now: float) -> Pending:
        """Take in that a call is sent."""
        pending = Pending(now, self)
        self._pending.append(pending)
        return pending

    def end(self, now: float, pending: Pending, length: float | None) -> None:
        """Take in the length of its answer, None if that cannot be told."""
        if pending.length is not None:
            return
        pending.length = -1.0 if length is None else length
        line = self._pending
        while line:
            found = line[0].length
            if found is None:
                if now - line[0].began < self.PATIENCE:
                    break
                line[0].length = -1.0
                found = self._sorted[-1] if self._sorted else -1.0
            line.popleft()
            if found >= 0:
                self._learn(found)

    def _learn(self, length: float) -> None:
        self.seen += 1
        if self.seen == self.KNOWN:
            self.known = True
        self._count(length, 1)
        self._last.append(length)
        insort(self._sorted, length)
        if len(self._last) > self.KEPT:
            oldest = self._last.popleft()
            self._count(oldest, -1)
            del self._sorted[bisect_left(self._sorted, oldest)]

    def _count(self, length: float, times: int) -> None:
        self._sum += times * length
        self._squares += times * length * length

    def upper(self) -> float:
        """Return the length that few answers are above."""
        return self._sorted[int(self.QUANTILE * len(self._sorted))] if self._sorted else 0.0

    def share(self, caution: float) -> float:
        """Return the length to reserve for one of the answers in flight, so that all together are hardly longer.

        Of many answers some are short: what k of them exceed k times their mean by grows with the root of k only. So
        it is the mean, and *caution* standard deviations over that root. Until lengths are known, :meth:`upper`.
        """
        count = len(self._last)
        if count < self.KNOWN:
            return self.upper()
        mean = self._sum / count
        deviation = math.sqrt(max(0.0, self._squares - self._sum * mean) / (count - 1))
        margin = caution / math.sqrt(len(self._pending) + 1) + self.DOUBT / math.sqrt(count)
        return mean + deviation * margin
