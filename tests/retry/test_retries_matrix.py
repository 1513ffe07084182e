"""Which failure is met with how many requests, when and at whose cost: statuses, delays, faults, dead connections.

What a server saw is compared with what the ledger of the call says. Delays are measured in virtual time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aioresponses
import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIStatusError,
    Attempt,
    ChatCompletion,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)

if TYPE_CHECKING:
    from conftest import Connect, RawServers

NOWHERE: Final = "http://127.0.0.1:9/v1"
CHAT: Final = f"{NOWHERE}/chat/completions"


async def call(client: AnyFast, verb: str) -> ChatCompletion:
    """One call, whichever way."""
    match verb:
        case "complete":
            return await client.complete("Hi")
        case "via stream":
            return await client.complete("Hi", via_stream=True)
        case _:
            return await client.stream("Hi").drain()


# -- statuses --------------------------------------------------------------------------------------------------------

HITS: Final[dict[int, int]] = {
    # a redirect is not followed, a wrong request stays wrong
    **dict.fromkeys((300, 301, 302, 303, 305, 307, 308), 1),
    **dict.fromkeys((400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 413, 415, 418, 422, 451), 1),
    # somebody waited too long, the work may have been done: one resend
    **dict.fromkeys((408, 504, 524), 2),
    # transient, and refunded
    **dict.fromkeys((425, 500, 502, 503, 520, 521, 522, 523, 529), 4),
    **dict.fromkeys((501, 505, 511, 525, 530, 599), 1),
}
"""Status to the requests that a call makes of a server that always answers so; 429 has a test of its own."""


@pytest.mark.parametrize("verb", ["complete", "stream", "via stream"])
@pytest.mark.parametrize("status", HITS)
async def test_status_is_met_with_so_many_requests(
    raw_server: RawServers, connect: Connect, status: int, verb: str
) -> None:
    """The server counts the attempts, the ledger lists them all, and a small error leaves its connection in use."""
    server = await raw_server([raw_server.answer({"error": {"message": "no"}}, status, location="/elsewhere")])

    with pytest.raises(APIStatusError) as caught:
        await call(connect(server.base_url), verb)

    hits = HITS[status]
    billed = "maybe" if hits == 2 else "no"
    kind = caught.value.kind
    assert (status, hits) == (caught.value.status_code, len(server.requests))
    assert [(number, kind, status, billed) for number in range(1, hits + 1)] == [
        (one.number, one.outcome, one.status_code, one.billed) for one in caught.value.attempts
    ]
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert len({request.body for request in server.requests}) == 1
    assert server.connections == 1


@pytest.mark.parametrize("verb", ["complete", "stream"])
@pytest.mark.parametrize(("should", "status", "hits"), [("true", 409, 4), ("true", 400, 4), ("false", 503, 1)])
async def test_word_of_the_server_wins_over_the_status(
    *, raw_server: RawServers, connect: Connect, should: str, status: int, hits: int, verb: str
) -> None:
    """``x-should-retry`` makes a 409 and a 400 transient, and a 503 final."""
    server = await raw_server([raw_server.answer({"error": {"message": "no"}}, status, x_should_retry=should)])

    with pytest.raises(APIStatusError) as caught:
        await call(connect(server.base_url), verb)

    assert (hits, hits) == (len(server.requests), len(caught.value.attempts))


@pytest.mark.parametrize("verb", ["complete", "stream"])
@pytest.mark.parametrize("status", [500, 503, 429])
async def test_one_attempt_is_one_request(raw_server: RawServers, connect: Connect, status: int, verb: str) -> None:
    """With ``RetryPolicy(attempts=1)`` no status is met with a second one."""
    server = await raw_server([raw_server.answer({"error": {"message": "no"}}, status)])

    with pytest.raises(APIStatusError):
        await call(connect(server.base_url, retry=RetryPolicy(attempts=1)), verb)

    assert 1 == len(server.requests)


# -- delays, in virtual time -----------------------------------------------------------------------------------------


class Gateway:
    """A gateway in place of aiohttp's connections, which notes when it was asked."""

    def __init__(
        self, mocked: aioresponses.aioresponses, answers: Callable[[int], aioresponses.CallbackResult]
    ) -> None:
        self.asked: list[float] = []
        self._answers = answers
        mocked.post(CHAT, callback=self._answer, repeat=True)

    def _answer(self, *_: Any, **__: Any) -> aioresponses.CallbackResult:
        self.asked.append(asyncio.get_running_loop().time())
        return self._answers(len(self.asked))


