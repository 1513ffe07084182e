"""Which rule finds how many requests a server takes at once? Closed loops as arithmetic, against servers and latencies.

Run ``python benchmarks/experiments/windows.py``, with ``--charts FOLDER`` for the pictures of the documentation. There
is always more to send. A server takes so many at once and refuses the rest, lets them wait, or serves all of them more
slowly; in the middle of the run its capacity may change. The rules that lost stand here; the one that won is the
library's. The numbers seen, and what was decided, stand in ``README.md`` beside this file.
"""

# ruff: noqa: C901, PLR0915 - one world, told from top to bottom
from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

import attrs
from curves import Curve, drawn

from anyfast_async._core.limits.adaptive_window import EACH, AdaptiveWindow

Server = Literal["refuses", "queues", "slows"]
Shape = Callable[[random.Random], float]
SHAPES: Final[dict[str, Shape]] = {
    "constant": lambda _: 1.0,
    "0.5 to 1.5 s": lambda chance: chance.uniform(0.5, 1.5),
    "exponential": lambda chance: chance.expovariate(1.0),
    "lognormal, sigma 1": lambda chance: math.exp(chance.gauss(0, 1) - 0.5),
    "bimodal": lambda chance: 0.5 if chance.random() < 0.9 else 5.5,
}
FIRST_TOKEN: Final = 0.1
"""Share of an answer's time after which its first token comes."""


class Rule(Protocol):
    """Says how many may be in flight."""

    @property
    def count(self) -> float: ...

    def answered(self, seconds: float, in_flight: int, number: int, newest: int) -> None: ...

    def refused(self) -> None: ...


class Taken:
    """The library's."""

    def __init__(self, *, streams: bool) -> None:
        self._window = AdaptiveWindow(4, 1, 1000)
        del streams  # their ends are heard, as of other answers

    @property
    def count(self) -> float:
        return self._window.count

    def answered(self, seconds: float, in_flight: int, number: int, newest: int) -> None:
        self._window.answered(in_flight, EACH, seconds, 1.0, number, newest)

    def refused(self) -> None:
        self._window.refused()


class Fixed:
    """As many as somebody has chosen who knew."""

    def __init__(self, count: int) -> None:
        self.count = count

    def answered(self, seconds: float, in_flight: int, number: int, newest: int) -> None:
        pass

    def refused(self) -> None:
        pass


class Aimd:
    """One more with each round of answers; three quarters when one is refused, or a round takes 1.5 times the least."""

    def __init__(self, *, streams: bool) -> None:
        del streams
        self.count = 4.0
        self._sum, self._answers, self._least, self._rest = 0.0, 0, math.inf, 0

    def answered(self, seconds: float, in_flight: int, number: int, newest: int) -> None:
        del in_flight, number, newest
        self._sum += seconds
        self._answers += 1
        self._rest -= 1
        if self._answers >= self.count:
            mean = self._sum / self._answers
            self._least = min(self._least, mean)
            self.count = max(1.0, self.count * 0.75) if mean > 1.5 * self._least else self.count + 1
            self._sum, self._answers = 0.0, 0

    def refused(self) -> None:
        if self._rest <= 0:  # a cascade counts once
            self.count = max(1.0, self.count * 0.75)
            self._rest = int(self.count)


class Gradient:
    """Each round: what there is, times the mean of all over that of the round, and the root of it more."""

    def __init__(self, *, streams: bool) -> None:
        del streams
        self.count = 4.0
        self._sum, self._answers, self._long, self._rest = 0.0, 0, 0.0, 0

    def answered(self, seconds: float, in_flight: int, number: int, newest: int) -> None:
        del number, newest
        self._sum += seconds
        self._answers += 1
        self._rest -= 1
        if self._answers < self.count:
            return
        mean = self._sum / self._answers
        self._long = mean if not self._long else self._long + 0.05 * (mean - self._long)
        gradient = min(1.0, max(0.5, self._long / mean))
        if in_flight >= self.count / 2:
            self.count = max(1.0, 0.8 * self.count + 0.2 * (self.count * gradient + math.sqrt(self.count)))
        self._sum, self._answers = 0.0, 0

    def refused(self) -> None:
        if self._rest <= 0:
            self.count = max(1.0, self.count * 0.9)
            self._rest = int(self.count)


@attrs.define
class Run:
    """What was seen."""

    windows: list[tuple[float, float, float]] = attrs.field(factory=list)
    """From, to, and how many might be in flight."""
    answers: list[float] = attrs.field(factory=list)
    refused: int = 0

    def window(self, since: float, until: float) -> float:
        parts = (max(0.0, min(end, until) - max(start, since)) * count for start, end, count in self.windows)
        return sum(parts) / (until - since)

    def rate(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in self.answers) / (until - since)


