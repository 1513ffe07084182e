"""aimock (CopilotKit), an OpenAI-compatible server that fails on demand: what it did is what the client says."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ChatCompletion,
    ChatStream,
    IncompleteStreamError,
    InsufficientQuotaError,
    InternalServerError,
    RateLimitError,
    ResponseShapeError,
    RetryPolicy,
)

if TYPE_CHECKING:
    from collections.abc import Callable

if "INTEROP_AIMOCK" not in os.environ:
    pytest.skip(
        "INTEROP_AIMOCK is not set: `nox -s interop` installs the server and runs this", allow_module_level=True
    )

GREETING = "Grüezi! Ça va? ☕ 你好 🚀"
FORMS = ("whole", "streamed")
ERRORS: dict[str, dict[str, Any]] = {
    "too fast": {"kind": RateLimitError, "retry": "throttled", "status": 429, "after": 7.0},
    # The only code that says so comes with a Retry-After all the same.
    "no money": {"kind": InsufficientQuotaError, "retry": "never", "status": 429, "after": 1.0},
    "bad temperature": {"kind": BadRequestError, "retry": "never", "status": 400},
    "busy": {"kind": InternalServerError, "retry": "refused", "status": 503},
    "broken": {"kind": InternalServerError, "retry": "refused", "status": 500},
}
CHAOS: dict[str, dict[str, Any]] = {
    "drop": {"kind": InternalServerError, "retry": "refused", "status": 500},
    "malformed": {"kind": ResponseShapeError, "retry": "never", "status": 200},
    "ratelimit": {"kind": RateLimitError, "retry": "throttled", "status": 429, "after": 1.0},
    "disconnect": {"kind": APIConnectionError, "retry": "ambiguous"},
}


async def ask(client: AnyFast, form: str, prompt: str, **options: Any) -> ChatCompletion:
    if form == "whole":
        return await client.complete(prompt, **options)
    stream: ChatStream = client.stream(prompt, **options)
    return await stream.drain()


@pytest.fixture
def client(aimock: str, client_of: Callable[..., AnyFast]) -> AnyFast:
    return client_of(aimock)


@pytest.mark.parametrize("form", FORMS)
async def test_answer(client: AnyFast, form: str) -> None:
    """Text outside of ASCII arrives whole, though it is streamed in pieces that split a surrogate pair; usage too."""
    completion = await ask(client, form, "greet me")

    assert completion.text == GREETING
    assert completion.finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (7, 18)
    assert completion.usage_source == "gateway"


async def test_tokens(client: AnyFast) -> None:
    """Iterating gives the text in several pieces; joined they are the text."""
    async with client.stream("greet me") as stream:
        tokens = [token async for token in stream]

    assert len(tokens) > 3
    assert "".join(tokens) == GREETING == stream.completion.text


@pytest.mark.parametrize("form", FORMS)
async def test_several_choices(client: AnyFast, form: str) -> None:
    """The server answers ``n=2`` with one choice, as Gemini's channel does: what came is told, no more."""
    completion = await ask(client, form, "greet me", n=2)

    assert [choice.finish_reason for choice in completion.choices] == ["stop"]
    assert completion.text == GREETING


@pytest.mark.parametrize("form", FORMS)
async def test_reasoning(client: AnyFast, form: str) -> None:
    """Thoughts that come before the role are kept apart from the text."""
    completion = await ask(client, form, "think first")

    assert (completion.reasoning, completion.text) == ("The capital, not the largest city.", "Bern.")


@pytest.mark.parametrize("form", FORMS)
async def test_tool_calls(client: AnyFast, form: str) -> None:
    """Two parallel tool calls come out as two, each with its name, whole arguments, and an id of its own."""
    completion = await ask(client, form, "what is the weather")

    functions = [call.function for call in completion.tool_calls]
    assert [(one.name, one.arguments) for one in functions if one] == [
        ("get_weather", '{"city": "Bern"}'),
        ("get_time", '{"city": "Rome"}'),
    ]
    assert len({call.id for call in completion.tool_calls}) == 2
    assert completion.finish_reason == "tool_calls"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("prompt", "reason", "words"),
    [("say too much", "length", "max_tokens was reached"), ("say what is forbidden", "content_filter", "stopped")],
)
async def test_diagnosis(client: AnyFast, form: str, prompt: str, reason: str, words: str) -> None:
    """An answer that was cut off or filtered says so in words."""
    completion = await ask(client, form, prompt)

    assert completion.finish_reason == reason
    assert words in (completion.diagnosis or "")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prompt", ERRORS)
