"""A discrete-event simulation of 10^9 prompts over 1 000 workers: what limits first, and what next.

    python benchmarks/scale_simulation.py --measure        # what the steps cost on this machine, in CPU time
    python benchmarks/scale_simulation.py --out docs/explanation/charts

The numbers that it begins with are in ``COSTS``, with where each is from. What is simulated is the order of events:
shards wait for workers, workers for the store of the limiter and for the shared disk, which are queues; workers and
racks are lost and come back. What one row costs is a number, not an event: a billion of them are shards of 50 000.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import attrs
from charts import OTHERS, OURS, REFERENCE, STYLE, WIDTH

MINUTE, DAY = 60.0, 86_400.0
BEATS = 2.0
"""Seconds between two beats of a lease."""


@attrs.frozen
class Costs:
    """Seconds (of one core), bytes and rates of the steps."""

    row: float = 1 / 1400
    """A row on its worker, sending and journal included: rows a second of one process."""
    start: float = 1.5
    """A shard before its first row: import, client, connections (a worker that is warm: less)."""
    look: float = 41e-6
    """A row that is looked at before anything is sent, by a worker."""
    again: float = 53e-6
    """A row that was done, when its shard goes on: copied, read back, counted."""
    cut: float = 1 / 600e6
    """A byte of input that is cut into a piece, by who leads."""
    hashed: float = 1 / 950e6
    """A byte of input that is hashed, by who leads."""
    merged: float = 1 / 1300e6
    """A byte of answers that is put into the output, by who leads."""
    task: float = 1e-3
    """A task of the engine's scheduler (Dask: about a millisecond)."""
    grant: float = 1 / 5800
    """A call of the limiter's store (one Lua script on a local Redis 7)."""
    beat: float = 2e-4
    """A beat of a lease as a load on the shared disk: three operations on its metadata, 15 000 of which it can do."""
    disk: float = 1 / 1.2e9
    """A byte on the shared disk."""
    row_in: int = 300
    row_out: int = 720
    """Bytes of a row's answer and of its lines in the log."""
    latency: float = 2.0
    """Seconds of an answer."""
    in_flight: int = 3000
    """Rows at once, per worker at most: what it takes for as many a second as a process can send."""
    lease: float = 30.0
    noticed: float = 5.0
    """Seconds until an engine has noticed that a worker is gone."""
    back: float = 120.0
    """Seconds until another worker is there in its place."""


COSTS = Costs()


@attrs.define
class World:
    """A run: its shards, workers and what they share."""

    rows: int = 1_000_000_000
    workers: int = 1000
    shard: int = 50_000
    grants: float = 0.0
    """Calls of the limiter's store per row; 0: none, 1: one per row, 0.01: blocks of 100 are leased."""
    quota: float | None = None
    """Rows a second that the gateway allows."""
    mtbf: float | None = None
    """Seconds between two losses of one worker, on average."""
    rack: tuple[float, int] | None = None
    """When a rack is lost, and how many workers it has."""
    costs: Costs = COSTS
    seed: int = 1

    def limits(self) -> dict[str, float]:
        """Rows a second that each part allows, with all workers at work."""
        c = self.costs
        return {
            "workers": self.workers / c.row,
            "answers": self.workers * c.in_flight / c.latency,
            "limiter's store": 1 / (c.grant * self.grants) if self.grants else float("inf"),
            "shared disk": max(1.0, (1 - self.workers * c.beat / BEATS) / (c.row_out * c.disk)),
            "scheduler": self.shard / c.task,
            "quota": self.quota or float("inf"),
        }

    def rate(self, busy: int) -> float:
        """Rows a second of one worker while *busy* are at work: what they share is shared equally."""
        limits = self.limits()
        own = min(1 / self.costs.row, self.costs.in_flight / self.costs.latency)
        shared = min(limits["limiter's store"], limits["shared disk"], limits["quota"])
        return min(own, shared / max(1, busy))


class Outcome(NamedTuple):
    """What came of a run, in seconds and rows."""

    before: float
    """Cut, hashed and looked at."""
    sending: float
    after: float
    """Put into one output."""
    resent: int
    again: float
    """Seconds of workers that went into going on after a loss."""
    lost: int
    curve: list[tuple[float, float]]
    """Time and rows done."""

    @property
    def whole(self) -> float:
        return self.before + self.sending + self.after


