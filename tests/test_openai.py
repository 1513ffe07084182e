"""The door for programs that move over: ten programs that run alike, and the translation piece by piece."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import io
import json
import pickle
import runpy
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import attrs
import openai
import pydantic
import pytest

from anyfast_async import AnyFastError, ConfigurationError, IncompleteStreamError, Limits, OutputError, errors
from anyfast_async import openai as door
from anyfast_async._call.endpoint import CHAT
from anyfast_async.openai import _client, _resources
from anyfast_async.openai._base import BaseModel
from anyfast_async.openai._http import Headers, HTTPResponse, Request
from anyfast_async.simulator import Simulator

PROGRAMS = Path(__file__).parent / "door" / "programs"
KEY = "sk-test-0123456789-abcdefgh"
QUESTION: dict[str, Any] = {
    "model": "gemini-2.5-flash",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}]


# -- ten programs ----------------------------------------------------------------------------------------------------


def _tools(sim: Simulator) -> None:
    sim.reply("21 degrees in Paris, 18 in Rome.", when=lambda body: body["messages"][-1]["role"] == "tool")
    calls = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]
    sim.reply("Let me look.", tool_calls=calls, when=lambda body: body["messages"][-1]["role"] == "user")


def _failures(sim: Simulator) -> None:
    for status in (400, 401, 403, 404, 409, 422, 500, 502):
        sim.fail(status, message=f"Reason {status}", headers={"x-extra": "1"})
    sim.fail(429, retry_after=0)
    sim.fail(429, code="insufficient_quota")
    sim.fail(503, body="<html><title>Bad gateway</title></html>")
    sim.fail(500, message="Broken upstream", after=2)
    sim.stall()


def _raw_response(sim: Simulator) -> None:
    def once_asked(body: Any) -> bool:
        return not body.get("stream") and len(sim.requests) == 4

    sim.fail(404, message="Gone", headers={"x-extra": "yes"}, when=once_asked)
    sim.fail(503, headers={"retry-after-ms": "1"}, when=lambda body: len(sim.requests) == 5)


def _with_options(sim: Simulator) -> None:
    sim.fail(503, headers={"retry-after-ms": "1"}, times=2)
    sim.fail(429, headers={"retry-after-ms": "1"}, when=lambda body: len(sim.requests) == 4)


SCRIPTS: dict[str, Callable[[Simulator], None]] = {
    "tools": _tools,
    "failures": _failures,
    "raw_response": _raw_response,
    "with_options": _with_options,
}


@attrs.frozen
class Run:
    """What a program printed, and what it sent."""

    out: str
    sent: list[tuple[str, str, Any, dict[str, str]]]


def _sent(sim: Simulator) -> list[tuple[str, str, Any, dict[str, str]]]:
    """Return method, path with query, body and the program's own headers of every request.

    Streams ask for usage here unless told otherwise, which the vendor SDK does not; this gateway sends it anyway. And
    None is not sent here, which there becomes null.
    """
    found = []
    for request in sim.requests:
        body = request.body
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if name != "stream_options" and value is not None}
        own = {name.lower(): value for name, value in request.headers.items() if name.lower() in OWN_HEADERS}
        found.append((request.method, request.path, body, own))
    return found


OWN_HEADERS = ("authorization", "x-team", "x-stage", "x-only")


def _run(program: str, module: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Run:
    source = (PROGRAMS / f"{program}.py").read_text(encoding="utf-8")
    changed = source.replace("\nfrom openai import", f"\nfrom {module} import")
    assert sum(a != b for a, b in zip(source.splitlines(), changed.splitlines(), strict=True)) <= 1
    path = folder / f"{program}.py"
    path.write_text(changed, encoding="utf-8")
    with Simulator.in_thread(api_keys=[KEY]) as sim:
        if script := SCRIPTS.get(program):
            script(sim)
        monkeypatch.setenv("ANYFAST_BASE_URL", sim.base_url)
        monkeypatch.setenv("ANYFAST_API_KEY", KEY)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            runpy.run_path(str(path), run_name="__main__")
        return Run(out.getvalue().replace(f":{sim.port}", ":PORT"), _sent(sim))


def test_there_are_ten_programs() -> None:
    """Ten programs in the style of the vendor's guides are run, all of those in the folder."""
    assert len(list(PROGRAMS.glob("*.py"))) == 10


