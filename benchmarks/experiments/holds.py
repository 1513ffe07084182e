"""Which rule holds back best after a refusal that does not say for how long? Scopes as arithmetic, against limiters.

Run ``python benchmarks/experiments/holds.py``. Workers take rows from a list and ask the rule when each may go; a
limiter refuses or grants, and time jumps from event to event. The rules that lost stand here; the one that won is the
library's. The numbers seen, and what was decided, stand in ``README.md`` beside this file.
"""

# ruff: noqa: ARG002, C901, PLR0915 - one world, told from top to bottom; rules and limiters with one shape
from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._limits.scope import Permit, Scope

# -- limiters --------------------------------------------------------------------------------------------------------


@attrs.define
class Bucket:
    """*rate* a second, *burst* besides; *counts*: what is refused takes from it too."""

    rate: float
    burst: float
    counts: bool = False
    level: float = 0.0
    last: float = 0.0

    def grants(self, now: float) -> bool:
        self.level = max(0.0, self.level - (now - self.last) * self.rate)
        self.last = now
        granted = self.level <= self.burst
        if granted or (self.counts and self.level < 2 * self.burst):
            self.level += 1
        return granted

    def ended(self) -> None:
        pass

    def best(self, rows: int, latency: float) -> float:
        return max(0.0, rows - self.burst - 1) / self.rate + latency


