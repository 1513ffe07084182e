"""A stream that is late is asked for twice: which one is read, what the other costs, and that nothing is left of it.

Time is virtual; the gateway is a function that says when each answer begins.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    BadRequestError,
    Budget,
    ClientStateError,
    DeadlineExceeded,
    FirstTokenTimeout,
    Hedge,
    InternalServerError,
    Limits,
    RetryPolicy,
    Timeouts,
)
from anyfast_async._call.hedged import has_tool
from anyfast_async._http.exchange import Exchange
from anyfast_async.requests import as_request

if TYPE_CHECKING:
    from anyfast_async._http.api_key import Secret

QUICK, SLOW = 0.02, 2.0
ONCE = RetryPolicy(attempts=1)
USED = {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}
HEADERS = {"content-type": "text/event-stream"}


@attrs.frozen
class Says:
    """What the gateway answers to one request."""

    after: float = QUICK
    """Seconds until the head and the first content; None: never."""
    status: int = 200
    lasts: float = 0.1
    """Seconds from there to the end."""
    breaks: bool = False
    """Whether the connection breaks instead."""
    text: str = "hello"
    usage: Mapping[str, int] | None = attrs.field(
        factory=lambda: {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}
    )
    headers: Mapping[str, str] = attrs.field(factory=dict)
    whole: bool = False
    """Whether all of it comes at once."""


Gateway: TypeAlias = "Callable[[int], Says]"
"""Says what is answered to the request of a number, from 0."""


def event(text: str | None, finish: str | None = None, usage: Any = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], "usage": usage}).encode() + b"\n\n"


class Link:
    """What an exchange goes over: nothing."""

    def __init__(self) -> None:
        self.playing: asyncio.Task[None] | None = None

    def pause(self) -> None:
        """Nothing is read."""

    def resume(self) -> None:
        """Nothing is read."""

    def abort(self) -> None:
        """Play no more."""
        if self.playing is not None:
            self.playing.cancel()


class Wires:
    """Stands in for the transport; plays what the gateway says."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.sent: list[tuple[float, str | None, bytes | None]] = []
        """When each request was sent, with its ``Idempotency-Key`` and its body."""
        self.open: set[Link] = set()

    def at_once(  # noqa: PLR0917 - as the transport
        self, route: Any, secret: Secret, body: Any, key: str | None, asker: Any, in_one: bool = False
    ) -> Exchange:
        loop = asyncio.get_running_loop()
        says = self.gateway(len(self.sent))
        self.sent.append((loop.time(), key, body))
        link = Link()
        exchange = Exchange(link, "gateway", asker, secret, self._broken, loop, reused=True, in_one=in_one)
        self.open.add(link)
        link.playing = loop.create_task(self._play(exchange, says))
        link.playing.add_done_callback(lambda _: self.open.discard(link))
        exchange.sent()
        return exchange

    async def _play(self, exchange: Exchange, says: Says) -> None:
        await asyncio.sleep(says.after)
        if says.breaks:
            exchange.failed(ConnectionResetError(), answering=False)
            return
        if says.status != 200:
            exchange.began(says.status, {"content-type": "application/json", **says.headers})
            problem = {"error": {"message": "no", "type": "x", "code": "busy"}}
            exchange.arrived(json.dumps(problem).encode())
            exchange.ended()
            return
        exchange.began(200, HEADERS)
        end = event(None, "stop", says.usage) + b"data: [DONE]\n\n"
        exchange.arrived(event(says.text) + (end if says.whole else b""))
        if not says.whole:
            await asyncio.sleep(says.lasts)
            exchange.arrived(end)
        exchange.ended()

    @staticmethod
    def _broken(cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
        error = APIConnectionError(f"broke off: {cause}")
        error.retry_class, error.retryable, error.billed = "ambiguous", True, "maybe"
        return error

    async def headed(self, exchange: Exchange) -> Exchange:
        try:
            await exchange.opened()
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def aclose(self) -> None:
        """Nothing is kept."""


Made: TypeAlias = "Callable[..., tuple[AnyFast, Wires]]"


@pytest.fixture
async def rig(no_leaks: None) -> AsyncIterator[Made]:
    """Makes clients of a gateway; nothing may be on its way once they are closed."""
    clients: list[tuple[AnyFast, Wires]] = []

    def make(gateway: Gateway, **settings: Any) -> tuple[AnyFast, Wires]:
        wires: Any = Wires(gateway)
        options: dict[str, Any] = {"hedge": Hedge(), "model": "gemini-2.5-pro", "retry": ONCE} | settings
        client = AnyFast("sk-0123456789abcdef", **options)
        client._shared.transport = wires
        clients.append((client, wires))
        return client, wires

    yield make
    for client, wires in clients:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        shared = client._shared
        assert (shared.gate.in_flight, shared.gate.queued, shared.spending.reserved) == (0, 0, 0.0)
        assert set() == shared.in_flight.members
        assert set() == wires.open
        assert all(not one._pending and not one._late for one in shared.hedging.values())
        await client.aclose()


def now() -> float:
    return asyncio.get_running_loop().time()


async def first(client: AnyFast, prompt: str = "hi", **options: Any) -> float:
    """Read a stream; return the seconds to its first content."""
    began = now()
    async with client.stream(prompt, **options) as stream:
        took = now() - began
        await stream.drain()
    return took


async def learn(client: AnyFast, count: int = 100) -> None:
    """Have it known that so many streams were answered in time, with 40 tokens each."""
    setup = client._calls.setup
    assert setup.hedge is not None
    hedging = client._shared.hedging_of(client._calls.scope_of(setup.model or ""), setup.hedge)
    for _ in range(count):
        hedging.answered(hedging.begin(now(), lambda: False), now(), QUICK)
        hedging.used(40)


def only(number: int, says: Says, then: Says = Says()) -> Gateway:
    """A gateway that is quick but for the request of a *number*, and what comes right after it."""
    return lambda n: says if n == number else then if n == number + 1 else Says()


# -- which one is read -----------------------------------------------------------------------------------------------

pytestmark = pytest.mark.virtual


async def test_late_stream_is_asked_for_twice_and_the_quick_one_is_read(rig: Made) -> None:
    """The second attempt wins: its text, a ledger with both, the same key and body, one answer."""
    client, wires = rig(only(0, Says(SLOW), Says(text="second")))
    await learn(client)
    began = now()

    async with client.stream("late") as stream:
        took = now() - began
        completion = await stream.drain()

    assert "second" == completion.text
    assert QUICK < took < 3 * QUICK
    assert completion.trace is not None
    assert [(1, "overtaken", "maybe", False), (2, "ok", "yes", True)] == [
        (a.number, a.outcome, a.billed, a.hedge) for a in completion.trace.attempts
    ]
    assert completion.trace.first_token == pytest.approx(took)
    one, other = wires.sent[-2:]
    assert (one[1], one[2]) == (other[1], other[2])
    stats = client.stats()
    assert (stats.hedges, stats.hedges_won, stats.hedge_tokens) == (1, 1, 40)
    assert (stats.requests, stats.maybe_billed) == (2, 1)


async def test_first_one_may_still_win(rig: Made) -> None:
    """Content of the first attempt closes the second one at once; the answer stands last in the ledger."""
    client, wires = rig(only(0, Says(1.5 * QUICK), Says(SLOW)))
    await learn(client)

    async with client.stream("late") as stream:
        assert 1 == len(wires.open)
        completion = await stream.drain()

    assert completion.trace is not None
    assert [(2, "overtaken", "maybe", True), (1, "ok", "yes", False)] == [
        (a.number, a.outcome, a.billed, a.hedge) for a in completion.trace.attempts
    ]
    stats = client.stats()
    assert (stats.hedges, stats.hedges_won, stats.hedge_tokens) == (1, 0, 40)


async def test_ledger_is_whole_for_answers_that_come_in_one_piece(rig: Made) -> None:
    """Whichever of the two wins, also if its end comes with its first content."""
    for late in (1.5 * QUICK, SLOW):
        client, _ = rig(only(0, Says(late, whole=True), Says(0.9 * QUICK, whole=True)))
        await learn(client)

        completion = await client.stream("late").drain()

        assert completion.trace is not None
        assert ["overtaken", "ok"] == [a.outcome for a in completion.trace.attempts]
        assert [1, 2] == sorted(a.number for a in completion.trace.attempts)
        assert completion.trace.first_token == pytest.approx(min(late, 1.92 * QUICK), rel=0.1)


async def test_nothing_is_hedged_before_enough_is_known(rig: Made) -> None:
    """Of a 97th percentile nothing is known after a few streams."""
    client, wires = rig(lambda n: Says(SLOW if n == 30 else QUICK))
    for _ in range(32):
        await first(client)

    assert (32, 0) == (len(wires.sent), client.stats().hedges)


async def test_seconds_need_nothing_to_be_learned_but_that_others_are_quick(rig: Made) -> None:
    """``after=`` in seconds is there from the start, and the first stream of all is not asked for twice."""
    client, wires = rig(lambda n: Says(SLOW if n in (0, 9) else QUICK), hedge=Hedge(after=0.1, budget=1))
    assert SLOW == pytest.approx(await first(client))
    for _ in range(8):
        await first(client)

    assert 0.1 + QUICK == pytest.approx(await first(client))
    assert 11 == len(wires.sent)


async def test_off_by_default_and_by_with_options(rig: Made) -> None:
    """A client has no hedges unless it is told to, and one made of another one can be told otherwise."""
    plain, wires = rig(lambda n: Says(SLOW if n in (0, 1, 3) else QUICK), hedge=None)
    assert SLOW == pytest.approx(await first(plain))

    hedged = plain.with_options(hedge=Hedge())
    await learn(hedged)
    assert SLOW / 10 > await first(hedged)
    assert SLOW == pytest.approx(await first(hedged.with_options(hedge=None)))

    assert (1, 4) == (plain.stats().hedges, len(wires.sent))


async def test_calls_that_do_not_stream_are_not_hedged(rig: Made) -> None:
    """Not even those whose answer is streamed on the wire."""
    client, wires = rig(lambda n: Says(SLOW if n == 0 else QUICK))
    await learn(client)

    await client.complete("late", via_stream=True)

    assert 1 == len(wires.sent)


# -- tail and cost ---------------------------------------------------------------------------------------------------


async def heavy_tail(client: AnyFast, streams: int, at_once: int) -> list[float]:
    """Have *streams* made by so many workers; return their times to the first content, sorted."""
    rows = iter(range(streams))
    times: list[float] = []

    async def work() -> None:
        times.extend([await first(client) for _ in rows])

    await asyncio.gather(*(work() for _ in range(at_once)))
    return sorted(times)


@pytest.mark.parametrize("at_once", [1, 4, 32])
async def test_heavy_tail_is_cut(rig: Made, at_once: int) -> None:
    """2 % of first tokens take 2 s instead of 20 ms: p99 falls by far more than half, for 3 % more requests at most."""
    draw = random.Random(7)
    slow = {n for n in range(1000) if draw.random() < 0.02}
    client, wires = rig(lambda n: Says(SLOW if n in slow else QUICK, whole=True))

    after = await heavy_tail(client, 800, at_once)

    stats = client.stats()
    assert len([n for n in slow if n < 800]) > 8  # so that without hedges p99 is what a slow one takes
    assert after[int(0.99 * 800)] <= SLOW / 10
    assert 8 <= stats.hedges <= 0.03 * 800
    assert len(wires.sent) == 800 + stats.hedges
    assert 0 < stats.hedge_tokens <= 0.03 * 800 * 40


@pytest.mark.parametrize("at_once", [2, 12])
async def test_nothing_is_hedged_when_everything_is_slow(rig: Made, at_once: int) -> None:
    """A gateway that slows down in the middle: nobody is answered in time, so no second attempt is made."""
    began = now()
    client, wires = rig(lambda _: Says(QUICK if now() - began < 1 else SLOW, whole=True))
    await learn(client)

    await heavy_tail(client, 60 * at_once, at_once)

    assert now() - began > 10
    assert (0, 60 * at_once) == (client.stats().hedges, len(wires.sent))


async def test_one_stream_at_a_time_learns_by_one_hedge_that_everything_is_slow(rig: Made) -> None:
    """Where nothing else is on its way, nobody can tell the first slow one from a straggler; the next ones are told."""
    client, _ = rig(lambda _: Says(SLOW))
    await learn(client)
    for _ in range(50):
        await first(client)

    assert 1 == client.stats().hedges


async def test_budget_in_requests(rig: Made) -> None:
    """However many are late: no more second attempts than the share of the streams."""
    client, _ = rig(lambda n: Says(SLOW if n % 7 == 0 else QUICK), hedge=Hedge(after="p80", budget=0.01))
    await heavy_tail(client, 400, 8)

    assert 0 < client.stats().hedges <= 4


async def test_budget_in_tokens(rig: Made) -> None:
    """A prompt that is a hundred times as long as others is not sent twice: it alone would cost more than the share."""
    client, wires = rig(only(0, Says(SLOW)))
    await learn(client)

    await first(client, "x" * 40_000)

    assert (0, 1) == (client.stats().hedges, len(wires.sent))


async def test_gateway_that_reports_no_usage(rig: Made) -> None:
    """Then the number of attempts is what bounds them."""
    client, _ = rig(lambda n: Says(SLOW if n == 70 else QUICK, usage=None))
    for _ in range(71):
        await first(client)

    assert 1 == client.stats().hedges


# -- limits, budgets, throttling -------------------------------------------------------------------------------------


async def test_hedge_takes_no_place_that_is_not_free(rig: Made) -> None:
    """With one place there is no second attempt."""
    client, wires = rig(only(0, Says(SLOW)), limits=Limits(concurrency=1))
    await learn(client)
    await first(client)

    assert (0, 1) == (client.stats().hedges, len(wires.sent))


async def test_hedge_counts_within_the_limits_of_a_minute(rig: Made) -> None:
    """The minute has room for one more request: the second attempt takes it, the next call waits."""
    client, wires = rig(only(0, Says(SLOW)), limits=Limits(requests_per_minute=2))
    await learn(client)
    await first(client)
    assert 2 == len(wires.sent)
    began = now()

    await first(client)

    assert now() - began > 40


async def test_budget_has_no_room_for_a_hedge(rig: Made) -> None:
    """Then the first attempt is waited for, nothing is reserved any more, and the budget of hedges is not touched."""
    client, wires = rig(only(0, Says(SLOW)), budget=Budget(requests=1))
    await learn(client)

    assert SLOW == pytest.approx(await first(client))

    assert (1, 0, 1) == (len(wires.sent), client.stats().hedges, client.stats().requests)


async def test_budget_in_tokens_counts_both(rig: Made) -> None:
    """What is reserved for the attempt that is closed stays spent: it may be billed."""
    client, _ = rig(only(0, Says(SLOW)), budget=Budget(tokens=100_000))
    await learn(client)

    await first(client, max_tokens=50)

    assert client.stats().tokens_used > 40 + 40
    assert 0 == client.stats().tokens_reserved


async def test_off_under_throttling(rig: Made) -> None:
    """After a 429 the gate is held, and until it is as open as before nobody is asked for twice."""

    def gateway(n: int) -> Says:
        return Says(QUICK / 2, status=429) if n == 1 else Says(SLOW if n == 0 else QUICK)

    client, _ = rig(gateway, retry=RetryPolicy(), hedge=Hedge(after="p97", budget=1))
    await learn(client)
    late = asyncio.create_task(first(client))
    await asyncio.sleep(0.001)
    other = asyncio.create_task(first(client))  # which is refused before the first one is late

    assert SLOW == pytest.approx(await late)
    await other

    assert 0 == client.stats().hedges


async def test_unsafe_tools(rig: Made) -> None:
    """A call that offers one of them is made once; others are not concerned."""
    tools = [{"type": "function", "function": {"name": "pay", "parameters": {}}}]
    client, _ = rig(lambda n: Says(SLOW if n in (0, 1) else QUICK), hedge=Hedge(unsafe_tools=["pay"]))
    await learn(client)
    assert SLOW == pytest.approx(await first(client, tools=tools))

    assert SLOW / 10 > await first(client, tools=[{"type": "function", "function": {"name": "look", "parameters": {}}}])


@pytest.mark.parametrize(
    ("fields", "names", "found"),
    [
        ({}, "all", False),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, "all", True),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, ("b",), False),
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, (), False),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, ("mcp",), True),
        ({"extra_body": {"tools": [{"google_search": {}}]}}, ("google_search",), True),
        ({"extra_body": {"functions": [{"name": "a"}]}}, ("a",), True),
        ({"extra_body": {"tools": "none"}}, ("none",), False),
    ],
)
def test_names_of_tools(fields: Any, names: Any, found: bool) -> None:
    """Functions are known by their names, what the gateway runs by its type or key, wherever they stand."""
    assert found is has_tool(as_request("hi", {"model": "m", **fields}), names)