@pytest.mark.parametrize("program", sorted(path.stem for path in PROGRAMS.glob("*.py")))
def test_program(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program prints the same, byte for byte, and sends the same, when only its import line is changed."""
    theirs = _run(program, "openai", monkeypatch, tmp_path)
    ours = _run(program, "anyfast_async.openai", monkeypatch, tmp_path)
    assert theirs.out == ours.out
    # Requests that are made at once may arrive in any order.
    in_order = functools.partial(sorted, key=lambda one: json.dumps(one, sort_keys=True))
    assert in_order(theirs.sent) == in_order(ours.sent)
    assert len(theirs.out.splitlines()) > 1


# -- clients ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as sim:
        yield sim


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[door.AsyncOpenAI]:
    async with door.AsyncOpenAI(base_url=sim.base_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def theirs(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key=KEY, max_retries=0) as client:
        yield client


def test_key_comes_from_our_variable_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_API_KEY and OPENAI_BASE_URL are not read; the error says to set ANYFAST_API_KEY, and is an OpenAIError."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-vendor-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://example.com/v1")
    with pytest.raises(ConfigurationError, match=r"set ANYFAST_API_KEY.*OPENAI_API_KEY is not read") as caught:
        door.AsyncOpenAI()
    assert isinstance(caught.value, door.OpenAIError)
    assert "another-vendor" not in str(caught.value)
    monkeypatch.setenv("ANYFAST_API_KEY", KEY)
    assert door.AsyncOpenAI().base_url == "https://www.anyfast.ai/v1/"


@pytest.mark.parametrize(
    "arguments",
    [
        {"organization": "org"},
        {"project": "p"},
        {"http_client": object()},
        {"webhook_secret": "s"},
        {"workload_identity": {}},
        {"_strict_response_validation": True},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_other_arguments_are_refused_with_advice(arguments: dict[str, Any]) -> None:
    """An argument of the vendor SDK that has no meaning here says what to do; None is taken."""
    (name,) = arguments
    with pytest.raises(door.NotSupportedError, match=rf"{name}= is not supported: \w+ \w+"):
        door.AsyncOpenAI(api_key=KEY, **arguments)
    absent: dict[str, Any] = {name: None}
    assert door.AsyncOpenAI(api_key=KEY, **absent).max_retries == 2


def test_wrong_arguments() -> None:
    """What no client takes is a TypeError or ConfigurationError that names it."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        door.AsyncOpenAI(api_key=KEY, nonsense=1)
    with pytest.raises(TypeError, match="max_retries cannot be None"):
        door.AsyncOpenAI(api_key=KEY, max_retries=None)  # type: ignore[arg-type]
    with pytest.raises(door.ConfigurationError, match="max_retries"):
        door.AsyncOpenAI(api_key=KEY, max_retries=-1)
    with pytest.raises(door.ConfigurationError, match="use api_key"):
        door.AsyncOpenAI(api_key=KEY, default_headers={"Authorization": "x"})
    with pytest.raises(door.ConfigurationError, match="timeout must be seconds"):
        door.AsyncOpenAI(api_key=KEY, timeout="5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mutually exclusive"):
        door.AsyncOpenAI(api_key=KEY).copy(default_headers={}, set_default_headers={})


def _missing_parts() -> list[str]:
    """Return the resources of the vendor SDK's client, but for those that are here."""
    parts = {name for name, part in vars(openai.AsyncOpenAI).items() if isinstance(part, functools.cached_property)}
    return sorted(parts - set(dir(door.AsyncOpenAI)))


def test_other_parts_say_what_to_use_instead() -> None:
    """Every resource of the vendor SDK that is not here fails with a NotSupportedError that gives advice."""
    client = door.AsyncOpenAI(api_key=KEY)
    missing = _missing_parts()
    assert {"embeddings", "files", "responses", "batches"} <= set(missing)
    for name in missing:
        with pytest.raises(door.NotSupportedError, match=rf"client.{name} is not supported: \w+"):
            getattr(client, name)
    for path in ("chat.completions.with_streaming_response", "chat.completions.list", "models.retrieve"):
        with pytest.raises(door.NotSupportedError, match=path):
            _at(client, path)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = client.nonsense
    assert not hasattr(client.beta, "assistants")


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("name", ["OpenAI", "AsyncAzureOpenAI", "DefaultAsyncHttpxClient", "pydantic_function_tool"])
def test_other_names_say_what_to_use_instead(name: str) -> None:
    """Importing another name of the vendor SDK fails with advice; any other name fails as always."""
    with pytest.raises(ImportError, match=f"has no {name}: "):
        exec(f"from anyfast_async.openai import {name}")  # noqa: S102 - the statement is what is tested
    with pytest.raises(AttributeError, match="nonsense"):
        _ = door.nonsense


def test_sentinels_and_timeouts() -> None:
    """A number is the clock for silence and connecting, a Timeout names them; no clock limits a whole call."""
    made = door.AsyncOpenAI(api_key=KEY, base_url="https://example.com", timeout=door.NOT_GIVEN, max_retries=4)
    clocks = _timeouts(made)
    assert (clocks.connect, clocks.first_token, clocks.idle, clocks.response, clocks.total) == (5, 600, 600, 600, None)
    clocks = _timeouts(made.with_options(timeout=7))
    assert (clocks.connect, clocks.first_token, clocks.idle, clocks.response, clocks.total) == (7, 7, 7, 7, None)
    clocks = _timeouts(made.with_options(timeout=openai.Timeout(20, connect=None)))
    assert (clocks.connect, clocks.first_token, clocks.idle, clocks.response) == (None, 20, 20, 20)
    clocks = _timeouts(made.with_options(timeout=None))
    assert (clocks.connect, clocks.response) == (None, None)
    assert attrs.astuple(door.Timeout(9, read=3)) == (9, 9, 3, 9, 9)
    assert made._caller.line(CHAT, {}).calls.setup.retry.attempts == 5
    assert bool(door.NOT_GIVEN) is bool(door.omit) is False
    assert repr(door.not_given) == "NOT_GIVEN"


def _timeouts(client: door.AsyncOpenAI) -> Any:
    return client._caller.line(CHAT, {}).calls.setup.timeouts


async def test_copies_share_connections(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """Copies use the same connection; closing one closes all, as in the vendor SDK."""
    await client.chat.completions.create(**QUESTION)
    copy = client.with_options(timeout=5)
    await copy.chat.completions.create(**QUESTION)
    assert sim.connections == 1
    assert repr(copy) == f"AsyncOpenAI(base_url='{sim.base_url}/', max_retries=0)"
    await copy.close()
    assert client.is_closed()
    with pytest.raises(door.APIConnectionError, match="closed"):
        await client.chat.completions.create(**QUESTION)


async def test_limits_hold_over_all_calls(sim: Simulator) -> None:
    """Calls with options of their own and copies share what the limits count by key and model."""
    limits = Limits(requests_per_minute=2)
    async with door.AsyncOpenAI(base_url=sim.base_url, api_key=KEY, limits=limits) as client:
        await client.chat.completions.create(**QUESTION, extra_headers={"X-B": "3"}, timeout=9)
        await client.with_options(timeout=8, max_retries=1).chat.completions.create(**QUESTION)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.chat.completions.create(**QUESTION)
        assert len(sim.requests) == 2
        other = client.with_options(api_key=KEY + "-other", base_url=sim.base_url)
        await other.chat.completions.create(**QUESTION)
    assert sim.requests[2].headers["Authorization"] == f"Bearer {KEY}-other"


async def test_step_over_to_the_client_underneath(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """``client.anyfast`` is the AnyFast that the calls go through."""
    sim.reply("Paris")
    results: list[Any] = await client.anyfast.map(["a", "b"], model="gemini-2.5-pro")
    assert [result.text for result in results] == ["Paris", "Paris"]


def test_unclosed_client_says_nothing(tmp_path: Path) -> None:
    """A program that never closes its client, as the vendor's guides do it, ends without a word on stderr."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import asyncio, sys
            from anyfast_async.openai import AsyncOpenAI

            client = AsyncOpenAI(api_key="sk-test-0123456789", base_url=sys.argv[1])

            async def main():
                await client.models.list()
                await AsyncOpenAI(api_key="sk-test-0123456789", base_url=sys.argv[1]).models.list()

            asyncio.run(main())
        """),
        encoding="utf-8",
    )
    with Simulator.in_thread() as sim:
        done = subprocess.run(
            [sys.executable, str(program), sim.base_url], capture_output=True, text=True, timeout=30, check=True
        )
    assert (done.stdout, done.stderr) == ("", "")


async def test_stream_outlives_its_client(sim: Simulator) -> None:
    """A stream holds the connections: the client that made it may be forgotten."""
    sim.reply(chunks=["a", "b", "c"])

    async def opened() -> Any:
        forgotten = door.AsyncOpenAI(base_url=sim.base_url, api_key=KEY)
        return await forgotten.chat.completions.create(**QUESTION, stream=True)

    stream = await opened()
    gc.collect()
    assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == "abc"
    await stream.close()
    await door.AsyncOpenAI.close(_owner(stream))


def _owner(stream: Any) -> Any:
    """Return something that closes the connections that *stream* used."""
    owner = object.__new__(door.AsyncOpenAI)
    owner.__dict__["_caller"] = type("Owner", (), {"lifetime": stream._lifetime})
    return owner


# -- requests --------------------------------------------------------------------------------------------------------


async def test_arguments_go_out_as_they_would(
    sim: Simulator, client: door.AsyncOpenAI, theirs: openai.AsyncOpenAI
) -> None:
    """Every argument of the vendor SDK makes the same body here as there; sentinels are not sent."""
    arguments: dict[str, Any] = {
        **QUESTION,
        "frequency_penalty": 0.5,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "max_completion_tokens": 9,
        "metadata": {"a": "b"},
        "modalities": ["text"],
        "n": 1,
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "x"},
        "presence_penalty": 0.1,
        "reasoning_effort": "low",
        "seed": 3,
        "service_tier": "auto",
        "stop": ["x"],
        "store": False,
        "tool_choice": "auto",
        "tools": iter(TOOLS),
        "top_logprobs": 2,
        "top_p": 0.9,
        "user": "u",
        "verbosity": "low",
        "extra_body": {"top_k": 4, "verbosity": "high"},
    }
    await theirs.chat.completions.create(**arguments | {"temperature": openai.NOT_GIVEN, "audio": openai.omit})
    arguments["tools"] = iter(TOOLS)
    await client.chat.completions.create(**arguments | {"temperature": door.NOT_GIVEN, "audio": door.omit})
    wanted, got = (request.body for request in sim.requests)
    assert wanted == got


