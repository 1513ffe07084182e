"""One row that is refused again and again, among others that are answered: in virtual time, by the whole client."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Any, Final

import pytest
from standins import Answer, now

from anyfast_async import AnyFast, AnyFastError, NotSentError, RateLimitError, RetryPolicy
from anyfast_async.errors import APIStatusError

LONG = os.environ.get("ANYFAST_LONG") == "1"

pytestmark = pytest.mark.virtual


def completion() -> bytes:
    message = {"role": "assistant", "content": "yes"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}).encode()


class Gateway:
    """Stands in for the transport; ``decide`` says of each request when it arrives what becomes of it."""

    def __init__(self, decide: Callable[[float, bytes], Answer], latency: float = 1.0) -> None:
        self.decide = decide
        self.latency = latency
        self.sent: list[float] = []

    def at_once(self, *_: Any) -> None:
        """No connection waits."""

    async def headed(self, answer: Answer) -> Answer:
        return answer

    async def connected(self, _: Any, __: Any, body: bytes, ___: Any, asker: Any, *____: Any) -> Answer:
        asker.on_sent(now())
        self.sent.append(now())
        outcome = self.decide(now(), body)
        await asyncio.sleep(self.latency if outcome.status == 200 else 0.005)
        return outcome

    def renew(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def client_on(gateway: Gateway, **options: Any) -> AnyFast:
    client = AnyFast("sk-test-0123456789", base_url="http://127.0.0.1:1/v1", model="gemini-2.5-pro", **options)
    transport: Any = gateway
    client._shared.transport = transport
    return client


def sliding(limit: int, seconds: float) -> Callable[[float, bytes], Answer]:
    """Grants *limit* in any *seconds*."""
    granted: deque[float] = deque()

    def decide(at: float, _: bytes) -> Answer:
        while granted and at - granted[0] >= seconds:
            granted.popleft()
        if len(granted) >= limit:
            return Answer(429, b"")
        granted.append(at)
        return Answer(200, completion())

    return decide


def fixed(limit: int, seconds: float) -> Callable[[float, bytes], Answer]:
    """Grants *limit* in each of its *seconds*."""
    counts: Counter[int] = Counter()

    def decide(at: float, _: bytes) -> Answer:
        window = int((at + 2) // seconds)
        counts[window] += 1
        return Answer(429, b"") if counts[window] > limit else Answer(200, completion())

    return decide


REFUSALS = {
    "429": Answer(429, b""),
    "429, Retry-After": Answer(429, b"", {"retry-after": "1"}),
    "503, Retry-After": Answer(503, b'{"error":{"message":"busy"}}', {"retry-after": "1"}),
    "503": Answer(503, b'{"error":{"message":"try again later"}}'),
    "503 with a code": Answer(503, b'{"error":{"message":"busy","code":"system_cpu_overloaded"}}'),
}


def prompt_of(body: bytes) -> str:
    return str(json.loads(body)["messages"][-1]["content"])


def refusing(
    rows: Collection[str], refusal: Answer, otherwise: Callable[[float, bytes], Answer] | None = None
) -> Callable[[float, bytes], Answer]:
    """Refuse *rows* for ever, answer the others, or ask *otherwise* what becomes of them."""

    def decide(at: float, body: bytes) -> Answer:
        if prompt_of(body) in rows:
            return refusal
        return otherwise(at, body) if otherwise is not None else Answer(200, completion())

    return decide


async def ran(
    gateway: Gateway, rows: int, concurrency: int, **options: Any
) -> tuple[float, float, dict[int, AnyFastError]]:
    """Map *rows*; return when the last answer came, when the run ended, and the errors by row."""
    began, answered, failed = now(), 0.0, {}
    async with (
        client_on(gateway, **options) as client,
        client.map([f"{n}" for n in range(rows)], concurrency=concurrency) as results,
    ):
        async for result in results:
            if result.error is None:
                answered = now() - began
            else:
                failed[result.index] = result.error
    return answered, now() - began, failed


# -- one row ---------------------------------------------------------------------------------------------------------


RUNS: Final = [(4, 0.05), (64, 0.05), (64, 1.0)]
REFUSED: Final = [(*each, *run) for *each, run in itertools.product(REFUSALS, [7, 1000], RUNS)][:: 1 if LONG else 4]


@pytest.mark.parametrize(("refusal", "row", "concurrency", "latency"), REFUSED)
async def test_always_refused_row_fails_alone(refusal: str, row: int, concurrency: int, latency: float) -> None:
    """One of 2 000: it fails with what the gateway said, soon after the others, which it does not hold up."""
    gateway = Gateway(refusing([f"{row}"], REFUSALS[refusal]), latency)

    answered, ended, failed = await ran(gateway, 2000, concurrency)

    assert [*failed] == [row]
    error = failed[row]
    assert isinstance(error, APIStatusError)
    assert error.status_code == REFUSALS[refusal].status
    assert error.billed == "no"
    assert 4 <= len(error.attempts) <= 8
    assert ended - answered <= 30
    assert answered <= 1.2 * 2000 / concurrency * latency


@pytest.mark.parametrize("concurrency", [1, 2, 3, 8])
async def test_row_in_a_short_run_fails_too(concurrency: int) -> None:
    """When the others are done before it was tried often enough, it is tried alone, and fails within half a minute."""
    gateway = Gateway(refusing(["7"], Answer(429, b"")), 0.2)

    answered, ended, failed = await ran(gateway, 40, concurrency)

    assert [*failed] == [7]
    assert isinstance(failed[7], RateLimitError)
    assert ended - answered <= 30


async def test_what_the_server_asks_of_one_row_is_kept_by_that_row() -> None:
    """It is never sent sooner than it was told, and the others of its scope go on."""
    at: list[float] = []

    def decide(when: float, body: bytes) -> Answer:
        if prompt_of(body) != "7":
            return Answer(200, completion())
        at.append(when)
        return Answer(429, b"", {"retry-after": "20"})

    answered, _, failed = await ran(Gateway(decide, 0.1), 2000, 8)

    assert [*failed] == [7]
    assert min(later - earlier for earlier, later in itertools.pairwise(at)) >= 20
    assert answered <= 1.2 * 2000 / 8 * 0.1


@pytest.mark.parametrize("refusal", ["429", "429, Retry-After"])
@pytest.mark.parametrize("row", [38, 39])
async def test_last_row_ends_too(row: int, refusal: str) -> None:
    """Nobody is sent after it to show whose fault it is: a minute in which nothing was granted does."""
    _, ended, failed = await ran(Gateway(refusing([f"{row}"], REFUSALS[refusal]), 0.2), 40, 8)

    assert [*failed] == [row]
    assert 60 <= ended <= 150


@pytest.mark.parametrize("refusal", ["429", "429, Retry-After"])
@pytest.mark.parametrize("limit", [39, 38])
async def test_last_row_that_a_minute_has_no_room_for_is_answered(limit: int, refusal: str) -> None:
    """A limit of a minute that just does not do for the run: nothing of it fails."""
    limited = sliding(limit, 60)

    def decide(at: float, body: bytes) -> Answer:
        found = limited(at, body)
        return found if found.status == 200 else REFUSALS[refusal]

    answered, _, failed = await ran(Gateway(decide, 0.2), 40, 8)

    assert failed == {}
    assert answered <= 130


@pytest.mark.parametrize("ordered", [True, False])
async def test_it_gives_its_place_to_others(ordered: bool) -> None:
    """More rows that are always refused than there are workers: all others are answered, in order or not."""
    bad = ["10", "20", "30", "40", "50"]
    gateway = Gateway(refusing(bad, Answer(429, b"")), 0.1)

    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(300)], concurrency=2, ordered=ordered)

    assert [f"{r.index}" for r in results if not r.ok] == bad


async def test_attempts_are_the_policys() -> None:
    """With two attempts the third refusal that counts is the last one."""
    sent: dict[int, int] = {}
    for attempts in (2, 6):
        gateway = Gateway(refusing(["7"], Answer(429, b"")), 0.05)
        _, __, failed = await ran(gateway, 2000, 8, retry=RetryPolicy(attempts=attempts))
        sent[attempts] = len(failed[7].attempts)
    assert sent[6] == sent[2] + 4


async def test_single_calls_keep_their_patience() -> None:
    """A call that is refused while others are answered ends with ``throttle_patience``; it holds nobody by then."""
    gateway = Gateway(refusing(["x"], Answer(429, b"")), 0.1)
    async with client_on(gateway, retry=RetryPolicy(throttle_patience=60)) as client:
        with pytest.raises(RateLimitError):
            await client.complete("x")
        assert 20 <= now() <= 60


# -- nobody's fault --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, "1"])
async def test_refusals_of_everything_fail_no_row(asked: str | None) -> None:
    """Half an hour of refusals, then answers: nobody was answered meanwhile, so nobody is at fault."""
    refusal = Answer(429, b"", {"retry-after": asked} if asked else {})
    gateway = Gateway(lambda at, _: refusal if at < 1800 else Answer(200, completion()))

    _, __, failed = await ran(gateway, 100, 16)

    assert failed == {}


@pytest.mark.parametrize("refusal", ["429", "429, Retry-After", "503, Retry-After"])
@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(20 if LONG else 2))
@pytest.mark.parametrize(("kind", "limit", "seconds"), [(sliding, 20, 3.0), (fixed, 20, 3.0), (sliding, 100, 60.0)])
async def test_unlucky_row_is_no_bad_row(
    kind: Callable[[int, float], Callable[[float, bytes], Answer]], limit: int, seconds: float, seed: int, refusal: str
) -> None:
    """A plain window limiter at three times its rate, with a row that is always refused and without: no other fails."""
    random.seed(seed)
    bad = ["7"] if seed % 2 else []
    limited = kind(limit, seconds)

    def decide(at: float, body: bytes) -> Answer:
        found = limited(at, body)
        return found if found.status == 200 else REFUSALS[refusal]

    gateway = Gateway(refusing(bad, REFUSALS[refusal], decide), 0.5)

    _, __, failed = await ran(gateway, 300, 30)

    assert [f"{row}" for row in failed] == bad


# -- waits that nobody waits for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 50])
@pytest.mark.parametrize("status", [429, 503])
async def test_row_that_is_told_to_come_back_tomorrow_fails(status: int, row: int) -> None:
    """The others are answered, so it is that row's failure, whether it was the first or not; nobody waits for it."""
    tomorrow = Answer(status, b'{"error":{"message":"later"}}', {"retry-after": "86400"})
    gateway = Gateway(refusing([f"{row}"], tomorrow), 0.5)

    _, ended, failed = await ran(gateway, 100, 4)

    assert [*failed] == [row]
    assert getattr(failed[row], "retry_after", None) == 86400
    assert ended <= 20