# -- failures --------------------------------------------------------------------------------------------------------


async def test_first_fails_while_the_second_runs(rig: Made) -> None:
    """A failure that would be tried again is answered by what is on its way already."""
    client, _ = rig(only(0, Says(1.5 * QUICK, status=500), Says(5 * QUICK)))
    await learn(client)

    completion = await client.stream("late").drain()

    assert completion.trace is not None
    assert [("server", 500, "no", False), ("ok", 200, "yes", True)] == [
        (a.outcome, a.status_code, a.billed, a.hedge) for a in completion.trace.attempts
    ]
    assert 0 == client.stats().hedge_tokens


async def test_first_breaks_off_while_the_second_runs(rig: Made) -> None:
    """The first one may be billed."""
    client, _ = rig(only(0, Says(1.5 * QUICK, breaks=True), Says(5 * QUICK)))
    await learn(client)

    completion = await client.stream("late").drain()

    assert completion.trace is not None
    assert [("connection", "maybe"), ("ok", "yes")] == [(a.outcome, a.billed) for a in completion.trace.attempts]
    assert 40 == client.stats().hedge_tokens


async def test_refusal_for_good_ends_both(rig: Made) -> None:
    """A bad request is one however often it is asked: the second attempt is closed."""
    client, _ = rig(only(0, Says(1.5 * QUICK, status=400), Says(SLOW)))
    await learn(client)
    began = now()

    with pytest.raises(BadRequestError) as caught:
        await first(client)

    assert now() - began == pytest.approx(1.5 * QUICK)
    assert [("overtaken", True), ("bad_request", False)] == [(a.outcome, a.hedge) for a in caught.value.attempts]
    assert "maybe" == caught.value.billed


