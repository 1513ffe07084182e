"""Every quirk of the simulator through the real client: the right answer, or the right exception with what had come."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIError,
    APIStatusError,
    BadRequestError,
    ChatCompletion,
    IncompleteStreamError,
    InsufficientQuotaError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    ResponseShapeError,
    RetryPolicy,
    ToolCall,
    ToolMessage,
    UnprocessableEntityError,
    UserMessage,
)
from anyfast_async.simulator import QUIRKS, Simulator

if TYPE_CHECKING:
    from conftest import Connect

TEXT = "Paris it is."
THOUGHTS = "Plan it well."
FIRST_THOUGHT = "Plan"
CALLS = (("call_1", "get_weather", {"city": "Paris"}), ("call_2", "get_time", {"city": "Rome"}))
SIGNED = {"google": {"thought_signature": "CiQB0e2Kb/Y+thought+signature/of+the+simulator=="}}
Check: TypeAlias = Callable[[ChatCompletion], object]


@attrs.frozen(kw_only=True)
class Says:
    """What an answer must say."""

    text: str = TEXT
    reasoning: str = THOUGHTS
    calls: tuple[tuple[str, str, dict[str, str]], ...] = ()
    finish: str = "stop"
    usage: bool = True
    check: Check = lambda _: True
    """What else must be true."""
    returns: dict[str, Any] = attrs.field(factory=dict)
    """Fields of the message that goes back with the next turn, where it is not what the others amount to."""


@attrs.frozen(kw_only=True)
class Fails:
    """How a call must fail."""

    kind: type[AnyFastError]
    retry: str
    words: str = ""
    code: str | int | None = None
    status: int | None = None
    after: float | None = None
    reason: str | None = None
    partial: str | None = None
    """The thoughts that had come; None: no partial answer."""


USUAL = Says()
TOOLS = Says(calls=CALLS, finish="tool_calls")


def signed_first(completion: ChatCompletion) -> bool:
    first, second = completion.tool_calls
    return first.extra == {"extra_content": SIGNED} and second.extra == {}


def signed_calls(first: dict[str, Any], *others: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**first, "extra_content": SIGNED}, *others]


def wire_calls(calls: tuple[tuple[str, str, dict[str, str]], ...]) -> list[dict[str, Any]]:
    return [
        {"type": "function", "id": call_id, "function": {"name": name, "arguments": json.dumps(arguments)}}
        for call_id, name, arguments in calls
    ]


SIGNING = attrs.evolve(TOOLS, check=signed_first, returns={"tool_calls": signed_calls(*wire_calls(CALLS))})
COMPACT = attrs.evolve(
    TOOLS,
    returns={
        "tool_calls": [
            {**call, "function": {**call["function"], "arguments": call["function"]["arguments"].replace(" ", "")}}
            for call in wire_calls(CALLS)
        ]
    },
)
NAMELESS = tuple(("", name, arguments) for _, name, arguments in CALLS)


def throttled(**more: Any) -> Fails:
    return Fails(kind=RateLimitError, retry="throttled", status=429, **more)


def failing(status: int, retry: str = "refused", **more: Any) -> Fails:
    return Fails(kind=InternalServerError, retry=retry, status=status, **more)


def cut_short(reason: str, partial: str) -> Fails:
    return Fails(kind=IncompleteStreamError, retry="never", reason=reason, partial=partial)


Expected: TypeAlias = "Says | Fails"
# Streamed, not streamed. A quirk of streams leaves the other form alone, and the other way round.
TABLE: dict[str, tuple[Expected, Expected]] = {
    # choices, text, thoughts, usage
    "finish-with-last-token": (USUAL, USUAL),
    "finish-on-every-chunk": (USUAL, USUAL),
    "role-on-every-chunk": (USUAL, USUAL),
    "raw-stop-reason": (Says(finish="pause_turn"), Says(finish="pause_turn")),
    "null-delta": (USUAL, USUAL),
    "absent-delta": (USUAL, USUAL),
    "message-for-delta": (USUAL, USUAL),
    "empty-content": (USUAL, USUAL),
    "content-parts": (USUAL, Says(returns={"content": [{"type": "text", "text": TEXT}]})),
    "null-content": (USUAL, USUAL),
    "no-choices": (USUAL, USUAL),
    "null-choices": (USUAL, USUAL),
    "prompt-filter-results": (Says(check=lambda c: c.extra["prompt_filter_results"] and c.model), USUAL),
    "unknown-fields": (
        Says(check=lambda c: c.extra["service_tier"] == "default" and "obfuscation" not in c.extra),
        Says(check=lambda c: c.extra["service_tier"] == "default"),
    ),
    "second-stream": (USUAL, USUAL),
    "reasoning-field": (
        Says(returns={"reasoning": THOUGHTS, "reasoning_content": None}),
        Says(returns={"reasoning": THOUGHTS, "reasoning_content": None}),
    ),
    "thoughts-swallow-text": (Says(text=" it is.", reasoning=f"{THOUGHTS}Paris"), USUAL),
    "thinking-to-content": (
        Says(text=f"<think>\n{THOUGHTS}\n</think>\n{TEXT}", reasoning=""),
        Says(text=f"<think>\n{THOUGHTS}\n</think>\n{TEXT}", reasoning=""),
    ),
    "thought-in-content": (
        Says(
            text=f"<thought>{THOUGHTS}</thought>{TEXT}",
            reasoning="",
            returns={"extra_content": {"google": {"thought": True}}},
        ),
        Says(
            text=f"<thought>{THOUGHTS}</thought>{TEXT}",
            reasoning="",
            returns={"extra_content": {"google": {"thought": True}}},
        ),
    ),
    "lone-newline-thought": (Says(reasoning=f"{THOUGHTS}\n"), USUAL),
    "usage-on-every-chunk": (USUAL, USUAL),
    "usage-in-choice": (USUAL, USUAL),
    "no-usage": (Says(usage=False), Says(usage=False)),
    "headless": (Says(check=lambda c: c.id is None is c.model), Says(check=lambda c: c.id is None is c.model)),
    # framing, ends, the other form
    "comments": (USUAL, USUAL),
    "empty-data": (USUAL, USUAL),
    "ping-events": (USUAL, USUAL),
    "ping-payload": (Says(check=lambda c: "type" not in c.extra), USUAL),
    "data-without-space": (USUAL, USUAL),
    "crlf": (USUAL, USUAL),
    "event-fields": (USUAL, USUAL),
    "no-done": (USUAL, USUAL),
    "unfinished-done": (USUAL, USUAL),
    "truncated": (cut_short("no_finish", FIRST_THOUGHT), USUAL),
    "truncated-done": (cut_short("no_finish", FIRST_THOUGHT), USUAL),
    "bytes-after-done": (USUAL, USUAL),
    "sse-to-plain-call": (USUAL, USUAL),
    "json-to-stream-call": (USUAL, USUAL),
    # tool calls
    "early-tool-calls": (TOOLS, TOOLS),
    "late-tool-calls": (TOOLS, TOOLS),
    "tool-calls-then-stop": (TOOLS, TOOLS),
    "tool-calls-at-index-0": (TOOLS, TOOLS),
    "tool-call-fragments": (TOOLS, TOOLS),
    "interleaved-tool-calls": (TOOLS, TOOLS),
    "claude-tool-indices": (TOOLS, TOOLS),
    "tool-calls-without-index": (TOOLS, TOOLS),
    "tool-call-list-without-index": (TOOLS, TOOLS),
    "tool-fragments-without-index": (TOOLS, TOOLS),
    "bare-tool-calls": (attrs.evolve(TOOLS, calls=NAMELESS), attrs.evolve(TOOLS, calls=NAMELESS)),
    "argument-objects": (COMPACT, COMPACT),
    "thought-signature": (SIGNING, SIGNING),
    "thought-signature-apart": (SIGNING, SIGNING),
    # errors in a stream
    "blocked-prompt": (
        cut_short("empty", ""),
        Fails(kind=BadRequestError, retry="never", status=400, code="prompt_blocked"),
    ),
    "empty-response": (cut_short("empty", ""), failing(500, code="empty_response")),
    "error-event": (failing(500, code="server_error", partial=FIRST_THOUGHT), USUAL),
    "error-event-first": (failing(500, code="server_error"), USUAL),
    "named-error-event": (failing(500, code="server_error", partial=FIRST_THOUGHT), USUAL),
    "text-error-event": (
        Fails(kind=APIError, retry="never", words="upstream connect error", partial=FIRST_THOUGHT),
        USUAL,
    ),
    "string-error-event": (
        Fails(kind=APIError, retry="never", words="The model is overloaded", partial=FIRST_THOUGHT),
        USUAL,
    ),
    "list-error-event": (throttled(code=429, after=1.5, partial=FIRST_THOUGHT), USUAL),
    "openrouter-error-chunk": (failing(502, code=502, words="Provider disconnected", partial=FIRST_THOUGHT), USUAL),
    "vllm-error-event": (failing(500, code=500, words="EngineCore died", partial=FIRST_THOUGHT), USUAL),
    "vllm-bare-error": (
        failing(500, retry="ambiguous", code=500, words="EngineCore died", partial=FIRST_THOUGHT),
        USUAL,
    ),
    "error-after-ping": (failing(500, code="do_request_failed"), USUAL),
    "bare-error-after-content": (failing(500, code="do_request_failed", partial=FIRST_THOUGHT), USUAL),
    # errors inside a 200
    "error-in-200": (failing(503, code=503), failing(503, code=503)),
    "list-error-in-200": (throttled(code=429, after=1.5), throttled(code=429, after=1.5)),
    "html-200": (
        Fails(kind=ResponseShapeError, retry="never", status=200, words="base_url"),
        Fails(kind=ResponseShapeError, retry="never", status=200, words="base_url"),
    ),
    "no-success-200": (
        Fails(kind=APIError, retry="never", words="get user group failed"),
        Fails(kind=APIError, retry="never", words="get user group failed"),
    ),
    "truncated-json": (
        Fails(kind=ResponseShapeError, retry="never", status=200),
        Fails(kind=ResponseShapeError, retry="never", status=200),
    ),
    # error bodies
    "json-error-as-event-stream": (throttled(code=429, after=1.5), USUAL),
    "integer-code": (throttled(code=429, after=1.5), throttled(code=429, after=1.5)),
    "google-error": (throttled(code=429, after=1.5), throttled(code=429, after=1.5)),
    "list-error": (throttled(code=429, after=1.5), throttled(code=429, after=1.5)),
    "nested-error": (
        throttled(code=429, after=1.5, words="Resource has been exhausted"),
        throttled(code=429, after=1.5, words="Resource has been exhausted"),
    ),
    "string-error": (
        failing(500, retry="ambiguous", words="upstream connect error"),
        failing(500, retry="ambiguous", words="upstream connect error"),
    ),
    "detail-error": (
        Fails(kind=UnprocessableEntityError, retry="never", status=422, words="Field required"),
        Fails(kind=UnprocessableEntityError, retry="never", status=422, words="Field required"),
    ),
    "problem-json": (
        Fails(
            kind=InternalServerError,
            retry="ambiguous",
            status=524,
            code=524,
            after=60,
            words="did not return a response in time",
        ),
        Fails(
            kind=InternalServerError,
            retry="ambiguous",
            status=524,
            code=524,
            after=60,
            words="did not return a response in time",
        ),
    ),
    "html-error": (
        failing(502, retry="ambiguous", words="502: Bad Gateway"),
        failing(502, retry="ambiguous", words="502: Bad Gateway"),
    ),
    "empty-error": (throttled(), throttled()),
    # what stands in front of a gateway, under it, or in its place
    "caddy-clean-cut": (cut_short("no_finish", FIRST_THOUGHT), USUAL),
    "h2o-broken-chunk": (attrs.evolve(cut_short("cut", FIRST_THOUGHT), retry="cut"), USUAL),
    "h2o-timeout-502": (failing(502, retry="ambiguous"), failing(502, retry="ambiguous")),
    "apache-timeout-502": (failing(502, retry="ambiguous"), failing(502, retry="ambiguous")),
    "haproxy-first-200ms": (USUAL, USUAL),
    "lighttpd-buffered": (USUAL, USUAL),
    "lighttpd-late-404": (
        Fails(kind=NotFoundError, retry="never", status=404),
        Fails(kind=NotFoundError, retry="never", status=404),
    ),
    "varnish-503-retry-after": (failing(503, retry="ambiguous", after=5), failing(503, retry="ambiguous", after=5)),
    "tinyproxy-401": (
        Fails(kind=APIStatusError, retry="never", status=401, words="proxy="),
        Fails(kind=APIStatusError, retry="never", status=401, words="proxy="),
    ),
    "uvicorn-limit-concurrency": (failing(503, retry="ambiguous"), failing(503, retry="ambiguous")),
    "litserve-n2-one-event": (USUAL, USUAL),
    # Nothing tells of it: the answer is short, and looks whole.
    "litellm-invented-end": (Says(text="", reasoning=FIRST_THOUGHT, usage=False), USUAL),
    "litellm-one-end-of-two": (USUAL, USUAL),
    # Its code is gone, but not its words.
    "litellm-hidden-quota": (
        Fails(kind=InsufficientQuotaError, retry="never", status=429, code="429"),
        Fails(kind=InsufficientQuotaError, retry="never", status=429, code="429"),
    ),
    "litellm-renamed-delay": (throttled(code="429", after=7), throttled(code="429", after=7)),
    "litellm-timeout-408": (
        Fails(kind=APIStatusError, retry="ambiguous", status=408, code="408"),
        Fails(kind=APIStatusError, retry="ambiguous", status=408, code="408"),
    ),
    "litellm-relayed-503": (failing(503, code="503"), failing(503, code="503")),
    "litellm-lost-500": (
        failing(500, retry="ambiguous", code="500"),
        failing(500, retry="ambiguous", code="500"),
    ),
    "delta-images": (
        Says(check=lambda c: c.images[0].data[:4] == b"\x89PNG"),
        Says(check=lambda c: c.images[0].data[:4] == b"\x89PNG"),
    ),
}


def cases(kind: type[Says | Fails]) -> list[Any]:
    return [
        pytest.param(name, form, expected, id=f"{name}-{form}")
        for name, both in TABLE.items()
        for form, expected in zip(("streamed", "tokens", "whole"), (both[0], *both), strict=True)
        if isinstance(expected, kind)
    ]


def test_every_quirk_has_a_row() -> None:
    """No quirk is without an expectation, and no expectation without a quirk."""
    assert sorted(QUIRKS) == sorted(TABLE)


def test_other_form_is_left_alone() -> None:
    """The form that a quirk is not about is expected to say what it always says."""
    others = [TABLE[one.name][one.forms == "streamed"] for one in QUIRKS.values() if one.forms != "both"]

    assert len(others) > 40
    assert [other for other in others if other not in (USUAL, TOOLS)] == []


def script(sim: Simulator, expected: Expected) -> None:
    calls = isinstance(expected, Says) and expected.calls
    arguments = [{"id": i, "name": n, "arguments": a} for i, n, a in CALLS] if calls else []
    sim.reply(TEXT, reasoning=THOUGHTS, tool_calls=arguments)


async def ask(client: AnyFast, form: str, messages: Any = "Hi") -> ChatCompletion:
    if form == "whole":
        return await client.complete(messages)
    async with client.stream(messages) as stream:
        if form == "streamed":
            return await stream.drain()
        tokens = [token async for token in stream]
        assert "".join(tokens) == stream.completion.text
        return stream.completion


def said(call: ToolCall) -> tuple[str | None, str | None, Any]:
    assert call.function is not None
    assert isinstance(call.function.arguments, str)
    return call.id, call.function.name, json.loads(call.function.arguments)


@pytest.fixture
async def once(sim: Simulator, connect: Connect) -> AnyFast:
    """A client that does not try again."""
    return connect(sim.base_url, retry=RetryPolicy(attempts=1, throttle_patience=0))


@pytest.mark.parametrize(("name", "form", "expected"), cases(Says))
async def test_answer(sim: Simulator, once: AnyFast, name: str, form: str, expected: Says) -> None:
    """The answer says what the model said, whatever its form went through."""
    script(sim, expected)
    usual = await once.complete("Hi")
    sim.quirk(name)

    completion = await ask(once, form)

    calls = tuple(said(call) for call in completion.tool_calls)
    assert completion.text == expected.text
    assert completion.reasoning == expected.reasoning
    assert calls == expected.calls
    assert completion.finish_reason == expected.finish
    assert completion.usage == (usual.usage if expected.usage else None)
    assert len(completion.choices) == 1
    assert expected.check(completion)


@pytest.mark.parametrize(("name", "form", "expected"), cases(Fails))
async def test_failure(sim: Simulator, once: AnyFast, name: str, form: str, expected: Fails) -> None:
    """The exception has the class, code, status and delay that the gateway meant, and what had come before it."""
    script(sim, expected)
    sim.quirk(name)

    with pytest.raises(AnyFastError) as caught:
        await ask(once, form)

    error = caught.value
    assert type(error) is expected.kind
    assert expected.words in str(error)
    assert getattr(error, "code", None) == expected.code
    assert getattr(error, "status_code", None) == expected.status
    assert getattr(error, "retry_after", None) == expected.after
    assert getattr(error, "reason", None) == expected.reason
    assert error.retry_class == expected.retry
    assert error.retryable == (expected.retry != "never")
    partial = error.partial
    assert (None if partial is None or not partial.choices else partial.reasoning) == expected.partial
    assert partial is None or partial.text == ""


@pytest.mark.parametrize(("name", "form", "expected"), cases(Says))
async def test_next_turn(sim: Simulator, once: AnyFast, name: str, form: str, expected: Says) -> None:
    """The answer put into the history goes back as it came: text, thoughts, tool calls, fields we do not know."""
    script(sim, expected)
    sim.quirk(name)
    completion = await ask(once, form)
    # A call without an id cannot be answered by id.
    answers = [ToolMessage("{}", call.id) for call in completion.tool_calls if call.id]
    history = [UserMessage("Hi"), completion.message, *answers]

    await ask(once, form, [*history, UserMessage("And then?")])

    sent = dict(sim.requests[-1].body["messages"][1])
    sent.pop("images", None)
    wanted: dict[str, Any] = {"role": "assistant", "content": expected.text, "reasoning_content": expected.reasoning}
    wanted |= {"tool_calls": wire_calls(expected.calls)} | expected.returns
    assert {field: value for field, value in sent.items() if value} == {f: v for f, v in wanted.items() if v}
    assert sim.requests[-1].status == 200


async def test_lost_signature_is_refused(sim: Simulator, once: AnyFast) -> None:
    """A history that lost the thought signature gets what Gemini 3 answers: a 400 that names it."""
    script(sim, TOOLS)
    sim.quirk("thought-signature")
    plain: list[Any] = [UserMessage("Hi"), {"role": "assistant", "content": None, "tool_calls": wire_calls(CALLS)}]

    with pytest.raises(BadRequestError, match="missing a thought_signature"):
        await once.complete([*plain, *(ToolMessage("{}", call_id) for call_id, _, _ in CALLS)])


async def test_second_stream_after_text(sim: Simulator, once: AnyFast) -> None:
    """Once text was handed on, a second answer in the stream is an error with the first one's beginning."""
    sim.reply(TEXT)
    sim.quirk("second-stream")
    tokens = []

    with pytest.raises(IncompleteStreamError, match="another answer") as caught:
        async with once.stream("Hi") as stream:
            async for token in stream:
                tokens.append(token)  # noqa: PERF401  # a comprehension would lose them

    assert tokens == ["Paris"]
    assert caught.value.partial is not None
    assert (caught.value.reason, caught.value.partial.text) == ("cut", "Paris")