def refusal(status: int, headers: dict[str, str] | None = None) -> aioresponses.CallbackResult:
    return aioresponses.CallbackResult(status=status, headers=headers, payload={"error": {"message": "no"}})


def granted() -> aioresponses.CallbackResult:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    return aioresponses.CallbackResult(payload={"id": "c", "object": "chat.completion", "choices": [choice]})


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def offline(connect: Connect) -> AnyFast:
    """A client with the retries that everybody has."""
    return connect(NOWHERE, retry=RetryPolicy())


@pytest.mark.virtual
@pytest.mark.parametrize("verb", ["complete", "stream"])
async def test_throttling_for_ever_is_met_with_seven_requests(
    mocked: aioresponses.aioresponses, offline: AnyFast, verb: str
) -> None:
    """429 without a word of when: held for 1, 2, 4 ... 32 s, each by up to a fifth more; then patience ends."""
    gateway = Gateway(mocked, lambda _: refusal(429))

    with pytest.raises(RateLimitError) as caught:
        await call(offline, verb)

    waits = [later - earlier for earlier, later in zip(gateway.asked, gateway.asked[1:], strict=False)]
    assert [True] * 6 == [n <= wait <= 1.2 * n for n, wait in zip((1, 2, 4, 8, 16, 32), waits, strict=True)], waits
    assert now() == gateway.asked[-1]  # and at once
    assert [(429, "rate_limit", "no")] * 7 == [(a.status_code, a.outcome, a.billed) for a in caught.value.attempts]


@pytest.mark.virtual
@pytest.mark.parametrize("verb", ["complete", "stream"])
async def test_waits_double_and_half_of_each_is_chance(
    mocked: aioresponses.aioresponses, offline: AnyFast, verb: str
) -> None:
    """503: at most 1, 2 and 4 s, at least half of that; the ledger says how long each was."""
    gateway = Gateway(mocked, lambda _: refusal(503))

    with pytest.raises(InternalServerError) as caught:
        await call(offline, verb)

    waits = [later - earlier for earlier, later in zip(gateway.asked, gateway.asked[1:], strict=False)]
    assert [True] * 3 == [high / 2 <= wait <= high for high, wait in zip((1, 2, 4), waits, strict=True)], waits
    assert [*waits, 0] == pytest.approx([attempt.delay for attempt in caught.value.attempts])


class Asks(NamedTuple):
    """A way to ask for a wait."""

    headers: Callable[[], dict[str, str]]
    low: float | None
    """At least so many seconds are meant; None: nothing that can be obeyed."""
    high: float = 0.0


def after(text: str, low: float | None, high: float | None = None) -> Asks:
    return Asks(lambda: {"Retry-After": text}, low, low if high is None and low is not None else high or 0.0)


def date(seconds: float, form: str = "") -> Asks:
    """A date so far from now; it has whole seconds."""

    def headers() -> dict[str, str]:
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        return {"Retry-After": moment.strftime(form) if form else format_datetime(moment, usegmt=True)}

    return Asks(headers, max(0.0, seconds - 2), max(0.0, seconds))


def named(low: float | None, **headers: str) -> Asks:
    return Asks(lambda: {name.replace("_", "-"): value for name, value in headers.items()}, low, low or 0.0)


