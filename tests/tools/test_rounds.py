"""Rounds of a model and its tools: what goes back, what runs at once, what ends a run."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import decimal
import json
import pickle
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    AssistantMessage,
    BadRequestError,
    Budget,
    BudgetExceeded,
    ChatRequest,
    ConfigurationError,
    DeadlineExceeded,
    Price,
    Prices,
    RequestValidationError,
    RetryPolicy,
    Timeouts,
    ToolMessage,
    ToolRoundsError,
    UserMessage,
    tool,
)
from anyfast_async._tools.content import content_of
from anyfast_async.simulator import QUIRKS, Simulator
from anyfast_async.simulator.quirks.quirk_calls import CALLS, SIGNATURE

if TYPE_CHECKING:
    from conftest import Connect, RawServers, Until


@tool
async def get_weather(city: str) -> dict[str, Any]:
    """Tell the weather."""
    return {"city": city, "celsius": 21}


@tool
def get_time(city: str) -> str:
    """Tell the time."""
    return f"12:00 in {city}"


@tool
async def fail(why: str = "") -> None:
    """Fail."""
    raise LookupError(why)


def call(name: str, number: int = 1, /, **arguments: Any) -> dict[str, Any]:
    return {"id": f"call_{number}", "name": name, "arguments": arguments}


def script(sim: Simulator, *rounds: list[dict[str, Any]], text: str = "Done.") -> None:
    """The model asks for these calls, round after round, then says *text*."""
    sim.reply(text)
    for calls in reversed(rounds):
        sim.reply("", tool_calls=calls, times=1)


def messages(sim: Simulator) -> list[dict[str, Any]]:
    """Of the last request."""
    found: list[dict[str, Any]] = sim.requests[-1].body["messages"]
    return found


def told(sim: Simulator) -> list[Any]:
    """What the tools said in the last request."""
    return [json.loads(m["content"]) for m in messages(sim) if m["role"] == "tool"]


THREE = [call("get_weather", 1, city="Paris"), call("get_time", 2, city="Rome"), call("get_weather", 3, city="Oslo")]
RESULTS = ['{"city":"Paris","celsius":21}', "12:00 in Rome", '{"city":"Oslo","celsius":21}']


# -- what goes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("via_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("quirk", [None, *(one.name for one in CALLS), "reasoning-field", "unknown-fields"])
async def test_next_request(sim: Simulator, connect: Connect, quirk: str | None, *, via_stream: bool) -> None:
    """After three parallel calls, whatever the form they came in, the next request has what the documentation demands.

    The assistant's message with all its calls, their order, ids, names, arguments and thought signature; then one
    message per call, in their order, with its id and name; then nothing. No quirk of an upstream changes that.
    """
    client = connect(sim.base_url, retry=RetryPolicy(attempts=1))
    script(sim, THREE, text="Sunny.")
    if quirk is not None:
        sim.quirk(quirk)

    run = await client.run_tools("How is it?", [get_weather, get_time], via_stream=via_stream)

    nameless = quirk == "bare-tool-calls"  # its ids are "": as they came, and the name tells them apart
    ids = [""] * 3 if nameless else ["call_1", "call_2", "call_3"]
    question, answer, *results = messages(sim)
    assert run.text == "Sunny."
    assert question == {"role": "user", "content": "How is it?"}
    assert answer["role"] == "assistant"
    assert [(one["id"], one["type"], one["function"]["name"]) for one in answer["tool_calls"]] == [
        (i, "function", one["name"]) for i, one in zip(ids, THREE, strict=True)
    ]
    sent = [one["function"]["arguments"] for one in answer["tool_calls"]]
    assert [json.loads(text) for text in sent] == [one["arguments"] for one in THREE]
    signed = {"google": {"thought_signature": SIGNATURE}} if quirk in SIGNING else None
    assert [one.get("extra_content") for one in answer["tool_calls"]] == [signed, None, None]
    assert {key for one in answer["tool_calls"] for key in one} <= {"id", "type", "function", "extra_content"}
    assert results == [
        {"role": "tool", "tool_call_id": i, "name": one["name"], "content": content}
        for i, one, content in zip(ids, THREE, RESULTS, strict=True)
    ]
    assert [request.status for request in sim.requests] == [200, 200]


SIGNING = ("thought-signature", "thought-signature-apart")


def test_every_quirk_of_calls_is_there() -> None:
    """The catalogue has no quirk about tool calls that stands elsewhere."""
    assert {name for name in QUIRKS if "tool" in name or "signature" in name or "argument" in name} == {
        one.name for one in CALLS
    }


async def test_unknown_fields_go_back(raw_server: RawServers, connect: Connect) -> None:
    """Fields that nobody documents go back where they stood: in the message, in the call, in its function."""
    function = {"name": "get_time", "arguments": '{ "city":"Rome" }', "mood": "good"}
    calls = [{"id": "c-1", "type": "function", "function": function, "extra_content": {"google": {"new": [1, None]}}}]
    first = raw_server.completion(None, tool_calls=calls, reasoning_content="Think.", signature={"v": 1})  # type: ignore[arg-type]
    server = await raw_server([first], [raw_server.completion("Noon.")])

    run = await connect(server.base_url).run_tools("When?", [get_time])

    sent = json.loads(server.requests[-1].body)["messages"][1]
    assert sent["tool_calls"] == calls
    assert (sent["signature"], sent["reasoning_content"], sent["content"]) == ({"v": 1}, "Think.", None)
    assert run.text == "Noon."


async def test_several_rounds(sim: Simulator, client: AnyFast) -> None:
    """Round after round stands in the history, and a run goes on from it."""
    script(sim, [call("get_time", 1, city="Rome")], [call("get_time", 2, city="Oslo")])

    run = await client.run_tools("When?", [get_time], system="Be brief.")

    assert [use.round for use in run.uses] == [1, 2]
    assert (run.rounds, len(run.completions), run.text) == (3, 3, "Done.")
    assert run.usage is not None
    assert run.usage.total_tokens == sum(c.usage.total_tokens for c in run.completions if c.usage)  # type: ignore[misc]
    roles = [one.role for one in run.history if not isinstance(one, dict)]  # type: ignore[union-attr]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [one["role"] for one in messages(sim)] == ["system", *roles[:-1]]
    assert [one["role"] for one in messages(sim)].count("system") == 1

    again = await client.run_tools([*run.history, UserMessage("And?")], [get_time])
    assert (again.text, again.rounds, len(again.history)) == ("Done.", 1, 8)


async def test_request_object(sim: Simulator, client: AnyFast) -> None:
    """A ``ChatRequest`` keeps its fields in every round; a choice that forces a call holds for the first alone."""
    script(sim, [call("get_time", city="Rome")])
    request = ChatRequest("When?", temperature=0.5, tool_choice="required")

    run = await client.run_tools(request, [get_time])

    assert [one.body.get("tool_choice") for one in sim.requests] == ["required", None]
    assert [one.body["temperature"] for one in sim.requests] == [0.5, 0.5]
    assert run.history[0] == UserMessage("When?")


@pytest.mark.parametrize(
    ("choice", "second"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ({"type": "function", "function": {"name": "get_time"}}, None),
    ],
)
async def test_tool_choice(sim: Simulator, client: AnyFast, choice: Any, second: Any) -> None:
    """What forces no call holds for every round."""
    script(sim, [call("get_time", city="Rome")])

    await client.run_tools("When?", [get_time], tool_choice=choice)

    assert [one.body.get("tool_choice") for one in sim.requests] == [choice, second]


async def test_functions_and_names(sim: Simulator, client: AnyFast) -> None:
    """Plain functions are tools, too; the list may be given by name; without a call there is one round."""

    def plain(city: str) -> str:
        return city

    run = await client.run_tools("Hi", tools=[plain, get_time])  # type: ignore[list-item]

    assert [one["function"]["name"] for one in sim.requests[-1].body["tools"]] == ["plain", "get_time"]
    assert (run.rounds, run.uses, len(run.history)) == (1, (), 2)
    assert (await client.run_tools("Hi", [])).rounds == 1
    assert "tools" not in sim.requests[-1].body


async def test_calls_without_a_name(raw_server: RawServers, connect: Connect) -> None:
    """A call that names nothing does not go back, so nothing answers it either."""
    good = {"id": "c-2", "type": "function", "function": {"name": "get_time", "arguments": '{"city":"Rome"}'}}
    bad = {"id": "c-1", "type": "function", "function": {"arguments": "{}"}}
    first = raw_server.completion("", tool_calls=[bad, good])
    server = await raw_server([first], [raw_server.completion("Noon.")])

    await connect(server.base_url).run_tools("When?", [get_time])

    _, answer, *results = json.loads(server.requests[-1].body)["messages"]
    assert answer["tool_calls"] == [good]
    assert [one["tool_call_id"] for one in results] == ["c-2"]


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "object"])
async def test_large_integers(raw_server: RawServers, connect: Connect, *, as_text: bool) -> None:
    """An integer beyond 64 bits reaches a tool as it was written, in JSON text and in the object that some send."""
    given = {"account": 2**64 + 1, "others": [-(2**63) - 1, 10**40 + 1]}
    function = {"name": "pay", "arguments": json.dumps(given) if as_text else given}
    first = raw_server.completion("", tool_calls=[{"id": "c-1", "type": "function", "function": function}])
    server = await raw_server([first], [raw_server.completion("Paid.")])
    seen: list[Any] = []

    @tool
    async def pay(account: int, others: list[int]) -> None:
        seen.append({"account": account, "others": others})

    await connect(server.base_url).run_tools("Pay.", [pay])

    assert seen == [given]


async def test_numbers_for_ids(raw_server: RawServers, connect: Connect) -> None:
    """An id that is a number goes back as text, in the call and in its result alike."""
    calls = [{"id": 7, "type": "function", "function": {"name": "get_time", "arguments": {"city": "Rome"}}}]
    server = await raw_server([raw_server.completion("", tool_calls=calls)], [raw_server.completion("Noon.")])

    await connect(server.base_url).run_tools("When?", [get_time])

    _, answer, result = json.loads(server.requests[-1].body)["messages"]
    assert (answer["tool_calls"][0]["id"], result["tool_call_id"]) == ("7", "7")


# -- what is said to the model ---------------------------------------------------------------------------------------


async def test_mistakes_are_told(sim: Simulator, client: AnyFast) -> None:
    """What a tool raised, arguments that do not fit and unknown names are results, each in its place; others run."""
    script(
        sim,
        [
            call("fail", 1, why="no such shop"),
            call("get_time", 2, town="Rome"),
            call("get_tim", 3, city="Rome"),
            call("get_time", 4, city="Rome"),
            {"id": "call_5", "name": "get_time", "arguments": '{"city": "Ro'},
            call("fail", 6),
        ],
    )

    run = await client.run_tools("Go", [get_time, fail])

    contents = [m["content"] for m in messages(sim) if m["role"] == "tool"]
    assert contents.pop(3) == "12:00 in Rome"
    assert [json.loads(text)["error"] for text in contents] == [
        "fail failed: LookupError: no such shop",
        "invalid arguments: town: there is no such argument; city: is missing (the arguments are city)",
        "there is no tool 'get_tim'; did you mean 'get_time'? the tools are get_time, fail",
        "invalid arguments: the arguments are no JSON; they must be one JSON object",
        "fail failed: LookupError",
    ]
    assert [use.error is None for use in run.uses] == [False, False, False, True, False, False]
    assert run.text == "Done."


async def test_own_words(sim: Simulator, client: AnyFast) -> None:
    """The words for what a tool raised can be the program's own; what it raises itself ends the run."""
    script(sim, [call("fail", why="secret")])
    seen: list[str] = []

    def words(asked: Any, error: Exception) -> str:
        seen.append(f"{asked.name} {error}")
        return "try later"

    run = await client.run_tools("Go", [fail], on_error=words)

    assert (seen, told(sim)) == (["fail secret"], [{"error": "try later"}])
    assert run.uses[0].error == "try later"

    def strict(asked: Any, error: Exception) -> str:
        raise error

    script(sim, [call("fail", 1, why="secret"), call("get_time", 2, city="Rome")])
    with pytest.raises(LookupError, match="secret") as caught:
        await client.run_tools("Go", [fail, get_time], on_error=strict)
    assert caught.value.tool_run.rounds == 1  # type: ignore[attr-defined]


