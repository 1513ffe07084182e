"""Gateways that go away under a batch, and limiters that look so, in virtual time: what is sent, and what it costs."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any, Final

import pytest
from standins import Answer, now

from anyfast_async import AnyFast, APIConnectionError, InternalServerError, Limits, RetryPolicy

pytestmark = [
    pytest.mark.virtual,
    pytest.mark.filterwarnings("ignore:map\\(concurrency=:UserWarning"),  # wider than the limits, on purpose
]

PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head><body>sorry</body></html>"
LENGTH: Final = 25.0


GOOD: Final = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
).encode()


class Gateway:
    """Stands in for the transport, and notes what is sent."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.sent: list[str] = []

    def at_once(self, *_: Any) -> None:
        """No connection waits."""

    async def headed(self, answer: Answer) -> Answer:
        return answer

    async def connected(self, _: Any, __: Any, body: bytes, ___: Any, asker: Any, *____: Any) -> Answer:
        row = str(json.loads(body)["messages"][0]["content"])
        asker.on_sent(now())
        self.sent.append(row)
        return await self.answer(row)

    async def answer(self, _: str) -> Answer:
        await asyncio.sleep(self.latency)
        return Answer(200, GOOD)

    def renew(self) -> None:
        pass

    async def leave_loop(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def client_on(gateway: Gateway, **options: Any) -> AnyFast:
    client = AnyFast("sk-test-0123456789", base_url="http://127.0.0.1:1/v1", model="m", **options)
    transport: Any = gateway
    client._shared.transport = transport
    return client


class Failing(Gateway):
    """Fails in one way while ``down`` says so."""

    def __init__(self, kind: str, down: Callable[[float, str], bool], latency: float = 1.0) -> None:
        super().__init__(latency)
        self.kind, self.down = kind, down
        self.failing: list[str] = []

    @property
    def failed(self) -> Counter[str]:
        """How often each row was."""
        return Counter(self.failing)

    async def answer(self, row: str) -> Answer:
        if not self.down(now(), row):
            return await super().answer(row)
        self.failing.append(row)
        await asyncio.sleep({"hang": 5.0, "long hang": 20.0}.get(self.kind, 0.002))
        match self.kind:
            case "502 page" | "503 page":
                return Answer(int(self.kind[:3]), PAGE, {"content-type": "text/html"})
            case "503 JSON":
                return Answer(503, b'{"error":{"message":"away"}}')
        message = "the server closed the connection without an answer"
        raise APIConnectionError(message)


KINDS: Final = ["drop", "502 page", "503 page", "503 JSON", "hang", "long hang"]
WHEN: Final = {
    "before the first answer": [0.0],
    "in the middle": [5.0],
    "two one after another": [5.0, 34.0],
    "three with hardly a break": [5.0, 30.5, 56.0],
}
SIZES: Final = [(8, 200, 0.1), (64, 200, 1.0), (64, 8, 1.0)]
OUTAGES: Final = list(product(KINDS, WHEN, SIZES))[:: 1 if os.environ.get("ANYFAST_LONG") else 5]


@pytest.mark.parametrize(("kind", "when", "concurrency", "at_once", "latency"), [(k, w, *s) for k, w, s in OUTAGES])
async def test_outages_lose_no_row_and_cost_little(
    *, kind: str, when: str, concurrency: int, at_once: int, latency: float
) -> None:
    """No row fails; in an outage what was on its way is sent, and a few probes; every send stands in a ledger."""
    random.seed(5)
    starts = WHEN[when]
    gateway = Failing(kind, lambda at, _: any(start <= at < start + LENGTH for start in starts), latency)
    rows = [f"{number}" for number in range(int(12 * max(concurrency, min(concurrency, at_once) / latency)))]

    async with client_on(gateway, limits=Limits(concurrency=at_once)) as client:
        results = await client.map(rows, concurrency=concurrency)
        requests = client.stats().requests

    attempts = [attempt for result in results for attempt in result.attempts]
    free = kind == "503 JSON"
    assert [] == [result.id for result in results if result.error is not None]
    assert len(gateway.sent) == len(attempts) == requests
    lost = [attempt for attempt in attempts if attempt.outcome != "ok"]
    assert len(lost) == gateway.failed.total()
    if kind != "503 page":  # some of which look like a limiter's
        assert {"no" if free else "maybe"} == {attempt.billed for attempt in lost}
    assert len(lost) <= len(starts) * (min(concurrency, at_once) + 12)
    # None of them twice in a row, so there are few for each; a row that neither probes nor began it has one a time.
    assert max(gateway.failed.values()) <= 4
    assert now() < max(starts) + LENGTH + 50 + 2 * len(rows) * latency / min(concurrency, at_once)


@pytest.mark.parametrize("kind", ["502 page", "drop"])
async def test_row_that_fails_while_others_are_answered_is_sent_again_once(kind: str) -> None:
    """Then it fails, as perhaps billed twice; the others have nothing to do with it."""
    gateway = Failing(kind, lambda _, row: row == "7", latency=0.3)

    async with client_on(gateway) as client:
        results = await client.map([f"{number}" for number in range(60)], concurrency=4)

    failed = [result for result in results if result.error is not None]
    assert [7] == [result.index for result in failed]
    assert (2, "maybe") == (gateway.failed["7"], failed[0].error.billed if failed[0].error is not None else None)
    assert ["maybe", "maybe"] == [attempt.billed for attempt in failed[0].attempts]
    assert now() < 0.3 * 60 / 4 + 5


async def test_last_row_that_fails_ends() -> None:
    """With nobody left to tell whose fault it is, it is the row's, at once."""
    gateway = Failing("502 page", lambda _, row: row == "3", latency=0.1)

    async with client_on(gateway) as client:
        results = await client.map([f"{number}" for number in range(4)], concurrency=4)

    assert [None, None, None, "server"] == [result.error and result.error.kind for result in results]
    assert now() < 3


async def test_first_of_an_outage_waits_to_hear_whose_fault_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that had its resend, and meets the outage before the others do, is not lost: they show it soon after."""
    monkeypatch.setattr(random, "random", lambda: 0.5)  # it is sent again after 9 s, the others go at 10
    gateway = Failing("drop", lambda at, row: 5 <= at < 40 or (row == "0" and at < 1), latency=10.0)

    async with client_on(gateway, retry=RetryPolicy(backoff=(12, 12))) as client:
        results = await client.map([f"{number}" for number in range(9)], concurrency=3)

    assert ["0", "0"] == gateway.failing[:2]
    assert [] == [result.error for result in results if result.error is not None]


async def test_patience_with_an_outage_ends() -> None:
    """After ``outage_patience`` failures count again, and the rows fail one after another."""
    gateway = Failing("502 page", lambda *_: True)

    async with client_on(gateway, retry=RetryPolicy(outage_patience=60, retry_ratio=1)) as client:
        results = await client.map([f"{number}" for number in range(20)], concurrency=4)

    assert {"server"} == {result.error.kind for result in results if result.error is not None}
    assert 20 == sum(result.error is not None for result in results)
    assert 60 < now() < 600


async def test_never_sent_rows_probe_first() -> None:
    """Rows that waited for a place when the outage began try whether it is over; those that were sent do not."""
    gateway = Failing("drop", lambda at, _: at < 25)

    async with client_on(gateway, limits=Limits(concurrency=4)) as client:
        await client.map([f"{number}" for number in range(40)], concurrency=40)

    first, probes = gateway.failing[:4], gateway.failing[4:]
    assert set(probes).isdisjoint(first)
    assert len(probes) == len(set(probes))


async def test_rows_that_wait_for_the_end_of_an_outage_use_up_no_minute() -> None:
    """They had a place when it began, and gave it back: the minute has room for all but what was sent."""
    sent: list[float] = []

    def down(at: float, _: str) -> bool:
        sent.append(at)
        return at < 25

    async with client_on(Failing("drop", down, 0.1), limits=Limits(concurrency=4, requests_per_minute=100)) as client:
        await client.map([f"{number}" for number in range(100)], concurrency=40)

    assert sum(at < 60 for at in sent) == 100
    assert 101 <= len(sent) <= 110


async def test_outage_of_single_calls_is_not_waited_for() -> None:
    """A single call that may have been billed is sent again once, whatever others meet."""
    gateway = Failing("502 page", lambda *_: True)

    async with client_on(gateway, retry=RetryPolicy(retry_ratio=1)) as client:
        errors = await asyncio.gather(*(client.complete(f"{n}") for n in range(9)), return_exceptions=True)

    assert {InternalServerError} == {type(error) for error in errors}
    assert {2} == set(gateway.failed.values())


# -- limiters that answer with a page --------------------------------------------------------------------------------


class Limited(Gateway):
    """Serves so many at once and turns the others away with a page, as uvicorn's ``--limit-concurrency`` does."""

    def __init__(self, at_once: int, status: int = 503) -> None:
        super().__init__(0.5)
        self.most, self.status, self.busy = at_once, status, 0
        self.turned_away = 0

    async def answer(self, row: str) -> Answer:
        if self.busy >= self.most:
            self.turned_away += 1
            await asyncio.sleep(0.001)
            return Answer(self.status, b"Service Unavailable", {"content-type": "text/plain"})
        self.busy += 1
        try:
            return await super().answer(row)
        finally:
            self.busy -= 1


async def warm(client: AnyFast) -> None:
    """One answer, so that it is known how long they take."""
    await client.complete("first")


@pytest.mark.parametrize("status", [503, 429])
async def test_page_that_comes_sooner_than_any_answer_is_throttling(status: int) -> None:
    """While others are answered: it is held for, uses up no attempt, and was not billed."""
    gateway = Limited(4, status)

    async with client_on(gateway) as client:
        await warm(client)
        results = await client.map([f"{number}" for number in range(30)], concurrency=8)

    assert gateway.turned_away
    assert [] == [result.error for result in results if result.error is not None]
    lost = [attempt for result in results for attempt in result.attempts if attempt.outcome != "ok"]
    assert {"no"} == {attempt.billed for attempt in lost}


async def test_page_of_a_gateway_that_answers_nobody_is_no_throttling() -> None:
    """Without any answer to hold it against, a 503 page may have been billed: one resend, and it tells so."""
    gateway = Failing("503 page", lambda *_: True)

    async with client_on(gateway) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.complete("Hi")

    assert ["maybe", "maybe"] == [attempt.billed for attempt in caught.value.attempts]


async def test_slow_page_is_no_throttling() -> None:
    """One that took as long as an answer may have been worked on."""
    gateway = Failing("503 page", lambda at, _: at >= 1, latency=0.001)

    async with client_on(gateway) as client:
        await warm(client)
        await asyncio.sleep(2)
        with pytest.raises(InternalServerError) as caught:
            await client.complete("Hi")

    assert "maybe" == caught.value.billed
