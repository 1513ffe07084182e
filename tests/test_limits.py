"""The whole client under limits, throttling and outages, in virtual time: a gateway made of arithmetic answers it."""

from __future__ import annotations

import asyncio
import json
import os
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from standins import Answer, most_in, now

from anyfast_async import AnyFast, Budget, BudgetExceeded, InternalServerError, Limits, NotSentError, RetryPolicy
from anyfast_async._core.limits.rate_limit import Slot, Window
from anyfast_async._core.limits.token_estimate import Asked
from anyfast_async._limits.gate import Gate
from anyfast_async.errors import APIConnectionError
from anyfast_async.stores import MemoryStore

pytestmark = pytest.mark.virtual

LONG = bool(os.environ.get("ANYFAST_LONG"))
KEY = "sk-test-0123456789"


def completion(prompt: int = 10, output: int = 20) -> bytes:
    return json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output},
        },
    ).encode()


class Gateway:
    """Stands in for the transport; ``decide`` says of each request when it arrives what becomes of it."""

    def __init__(self, decide: Callable[[float, bytes], Answer | Exception], latency: float = 1.0) -> None:
        self.decide = decide
        self.latency = latency
        self.sent: list[float] = []
        self.refused = 0

    def at_once(self, *_: Any) -> None:
        """No connection waits."""

    async def headed(self, answer: Answer) -> Answer:
        return answer

    async def connected(self, _: Any, __: Any, body: bytes, ___: Any, asker: Any, *____: Any) -> Answer:
        asker.on_sent(now())
        self.sent.append(now())
        outcome = self.decide(now(), body)
        if isinstance(outcome, Exception):
            await asyncio.sleep(0.01)
            raise outcome
        if outcome.status != 200:
            self.refused += 1
        await asyncio.sleep(self.latency if outcome.status == 200 else 0.05)
        return outcome

    def renew(self) -> None:
        pass

    async def leave_loop(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def client_on(gateway: Gateway, **options: Any) -> AnyFast:
    client = AnyFast(KEY, base_url="http://127.0.0.1:1/v1", model="gemini-2.5-pro", **options)
    transport: Any = gateway
    client._shared.transport = transport
    return client


def sliding(limit: int, seconds: float = 60.0) -> Callable[[float, bytes], Answer]:
    """A limiter that counts what it granted, and refuses with an empty body and no hint."""
    granted: deque[float] = deque()

    def decide(at: float, _: bytes) -> Answer:
        while granted and at - granted[0] >= seconds:
            granted.popleft()
        if len(granted) >= limit:
            return Answer(429, b"")
        granted.append(at)
        return Answer(200, completion())

    return decide


def fixed(limit: int, seconds: float = 60.0) -> Callable[[float, bytes], Answer]:
    """A limiter that starts to count anew with each minute of its clock."""
    counts: dict[int, int] = {}

    def decide(at: float, _: bytes) -> Answer:
        minute = int((at + 17) // seconds)
        counts[minute] = counts.get(minute, 0) + 1
        if counts[minute] > limit:
            return Answer(429, b"")
        return Answer(200, completion())

    return decide


# -- a limiter that does not tell ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "concurrency", "most"),
    [
        (2, 4, 2.2),
        (2, 64, 2.8),
        (5, 4, 1.65),
        (5, 64, 2.2),
        (9, 4, 1.4),
        (12, 4, 1.17),
        (30, 4, 1.07),
        (100, 64, 1.09),
    ],
)
async def test_small_limit_of_a_minute_is_used_up(limit: int, concurrency: int, most: float) -> None:
    """Four times its rows: within a few seconds of what it allows for, and few requests are spent on finding it out."""
    for seed in range(3):
        random.seed(seed)
        began, gateway = now(), Gateway(sliding(limit))
        async with client_on(gateway) as client:
            results = await client.map([f"{n}" for n in range(4 * limit)], concurrency=concurrency)

        assert all(result.ok for result in results)
        assert len(gateway.sent) <= most * 4 * limit
        assert now() - began <= 3 * 60 + 12


@pytest.mark.parametrize("latency", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("limiter", [sliding, fixed])
async def test_limiter_of_a_minute_costs_a_tenth_at_most(
    limiter: Callable[[int], Callable[[float, bytes], Answer]], latency: float
) -> None:
    """1 000 prompts against a third of that a minute, empty 429s without Retry-After: all succeed, 1.1 sends a row."""
    random.seed(5)  # one time in a hundred the minute ends just before the refusal that would have been the proof
    gateway = Gateway(limiter(333), latency)
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(1000)])

    assert [r.error for r in results if r.error] == []
    assert len(gateway.sent) <= 1100