@attrs.define
class Sliding:
    """*limit* in any *seconds*; *counts*: with what was refused."""

    limit: int
    seconds: float = 60.0
    counts: bool = False
    taken: deque[float] = attrs.field(factory=deque)

    def grants(self, now: float) -> bool:
        while self.taken and now - self.taken[0] >= self.seconds:
            self.taken.popleft()
        granted = len(self.taken) < self.limit
        if granted or self.counts:
            self.taken.append(now)
        return granted

    def ended(self) -> None:
        pass

    def best(self, rows: int, latency: float) -> float:
        return (-(-rows // self.limit) - 1) * self.seconds + latency


@attrs.define
class Fixed:
    """*limit* in each *seconds* of the limiter's clock."""

    limit: int
    seconds: float = 60.0
    offset: float = 17.0
    window: int = -1
    count: int = 0

    def grants(self, now: float) -> bool:
        window = int((now + self.offset) // self.seconds)
        if window != self.window:
            self.window, self.count = window, 0
        self.count += 1
        return self.count <= self.limit

    def ended(self) -> None:
        pass

    def best(self, rows: int, latency: float) -> float:
        left = self.seconds - self.offset % self.seconds
        windows = -(-rows // self.limit) - 1
        return (left + (windows - 1) * self.seconds if windows else 0) + latency


@attrs.define
class AtOnce:
    """*places* in flight."""

    places: int
    busy: int = 0

    def grants(self, now: float) -> bool:
        granted = self.busy < self.places
        self.busy += granted
        return granted

    def ended(self) -> None:
        self.busy -= 1

    def best(self, rows: int, latency: float) -> float:
        return -(-rows // self.places) * latency


# -- the world -------------------------------------------------------------------------------------------------------


@attrs.define
class Outcome:
    took: float
    sent: int
    refusals: list[float]


def run(
    rule: Any,
    limiter: Any,
    *,
    rows: int,
    workers: int,
    latency: float,
    spread: float = 0.0,
    refusal: float = 0.01,
    seed: int = 1,
    guilty: frozenset[int] = frozenset(),
    longest: float = 3600.0,
) -> Outcome:
    rand = random.Random(seed)
    todo, queue = iter(range(rows)), deque[tuple[int, Suspicion]]()
    events: list[tuple[float, int, Callable[[float], None]]] = []
    order = itertools.count()
    now, sent, done, refusals = 0.0, 0, 0, []
    rings = [float("inf")]

    def at(when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(order), what))

    def pull() -> None:
        row = next(todo, None)
        if row is not None:
            queue.append((row, Suspicion()))

    def serve(now: float) -> None:
        nonlocal sent
        while queue:
            wait = rule.wait(now)
            if wait is None:
                return
            if wait > 1e-9:
                if now + wait < rings[0] - 1e-9 or rings[0] <= now:
                    rings[0] = now + wait
                    at(now + wait, serve)
                return
            row, record = queue.popleft()
            entry = rule.take(now)
            sent += 1
            send(now, row, record, entry)

    def send(now: float, row: int, record: Suspicion, entry: Any) -> None:
        if row not in guilty and limiter.grants(now):
            length = latency * (rand.lognormvariate(-spread * spread / 2, spread) if spread else 1.0)

            def answered(now: float) -> None:
                nonlocal done
                limiter.ended()
                rule.succeeded(entry, now, workers)
                rule.left(entry)
                done += 1
                pull()
                serve(now)

            at(now + length, answered)
        else:

            def refused(now: float) -> None:
                refusals.append(now)
                rule.refused(entry, now, rand.random(), record)
                rule.left(entry)
                if record.goes_first:
                    queue.appendleft((row, record))
                else:
                    queue.append((row, record))
                serve(now)

            at(now + refusal, refused)

    for _ in range(workers):
        pull()
    serve(0.0)
    while events and now < longest and done < rows - len(guilty):
        now, _, what = heapq.heappop(events)
        if rings[0] <= now:
            rings[0] = float("inf")
        what(now)
    return Outcome(now if done == rows - len(guilty) else float("inf"), sent, refusals)


# -- rules -----------------------------------------------------------------------------------------------------------


class Chosen:
    """The library's."""

    def __init__(self) -> None:
        self.scope = Scope(None, None, None)
        self.throttle = self.scope.throttle

    def wait(self, now: float) -> float | None:
        return self.throttle.wait(now)

    def take(self, now: float) -> Permit:
        return self.scope.take(now, 0)

    def left(self, entry: Permit) -> None:
        self.scope.left(entry)

    def succeeded(self, entry: Permit, now: float, concurrency: int) -> None:
        self.throttle.succeeded(entry, now, concurrency)

    def refused(self, entry: Permit, now: float, rand: float, record: Suspicion) -> None:
        self.scope.throttled(entry, now, record, Refusal(None, rand))


class Steps(Chosen):
    """A table of holds, then one request, then twice as many per round trip; a limit of minutes is learned."""

    PROOF = 12.0

    def __init__(self, *steps: float) -> None:
        super().__init__()
        self.steps = steps
        self.since = 0.0

    def succeeded(self, entry: Permit, now: float, concurrency: int) -> None:
        one = self.throttle
        if one.ceiling is not None and entry.hold == one.holds:
            one.streak = 0
            one.ceiling += 1
            if one.ceiling >= concurrency:
                one.ceiling = None

    def refused(self, entry: Permit, now: float, rand: float, record: Suspicion) -> None:
        one = self.throttle
        one.learned.granted.settle(now, entry.granted, -1)
        if entry.hold == one.holds:
            if not one.streak:
                self.since = now
            one.streak += 1
            one.hold()
            one.held_until = now + self.steps[min(one.streak, len(self.steps)) - 1] * (1 + 0.2 * rand)
        one.learned.refused(now, proven=entry.first and now - self.since >= self.PROOF)


class Halving(Steps):
    """Half as many in flight after a refusal, one more per round trip, as TCP does it; holds only with one left."""

    def __init__(self, *steps: float) -> None:
        super().__init__(*steps)
        self.window = 1000.0

    def wait(self, now: float) -> float | None:
        return None if self.throttle.in_flight >= max(1, int(self.window)) else super().wait(now)

    def succeeded(self, entry: Permit, now: float, concurrency: int) -> None:
        super().succeeded(entry, now, concurrency)
        self.window += 1 / self.window

    def refused(self, entry: Permit, now: float, rand: float, record: Suspicion) -> None:
        one = self.throttle
        if self.window >= 2:
            if entry.hold == one.holds:
                self.window = min(self.window, one.in_flight) / 2
                one.holds += 1
            one.learned.granted.settle(now, entry.granted, -1)
        else:
            super().refused(entry, now, rand, record)


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "20/s, burst 5, 20 ms": (lambda: Bucket(20, 5), {"rows": 120, "workers": 32, "latency": 0.02}),
    "20/s, burst 5, 1 s": (lambda: Bucket(20, 5), {"rows": 120, "workers": 32, "latency": 1.0, "spread": 0.5}),
    "20/s, burst 5, counts refused": (lambda: Bucket(20, 5, True), {"rows": 120, "workers": 32, "latency": 0.02}),
    "100/s, burst 100, 0.2 s": (lambda: Bucket(100, 100), {"rows": 1000, "workers": 64, "latency": 0.2}),
    "5/s, burst 1, 0.2 s": (lambda: Bucket(5, 1), {"rows": 120, "workers": 64, "latency": 0.2}),
    "5.5/s, burst 333, 1 s": (lambda: Bucket(5.55, 333), {"rows": 1000, "workers": 64, "latency": 1.0}),
    "20 in each 3 s": (lambda: Fixed(20, 3.0, 0.0), {"rows": 120, "workers": 32, "latency": 0.02}),
    "100 in each 10 s": (lambda: Fixed(100, 10.0, 3.0), {"rows": 600, "workers": 64, "latency": 0.2}),
    "10 in any 1 s": (lambda: Sliding(10, 1.0), {"rows": 120, "workers": 32, "latency": 0.1}),
    "4 at once, 0.25 s": (lambda: AtOnce(4), {"rows": 60, "workers": 16, "latency": 0.25}),
    "4 at once, 120 rows": (lambda: AtOnce(4), {"rows": 120, "workers": 16, "latency": 0.25}),
    "4 at once, 64 workers": (lambda: AtOnce(4), {"rows": 240, "workers": 64, "latency": 0.25, "spread": 0.7}),
    "16 at once, 3 s": (lambda: AtOnce(16), {"rows": 320, "workers": 64, "latency": 3.0, "spread": 0.7}),
    "333 in any minute": (lambda: Sliding(333), {"rows": 1000, "workers": 64, "latency": 1.0, "refusal": 0.05}),
    "333 in any minute, 5 s": (lambda: Sliding(333), {"rows": 1000, "workers": 64, "latency": 5.0, "spread": 0.5}),
    "the same, counts refused": (lambda: Sliding(333, 60.0, True), {"rows": 1000, "workers": 64, "latency": 1.0}),
    "333 in each minute": (lambda: Fixed(333), {"rows": 1000, "workers": 64, "latency": 1.0, "refusal": 0.05}),
    "5 in any minute": (lambda: Sliding(5), {"rows": 20, "workers": 8, "latency": 1.0}),
}
RULES: dict[str, Callable[[], Any]] = {
    "minutes": lambda: Steps(5, 10, 20, 40, 60),
    "doubling": lambda: Steps(1, 2, 4, 8, 16, 32, 60),
    "halving": lambda: Halving(1, 2, 4, 8, 16, 32, 60),
    "chosen": Chosen,
}


def main() -> None:
    for name, (limiter, how) in CASES.items():
        cells = []
        for rule in RULES.values():
            found = [run(rule(), limiter(), seed=seed, **how) for seed in range(5)]
            best = limiter().best(how["rows"], how["latency"])
            took = max(one.took for one in found)
            sent = max(one.sent for one in found) / how["rows"]
            cells.append(f"{took / best:6.2f}x {sent:5.2f} sends")
        print(f"{name:32} {'  |  '.join(cells)}")


if __name__ == "__main__":
    main()