SPELLINGS: Final[dict[str, Asks]] = {
    "whole": after("7", 7),
    "part": after("7.5", 7.5),
    "no zero before the point": after(".5", 0.5),
    "exponent": after("1e1", 10),
    "spaces": after("  7  ", 7),
    "zero": after("0", 0),
    "leading zeros": after("007", 7),
    "nearly the longest": after("100", 100),
    "negative": after("-7", None),
    "plus": after("+7", None),
    "not a number": after("nan", None),
    "endless": after("inf", None),
    "negative endless": after("-inf", None),
    "too large for a float": after("1e999", None),
    "hexadecimal": after("0x7", None),
    "underscore": after("1_0", None),
    "unit": after("7 seconds", 7),
    "short unit": after("7s", 7),
    "Go": after("1m6.5s", 66.5),
    "list": after("5, 7", 7),
    "words": after("soon", None),
    "empty": after("", None),
    "date ahead": date(30),
    "date ahead, RFC 850": date(30, "%A, %d-%b-%y %H:%M:%S GMT"),
    "date ahead, asctime": date(30, "%a %b %d %H:%M:%S %Y"),
    "date ahead, in another zone": date(30 + 7200, "%a, %d %b %Y %H:%M:%S +0200"),
    "date past": date(-3600),
    "date that is none": after("Mon, 99 Jan 2024 00:00:00 GMT", None),
    "milliseconds": named(1.5, retry_after_ms="1500"),
    "milliseconds before seconds": named(1.5, retry_after_ms="1500", retry_after="60"),
    "bad milliseconds beside seconds": named(7, retry_after_ms="-1", retry_after="7"),
    "renamed by a proxy": Asks(lambda: {"llm_provider-retry-after": "7"}, 7, 7),
}
SPELLINGS["date ahead, in another zone"] = Asks(SPELLINGS["date ahead, in another zone"].headers, 28, 30)


@pytest.mark.virtual
@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_spelling_of_a_delay(
    mocked: aioresponses.aioresponses, offline: AnyFast, spelling: str, status: int
) -> None:
    """The recorded wait is the server's and up to a tenth more, or ours where that is longer or it says nothing."""
    asks = SPELLINGS[spelling]
    gateway = Gateway(mocked, lambda count: granted() if count > 1 else refusal(status, asks.headers()))

    answer = await offline.complete("Hi")

    first, second = gateway.asked
    ours = (0.5, 1.0) if status == 503 else (0.0, 0.1)  # what is asked is what throttling is about
    if asks.low is None:
        low, high = (0.5, 1.0) if status == 503 else (1.0, 1.2)
    else:
        low, high = max(asks.low, ours[0]), max(1.1 * asks.high, ours[1])
    assert low <= second - first <= high + 1e-6
    assert answer.trace is not None
    assert [(status, "no"), (200, "yes")] == [(one.status_code, one.billed) for one in answer.trace.attempts]


@pytest.mark.virtual
@pytest.mark.parametrize("verb", ["complete", "stream"])
@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(
    ("headers", "total"),
    [
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "121"}, None),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"retry-after-ms": "120001"}, None),
        ({"Retry-After": "7"}, 5.0),
    ],
    ids=["1e9", "121 s", "date far ahead", "ms", "more than is left"],
)
async def test_delay_that_is_too_long_ends_the_call_at_once(
    *,
    mocked: aioresponses.aioresponses,
    offline: AnyFast,
    headers: dict[str, str],
    total: float | None,
    status: int,
    verb: str,
) -> None:
    """More than ``max_retry_after``, or than the call has left: the error comes with no wait, and tells the delay."""
    gateway = Gateway(mocked, lambda _: refusal(status, headers))
    client = offline.with_options(timeouts=Timeouts(total=total))

    with pytest.raises(APIStatusError) as caught:
        await call(client, verb)

    assert (1, 1) == (len(gateway.asked), len(caught.value.attempts))
    assert now() == gateway.asked[0]
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > min(120, total or 120)


@pytest.mark.parametrize("order", [("3", "9"), ("9", "3"), ("7", "soon"), ("soon", "7")])
async def test_two_delays(raw_server: RawServers, connect: Connect, order: tuple[str, str]) -> None:
    """A header that comes twice means one of its two values, never nothing and never something else."""
    first, second = order
    head = f"HTTP/1.1 503 X\r\nRetry-After: {first}\r\nRetry-After: {second}\r\nContent-Length: 0\r\n\r\n"
    server = await raw_server([head.encode()])

    with pytest.raises(InternalServerError) as caught:
        await connect(server.base_url, retry=RetryPolicy(attempts=1)).complete("Hi")

    meant = {float(one) for one in order if one.isdigit()}
    assert caught.value.retry_after in (meant if len(meant) == 2 else meant | {None})