@attrs.frozen
class Room:
    number: int
    prices: frozenset[decimal.Decimal]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is: ä", "as it is: ä"),
        ("", ""),
        (None, "null"),
        (3, "3"),
        (True, "true"),
        ([1, "ä"], '[1,"ä"]'),
        ({1: {"a": (2,)}}, '{"1":{"a":[2]}}'),
        (Room(3, frozenset({decimal.Decimal("1.10")})), '{"number":3,"prices":["1.10"]}'),
        (2**70, "1180591620717411303424"),
        ("\ud800", "\ud800"),
    ],
)
def test_content(value: Any, text: str) -> None:
    """A text is told as it is, anything else as JSON."""
    assert content_of(value) == text


def test_content_of_pydantic() -> None:
    """A pydantic model is told as it dumps itself."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", when=(__import__("datetime").date, ...))

    assert content_of([model(when="2026-01-02")]) == '[{"when":"2026-01-02"}]'


async def test_what_json_cannot_hold(sim: Simulator, client: AnyFast) -> None:
    """A tool that returns what JSON cannot hold has failed; the model hears what."""
    loop: list[Any] = []
    loop.append(loop)
    values = iter([object(), float("nan"), loop])
    script(sim, [call("odd", 1), call("odd", 2), call("odd", 3)])

    @tool
    def odd() -> Any:
        return next(values)

    await client.run_tools("Go", [odd], concurrency=1)

    first, second, third = (one["error"] for one in told(sim))
    assert first.startswith("odd failed: TypeError: ")
    assert "object" in first
    assert "NaN" in second
    assert "nested too deep, or contains itself" in third


# -- at once, in time ------------------------------------------------------------------------------------------------


async def test_at_once_under_a_limit(sim: Simulator, client: AnyFast) -> None:
    """Calls of one answer run at once, as many as the limit allows; results keep the order of the calls."""
    running, most = 0, 0
    go = asyncio.Event()

    @tool
    async def wait(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            go.set()
        await go.wait()
        await asyncio.sleep(0)
        running -= 1
        return number

    script(sim, [call("wait", number, number=number) for number in range(10)])

    await client.run_tools("Go", [wait], concurrency=3)

    assert most == 3
    assert told(sim) == [*range(10)]


async def test_sync_tools_run_in_threads(sim: Simulator, client: AnyFast) -> None:
    """A function that is not async does not hold up the loop, and sees the caller's context variables."""
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    word.set("hello")
    meet = threading.Barrier(2, timeout=10)

    @tool
    def slow(number: int) -> list[Any]:
        meet.wait()
        return [number, word.get(), threading.current_thread() is threading.main_thread()]

    script(sim, [call("slow", 1, number=1), call("slow", 2, number=2)])

    await client.run_tools("Go", [slow])

    assert told(sim) == [[1, "hello", False], [2, "hello", False]]


