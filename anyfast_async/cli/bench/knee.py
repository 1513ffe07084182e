"""Where more load brings more waiting than work. Pure.

The knee is where throughput / mean response time, the *power* of Kleinrock ("Power and deterministic rules of thumb for
probabilistic problems in computer communications", 1979), is highest: before it more load costs little time, after it
time grows faster than what is done.
"""

from __future__ import annotations

from collections.abc import Sequence

from anyfast_async.cli.bench.measurement import Measurement


def power(one: Measurement) -> float | None:
    """Return it, None where nothing was answered or the figures are not the gateway's."""
    mean = one.whole.mean
    return one.throughput / mean if mean and not one.verdict() else None


def knee(points: Sequence[Measurement]) -> Measurement | None:
    """Return the load of a sweep after which waiting grows faster than work; None if it did not come to that."""
    powers = [(found, one) for one in points if (found := power(one)) is not None]
    if len(powers) < 2:  # noqa: PLR2004 - nothing to compare with
        return None
    _, best = max(powers, key=lambda pair: pair[0])
    return None if best is powers[-1][1] else best
