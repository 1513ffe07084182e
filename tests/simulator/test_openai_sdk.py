"""The official SDK of another vendor understands what the simulator says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import openai
import pytest

from anyfast_async.simulator import MODELS, Simulator

from .raw_client import MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


async def test_streamed_equals_whole(client: openai.AsyncOpenAI) -> None:
    """``create`` and ``create(stream=True)`` give the same text and usage."""
    whole = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    chunks = [
        chunk async for chunk in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    ]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


async def test_models(client: openai.AsyncOpenAI) -> None:
    """The list of models is understood."""
    assert [model.id async for model in client.models.list()] == list(MODELS)


async def test_tools(client: openai.AsyncOpenAI) -> None:
    """Tool calls are understood, streamed or not."""
    whole = await client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice="required")
    assert whole.choices[0].message.tool_calls is not None
    (call,) = whole.choices[0].message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "France"}
    stream = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, tools=[TOOL], tool_choice="required", stream=True
    )
    parts = [
        part
        async for chunk in stream
        for choice in chunk.choices
        for part in choice.delta.tool_calls or ()
        if part.function is not None
    ]
    assert "".join(part.function.arguments or "" for part in parts if part.function) == call.function.arguments


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors(
    sim: Simulator,
    client: openai.AsyncOpenAI,
    status: int,
    error: type[openai.APIStatusError],
    *,
    stream: bool,
) -> None:
    """Scripted errors are the exceptions that the SDK has for them, with code and message."""
    sim.fail(status, message="A reason")
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
    assert "A reason" in caught.value.message


async def test_error_in_a_stream(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    """An error event in a stream is an APIError."""
    sim.fail(500, message="Broken", after=3)
    stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    seen = []
    with pytest.raises(openai.APIError, match="Broken"):
        async for chunk in stream:
            seen.append(chunk)  # noqa: PERF401  # what came before the error counts
    assert len(seen) == 3


async def test_retries(sim: Simulator) -> None:
    """The SDK's own retries get through scripted errors."""
    sim.fail(503, headers={"retry-after-ms": "1"}, times=2)
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key="sk-test", max_retries=2) as client:
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert [request.status for request in sim.requests] == [503, 503, 200]