# -- limits that are stated ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [60, 500, 3000])
async def test_requests_of_any_minute_stay_within_the_limit(limit: int) -> None:
    """Random arrivals, faster than the limit: in no 60 s more than the limit, and at least 96 % of it is used."""
    gate = Gate(Limits(requests_per_minute=limit, concurrency=10_000))
    scope, taken = gate.scope("a"), []
    count = limit * (30 if LONG else 4)

    async def call() -> None:
        permit = await gate.acquire(scope, 1)
        taken.append((permit.at, 1.0))
        await asyncio.sleep(random.uniform(0, 5))
        gate.release(permit)

    await asyncio.gather(*(call() for _ in range(count)))

    assert most_in(taken) <= limit
    # The first minute's share may go at once, so the last request does not have to wait for its own.
    assert taken[-1][0] <= (count / limit) * 60 / 0.96


@pytest.mark.parametrize("shape", ["exponential", "uniform"])
async def test_tokens_of_any_minute_stay_within_the_limit(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of unknown length: reserved tokens never over, used ones over in 1 % of the minutes by 3 %, 88 % used."""
    limit, mean = 400_000, 400
    gate = Gate(Limits(tokens_per_minute=limit, concurrency=1000))
    scope = gate.scope("a")
    take = Window.take

    def checked(window: Window, at: float, amount: float) -> Slot:
        slot = take(window, at, amount)
        assert window.taken <= window.limit * (1 + 1e-9)
        return slot

    monkeypatch.setattr(Window, "take", checked)
    used: list[tuple[float, float]] = []
    lengths = random.Random(7)

    async def call() -> None:
        prompt = lengths.randint(50, 150)
        asked = Asked({"text": float(prompt)}, {"text": 4.0 * prompt})

        def likely() -> float:
            return scope.expected.likely(asked, None, 1, limit)

        permit = gate.admit(scope, likely(), now()) or await gate.queue(scope, likely(), likely)
        pending = scope.expected.begin(None, permit.at)
        output = max(
            1, round(lengths.expovariate(1 / mean) if shape == "exponential" else lengths.uniform(0, 2 * mean))
        )
        used.append((permit.at, prompt + output))
        await asyncio.sleep(lengths.uniform(1, 6))
        gate.settle(permit, prompt + output)
        scope.expected.end(pending, 1, now(), output)
        scope.expected.asked(asked, prompt)
        gate.release(permit)

    # As map does it: a bounded number at work.
    async def worker(calls: int) -> None:
        for _ in range(calls):
            await call()

    await asyncio.gather(*(worker(100 if LONG else 15) for _ in range(500)))

    times, sums = [at for at, _ in used], [0.0]
    for _, amount in used:
        sums.append(sums[-1] + amount)
    steady = [i for i, at in enumerate(times) if at >= 60]
    minutes = [sums[i + 1] - sums[bisect_right(times, times[i] - 60)] for i in steady]
    over = [m / limit - 1 for m in minutes if m > limit]
    share = (sums[-1] - sums[bisect_right(times, 60)]) / (limit * (times[-1] - 60) / 60)
    assert len(over) <= 0.01 * len(minutes)
    assert max(over, default=0) <= 0.03
    assert share >= 0.88


def lengths_of(shape: str, seed: int) -> Callable[[], int]:
    rand = random.Random(seed)
    match shape:
        case "fixed":
            return lambda: 8000
        case "log-normal":
            return lambda: max(1, min(8000, round(rand.lognormvariate(6.5, 1))))
    return lambda: 8000 if rand.random() < 0.1 else 200


@pytest.mark.parametrize("shape", ["fixed", "log-normal", "one in ten at the cap"])
@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(10 if LONG else 3))
async def test_budget_is_a_ceiling(shape: str, seed: int) -> None:
    """30 000 tokens, max_tokens=8000, 64 at once: the gateway never counts more, and most of it is used."""
    length, counted = lengths_of(shape, seed), 0

    def decide(_: float, __: bytes) -> Answer:
        nonlocal counted
        output = length()
        counted += 10 + output
        return Answer(200, completion(10, output))

    gateway = Gateway(decide)
    async with client_on(gateway, budget=Budget(tokens=30_000)) as client:
        results = await client.map([f"ask {n}" for n in range(400)], max_tokens=8000, concurrency=64)
        stats = client.stats()

    unsent = [r.error for r in results if r.error is not None]
    assert 30_000 - 8000 - 100 <= counted <= 30_000
    assert {type(error) for error in unsent} == {BudgetExceeded, NotSentError}
    # The first that says so may do it before the last answers are in; what is told at the end is what was spent.
    assert f"{counted:,} spent" in " ".join(str(error) for error in unsent if isinstance(error, BudgetExceeded))
    assert (stats.tokens_used, stats.tokens_reserved) == (counted, 0)


async def test_what_may_have_been_billed_stays_reserved() -> None:
    """Every third request hangs until its clock: what nobody counted is counted as if it had used all it might."""
    sent = counted = 0

    def decide(_: float, __: bytes) -> Answer | Exception:
        nonlocal sent, counted
        sent += 1
        counted += 1010
        if sent % 3:
            return Answer(200, completion(10, 1000))
        error = APIConnectionError("broken off")
        error.retryable, error.retry_class = False, "never"
        return error

    gateway = Gateway(decide)
    async with client_on(gateway, budget=Budget(tokens=30_000)) as client:
        await client.map([f"ask {n}" for n in range(100)], max_tokens=1000, concurrency=64)
        stats = client.stats()

    assert 25_000 <= counted <= 30_000
    assert stats.usage_missing == sent // 3


async def test_without_max_tokens_the_answers_in_flight_pass_the_budget_and_no_more() -> None:
    """Answers ten times as long as those before: what is in flight then is paid, and nothing is sent after it."""
    counted = 0

    def decide(at: float, __: bytes) -> Answer:
        nonlocal counted
        output = 100 if at < 5 else 10_000
        counted += 10 + output
        return Answer(200, completion(10, output))

    gateway = Gateway(decide)
    async with client_on(gateway, budget=Budget(tokens=100_000)) as client:
        await client.map([f"ask {n}" for n in range(1000)], concurrency=16)
        stats = client.stats()

    assert counted <= 100_000 + 16 * 10_010
    assert stats.tokens_used == counted
    last = max(gateway.sent)
    assert now() - last <= gateway.latency + 0.01


async def test_large_request_waits_no_longer_than_is_fair() -> None:
    """A request of 90 among a stream of 5s, of 100 a minute: it waits as long as its place in the queue says."""
    gate = Gate(Limits(tokens_per_minute=100, concurrency=1000))
    scope = gate.scope("a")
    waited = 0.0
    order: list[int] = []

    async def small(number: int) -> None:
        permit = await gate.acquire(scope, 5)
        order.append(number)
        gate.release(permit)

    async def large() -> None:
        nonlocal waited
        began = now()
        permit = await gate.acquire(scope, 90)
        waited = now() - began
        gate.release(permit)

    tasks = []
    for number in range(60):
        tasks.append(asyncio.create_task(small(number)))
        if number == 20:
            tasks.append(asyncio.create_task(large()))
        await asyncio.sleep(1)
    await asyncio.gather(*tasks)

    # The twenty before it fill the minute, and 85 of their 100 must have left it: they came in the first 17 s.
    assert waited <= 1.1 * 60
    assert order == sorted(order)


async def test_stated_limit_is_spread_where_it_is_large() -> None:
    """A gateway that grants 50 a second refuses nothing of a client that was told 3 000 a minute."""
    gateway = Gateway(sliding(50, 1.0), latency=0.3)
    async with client_on(gateway, limits=Limits(requests_per_minute=3000)) as client:
        results = await client.map([f"{n}" for n in range(3000)])

    assert sum(r.error is not None for r in results) == 0
    assert gateway.refused == 0
    assert 3000 / now() >= 0.95 * 50


# -- cancellation ----------------------------------------------------------------------------------------------------


async def test_cancellation_in_the_tick_of_the_answer_is_never_swallowed() -> None:
    """The answer and the caller's cancellation come in one tick, 10 000 times: a task that took it is cancelled."""
    gateway = Gateway(lambda _, __: Answer(200, completion()))
    cancelled = finished = 0
    async with client_on(gateway) as client:
        for number in range(10_000 if LONG else 1_000):
            task = asyncio.create_task(client.complete("x"))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_at(now() + gateway.latency, task.cancel)
            for _ in range(number % 5):
                await asyncio.sleep(0)
            await asyncio.wait({task})
            cancelled += task.cancelled()
            finished += not task.cancelled()
            assert client.stats().in_flight == 0
            if task.cancelling():
                assert task.cancelled()
    assert cancelled >= 100


# -- every request is refused ----------------------------------------------------------------------------------------


async def test_outage_is_not_multiplied_and_ends_at_once() -> None:
    """All 503, four attempts: a fifth more requests than calls at most; after it, 99 % succeed within ten seconds."""
    count = 10_000 if LONG else 1_000
    down = True

    def decide(_: float, __: bytes) -> Answer:
        return Answer(503, b"{}") if down else Answer(200, completion())

    gateway = Gateway(decide, latency=0.1)
    async with client_on(gateway, limits=Limits(concurrency=100)) as client:

        async def one() -> bool:
            try:
                await client.complete("x")
            except InternalServerError:
                return False
            return True

        assert not any(await asyncio.gather(*(one() for _ in range(count))))
        assert len(gateway.sent) <= 1.2 * count + 10 + now()

        down = False
        began = now()
        good = await asyncio.gather(*(one() for _ in range(1000)))
        assert sum(good) >= 990
        assert now() - began <= 10


async def test_retries_of_calls_that_fail_at_once_are_spread() -> None:
    """1 000 calls fail in the same moment: no 10 ms hold more than 4 % of their retries."""

    def decide(at: float, _: bytes) -> Answer:
        return Answer(503, b"{}") if at == 0 else Answer(200, completion())

    gateway = Gateway(decide)
    random.seed(11)
    async with client_on(gateway, limits=Limits(concurrency=1000), retry=RetryPolicy(retry_ratio=1)) as client:
        await asyncio.gather(*(client.complete("x") for _ in range(1000)))

    retries = [at for at in gateway.sent if at > 0]
    buckets: dict[int, int] = {}
    for at in retries:
        buckets[int(at * 100)] = buckets.get(int(at * 100), 0) + 1
    assert len(retries) == 1000
    assert max(buckets.values()) <= 40


# -- outages ---------------------------------------------------------------------------------------------------------


def away(kind: str) -> Answer | Exception:
    if kind == "unreachable":
        error = APIConnectionError("cannot connect")
        error.phase, error.retry_class, error.billed = "unsent", "unsent", "no"
        return error
    return Answer(int(kind), b'{"error":{"message":"upstream is away"}}')


@pytest.mark.parametrize("concurrency", [1, 64])
@pytest.mark.parametrize("kind", ["500", "502", "503", "529", "unreachable"])
async def test_ten_minutes_of_outage_lose_no_row(kind: str, concurrency: int) -> None:
    """The gateway is away from the 5th to the 605th second of a batch: no row fails, and few requests are wasted."""

    def decide(at: float, _: bytes) -> Answer | Exception:
        return away(kind) if 5 <= at < 605 else Answer(200, completion())

    gateway = Gateway(decide)
    rows = 40 if concurrency == 1 else 1000
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(rows)], concurrency=concurrency)

    wasted = sum(1 for at in gateway.sent if 5 <= at < 605)
    failed = sum(r.error is not None for r in results)
    # One row at a time that is answered: nobody can tell the gateway's fault from the first row's.
    assert failed <= (1 if kind != "unreachable" and concurrency == 1 else 0)
    assert wasted <= 2 * concurrency + 40
    assert now() < 605 + 60 + rows / concurrency


