"""The public surface as types. Never executed: mypy and pyright read it, and refuse what would break a user."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, assert_type

import attrs

import anyfast_async
from anyfast_async import (
    GEMINI_MODELS,
    AnyFast,
    AnyFastError,
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AssistantMessage,
    Attempt,
    AudioPart,
    AuthenticationError,
    BadRequestError,
    Budget,
    BudgetExceeded,
    CallOptions,
    ChatCompletion,
    ChatCompletionChunk,
    ChatOptions,
    ChatRequest,
    ChatStream,
    Choice,
    ChunkChoice,
    ClientStateError,
    CompletionTokensDetails,
    ConfigurationError,
    ConflictError,
    ConnectTimeout,
    DeadlineExceeded,
    FieldError,
    FilePart,
    FirstTokenTimeout,
    FunctionCall,
    IdleTimeout,
    Image,
    ImagePart,
    IncompleteStreamError,
    InsufficientQuotaError,
    InternalServerError,
    Limits,
    MapRun,
    Model,
    ModelNotFoundError,
    NotFoundError,
    ObjectStream,
    OutputError,
    PermissionDeniedError,
    Progress,
    PromptTokensDetails,
    QueueFullError,
    RateLimitError,
    RequestFields,
    RequestValidationError,
    ResponseShapeError,
    ResponseTimeout,
    Result,
    RetryPolicy,
    Stats,
    SystemMessage,
    TextPart,
    Timeouts,
    ToolCall,
    ToolMessage,
    ToolRun,
    ToolUse,
    Trace,
    UnprocessableEntityError,
    Usage,
    UserMessage,
    VideoPart,
    tool,
)
from anyfast_async.messages import Message
from anyfast_async.simulator import Simulator


@attrs.frozen
class City:
    name: str
    people: int


@attrs.frozen
class Row:
    text: str


async def key() -> str:
    return "sk-..."


# -- building --------------------------------------------------------------------------------------------------------


def building(context: ssl.SSLContext) -> None:
    AnyFast()
    AnyFast("sk-...")
    AnyFast(Path("key"))
    AnyFast(key)
    client = AnyFast(
        api_key="sk-...",
        base_url="https://www.anyfast.ai/v1",
        model=GEMINI_MODELS[0],
        limits=Limits(concurrency=200, requests_per_minute=600, tokens_per_minute=1_000_000, max_queued=1000),
        retry=RetryPolicy(
            attempts=4,
            backoff=(1, 30),
            retry_ratio=0.2,
            throttle_patience=120,
            max_retry_after=120,
            resend_after_timeout=False,
        ),
        timeouts=Timeouts(connect=10, first_token=300, idle=120, response=600, total=None),
        budget=Budget(tokens=1_000_000, requests=1000),
        headers={"X-Team": "a"},
        proxy="env",
        ssl_context=context,
        allow_http=("gateway.internal",),
    )
    other = client.with_options(
        api_key="sk-...", base_url="http://127.0.0.1:1", model="m", retry=RetryPolicy(), timeouts=30, headers={"X": "y"}
    )
    assert_type(other, AnyFast)
    assert_type(client.stats(), Stats)
    models: tuple[str, ...] = GEMINI_MODELS
    print(models)  # noqa: T201
    assert_type(anyfast_async.__version__, str)


async def living() -> None:
    async with AnyFast(model="gemini-2.5-pro") as client:
        assert_type(client, AnyFast)
        await client.aclose(grace=5)
        assert_type(await client.models(), list[Model])


# -- await -----------------------------------------------------------------------------------------------------------


async def awaiting(client: AnyFast, history: list[UserMessage | AssistantMessage]) -> None:
    completion = await client.complete("Hello!", max_tokens=200)
    assert_type(completion, ChatCompletion)
    assert_type(completion.text, str)
    assert_type(completion.reasoning, str)
    assert_type(completion.images, tuple[Image, ...])
    assert_type(completion.tool_calls, tuple[ToolCall, ...])
    assert_type(completion.choices, tuple[Choice, ...])
    assert_type(completion.choices[0].finish_reason, str | None)
    assert_type(completion.choices[0].message, AssistantMessage | None)
    assert_type(completion.message, AssistantMessage)
    assert_type(completion.usage, Usage | None)
    assert_type(completion.trace, Trace | None)
    assert_type(completion.request_id, str | None)
    assert_type(completion.parse(City), City)
    if completion.usage is not None:
        assert_type(completion.usage.total_tokens, int | None)
        assert_type(completion.usage.prompt_tokens_details, PromptTokensDetails | None)
        assert_type(completion.usage.completion_tokens_details, CompletionTokensDetails | None)
    if completion.trace is not None:
        assert_type(completion.trace.attempts, tuple[Attempt, ...])
        assert_type(completion.trace.first_token, float | None)
    for call in completion.tool_calls:
        assert_type(call.name, str)
        assert_type(call.arguments, str)
        assert_type(call.function, FunctionCall | None)

    history.append(completion.message)
    await client.complete(history)
    await client.complete([{"role": "user", "content": "a plain dict"}])
    await client.complete({"role": "user", "content": "one message"})
    await client.complete([SystemMessage("s"), UserMessage(["u", TextPart("t")]), ToolMessage("r", "call-1")])
    await client.complete(
        UserMessage(
            [
                ImagePart("https://example.org/a.png", detail="low"),
                AudioPart("AAAA", "wav"),
                FilePart("a.pdf", "data:application/pdf;base64,AAAA"),
                VideoPart("https://example.org/a.mp4", fps=1.0),
                {"type": "text", "text": "raw"},
            ],
        ),
    )
    request = ChatRequest("Hi", model="gemini-2.5-flash", temperature=0.5)
    await client.complete(request, top_p=0.9)
    await client.complete(
        "Hi",
        model="m",
        max_tokens=1,
        max_completion_tokens=1,
        temperature=0.1,
        top_p=0.1,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        stop=["."],
        n=1,
        response_format={"type": "json_object"},
        tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice="auto",
        parallel_tool_calls=True,
        user="me",
        reasoning_effort="low",
        stream_options={"include_usage": True},
        seed=1,
        logprobs=True,
        top_logprobs=3,
        system="Be brief.",
        timeout=30,
        via_stream=True,
        extra_body={"google": {}},
        extra_headers={"X": "y"},
    )
    await client.complete("Hi", timeout=Timeouts(first_token=5), temperature=None)
    assert_type(await client.parse("Capital of France?", City), City)


# -- stream ----------------------------------------------------------------------------------------------------------


async def streaming(client: AnyFast) -> None:
    async with client.stream("Tell me a story") as stream:
        async for token in stream:
            assert_type(token, str)
        assert_type(stream.completion, ChatCompletion)
    async with client.stream("Hi", n=2, accept_missing_finish=True) as stream:
        async for chunk in stream.chunks():
            assert_type(chunk, ChatCompletionChunk)
            assert_type(chunk.text, str)
            assert_type(chunk.choices, tuple[ChunkChoice, ...])
    async with client.stream("Hi") as stream:
        async for data in stream.sse():
            assert_type(data, bytes)
    awaited: ChatStream = await client.stream("Hi")
    async with client.stream("Paris?", into=City, max_tokens=100) as city:
        async for partial in city:
            assert partial.name != "London"
        assert_type(city.value, City)
        assert_type(city.completion, ChatCompletion)
    objects: ObjectStream[list[City]] = client.stream("Paris?", into=list[City])
    assert_type(await objects.drain(), list[City])
    assert_type(await client.parse("Paris?", City, repair=1), City)
    assert_type(await awaited.drain(), ChatCompletion)
    await awaited.aclose()


# -- map -------------------------------------------------------------------------------------------------------------


def endless() -> Iterator[Row]:
    while True:
        yield Row("x")


async def pages() -> AsyncIterator[str]:
    yield "x"


def report(progress: Progress) -> None:
    assert_type(progress.done, int)
    assert_type(progress.total, int | None)
    assert_type(progress.rate, float)


async def mapping(client: AnyFast) -> None:
    for result in await client.map(["a", "b", "c"]):
        assert_type(result.index, int)
        assert_type(result.ok, bool)
        assert_type(result.text, str)
        assert_type(result.completion, ChatCompletion | None)
        assert_type(result.error, AnyFastError | None)
        assert_type(result.attempts, tuple[Attempt, ...])
        assert_type(result.unwrap(), ChatCompletion)
        assert_type(result.row(), dict[str, Any])
    cities = await client.map(["Paris"], into=City)
    assert_type(cities, list[Result[City]])
    assert_type(cities[0].value, City | None)
    run: MapRun[City] = client.map(
        endless(), request=lambda row: f"Translate: {row.text}", into=City, concurrency=64, ordered=True
    )
    async with run as results:
        async for one in results:
            assert_type(one, Result[City])
    await client.map(pages(), progress=report, stop_on=("auth",), max_tokens=5)
    await client.map(pages(), id="sku", deadline=60, give_up_after=5.5, journal="a", retry=["cut"], changed=True)
    await client.map(pages(), id=len, retry="all", journal="a")


# -- errors ----------------------------------------------------------------------------------------------------------


def statuses(error: BadRequestError | AuthenticationError | PermissionDeniedError | NotFoundError) -> None:
    assert_type(error.status_code, int)
    assert_type(error.retry_after, float | None)


def other_statuses(error: ConflictError | UnprocessableEntityError | RateLimitError | InternalServerError) -> None:
    status: APIStatusError = error
    assert_type(status.message, str)


def by_code(error: InsufficientQuotaError | ModelNotFoundError) -> None:
    said: APIError = error
    assert_type(said.code, str | int | None)
    assert_type(said.type, str | None)
    assert_type(said.param, str | None)


def clocks(error: ConnectTimeout | FirstTokenTimeout | IdleTimeout | ResponseTimeout | DeadlineExceeded) -> None:
    ours: APITimeoutError = error
    builtin: TimeoutError = ours
    connection: APIConnectionError = ours
    assert_type(connection.phase, Literal["unsent", "stale", "sent", "answering"])
    print(builtin)  # noqa: T201


def before_sending(error: ConfigurationError | RequestValidationError | OutputError) -> None:
    builtin: ValueError = error
    if isinstance(error, RequestValidationError):
        assert_type(error.errors, tuple[FieldError, ...])
        assert_type(error.errors[0].path, str)
    elif isinstance(error, OutputError):
        assert_type(error.completion, ChatCompletion | None)
    print(builtin)  # noqa: T201


def state(error: ClientStateError) -> None:
    builtin: RuntimeError = error
    print(builtin)  # noqa: T201


async def failing(client: AnyFast) -> None:
    try:
        await client.complete("Hi")
    except IncompleteStreamError as error:
        assert_type(error.reason, Literal["cut", "no_finish", "empty"])
        assert_type(error.partial, ChatCompletion | None)
    except (QueueFullError, BudgetExceeded, ResponseShapeError):
        pass
    except AnyFastError as error:
        assert_type(error.kind, str)
        assert_type(error.retryable, bool)
        assert_type(error.billed, Literal["no", "maybe", "yes"])
        assert_type(error.attempts, tuple[Attempt, ...])
        assert_type(error.request_id, str | None)


# -- tools -----------------------------------------------------------------------------------------------------------


@tool
async def get_weather(city: str, days: int = 1) -> dict[str, int]:
    return {city: days}


@tool(name="clock", timeout=5)
def get_time(city: str) -> str:
    return city


async def tools(client: AnyFast) -> None:
    assert_type(await get_weather("Rome", days=2), dict[str, int])
    assert_type(get_time("Rome"), str)
    run = await client.run_tools("How is it?", [get_weather, get_time, len], max_rounds=3, temperature=0.5)
    assert_type(run, ToolRun)
    assert_type(run.uses, tuple[ToolUse, ...])
    assert_type(run.text, str)
    again: list[Message] = [*run.history, UserMessage("And?")]
    await client.run_tools(again, [tool(get_time, name="other")], budget=Budget(tokens=5))
    await get_weather(5)  # type: ignore[arg-type]


# -- options, and what users write around them -----------------------------------------------------------------------


def options() -> None:
    fields: RequestFields = {"temperature": 0.5, "stop": "."}
    call: CallOptions = {"system": "s", "timeout": 5.0}
    both: ChatOptions = {"max_tokens": 5, "via_stream": True}
    print(fields, call, both)  # noqa: T201


async def simulating() -> None:
    async with (
        Simulator(strict=True) as sim,
        AnyFast("sk-test", base_url=sim.base_url, model="gemini-2.5-pro") as client,
    ):
        sim.reply("Paris", when="capital")
        sim.fail(429, retry_after=2, times=3)
        sim.cut(after=3)
        sim.stall(after=1)
        await client.complete("capital")
        assert_type(sim.peak_in_flight, int)
        body: Mapping[str, Any] = sim.requests[0].body
        print(body)  # noqa: T201
    with Simulator.in_thread() as threaded:
        assert_type(threaded.base_url, str)
