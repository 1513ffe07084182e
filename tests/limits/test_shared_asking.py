"""Several clients, one store: what they send together, what a call costs the store, and what happens without it.

Each gate here stands for a process; they share nothing but the store. Everything runs in virtual time.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
from standins import most_in

from anyfast_async import ConfigurationError, Limits, StoreError
from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._core.limits.shared_permit import OwnSlot
from anyfast_async._limits.shared_gate import SharedGate
from anyfast_async._limits.shared_limits import name_of
from anyfast_async._limits.shared_scope import SharedScope
from anyfast_async.stores import MemoryStore, Question, SharedQuota, StoreReply

pytestmark = pytest.mark.virtual

SCOPE = ("https://gateway", b"digest of a key", "a-model")


def now() -> float:
    return asyncio.get_running_loop().time()


class CountedStore(MemoryStore):
    """Takes a while to answer, counts, and can be away."""

    def __init__(self, seconds: float = 0.001) -> None:
        super().__init__()
        self.seconds = seconds
        self.asked: list[tuple[str, Question]] = []
        self.is_away = False
        self.loses_answers = False

    async def ask(self, scope: str, question: Question) -> StoreReply:
        await asyncio.sleep(self.seconds / 2)
        if self.is_away:
            message = "nobody listens"
            raise ConnectionRefusedError(message)
        self.asked.append((scope, question))
        reply = await super().ask(scope, question)
        await asyncio.sleep(self.seconds / 2)
        if self.loses_answers:
            self.loses_answers = False
            raise TimeoutError
        return reply

    def forget(self) -> None:
        """Be started anew, with nothing on disk."""
        self._quotas.clear()


class Process:
    """One of several clients: a gate, and workers that always want more."""

    def __init__(self, name: str, store: object, sent: list[tuple[float, str, float]], **limits: Any) -> None:
        self.name, self.sent = name, sent
        self.gate = SharedGate(Limits(store=store, **limits))
        self.scope = self.gate.scope(SCOPE)
        assert isinstance(self.scope, SharedScope)
        self.balance = self.scope.balance
        self.tasks: list[asyncio.Task[None]] = []
        self.peak = 0

    def work(self, workers: int, *, seconds: float = 0.5, tokens: float = 100.0, used: float | None = None) -> None:
        async def forever() -> None:
            while True:
                permit = await self.gate.acquire(self.scope, tokens)
                self.sent.append((now(), self.name, tokens if used is None else used))
                self.peak = max(self.peak, self.gate.in_flight)
                await asyncio.sleep(seconds)
                self.gate.settle(permit, tokens if used is None else used)
                self.gate.release(permit)

        self.tasks += [asyncio.create_task(forever()) for _ in range(workers)]

    async def rest(self) -> None:
        """Have nobody want anything any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def stop(self) -> None:
        await self.rest()
        assert self.gate.sharing is not None
        await self.gate.sharing.aclose()

    async def kill(self) -> None:
        """End it as SIGKILL does: nobody hears of it."""
        assert self.gate.sharing is not None
        for asking in self.gate.sharing._askings:
            asking.end()
        await self.rest()


def worst(sent: list[tuple[float, str, float]], amounts: bool = False) -> float:
    """The most requests, or tokens, in any 60 seconds."""
    return most_in((at, amount if amounts else 1) for at, _, amount in sent)


async def closed(*processes: Process) -> None:
    for one in processes:
        await one.stop()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- one quota -------------------------------------------------------------------------------------------------------


