"""A budget that several clients share: what they spend together, and what happens without the store.

Each client here stands for a process; they share nothing but the store. Everything runs in virtual time.
"""

from __future__ import annotations

import asyncio
import os
import random
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from anyfast_async import AnyFast, Budget, BudgetExceeded, ConfigurationError, Limits, Price, Prices, StoreError
from anyfast_async._client.shared import spending_of
from anyfast_async._core.limits.budget_amounts import NANO
from anyfast_async._core.limits.shared_budget import Draw, DrawReply
from anyfast_async._core.usage import Used
from anyfast_async._limits.budget import Need, Reserved, Spending
from anyfast_async._limits.shared_spending import SharedSpending
from anyfast_async.stores import MemoryStore

pytestmark = pytest.mark.virtual

PRICES = Prices("USD", {"m": Price(1, 10)})


class CountedStore(MemoryStore):
    """Takes a while to answer, counts, and can be away or lose answers."""

    def __init__(self, seconds: float = 0.001) -> None:
        super().__init__()
        self.seconds = seconds
        self.draws: list[Draw] = []
        self.is_away = False
        self.lost = 0

    async def draw(self, budget: str, draw: Draw) -> DrawReply:
        await asyncio.sleep(self.seconds / 2)
        if self.is_away:
            message = "nobody listens"
            raise ConnectionRefusedError(message)
        self.draws.append(draw)
        reply = await super().draw(budget, draw)
        await asyncio.sleep(self.seconds / 2)
        if self.lost:
            self.lost -= 1
            raise TimeoutError
        return reply

    @property
    def drawn(self) -> tuple[int, int, int]:
        """What all have drawn."""
        (budget,) = self._budgets.values()
        return budget.drawn

    def forget(self) -> None:
        """Be started anew, with nothing on disk."""
        self._budgets.clear()


def client(store: object, budget: Budget | None = None, **limits: Any) -> SharedSpending:
    spending = spending_of(budget or Budget(tokens=1000, name="x"), PRICES, Limits(store=store, **limits))
    assert isinstance(spending, SharedSpending)
    return spending


async def room(spending: Spending, tokens: float, *, patient: bool = True, cost: float = 0.0) -> Reserved:
    reserved = await spending.room(lambda: Need(tokens, cost), patient=patient)
    assert reserved is not None
    return reserved


@asynccontextmanager
async def over() -> AsyncIterator[list[SharedSpending]]:
    """Close those that are put into the list, and look that nothing goes on."""
    clients: list[SharedSpending] = []
    yield clients
    for one in clients:
        one.close()
        await one.aclose()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def kill(spending: SharedSpending) -> None:
    """End it as SIGKILL does: nobody hears of it."""
    spending._closed = True
    spending._stop_timer()


async def test_one_budget_for_all() -> None:
    """What one client has reserved the other does not get; what is given back it does, once that is told."""
    store = CountedStore()
    async with over() as clients:
        one, other = client(store), client(store)
        clients.extend((one, other))
        first = await room(one, 700)
        with pytest.raises(BudgetExceeded, match=r"'x' of 1,000 tokens, shared by all .* 700 tokens spent, .* 400"):
            await room(other, 400, patient=False)
        waits = asyncio.create_task(room(other, 400))
        await asyncio.sleep(3)
        assert not waits.done()
        one.reported(first, "m", Used(50, 50))
        began = asyncio.get_running_loop().time()
        await waits
        assert asyncio.get_running_loop().time() - began < 3
        assert store.drawn[0] == 500


async def test_a_row_ends_when_nobody_can_give_back_enough() -> None:
    """Neither what others have in flight nor what it has itself would be enough, whatever it turns out to take."""
    async with over() as clients:
        store = CountedStore()
        one, other = client(store), client(store)
        clients.extend((one, other))
        spent = await room(one, 700)
        one.reported(spent, "m", Used(300, 400))
        await asyncio.sleep(10)
        with pytest.raises(BudgetExceeded, match="400 tokens needed at most"):
            await room(other, 400)


async def test_what_a_killed_client_had_drawn_stays_spent() -> None:
    """It is hoped for as long as its lease lasts, then those who wait for it are told that there is nothing."""
    async with over() as clients:
        store = CountedStore()
        clients.append(other := client(store))
        one = client(store)
        await room(one, 700)
        waits = asyncio.create_task(room(other, 400))
        await asyncio.sleep(1)
        kill(one)
        with pytest.raises(BudgetExceeded):
            await waits
        assert asyncio.get_running_loop().time() < 20
        await room(other, 300)
        assert store.drawn[0] == 1000


