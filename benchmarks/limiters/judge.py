"""What the gateway saw, in figures. Pure."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loads import MINUTE, REQUESTS, TOKENS, Load


@dataclass(frozen=True)
class Request:
    """A call: when it asked to go, and when it arrived at the gateway, in seconds from the beginning of the load."""

    worker: int
    asked: float
    arrived: float | None
    used: int
    large: bool = False


def worst(uses: Iterable[tuple[float, int]], seconds: float) -> int:
    """Return the most in any so many seconds."""
    ordered = sorted(uses)
    most = total = first = 0
    for at, amount in ordered:
        total += amount
        while ordered[first][0] <= at - seconds:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most


def jain(parts: Sequence[float]) -> float:
    """Return Jain's index: 1 where all parts are equal, 1/n where one has all."""
    squares = sum(part * part for part in parts)
    return sum(parts) ** 2 / (len(parts) * squares) if squares else 1.0


def late(requests: Sequence[Request], end: float) -> float:
    """Return how long 99 % of the calls at most waited beyond their turn.

    With the same grants, handed out in the order of asking, the n-th that asked would have had the n-th of them. A call
    that was not let in by the end has waited until then.
    """
    ordered = sorted(requests, key=lambda one: one.asked)
    turns = sorted(one.arrived for one in ordered if one.arrived is not None)
    beyond = sorted(
        max(0.0, (end if one.arrived is None else one.arrived) - turn)
        for one, turn in zip(ordered, turns, strict=False)
    )
    return beyond[math.ceil(0.99 * len(beyond)) - 1] if beyond else 0.0


def used(requests: Iterable[Request], begin: float, end: float) -> float:
    """Return what part of the limit that binds was used from *begin* to *end*."""
    seen = [one for one in requests if one.arrived is not None and begin <= one.arrived < end]
    minutes = (end - begin) / MINUTE
    return max(len(seen) / REQUESTS, sum(one.used for one in seen) / TOKENS) / minutes


def figures(load: Load, requests: Sequence[Request], *, counts_tokens: bool = True) -> dict[str, Any]:
    """Return the figures of a load."""
    went = [one for one in requests if one.arrived is not None and one.arrived < load.seconds]
    times = [(one.arrived or 0.0, 1) for one in went]
    tokens = [(one.arrived or 0.0, one.used) for one in went]
    over = worst(times, MINUTE) / REQUESTS
    if counts_tokens:
        over = max(over, worst(tokens, MINUTE) / TOKENS)
    found: dict[str, Any] = {"sent": len(went), "worst": over, "second": worst(times, 1.0)}
    if load.killed_at is None:
        found["used"] = used(went, MINUTE, 2 * MINUTE)
    else:
        killed = load.killed_at
        found["used"] = used(went, MINUTE, killed)
        found["after"] = used(went, load.seconds - MINUTE, load.seconds)
        parts = Counter(one.worker for one in went if MINUTE <= (one.arrived or 0.0) < killed)
        found["jain"] = jain([parts[worker] for worker in range(load.workers)])
    # Who was killed waits for nothing any more.
    alive = [one for one in requests if load.killed_at is None or one.worker or one.arrived is not None]
    if load.large is None:
        found["late"] = late(alive, load.seconds)
    for one in requests:
        if one.large:
            found["large"] = None if one.arrived is None else one.arrived - one.asked
    return found


def read(worker: int, log: str, begin: float) -> list[Request]:
    """Read the log of a worker: a line when a call asks, a line when it arrives."""
    asked: dict[int, tuple[float, int, bool]] = {}
    arrived: dict[int, float] = {}
    for line in log.splitlines():
        event = json.loads(line)
        if "asked" in event:
            asked[event["number"]] = (event["asked"] - begin, event["used"], event["large"])
        else:
            arrived.setdefault(event["number"], event["arrived"] - begin)
    return [Request(worker, at, arrived.get(number), size, large) for number, (at, size, large) in asked.items()]