async def test_headers_and_query(sim: Simulator, client: door.AsyncOpenAI, theirs: openai.AsyncOpenAI) -> None:
    """Headers compare in any case, omit takes one away, and the query is written as in the vendor SDK."""
    for each, gone in ((client, door.omit), (theirs, openai.omit)):
        made: Any = each.with_options(default_headers={"X-A": "1", "X-B": "2"}, default_query={"q": True, "l": [1, 2]})
        await made.chat.completions.create(
            **QUESTION, extra_headers={"X-A": "3", "X-B": gone}, extra_query={"d": {"k": None, "m": "n"}}
        )
    got, wanted = sim.requests
    assert got.headers["X-A"] == wanted.headers["X-A"] == "3"
    assert "X-B" not in got.headers
    assert unquote(got.path) == unquote(wanted.path) == "/v1/chat/completions?q=true&l[]=1&l[]=2&d[m]=n"
    await client.with_options(default_headers={"X-A": "1"}).models.list(extra_headers={"x-a": "2"})
    assert sim.requests[2].headers["X-A"] == "2"


async def test_unknown_argument(client: door.AsyncOpenAI) -> None:
    """An argument that there is not is a TypeError, like a missing one."""
    with pytest.raises(TypeError, match="'top_k'; to send other fields use extra_body"):
        await client.chat.completions.create(**QUESTION | {"top_k": 4})
    with pytest.raises(TypeError, match="messages"):
        await client.chat.completions.create(model="m")  # type: ignore[call-overload]


