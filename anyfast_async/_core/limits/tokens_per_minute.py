"""A limit of tokens a minute, of which calls take what is likely before what they really use is known.

What a call did not use is given back in the order in which calls were sent. In the order in which they end the short
answers come first: their rest would be spent on others, and missing when the long ones are counted. So what is in
flight always is a stretch of calls as they came, and little more than their mean need be reserved for each.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import attrs

from anyfast_async._core.limits.rate_limit import Slot, Window
from anyfast_async._values.bases import Shown


@attrs.define(eq=False, repr=False)
class Taken(Shown):
    """What one call has taken."""

    at: float
    slot: Slot
    tokens: float
    """As they are counted now."""
    used: float | None = None
    """By the call, once that is known."""
    ended: bool = False
    """Whether it is over, known or not."""
    longest: float = 0.0
    """What the call will hardly exceed."""
    lined: bool = False
    """Whether it waits in line."""

    is_followed: ClassVar[bool] = False
    """Whether its lane is told what the call has used."""
    is_nothing: ClassVar[bool] = False
    """Whether nothing was taken, and no call has it to itself."""
    line: ClassVar[Any] = None
    """The line of a lane that such a call came from."""

    def end(self, used: float | None) -> None:
        """Take in what such a call has used, in tokens; None: nobody says."""


@attrs.define(eq=False, repr=False)
class Tokens(Shown):
    """A limit over a sliding window of 60 seconds."""

    limit: float
    window: Window = attrs.field(init=False)
    line: deque[Taken] = attrs.field(factory=deque, init=False)
    """Calls of which more than the mean may be used, and those sent after them."""

    PATIENCE: ClassVar[float] = 20.0
    """Seconds after which those behind a call do not wait for it any more. It is one of the long ones, then, and is
    counted as such."""
    _EARLY: ClassVar[float] = 1e-6
    """Seconds that a timer may be early."""

    def __attrs_post_init__(self) -> None:
        self.window = Window(self.limit)

    def wait(self, now: float, amount: float) -> float:
        """Return the seconds until *amount* may be taken, 0 if it may be now."""
        line = self.line
        if line:
            self._look(now)
        wait = self.window.wait(now, amount)
        return min(wait, line[0].at + self.PATIENCE - now) if line else wait

    def take(self, now: float, amount: float) -> Taken:
        """Take *amount* at *now*."""
        return Taken(now, self.window.take(now, amount), amount)

    def line_up(self, taken: Taken, longest: float) -> None:
        """Have a call that has just been let in wait for those before it, and those after it wait for it.

        It took what calls like it take on the average; *longest* is what it will hardly exceed.
        """
        taken.longest, taken.lined = longest, True
        self.line.append(taken)

    def settle(self, now: float, taken: Taken, used: float) -> None:
        """Put what a call has really used in place of what it took: at once if that is more, or nothing."""
        taken.used, taken.ended = used, True
        if not taken.lined or used == 0 or used > taken.tokens:
            self._count(now, taken, used)
        if self.line:
            self._look(now)

    def _count(self, now: float, taken: Taken, tokens: float) -> None:
        self.window.settle(now, taken.slot, tokens - taken.tokens)
        taken.tokens = tokens

    def _look(self, now: float) -> None:
        line = self.line
        while line and (line[0].ended or now - line[0].at >= self.PATIENCE - self._EARLY):
            taken = line.popleft()
            taken.lined = False
            tokens = max(taken.tokens, taken.longest) if taken.used is None and not taken.ended else taken.used
            if tokens is not None:
                self._count(now, taken, tokens)

    def disband(self) -> None:
        """Have nobody wait for those in line: they will never end."""
        for taken in self.line:
            taken.lined = False
        self.line.clear()

    def remember(self, now: float, age: float, amount: float) -> None:
        """Count *amount* that was taken *age* seconds before *now*; the oldest first, before anything is taken."""
        self.window.remember(now, age, amount)
