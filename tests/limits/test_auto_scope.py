"""``Limits(concurrency="auto")`` with the whole client, in virtual time, before gateways that tell no limit.

Each takes so many at once: it refuses more, lets them wait, or serves all of them more slowly.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable
from typing import Any, Literal

import attrs
import pytest
from standins import Answer, now

from anyfast_async import AnyFast, Limits
from anyfast_async._limits.auto_scope import AutoScope

pytestmark = pytest.mark.virtual

LONG = bool(os.environ.get("ANYFAST_LONG"))
KEY = "sk-test-0123456789"


def completion(tokens: int) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps(head | {"choices": [choice], "usage": usage}).encode()


Kind = Literal["refuses", "queues", "slows"]


class Gateway:
    """Stands in for the transport: a server that takes ``capacity(now)`` requests at once, 100 tokens a second each."""

    def __init__(self, kind: Kind, capacity: Callable[[float], int]) -> None:
        self.kind = kind
        self.capacity = capacity
        self.chance = random.Random(3)
        self.active = 0
        self.answered: list[float] = []
        self.refused = 0
        self.changed: asyncio.Event = asyncio.Event()

    def at_once(self, *_: Any) -> None:
        """No connection waits."""

    async def headed(self, answer: Answer) -> Answer:
        return answer

    async def connected(self, *sending: Any) -> Answer:
        sending[4].on_sent(now())
        tokens = self.chance.randint(50, 150)
        if self.kind == "refuses" and self.active >= self.capacity(now()):
            self.refused += 1
            await asyncio.sleep(0.02)
            return Answer(429, b"")
        while self.kind == "queues" and self.active >= self.capacity(now()):
            await self.changed.wait()
        self.active += 1
        try:
            if self.kind == "slows":
                for _ in range(5):
                    await asyncio.sleep(tokens / 500 * max(1.0, self.active / self.capacity(now())))
            else:
                await asyncio.sleep(tokens / 100)
        finally:
            self.active -= 1
            self.changed.set()
            self.changed = asyncio.Event()
        self.answered.append(now())
        return Answer(200, completion(tokens))

    async def aclose(self) -> None:
        pass


def client_on(gateway: Gateway, **options: Any) -> AnyFast:
    client = AnyFast(KEY, base_url="http://127.0.0.1:1/v1", model="gemini-2.5-pro", **options)
    transport: Any = gateway
    client._shared.transport = transport
    return client


@attrs.frozen
class Seen:
    """What a run was like, after 30 answer times from the beginning or the change."""

    window: float
    rate: float
    failed: int


async def watched(kind: Kind, before: int, after: int, seconds: float) -> Seen:
    """Run a map for so long before and after a change of capacity."""
    gateway = Gateway(kind, lambda at: before if at < seconds else after)
    client = client_on(gateway, limits=Limits(concurrency="auto"))
    windows: list[tuple[float, int]] = []

    async def watch() -> None:
        scope = next(iter(client._shared.gate._scopes.values()), None)
        while True:
            await asyncio.sleep(0.25)
            if scope is None:
                scope = next(iter(client._shared.gate._scopes.values()), None)
            elif isinstance(scope, AutoScope) and scope.throttle.window is not None:
                windows.append((now(), scope.throttle.window.count))

    failed = 0
    async with client:
        watching = asyncio.create_task(watch())
        endless = (str(number) for number in iter(int, 1))
        async with client.map(endless, concurrency=min(1000, 3 * max(before, after))) as results:
            async for result in results:
                failed += not result.ok
                if now() >= 2 * seconds:
                    break
        watching.cancel()
    since = seconds + 30.0
    seen = [count for at, count in windows if since <= at < 2 * seconds]
    done = sum(since <= at < 2 * seconds for at in gateway.answered)
    return Seen(sum(seen) / len(seen), done / (seconds - 30.0), failed)


CHANGES = {"constant": 1.0, "halved": 0.5, "doubled": 2.0}
SHORT = [("refuses", 16, "halved"), ("queues", 8, "doubled"), ("slows", 4, "constant")]
WHOLE = [
    (kind, capacity, change)
    for kind in ("refuses", "queues", "slows")
    for capacity in (4, 16, 64, 256)
    for change in CHANGES
]


@pytest.mark.reliability
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "capacity", "change"), WHOLE if LONG else SHORT)
async def test_the_window_finds_what_the_gateway_takes(kind: Kind, capacity: int, change: str) -> None:
    """30 answer times later it is within 15 % (or one) of the capacity on the average, and no row has failed.

    Of the answers that the gateway can give, 95 % come; where one place is much, 90 %.
    """
    after = int(capacity * CHANGES[change])

    seen = await watched(kind, capacity, after, 130.0 if LONG else 80.0)

    assert seen.failed == 0
    assert abs(seen.window - after) <= max(1.0, 0.15 * after), seen
    assert seen.rate >= (0.95 if after > 8 else 0.9) * after, seen