async def test_refused_request_is_a_bad_request(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """What this library refuses to send is a BadRequestError with 400 and the field, and nothing is sent."""
    with pytest.raises(door.BadRequestError, match=r"temperature.*nothing was sent") as caught:
        await client.chat.completions.create(**QUESTION, temperature=3)
    error = caught.value
    assert (error.status_code, error.param, error.type, error.code) == (
        400,
        "temperature",
        "invalid_request_error",
        None,
    )
    assert error.response.json() == {"error": error.body}
    assert isinstance(error.__cause__, errors.RequestValidationError)
    assert sim.requests == []


# -- answers ---------------------------------------------------------------------------------------------------------

NASTY: dict[str, Any] = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "service_tier": None,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": None,
                "audio": {"id": "a", "data": "", "expires_at": 1, "transcript": "t"},
                "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "é\u2028"}}],
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}},
                    {"id": "2", "type": "custom", "custom": {"name": "c", "input": "i"}},
                ],
                "thought": {"signature": "s"},
            },
            "logprobs": {"content": [{"token": "t", "logprob": -1e-5, "bytes": None, "top_logprobs": []}]},
        },
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5},
    "new": [1, {"a": 2}],
}


async def test_answers_look_alike(sim: Simulator, client: door.AsyncOpenAI, theirs: openai.AsyncOpenAI) -> None:
    """Attributes, repr and every dump of a completion with unknown and missing fields are those of the vendor SDK."""
    sim.fail(200, body=NASTY, times=2)
    got, wanted = await client.chat.completions.create(**QUESTION), await theirs.chat.completions.create(**QUESTION)
    assert repr(wanted) == repr(got) == str(got)
    assert wanted.model_dump() == got.model_dump()
    assert wanted.model_dump_json() == got.model_dump_json()
    assert wanted.model_dump_json(indent=2) == got.model_dump_json(indent=2)
    assert wanted.to_json() == got.to_json()
    assert wanted.to_dict() == got.to_dict()
    assert wanted.model_extra == got.model_extra
    assert wanted.model_fields_set == got.model_fields_set
    assert wanted.choices[0].message.model_extra == got.choices[0].message.model_extra
    for options in ({"exclude_none": True}, {"exclude_unset": True}, {"exclude_defaults": True}):
        assert wanted.model_dump(**options) == got.model_dump(**options)
    choices: dict[Any, Any] = {"choices": {0: {"message": {"content"}}}, "id": True}
    everywhere: dict[Any, Any] = {"choices": {"__all__": {"message": ..., "logprobs": True}}}
    for selection in ({"id", "usage"}, choices, everywhere):
        assert wanted.model_dump(include=selection) == got.model_dump(include=selection)
        assert wanted.model_dump(exclude=selection) == got.model_dump(exclude=selection)