def run(
    rule: Rule,
    capacities: tuple[int, int],
    server: Server,
    shape: Shape,
    *,
    streams: bool,
    seconds: float,
) -> Run:
    """Send for *seconds*, after half of which the capacity changes."""
    changes = [(0.0, capacities[0]), (seconds / 2, capacities[1])]
    return world([rule], changes, server, shape, streams=streams, seconds=seconds)[0]


def world(
    rules: Sequence[Rule],
    changes: Sequence[tuple[float, int]],
    server: Server,
    shape: Shape,
    *,
    streams: bool,
    seconds: float,
    second_from: float = 0.0,
) -> list[Run]:
    """Send for *seconds*, a client by each rule; the *changes* of the capacity by their times, from 0 on."""
    chance, found = random.Random(1), [Run() for _ in rules]
    now = served = 0.0  # *served*: seconds of work that one request has had since the beginning, where all slow down
    coming = deque(changes)
    capacity = coming.popleft()[1]
    events: list[tuple[float, str, int]] = []
    working: list[tuple[float, str, int]] = []
    waiting: deque[int] = deque()
    jobs: dict[int, tuple[float, float, int, int]] = {}
    in_flight, numbers = [0] * len(rules), [0] * len(rules)
    active = last = 0

    def start(job: int) -> None:
        work = jobs[job][1]
        queue, at = (working, served) if server == "slows" else (events, now)
        if streams:
            heapq.heappush(queue, (at + FIRST_TOKEN * work, "first", job))
        heapq.heappush(queue, (at + work, "end", job))

    while now < seconds:
        for who, rule in enumerate(rules):
            while in_flight[who] < int(rule.count) and (who == 0 or now >= second_from):
                last += 1
                numbers[who] += 1
                in_flight[who] += 1
                jobs[last] = now, shape(chance), who, numbers[who]
                if server == "refuses" and active >= capacity:
                    heapq.heappush(events, (now + 0.02, "refused", last))
                elif server == "queues" and active >= capacity:
                    waiting.append(last)
                else:
                    active += 1
                    start(last)
        speed = 1.0 if server != "slows" or active <= capacity else capacity / active
        next_event = events[0][0] if events else math.inf
        next_work = now + (working[0][0] - served) / speed if working else math.inf
        change = coming[0][0] if coming else math.inf
        until = min(next_event, next_work, change, seconds)
        for one, rule in zip(found, rules, strict=True):
            one.windows.append((now, until, int(rule.count)))
        served += (until - now) * speed
        now = until
        if now == change:
            capacity = coming.popleft()[1]
        elif now < seconds:
            _, kind, job = heapq.heappop(working if next_work == now else events)
            began, _, who, number = jobs[job]
            rule = rules[who]
            if kind == "first":
                if not isinstance(rule, Taken):
                    rule.answered(now - began, in_flight[who], number, numbers[who])
                continue
            del jobs[job]
            if kind == "refused":
                found[who].refused += 1
                rule.refused()
            else:
                active -= 1
                found[who].answers.append(now)
                if not streams or isinstance(rule, Taken):
                    rule.answered(now - began, in_flight[who], number, numbers[who])
            in_flight[who] -= 1
        while waiting and active < capacity:
            active += 1
            start(waiting.popleft())
    return found


RULES: Final = {"AIMD": Aimd, "gradient": Gradient, "taken": Taken}
CHANGES: Final = {"constant": 1.0, "halved": 0.5, "doubled": 2.0}


def table(seconds: float = 300.0) -> None:
    """Print for each server and shape: window over capacity, and answers over those that could be, of each rule."""
    print("| the server, answers | signal |" + "".join(f" {name} |" for name in RULES))
    print("|---|---|" + "---|" * len(RULES))
    for server in ("refuses", "queues", "slows"):
        for name, shape in SHAPES.items():
            for streams in (False, True):
                cells = []
                for rule in RULES.values():
                    off, least = 0.0, math.inf
                    for capacity in (16, 64):
                        for times in CHANGES.values():
                            after = int(capacity * times)
                            seen = run(
                                rule(streams=streams),
                                (capacity, after),
                                server,
                                shape,
                                streams=streams,
                                seconds=seconds,
                            )
                            since = seconds / 2 + 30
                            off = max(off, abs(seen.window(since, seconds) / after - 1))
                            least = min(least, seen.rate(since, seconds) / after)
                    cells.append(f" {off:.0%}, {least:.0%} |")
                signal = "first token" if streams else "each token"
                print(f"| {server}, {name} | {signal} |" + "".join(cells), flush=True)