async def test_four_processes_share_a_quota() -> None:
    """600 requests and 100 000 tokens a minute are never passed, well used, in fair parts, at a command a grant."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    limits = {"requests_per_minute": 600, "tokens_per_minute": 100_000}
    processes = [Process(name, store, sent, **limits) for name in "abcd"]
    for one in processes:
        one.work(30, tokens=150)
    await asyncio.sleep(180)

    assert worst(sent) <= 600
    assert worst(sent, amounts=True) <= 100_000
    assert len([at for at, _, _ in sent if at >= 60]) >= 0.95 * 600 * 2
    parts = Counter(name for _, name, _ in sent)
    assert max(parts.values()) <= 1.2 * min(parts.values())
    assert len(store.asked) <= 1.1 * len(sent)
    await closed(*processes)


async def test_tokens_that_were_not_used_are_there_for_others() -> None:
    """Calls that use half of what they reserved leave the other half to all processes."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, tokens_per_minute=60_000) for name in "ab"]
    for one in processes:
        one.work(20, tokens=1_000, used=500, seconds=2)
    await asyncio.sleep(180)

    assert worst(sent, amounts=True) <= 60_000
    assert sum(used for at, _, used in sent if at >= 60) >= 0.9 * 60_000 * 2
    await closed(*processes)


async def test_busy_traffic_is_leased_in_blocks() -> None:
    """At 2 000 a second a call to the store brings ten permits or more."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, requests_per_minute=120_000, concurrency=2_000) for name in "abcd"]
    for one in processes:
        one.work(150, seconds=0.2)
    await asyncio.sleep(2)

    assert len(sent) >= 3_000
    assert len(store.asked) <= 0.1 * len(sent)
    await closed(*processes)


async def test_permits_wait_for_calls_when_traffic_is_high() -> None:
    """Calls that come at a steady rate are let in at once, mostly without a turn of the loop."""
    store = CountedStore()
    process = Process("a", store, [], requests_per_minute=60_000, concurrency=1_000)
    gate, scope, at_once = process.gate, process.scope, 0
    for _ in range(1_000):
        permit = gate.admit(scope, 0.0, now())
        at_once += permit is not None
        gate.release(permit or await gate.queue(scope))
        await asyncio.sleep(0.005)

    assert at_once >= 900
    await closed(process)


async def test_a_lone_small_request_does_not_wait_for_a_busy_process() -> None:
    """One that comes now and then is let in within two seconds, however many wait elsewhere."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    busy, seldom = (Process(name, store, sent, requests_per_minute=3_000) for name in "ab")
    busy.work(100, seconds=0.3)
    waits = []
    for _ in range(5):
        await asyncio.sleep(3.3)
        began = now()
        seldom.gate.release(await seldom.gate.acquire(seldom.scope, 10))
        waits.append(now() - began)

    assert max(waits) <= 2
    await closed(busy, seldom)


async def test_nothing_runs_when_nobody_wants_anything() -> None:
    """A while after the last call there is no task and no timer, and the store knows nobody any more."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    process = Process("a", store, sent, requests_per_minute=60)
    process.gate.release(await process.gate.acquire(process.scope, 1))
    await asyncio.sleep(5)
    running: Any = asyncio.get_running_loop()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert running.timers == []
    assert store.asked[-1][1].leaving
    assert len(store.asked) <= 3
    await closed(process)


# -- places ----------------------------------------------------------------------------------------------------------


async def test_places_are_shared() -> None:
    """In all processes together as many calls are in flight as there may be, in fair parts."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, concurrency=12) for name in "abc"]
    peak = 0
    for one in processes:
        one.work(20, seconds=0.7)
    for _ in range(600):
        await asyncio.sleep(0.1)
        peak = max(peak, sum(one.gate.in_flight for one in processes))

    assert peak == 12
    assert len(sent) >= 0.9 * 12 * 60 / 0.7
    parts = Counter(name for _, name, _ in sent)
    assert max(parts.values()) <= 1.3 * min(parts.values())
    await closed(*processes)


async def test_places_that_are_on_their_way_back_are_not_used() -> None:
    """However long the store takes: what a question gives away, and what is given while it is out, others have."""
    store, sent, peak = CountedStore(0.2), list[tuple[float, str, float]](), 0
    processes = [Process(name, store, sent, concurrency=8) for name in "abcd"]
    for one in processes:
        one.work(30, seconds=0.5)
        await asyncio.sleep(0.27)
    for _ in range(300):
        await asyncio.sleep(0.1)
        peak = max(peak, sum(one.gate.in_flight for one in processes))

    assert peak == 8
    assert len(sent) >= 0.95 * 8 * 30 / 0.5
    await closed(*processes)