async def test_errors(client: AnyFast, told: Callable[..., Any], form: str, prompt: str) -> None:
    """Each error has its class, status and delay, whether a stream was asked for or not."""
    with pytest.raises(AnyFastError) as caught:
        await ask(client, form, prompt)

    assert told(caught.value) == ERRORS[prompt]


@pytest.mark.parametrize("form", FORMS)
async def test_wrong_key(aimock: str, client_of: Callable[..., AnyFast], form: str) -> None:
    """A wrong key is an ``AuthenticationError`` that does not show it."""
    with pytest.raises(AuthenticationError) as caught:
        await ask(client_of(aimock, api_key="sk-wrong-key-of-the-tests"), form, "greet me")

    assert "wrong-key" not in repr(caught.value)
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", CHAOS)
async def test_chaos(client: AnyFast, told: Callable[..., Any], form: str, fault: str) -> None:
    """Each fault that a header asks for is told apart: an error, garbage, throttling, a closed connection."""
    with pytest.raises(AnyFastError) as caught:
        await ask(client, form, "greet me", extra_headers={f"x-aimock-chaos-{fault}": "1"})

    assert told(caught.value) == CHAOS[fault]


@pytest.mark.parametrize(("prompt", "start"), [("stop in the middle", "one "), ("hang up", "ab")])
async def test_cut(client: AnyFast, prompt: str, start: str) -> None:
    """A stream that is cut is never whole: every token that had come was handed on, and is in ``partial``."""
    tokens: list[str] = []

    with pytest.raises(IncompleteStreamError) as caught:
        async with client.stream(prompt) as stream:
            async for token in stream:
                tokens.append(token)  # noqa: PERF401  # a comprehension would lose them

    assert caught.value.reason == "cut"
    assert caught.value.partial is not None
    assert "".join(tokens) == caught.value.partial.text
    assert caught.value.partial.text.startswith(start)
    assert caught.value.partial.finish_reason is None


async def test_cut_does_not_matter_in_one(client: AnyFast) -> None:
    """The same prompts, not streamed, are answered in full: there is nothing to cut."""
    assert (await client.complete("hang up")).text == "abcdefghijklmnopqrstuvwxyz"


async def test_third_time(aimock: str, client_of: Callable[..., AnyFast]) -> None:
    """Throttled with a delay of 1 s, then overloaded, then answered: all within one call, and the ledger tells."""
    client = client_of(aimock, retry=RetryPolicy(backoff=(0, 0)))
    started = time.monotonic()

    completion = await client.complete("third time")

    assert completion.text == "third time lucky"
    assert time.monotonic() - started >= 1.0
    assert completion.trace is not None
    assert [attempt.status_code for attempt in completion.trace.attempts] == [429, 503, 200]


async def test_chaos_in_map(aimock: str, client_of: Callable[..., AnyFast]) -> None:
    """A quarter of the answers are errors and a quarter hang up: 100 rows come out, each answered or told why."""
    client = client_of(aimock, retry=RetryPolicy(attempts=4, backoff=(0, 0), retry_ratio=1))
    headers = {"x-aimock-chaos-drop": "0.25", "x-aimock-chaos-disconnect": "0.25"}

    rows = await client.map(["greet me"] * 100, concurrency=8, extra_headers=headers)

    assert [row.index for row in rows] == list(range(100))
    assert {row.text for row in rows if row.ok} == {GREETING}
    assert {type(row.error) for row in rows if not row.ok} <= {InternalServerError, APIConnectionError}
    assert sum(row.ok for row in rows) > 50
    assert max(len(row.attempts) for row in rows) > 1


async def test_models(client: AnyFast) -> None:
    """The list of models is read."""
    assert "gemini-2.0-flash" in [model.id for model in await client.models()]
