"""LiteLLM's proxy, a gateway as people run it: what it relays, renames and loses is told for what it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    AuthenticationError,
    BadRequestError,
    ChatCompletion,
    ChatStream,
    IncompleteStreamError,
    InternalServerError,
    RateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

if "INTEROP_LITELLM" not in os.environ:
    pytest.skip(
        "INTEROP_LITELLM is not set: `nox -s interop` installs the server and runs this", allow_module_level=True
    )

GREETING = "Grüezi! Ça va? ☕ 你好 🚀"
FORMS = ("whole", "streamed")
ERRORS: dict[str, dict[str, Any]] = {
    "throttled": {"kind": RateLimitError, "retry": "throttled", "status": 429},
    "broken": {"kind": InternalServerError, "retry": "ambiguous", "status": 500},
    "too-long": {"kind": BadRequestError, "retry": "never", "status": 400},
    "no-such-model": {"kind": BadRequestError, "retry": "never", "status": 400},
}
RELAYED: dict[str, dict[str, Any]] = {
    # Renamed to llm_provider-retry-after on the way.
    "too fast": {"kind": RateLimitError, "retry": "throttled", "status": 429, "after": 7.0},
    "bad temperature": {"kind": BadRequestError, "retry": "never", "status": 400},
    "busy": {"kind": InternalServerError, "retry": "refused", "status": 503},
    "broken": {"kind": InternalServerError, "retry": "refused", "status": 500},
}


async def ask(client: AnyFast, form: str, prompt: str, **options: Any) -> ChatCompletion:
    if form == "whole":
        return await client.complete(prompt, **options)
    stream: ChatStream = client.stream(prompt, **options)
    return await stream.drain()


@pytest.fixture
def client(litellm: str, client_of: Callable[..., AnyFast]) -> AnyFast:
    return client_of(litellm)


@pytest.mark.parametrize("form", FORMS)
async def test_answer(client: AnyFast, form: str) -> None:
    """Text and usage arrive, though chunks lack finish_reason until the end and the usage chunk has a choice."""
    completion = await ask(client, form, "greet me")

    assert completion.text == GREETING
    assert completion.finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.total_tokens or 0) > 0
    assert completion.usage_source == "gateway"


async def test_tokens(client: AnyFast) -> None:
    """Iterating gives the text in several pieces; joined they are the text."""
    async with client.stream("greet me") as stream:
        tokens = [token async for token in stream]

    assert len(tokens) > 3
    assert "".join(tokens) == GREETING == stream.completion.text


async def test_two_choices(client: AnyFast) -> None:
    """``n=2`` gives two whole choices."""
    completion = await client.complete("greet me", n=2)

    assert [one.message.text for one in completion.choices if one.message] == [GREETING, GREETING]
    assert [one.finish_reason for one in completion.choices] == ["stop", "stop"]


async def test_two_streamed_choices(client: AnyFast) -> None:
    """LiteLLM finishes only the first of two streamed choices: told as incomplete, with both; or taken if asked to."""
    with pytest.raises(IncompleteStreamError) as caught:
        await client.stream("greet me", n=2).drain()
    accepted = await client.stream("greet me", n=2, accept_missing_finish=True).drain()

    assert caught.value.reason == "no_finish"
    assert caught.value.partial is not None
    for completion in (caught.value.partial, accepted):
        assert [one.message.text for one in completion.choices if one.message] == [GREETING, GREETING]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", ERRORS)
async def test_errors(client: AnyFast, told: Callable[..., Any], form: str, model: str) -> None:
    """Each error has its class and status; LiteLLM's throttling names no delay."""
    with pytest.raises(AnyFastError) as caught:
        await ask(client, form, "greet me", model=model)

    assert told(caught.value) == ERRORS[model]


@pytest.mark.parametrize("form", FORMS)
async def test_wrong_key(litellm: str, client_of: Callable[..., AnyFast], form: str) -> None:
    """A wrong key is an ``AuthenticationError`` that does not show it."""
    with pytest.raises(AuthenticationError) as caught:
        await ask(client_of(litellm, api_key="sk-wrong-key-of-the-tests"), form, "greet me")

    assert "wrong-key" not in repr(caught.value)


async def test_real_limit(client: AnyFast) -> None:
    """Of three calls in a minute to a model with two per minute, the gateway's own limiter throttles at least one."""
    outcomes: list[Any] = []
    for _ in range(3):
        try:
            outcomes.append((await client.complete("greet me", model="two-per-minute")).text)
        except RateLimitError as error:
            outcomes.append((error.status_code, error.retry_after))

    assert "ok" in outcomes
    assert outcomes[-1] == (429, None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prompt", RELAYED)
async def test_relayed_errors(client: AnyFast, told: Callable[..., Any], form: str, prompt: str) -> None:
    """What the server behind it refused has the class, the status and the delay that it had there."""
    with pytest.raises(AnyFastError) as caught:
        await ask(client, form, prompt, model="via-aimock")

    assert told(caught.value) == RELAYED[prompt]


@pytest.mark.parametrize("form", FORMS)
async def test_relayed_answer(client: AnyFast, form: str) -> None:
    """Thoughts and tool calls of the server behind it arrive."""
    thought = await ask(client, form, "think first", model="via-aimock")
    called = await ask(client, form, "what is the weather", model="via-aimock")

    functions = [call.function for call in called.tool_calls]
    assert (thought.reasoning, thought.text) == ("The capital, not the largest city.", "Bern.")
    assert [(one.name, one.arguments) for one in functions if one] == [
        ("get_weather", '{"city": "Bern"}'),
        ("get_time", '{"city": "Rome"}'),
    ]


@pytest.mark.parametrize("prompt", ["stop in the middle", "hang up"])
async def test_broken_upstream(client: AnyFast, prompt: str) -> None:
    """A server behind it that breaks off in a stream is an error, with the text before it if there was any."""
    tokens: list[str] = []

    with pytest.raises(AnyFastError) as caught:
        async with client.stream(prompt, model="via-aimock") as stream:
            async for token in stream:
                tokens.append(token)  # noqa: PERF401  # a comprehension would lose them

    assert type(caught.value) is InternalServerError
    assert "".join(tokens) == (caught.value.partial.text if caught.value.partial else "")


async def test_error_after_content(client: AnyFast) -> None:
    """LiteLLM cannot encode half of a surrogate pair and says so in the stream: told, with the text before it."""
    with pytest.raises(InternalServerError, match="UTF-8") as caught:
        await client.stream("greet me", model="via-aimock").drain()

    assert caught.value.partial is not None
    assert GREETING.startswith(caught.value.partial.text)
    assert caught.value.partial.finish_reason is None


async def test_map(client: AnyFast) -> None:
    """100 rows over one gateway at concurrency 8: all answered, in order."""
    rows = await client.map(["greet me"] * 100, concurrency=8)

    assert [(row.index, row.text) for row in rows] == [(index, GREETING) for index in range(100)]


async def test_models(client: AnyFast) -> None:
    """The list of models is read."""
    assert {"gemini-2.5-pro", "via-aimock"} <= {model.id for model in await client.models()}