async def test_one_place_goes_round() -> None:
    """Where there are fewer places than processes none of them starves."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, concurrency=2) for name in "abcde"]
    for one in processes:
        one.work(3, seconds=0.5)
    await asyncio.sleep(60)

    parts = Counter(name for _, name, _ in sent)
    assert len(sent) >= 0.9 * 2 * 60 / 0.5
    assert max(parts.values()) <= 1.3 * min(parts.values())
    await closed(*processes)


async def test_places_of_a_killed_process_are_back_after_the_lease() -> None:
    """What a process held that was killed is the others' 15 seconds later."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    killed, other = (Process(name, store, sent, concurrency=10) for name in "ab")
    killed.work(10, seconds=60)
    await asyncio.sleep(1)
    await killed.kill()
    at = now()
    other.work(10, seconds=0.1)
    await asyncio.sleep(30)

    first = min(when for when, name, _ in sent if name == "b")
    assert 10 <= first - at <= 15.2
    assert other.peak == 10
    await closed(other)


async def test_a_killed_process_leaves_its_part_of_the_minute() -> None:
    """After one of four is killed the other three use the whole quota."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, requests_per_minute=600) for name in "abcd"]
    for one in processes:
        one.work(20)
    await asyncio.sleep(90)
    await processes[0].kill()
    at = now()
    await asyncio.sleep(135)

    assert worst(sent) <= 600
    assert len([when for when, _, _ in sent if when >= at + 15]) >= 0.95 * 600 * 2
    await closed(*processes[1:])


async def test_places_of_a_loop_that_is_gone_are_there_for_the_next() -> None:
    """A client that goes on in another ``asyncio.run`` is the same one to the store: it need not wait for its lease."""
    store = CountedStore()
    process = Process("a", store, [], requests_per_minute=60, concurrency=4)
    for _ in range(3):
        for _ in range(4):
            await process.gate.acquire(process.scope, 1)
        process.gate.reset()

    assert now() < 1
    assert [sum(quota.held.values()) for quota in store._quotas.values()] == [4]
    assert len({question.client for _, question in store.asked}) == 1
    process.gate.release(await process.gate.acquire(process.scope, 1))
    await closed(process)


async def test_a_long_call_keeps_its_place() -> None:
    """Calls that take minutes are not taken for dead."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    long, other = (Process(name, store, sent, concurrency=1) for name in "ab")
    long.work(1, seconds=300)
    await asyncio.sleep(1)
    other.work(1)
    await asyncio.sleep(200)

    assert [name for _, name, _ in sent] == ["a"]
    await closed(long, other)


@pytest.mark.parametrize("seed", range(2))
async def test_calls_that_are_cancelled_leave_nothing_behind(seed: int) -> None:
    """Wherever sixty of a hundred calls are cancelled, later the whole quota is there again, and no place is held."""
    chance, sent = random.Random(seed), list[tuple[float, str, float]]()
    store = CountedStore(chance.choice([0.001, 0.1]))  # the next room, or 50 ms each way
    processes = [Process(name, store, sent, requests_per_minute=60, concurrency=10) for name in "ab"]

    async def call(one: Process) -> None:
        permit = await one.gate.acquire(one.scope, 100.0)
        try:
            sent.append((now(), one.name, 100.0))
            await asyncio.sleep(chance.uniform(0.01, 2))
        finally:
            one.gate.release(permit)

    calls = []
    for _ in range(100):
        calls.append(asyncio.create_task(call(chance.choice(processes))))
        await asyncio.sleep(chance.choice([0, 0, 0.0003, 0.0007, 0.01, 0.3]))
        if chance.random() < 0.6:
            chance.choice(calls).cancel()
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
    await asyncio.sleep(200)
    assert {type(error) for error in await asyncio.gather(*calls, return_exceptions=True)} <= {
        type(None),
        asyncio.CancelledError,
    }
    assert [(one.gate.in_flight, one.gate.queued, one.balance.used) for one in processes] == [(0, 0, 0)] * 2
    assert [sum(quota.held.values()) for quota in store._quotas.values()] == [0]
    before = len(sent)
    more = [asyncio.create_task(call(one)) for one in processes for _ in range(30)]
    await asyncio.sleep(30)
    assert len(sent) - before == 60
    assert worst(sent) <= 60
    await asyncio.gather(*more)
    await closed(*processes)