async def test_function_that_returns_a_coroutine(sim: Simulator, client: AnyFast) -> None:
    """What a decorator made of an async function may not look like one; what it returns is awaited."""

    def looks_sync(city: str) -> Any:
        return get_weather.function(city)

    script(sim, [call("looks_sync", city="Rome")])

    await client.run_tools("Go", [looks_sync])

    assert told(sim) == [{"city": "Rome", "celsius": 21}]


async def test_slow_tool(sim: Simulator, client: AnyFast) -> None:
    """A tool that does not answer within its own time is not waited for; a TimeoutError of its own is its own."""

    @tool(timeout=0.01)
    async def never() -> None:
        await asyncio.Event().wait()

    @tool(timeout=10)
    async def other() -> None:
        raise TimeoutError

    @tool
    async def cancelled() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(10))
        inner.cancel()
        await inner

    script(sim, [call("never", 1), call("other", 2), call("cancelled", 3)])

    await client.run_tools("Go", [never, other, cancelled])

    assert [one["error"] for one in told(sim)] == [
        "never did not answer within 0.01 s",
        "other failed: TimeoutError",
        "cancelled was cancelled",
    ]


async def test_cancelled(sim: Simulator, client: AnyFast) -> None:
    """Cancelling the run cancels its tools, and comes out."""
    begun, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    script(sim, [call("wait", 1), call("get_time", 2, city="Rome")])
    run = asyncio.ensure_future(client.run_tools("Go", [wait, get_time]))
    await begun.wait()
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    assert ended.is_set()
    assert len(sim.requests) == 1


