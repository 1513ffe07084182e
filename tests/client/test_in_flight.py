"""What is on its way, and how a sleep is noticed; in virtual time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from anyfast_async._client.in_flight import InFlight
from anyfast_async._clocks.clocks import LOOK
from anyfast_async._clocks.machine_sleep import ASLEEP, AWAKE, slept
from anyfast_async._clocks.notebook import TICK

pytestmark = pytest.mark.virtual


class Member:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.looked: list[float] = []

    def stop(self) -> None:
        self.told.append("stop")

    def look(self, now: float) -> None:
        self.looked.append(now)

    def woke(self, at: float) -> None:
        self.told.append(f"woke {at:g}")


def loop() -> Any:
    return asyncio.get_running_loop()


@pytest.mark.parametrize(
    ("monotonic", "wall", "worked", "verdict"),
    [
        (5.0, 5.0, 0.1, False),
        (5.0, 5.0 + ASLEEP + 1, 0.1, True),  # a machine that slept: only the wall's clock went on
        (5.0, 5.0 + ASLEEP - 1, 0.1, False),
        (5.0, 5.0 - 3600, 0.1, False),  # a clock that was set back
        (LOOK + ASLEEP + 1, LOOK + ASLEEP + 1, 0.1, True),  # a process that was stopped
        (LOOK + ASLEEP + 1, LOOK + ASLEEP + 1, 30.0, False),  # one that was busy: its connections are as they were
        (LOOK + ASLEEP - 1, LOOK + ASLEEP - 1, 0.1, False),
    ],
)
async def test_sleep_is_told_from_work(monotonic: float, wall: float, worked: float, verdict: bool) -> None:
    """Time that is missing from one clock, or that passed without any work, is sleep."""
    assert verdict == slept(monotonic, wall, worked)


async def test_clocks_are_looked_at() -> None:
    """Every member has its clocks looked at every few seconds while it is on its way, the first time in time."""
    running, first, second = InFlight(), Member(), Member()
    running.add(first)
    await asyncio.sleep(1)
    running.add(second)
    await asyncio.sleep(2 * LOOK)
    running.discard(first)
    await asyncio.sleep(LOOK)
    running.stop()

    assert (first.looked, second.looked) == ([LOOK, 2 * LOOK], [LOOK, 2 * LOOK, 3 * LOOK])


async def test_all_are_told_after_a_sleep() -> None:
    """Idle connections are given up at once; whoever is still on its way five seconds later hears of the sleep."""
    renewed: list[float] = []
    running, early, late = InFlight(lambda: renewed.append(loop().time())), Member(), Member()
    running.add(early)
    running.add(late)
    await asyncio.sleep(LOOK + 1)
    loop().now += 120
    await asyncio.sleep(1)
    woke_at = running.woke_at

    assert renewed == [woke_at]
    running.discard(early)
    await asyncio.sleep(AWAKE)

    assert (early.told, late.told) == ([], [f"woke {woke_at:g}"])
    running.discard(late)
    await asyncio.sleep(LOOK)
    assert loop().timers == []


async def test_machine_that_slept_is_noticed_by_the_walls_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stands still while a laptop sleeps; the wall's does not."""
    running, member = InFlight(), Member()
    running.add(member)
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 3600)

    await asyncio.sleep(LOOK + AWAKE)

    assert member.told == [f"woke {LOOK:g}"]
    running.stop()


async def test_nothing_runs_while_nothing_is_on_its_way() -> None:
    """The clocks are looked at only while there are members: no timer outlives the last one by more than one look."""
    running, member = InFlight(), Member()
    assert loop().timers == []
    running.add(member)
    assert len(loop().timers) == 1
    running.discard(member)
    await asyncio.sleep(LOOK)
    assert loop().timers == []

    running.add(member)
    running.stop()
    assert (loop().timers, member.told) == ([], ["stop"])


async def test_running_waits_for_the_last_one() -> None:
    """``ended`` returns with the last member, or after its seconds."""
    running, member = InFlight(), Member()
    await running.ended(100)
    assert loop().time() == 0.0

    running.add(member)
    loop().call_later(3, running.discard, member)
    await running.ended(100)
    assert loop().time() == 3.0

    running.add(member)
    await running.ended(2)
    assert loop().time() == 5.0
    running.clear()


@pytest.mark.parametrize("ticks", [True, False])
async def test_the_loop_is_woken_in_a_notebook(ticks: bool) -> None:
    """In a notebook, and only there, the loop turns every so often while something is on its way."""
    flights = InFlight()
    flights.ticks = ticks
    for _ in range(2):
        flights.add(member := Member())
        for _ in range(100):
            await asyncio.sleep(0.011)
            assert any(timer.when() <= loop().time() + TICK for timer in loop().timers) == ticks
        flights.discard(member)
        await asyncio.sleep(LOOK + 1)
        assert loop().timers == []


async def test_stopping_and_going_on_wakes_it_once() -> None:
    """What was stopped and goes on within one tick has one ticker, not two."""
    flights = InFlight()
    flights.ticks = True
    for _ in range(3):
        flights.add(Member())
        flights.stop()
    flights.add(Member())
    assert sum(timer.when() <= loop().time() + TICK for timer in loop().timers) == 1
    flights.stop()
