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


async def test_stream_that_broke_off_is_not_asked_for_again(raw_server: RawServers, connect: Connect) -> None:
    """The head of a success was there, so the money is spent: the error carries what came."""
    server = await raw_server(broken(raw_server, "ha"), [raw_server.stream("whole", " answer")])

    with pytest.raises(IncompleteStreamError, match="broke off") as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True)

    assert ("cut", 1, "maybe") == (caught.value.reason, len(server.requests), caught.value.billed)
    assert [("incomplete", 200, "maybe")] == [(a.outcome, a.status_code, a.billed) for a in caught.value.attempts]
    assert caught.value.partial is not None
    assert "ha" == caught.value.partial.text


async def test_row_whose_stream_broke_off_is_asked_for_again(raw_server: RawServers, connect: Connect) -> None:
    """In a map, which nobody watches, once: one failed attempt, and the next one gives the answer."""
    server = await raw_server(broken(raw_server, "ha"), [raw_server.stream("whole", " answer")])

    (result,) = await connect(server.base_url, retry=SOON).map(["Hi"], via_stream=True)

    assert ("whole answer", 2) == (result.text, len(server.requests))
    assert result.completion is not None
    assert result.completion.trace is not None
    assert ["incomplete", "ok"] == [attempt.outcome for attempt in result.attempts]
    assert ["maybe", "yes"] == [attempt.billed for attempt in result.attempts]
    assert result.completion.trace.first_token is not None
    first, second = (request.headers["idempotency-key"] for request in server.requests)
    assert first == second


async def test_only_one_resend(raw_server: RawServers, connect: Connect) -> None:
    """The second break is the row's error, with what came in the last attempt and the whole ledger."""
    server = await raw_server(broken(raw_server, "one"), broken(raw_server, "two"), [raw_server.stream("never")])

    (result,) = await connect(server.base_url, retry=SOON).map(["Hi"], via_stream=True)

    assert isinstance(result.error, IncompleteStreamError)
    assert ("cut", 2, "maybe") == (result.error.reason, len(server.requests), result.error.billed)
    assert ["incomplete"] * 2 == [attempt.outcome for attempt in result.attempts]
    assert result.error.partial is not None
    assert "two" == result.error.partial.text


async def test_partial_is_that_of_the_last_attempt(raw_server: RawServers, connect: Connect) -> None:
    """An attempt that is refused leaves nothing of the one before it, but that it may have been billed."""
    refused = raw_server.answer({"error": {"message": "no", "code": "x"}}, status=400)
    server = await raw_server(broken(raw_server, "one"), [refused])

    (result,) = await connect(server.base_url, retry=SOON).map(["Hi"], via_stream=True)

    assert isinstance(result.error, APIError)
    assert (None, 2, "maybe") == (result.error.partial, len(result.attempts), result.error.billed)


@pytest.mark.parametrize(("before", "requests"), [((), 2), (("ha",), 1)])
async def test_error_inside_a_stream_follows_its_code_before_any_content(
    raw_server: RawServers, connect: Connect, before: tuple[str, ...], requests: int
) -> None:
    """An overload that the gateway states at first is retried; once it has answered a part, that is paid for."""
    overload = raw_server.chunk(b'data: {"error": {"message": "busy", "code": 503}}\n\n')
    begun = raw_server.stream_head() + b"".join(raw_server.chunk(raw_server.event(text)) for text in before)
    server = await raw_server([begun + overload + raw_server.LAST], [raw_server.stream("whole")])
    client = connect(server.base_url, retry=SOON)

    if before:
        with pytest.raises(APIError, match="busy") as caught:
            await client.complete("Hi", via_stream=True)
        assert ("maybe", "maybe") == (caught.value.billed, caught.value.attempts[0].billed)
    else:
        completion = await client.complete("Hi", via_stream=True)
        assert completion.trace is not None
        assert ("whole", "no") == (completion.text, completion.trace.attempts[0].billed)

    assert requests == len(server.requests)


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
    server = await raw_server([raw_server.answer({"error": {"message": "no"}}, status=500)], [begun, "hang"])

    with pytest.raises(DeadlineExceeded) as caught:
        await connect(server.base_url, retry=SOON).complete("Hi", via_stream=True, timeout=0.15)

    assert ("ha", "maybe") == (caught.value.partial and caught.value.partial.text, caught.value.billed)
    assert [("server", 500, "no"), ("cancelled", 200, "maybe")] == [
        (attempt.outcome, attempt.status_code, attempt.billed) for attempt in caught.value.attempts
    ]


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
