"""The store in a file: processes of one machine share it, whatever their clocks say, and however they end."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from anyfast_async import AnyFast, Budget, BudgetExceeded, Limits, StoreError
from anyfast_async._client.shared import spending_of
from anyfast_async._core.limits.shared_budget import Draw
from anyfast_async._core.limits.shared_quota import Question
from anyfast_async._core.usage import Used
from anyfast_async._limits import store_file
from anyfast_async._limits.budget import Need
from anyfast_async._limits.store_file import FileStore, machine_time
from anyfast_async.simulator import Simulator


def asked(client: str, number: int, **fields: Any) -> Question:
    return Question(
        **{"client": client, "number": number, "requests": 600, "tokens": None, "places": 200, "want": 8, **fields}
    )


async def test_stores_of_one_file_share_a_quota(tmp_path: Path) -> None:
    """What one has booked the other knows, under the name of the scope."""
    one, other = FileStore(tmp_path / "quota"), FileStore(tmp_path / "quota")
    await one.ask("x", asked("a", 1, wanted=(1, 1)))
    assert (await other.ask("x", asked("b", 1, wanted=(1,)))).requests == 3
    assert (await other.ask("y", asked("b", 1, wanted=(1,)))).requests == 1
    await asyncio.gather(one.aclose(), other.aclose())


async def test_news_of_places_comes_soon(tmp_path: Path) -> None:
    """Who waits for a place hears of it within a tenth of a second or so."""
    store = FileStore(tmp_path / "quota")
    await store.ask("x", asked("a", 1, places=1))
    await store.ask("x", asked("b", 1, places=1))
    hears = asyncio.create_task(store.news("x", "b", 30))
    await asyncio.sleep(0.01)
    await store.ask("x", asked("a", 2, places=1, gives=1))
    async with asyncio.timeout(5):
        await hears
    assert (await store.ask("x", asked("b", 2, places=1))).held == 1
    await store.news("x", "b", 0.01)
    await store.aclose()


async def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    """A folder that is not there, and a file of something else, are errors that name the path."""
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at " * 40)
    for path in (tmp_path / "nowhere" / "quota", tmp_path / "text"):
        store = FileStore(path)
        with pytest.raises(StoreError, match=str(path)):
            await store.ask("x", asked("a", 1))
        await store.aclose()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted there")
async def test_a_file_that_was_deleted_is_not_gone_on_with(tmp_path: Path) -> None:
    """Whoever had it open meets the others in the new one, and knows that it has forgotten everything."""
    one, other = FileStore(tmp_path / "quota"), FileStore(tmp_path / "quota")
    born = (await one.ask("x", asked("a", 1, wanted=(1, 1)))).born
    await asyncio.sleep(0.02)  # the clock of the machine counts hundredths
    for path in await asyncio.to_thread(lambda: [*tmp_path.iterdir()]):
        path.unlink()
    first = await other.ask("x", asked("b", 1, wanted=(1,)))
    await asyncio.sleep(0.02)
    reply = await one.ask("x", asked("a", 2, born=born, wanted=(1,)))
    assert (first.requests, reply.requests, reply.permits) == (1, 1, ())
    assert reply.born == first.born != born
    assert reply.opens > 0
    await asyncio.gather(one.aclose(), other.aclose())


async def test_a_file_that_others_hold_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second at most, so that nobody waits for it in vain; when it is free all goes on."""
    monkeypatch.setattr(store_file, "BUSY", 0.05)
    store = FileStore(tmp_path / "quota")
    await store.ask("x", asked("a", 1, wanted=(1,)))
    holder = sqlite3.connect(tmp_path / "quota", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        await store.ask("x", asked("a", 2, wanted=(1,)))
    holder.execute("ROLLBACK")
    holder.close()
    assert (await store.ask("x", asked("a", 2, wanted=(1,)))).requests == 2
    await store.aclose()


async def test_a_full_disk_is_said_and_counts_nothing(tmp_path: Path) -> None:
    """A booking that could not be written was not made."""
    store = FileStore(tmp_path / "quota")
    await store.ask("x", asked("a", 1, wanted=(1,)))
    assert store._database is not None
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        for number in range(2, 99):
            await store.ask(f"scope {number}" * 400, asked("a", number, wanted=(1,)))
    store._database.execute("PRAGMA max_page_count = 1000000")
    assert (await store.ask("x", asked("a", 100, wanted=(1,)))).requests == 2
    await store.aclose()


def test_every_loop_and_every_child_may_use_it(tmp_path: Path) -> None:
    """A store outlives the loop in which it was first used, and a fork."""
    store = FileStore(tmp_path / "quota")

    async def once(number: int) -> int:
        return (await store.ask("x", asked("a", number, wanted=(1,)))).requests

    assert [asyncio.run(once(number)) for number in (1, 2)] == [1, 2]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from anyfast_async._core.limits.shared_budget import Draw
from anyfast_async._core.limits.shared_quota import Question
from anyfast_async._core.usage import Used
from anyfast_async._limits import store_file
from anyfast_async._client.shared import spending_of
from anyfast_async._limits.budget import Need

async def main():
    store = store_file.FileStore(Path(sys.argv[1]))
    for number in range(1, 1000):
        question = Question(client="k", number=number, requests=10**6, tokens=None, places=9, want=1, wanted=(1,))
        print((await store.ask("x", question)).requests, flush=True)
        if number == 20:
            store_file.SharedQuota.dump = lambda self: os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
async def test_a_process_killed_in_the_middle_leaves_no_lock_and_no_half(tmp_path: Path) -> None:
    """After SIGKILL within a transaction the others go on at once, from what was whole."""
    path = tmp_path / "quota"
    line = [sys.executable, "-c", KILLED, str(path)]
    ended = await asyncio.to_thread(lambda: subprocess.run(line, capture_output=True, text=True, check=False))
    assert ended.returncode < 0
    assert ended.stdout.split()[-1] == "20"
    store, began = FileStore(path), time.monotonic()
    assert (await store.ask("x", asked("b", 1, requests=10**6, wanted=(1,)))).requests == 21
    assert time.monotonic() - began < 1
    await store.aclose()


CLIENT = """
import asyncio, sys, time

off = float(sys.argv[2])
for name in "time", "monotonic":  # of the day, and of the loop
    setattr(time, name, lambda ours=getattr(time, name): ours() + off)
    setattr(time, name + "_ns", lambda ours=getattr(time, name + "_ns"): ours() + int(off * 1e9))

from anyfast_async import Limits
from anyfast_async._limits.gate import Gate

async def main():
    gate = Gate(Limits(requests_per_minute=40, store=sys.argv[1], on_store_error="fail"))
    scope = gate.scope(("https://gateway", b"key", "model"))

    async def call():
        gate.release(await gate.acquire(scope))

    done, waiting = await asyncio.wait([asyncio.create_task(call()) for _ in range(40)], timeout=float(sys.argv[3]))
    print(len([task.result() for task in done]))
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await gate.sharing.aclose()

asyncio.run(main())
"""


async def ended(url: str, off: float, seconds: float) -> int:
    """Return how many calls a process sends in so many seconds whose clocks are *off*."""
    line = [sys.executable, "-c", CLIENT, url, str(off), str(seconds)]
    said = await asyncio.to_thread(lambda: subprocess.run(line, capture_output=True, text=True, check=False))
    assert said.stderr == ""
    return int(said.stdout)


async def test_clocks_that_are_an_hour_off_change_nothing(tmp_path: Path) -> None:
    """Of 40 requests a minute three processes get 40 together, though their clocks are hours apart."""
    url = f"sqlite://{tmp_path}/quota.db"
    first = await ended(url, 3600, 10)
    others = await asyncio.gather(ended(url, 0, 0.3), ended(url, -3600, 0.3))
    assert (first, *others) == (40, 0, 0)


def test_clock_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process takes for the time of day does not matter."""
    before = machine_time()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= machine_time() - before < 60_000_000


SPENDER = """
import asyncio, os, signal, sys
from anyfast_async import Budget, Limits
from anyfast_async._core.usage import Used
from anyfast_async._client.shared import spending_of
from anyfast_async._limits.budget import Need

async def main():
    spending = spending_of(Budget(tokens=3000, name="march"), None, Limits(store=sys.argv[1]))
    for number in range(1, 30):
        reserved = await spending.room(lambda: Need(50.0), patient=False)
        print("sent", flush=True)
        if number == 29:
            os.kill(os.getpid(), signal.SIGKILL)
        spending.reported(reserved, "m", Used(4, 6))

asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="nothing is killed there as here")
async def test_processes_spend_one_budget(tmp_path: Path) -> None:
    """Two at once, one of them killed: together what there is, but for what the dead one had drawn."""
    url = f"sqlite://{tmp_path}/quota"
    line = [sys.executable, "-c", SPENDER, url]
    process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    first = await process.stdout.readline()
    spending, spent = spending_of(Budget(tokens=3000, name="march"), None, Limits(store=url)), 0
    with pytest.raises(BudgetExceeded):
        while True:
            reserved = await spending.room(lambda: Need(50.0), patient=False)
            spent += 10
            spending.reported(reserved, "m", Used(4, 6))
    said, _ = await process.communicate()
    assert first == b"sent\n"
    assert 2000 < spent + 10 * said.count(b"sent") <= 3000
    await spending.aclose()