# -- what was generated, and what the ledger says --------------------------------------------------------------------


class Fault(NamedTuple):
    """What a server does to a request."""

    steps: Callable[[RawServers], list[Any]]
    generated: bool
    """Whether a model was at work before it."""
    verb: str = ""
    """Whether it is a fault for one of the two ways only."""


def partial_stream(raw: RawServers, *texts: str) -> bytes:
    return raw.stream_head() + b"".join(raw.chunk(raw.event(text)) for text in texts)


VERBS: Final = ("complete", "stream")
FAULTS: Final[dict[str, Fault]] = {
    "400": Fault(lambda raw: [raw.answer({"error": "no"}, 400)], False),
    "500": Fault(lambda raw: [raw.answer({"error": "no"}, 500)], False),
    "503": Fault(lambda raw: [raw.answer({"error": "no"}, 503)], False),
    "429": Fault(lambda raw: [raw.answer({"error": "no"}, 429, retry_after="0.001")], False),
    "quota": Fault(lambda raw: [raw.answer({"error": {"message": "no", "code": "insufficient_quota"}}, 429)], False),
    "408": Fault(lambda raw: [raw.answer({"error": "no"}, 408)], True),
    "504": Fault(lambda raw: [raw.answer({"error": "no"}, 504)], True),
    "524": Fault(lambda raw: [raw.answer(b"", 524)], True),
    "closed before the head": Fault(lambda _: ["fin"], True),
    "reset before the head": Fault(lambda _: ["rst"], True),
    "reset in the head": Fault(lambda _: [b"HTTP/1.1 200 OK\r\nContent-Ty", "rst"], True),
    "no HTTP": Fault(lambda _: [b"SSH-2.0\r\n\r\n", "fin"], True),
    "page": Fault(lambda raw: [raw.answer(b"<p>Hello", content_type="text/html")], True),
    "half an answer": Fault(lambda raw: [raw.completion()[:-20], "rst"], True, "complete"),
    "nothing in it": Fault(lambda raw: [raw.answer(b"")], True),
    "stream without content": Fault(lambda raw: [partial_stream(raw), "rst"], True, "stream"),
    "stream that ends empty": Fault(lambda raw: [raw.stream(finish=None)], True, "stream"),
    "stream cut": Fault(lambda raw: [partial_stream(raw, "so ", "far"), "rst"], True, "stream"),
    "stream without finish": Fault(lambda raw: [raw.stream("so far", finish=None)], True, "stream"),
    "stream that falls silent": Fault(lambda raw: [partial_stream(raw, "so far"), "hang"], True, "stream"),
    "no answer": Fault(lambda _: ["hang"], True),
    "half an answer and silence": Fault(lambda raw: [raw.completion()[:-20], "hang"], True, "complete"),
}


async def spent(client: AnyFast, verb: str) -> tuple[tuple[Attempt, ...], bool]:
    """The ledger of a call, and whether it went well."""
    try:
        answer = await call(client, verb)
    except AnyFastError as error:
        return error.attempts, False
    assert answer.trace is not None
    return answer.trace.attempts, True


def holds(generated: int, attempts: tuple[Attempt, ...]) -> None:
    """What was generated is at most what is told: one more than what may have been billed, and never unsaid."""
    maybe = sum(one.billed == "maybe" for one in attempts)
    assert generated <= 1 + maybe
    assert generated <= sum(one.billed != "no" for one in attempts)