# -- bounds ----------------------------------------------------------------------------------------------------------


async def test_rounds_are_bounded(sim: Simulator, client: AnyFast) -> None:
    """A model that never stops is asked so often and no more; its last calls are not run."""
    sim.reply("", tool_calls=[call("get_time", city="Rome")])

    with pytest.raises(ToolRoundsError, match=r"max_rounds=3 times and still calls tools \(get_time\)") as caught:
        await client.run_tools("Go", [get_time], max_rounds=3)

    run = caught.value.tool_run
    assert run is not None
    assert (len(sim.requests), run.rounds, len(run.uses)) == (3, 3, 2)
    assert isinstance(run.history[-1], AssistantMessage)
    assert (caught.value.billed, caught.value.kind) == ("yes", "tool_rounds")
    pickled = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    for other in (pickled, copy.copy(caught.value)):
        assert other.tool_run is not None
        assert other.tool_run.history == run.history


@pytest.mark.parametrize("name", ["wait", "get_time"])
async def test_time_is_bounded(sim: Simulator, client: AnyFast, name: str) -> None:
    """The deadline ends the run in a tool as in a request, and what there was stands in the error."""
    stopped = asyncio.Event()

    @tool
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    script(sim, [call(name, **({} if name == "wait" else {"city": "Rome"}))])
    if name == "get_time":
        sim.stall(after=0, times=None, when=lambda request: len(request["messages"]) > 1)

    with pytest.raises(DeadlineExceeded) as caught:
        await client.run_tools("Go", [wait, get_time], deadline=0.3)

    assert caught.value.tool_run is not None
    assert len(caught.value.tool_run.uses) == (0 if name == "wait" else 1)
    assert stopped.is_set() is (name == "wait")