# -- what goes wrong -------------------------------------------------------------------------------------------------


async def test_an_answer_that_is_lost_counts_once() -> None:
    """A question whose answer did not arrive is asked again under its number: nothing is booked twice."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    process = Process("a", store, sent, requests_per_minute=60, on_store_error="wait")
    store.loses_answers = True
    with warnings.catch_warnings(record=True):
        permit = await process.gate.acquire(process.scope, 1)

    first = store.asked[0][1]
    assert store.asked[1][1] == attrs.evolve(first, wanted=(), away=True)
    assert sum(quota.requests.total for quota in store._quotas.values()) <= 2
    process.gate.release(permit)
    await closed(process)


async def test_with_a_share_of_their_own_processes_stay_within_the_limit() -> None:
    """Through 20 seconds without a store that forgets everything meanwhile, no minute has more than the limit."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, requests_per_minute=600, tokens_per_minute=90_000) for name in "abcd"]
    for one in processes:
        one.work(20, tokens=150)
    await asyncio.sleep(65.3)
    store.is_away = True
    with pytest.warns(RuntimeWarning, match=r"is away \(nobody listens\); calls go on with 25% of the limits") as said:
        await asyncio.sleep(20)
    assert len(said) == 4
    without = [at for at, _, _ in sent if at > now() - 19]
    store.forget()
    store.is_away = False
    await asyncio.sleep(180)

    assert without
    assert worst(sent) <= 600
    assert worst(sent, amounts=True) <= 90_000
    assert len([at for at, _, _ in sent if at > now() - 120]) >= 0.95 * 600 * 2
    assert [one.balance.state for one in processes] == ["near"] * 4
    await closed(*processes)


async def test_calls_may_wait_for_the_store() -> None:
    """With "wait" nothing is sent while the store is away, and everything after it."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    process = Process("a", store, sent, requests_per_minute=600, on_store_error="wait")
    process.work(10)
    await asyncio.sleep(10)
    store.is_away = True
    with pytest.warns(RuntimeWarning, match="calls wait until it is back"):
        await asyncio.sleep(20)
    assert [at for at, _, _ in sent if at > 12] == []
    store.is_away = False
    await asyncio.sleep(5)
    assert [at for at, _, _ in sent if at > 30] != []
    await closed(process)


async def test_calls_may_fail_without_the_store() -> None:
    """With "fail" those who wait and those who come get an error at once, and later ones none."""
    store = CountedStore()
    store.is_away = True
    process = Process("a", store, [], requests_per_minute=600, on_store_error="fail")

    async def fails() -> None:
        for _ in range(3):
            with pytest.raises(StoreError, match="nobody listens"):
                await process.gate.acquire(process.scope, 1)

    with pytest.warns(RuntimeWarning, match="calls fail until it is back"):
        await fails()
    assert now() < 1
    assert (process.gate.queued, process.gate.counted, process.gate.in_flight) == (0, 0, 0)
    store.is_away = False
    await asyncio.sleep(2)
    process.gate.release(await process.gate.acquire(process.scope, 1))
    await closed(process)


async def test_a_client_that_never_reached_its_store_takes_a_stated_share() -> None:
    """A tenth of the limits, or what ``local_share`` says."""
    for share, expected in ((None, 60), (0.5, 300)):
        store, sent = CountedStore(), list[tuple[float, str, float]]()
        store.is_away = True
        process = Process("a", store, sent, requests_per_minute=600, local_share=share)
        process.work(20, seconds=0.01)
        began = now()
        with pytest.warns(RuntimeWarning, match=f"with {expected / 6:.0f}% of the limits"):
            await asyncio.sleep(59)
        assert len(sent) == expected
        assert now() - began == 59
        await closed(process)


class RoughStore(CountedStore):
    """Is slow at random, hangs or refuses for a while, loses answers, and may lose its memory, or a part, meanwhile."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.way: str | None = None

    async def ask(self, scope: str, question: Question) -> StoreReply:
        """Answer a question, or not."""
        self.seconds = self.chance.choice([0.001, 0.004, 0.2])
        if self.way == "hangs":
            await asyncio.sleep(60)
        if self.way == "refuses":
            message = "nobody listens"
            raise ConnectionRefusedError(message)
        if self.way == "loses answers":
            await super().ask(scope, question)
            await asyncio.sleep(60)
        return await super().ask(scope, question)


