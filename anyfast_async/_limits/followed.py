"""What is known of a call that is followed to its end: the lane that it came from, and what it has used."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Self

import attrs

from anyfast_async._core.limits.rate_limit import Slot
from anyfast_async._core.limits.tokens_per_minute import Taken

if TYPE_CHECKING:
    from anyfast_async._limits.lines import WaitingLine


_NOWHERE: Final = Slot(0.0, 0.0)
"""Where tokens are counted that are not limited."""


@attrs.define(eq=False, repr=False)
class Followed(Taken):
    """What a call has taken, also where tokens are not limited."""

    is_followed: ClassVar[bool] = True
    line: WaitingLine | None = attrs.field(default=None, init=False)  # type: ignore[misc]  # others have none
    charged: float = attrs.field(default=0.0, init=False)
    """Tokens that its lane was charged; 0 if nobody waited."""
    answer: int | None = attrs.field(default=None, init=False)
    """Tokens of its answer, if the gateway says so."""
    whole: bool = attrs.field(default=False, init=False)
    """Whether all of the answer is there."""
    begun: bool = attrs.field(default=False, init=False)
    """Whether it was answered, a stream by its first content."""

    @classmethod
    def of(cls, taken: Taken | None, at: float) -> Self:
        """Return it for a call that was let in just now, and has *taken* so much of a limit of tokens."""
        if isinstance(taken, cls):
            return taken
        if taken is None:
            return cls(at, _NOWHERE, 0.0)
        return cls(taken.at, taken.slot, taken.tokens)

    def come(self, line: WaitingLine, charged: float) -> None:
        """Take in that it came from a *line*, whose lane was *charged* for it."""
        self.line = line  # pyright: ignore[reportIncompatibleVariableOverride]
        self.charged = charged
        line.took()

    def end(self, used: float | None, answer: int | None) -> None:
        """Put what it has really used in place of what its lane was charged."""
        self.answer, self.whole = answer, True
        share = None if self.line is None else self.line.lane.share
        if share is None or used is None:
            return
        if used:
            share.learn(used)
        if self.charged:
            share.correct(self.charged, used)
            self.charged = used