SWEEP: Final = (0.5, 0.75, 0.9, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0)
"""Fixed windows that are tried, over the capacity."""


def best_fixed(capacity: int, server: Server, shape: Shape, seconds: float) -> float:
    """Return the answers a second of the best of many fixed windows, from 30 answer times on."""
    rates = []
    for count in sorted({max(1, round(capacity * times)) for times in SWEEP}):
        seen = run(Fixed(count), (capacity, capacity), server, shape, streams=False, seconds=seconds)
        rates.append(seen.rate(30.0, seconds))
    return max(rates)


def capacities(seconds: float = 260.0) -> None:
    """Print for each capacity, change and server: the mean window, and answers over those of the best fixed window."""
    best: dict[tuple[str, int], float] = {}
    print("| it takes at once | refuses | lets them wait | slows down |\n|---|---|---|---|")
    for capacity in (4, 16, 64, 256):
        for change, times in CHANGES.items():
            after, cells = int(capacity * times), []
            for server in ("refuses", "queues", "slows"):
                seen = run(
                    Taken(streams=False),
                    (capacity, after),
                    server,
                    SHAPES["0.5 to 1.5 s"],
                    streams=False,
                    seconds=seconds,
                )
                since = seconds / 2 + 30
                if (server, after) not in best:
                    best[server, after] = best_fixed(after, server, SHAPES["0.5 to 1.5 s"], seconds / 2)
                share = seen.rate(since, seconds) / best[server, after]
                cells.append(f" {seen.window(since, seconds):.1f}, {share:.1%} |")
            print(f"| {capacity}, {change} ({after}) |" + "".join(cells), flush=True)


def beside(seconds: float = 400.0) -> None:
    """Print how clients that do not know of each other share 64, and how one follows a capacity that wanders."""
    shape = SHAPES["0.5 to 1.5 s"]
    servers: tuple[Server, ...] = ("refuses", "queues", "slows")
    print("| | refuses | lets them wait | slows down |\n|---|---|---|---|")
    for late in (0.0, 100.0):
        cells = []
        for server in servers:
            rules, changes = [Taken(streams=False), Taken(streams=False)], [(0.0, 64)]
            seen = world(rules, changes, server, shape, streams=False, seconds=seconds, second_from=late)
            first, second = (one.window(seconds / 2, seconds) for one in seen)
            rate = sum(one.rate(seconds / 2, seconds) for one in seen) / 64
            cells.append(f" {first:.0f} and {second:.0f}, {rate:.0%} |")
        print(f"| two clients, the second {late:.0f} s later |" + "".join(cells), flush=True)
    for share in (0.05, 0.2):
        chance, capacity, changes = random.Random(5), 64.0, []
        for at in range(0, int(seconds), 5):
            changes.append((float(at), round(capacity)))
            capacity = min(128.0, max(32.0, capacity * math.exp(chance.gauss(0, share))))
        later, cells = [change for change in changes if change[0] >= 30], []
        for server in servers:
            seen = world([Taken(streams=False)], changes, server, shape, streams=False, seconds=seconds)
            off = sum(abs(seen[0].window(at, at + 5) / count - 1) for at, count in later) / len(later)
            rate = seen[0].rate(30.0, seconds) / (sum(count for _, count in later) / len(later))
            cells.append(f" {off:.0%} off, {rate:.0%} |")
        print(f"| one, {share:.0%} up or down each 5 s |" + "".join(cells), flush=True)


def charts(folder: Path) -> None:
    """Draw how the window of each rule goes where the capacity is halved."""
    curves = []
    for name, rule in RULES.items():
        seen = run(rule(streams=False), (64, 32), "slows", SHAPES["0.5 to 1.5 s"], streams=False, seconds=240.0)
        points = [(second, seen.window(second, second + 1)) for second in range(239)]
        curves.append(Curve('concurrency="auto"', points, "ours") if name == "taken" else Curve(name, points))
    curves.append(Curve("what the server takes", [(0, 64), (119.9, 64), (120, 32), (239, 32)], "truth"))
    drawn(folder / "window.svg", "Requests in flight, a server that slows down", "seconds", curves, top=140)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charts", type=Path, help="draw into this folder instead")
    parser.add_argument("--capacities", action="store_true", help="the rule that was taken alone, for 4 to 256 at once")
    parser.add_argument("--beside", action="store_true", help="two clients before one server, and one that wanders")
    given = parser.parse_args()
    if given.capacities:
        capacities()
    elif given.beside:
        beside()
    elif given.charts is None:
        table()
    else:
        charts(given.charts)