async def test_it_belongs_to_its_name() -> None:
    """A client that comes later goes on where those before it ended; what they did not use is there again."""
    store = CountedStore()
    async with over() as clients:
        clients.append(one := client(store))
        first, second, third = await room(one, 300), await room(one, 300), await room(one, 300)
        one.reported(first, "m", Used(100, 0))
        one.unknown(second, Need())
        one.unsent(third)
    async with over() as clients:
        one, third_party = client(store), client(store, Budget(tokens=10, name="y"))
        clients.extend((one, third_party))
        await room(one, 600)
        with pytest.raises(BudgetExceeded):
            await room(one, 1, patient=False)
        await room(third_party, 10)


async def test_calls_find_room_that_was_drawn_ahead() -> None:
    """Of steady traffic most calls need no question, and no more is drawn ahead than a second takes."""
    store = CountedStore(0.005)
    async with over() as clients:
        clients.append(one := client(store, Budget(tokens=10_000_000, name="x")))

        async def work() -> None:
            for _ in range(50):
                reserved = await room(one, 100)
                await asyncio.sleep(0.1)
                one.reported(reserved, "m", Used(20, 30))

        await asyncio.gather(*(work() for _ in range(20)))
        assert len(store.draws) < 1000 / 10
        assert max(draw.held[0] for draw in store.draws) <= 20 * 100 + 20 * 10 * 50


async def test_room_for_one_is_not_refused_because_another_one_has_none() -> None:
    """A call that comes while the store is asked for a larger one is asked for itself."""
    store = CountedStore(0.2)
    async with over() as clients:
        one, other = client(store), client(store)
        clients.extend((one, other))
        await room(other, 500)
        waits = asyncio.create_task(room(one, 800))
        await asyncio.sleep(0.05)
        await room(one, 100, patient=False)
        waits.cancel()


async def test_what_depends_on_the_rest_is_asked_for_anew() -> None:
    """A call of unknown length reserves a part of what is left, which a client that begins has yet to hear of."""
    store = CountedStore()
    async with over() as clients:
        one, other = client(store), client(store)
        clients.extend((one, other))
        one.reported(await room(one, 800), "m", Used(800, 0))
        reserved = await other.room(lambda: Need(other.left(None) / 4, 0), patient=False)
        assert reserved is not None
        assert reserved.need.tokens == 50


async def test_what_was_granted_to_who_did_not_wait_for_it_is_given_back() -> None:
    """Who is closed while the store answers its first question takes nothing along."""
    store = CountedStore(0.2)
    async with over() as clients:
        clients.append(one := client(store))
        waits = asyncio.create_task(room(one, 800))
        await asyncio.sleep(0.15)
        assert store.drawn[0] == 800
        waits.cancel()
    assert store.drawn[0] == 0


@pytest.mark.filterwarnings("ignore:the store of the budget")
async def test_it_is_tried_to_give_back_what_a_store_that_was_away_knows() -> None:
    """One answer that was lost is no reason to leave the rest spent."""
    store = CountedStore()
    async with over() as clients:
        clients.append(one := client(store, on_store_error="wait"))
        held = await room(one, 100)
        store.lost = 1
        waits = asyncio.create_task(room(one, 700))
        await asyncio.sleep(0.5)
        assert store.drawn[0] == 800
        waits.cancel()
        one.unsent(held)
    assert store.drawn[0] == 0


async def test_whatever_is_wrong_with_a_store_a_client_can_be_closed() -> None:
    """A store of the caller's may raise anything."""

    class Broken(CountedStore):
        async def draw(self, budget: str, draw: Draw) -> DrawReply:
            if draw.leaving:
                raise LookupError(budget)
            return await super().draw(budget, draw)

    async with over() as clients:
        clients.append(one := client(Broken()))
        one.unsent(await room(one, 100))


