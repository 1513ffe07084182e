"""Admission: exact, fair, and silent when idle. Everything here runs in virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyfast_async import ClientStateError, Limits, QueueFullError
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.scope import Permit, Scope

if TYPE_CHECKING:
    from conftest import VirtualTimeLoop

pytestmark = pytest.mark.virtual


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


def now() -> float:
    return asyncio.get_running_loop().time()


def loop() -> VirtualTimeLoop:
    running: Any = asyncio.get_running_loop()
    return running  # type: ignore[no-any-return]


def queue(gate: Gate, scope: Scope, tokens: float = 0.0) -> asyncio.Task[Permit]:
    return asyncio.get_running_loop().create_task(gate.acquire(scope, tokens))


def refuse(
    gate: Gate, permit: Permit, asked: float | None = None, rand: float = 0.0, row: Suspicion | None = None
) -> float:
    return gate.throttled(permit, Refusal(asked, rand), row or Suspicion())


async def turn(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


# -- the clock of these tests ----------------------------------------------------------------------------------------


async def test_virtual_time_passes_at_once() -> None:
    """An hour's sleep takes an hour of the loop's time."""
    await asyncio.sleep(3600)

    assert now() == 3600.0


async def test_virtual_time_uses_what_asyncio_has() -> None:
    """The private names of asyncio that the virtual clock stands on exist, and hold what it expects."""
    handle = loop().call_later(5, lambda: None)

    assert loop()._scheduled == [handle]  # type: ignore[attr-defined]
    assert list(loop()._ready) == []  # type: ignore[attr-defined]
    assert callable(asyncio.SelectorEventLoop._run_once)  # type: ignore[attr-defined]
    handle.cancel()
    assert loop().timers == []


# -- concurrency -----------------------------------------------------------------------------------------------------


async def test_free_gate_admits_without_giving_way() -> None:
    """With room, admission takes no turn of the loop, no timer and no task."""
    gate = Gate(Limits())
    tasks = asyncio.all_tasks()
    moved = False

    def mark() -> None:
        nonlocal moved
        moved = True

    asyncio.get_running_loop().call_soon(mark)
    permit = await gate.acquire(gate.scope("a"), 100)

    assert not moved
    assert asyncio.all_tasks() == tasks
    assert loop().timers == []
    gate.release(permit)
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_concurrency_is_exact() -> None:
    """Of 100 calls never more, and for most of the time not fewer, than 8 are in flight."""
    gate = Gate(Limits(concurrency=8))
    active = peak = 0

    async def call() -> None:
        nonlocal active, peak
        permit = await gate.acquire(gate.scope("a"))
        active += 1
        peak = max(peak, active)
        await asyncio.sleep(1)
        active -= 1
        gate.release(permit)

    await asyncio.gather(*(call() for _ in range(100)))

    assert peak == 8
    assert now() == 13.0  # 100 / 8, rounded up: no place was ever empty
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_order_of_arrival_is_kept() -> None:
    """Waiters are admitted in the order in which they came, over all scopes."""
    gate = Gate(Limits(concurrency=1))
    first = await gate.acquire(gate.scope("a"))
    order: list[int] = []

    async def call(number: int) -> None:
        permit = await gate.acquire(gate.scope(number % 3))
        order.append(number)
        gate.release(permit)

    tasks = [asyncio.create_task(call(i)) for i in range(30)]
    await turn()
    gate.release(first)
    await asyncio.gather(*tasks)

    assert order == list(range(30))


async def test_release_twice_counts_once() -> None:
    """A permit given back twice makes room for one."""
    gate = Gate(Limits(concurrency=2))
    permit = await gate.acquire(gate.scope("a"))
    other = await gate.acquire(gate.scope("a"))

    gate.release(permit)
    gate.release(permit)

    assert gate.in_flight == 1
    gate.release(other)
    assert gate.in_flight == 0


async def test_release_passes_over_a_waiter_that_was_just_cancelled() -> None:
    """A call is cancelled in the queue; in the same tick a permit is given back: it goes to the next one."""
    gate = Gate(Limits(concurrency=1))
    permit = await gate.acquire(gate.scope("a"))
    cancelled, waiting = queue(gate, gate.scope("a")), queue(gate, gate.scope("a"))
    await turn()

    cancelled.cancel()
    try:
        gate.release(permit)
        second = await asyncio.wait_for(waiting, 1)
        gate.release(second)
    finally:
        waiting.cancel()
        await asyncio.wait({cancelled, waiting})

    assert cancelled.cancelled()
    assert (gate.in_flight, gate.queued) == (0, 0)


@pytest.mark.parametrize("first", ["grant", "cancel"])
async def test_grant_and_cancellation_in_one_tick_lose_no_permit(first: str) -> None:
    """10 000 times a permit is granted to a call that is cancelled in the same tick: none is lost."""
    gate = Gate(Limits(concurrency=1))
    scope = gate.scope("a")
    for _ in range(10_000):
        permit = await gate.acquire(scope)
        waiter = queue(gate, scope)
        await asyncio.sleep(0)
        if first == "grant":
            gate.release(permit)
            waiter.cancel()
        else:
            waiter.cancel()
            gate.release(permit)
        await asyncio.wait({waiter})

        assert waiter.cancelled()
        assert (gate.in_flight, gate.queued) == (0, 0)


@given(st.integers(0, 2**32), st.integers(1, 8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_cancellations_leave_the_gate_exact(seed: int, limit: int) -> None:
    """Whatever is cancelled when: never more than the limit, and at the end nobody is counted and nobody waits."""
    rand = random.Random(seed)

    async def run() -> None:
        gate = Gate(Limits(concurrency=limit))
        active = peak = 0

        async def call() -> None:
            nonlocal active, peak
            permit = await gate.acquire(gate.scope(rand.randrange(3)))
            try:
                active += 1
                peak = max(peak, active)
                await asyncio.sleep(rand.choice((0, 0, 0.0001)))
            finally:
                active -= 1
                gate.release(permit)

        tasks = [asyncio.create_task(call()) for _ in range(40)]
        for _ in range(30):
            rand.choice(tasks).cancel()
            if rand.random() < 0.5:
                await asyncio.sleep(0)
        done, _ = await asyncio.wait(tasks, timeout=5)
        errors = [task.exception() for task in done if not task.cancelled()]

        assert errors == [None] * len(errors)
        assert len(done) == len(tasks)
        assert peak <= limit
        assert (gate.in_flight, gate.queued) == (0, 0)

    asyncio.run(run())


async def test_full_queue_refuses_at_once() -> None:
    """With ``max_queued`` calls waiting the next one is refused, and can be told how long."""
    gate = Gate(Limits(concurrency=1, max_queued=1, requests_per_minute=1))
    scope = gate.scope("a")
    permit = await gate.acquire(scope)
    waiting = queue(gate, scope)
    await turn()

    with pytest.raises(QueueFullError, match="max_queued=1") as caught:
        await gate.acquire(scope)

    assert caught.value.retry_after == pytest.approx(60.1)
    waiting.cancel()
    await asyncio.wait({waiting})
    gate.release(permit)


async def test_full_queue_of_one_scope_does_not_refuse_another() -> None:
    """``max_queued`` refuses calls that would have to wait; one that may go at once goes."""
    gate = Gate(Limits(max_queued=1, requests_per_minute=1))
    gate.release(await gate.acquire(gate.scope("used up")))
    waiting = queue(gate, gate.scope("used up"))
    await turn()

    try:
        gate.release(await gate.acquire(gate.scope("free")))
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})


# -- windows ---------------------------------------------------------------------------------------------------------


async def admissions(gate: Gate, tokens: list[float]) -> list[float]:
    """The times at which calls that all arrive now are admitted."""
    times: list[float] = []

    async def call(amount: float) -> None:
        permit = await gate.acquire(gate.scope("a"), amount)
        times.append(now())
        gate.release(permit)

    await asyncio.gather(*(call(amount) for amount in tokens))
    return times


async def test_requests_per_minute_hold_in_every_window() -> None:
    """In no 60 seconds are more than 10 requests admitted, and 25 take two waits."""
    times = await admissions(Gate(Limits(requests_per_minute=10)), [0.0] * 25)

    assert times[9] == 0.0
    assert max(sum(start <= t < start + 60 for t in times) for start in times) == 10
    assert times[-1] == pytest.approx(120.2)


async def test_tokens_per_minute_hold_in_every_window() -> None:
    """In no 60 seconds are more tokens reserved than the limit."""
    rand = random.Random(1)
    amounts = [float(rand.randint(1, 60)) for _ in range(40)]

    times = await admissions(Gate(Limits(tokens_per_minute=100)), amounts)

    taken = list(zip(times, amounts, strict=True))
    assert max(sum(a for t, a in taken if start <= t < start + 60) for start in times) <= 100
    assert times == sorted(times)


async def test_large_request_is_not_starved() -> None:
    """A request over the whole limit waits for an empty window, and the small ones behind it wait for it."""
    times = await admissions(Gate(Limits(tokens_per_minute=100)), [60, 500, 1, 1])

    assert times == pytest.approx([0, 60.1, 120.2, 120.2])


async def test_what_is_given_back_lets_the_next_one_in() -> None:
    """A permit that was not used counts in no minute; giving it back twice is no more than once."""
    gate = Gate(Limits(requests_per_minute=2, concurrency=2))
    scope = gate.scope("a")
    first, second = await gate.acquire(scope), await gate.acquire(scope)
    waiting = queue(gate, scope)
    await turn()

    for _ in range(2):
        gate.give_back(second)
    gate.release(second)

    assert (now(), gate.in_flight) == (0.0, 2)
    gate.release(first)
    gate.release(await waiting)
    assert gate.in_flight == 0


async def test_granted_and_cancelled_in_one_tick_counts_nothing() -> None:
    """Nothing was sent, so the minute has room for another."""
    gate = Gate(Limits(requests_per_minute=2, concurrency=1))
    scope = gate.scope("a")
    first = await gate.acquire(scope)
    waiting = queue(gate, scope)
    await turn()
    gate.release(first)
    waiting.cancel()
    await asyncio.wait({waiting})

    gate.release(await gate.acquire(scope))
    assert now() == 0.0


async def test_settling_lets_the_next_one_in() -> None:
    """Tokens that were reserved and not used are free at once, for whoever waits."""
    gate = Gate(Limits(tokens_per_minute=100))
    permit = await gate.acquire(gate.scope("a"), 90)
    waiting = queue(gate, gate.scope("a"), 50)
    await turn()
    assert not waiting.done()

    gate.settle(permit, 20)
    await turn()

    assert waiting.done()
    gate.release(permit)
    gate.release(waiting.result())


async def test_used_up_scope_does_not_stop_others() -> None:
    """While one scope waits for its window, a call on another one goes at once."""
    gate = Gate(Limits(requests_per_minute=1))
    gate.release(await gate.acquire(gate.scope("a")))
    waiting = queue(gate, gate.scope("a"))
    await turn()

    gate.release(await gate.acquire(gate.scope("b")))

    assert now() == 0.0
    gate.release(await waiting)
    assert now() == pytest.approx(60.1)


# -- hold ------------------------------------------------------------------------------------------------------------


async def test_hold_stops_one_scope_and_no_other() -> None:
    """After a throttled answer calls on that scope wait for the hold; another scope goes on."""
    gate = Gate(Limits())
    permit = await gate.acquire(gate.scope("a"))
    held_until = refuse(gate, permit)
    gate.release(permit)

    gate.release(await gate.acquire(gate.scope("b")))
    assert (now(), held_until) == (0.0, 1.0)
    gate.release(await gate.acquire(gate.scope("a")))
    assert now() == 1.0


async def test_the_servers_delay_wins() -> None:
    """A delay that the server names is the hold, times 1 to 1.1."""
    gate = Gate(Limits())
    permit = await gate.acquire(gate.scope("a"))

    assert refuse(gate, permit, 2.0, 1.0) == pytest.approx(2.2)
    gate.release(permit)


async def test_cascade_counts_once() -> None:
    """Fifty answers to requests sent before the hold make one hold, not fifty."""
    gate = Gate(Limits())
    permits = [await gate.acquire(gate.scope("a")) for _ in range(50)]
    await asyncio.sleep(1)

    held = [refuse(gate, permit) for permit in permits]
    for permit in permits:
        gate.release(permit)

    assert held[1:] == [2.0] * 49
    assert gate.scope("a").throttle.streak == 1


async def test_holds_grow_while_throttling_goes_on() -> None:
    """Throttled again after each hold, the scope holds 1, 2, 4, 8, 16, 32, 60 and 60 seconds."""
    gate, row = Gate(Limits()), Suspicion()
    holds = []
    for _ in range(8):
        permit = await gate.acquire(gate.scope("a"))
        holds.append(refuse(gate, permit, row=row) - now())
        gate.release(permit)

    assert holds == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


async def test_after_a_hold_others_follow_the_first() -> None:
    """The first one goes alone; where nobody else was refused, the others go at once when it is taken."""
    gate = Gate(Limits(concurrency=64))
    permit = await gate.acquire(gate.scope("a"))
    refuse(gate, permit)
    gate.release(permit)
    together: dict[float, int] = {}

    async def call() -> None:
        permit = await gate.acquire(gate.scope("a"))
        together[now()] = together.get(now(), 0) + 1
        await asyncio.sleep(1)
        gate.succeeded(permit)
        gate.release(permit)

    await asyncio.gather(*(call() for _ in range(31)))

    assert together == {1.0: 1, 2.0: 30}


async def test_after_an_outage_the_scope_ramps_up() -> None:
    """A gateway that is back gets one request, then each success lets one more in beside its successor."""
    gate = Gate(Limits(concurrency=64))
    gate.scope("a").throttle.hold()
    together: dict[float, int] = {}

    async def call() -> None:
        permit = await gate.acquire(gate.scope("a"))
        together[now()] = together.get(now(), 0) + 1
        await asyncio.sleep(1)
        gate.succeeded(permit)
        gate.release(permit)

    await asyncio.gather(*(call() for _ in range(31)))

    assert together == {0.0: 1, 1.0: 2, 2.0: 4, 3.0: 8, 4.0: 16}
    assert gate.scope("a").throttle.ceiling == 32


async def test_ramp_ends_at_the_concurrency() -> None:
    """Once as many are let in as the limit allows, the scope is as before the hold."""
    gate = Gate(Limits(concurrency=4))
    gate.scope("a").throttle.hold()

    for _ in range(3):
        permit = await gate.acquire(gate.scope("a"))
        gate.succeeded(permit)
        gate.release(permit)

    throttle = gate.scope("a").throttle
    assert (throttle.ceiling, throttle.streak, throttle.watching) == (None, 0, False)


async def test_who_goes_first_goes_before_all_others_of_the_scope() -> None:
    """A row that is tried after a hold does not wait behind the others; those of other scopes are not concerned."""
    gate = Gate(Limits())
    scope = gate.scope("a")
    permit = await gate.acquire(scope)
    refuse(gate, permit)
    gate.release(permit)
    order: list[str] = []

    async def call(name: str, *, first: bool) -> None:
        permit = await gate.queue(scope, first=first)
        order.append(name)
        gate.succeeded(permit)
        gate.release(permit)

    others = [asyncio.create_task(call(name, first=False)) for name in "bcd"]
    await turn()
    await asyncio.gather(*others, call("a", first=True))

    assert order == ["a", "b", "c", "d"]


async def test_hold_is_not_prolonged_by_a_call_from_before_it() -> None:
    """A long stream that was open before the hold does not keep the next call waiting once the hold is over."""
    gate = Gate(Limits())
    stream = await gate.acquire(gate.scope("a"))
    await asyncio.sleep(1)
    permit = await gate.acquire(gate.scope("a"))
    refuse(gate, permit)
    gate.release(permit)

    try:
        async with asyncio.timeout(60):
            permit = await gate.acquire(gate.scope("a"))
    finally:
        gate.release(stream)

    assert now() == 2.0
    gate.release(permit)


# -- timers and the end ----------------------------------------------------------------------------------------------


async def test_one_timer_for_all_who_wait() -> None:
    """With a hundred calls waiting on ten scopes one timer is set; with none, none."""
    gate = Gate(Limits(requests_per_minute=1))
    for scope in range(10):
        gate.release(await gate.acquire(gate.scope(scope)))
    assert loop().timers == []

    waiting = [queue(gate, gate.scope(i % 10)) for i in range(100)]
    await turn()
    assert len(loop().timers) == 1
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)

    assert loop().timers == []
    assert gate.queued == 0


async def test_no_timer_for_those_who_wait_for_a_place() -> None:
    """Waiting for another call to end takes no timer."""
    gate = Gate(Limits(concurrency=1))
    permit = await gate.acquire(gate.scope("a"))
    waiting = queue(gate, gate.scope("a"))
    await turn()

    assert loop().timers == []
    gate.release(permit)
    gate.release(await waiting)


async def test_closing_ends_all_who_wait() -> None:
    """Everybody in the queue, and everybody who comes later, gets ``ClientStateError``; no timer is left."""
    gate = Gate(Limits(requests_per_minute=1))
    permit = await gate.acquire(gate.scope("a"))
    waiting = [queue(gate, gate.scope("a")) for _ in range(20)]
    await turn()

    gate.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(result) for result in results] == [ClientStateError] * 20
    with pytest.raises(ClientStateError, match="closed"):
        await gate.acquire(gate.scope("b"))
    gate.release(permit)
    assert (gate.in_flight, gate.queued, loop().timers) == (0, 0, [])


async def test_closing_and_cancelling_in_one_tick() -> None:
    """A waiter that is cancelled as the gate closes ends, as cancelled."""
    gate = Gate(Limits(concurrency=1))
    permit = await gate.acquire(gate.scope("a"))
    waiting = queue(gate, gate.scope("a"))
    await turn()

    gate.close()
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    gate.release(permit)
    assert gate.in_flight == 0


async def test_reset_keeps_what_the_limits_counted() -> None:
    """After a change of loops nobody is counted as in flight, but the minute's requests are."""
    gate = Gate(Limits(concurrency=1, requests_per_minute=1))
    await gate.acquire(gate.scope("a"))

    gate.reset()

    assert gate.in_flight == 0
    gate.release(await gate.acquire(gate.scope("a")))
    assert now() == pytest.approx(60.1)