@pytest.mark.parametrize("how", [Says(QUICK, status=500), Says(QUICK, breaks=True), Says(QUICK, status=400)])
async def test_hedge_that_fails_is_in_the_ledger_alone(rig: Made, how: Says) -> None:
    """The first attempt is read as if nothing had been."""
    client, _ = rig(only(0, Says(SLOW), how))
    await learn(client)

    completion = await client.stream("late").drain()

    assert completion.trace is not None
    one, other = completion.trace.attempts
    assert (one.hedge, one.number, other.outcome, other.number) == (True, 2, "ok", 1)
    assert one.outcome in {"server", "connection", "bad_request"}
    assert SLOW == pytest.approx(completion.trace.first_token)


async def test_hedge_that_is_throttled_holds_the_gate(rig: Made) -> None:
    """The gateway wants fewer requests, whichever was refused: the next call is held."""
    client, _ = rig(only(0, Says(SLOW), Says(QUICK, status=429)), retry=RetryPolicy())
    await learn(client)
    late = asyncio.create_task(first(client))
    await asyncio.sleep(4 * QUICK)

    assert client.stats().held_for > 0.5
    await late


async def test_both_fail_and_the_call_is_tried_again(rig: Made) -> None:
    """One retry for the two of them; every attempt is in the ledger with a number of its own."""

    def gateway(n: int) -> Says:
        return Says(1.5 * QUICK if n == 0 else QUICK, status=500) if n in (0, 1) else Says()

    client, wires = rig(gateway, retry=RetryPolicy())
    await learn(client)

    completion = await client.stream("late").drain()

    assert completion.trace is not None
    assert [(2, "server", True), (1, "server", False), (3, "ok", False)] == [
        (a.number, a.outcome, a.hedge) for a in completion.trace.attempts
    ]
    assert 3 == len(wires.sent)


