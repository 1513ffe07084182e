"""How long an answer takes: a seeded model of the upstream's speed.

Pure arithmetic on a given random generator; the server does the sleeping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs.validators import and_, ge, le

if TYPE_CHECKING:
    from random import Random

__all__ = ["Latency", "Timing"]


@attrs.frozen
class Timing:
    """When the parts of one answer are due, in seconds after the request was read."""

    ttft: float = 0.0
    """The first token."""

    per_token: float = 0.0
    """Each further token."""

    def due(self, tokens_before: int) -> float:
        """When the event goes out that has ``tokens_before`` tokens of the same choice before it."""
        return self.ttft + self.per_token * tokens_before


@attrs.frozen(kw_only=True)
class Latency:
    """How fast the simulated models answer. Every value defaults to 0: at once.

    The same simulator seed and the same request (and the same number of sendings before it) give the same
    delays, so a slow run can be repeated. A resend draws anew: the second try of a slow request may be fast.

    Args:
        ttft: seconds until the first token (0 or more).
        per_token: seconds for each further token (0 or more). An answer that is not streamed arrives when
            its last token would have.
        jitter: 0 to 1; the delays of a request are multiplied by a factor from ``1 - jitter`` to
            ``1 + jitter``.
        slow_share: 0 to 1; the share of requests that are stragglers.
        slow: seconds that a straggler's first token takes on top (default 1).
    """

    ttft: float = attrs.field(default=0.0, validator=ge(0))
    per_token: float = attrs.field(default=0.0, validator=ge(0))
    jitter: float = attrs.field(default=0.0, validator=and_(ge(0), le(1)))
    slow_share: float = attrs.field(default=0.0, validator=and_(ge(0), le(1)))
    slow: float = attrs.field(default=1.0, validator=ge(0))

    def timing(self, random: Random) -> Timing:
        """The delays of one request, drawn from ``random``."""
        # Both are always drawn, so that changing one setting does not reshuffle the other.
        factor = 1.0 + self.jitter * random.uniform(-1.0, 1.0)
        straggler = random.random() < self.slow_share
        return Timing(
            ttft=self.ttft * factor + (self.slow if straggler else 0.0),
            per_token=self.per_token * factor,
        )