async def test_what_is_nested_deeply_is_dumped(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """An upstream decides how deep its fields go: whatever is read as JSON is dumped, and the end of a stream too."""
    text = '{"x":[' * 500 + "5" + "]}" * 500
    body = f'{{"choices": [{{"index": 0, "message": {{"content": "a"}}, "finish_reason": "stop", "new": {text}}}]}}'
    sim.fail(200, body=body, times=2)
    got = await client.chat.completions.create(**QUESTION)
    async with client.chat.completions.stream(**QUESTION) as events:
        end = await events.get_final_completion()
    for found in (got, end):
        value: Any = found.to_dict(mode="json")
        value = value["choices"][0]["new"]
        for _ in range(500):
            (value,) = value["x"]
        assert 5 == value


def test_objects_are_values() -> None:
    """They compare by value, pickle and copy, take assignments, and give every field by iteration."""
    one, other = door.BaseModel(a=1), BaseModel(a=1)
    assert one == other != BaseModel(a=2)
    assert one.__eq__(1) is NotImplemented
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - made here
    changed = one.model_copy(update={"b": 2})
    assert (dict(one), dict(changed)) == ({"a": 1}, {"a": 1, "b": 2})
    assert BaseModel.model_construct(a=1) == one.model_copy(deep=True)
    with pytest.raises(AttributeError, match="'BaseModel' object has no attribute 'c'"):
        _ = one.c


async def test_request_id(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """The top object has the gateway's request id; no other object has one."""
    completion = await client.chat.completions.create(**QUESTION)
    assert completion._request_id
    assert completion.id.endswith(completion._request_id)
    with pytest.raises(AttributeError):
        _ = completion.choices[0]._request_id
    sim.fail(429, headers={"x-request-id": "req_1"})
    with pytest.raises(door.RateLimitError) as caught:
        await client.chat.completions.create(**QUESTION)
    assert caught.value.request_id == "req_1"


async def test_message_goes_back_as_it_came(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """An answer's message in the history is sent with its unknown fields, without what was parsed."""
    sim.fail(200, body=NASTY)
    message = (await client.chat.completions.create(**QUESTION)).choices[0].message
    await client.beta.chat.completions.create(model=QUESTION["model"], messages=[*QUESTION["messages"], message])
    assert sim.requests[1].body["messages"][1] == NASTY["choices"][0]["message"]


# -- structured output -----------------------------------------------------------------------------------------------


@attrs.frozen
class AttrsCity:
    name: str
    inhabitants: int


class Mayor(pydantic.BaseModel):
    name: str
    deputy: Mayor | None = None


class Place(pydantic.BaseModel):
    country: str = "France"
    population: int | None = None


class PydanticCity(pydantic.BaseModel):
    name: str
    place: Place
    mayor: Mayor


async def test_parse_attrs(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """``parse`` asks for the class's schema and gives its instance; a misfit names the place."""
    sim.reply(json={"name": "Paris", "inhabitants": 2})
    completion = await client.chat.completions.parse(**QUESTION, response_format=AttrsCity)
    assert completion.choices[0].message.parsed == AttrsCity("Paris", 2)
    assert completion._request_id
    assert completion.model_dump(mode="json")["choices"][0]["message"]["parsed"] == {"name": "Paris", "inhabitants": 2}
    wanted = sim.requests[0].body["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"], sorted(wanted["schema"]["properties"])) == (
        "AttrsCity",
        True,
        ["inhabitants", "name"],
    )
    sim.reply(json={"name": "Paris", "inhabitants": "many"})
    with pytest.raises(OutputError, match="inhabitants"):
        await client.chat.completions.parse(**QUESTION, response_format=AttrsCity)


async def test_parse_pydantic(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """A pydantic class makes its schema and reads its JSON itself; references are resolved but for recursion."""
    city = PydanticCity(name="Paris", place=Place(population=None), mayor=Mayor(name="A", deputy=Mayor(name="B")))
    sim.reply(json=city.model_dump())
    completion = await client.chat.completions.parse(**QUESTION, response_format=PydanticCity)
    assert completion.choices[0].message.parsed == city
    schema = sim.requests[0].body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["name", "place", "mayor"]
    place = schema["properties"]["place"]
    assert (place["type"], place["additionalProperties"], place["required"]) == (
        "object",
        False,
        ["country", "population"],
    )
    assert schema["properties"]["mayor"] == {"$ref": "#/$defs/Mayor"}
    assert schema["$defs"]["Mayor"]["properties"]["deputy"]["anyOf"][0] == {"$ref": "#/$defs/Mayor"}
    assert schema["$defs"]["Mayor"]["additionalProperties"] is False
    sim.reply(json={"name": 1})
    with pytest.raises(pydantic.ValidationError):
        await client.chat.completions.parse(**QUESTION, response_format=PydanticCity)


async def test_parse_by_the_rule(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """JSON between words is read by the one rule for it; a list of models is asked for as an object."""
    sim.reply('Sure:\n```json\n{"name": "A", // him\n}\n```')
    completion = await client.chat.completions.parse(**QUESTION, response_format=Mayor)
    assert completion.choices[0].message.parsed == Mayor(name="A")
    async with client.chat.completions.stream(**QUESTION, response_format=Mayor) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Mayor(name="A")
    sim.reply('{"name": "A"} or {"name": "B"}')
    with pytest.raises(pydantic.ValidationError):
        await client.chat.completions.parse(**QUESTION, response_format=Mayor)
    sim.reply(json={"value": [{"name": "A"}, {"name": "B", "deputy": {"name": "C"}}]})
    completion = await client.chat.completions.parse(**QUESTION, response_format=list[Mayor])
    assert completion.choices[0].message.parsed == [Mayor(name="A"), Mayor(name="B", deputy=Mayor(name="C"))]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("length", door.LengthFinishReasonError), ("content_filter", door.ContentFilterFinishReasonError)],
)
async def test_cut_answers_are_not_parsed(
    sim: Simulator, client: door.AsyncOpenAI, reason: str, kind: type[door.OpenAIError]
) -> None:
    """An answer cut by length or filter raises the vendor SDK's exception, streamed or not, and that pickles."""
    sim.reply('{"name": "Par', finish_reason=reason)
    with pytest.raises(kind) as caught:
        await client.chat.completions.parse(**QUESTION, response_format=AttrsCity)
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made here
    assert copy.completion.choices[0].message.content == '{"name": "Par'
    with pytest.raises(kind):
        async with client.chat.completions.stream(**QUESTION, response_format=AttrsCity) as stream:
            await stream.until_done()


async def test_strict_tools_are_decoded(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """Arguments of strict functions are decoded by ``parse``; if they are no JSON, an OutputError says so."""
    sim.reply(tool_calls=[("f", {"a": 1}), ("g", {"a": 1})])
    completion = await client.chat.completions.with_raw_response.parse(**QUESTION, tools=TOOLS)
    calls = completion.parse().choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [{"a": 1}, None]
    sim.reply(tool_calls=[("f", '{"a": ')])
    with pytest.raises(OutputError, match="the call of f"):
        await client.chat.completions.parse(**QUESTION, tools=TOOLS)


# -- streams ---------------------------------------------------------------------------------------------------------


async def test_stream_closes_early(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """Closing a stream's response ends the connection at once; closing it again does nothing."""
    sim.stall(after=2)
    stream = await client.chat.completions.create(**QUESTION, stream=True)
    await anext(stream)
    await stream.response.aclose()
    async with asyncio.timeout(5):
        while not sim.requests[0].disconnected:
            await asyncio.sleep(0.001)
    await stream.aclose()
    assert stream.completion.choices[0].message.role == "assistant"


@pytest.mark.parametrize(
    ("disturb", "message"),
    [
        (lambda sim: sim.cut(after=2), "Connection error."),
        (lambda sim: sim.cut(after=3, clean=True), "without a finish_reason"),
    ],
    ids=["cut", "no_finish"],
)
async def test_broken_stream(
    sim: Simulator, client: door.AsyncOpenAI, disturb: Callable[[Simulator], None], message: str
) -> None:
    """A stream that breaks off is an APIConnectionError with what had come; the vendor SDK may take it for whole."""
    disturb(sim)
    stream = await client.chat.completions.create(**QUESTION, stream=True)
    with pytest.raises(door.APIConnectionError, match=message) as caught:
        async for _ in stream:
            pass
    assert caught.value.partial is not None
    assert caught.value.partial.text
    assert isinstance(caught.value.__cause__, IncompleteStreamError)


async def test_events_of_calls_without_index_or_type(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """Calls whose pieces lack id and type, as this gateway streams early ones, give the right events and completion."""
    names = []
    async with client.chat.completions.stream(**QUESTION, tools=TOOLS, tool_choice="required") as stream:
        async for event in stream:
            names.append(event.type)
            if event.type == "tool_calls.function.arguments.done":
                assert (event.name, event.index, event.parsed_arguments) == ("f", 0, {})
    assert names.count("tool_calls.function.arguments.done") == 1
    final = await stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert (call.type, call.index, call.function.parsed_arguments) == ("function", 0, {})


async def _events(client: Any, options: dict[str, Any]) -> list[str]:
    async with client.chat.completions.stream(**QUESTION, **options) as stream:
        return [repr(event) async for event in stream if event.type != "chunk"]


def _chunk(*choices: dict[str, Any]) -> dict[str, Any]:
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": list(choices)}


def _choice(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": None, "delta": delta} | more


def _piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments} | more.pop("function", {})} | more


LOGPROB = {"token": "N", "logprob": -0.5, "bytes": [78], "top_logprobs": []}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "refusal": [
        _chunk(_choice({"role": "assistant", "refusal": "I am "})),
        _chunk(_choice({"refusal": "sorry."}, logprobs={"content": None, "refusal": [LOGPROB]})),
        _chunk(_choice({}, finish_reason="stop")),
    ],
    "logprobs": [
        _chunk(_choice({"role": "assistant", "content": "N"}, logprobs={"content": [LOGPROB], "refusal": None})),
        _chunk(_choice({"content": "o"}, logprobs={"content": [LOGPROB], "refusal": None})),
        _chunk(_choice({}, finish_reason="stop")),
    ],
    "calls in pieces": [
        _chunk(_choice({"role": "assistant", "content": "Let me see."})),
        _chunk(_choice({"tool_calls": [_piece(0, "", id="a", type="function", function={"name": "g"})]})),
        _chunk(_choice({"tool_calls": [_piece(0, '{"x"')]})),
        _chunk(_choice({"tool_calls": [_piece(0, ": 1}")]})),
        _chunk(_choice({"tool_calls": [_piece(1, "{}", id="b", type="function", function={"name": "g"})]})),
        _chunk(_choice({}, finish_reason="tool_calls")),
    ],
}


@pytest.mark.parametrize("name", STREAMS)
async def test_events_are_those_of_the_vendor_sdk(
    sim: Simulator, client: door.AsyncOpenAI, theirs: openai.AsyncOpenAI, name: str
) -> None:
    """Refusals, log probabilities and calls in pieces give the same events in the same order as there."""
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in STREAMS[name]) + "data: [DONE]\n\n"
    sim.fail(200, body=body, headers={"content-type": "text/event-stream"}, times=2)
    wanted = await _events(theirs, {"tools": [{"type": "function", "function": {"name": "g"}}]})
    got = await _events(client, {"tools": [{"type": "function", "function": {"name": "g"}}]})
    assert wanted == got
    assert len(got) > 3


async def test_parsed_event(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """With a class as ``response_format`` the end of the content carries its instance, and so does the completion."""
    sim.reply(json={"name": "Paris", "inhabitants": 2})
    async with client.chat.completions.stream(**QUESTION, response_format=AttrsCity) as stream:
        done = [event.parsed async for event in stream if event.type == "content.done"]
        final = await stream.get_final_completion()
    assert done == [AttrsCity("Paris", 2)]
    assert final.choices[0].message.parsed == AttrsCity("Paris", 2)
    assert (await stream.__aenter__()) is stream
    await stream.__aexit__(None, None, None)


# -- errors ----------------------------------------------------------------------------------------------------------


async def test_error_ledger_and_pickle(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """An error keeps what our own says of the call, pickles with its response, and shows no key."""
    sim.fail(500, message=f"no channel for {KEY}")
    with pytest.raises(door.InternalServerError) as caught:
        await client.chat.completions.create(**QUESTION)
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made here
    found: list[door.APIStatusError] = [caught.value, copy]
    for error in found:
        assert isinstance(error, AnyFastError)
        assert (error.kind, error.billed, [a.status_code for a in error.attempts]) == ("server", "no", [500])
        assert (error.status_code, error.code, error.response.status_code) == (500, "do_request_failed", 500)
        assert KEY not in f"{error!r}{error.body}{error.response.text}{error.request!r}{error.response.headers!r}"


@pytest.mark.parametrize("status", [402, 418, 425, 499, 529])
async def test_a_status_alone_picks_the_class(
    sim: Simulator, client: door.AsyncOpenAI, theirs: openai.AsyncOpenAI, status: int
) -> None:
    """Also where our own class for it is one that the vendor SDK does not have."""
    sim.fail(status, times=2)
    with pytest.raises(door.APIStatusError) as ours:
        await client.chat.completions.create(**QUESTION)
    with pytest.raises(openai.APIStatusError) as wanted:
        await theirs.chat.completions.create(**QUESTION)
    assert type(wanted.value).__name__ == type(ours.value).__name__


async def test_success_that_is_no_completion(sim: Simulator, client: door.AsyncOpenAI) -> None:
    """A page or an error object with status 200 is an error, not an answer."""
    sim.fail(200, body="<html>Hello</html>")
    with pytest.raises(door.APIResponseValidationError, match="web page") as caught:
        await client.chat.completions.create(**QUESTION)
    assert (caught.value.status_code, caught.value.response.text) == (200, "<html>Hello</html>")
    sim.fail(200, body={"error": {"message": "No", "code": "rate_limit_exceeded", "type": "t", "param": None}})
    with pytest.raises(door.APIError, match="No") as error:
        await client.chat.completions.create(**QUESTION)
    assert type(error.value) is door.APIError
    assert error.value.code == "rate_limit_exceeded"


def test_errors_can_be_made_as_in_the_vendor_sdk() -> None:
    """Programs make them in their own tests: with a response and a body, or a request."""
    request = Request("POST", "https://example.com")
    response = HTTPResponse(status_code=418, headers=Headers({"X-Request-Id": "r"}), request=request, content=b"{}")
    error = door.RateLimitError("slow down", response=response, body={"code": 7})
    assert (error.message, error.code, error.request_id, error.response.json()) == ("slow down", "7", "r", {})
    assert (response.reason_phrase, response.is_error, response.is_success) == ("I'm a Teapot", True, False)
    assert str(door.APITimeoutError(request)) == "Request timed out."
    assert door.APIConnectionError(request=request).request is request
    assert door.APIResponseValidationError(response, None).status_code == 418
    assert attrs.evolve(response, status_code=299).reason_phrase == ""
    assert (len(response.headers), list(response.headers), "X-REQUEST-ID" in response.headers) == (
        1,
        ["x-request-id"],
        True,
    )
    assert response.url == "https://example.com"


@pytest.mark.parametrize("name", [name for name in openai.__all__ if name.endswith("Error")])
def test_error_tree(name: str) -> None:
    """Every exception of the vendor SDK that is here has the same bases there."""
    theirs, ours = getattr(openai, name), getattr(door, name, None) if name in door.__all__ else None
    if ours is None:
        assert name in {
            "OAuthError",
            "InvalidWebhookSignatureError",
            "WebSocketConnectionClosedError",
            "WebSocketQueueFullError",
        }
        return
    known = set(openai.__all__) | {"OpenAIError"}
    assert [k.__name__ for k in theirs.__mro__ if k.__name__ in known] == [
        k.__name__ for k in ours.__mro__ if k.__name__ in known
    ]


def test_all_is_exact() -> None:
    """``__all__`` is sorted and every name is there."""
    assert [name for name in door.__all__ if not hasattr(door, name)] == []
    assert len(door.__all__) == len(set(door.__all__))


# -- the page --------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "move-from-openai.md"


async def test_page_runs(sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python blocks of the page run as they stand."""
    monkeypatch.setenv("ANYFAST_BASE_URL", sim.base_url)
    monkeypatch.setenv("ANYFAST_API_KEY", KEY)
    sim.reply("Paris")
    page: dict[str, Any] = {}
    for block in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]:
        exec(compile(block.partition("```")[0], str(PAGE), "exec"), page)  # noqa: S102 - our own page
    await page["main"]()
    await page["client"].close()
    assert await page["capitals"](["France", "Texas"]) == ["Paris", "Paris"]
    assert capsys.readouterr().out == "Paris\nParisParis\n"


def test_page_lists_what_there_is_not() -> None:
    """Every part and argument that is refused with advice stands on the page."""
    text = PAGE.read_text(encoding="utf-8")
    refused = {*_client._INSTEAD, *_client._ARGUMENTS, *_resources._STORED, *_resources._OF_A_MODEL} - {"_extra_kwargs"}
    assert sorted(name for name in refused if f"`{name}`" not in text) == []