def simulate(world: World) -> Outcome:  # noqa: C901, PLR0915 - one loop, a case for each event
    """Run it, event by event."""
    c, chance = world.costs, random.Random(world.seed)
    left = [world.shard] * (world.rows // world.shard)
    if world.rows % world.shard:
        left.append(world.rows % world.shard)
    done = [0] * len(left)
    waiting = list(range(len(left)))[::-1]
    at: dict[int, tuple[int, float, float, int]] = {}  # worker: shard, since, rate, number of this try
    events: list[tuple[float, int, str, int, int]] = []
    order = tries = resent = lost = 0
    spent_again = finished = 0.0
    free, curve = list(range(world.workers)), [(0.0, 0.0)]
    scheduler = 0.0

    def later(when: float, kind: str, worker: int, what: int = 0) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (when, order, kind, worker, what))

    def begin(now: float) -> None:
        nonlocal tries, spent_again, scheduler
        while free and waiting:
            worker, shard = free.pop(), waiting.pop()
            scheduler = max(scheduler, now) + c.task
            overhead = c.start + done[shard] * c.again
            spent_again += done[shard] * c.again + (c.start if done[shard] else 0.0)
            rate = world.rate(min(world.workers, len(at) + 1 + len(free)))
            tries += 1
            at[worker] = (shard, scheduler + overhead, rate, tries)
            later(scheduler + overhead + (left[shard] - done[shard]) / rate, "end", worker, tries)

    def lose(worker: int, now: float) -> None:
        nonlocal resent, lost
        lost += 1
        if worker in at:
            shard, since, rate, _ = at.pop(worker)
            done[shard] = min(left[shard], done[shard] + max(0, int((now - since) * rate)))
            resent += min(c.in_flight, max(1, int(rate * c.latency)))
            later(now + max(c.noticed, c.lease), "wait", worker, shard)
        elif worker in free:
            free.remove(worker)
        later(now + c.back, "back", worker)

    if world.mtbf is not None:
        for worker in range(world.workers):
            later(chance.expovariate(1 / world.mtbf), "lose", worker)
    if world.rack is not None:
        when, number = world.rack
        for worker in range(number):
            later(when, "rack", worker)
    begin(0.0)
    last = 0.0
    absent = 0
    while events and (waiting or at or absent):
        now, _, kind, worker, what = heapq.heappop(events)
        match kind:
            case "end":
                if worker in at and at[worker][3] == what:
                    shard = at.pop(worker)[0]
                    finished += left[shard]
                    done[shard] = left[shard]
                    free.append(worker)
                    last = now
                    if finished - curve[-1][1] > world.rows / 200:
                        curve.append((now, finished))
            case "lose" | "rack":
                absent += worker in at
                lose(worker, now)
                if kind == "lose" and world.mtbf is not None:
                    later(now + c.back + chance.expovariate(1 / world.mtbf), "lose", worker)
            case "wait":
                absent -= 1
                waiting.append(what)
            case "back":
                free.append(worker)
        begin(now)
    curve.append((last, finished))
    before = world.rows * c.row_in * (c.cut + c.hashed) + world.rows * c.look / world.workers
    after = world.rows * c.row_out * c.merged
    return Outcome(before, last, after, resent, spent_again, lost, curve)


# -- what steps cost here --------------------------------------------------------------------------------------------


