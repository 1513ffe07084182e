"""From the head of a streamed answer to its first content, and streams that nobody sees before their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    APIError,
    DeadlineExceeded,
    IdleTimeout,
    IncompleteStreamError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)

if TYPE_CHECKING:
    from conftest import Connect, RawServers

SOON = RetryPolicy(backoff=(0.01, 0.01))


def broken(raw_server: RawServers, *texts: str) -> list[Any]:
    """Return a stream that breaks off after *texts*."""
    return [raw_server.stream_head() + b"".join(raw_server.chunk(raw_server.event(t)) for t in texts), "fin"]


async def test_stream_that_broke_off_is_asked_for_again(raw_server: RawServers, connect: Connect) -> None:
    """Nothing was handed on, so a break after content is one failed attempt, and the next one gives the answer."""
    server = await raw_server(broken(raw_server, "ha"), [raw_server.stream("whole", " answer")])

    completion = await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert ("whole answer", 2) == (completion.text, len(server.requests))
    assert completion.trace is not None
    assert ["incomplete", "ok"] == [attempt.outcome for attempt in completion.trace.attempts]
    assert ["maybe", "yes"] == [attempt.billed for attempt in completion.trace.attempts]
    assert completion.trace.first_token is not None
    first, second = (request.headers["idempotency-key"] for request in server.requests)
    assert first == second


async def test_only_one_resend(raw_server: RawServers, connect: Connect) -> None:
    """A break is ambiguous: one resend, then the error, with what came in the last attempt and the whole ledger."""
    server = await raw_server(broken(raw_server, "one"), broken(raw_server, "two"), [raw_server.stream("never")])

    with pytest.raises(IncompleteStreamError, match="broke off") as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert ("cut", 2, "maybe") == (caught.value.reason, len(server.requests), caught.value.billed)
    assert ["incomplete"] * 2 == [attempt.outcome for attempt in caught.value.attempts]
    assert caught.value.partial is not None
    assert "two" == caught.value.partial.text


async def test_partial_is_that_of_the_last_attempt(raw_server: RawServers, connect: Connect) -> None:
    """An attempt that is refused leaves nothing of the one before it."""
    refused = raw_server.answer({"error": {"message": "no", "code": "x"}}, status=400)
    server = await raw_server(broken(raw_server, "one"), [refused])

    with pytest.raises(APIError) as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert (None, 2) == (caught.value.partial, len(caught.value.attempts))


async def test_error_inside_a_stream_is_retried_by_its_kind(raw_server: RawServers, connect: Connect) -> None:
    """An overload that is told after content is retried like one that is told at once."""
    overload = raw_server.chunk(b'data: {"error": {"message": "busy", "code": 503}}\n\n')
    begun = raw_server.stream_head() + raw_server.chunk(raw_server.event("ha")) + overload + raw_server.LAST
    server = await raw_server([begun], [raw_server.stream("whole")])

    completion = await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert "whole" == completion.text


async def test_error_inside_a_stream_that_is_final(raw_server: RawServers, connect: Connect) -> None:
    """One that no retry helps ends the call at once, with what had come; it may have been billed."""
    wrong = raw_server.chunk(b'data: {"error": {"message": "no", "type": "invalid_request_error", "code": 400}}\n\n')
    begun = raw_server.stream_head() + raw_server.chunk(raw_server.event("ha")) + wrong + raw_server.LAST
    server = await raw_server([begun])

    with pytest.raises(APIError, match="no") as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert ("ha", "maybe", 1) == (
        caught.value.partial and caught.value.partial.text,
        caught.value.billed,
        len(server.requests),
    )


async def test_missing_finish_after_done_is_final(raw_server: RawServers, connect: Connect) -> None:
    """A stream that says ``[DONE]`` without a finish reason may do so each time: not asked for again."""
    server = await raw_server([raw_server.stream("half", finish=None)])

    with pytest.raises(IncompleteStreamError, match="accept_missing_finish") as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert ("no_finish", 1) == (caught.value.reason, len(server.requests))
    completion = await connect(server.base_url).complete("Hi", via_stream=True, accept_missing_finish=True)
    assert "half" == completion.text


@pytest.mark.parametrize(("again", "requests"), [(False, 1), (True, 2)])
async def test_idle_clock(raw_server: RawServers, connect: Connect, again: bool, requests: int) -> None:
    """Silence after content meets the idle clock, and is sent again only if the policy says so."""
    begun = raw_server.stream_head() + raw_server.chunk(raw_server.event("ha"))
    server = await raw_server([begun, "hang"], [begun, "hang"])
    policy = RetryPolicy(backoff=(0.01, 0.01), resend_after_timeout=again)

    with pytest.raises(IdleTimeout) as caught:
        await connect(server.base_url, retry=policy, timeouts=Timeouts(idle=0.05)).complete("Hi", via_stream=True)

    assert ("ha", requests) == (caught.value.partial and caught.value.partial.text, len(server.requests))


async def test_total_counts_over_all_attempts(raw_server: RawServers, connect: Connect) -> None:
    """The call's total ends the reading too; the part that had come, and every attempt, are there."""
    begun = raw_server.stream_head() + raw_server.chunk(raw_server.event("ha"))
    server = await raw_server(broken(raw_server, "one"), [begun, "hang"])

    with pytest.raises(DeadlineExceeded) as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True, timeout=0.15)

    assert ("ha", "maybe") == (caught.value.partial and caught.value.partial.text, caught.value.billed)
    assert ["incomplete", "cancelled"] == [attempt.outcome for attempt in caught.value.attempts]


async def test_second_answer_inside_a_stream_replaces_the_first(raw_server: RawServers, connect: Connect) -> None:
    """The gateway began again after its upstream broke off: nothing was handed on, so the second answer it is."""
    events = [
        raw_server.event("", role="assistant"),
        raw_server.event("first"),
        raw_server.event(" half"),
        raw_server.event("", role="assistant").replace(b'"id": "', b'"id": "other').replace(b'"id":"', b'"id":"other'),
        raw_server.event("second").replace(b'"id": "', b'"id": "other').replace(b'"id":"', b'"id":"other'),
        raw_server.event(finish="stop").replace(b'"id": "', b'"id": "other').replace(b'"id":"', b'"id":"other'),
        raw_server.DONE,
    ]
    server = await raw_server([raw_server.stream_head() + b"".join(map(raw_server.chunk, events)) + raw_server.LAST])

    assert "second" == (await connect(server.base_url).complete("Hi", via_stream=True)).text


async def test_throttled_head(raw_server: RawServers, connect: Connect) -> None:
    """A status that refuses a stream is that error, with no part."""
    server = await raw_server([raw_server.answer({"error": {"message": "slow down"}}, status=429)])

    with pytest.raises(RateLimitError) as caught:
        await connect(server.base_url, retry=RetryPolicy(attempts=1)).complete("Hi", via_stream=True)

    assert None is caught.value.partial
