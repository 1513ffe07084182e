"""Whether what was measured is the gateway's doing, or that of the program which measures. Pure.

A loop that is late tells every time too long, and starts requests too late; one that has no CPU left does both. Where
that is more than a small part of what was measured, the figures are no figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from anyfast_async._values.text import measured
from anyfast_async.cli.bench.histogram import Times

BUSY: Final = 0.9
"""Share of one CPU from which on this process is taken for the limit: it has one thread."""
SHARES: Final = ((90, 0.03), (99, 0.05))
"""Percentiles of how late the loop was and requests started, and the share of the median first token that each may be:
the lower ones move every figure, the last ones only those of the slowest answers."""
TOKEN_SHARE: Final = 0.1
"""Of the median time per token, by which the loop may be late (p50)."""
LEAST: Final = 0.002
"""Seconds that count for nothing in any case: timers of the kernel."""


@attrs.define
class Checks:
    """What this process did while it measured."""

    loop_delay: Times = attrs.field(factory=Times)
    """How much later than they were due timers of the loop came."""
    start_delay: Times = attrs.field(factory=Times)
    """How much later than they were due requests were sent."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    held_back: int = 0
    """Requests that waited in this client: as many as it may have were in flight, or the gateway throttles."""

    @property
    def cpu(self) -> float:
        """The share of one CPU that was used."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds else 0.0

    def problems(self, first_token: float | None, per_token: float | None) -> list[str]:
        """Return what makes the figures useless, in words; the medians say how exact they have to be."""
        found = []
        if self.cpu > BUSY:
            found.append(f"this process used {self.cpu:.0%} of a CPU, and has no more")
        for times, what in ((self.loop_delay, "the event loop was late"), (self.start_delay, "requests started late")):
            for percent, share in reversed(SHARES) if first_token is not None else ():
                late = times.percentile(percent)
                if late is not None and late > max(LEAST, share * (first_token or 0.0)):
                    found.append(
                        f"{what}: by {measured(late)} (p{percent}), more than {share:.0%} of the median first token"
                    )
                    break
        middle = self.loop_delay.percentile(50)
        if per_token is not None and middle is not None and middle > max(LEAST, TOKEN_SHARE * per_token):
            found.append(f"the event loop was late by {measured(middle)} (p50), too much for single tokens")
        if self.held_back:
            found.append(f"{self.held_back:,} requests were held back here, and not sent when they were due")
        return found

    def as_json(self, round_to: Callable[[float | None], float | None]) -> dict[str, Any]:
        """Return it for a program; times in seconds."""
        return {
            "cpu": round_to(self.cpu),
            "held_back": self.held_back,
            **{
                name: {f"p{percent}": round_to(times.percentile(percent)) for percent in (50, 99)}
                for name, times in (("loop_delay", self.loop_delay), ("start_delay", self.start_delay))
            },
        }