async def test_a_budget_outlasts_its_store(tmp_path: Path) -> None:
    """What was drawn is on the disk before anybody hears of it, and there for whoever opens the file again."""
    draw = Draw(client="a", number=1, limits=(100, -1, -1), least=(70, 0, 0), want=(70, 0, 0))
    for client in ("a", "b"):
        store = FileStore(tmp_path / "quota")
        assert (await store.draw("x", attrs.evolve(draw, client=client))).left == (30, 0, 0)
        await store.aclose()


async def test_clients_spend_one_budget(tmp_path: Path) -> None:
    """Calls, streams and rows of two clients ask for what is not drawn yet, and together end where it does."""
    budget, limits = Budget(requests=9, name="march"), Limits(store=tmp_path / "quota")
    async with Simulator() as sim:
        one, other = (
            AnyFast(
                "sk-0123456789abcdef", base_url=sim.base_url, model="gemini-2.5-flash", budget=budget, limits=limits
            )
            for _ in range(2)
        )
        async with one, other:
            await one.complete("a")
            async with other.stream("b") as stream:
                await stream.drain()
            results = await other.map([*"cdef"])
            assert all(result.ok for result in results)
            sim.fail(429, retry_after=0.01, times=1)
            await one.complete("g")
            await one.complete("h")
            with pytest.raises(BudgetExceeded, match="'march' of 9 requests, shared by all who name it"):
                await other.complete("i")
            (last,) = await one.map(["j"])
            assert isinstance(last.error, BudgetExceeded)
        assert len(sim.requests) == 9