async def test_money_to_the_billionth() -> None:
    """It is drawn in whole billionths of a dollar, rounded up; many small sums come to what they are."""
    store = CountedStore()
    async with over() as clients:
        clients.append(one := client(store, Budget(usd=0.003, name="x")))
        for _ in range(1000):
            one.reported(await room(one, 0, cost=0.0000015), "m", Used(1, 0))
        last = await room(one, 0, cost=0.002)
        with pytest.raises(BudgetExceeded, match=r"0.0030 USD \(your prices\), shared .* 0.0030 USD spent"):
            await room(one, 0, cost=0.0000001, patient=False)
        one.unsent(last)
    assert store.drawn[1] in range(1_000_000, 1_000_002)


@pytest.mark.parametrize("seed", range(20 if os.environ.get("ANYFAST_LONG") else 2))
async def test_never_passed_by_all_together(seed: int) -> None:
    """Whatever calls take, answers are lost, clients are killed, others come: all that was billed is within it."""
    chance, store, whole = random.Random(seed), CountedStore(0.02), 20_000
    budget = Budget(tokens=whole, usd=1, requests=400, name="x")
    billed = {"tokens": 0, "nanos": 0.0, "requests": 0}
    running: list[SharedSpending] = []
    async with over() as clients:

        async def work(spending: SharedSpending) -> None:
            with warnings.catch_warnings(), pytest.raises((BudgetExceeded, asyncio.CancelledError)):
                warnings.simplefilter("ignore")
                while True:
                    need = chance.randrange(1, 400)
                    reserved = await room(spending, need, cost=need / 20_000, patient=chance.random() < 0.9)
                    used = chance.randrange(need + 1)
                    fate = chance.random()
                    if fate < 0.7:
                        billed["tokens"] += used
                        billed["nanos"] += PRICES.models["m"].cost(Used(used, 0)) * NANO
                    billed["requests"] += fate < 0.8
                    await asyncio.sleep(chance.random())
                    if fate < 0.6:
                        spending.reported(reserved, "m", Used(used, 0))
                    elif fate < 0.8:
                        spending.unknown(reserved, Need())
                    else:
                        spending.unsent(reserved)

        tasks: list[asyncio.Task[None]] = []
        for _ in range(8):
            running.append(client(store, budget, on_store_error="wait"))
            own = [asyncio.create_task(work(running[-1])) for _ in range(4)]
            await asyncio.sleep(chance.random() * 3)
            store.lost += chance.random() < 0.5
            if chance.random() < 0.3:
                kill(killed := running.pop())
                for task in own:
                    task.cancel()
                killed.close()
            else:
                tasks += own
        await asyncio.gather(*tasks)
        clients.extend(running)
        for value, limit in zip(billed.values(), (whole, NANO, 400), strict=True):
            assert value <= limit
        assert all(drawn <= limit for drawn, limit in zip(store.drawn, (whole, NANO, 400), strict=True))
        await asyncio.sleep(5)


async def test_what_an_answer_takes_beyond_its_bound_counts() -> None:
    """What ``max_tokens`` does not bound passes what was reserved: all have that much less."""
    store = CountedStore()
    async with over() as clients:
        one, other = client(store), client(store)
        clients.extend((one, other))
        one.reported(await room(one, 100), "m", Used(100, 600))
        await asyncio.sleep(6)
        with pytest.raises(BudgetExceeded):
            await room(other, 400, patient=False)


async def test_a_store_that_forgot_is_told_again() -> None:
    """What those who still run have drawn counts again, before anybody gets anything."""
    store = CountedStore()
    async with over() as clients:
        one, other = client(store), client(store)
        clients.extend((one, other))
        one.reported(await room(one, 600), "m", Used(600, 0))
        held = await room(one, 100)
        await room(other, 100)
        store.forget()
        with pytest.raises(BudgetExceeded):
            await room(other, 450)
        assert store.drawn[0] == 800
        one.refused(held)
    assert store.drawn[0] == 700, "what was in flight as it was closed"


async def test_a_late_return_counts_once() -> None:
    """The store has forgotten the client's name after an hour: it takes another one, and nothing is counted twice."""
    store = CountedStore()
    async with over() as clients:
        one, other = client(store), client(store)
        clients.extend((one, other))
        one.reported(await room(one, 600), "m", Used(600, 0))
        await asyncio.sleep(7200)
        await room(other, 1)
        await room(one, 100)
        assert store.drawn[0] == 701