async def test_both_fail_for_good(rig: Made) -> None:
    """The error is that of the first one, with both in its ledger."""
    client, _ = rig(only(0, Says(1.5 * QUICK, status=500), Says(3 * QUICK, breaks=True)))
    await learn(client)

    with pytest.raises(InternalServerError) as caught:
        await first(client)

    assert [("connection", True), ("server", False)] == [(a.outcome, a.hedge) for a in caught.value.attempts]
    assert "maybe" == caught.value.billed


async def test_winner_that_breaks_off_later(rig: Made) -> None:
    """It is an incomplete stream as any other, with both attempts."""
    client, _ = rig(only(0, Says(SLOW), Says(usage=None, lasts=60)), timeouts=Timeouts(idle=5))
    await learn(client)

    with pytest.raises(AnyFastError) as caught:
        await first(client)

    assert [("overtaken", False), ("idle_timeout", True)] == [(a.outcome, a.hedge) for a in caught.value.attempts]
    assert caught.value.partial is not None
    assert "hello" == caught.value.partial.text


async def test_no_first_token_ends_both_in_time(rig: Made) -> None:
    """``Timeouts.first_token`` is counted from the first sending."""
    client, _ = rig(only(0, Says(SLOW), Says(SLOW)), timeouts=Timeouts(first_token=1))
    await learn(client)
    began = now()

    with pytest.raises(FirstTokenTimeout) as caught:
        await first(client)

    assert 1 == pytest.approx(now() - began)
    assert 2 == len(caught.value.attempts)


