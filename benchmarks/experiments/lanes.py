"""Which order between lanes lets a chat through beside batches, and shares by tokens? Queues as arithmetic.

Run ``python benchmarks/experiments/lanes.py``, with ``--charts FOLDER`` for the picture of the documentation. Batches
of one lane each always have rows to send, a chat calls once a second; 64 may be in flight, answers take 0.5 to 1.5 s.
The orders that lost stand here; the one that won is the library's.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from pathlib import Path
from typing import Final, Protocol

import attrs
from curves import Curve, drawn

from anyfast_async._core.limits.fair_share import FairShares, Share

PLACES: Final = 64


class Order(Protocol):
    """Says which lane goes next."""

    def wakes(self, lane: int) -> None:
        """Hear that a lane has somebody to send."""

    def first(self, ready: list[int], cost: dict[int, float]) -> int:
        """Return the lane whose turn it is; *cost* is what the next call of each takes."""


class Arrival:
    """In the order in which calls came: batches came first, with all their rows."""

    def __init__(self, lanes: int, weights: dict[int, float]) -> None:
        del lanes, weights
        self._turn = 0

    def wakes(self, lane: int) -> None:
        pass

    def first(self, ready: list[int], cost: dict[int, float]) -> int:
        del cost
        busy = [lane for lane in ready if lane]
        self._turn += 1
        return busy[self._turn % len(busy)] if busy else ready[0]


class RoundRobin:
    """Deficit round robin: each lane in turn may send what a quantum of tokens times its weight allows."""

    def __init__(self, lanes: int, weights: dict[int, float], quantum: float = 1000.0) -> None:
        self._round = deque(range(lanes))
        self._deficit = dict.fromkeys(range(lanes), 0.0)
        self._quantum = {lane: quantum * weights[lane] for lane in range(lanes)}
        self._fresh = True

    def wakes(self, lane: int) -> None:
        self._deficit[lane] = 0.0

    def first(self, ready: list[int], cost: dict[int, float]) -> int:
        while True:
            lane = self._round[0]
            if lane in ready:
                if self._fresh:
                    self._deficit[lane] += self._quantum[lane]
                    self._fresh = False
                if self._deficit[lane] >= cost[lane]:
                    self._deficit[lane] -= cost[lane]
                    return lane
            self._round.rotate(-1)
            self._fresh = True


class StartTime:
    """The library's."""

    def __init__(self, lanes: int, weights: dict[int, float]) -> None:
        self._fair = FairShares()
        self._shares = [Share(weights[lane]) for lane in range(lanes)]

    def wakes(self, lane: int) -> None:
        self._fair.wakes(self._shares[lane])

    def first(self, ready: list[int], cost: dict[int, float]) -> int:
        shares = [self._shares[lane] for lane in ready]
        share = self._fair.first(shares)
        lane = self._shares.index(share)
        self._fair.charge(share, cost[lane], shares)
        return lane


@attrs.define
class Run:
    """What was seen."""

    waits: list[float] = attrs.field(factory=list)
    """Of the chat."""
    tokens: dict[int, float] = attrs.field(factory=dict)
    """Of each batch."""
    rows: int = 0


def run(order: Order, batches: int, sizes: dict[int, float], seconds: float = 600.0) -> Run:
    """Lane 0 is the chat."""
    chance, found = random.Random(5), Run(tokens=dict.fromkeys(range(1, batches + 1), 0.0))
    ends: list[float] = []
    chat: deque[float] = deque()
    next_chat = 5.0
    for lane in range(1, batches + 1):
        order.wakes(lane)
    now = 0.0
    while now < seconds:
        while len(ends) < PLACES:
            ready = [*([0] if chat else []), *range(1, batches + 1)]
            cost = {lane: sizes[lane] * chance.uniform(0.5, 1.5) for lane in ready}
            lane = order.first(ready, cost)
            if lane:
                found.tokens[lane] += cost[lane]
                found.rows += 1
            else:
                found.waits.append(now - chat.popleft())
            heapq.heappush(ends, now + chance.uniform(0.5, 1.5))
        now = min(ends[0], next_chat)
        if now == next_chat:
            if not chat:
                order.wakes(0)
            chat.append(now)
            next_chat += 1.0
        while ends and ends[0] <= now:
            heapq.heappop(ends)
    found.waits += [now - at for at in chat]
    return found


ORDERS: Final[dict[str, type[Arrival | RoundRobin | StartTime]]] = {
    "order of arrival": Arrival,
    "deficit round robin": RoundRobin,
    "start-time fair queueing (taken)": StartTime,
}


def quantile(values: list[float], share: float) -> float:
    """Return the value that a *share* of them is below."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table() -> None:
    """Print what a chat waits, how far shares are off, and how many rows of batches went."""
    print("| order | batches | chat waits, p50 | p99 | tokens off their share | rows |")
    print("|---|---|---|---|---|---|")
    for batches in (1, 10, 40):
        sizes = {0: 200.0, **{lane: 100.0 if lane % 2 else 900.0 for lane in range(1, batches + 1)}}
        for name, kind in ORDERS.items():
            seen = run(kind(batches + 1, dict.fromkeys(range(batches + 1), 1.0)), batches, sizes)
            total = sum(seen.tokens.values())
            off = max(abs(tokens / total * batches - 1) for tokens in seen.tokens.values())
            p50, p99 = (quantile(seen.waits, share) for share in (0.5, 0.99))
            print(
                f"| {name} | {batches} | {p50 * 1e3:.0f} ms | {p99 * 1e3:.0f} ms | {off:.0%} | {seen.rows} |",
                flush=True,
            )


def charts(folder: Path) -> None:
    """Draw what shares of the chat's calls wait no longer than a time, beside ten batches."""
    sizes = {0: 300.0, **dict.fromkeys(range(1, 11), 500.0)}
    names = {"deficit round robin": "round robin", "start-time fair queueing (taken)": "lanes here"}
    curves = []
    for name, kind in ORDERS.items():
        if name not in names:
            continue
        waits = sorted(run(kind(11, dict.fromkeys(range(11), 1.0)), 10, sizes).waits)
        points = [(ms, 100 * sum(wait * 1e3 <= ms for wait in waits) / len(waits)) for ms in range(0, 401, 4)]
        curves.append(Curve(names[name], points, "ours" if "taken" in name else ""))
    drawn(folder / "lanes.svg", "Chat calls that waited no longer, in %, beside ten batches", "ms", curves, top=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charts", type=Path, help="draw into this folder instead")
    given = parser.parse_args()
    if given.charts is None:
        table()
    else:
        charts(given.charts)