@pytest.mark.parametrize("way", ["hangs", "refuses", "loses answers"])
@pytest.mark.parametrize("memory", ["kept", "lost", "old"])
async def test_whatever_happens_to_the_store_no_minute_has_more(way: str, memory: str) -> None:
    """Four processes stay within the limit through stops of any length, and however the store comes back."""
    chance = random.Random(f"{way} {memory}")
    store, sent = RoughStore(chance), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, requests_per_minute=120, tokens_per_minute=20_000) for name in "abcd"]
    for one in processes:
        one.work(15, tokens=160, used=150, seconds=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for seconds in (0.5, 2.5, 4.2, 20):
            await asyncio.sleep(chance.uniform(50, 70))
            copies = {scope: quota.dump() for scope, quota in store._quotas.items()}
            await asyncio.sleep(chance.uniform(1, 9))
            store.way = way
            await asyncio.sleep(seconds)
            if memory == "lost":
                store.forget()
            elif memory == "old":
                store._quotas = {scope: SharedQuota.load(copy) for scope, copy in copies.items()}
            store.way = None
        await asyncio.sleep(70)
        until = now()
        await asyncio.sleep(125)

    assert worst(sent) <= 120
    assert worst(sent, amounts=True) <= 20_000
    assert len([at for at, _, _ in sent if at >= until]) >= 0.95 * 120 * 2
    await closed(*processes)


async def test_a_connection_that_fails_once_brings_no_share() -> None:
    """A client whose first question goes astray, as on a busy machine, waits for the next one."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    late, other = (Process(name, store, sent, requests_per_minute=40) for name in "ab")
    store.is_away = True
    late.work(40, seconds=90)
    await asyncio.sleep(0.01)
    store.is_away = False
    other.work(40, seconds=90)
    await asyncio.sleep(30)

    assert len(sent) == 40
    await closed(late, other)


async def test_permits_of_a_store_that_was_replaced_are_void() -> None:
    """What was booked for later in a store that is started anew between two questions is not used."""
    store = CountedStore()
    process = Process("a", store, [], requests_per_minute=600)
    process.gate.release(await process.gate.acquire(process.scope, 1))
    balance, at = process.balance, now()
    question = balance.question(at, [1.0] * 3, 3)
    assert question is not None
    balance.take_in(at, at, question, StoreReply(born=balance.born, held=20, permits=((30_000_000, 300),) * 3))
    assert len(balance.permits) == 3
    balance.take_in(at, at, balance.news(at), StoreReply(born=balance.born + 1, opens=1_000_000))
    assert (balance.state, len(balance.permits), balance.news(at).corrections) == ("back", 0, ())
    await closed(process)


async def test_who_had_left_does_not_take_all_without_the_store() -> None:
    """A client that was alone when it last asked, and rested since, goes on with the share of one that knows nobody."""
    store, sent = CountedStore(), list[tuple[float, str, float]]()
    processes = [Process(name, store, sent, requests_per_minute=100) for name in "abc"]
    for one in processes:
        one.gate.release(await one.gate.acquire(one.scope, 1))
        await asyncio.sleep(70)
    store.is_away = True
    sent.clear()
    for one in processes:
        one.work(20, seconds=0.01)
    with pytest.warns(RuntimeWarning, match="with 10% of the limits"):
        await asyncio.sleep(59)

    assert len(sent) == 3 * 10
    await closed(*processes)


def test_a_key_from_a_function_is_refused_in_words() -> None:
    """Two processes cannot tell by it whether they have the same key."""

    async def key() -> str:
        return "sk-any"

    gate = SharedGate(Limits(store=MemoryStore(), requests_per_minute=60))
    with pytest.raises(ConfigurationError, match=r"^Limits\(store=\.\.\.\) counts for each key.*pathlib\.Path"):
        gate.scope(("https://gateway", key, "a-model"))


def test_a_key_in_a_file_counts_by_its_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However the path is written, and whatever key stands in the file now."""
    monkeypatch.chdir(tmp_path)
    names = {name_of(("https://gateway", path, "m")) for path in (Path("key"), tmp_path / "key")}
    assert len(names) == 1
    assert name_of(("https://gateway", tmp_path / "other", "m")) not in names


def test_a_slot_counts_nothing_before_something_was_sent() -> None:
    """What a client has sent is what it says that it has sent: neither of its share nor of the store's a call more."""
    assert (0, 0.0, False) == ((slot := OwnSlot(1.0, False)).requests, slot.amount, slot.known)


def test_a_place_is_given_only_to_who_waits() -> None:
    """More than its part is kept while nobody waits, and given call by call, one for each that ends."""
    ours = SharedBalance(requests=None, tokens=None, places=8, client="a", held=6, used=6, clients=2)
    ours.left()
    assert (5, 6, 0) == (ours.used, ours.held, ours.gives)

    ours.others = 1
    ours.left()
    ours.left()
    ours.left()
    assert (2, 4, 2) == (ours.used, ours.held, ours.gives)


def test_who_goes_on_alone_counts_its_own_minute() -> None:
    """Two a minute: the third waits until the first is a minute old, the fourth until the second is."""
    ours = SharedBalance(requests=2, tokens=None, places=9, client="a", state="away")
    for at in (0.0, 30.0):
        assert 0.0 == ours.wait(at, 1.0)
        ours.take(at, 1.0)

    assert 30.0 < (ours.wait(30.0, 1.0) or 0.0) < 30.2
    assert 0.0 == ours.wait(60.2, 1.0)
    ours.take(60.2, 1.0)
    assert 29.8 < (ours.wait(60.2, 1.0) or 0.0) < 30.1
    assert 0.0 == ours.wait(90.2, 1.0)

    for _ in range(2):
        assert 0.0 == ours.wait(500.0, 1.0)
        ours.take(500.0, 1.0)


# -- a busy machine --------------------------------------------------------------------------------------------------


class Stalling(CountedStore):
    """Has the process stand still for four seconds after the first answers, before those who wait are woken up."""

    async def ask(self, scope: str, question: Question) -> StoreReply:
        reply = await super().ask(scope, question)
        loop: Any = asyncio.get_running_loop()
        if reply.permits and loop.now < 10:
            loop.call_soon(lambda: setattr(loop, "now", loop.now + 4))
        return reply


async def test_who_is_woken_up_too_late_asks_again() -> None:
    """A machine that is busy lets processes stand still between permit and request: no minute has more for it."""
    sent: list[tuple[float, str, float]] = []
    store = Stalling()
    processes = [Process(name, store, sent, requests_per_minute=60) for name in "ab"]
    for one in processes:
        one.work(30)
    await asyncio.sleep(240)
    assert worst(sent) <= 60
    assert len(sent) > 3.5 * 60
    await closed(*processes)