# -- ended by others -------------------------------------------------------------------------------------------------


async def test_deadline_ends_both(rig: Made) -> None:
    """The error has both attempts in its ledger."""
    client, _ = rig(only(0, Says(SLOW), Says(SLOW)))
    await learn(client)

    with pytest.raises(DeadlineExceeded) as caught:
        await first(client, timeout=0.5)

    assert ["cancelled", "overtaken"] == sorted(a.outcome for a in caught.value.attempts)
    assert "maybe" == caught.value.billed


@pytest.mark.parametrize("after", [0.5 * QUICK, 1.04 * QUICK, 1.2 * QUICK, 2.2 * QUICK])
async def test_caller_leaves(rig: Made, after: float) -> None:
    """At whatever moment: before the second attempt, as it begins, while both run, once it has won."""
    client, _ = rig(only(0, Says(SLOW), Says(lasts=5)))
    await learn(client)
    task = asyncio.create_task(first(client))
    await asyncio.sleep(after)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_caller_leaves_at_every_turn_of_the_loop(rig: Made) -> None:
    """Cancelling at any of the turns around the second attempt leaves nothing."""
    for turns in range(25):
        client, _ = rig(only(0, Says(SLOW), Says(lasts=5)))
        await learn(client)
        task = asyncio.create_task(first(client))
        (hedging,) = client._shared.hedging.values()
        await asyncio.sleep(hedging.after or 0)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("at", [1.2 * QUICK, 2.5 * QUICK])