# -- what is reserved, seen from the gateway -------------------------------------------------------------------------


def seer(_: float, body: bytes) -> Answer:
    """Bills a picture as 270 tokens, text as a token for four characters."""
    content = json.loads(body)["messages"][-1]["content"]
    return Answer(200, completion(270 if isinstance(content, list) else len(content) // 4, 5))


def picture(number: int) -> list[dict[str, Any]]:
    url = "data:image/png;base64," + "A" * 1_000_000
    text = {"type": "text", "text": f"what? {number}"}
    return [{"role": "user", "content": [text, {"type": "image_url", "image_url": {"url": url}}]}]


def tokens_within(gateway: Gateway, seconds: float, each: int) -> int:
    return each * sum(at <= seconds for at in gateway.sent)


async def test_calls_that_wait_for_their_turn_reserve_nothing_of_a_shared_budget() -> None:
    """As many go as with a budget of the client's own, one after another as they came."""
    gateway = Gateway(lambda _, __: Answer(200, completion()), latency=0.2)
    limits = Limits(concurrency=4, store=MemoryStore())
    async with client_on(gateway, budget=Budget(tokens=10_000, name="march"), limits=limits) as client:
        ended: list[int] = []

        async def ask(number: int) -> None:
            await client.complete("?", max_tokens=1000)
            ended.append(number)

        await asyncio.gather(*map(ask, range(100)))
        assert all(abs(number - place) < 4 for place, number in enumerate(ended))
        assert client._shared.spending.tokens == 3000
        assert client._shared.gate.in_flight == 0


async def test_a_run_without_room_takes_nothing_of_a_shared_budget() -> None:
    """What a run of tools has found in the budget of all goes back where its own has no room."""
    gateway = Gateway(lambda _, __: Answer(200, completion()))
    budget, limits = Budget(tokens=10_000, name="march"), Limits(store=MemoryStore())
    async with client_on(gateway, budget=budget, limits=limits) as client:
        with pytest.raises(BudgetExceeded, match="the budget of 100 tokens has no room"):
            await client.run_tools("?", [], budget=Budget(tokens=100), max_tokens=1000)
        assert client._shared.spending.reserved == 0


async def test_a_budget_counts_every_choice() -> None:
    """All answers are paid: 20 000 tokens are ten requests for four answers of 500."""
    gateway = Gateway(lambda _, __: Answer(200, completion(10, 2000)))
    async with client_on(gateway, budget=Budget(tokens=20_000)) as client:
        await client.map([f"ask {n}" for n in range(200)], n=4, max_tokens=500)

    assert 15_000 <= 2010 * len(gateway.sent) <= 20_000


async def test_a_budget_gets_back_what_was_not_used() -> None:
    """A ceiling on length is none on the run: 200 answers of 110 tokens with max_tokens=8000 fit into 60 000."""
    gateway = Gateway(lambda _, __: Answer(200, completion(10, 100)))
    async with client_on(gateway, budget=Budget(tokens=60_000)) as client:
        results = await client.map([f"ask {n}" for n in range(200)], max_tokens=8000)

    assert all(result.ok for result in results)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_minute_holds_from_the_first_second(field: str) -> None:
    """30 000 tokens a minute and answers of 8 000: three are sent, and the others when these have left the window."""
    gateway = Gateway(lambda _, __: Answer(200, completion(10, 8000)))
    options: dict[str, Any] = {field: 8000}
    async with client_on(gateway, limits=Limits(tokens_per_minute=30_000)) as client:
        await client.map([f"ask {n}" for n in range(9)], **options)

    assert most_in([(at, 8010.0) for at in gateway.sent]) <= 30_000
    assert len([at for at in gateway.sent if at < 4]) == 3


async def test_a_minute_starts_slowly_without_max_tokens() -> None:
    """Nobody says how long answers are: at most four go before the first is known, then ever more."""
    gateway = Gateway(lambda _, __: Answer(200, completion(10, 100)))
    async with client_on(gateway, limits=Limits(tokens_per_minute=1_000_000)) as client:
        await client.map([f"ask {n}" for n in range(500)])

    assert len([at for at in gateway.sent if at < 0.9]) <= 4
    assert now() < 20


async def test_nothing_starts_slowly_without_a_limit() -> None:
    """Without tokens a minute and without a budget all that may be in flight is, from the first moment."""
    gateway = Gateway(lambda _, __: Answer(200, completion(10, 100)))
    async with client_on(gateway) as client:
        await client.map([f"ask {n}" for n in range(64)])

    assert gateway.sent == [0.0] * 64


async def test_pictures_are_not_text() -> None:
    """Of eight pictures of a megabyte each, all fit into 100 000 tokens, as a budget and within a minute."""
    for settings in ({"budget": Budget(tokens=100_000)}, {"limits": Limits(tokens_per_minute=100_000)}):
        gateway, began = Gateway(seer), now()
        async with client_on(gateway, **settings) as client:
            results = await client.map([picture(n) for n in range(8)])

        assert all(result.ok for result in results)
        assert now() - began <= 8


async def test_a_picture_teaches_nothing_about_text() -> None:
    """After a picture thirty texts of 20 000 tokens still take 100 000 a minute, and no more."""
    gateway = Gateway(seer)
    async with client_on(gateway, limits=Limits(tokens_per_minute=100_000)) as client:
        await client.complete(picture(0))
        await client.map(["word " * 16_000 + str(n) for n in range(30)], max_tokens=50)

    assert tokens_within(gateway, 6, 20_000) - 20_000 <= 100_000
    assert most_in([(at, 20_005.0) for at in gateway.sent[1:]]) <= 100_000


# -- proxies in front of the gateway ---------------------------------------------------------------------------------


def bucket(rate: float, burst: float, status: int = 429) -> Callable[[float, bytes], Answer]:
    """So many a second, and a burst besides; what is beyond gets a page."""
    level = last = 0.0

    def decide(at: float, _: bytes) -> Answer:
        nonlocal level, last
        level, last = max(0.0, level - (at - last) * rate), at
        if level > burst:
            return Answer(status, b"<html><title>Too Many Requests</title></html>", {"content-type": "text/html"})
        level += 1
        return Answer(200, completion())

    return decide


class AtOnce(Gateway):
    """Grants so many in flight."""

    def __init__(self, places: int, latency: float, status: int = 429) -> None:
        super().__init__(self._place, latency)
        self.places, self.busy, self.status = places, 0, status

    def _place(self, _: float, __: bytes) -> Answer:
        if self.busy >= self.places:
            return Answer(self.status, b"<html><title>busy</title></html>", {"content-type": "text/html"})
        self.busy += 1
        asyncio.get_running_loop().call_later(self.latency - 1e-6, self._free)
        return Answer(200, completion())

    def _free(self) -> None:
        self.busy -= 1


@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(5 if LONG else 2))
@pytest.mark.parametrize("latency", [0.02, 0.5])
@pytest.mark.parametrize(("rate", "burst"), [(20, 5), (50, 20)])
async def test_proxy_that_counts_over_seconds_is_used_well(
    rate: float, burst: float, latency: float, seed: int
) -> None:
    """120 rows, 32 at once, pages without a word of when: 2.5 times the best possible time, 1.3 sends a row at most."""
    random.seed(seed)
    gateway = Gateway(bucket(rate, burst), latency)
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(120)], concurrency=32)

    assert all(r.ok for r in results)
    assert now() <= 2.5 * ((120 - burst - 1) / rate + latency)
    assert len(gateway.sent) <= 1.3 * 120


@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(5 if LONG else 2))
@pytest.mark.parametrize(("places", "latency"), [(4, 0.25), (8, 1.0)])
async def test_proxy_that_counts_what_is_in_flight_is_used_well(places: int, latency: float, seed: int) -> None:
    """120 rows, 16 at once: 2.5 times the best possible time, 1.3 sends a row at most."""
    random.seed(seed)
    gateway = AtOnce(places, latency)
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(120)], concurrency=16)

    assert all(r.ok for r in results)
    assert now() <= 2.5 * 120 / places * latency
    assert len(gateway.sent) <= 1.3 * 120


@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(5 if LONG else 2))
@pytest.mark.parametrize("at_once", [True, False])
async def test_proxy_that_says_503_is_used_well(*, at_once: bool, seed: int) -> None:
    """A page with 503 that comes sooner than any answer is a limiter's, too."""
    random.seed(seed)
    gateway = AtOnce(4, 0.25, 503) if at_once else Gateway(bucket(20, 5, 503), 0.1)
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(120)], concurrency=16 if at_once else 32)

    assert [r.error for r in results if r.error] == []
    assert now() <= 2.5 * (120 / 4 * 0.25 if at_once else 115 / 20)
    assert len(gateway.sent) <= 1.3 * 120