async def test_scope_that_is_told_to_come_back_tomorrow_ends_the_run() -> None:
    """Answered until then, all are told so: one row may fail, the others are not sent, and say when to come back."""
    tomorrow = Answer(429, b"", {"retry-after": "86400"})
    gateway = Gateway(lambda at, _: tomorrow if at > 5 else Answer(200, completion()), 0.5)
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(1000)], concurrency=4)

    errors = [r.error for r in results if r.error is not None]
    unsent = [error for error in errors if isinstance(error, NotSentError)]
    assert len(errors) - len(unsent) <= 4
    assert unsent[-1].retry_after == pytest.approx(86400, abs=5)
    assert len(gateway.sent) <= 60
    assert now() <= 10


async def test_all_are_told_to_come_back_tomorrow() -> None:
    """From the first request on: no row fails, the run ends with the time to come back."""
    gateway = Gateway(lambda *_: Answer(429, b"", {"retry-after": "90000"}))
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(100)], concurrency=8)

    assert {type(r.error) for r in results} <= {NotSentError, RateLimitError}
    assert sum(isinstance(r.error, RateLimitError) for r in results) <= 1
    assert len(gateway.sent) <= 9


@pytest.mark.parametrize(("policy", "asked", "sent"), [({}, 890, 2), ({"max_retry_after": 60}, 61, 1)])
async def test_max_retry_after_of_a_row(policy: dict[str, Any], asked: float, sent: int) -> None:
    """A quarter of an hour is waited for, unless the policy says otherwise."""
    answers = iter([Answer(200, completion()), Answer(429, b"", {"retry-after": f"{asked}"})])
    gateway = Gateway(lambda *_: next(answers, Answer(200, completion())))
    async with client_on(gateway, retry=RetryPolicy(**policy)) as client:
        results = await client.map(["a", "b"], concurrency=1)

    assert [r.ok for r in results] == [True, sent == 2]
    assert len(gateway.sent) == 1 + sent


# -- a model that is called unknown ----------------------------------------------------------------------------------

UNKNOWN = Answer(503, b'{"error":{"message":"no channel","code":"model_not_found"}}')


async def test_model_that_was_answered_is_away_not_unknown() -> None:
    """All its channels are off for a minute: rows wait for it, and none fails."""
    gateway = Gateway(lambda at, _: UNKNOWN if 5 <= at < 65 else Answer(200, completion()))

    _, ended, failed = await ran(gateway, 200, 8)

    assert failed == {}
    assert ended < 65 + 60
    assert len(gateway.sent) <= 250


async def test_model_that_was_never_answered_fails_what_was_sent() -> None:
    """The others of its rows are not sent, because of the model."""
    gateway = Gateway(lambda *_: UNKNOWN)
    async with client_on(gateway) as client:
        results = await client.map([f"{n}" for n in range(200)], concurrency=8)

    kinds = Counter(r.error.kind for r in results if r.error is not None)
    assert kinds == {"model": len(gateway.sent), "not_sent": 200 - len(gateway.sent)}
    assert len(gateway.sent) <= 8