async def test_spend_is_bounded(sim: Simulator, client: AnyFast) -> None:
    """A budget of the run ends it before the request that has no room; the client's own is not touched."""
    sim.reply("", tool_calls=[call("get_time", city="Rome")])

    with pytest.raises(ConfigurationError, match=r"AnyFast\(budget=Budget\(name=\.\.\.\)\) shares one"):
        await client.run_tools("Go", [get_time], budget=Budget(requests=2, name="march"))
    with pytest.raises(BudgetExceeded, match="the budget of 2 requests is spent") as caught:
        await client.run_tools("Go", [get_time], budget=Budget(requests=2))
    assert caught.value.tool_run is not None
    assert (caught.value.tool_run.rounds, len(caught.value.tool_run.uses)) == (2, 2)

    with pytest.raises(BudgetExceeded, match=r"the budget of 300 tokens has no room: [1-9]\d* spent, \d+ needed"):
        await client.run_tools("Go", [get_time], budget=Budget(tokens=300), max_tokens=100)
    assert len(sim.requests) > 2

    await client.complete("Go")


async def test_money_is_bounded(sim: Simulator, connect: Connect) -> None:
    """A budget in money needs a price, and ends the run."""
    client = connect(sim.base_url, prices=Prices("USD", {"gemini-2.5-pro": Price(0, 1000)}))
    sim.reply("", tool_calls=[call("get_time", city="Rome")])

    with pytest.raises(BudgetExceeded, match="USD"):
        await client.run_tools("Go", [get_time], budget=Budget(usd=0.065), max_tokens=60)
    assert sim.requests

    with pytest.raises(ConfigurationError, match="needs the price of 'other'"):
        await client.run_tools("Go", [get_time], budget=Budget(usd=0.1), model="other")


