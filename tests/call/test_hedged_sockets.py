"""A stream that is asked for twice, over real connections: which are closed, and that none is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import AnyFast, APIConnectionError, ClientStateError, Hedge, RetryPolicy
from anyfast_async.simulator import Latency, Simulator

if TYPE_CHECKING:
    from conftest import Connect, RawServers, Until


def learn(client: AnyFast) -> None:
    """Have it known that others are quick, however busy this machine is."""
    (hedging,) = client._shared.hedging.values()
    for _ in range(100):
        hedging.answered(hedging.begin(0.0, lambda: False), 0.0, 0.001)


ONCE = RetryPolicy(attempts=1)
SOON = Hedge(after=0.03, budget=1)


async def test_loser_is_closed_at_the_first_content_of_the_winner(
    raw_server: RawServers, connect: Connect, until: Until
) -> None:
    """The gateway sees that the connection of the one that is not read goes away, while the other is still read."""
    quick: list[Any] = [raw_server.stream("quick")]
    begun: list[Any] = [raw_server.stream_head() + raw_server.chunk(raw_server.event("se")), "hang"]
    server = await raw_server(quick, ["hang"], begun)
    client = connect(server.base_url, hedge=SOON, retry=ONCE)
    await client.stream("a").drain()
    learn(client)

    async with client.stream("b") as stream:
        assert "se" == await anext(stream)
        loser, winner = server.requests[1:]
        await until(loser.gone.is_set)
        assert not winner.gone.is_set()
        assert 1 == client._shared.transport.in_use
    await until(winner.gone.is_set)

    assert loser.headers["idempotency-key"] == winner.headers["idempotency-key"]
    assert 0 == client.stats().in_flight


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_both_are_closed_when_the_caller_leaves(
    how: str, raw_server: RawServers, connect: Connect, until: Until
) -> None:
    """By cancelling, and by closing the client."""
    server = await raw_server([raw_server.stream("quick")], ["hang"])
    client = connect(server.base_url, hedge=SOON, retry=ONCE)
    await client.stream("a").drain()
    learn(client)
    task = asyncio.ensure_future(client.stream("b").drain())
    await until(lambda: len(server.requests) == 3)

    if how == "cancel":
        task.cancel()
    else:
        await client.aclose()

    with pytest.raises((asyncio.CancelledError, ClientStateError)):
        await task
    await until(lambda: all(one.gone.is_set() for one in server.requests[1:]))
    assert (0, 0) == (client.stats().in_flight, client._shared.transport.in_use)


async def test_first_connection_breaks_while_the_second_waits(raw_server: RawServers, connect: Connect) -> None:
    """The second attempt's answer is the call's; without one the first one's error is."""
    server = await raw_server(
        [raw_server.stream("quick")], [("sleep", 0.1), "rst"], [("sleep", 0.2), raw_server.stream("whole")]
    )
    client = connect(server.base_url, hedge=SOON, retry=ONCE)
    await client.stream("a").drain()
    learn(client)

    assert "whole" == (await client.stream("b").drain()).text

    server = await raw_server([raw_server.stream("quick")], [("sleep", 0.1), "rst"])
    client = connect(server.base_url, hedge=SOON, retry=ONCE)
    await client.stream("a").drain()
    learn(client)
    with pytest.raises(APIConnectionError) as caught:
        await client.stream("b").drain()
    assert [True, False] == [attempt.hedge for attempt in caught.value.attempts]


async def test_stragglers_of_the_simulator(connect: Connect) -> None:
    """Every answer is the one to its own prompt, whichever attempt gave it, and no more is sent than the budget has."""
    async with Simulator(latency=Latency(slow_share=0.1, slow=1)) as sim:
        for number in range(80):
            sim.reply(f"echo {number}", when=f"number {number}.")
        client = connect(sim.base_url, hedge=Hedge(after=0.2, budget=0.1))
        prompts = iter(range(80))
        found: dict[int, str] = {}

        async def work() -> None:
            for number in prompts:
                found[number] = (await client.stream(f"number {number}.").drain()).text

        await asyncio.gather(*(work() for _ in range(8)))

        stats = client.stats()
        assert {number: f"echo {number}" for number in range(80)} == found
        assert 0 < stats.hedges <= 8
        assert 80 + stats.hedges == len(sim.requests) == stats.requests
