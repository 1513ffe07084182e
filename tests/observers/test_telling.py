"""What observers are told of calls: one end for each, whichever way it goes, and why."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from anyfast_async import AnyFast, AnyFastError, BudgetExceeded, RetryPolicy, Timeouts, errors
from anyfast_async._observers.hooks import PUBLIC
from anyfast_async._observers.telling import why_of
from anyfast_async.errors import Attempt
from anyfast_async.observing import CallEnd
from anyfast_async.openai import AsyncOpenAI
from anyfast_async.simulator import Simulator

KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"
PROMPT = "Tell me a story."


class Everything:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        for name in PUBLIC:
            setattr(self, name, lambda value, name=name: self.heard.append((name.removeprefix("on_"), value)))

    def of(self, name: str) -> list[Any]:
        return [value for hook, value in self.heard if hook == name]

    @property
    def order(self) -> list[str]:
        return [hook for hook, _ in self.heard]

    @property
    def end(self) -> CallEnd:
        """The one end of the one call."""
        (end,) = self.of("call_end")
        found: CallEnd = end
        return found


@pytest.fixture
def heard() -> Everything:
    """Return an observer."""
    return Everything()


def client_of(sim: Simulator, heard: Everything, **options: Any) -> AnyFast:
    return AnyFast(KEY, base_url=sim.base_url, model=MODEL, observers=[heard], **options)


async def test_a_completion(heard: Everything) -> None:
    """A waited answer is a start, an end of the attempt, and an end of the call, which agrees with its trace."""
    async with Simulator() as sim, client_of(sim, heard) as client:
        completion = await client.complete(PROMPT)

    assert ["attempt_start", "attempt_end", "call_end"] == heard.order
    assert completion.trace is not None
    assert completion.trace == heard.end.trace
    assert completion.trace.attempts[-1] == heard.of("attempt_end")[0].attempt
    assert (completion.id, completion.model, completion.request_id, completion.usage) == (
        *(heard.end.response_id, heard.end.response_model, heard.end.request_id, heard.end.usage),
    )
    assert {heard.of("attempt_start")[0].call} == {value.call for _, value in heard.heard}
    assert sim.requests[0].headers["Idempotency-Key"] == heard.end.call.id


@pytest.mark.parametrize("way", ["tokens", "chunks", "sse", "drain", "via_stream"])
async def test_a_stream(way: str, heard: Everything) -> None:
    """A stream also has a first content, however it is read; it ends when it was read."""
    async with Simulator() as sim, client_of(sim, heard) as client:
        if way == "via_stream":
            usage = (await client.complete(PROMPT, via_stream=True)).usage
        else:
            async with client.stream(PROMPT) as stream:
                assert ["attempt_start", "first_content"] == heard.order
                match way:
                    case "tokens":
                        assert [text async for text in stream]
                    case "chunks":
                        assert [chunk async for chunk in stream.chunks()]
                    case "sse":
                        assert [event async for event in stream.sse()]
                    case _:
                        await stream.drain()
            usage = stream.completion.usage

    assert ["attempt_start", "first_content", "attempt_end", "call_end"] == heard.order
    assert ("ok", True, usage) == (heard.end.outcome, heard.end.call.streamed, heard.end.usage)
    assert heard.of("first_content")[0].seconds == heard.end.trace.first_token


async def test_a_stream_that_was_left(heard: Everything) -> None:
    """A reader who has had enough ends the call, which is no failure and may be billed."""
    async with Simulator() as sim, client_of(sim, heard) as client, client.stream(PROMPT) as stream:
        await anext(stream)

    assert ("left", None, "maybe", True) == (heard.end.outcome, heard.end.why, heard.end.billed, heard.end.ok)
    assert heard.end.usage is None


async def test_a_stream_whose_reader_was_cancelled(heard: Everything) -> None:
    """A stream without a context manager, whose reader is cancelled, ends once."""
    async with Simulator() as sim, client_of(sim, heard) as client:
        sim.stall(after=3)
        stream = await client.stream(PROMPT)
        reading = asyncio.create_task(stream.drain())
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert "left" == heard.end.outcome
        await stream.aclose()

    assert 1 == len(heard.of("call_end"))


async def test_a_stream_that_was_dropped(heard: Everything) -> None:
    """A stream that nobody holds any more ends, too."""
    async with Simulator() as sim, client_of(sim, heard) as client:
        sim.stall(after=3)
        stream = await client.stream(PROMPT)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            del stream
            gc.collect()
        assert [ResourceWarning] == [one.category for one in warned]
        while not heard.of("call_end"):
            await asyncio.sleep(0.01)

    assert "left" == heard.end.outcome


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"after": 3}, "incomplete"),
        ({"after": 3, "clean": True}, "incomplete"),
        ({"after": 3, "rst": True}, "incomplete"),
    ],
)
async def test_a_stream_that_broke(fault: dict[str, Any], outcome: str, heard: Everything) -> None:
    """However a stream breaks, attempt and call end alike, with what the exception says."""
    async with Simulator() as sim, client_of(sim, heard) as client:
        sim.cut(**fault)
        with pytest.raises(AnyFastError) as found:
            async with client.stream(PROMPT) as stream:
                await stream.drain()

    attempt = heard.of("attempt_end")[0].attempt
    assert outcome == heard.end.outcome == attempt.outcome == found.value.kind
    assert found.value.attempts == heard.end.trace.attempts == (attempt,)
    assert found.value.billed == heard.end.billed


async def test_a_call_that_was_not_sent(heard: Everything) -> None:
    """A call without an attempt has an end, which says why."""
    from anyfast_async import Budget  # noqa: PLC0415 - of this test alone

    async with Simulator() as sim, client_of(sim, heard, budget=Budget(requests=1)) as client:
        await client.complete(PROMPT)
        heard.heard.clear()
        with pytest.raises(BudgetExceeded):
            await client.complete(PROMPT)

    assert ["call_end"] == heard.order
    assert ("budget", (), "no") == (heard.end.outcome, heard.end.trace.attempts, heard.end.billed)


async def test_an_answer_that_came_too_late(heard: Everything) -> None:
    """A total that runs out ends attempt and call."""
    async with Simulator() as sim, client_of(sim, heard, timeouts=Timeouts(total=0.2)) as client:
        sim.stall(after=0)
        with pytest.raises(errors.DeadlineExceeded) as found:
            await client.complete(PROMPT)

    assert ["attempt_start", "attempt_end", "call_end"] == heard.order
    assert ("deadline", found.value.attempts, "maybe") == (
        *(heard.end.outcome, heard.end.trace.attempts, heard.end.billed),
    )


async def test_an_outage_of_a_map(heard: Everything) -> None:
    """An outage is told of once, with the call that showed it, and its end; each row has one end."""
    retry = RetryPolicy(backoff=(0.01, 0.05))
    async with Simulator() as sim, client_of(sim, heard, retry=retry) as client:
        await client.complete(PROMPT)
        heard.heard.clear()
        sim.fail(502, body="<html>bad gateway</html>", times=5)
        results = await client.map([PROMPT, "b", "c", "d"], concurrency=2)

    assert all(result.ok for result in results)
    holds = [hold for hold in heard.of("hold") if hold.reason == "outage"]
    assert ["began", "over"] == [hold.state for hold in holds]
    assert holds[0].seconds is None
    assert holds[0].call_id in {end.call.id for end in heard.of("call_end")}
    ends = heard.of("call_end")
    assert 4 == len(ends) == len({end.call.id for end in ends})
    assert all(end.call.in_map for end in ends)
    assert sum(len(end.trace.attempts) for end in ends) == len(heard.of("attempt_end")) == len(sim.requests) - 1


async def test_the_door(heard: Everything) -> None:
    """Programs with the vendor SDK's shape have observers, too, beside what the door itself hears by."""
    async with Simulator() as sim, AsyncOpenAI(api_key=KEY, base_url=sim.base_url, observers=[heard]) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": PROMPT}]
        )
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": PROMPT}], stream=True
        )
        assert [chunk async for chunk in stream]

    assert raw.http_response.status_code == 200
    assert [False, True] == [end.call.streamed for end in heard.of("call_end")]
    assert ["ok", "ok"] == [end.outcome for end in heard.of("call_end")]