def measure() -> Costs:
    """Measure what the steps of this process cost, in CPU time."""
    from anyfast_async._core.journal.journal_lines import answer_line  # noqa: PLC0415
    from anyfast_async._core.json import codec  # noqa: PLC0415
    from anyfast_async._journal.disk import replace  # noqa: PLC0415
    from anyfast_async.batch import ids_of, open_source, survey  # noqa: PLC0415
    from anyfast_async.batch.input.survey import fingerprint  # noqa: PLC0415
    from anyfast_async.batch.output_files import open_batch  # noqa: PLC0415
    from anyfast_async.completions import ChatCompletion  # noqa: PLC0415
    from anyfast_async.scale.merge import blocks_of  # noqa: PLC0415
    from anyfast_async.scale.split import split  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp())
    try:
        rows = 10_000
        source = folder / "in.jsonl"
        body = {"messages": [{"role": "user", "content": "x" * 160}], "max_tokens": 200}
        with source.open("w") as file:
            for n in range(rows):
                line = {"custom_id": f"row-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(line) + "\n")
        size = source.stat().st_size
        opened = open_source(source)
        (folder / "pieces").mkdir()
        cut = _seconds(lambda: split(opened, folder / "pieces", 8))
        hashed = _seconds(lambda: fingerprint(source))
        looked = _seconds(lambda: survey(opened))
        found = survey(opened)
        choice = {"index": 0, "message": {"role": "assistant", "content": "y" * 300}, "finish_reason": "stop"}
        value = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        completion = codec.structure(value, ChatCompletion)
        out = folder / "out.jsonl"
        with open_batch(out, folder / "out.errors.jsonl") as files:
            for n in range(rows):
                files.journal.started(f"row-{n}")
                files.journal.answered(f"row-{n}", answer_line(f"row-{n}", completion, stem="0" * 24))
        written = out.stat().st_size

        def go_on() -> None:
            for name in ("out.jsonl", "out.jsonl.run"):
                shutil.copyfile(folder / name, folder / f"2{name}")
            with open_batch(folder / "2out.jsonl", folder / "2out.errors.jsonl") as files:
                files.census(ids_of(found))

        again = _seconds(go_on)
        merged = _seconds(lambda: replace(folder / "merged.jsonl", blocks_of([out])))
    finally:
        shutil.rmtree(folder)
    return Costs(
        cut=cut / size,
        hashed=hashed / size,
        look=looked / rows,
        again=again / rows,
        merged=merged / written,
        row_in=size // rows,
        row_out=written // rows + 120,
    )


def _seconds(call: Callable[[], object]) -> float:
    """Return the CPU seconds of the quickest of three calls, those of the system included."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best


# -- pictures --------------------------------------------------------------------------------------------------------

COLOURS = (OURS, "#d9822b", REFERENCE, "#3f9142", OTHERS)


def picture(
    title: str,
    note: str,
    axes: tuple[str, str],
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    log: bool,
) -> str:
    """Return lines over one pair of axes; with *log* both grow tenfold in equal steps."""
    import math  # noqa: PLC0415

    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-9)) if log else value

    xs = [scaled(x) for _, points in lines for x, _ in points]
    ys = [scaled(y) for _, points in lines for _, y in points]
    left, top, right, bottom = 70, 60, WIDTH - 190, 330
    low_x, high_x, low_y, high_y = min(xs), max(xs), min(ys), max(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        along = (scaled(x) - low_x) / ((high_x - low_x) or 1)
        up = (scaled(y) - low_y) / ((high_y - low_y) or 1)
        return left + along * (right - left), bottom - up * (bottom - top)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 380" role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="18">{title}</text><text class="note" x="0" y="38">{note}</text>',
        f'<text class="note" x="{right}" y="{bottom + 40}" text-anchor="end">{axes[0]}</text>',
        f'<text class="note" x="0" y="{top - 6}">{axes[1]}</text>',
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#9aa3ad"/>',
    ]
    for low, high, is_x in ((low_x, high_x, True), (low_y, high_y, False)):
        steps = range(math.ceil(low), math.floor(high) + 1) if log else [low + n * (high - low) / 5 for n in range(6)]
        for step in steps:
            value = 10.0**step if log else step
            x, y = place(value, 10**low_y if log else low_y) if is_x else place(10**low_x if log else low_x, value)
            where = (
                f'x="{x:.0f}" y="{bottom + 18}" text-anchor="middle"'
                if is_x
                else f'x="{left - 6}" y="{y + 4:.0f}" text-anchor="end"'
            )
            parts.append(f'<text class="note" {where}>{_short(value)}</text>')
    for number, (name, points) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{right + 10}" y="{top + 14 + 20 * number}" style="fill:{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _short(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def draw(folder: Path, costs: Costs) -> None:
    """Write the pictures."""
    counts = [1, 2, 4, 10, 30, 100, 300, 1000, 3000]

    def rates(grants: float) -> list[tuple[float, float]]:
        found = []
        for workers in counts:
            world = World(rows=workers * 400_000, workers=workers, grants=grants, costs=costs)
            found.append((float(workers), world.rows / simulate(world).sending))
        return found

    lines = [
        ("limits divided", rates(0)),
        ("blocks of 100 leased", rates(0.01)),
        ("blocks of 10 leased", rates(0.1)),
        ("a call for each row", rates(1)),
    ]
    title = "Rows a second by the number of workers"
    note = "the store of one quota takes 5 800 calls a second; the shared disk is what bends the others"
    (folder / "scale-workers.svg").write_text(picture(title, note, ("workers", "rows/s"), lines, log=True))

    phases: dict[str, list[tuple[float, float]]] = {
        "before": [],
        "sending": [],
        "after": [],
        "with one quota of 10 k/s": [],
    }
    for workers in counts[3:]:
        whole = simulate(World(workers=workers, costs=costs))
        phases["before"].append((workers, whole.before))
        phases["sending"].append((workers, whole.sending))
        phases["after"].append((workers, whole.after))
        phases["with one quota of 10 k/s"].append(
            (workers, simulate(World(workers=workers, quota=1e4, costs=costs)).sending)
        )
    title, note = "10⁹ rows: seconds of each phase", "cutting and putting together are the work of one process"
    (folder / "scale-phases.svg").write_text(picture(title, note, ("workers", "seconds"), [*phases.items()], log=True))

    base = World(costs=costs)
    calm = simulate(base).sending
    curves = [
        ("nothing lost", simulate(base).curve),
        ("a rack of 40 at half", simulate(World(rack=(calm / 2, 40), costs=costs)).curve),
        ("a worker a minute", simulate(World(mtbf=1000 * MINUTE, costs=costs)).curve),
        ("half of all at half", simulate(World(rack=(calm / 2, 500), costs=costs)).curve),
    ]
    title, note = "Rows done over time, 1 000 workers", "what was done is not done again: a loss costs time, not rows"
    (folder / "scale-losses.svg").write_text(picture(title, note, ("seconds", "rows"), curves, log=False))


def tell(costs: Costs) -> None:
    """Print the tables of the page."""
    print("| part | rows/s that it allows | with 1 000 workers |\n|---|---|---|")
    world = World(grants=0.01, costs=costs)
    for name, most in sorted(world.limits().items(), key=lambda one: one[1]):
        print(f"| {name} | {_short(most)} | {'first' if most == min(world.limits().values()) else ''} |")
    print(
        "\n| 10^9 rows | before | sending | after | whole | resent | going on, worker seconds |"
        "\n|---|---|---|---|---|---|---|"
    )
    cases = {
        "1 000 workers": World(costs=costs),
        "100 workers": World(workers=100, costs=costs),
        "a quota of 10 000 rows/s": World(quota=1e4, costs=costs),
        "a store asked for each row": World(grants=1, costs=costs),
        "blocks of 100 leased": World(grants=0.01, costs=costs),
        "a rack of 40 lost": World(rack=(10 * MINUTE, 40), costs=costs),
        "a worker lost each minute": World(mtbf=1000 * MINUTE, costs=costs),
        "shards of 1 000 rows": World(shard=1000, costs=costs),
        "shards of 1 000 000 rows": World(shard=1_000_000, costs=costs),
    }
    for name, one in cases.items():
        o = simulate(one)
        times = " | ".join(f"{seconds / MINUTE:,.1f} min" for seconds in (o.before, o.sending, o.after, o.whole))
        print(f"| {name} | {times} | {o.resent:,} | {o.again:,.0f} |")
    print(f"\none task for each row would keep the scheduler busy for {1e9 * costs.task / DAY:.1f} days")


def main() -> None:
    """Measure, tell or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="what steps cost here, instead of the numbers in COSTS")
    parser.add_argument("--out", type=Path, help="a folder for the pictures")
    given = parser.parse_args()
    costs = measure() if given.measure else COSTS
    if given.measure:
        shown = {a.name: getattr(costs, a.name) for a in attrs.fields(Costs)}
        print(json.dumps(shown, indent=1), os.cpu_count())
    tell(costs)
    if given.out is not None:
        draw(given.out, costs)


if __name__ == "__main__":
    main()