ENDED = [name for name, (streamed, _) in TABLE.items() if isinstance(streamed, Says) and "one-end" not in name]


@pytest.mark.parametrize("name", ENDED)
async def test_several_choices(sim: Simulator, once: AnyFast, name: str) -> None:
    """Two choices come out of a stream as two, each with the whole of its text and calls."""
    expected = TABLE[name][0]
    assert isinstance(expected, Says)
    script(sim, expected)
    sim.quirk(name)

    completion = await once.stream("Hi", n=2).drain()

    messages = [choice.message for choice in completion.choices if choice.message is not None]
    assert len(messages) == 2
    assert messages[0].text == expected.text
    assert [len(message.tool_calls or ()) for message in messages] == [len(expected.calls)] * 2


async def test_choice_without_an_end(sim: Simulator, once: AnyFast) -> None:
    """A choice that was not ended is told as that, with all that came, or taken where that was asked for."""
    sim.reply(TEXT)
    sim.quirk("litellm-one-end-of-two")

    with pytest.raises(IncompleteStreamError) as caught:
        await once.stream("Hi", n=2).drain()
    accepted = await once.stream("Hi", n=2, accept_missing_finish=True).drain()

    assert caught.value.reason == "no_finish"
    for completion in (caught.value.partial, accepted):
        assert completion is not None
        assert [one.message.text for one in completion.choices if one.message] == [TEXT, TEXT]
        assert [one.finish_reason for one in completion.choices] == ["stop", None]


@pytest.mark.parametrize(
    ("name", "billed", "by"),
    [
        ("apache-timeout-502", "maybe", "proxy"),
        ("h2o-timeout-502", "maybe", "proxy"),
        ("varnish-503-retry-after", "maybe", "proxy"),
        ("lighttpd-late-404", "maybe", "proxy"),
        ("litellm-timeout-408", "maybe", "gateway"),
        ("litellm-relayed-503", "no", "gateway"),
        ("litellm-lost-500", "maybe", "gateway"),
        ("uvicorn-limit-concurrency", "maybe", "unknown"),
        ("tinyproxy-401", "no", "proxy"),
    ],
)
async def test_who_said_it_and_what_it_may_have_cost(
    sim: Simulator, once: AnyFast, name: str, billed: str, by: str
) -> None:
    """What stands in between knows nothing of bills, unless it refused the request itself."""
    sim.quirk(name)

    with pytest.raises(AnyFastError) as caught:
        await once.complete("Hi")

    assert (caught.value.billed, caught.value.spoken_by) == (billed, by)