async def test_client_is_closed(rig: Made, at: float) -> None:
    """Both end with ``ClientStateError``."""
    client, _ = rig(only(0, Says(SLOW), Says(lasts=5)))
    await learn(client)
    task = asyncio.create_task(first(client))
    await asyncio.sleep(at)

    await client.aclose()

    with pytest.raises(ClientStateError):
        await task


async def test_reader_leaves_the_winner(rig: Made) -> None:
    """What was read is settled, and both attempts stand in the ledger."""
    client, wires = rig(only(0, Says(SLOW), Says(lasts=5)))
    await learn(client)

    async with client.stream("late") as stream:
        assert "hello" == await anext(stream)

    trace = stream.completion.trace
    assert trace is not None
    assert ["overtaken", "left"] == [a.outcome for a in trace.attempts]
    assert set() == {link for link in wires.open if link.playing is not None and not link.playing.cancelling()}


async def test_observers_hear_of_both_and_of_one_end(rig: Made) -> None:
    """Two attempts with numbers of their own, one first content, one end of the call."""
    heard: list[Any] = []

    class Ear:
        on_attempt_start = on_attempt_end = on_first_content = on_call_end = property(lambda _: heard.append)

    client, _ = rig(only(0, Says(SLOW), Says()), observers=[Ear()])
    await learn(client)
    heard.clear()

    await first(client)

    said = [(type(one).__name__, getattr(one, "number", None)) for one in heard]
    ends = [(one.attempt.number, one.attempt.outcome, one.attempt.hedge) for one in heard if hasattr(one, "attempt")]
    assert [("AttemptStart", 1), ("AttemptStart", 2), ("FirstContent", 2)] == said[:3]
    assert [(1, "overtaken", False), (2, "ok", True)] == ends
    assert 1 == len([one for one in heard if type(one).__name__ == "CallEnd"])
    assert 1 == len({one.call.id for one in heard})
    assert "ok" == heard[-1].outcome
