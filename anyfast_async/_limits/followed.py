"""What is known of a call that is followed to its end: the lane that it came from, and what it has used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

from anyfast_async._core.limits.rate_limit import Slot
from anyfast_async._core.limits.tokens_per_minute import Taken

if TYPE_CHECKING:
    from anyfast_async._limits.lines import Line


@attrs.define(eq=False, repr=False)
class Followed(Taken):
    """What a call has taken, also where tokens are not limited."""

    line: Line = attrs.field(kw_only=True)  # type: ignore[misc]  # a call that is not followed has None
    charged: float = attrs.field(default=0.0, kw_only=True)
    """Tokens that its lane was charged; 0 if nobody waited."""

    @classmethod
    def of(cls, taken: Taken | None, at: float, line: Line, charged: float) -> Self:
        """Return it for a call that was let in just now, and has *taken* so much of a limit of tokens."""
        line.took()
        if taken is None:
            return cls(at, Slot(at, 0.0), 0.0, line=line, charged=charged)
        return cls(taken.at, taken.slot, taken.tokens, line=line, charged=charged)

    def end(self, used: float) -> None:
        """Put what it has really used in place of what its lane was charged."""
        share = self.line.lane.share
        if share is None:
            return
        if used:
            share.learn(used)
        if self.charged:
            share.correct(self.charged, used)
            self.charged = used
