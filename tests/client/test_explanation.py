"""What limits a client, in each state that it can be in: the word, the sentence, and what would help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from anyfast_async import AnyFast, Limits
from anyfast_async._client.explanation import Explanation
from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._core.retry.suspicion import Suspicion
from anyfast_async._limits.gate import Gate
from anyfast_async._limits.scope import Permit, Scope
from anyfast_async._limits.shared_scope import SharedScope

pytestmark = pytest.mark.virtual

MODEL = "gemini-2.5-pro"


@pytest.fixture(autouse=True)
async def _nothing_left(no_leaks: None) -> None:
    """No task outlives its test."""


class Client:
    """A client, its gate, and calls that wait there."""

    def __init__(self, limits: Limits = Limits(), **lane: Any) -> None:  # noqa: B008 - frozen
        self.client = AnyFast("sk-test-0123456789", base_url="http://127.0.0.1:1/v1", model=MODEL, limits=limits)
        self.gate: Gate = self.client._shared.gate
        self.scope: Scope = self.client._calls.scope_of(MODEL)
        self.tasks: list[asyncio.Task[Permit]] = []
        self.permits: list[Permit] = []

    async def take(self, calls: int) -> None:
        self.permits += [await self.gate.acquire(self.scope, 10.0) for _ in range(calls)]

    async def wait(self, calls: int, tokens: float = 10.0) -> Explanation:
        self.tasks += [asyncio.create_task(self.gate.acquire(self.scope, tokens)) for _ in range(calls)]
        await asyncio.sleep(0)
        return self.client.explain()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


async def test_nothing_limits_a_client_that_is_free() -> None:
    """Where nobody waits it is the answers that take the time, and no word is said of limits."""
    free = Client()
    await free.take(3)

    found = free.client.explain()

    assert (found.in_flight, found.most_in_flight, found.queued, found.limited_by) == (3, 200, 0, None)
    assert str(found) == (
        "3 of 200 calls in flight, none waits.\n"
        "Nothing here holds calls back: what they take is the time of the answers."
    )


@pytest.mark.parametrize(
    ("state", "text", "advice"),
    [
        (
            {"clients": 3, "others": 1},
            "shared with 2 other clients, 1 of them wait for a place; 4 of 8 places",
            "for all",
        ),
        ({"clients": 1}, "no other client uses them now", ""),
        (
            {"state": "away", "share": 0.25},
            "is away: calls go within 25% of the limits until it is back",
            "on_store_error",
        ),
        ({"state": "away", "alone": False}, "is away: calls wait until it is back", "on_store_error"),
    ],
)
def test_what_is_shared_is_said(state: dict[str, Any], text: str, advice: str) -> None:
    """Where a store holds the limits: how many share them, how much is held here, whether it is away, what helps."""
    balance = SharedBalance(600, None, 8, "me")
    balance.held = 4
    for name, value in state.items():
        setattr(balance, name, value)

    said, helps = SharedScope.sharing(balance).shared()

    assert text in said
    assert advice in helps


async def test_places() -> None:
    """All places are taken: Limits.concurrency is what could be raised."""
    full = Client(Limits(concurrency=2))
    await full.take(2)

    found = await full.wait(5)

    assert (found.limited_by, found.queued) == ("concurrency", 5)
    one = found.waiting[0]
    assert (one.model, one.lane, one.queued, one.in_flight) == (MODEL, None, 5, 2)
    assert "gemini-2.5-pro: 5 calls without a lane wait for a free place: Limits.concurrency. Raise Limits" in str(
        found
    )
    assert full.client.stats().limited_by == "concurrency"
    await full.end()


async def test_the_minutes() -> None:
    """Requests and tokens of a minute are used up; how long that will be is certain."""
    requests, tokens = Client(Limits(requests_per_minute=2)), Client(Limits(tokens_per_minute=20))
    await requests.take(2)
    await tokens.take(2)

    for client, word in ((requests, "requests_per_minute"), (tokens, "tokens_per_minute")):
        found = await client.wait(1)
        assert (found.limited_by, found.waiting[0].limited_by) == (word, word)
        assert f"Limits.{word}" in str(found)
        await client.end()
    assert requests.client.explain().waiting[0].wait == pytest.approx(60.0, abs=0.2)


async def test_a_hold() -> None:
    """The gateway's limiter holds for so long, whether somebody waits or not."""
    held = Client()
    await held.take(2)
    for permit in held.permits:
        held.gate.throttled(permit, Refusal(30.0, 0.0), Suspicion())

    alone = held.client.explain()
    found = await held.wait(2)

    assert (alone.limited_by, alone.waiting[0].limited_by) == (None, "throttling")
    assert "Calls without a lane would wait for the gateway's limiter, which holds them for 30 s more." in str(alone)
    assert found.limited_by == "throttling"
    assert found.waiting[0].held_for == pytest.approx(30.0)
    await held.end()


async def test_an_outage() -> None:
    """The gateway is away, since so many seconds."""
    away = Client()
    await away.take(1)
    for row in range(4):
        away.gate.failed(away.scope, row, reached=True, longest=30.0, rand=0.5)
    assert away.scope.outage.since is not None
    await asyncio.sleep(7.0)

    found = away.client.explain()

    assert found.waiting[0].limited_by == "outage"
    assert "would wait for the gateway, which is away for 7 s. Nothing here helps" in str(found)


async def test_the_window() -> None:
    """As many are in flight as the gateway was found to take: more calls from here would wait there."""
    auto = Client(Limits(concurrency="auto"))
    await auto.take(4)

    found = await auto.wait(3)

    assert (found.limited_by, found.most_in_flight) == ("window", 1000)
    assert (found.waiting[0].window, found.waiting[0].slowed) == (4, 1.0)
    assert "the gateway takes about 4 at once. Only the gateway can take more" in str(found)
    assert auto.client.stats().limited_by == "window"
    await auto.end()


async def test_a_reserve_and_lanes() -> None:
    """What is free is kept for another lane, which itself would not have to wait."""
    kept = Client(Limits(concurrency=3))
    chat = kept.client.with_options(lane="chat", reserve=1)
    entrance = kept.gate.entrance(chat._calls.setup.lane)
    assert entrance.admit(kept.scope, 0.0, 0.0) is not None
    await kept.take(2)
    other = Client(Limits(concurrency=3))
    other.client.with_options(lane="chat", reserve=1)
    await other.take(2)

    full, found = await kept.wait(1), await other.wait(1)

    assert [(one.lane, one.limited_by) for one in full.waiting] == [(None, "concurrency"), ("chat", "concurrency")]
    assert (found.limited_by, found.waiting[0].reserve) == ("reserve", 0)
    assert "the others are kept free. The free places are kept for other lanes" in str(found)
    await kept.end()
    await other.end()