@pytest.mark.parametrize("via_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("whose", ["run", "client"])
@pytest.mark.parametrize("requests", [1, 2, 3, 5])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_failed_attempts_count(
    sim: Simulator, connect: Connect, status: int, requests: int, whose: str, *, via_stream: bool
) -> None:
    """Attempts that failed are requests of the budget, within one call too: no more go out, as for a whole client."""
    budget = Budget(requests=requests)
    client = connect(sim.base_url, budget=budget if whose == "client" else None)
    sim.reply("", tool_calls=[call("get_time", city="Rome")])
    sim.fail(status, times=3, retry_after=0)

    with pytest.raises(BudgetExceeded, match=f"the budget of {requests} requests is spent") as caught:
        await client.run_tools(
            "Go", [get_time], budget=budget if whose == "run" else None, via_stream=via_stream, max_rounds=9
        )

    assert [one.status for one in sim.requests] == ([status] * 3 + [200] * 2)[:requests]
    assert len(caught.value.attempts) == (requests if requests <= 3 else 0)
    assert client.stats().requests == requests


@pytest.mark.parametrize("limit", [{"tokens": 1500}, {"usd": 1.5}], ids=["tokens", "money"])
async def test_attempts_without_an_answer_count(sim: Simulator, connect: Connect, limit: dict[str, Any]) -> None:
    """An attempt that may have been billed and was made again counts with what was reserved for it.

    A run and a client with the same budget stop before the same request.
    """
    settings: dict[str, Any] = {
        "prices": Prices("USD", {"gemini-2.5-pro": Price(1000, 1000)}),
        "retry": RetryPolicy(backoff=(0, 0), resend_after_timeout=True, retry_ratio=1),
        "timeouts": Timeouts(response=0.2),
    }
    sim.reply("", tool_calls=[call("get_time", city="Rome")])
    asked: set[int] = set()

    def is_first(request: Mapping[str, Any]) -> bool:
        found = (number := len(request["messages"])) not in asked
        asked.add(number)
        return found

    sim.stall(after=0, times=None, when=is_first)
    for ours, its in ((Budget(**limit), None), (None, Budget(**limit))):
        asked.clear()
        with pytest.raises(BudgetExceeded, match="of it as reserved for 2 requests without usage"):
            await connect(sim.base_url, budget=its, **settings).run_tools(
                "Go", [get_time], budget=ours, max_tokens=200, max_rounds=20
            )

    assert [len(one.body["messages"]) for one in sim.requests] == [1, 1, 3, 3] * 2


async def test_both_budgets_count(sim: Simulator, connect: Connect) -> None:
    """The client's own budget bounds a run that has one: the smaller of them ends it, and both have what was used."""
    client = connect(sim.base_url, budget=Budget(requests=5))
    sim.reply("", tool_calls=[call("get_time", city="Rome")])

    with pytest.raises(BudgetExceeded, match="the budget of 3 requests"):
        await client.run_tools("Go", [get_time], budget=Budget(requests=3, tokens=10**6))
    with pytest.raises(BudgetExceeded, match="the budget of 5 requests"):
        await client.run_tools("Go", [get_time], budget=Budget(requests=3, tokens=10**6))

    assert len(sim.requests) == client.stats().requests == 5


async def test_a_cancelled_run_counts(sim: Simulator, connect: Connect, until: Until) -> None:
    """What a cancelled run had sent may be billed: the client counts it, and nothing stays reserved."""
    client = connect(sim.base_url, budget=Budget(tokens=10**6))
    sim.stall(after=0)
    run = asyncio.ensure_future(client.run_tools("Go", [get_time], budget=Budget(tokens=10**5), max_tokens=200))
    await until(lambda: len(sim.requests) == 1)
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    spending = client._shared.spending
    assert (client.stats().maybe_billed, spending.reserved, spending.assumed > 200) == (1, 0, True)


async def test_failed_request(sim: Simulator, client: AnyFast) -> None:
    """A request that fails carries what the tools had done, and nothing of it in its text."""
    script(sim, [call("get_time", city="Rome")])
    sim.fail(400, when=lambda request: len(request["messages"]) > 1)

    with pytest.raises(BadRequestError) as caught:
        await client.run_tools("a very private question", [get_time])

    run = caught.value.tool_run
    assert run is not None
    assert [use.content for use in run.uses] == ["12:00 in Rome"]
    assert isinstance(run.history[-1], ToolMessage)
    assert "private" not in str(caught.value) + repr(caught.value)


# -- bad arguments ---------------------------------------------------------------------------------------------------


def untyped(city) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return str(city)


@pytest.mark.parametrize(
    ("tools", "options", "words"),
    [
        ([get_time, get_time], {}, "two tools are called 'get_time'; give one of them another name"),
        ([untyped], {}, "the parameter city needs a type"),
        ([lambda: 1], {}, "not '<lambda>'"),
        (["get_time"], {}, "a tool must be a function, not 'get_time'"),
        ("get_time", {}, "tools must be a list of functions"),
        (get_time, {}, "tools must be a list of functions"),
        ([get_time.definition], {}, "a tool must be a function"),
        ([get_time], {"max_rounds": 0}, "max_rounds must be a whole number from 1 up, not 0"),
        ([get_time], {"max_rounds": 2.0}, "max_rounds must be a whole number"),
        ([get_time], {"concurrency": 0}, "concurrency must be a whole number"),
        ([get_time], {"deadline": 0}, "deadline must be seconds above 0 or None, not 0"),
        ([get_time], {"deadline": float("inf")}, "deadline must be seconds"),
        ([get_time], {"budget": 5}, "budget must be a Budget or None, not 5"),
        ([get_time], {"n": 2}, "n: must be 1 where tools are run"),
        ([get_time], {"tools": [get_time.definition]}, "tools: are given to run_tools itself"),
        ([get_time], {"temprature": 1}, "temprature: is no known option; did you mean"),
        ([get_time], {"temperature": 3}, "temperature: must be"),
    ],
)
async def test_bad_arguments(sim: Simulator, client: AnyFast, tools: Any, options: dict[str, Any], words: str) -> None:
    """What cannot be is said before anything is sent, with what to do."""
    with pytest.raises((ConfigurationError, RequestValidationError)) as caught:
        await client.run_tools("Go", tools, **options)

    assert words in str(caught.value)
    assert sim.requests == []


async def test_no_prompt(client: AnyFast) -> None:
    """Messages are checked as those of any call."""
    with pytest.raises(AnyFastError, match="messages: must not be empty"):
        await client.run_tools("", [get_time])