@pytest.mark.parametrize("times", ["once", "for ever"])
@pytest.mark.parametrize(
    ("name", "verb"), [(name, verb) for name, one in FAULTS.items() for verb in VERBS if one.verb in ("", verb)]
)
async def test_whatever_was_generated_stands_in_the_ledger(
    *, raw_server: RawServers, connect: Connect, name: str, times: str, verb: str
) -> None:
    """For each fault: answers that a model worked on are at most one more than those told as maybe billed."""
    fault = FAULTS[name]
    good = raw_server.completion() if verb == "complete" else raw_server.stream("Hi")
    scripts = [fault.steps(raw_server)] if times == "for ever" else [fault.steps(raw_server), [good]]
    server = await raw_server(*scripts)
    quick = Timeouts(response=0.05, first_token=0.05, idle=0.05, total=0.2 if name == "429" else None)

    attempts, well = await spent(connect(server.base_url, timeouts=quick), verb)

    hits = len(server.requests)
    faulty = hits if times == "for ever" else min(hits, 1)
    holds(fault.generated * faulty + (hits - faulty), attempts)
    # With a total, the last request may be cut off before the server has it.
    assert hits == len(attempts) or (name == "429" and hits <= len(attempts) <= hits + 1)
    assert well == (times == "once" and hits == 2)


@pytest.mark.parametrize("verb", ["complete", "stream"])
@pytest.mark.parametrize("seed", range(3))
async def test_any_mixture_of_faults_stands_in_the_ledger(
    *, raw_server: RawServers, connect: Connect, seed: int, verb: str
) -> None:
    """40 calls against a server that fails by chance: for every one the ledger covers what was generated for it."""
    chance = random.Random(seed)
    quick = ["429", "no answer", "stream that falls silent", "half an answer and silence"]
    usable = [name for name, one in FAULTS.items() if one.verb in ("", verb) and name not in quick]
    names = [chance.choice([*usable, "good", "good", "good"]) for _ in range(400)]
    good = raw_server.completion() if verb == "complete" else raw_server.stream("Hi")
    scripts: list[Any] = [[good] if name == "good" else FAULTS[name].steps(raw_server) for name in names]
    server = await raw_server(*scripts)
    client = connect(server.base_url, retry=RetryPolicy(backoff=(0, 0), retry_ratio=1))

    for _ in range(40):
        before = len(server.requests)
        attempts, _ = await spent(client, verb)
        played = names[before : len(server.requests)]
        assert len(played) == len(attempts)
        holds(sum(name == "good" or FAULTS[name].generated for name in played), attempts)


# -- connections that died unseen ------------------------------------------------------------------------------------

DEATHS: Final = ["fin after the answer", "rst after the answer", "fin a little later", "fin at reuse", "rst at reuse"]


@pytest.mark.parametrize("verb", ["complete", "stream"])
@pytest.mark.parametrize("death", DEATHS)
async def test_stale_connection_costs_no_answer(
    raw_server: RawServers, connect: Connect, death: str, verb: str
) -> None:
    """200 POSTs to a server that silently gives each connection one answer: 200 answers, two sends at most for each."""
    good = raw_server.completion() if verb == "complete" else raw_server.stream("Hi")
    served: set[int] = set()

    async def serve(request: Any, writer: asyncio.StreamWriter) -> None:
        if request.connection in served:
            if death == "rst at reuse":
                writer.transport.abort()
            writer.close()
            return
        served.add(request.connection)
        writer.write(good)
        await writer.drain()
        if death == "fin a little later":
            asyncio.get_running_loop().call_later(0.0005, writer.close)

    after_it: list[Any] = [death[:3]] if "after the answer" in death else []
    server = await raw_server([serve, *after_it])
    client = connect(server.base_url, retry=RetryPolicy(attempts=2, backoff=(50, 50), retry_ratio=0))

    answers = [await call(client, verb) for _ in range(200)]

    ledgers = [answer.trace.attempts for answer in answers if answer.trace is not None]
    keys = [request.headers["idempotency-key"] for request in server.requests]
    sends = {key: keys.count(key) for key in keys}
    assert 200 == len(ledgers) == len(sends)
    assert max(sends.values()) <= 2
    assert {(), ("maybe",)} >= {tuple(one.billed for one in ledger[:-1]) for ledger in ledgers}
    assert {"ok"} == {ledger[-1].outcome for ledger in ledgers}
    if "at reuse" in death:  # there each call but the first is sent on a connection that dies, and again on a new one
        assert [1, *[2] * 199] == list(sends.values()) == [len(ledger) for ledger in ledgers]