@pytest.mark.filterwarnings("ignore:the store of the budget")
@pytest.mark.parametrize(("choice", "goes"), [("local_share", 2), ("wait", 0), ("fail", 0)])
async def test_while_the_store_is_away(choice: Any, goes: int) -> None:
    """A share of the rest, or nothing, and that is told once; what is taken meanwhile counts when it is back."""
    store = CountedStore()
    async with over() as clients:
        one, other = (client(store, on_store_error=choice) for _ in range(2))
        clients.extend((one, other))
        first, _ = await room(one, 100), await room(other, 100)
        one.reported(first, "m", Used(100, 0))
        await room(one, 100)
        store.is_away = True
        tasks = [asyncio.create_task(room(one, 150)) for _ in range(3)]
        await asyncio.sleep(30)
        assert sum(task.done() and task.exception() is None for task in tasks) == goes
        failed = [task.exception() for task in tasks if task.done() and task.exception() is not None]
        assert [type(error) for error in failed] == ([StoreError] * 3 if choice == "fail" else [])
        store.is_away = False
        await asyncio.sleep(6)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert store.drawn[0] == (300 if choice == "fail" else 750)


async def test_it_is_said_once() -> None:
    """With the name of the budget and what happens."""
    store = CountedStore()
    async with over() as clients:
        clients.append(one := client(store, on_store_error="wait"))
        store.is_away = True
        task = asyncio.create_task(room(one, 1))
        with pytest.warns(RuntimeWarning, match=r"the store of the budget 'x' is away \(nobody listens\); calls wait"):
            await asyncio.sleep(5)
        store.is_away = False
        await task


@pytest.mark.filterwarnings("ignore:the store of the budget")
async def test_nothing_is_taken_of_a_budget_that_nobody_knows() -> None:
    """A client that never reached the store has no share: each start would take another one."""
    store = CountedStore()
    store.is_away = True
    async with over() as clients:
        clients.append(one := client(store))
        with pytest.raises(StoreError, match="the store of the budget 'x' is away: nobody listens"):
            await room(one, 1)
        await asyncio.sleep(0)


async def test_a_child_has_nothing_of_what_its_parent_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork it asks for itself, under a name of its own."""
    store = CountedStore()
    async with over() as clients:
        clients.append(one := client(store))
        one.reported(await room(one, 600), "m", Used(200, 0))
        monkeypatch.setattr(os, "getpid", lambda: -1)
        one._stop_timer()
        one.begin_anew()
        with pytest.raises(BudgetExceeded):
            one.admit(Need(1))
        await room(one, 400)
        assert store.drawn[0] == 1000


async def test_another_loop_gives_back_what_the_one_before_did_not_hear_of() -> None:
    """A question that ends with its loop may have been answered; the client keeps its name, and so tells the store."""
    store = CountedStore(0.2)
    async with over() as clients:
        clients.append(one := client(store))
        one.unsent(await room(one, 100))
        waits = asyncio.create_task(room(one, 800))
        await asyncio.sleep(0.15)
        assert store.drawn[0] == 800
        assert one._task is not None
        waits.cancel()
        one._task.cancel()
        await asyncio.sleep(0)
        one._stop_timer()
        one.begin_anew()
        await room(one, 900)
        assert store.drawn[0] == 900


def test_any_text_is_a_name() -> None:
    """Half of a character, too, as comes out of files."""
    client(MemoryStore(), Budget(tokens=1, name="\ud800"))


@pytest.mark.parametrize(
    ("budget", "store", "words"),
    [
        (Budget(tokens=1, name="march"), None, r"Budget\(name='march'\) is kept in a store: give Limits\(store=...\)"),
        (Budget(usd=9_000_001, name="x"), MemoryStore(), r"Budget.usd must be a number up to 9,000,000"),
    ],
)
def test_what_cannot_be(budget: Budget, store: object, words: str) -> None:
    """It is said when the client is made."""
    with pytest.raises(ConfigurationError, match=words):
        AnyFast("sk-0123456789abcdef", budget=budget, limits=Limits(store=store))


def test_a_store_without_budgets() -> None:
    """One that was written for limits alone is refused, and its missing method named."""

    class Old:
        ask = news = aclose = MemoryStore.aclose

    with pytest.raises(ConfigurationError, match=r"needs a store with the method draw\(\)"):
        AnyFast("sk-0123456789abcdef", budget=Budget(tokens=1, name="x"), limits=Limits(store=Old()))