async def test_keys_are_numbers() -> None:
    """Lanes tell keys of a client apart without naming them."""
    heard = Everything()
    async with Simulator() as sim, client_of(sim, heard) as client:
        await client.complete(PROMPT)
        await client.with_options(api_key="sk-other-0123456789").complete(PROMPT)
        await client.complete(PROMPT, temperature=0.1)

    assert ["key 1", "key 2", "key 1"] == [end.call.lane.rpartition(", ")[2] for end in heard.of("call_end")]
    assert "sk-" not in repr(heard.heard)


ATTEMPT = Attempt(1, "server", 503, 0.1, "no")


def made(kind: type[Any], message: str = "the server's own words", **fields: Any) -> AnyFastError:
    error: AnyFastError = kind(message)
    for name, value in fields.items():
        setattr(error, name, value)
    return error


NOT_SENT = errors.NotSentError.of("429: the server's own words")
NOT_SENT.__cause__ = made(errors.InsufficientQuotaError, status_code=429, spoken_by="gateway")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (None, None),
        (asyncio.CancelledError(), "it was cancelled"),
        (OSError("the server's own words"), "OSError"),
        (
            made(
                errors.RateLimitError, status_code=429, spoken_by="gateway", code="rate_limit_exceeded", retry_after=2.0
            ),
            "rate_limit (429) from the gateway code rate_limit_exceeded asked to wait 2 s",
        ),
        (made(errors.BadRequestError, status_code=400, code="Tell me a story."), "bad_request (400)"),
        (
            made(errors.InternalServerError, status_code=503, spoken_by="proxy", code=1301),
            "server (503) from the proxy code 1301",
        ),
        (made(errors.ResponseShapeError), "response_shape (503)"),
        (
            made(errors.APIConnectionError, "a: the answer is no HTTP (bad: 'the server's own words')"),
            "a: the answer is no HTTP (bad",
        ),
        (
            made(errors.DeadlineExceeded, "longer than 1 s; the last attempt ended with: the server's own words"),
            "longer than 1 s",
        ),
        (NOT_SENT, "not sent: quota (429) from the gateway"),
        (errors.NotSentError.of("nothing was answered for 3 s"), "not sent: nothing was answered for 3 s"),
    ],
)
def test_why(error: BaseException | None, why: str | None) -> None:
    """Why something failed is said without the server's own words, which may quote prompt, answer or key."""
    assert why == why_of(error, ATTEMPT)
