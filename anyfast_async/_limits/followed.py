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

    @classmethod
    def of(cls, taken: Taken | None, at: float) -> Self:
        """Return it for a call that was let in just now, and has *taken* so much of a limit of tokens."""
        if taken is None or taken.is_nothing:
            return cls(at, _NOWHERE, 0.0)
        return cls(taken.at, taken.slot, taken.tokens)

    def come(self, line: WaitingLine, charged: float) -> None:
        """Take in that it came from a *line*, whose lane was *charged* for it."""
        self.line = line  # pyright: ignore[reportIncompatibleVariableOverride]
        self.charged = charged
        line.took()

    def end(self, used: float | None) -> None:
        """Put what it has really used in place of what its lane was charged."""
        share = None if self.line is None else self.line.lane.share
        if share is None or used is None:
            return
        if used:
            share.learn(used)
        if self.charged:
            share.correct(self.charged, used)
            self.charged = used


@attrs.define(eq=False, repr=False)
class Nothing(Taken):
    """What calls have taken that went at once, where tokens are not limited; one stands for all of a *line*."""

    is_nothing: ClassVar[bool] = True
    line: WaitingLine = attrs.field(kw_only=True)  # type: ignore[misc]  # others have none

    @classmethod
    def of(cls, line: WaitingLine) -> Self:
        """Return it for the calls that come from a *line*."""
        return cls(0.0, _NOWHERE, 0.0, line=line)

    def end(self, used: float | None) -> None:
        """Let the lane learn what its calls use: it was charged nothing."""
        if used and self.line.lane.share is not None:
            self.line.lane.share.learn(used)
