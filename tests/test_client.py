"""The client as users meet it: settings, requests refused unsent, limits, and the errors of each status."""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioresponses
import attrs
import pytest
from yarl import URL

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Budget,
    BudgetExceeded,
    ChatRequest,
    ConfigurationError,
    ConflictError,
    InsufficientQuotaError,
    InternalServerError,
    Limits,
    ModelNotFoundError,
    NotFoundError,
    NotSentError,
    PermissionDeniedError,
    QueueFullError,
    RateLimitError,
    RequestValidationError,
    ResponseShapeError,
    Result,
    RetryPolicy,
    Timeouts,
    UnprocessableEntityError,
    UserMessage,
)
from anyfast_async.simulator import Simulator
from anyfast_async.simulator.model.latency import Latency

if TYPE_CHECKING:
    from conftest import Connect, RawServers

KEY = "sk-test-0123456789-abcdefgh"
MODEL = "gemini-2.5-pro"
ONCE = RetryPolicy(attempts=1)
NOWHERE = "http://127.0.0.1:9/v1"


# -- requests that are refused before they are sent ------------------------------------------------------------------

BAD: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "no messages": ([], {}, ["messages", "must not be empty"]),
    "empty prompt": ("", {}, ["messages", "must not be empty"]),
    "temperature": ("Hi", {"temperature": 2.1}, ["temperature", "0 to 2", "2.1"]),
    "n": ("Hi", {"n": 0}, ["n:", "at least 1", "0"]),
    "top_p": ("Hi", {"top_p": -0.1}, ["top_p", "0 to 1", "-0.1"]),
    "max_tokens": ("Hi", {"max_tokens": 0}, ["max_tokens", "at least 1", "0"]),
    "penalty": ("Hi", {"frequency_penalty": -2.5}, ["frequency_penalty", "-2 to 2", "-2.5"]),
    "not a number": ("Hi", {"temperature": float("nan")}, ["temperature", "0 to 2", "nan"]),
    "unknown option": ("Hi", {"temprature": 1}, ["temprature", "'temperature'", "extra_body"]),
    "stream option": ("Hi", {"stream": True}, ["stream", "client.stream"]),
    "two at once": ("Hi", {"temperature": 3, "n": 0}, ["2 problems", "temperature", "0 to 2", "n:", "at least 1"]),
    "effort": ("Hi", {"reasoning_effort": "huge"}, ["reasoning_effort", "'low'", "'huge'"]),
    "local file": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": "/etc/passwd"}]}],
        {},
        ["messages[0].content[0].image_url", "https"],
    ),
    "local file in a part": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
        {},
        ["messages[0].content[0].image_url.url", "https"],
    ),
    "no role": ([{"content": "x"}], {}, ["messages[0].role", "missing"]),
    "wrong type": (42, {}, ["messages", "42"]),
}


NO_SUCH_ARGUMENT = ("unknown option", "stream option")


@pytest.mark.parametrize(
    ("case", "verb"),
    [
        (case, verb)
        for case in BAD
        for verb in ("complete", "stream", "map", "request")
        if verb != "request" or case not in NO_SUCH_ARGUMENT
    ],
)
async def test_bad_requests_are_refused_unsent(sim: Simulator, client: AnyFast, case: str, verb: str) -> None:
    """Whichever way it is given, a bad request is an error that names field and range; the server saw nothing."""
    prompt, options, words = BAD[case]

    with pytest.raises(RequestValidationError) as caught:
        match verb:
            case "complete":
                await client.complete(prompt, **options)
            case "stream":
                _ = await client.stream(prompt, **options)
            case "map":
                results: list[Result[Any]] = await client.map([0], request=lambda _: prompt, **options)
                results[0].unwrap()
            case _:
                ChatRequest(prompt, **options)

    assert [word for word in words if word not in str(caught.value)] == []
    assert "root:" not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert sim.requests == []


async def test_prompt_text_is_not_in_the_error(client: AnyFast) -> None:
    """What a user wrote is described by type and length only."""
    with pytest.raises(RequestValidationError) as caught:
        await client.complete([{"role": "user", "content": 7}, "my secret text"])  # type: ignore[list-item]

    assert "my secret text" not in str(caught.value)


async def test_what_json_cannot_hold_is_refused(sim: Simulator, client: AnyFast) -> None:
    """An object that is no JSON in ``extra_body`` is an error that names its place, not a crash."""
    with pytest.raises(RequestValidationError, match=r"extra_body\.x: is a object, which JSON cannot hold"):
        await client.complete("Hi", extra_body={"x": object()})

    assert sim.requests == []


# -- keys ------------------------------------------------------------------------------------------------------------


def test_no_key() -> None:
    """Without a key the error at construction names the argument, both variables and the simulator."""
    with pytest.raises(ConfigurationError) as caught:
        AnyFast()

    words = ["api_key", "ANYFAST_API_KEY", "ANYFAST_API_KEY_FILE", "imulator"]
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    "key",
    [
        "sk-with\ninner-newline",
        "sk-with space",
        "sk-with\ttab",
        "sk-with-\x00-nul",
        "sk-with-ü",
        "x" * 513,
        "Bearer sk-x",
    ],
)
@pytest.mark.parametrize("how", ["argument", "variable", "file"])
def test_key_that_cannot_be_one_is_not_echoed(
    key: str, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key with white space, control characters or other scripts is refused; its value is not in the message."""
    if how == "variable" and "\0" in key:
        key = "sk-with-\x01-control"
    path = tmp_path / "the-file"
    path.write_text(key)
    if how == "variable":
        monkeypatch.setenv("ANYFAST_API_KEY", key)
    given: Any = {"argument": key, "variable": None, "file": path}[how]

    with pytest.raises(ConfigurationError) as caught:
        AnyFast(given, base_url=NOWHERE)

    assert key not in str(caught.value)
    assert "sk-with" not in str(caught.value)


@pytest.mark.parametrize("key", [123, b"sk-bytes", ""])
def test_key_of_another_kind_is_refused(key: Any) -> None:
    """A key is a string, a path or a function, and not empty."""
    with pytest.raises(ConfigurationError, match="api_key"):
        AnyFast(key, base_url=NOWHERE)


async def test_white_space_around_a_key_is_taken_off(raw_server: RawServers, connect: Connect) -> None:
    """A key read from a file with a line break at its end works."""
    server = await raw_server([raw_server.completion()])

    await connect(server.base_url, api_key=f"  {KEY}\r\n").complete("Hi")

    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_vendors_key_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OPENAI_API_KEY`` belongs to another gateway and must not reach this one."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    with pytest.raises(ConfigurationError):
        AnyFast()


async def test_key_file_is_read_again_when_it_changes(
    raw_server: RawServers, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in a file, given as a path or by its variable, can be replaced while the client lives."""
    server = await raw_server([raw_server.completion()])
    path = tmp_path / "key"
    path.write_text("sk-first-key\n")
    monkeypatch.setenv("ANYFAST_API_KEY_FILE", str(path))
    client = connect(server.base_url, api_key=None)

    await client.complete("Hi")
    path.write_text("sk-second-one\n")
    await client.complete("Hi")

    assert [r.headers["authorization"] for r in server.requests] == ["Bearer sk-first-key", "Bearer sk-second-one"]


async def test_key_function_is_asked_for_each_attempt(raw_server: RawServers, connect: Connect) -> None:
    """A function is asked once per attempt, and once more after a 401."""
    server = await raw_server(
        [raw_server.answer({}, 500)], [raw_server.answer({"error": {"message": "old"}}, 401)], [raw_server.completion()]
    )
    keys = iter(["sk-key-1", "sk-key-2", "sk-key-3"])

    async def key() -> str:
        return next(keys)

    await connect(server.base_url, api_key=key).complete("Hi")

    assert [r.headers["authorization"][-1] for r in server.requests] == ["1", "2", "3"]


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9/v1"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9/v1"),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1"),
        (" https://gateway.example/proxy/v1/ ", "https://gateway.example/proxy/v1"),
        ("https://gateway.example/proxy", "https://gateway.example/proxy/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ("http://localhost:9", "http://localhost:9/v1"),
        ("http://127.8.9.1:9", "http://127.8.9.1:9/v1"),
        (None, "https://www.anyfast.ai/v1"),
    ],
)
def test_spellings_of_the_base_url(given: str | None, url: str) -> None:
    """With or without ``/v1`` and slashes, the address is the same."""
    assert str(AnyFast(KEY, base_url=given)._calls.setup.base_url) == url


@pytest.mark.parametrize(
    "url", ["http://gateway.example/v1", "http://127.0.0.1.evil.example", "http://0.0.0.0:80", "http://8.8.8.8"]
)
def test_plain_http_is_refused_but_to_loopback(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http elsewhere is an error that says what it would mean; it can be allowed, by argument or variable."""
    with pytest.raises(ConfigurationError, match=r"plain http to .*allow_http"):
        AnyFast(KEY, base_url=url)

    host = str(URL(url).host)
    AnyFast(KEY, base_url=url, allow_http=[host])
    monkeypatch.setenv("ANYFAST_ALLOW_HTTP", f"other.example, {host}")
    AnyFast(KEY, base_url=url)


@pytest.mark.parametrize(
    "url",
    ["", "gateway.example", "ftp://gateway.example", "https://", "https://me:pw@gateway.example", "https://g.example/?a=1",
     "https://g.example/#a", "https://g.example:99999", 7],
)  # fmt: skip
def test_address_that_is_none_is_refused(url: Any) -> None:
    """The message names the setting; a password in it is not echoed."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        AnyFast(KEY, base_url=url)

    assert "pw" not in str(caught.value)


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, address and model come from their variables; arguments win over them."""
    monkeypatch.setenv("ANYFAST_API_KEY", KEY)
    monkeypatch.setenv("ANYFAST_BASE_URL", "http://localhost:9")
    monkeypatch.setenv("ANYFAST_MODEL", "gemini-2.5-flash")

    assert repr(AnyFast()) == "AnyFast(base_url='http://localhost:9/v1', model='gemini-2.5-flash')"
    assert repr(AnyFast(base_url=NOWHERE, model="m")) == f"AnyFast(base_url='{NOWHERE}', model='m')"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("limits", 8),
        ("retry", 3),
        ("timeouts", 30),
        ("budget", 100),
        ("ssl_context", True),
        ("headers", {"Authorization": "x"}),
        ("headers", {"bad name": "x"}),
        ("headers", {"X": "a\r\nInjected: b"}),
        ("headers", {"X": 1}),
        ("proxy", "socks5://127.0.0.1"),
        ("proxy", "http://127.0.0.1:port"),
    ],
)
def test_settings_are_checked(setting: str, value: Any) -> None:
    """A setting of a wrong kind is an error at construction that names it."""
    with pytest.raises(ConfigurationError, match=setting):
        AnyFast(KEY, base_url=NOWHERE, **{setting: value})


# -- models ----------------------------------------------------------------------------------------------------------


async def test_no_model(sim: Simulator, connect: Connect) -> None:
    """There is no default model: the error names the argument, the variable and the option of a call."""
    with pytest.raises(RequestValidationError) as caught:
        await connect(sim.base_url, model=None).complete("Hi")

    assert [
        word for word in ("model", "AnyFast(", "ANYFAST_MODEL", "to the call") if word not in str(caught.value)
    ] == []
    assert sim.requests == []


async def test_model_of_the_call_wins(sim: Simulator, client: AnyFast) -> None:
    """The call's model goes before the request's, that before the client's."""
    await client.complete("a")
    await client.complete("a", model="gemini-2.5-flash")
    await client.complete(ChatRequest("a", model="gemini-2.0-flash"))
    await client.complete(ChatRequest("a", model="gemini-2.0-flash"), model="gemini-2.5-flash")

    assert [r.body["model"].removeprefix("gemini-") for r in sim.requests] == [
        "2.5-pro", "2.5-flash", "2.0-flash", "2.5-flash",
    ]  # fmt: skip


async def test_unknown_gemini_is_warned_of_once(connect: Connect) -> None:
    """A Gemini id that is not documented is sent, with one warning that names the nearest; other ids without."""
    async with Simulator(models=None) as sim:
        client = connect(sim.base_url)
        with pytest.warns(UserWarning, match="did you mean 'gemini-2.5-pro'") as caught:
            await client.complete("Hi", model="gemini-2.5-prro")
        assert [warning.filename for warning in caught] == [__file__]
        await client.complete("Hi", model="gemini-2.5-prro")
        await client.with_options(model="gemini-2.5-prro").complete("Hi")
        await client.complete("Hi", model="some-other-model")


async def test_models_are_listed(sim: Simulator, client: AnyFast) -> None:
    """``models`` gives what the gateway lists, typed; it is counted like any other call."""
    models = await client.models()

    assert MODEL in [model.id for model in models]
    assert (sim.requests[0].method, sim.requests[0].path) == ("GET", "/v1/models")
    assert {model.object for model in models} == {"model"}


async def test_models_of_a_failing_gateway(sim: Simulator, client: AnyFast) -> None:
    """Listing models is retried and fails like a call."""
    sim.fail(500)
    assert await client.models()
    sim.fail(401)
    with pytest.raises(AuthenticationError):
        await client.models()


# -- limits, pool, options -------------------------------------------------------------------------------------------


async def test_concurrency_is_what_the_server_sees(connect: Connect, no_leaks: None) -> None:
    """100 prompts through a map of 64 with ``Limits(concurrency=8)``: the server never has more than 8, and has 8."""
    async with Simulator(latency=Latency(ttft=0.05)) as sim:
        client = connect(sim.base_url, limits=Limits(concurrency=8))

        results: list[Result[Any]] = await client.map([f"prompt {i}" for i in range(100)], max_tokens=5)

        assert all(result.ok for result in results)
        assert (sim.peak_in_flight, len(sim.requests)) == (8, 100)
        assert sim.connections == 8


async def test_calls_in_a_row_use_one_connection(sim: Simulator, client: AnyFast) -> None:
    """200 calls, one after the other: one TCP connection."""
    for _ in range(200):
        await client.complete("Hi", max_tokens=5)

    assert (sim.connections, len(sim.requests)) == (1, 200)


async def test_streams_count_until_they_end(sim: Simulator, connect: Connect) -> None:
    """An open stream takes one of the places; the next call waits for it to be left."""
    client = connect(sim.base_url, limits=Limits(concurrency=1))
    sim.stall(after=2)
    async with client.stream("Hi"):
        waiting = asyncio.create_task(client.complete("Hi"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert client._shared.gate.in_flight == 1

    assert (await waiting).text


async def test_options_share_pool_and_limits(sim: Simulator, connect: Connect) -> None:
    """What ``with_options`` made uses the same connections and the same places; closing it closes nothing."""
    client = connect(sim.base_url, limits=Limits(concurrency=1))
    other = client.with_options(model="gemini-2.5-flash", headers={"X-Team": "b"}, timeouts=5, retry=ONCE)

    await asyncio.gather(*(c.complete("Hi") for c in (client, other) * 5))
    await other.aclose()
    async with other:
        pass
    await client.complete("Hi")

    assert (sim.connections, sim.peak_in_flight, len(sim.requests)) == (1, 1, 11)
    assert {r.body["model"] for r in sim.requests if "x-team" in r.headers} == {"gemini-2.5-flash"}
    assert (other._calls.setup.timeouts.total, client._calls.setup.timeouts.total) == (5, None)


async def test_options_with_the_same_key_share_its_limits(sim: Simulator, connect: Connect) -> None:
    """Limits count per address, key and model: the same key given again is the same key, not another quota."""
    client = connect(sim.base_url, limits=Limits(requests_per_minute=2, max_queued=0))

    await client.complete("Hi")
    await client.with_options(api_key=KEY).complete("Hi")
    with pytest.raises(QueueFullError):
        await client.with_options(api_key=KEY).complete("Hi")

    assert len(client._shared.gate._scopes) == 1


async def test_headers_of_client_and_call(raw_server: RawServers, connect: Connect) -> None:
    """Headers go along with every request: those of the call over those of the options over those of the client."""
    server = await raw_server([raw_server.completion()])
    client = connect(server.base_url, headers={"X-A": "client", "X-B": "client", "X-C": "client"})

    await client.with_options(headers={"X-B": "options", "X-C": "options"}).complete(
        "Hi", extra_headers={"X-C": "call"}
    )

    found = server.requests[0].headers
    assert (found["x-a"], found["x-b"], found["x-c"]) == ("client", "options", "call")


async def test_bad_headers_of_a_call_are_refused(sim: Simulator, client: AnyFast) -> None:
    """A header that would replace the key, or break the request, is an error that names it; nothing is sent."""
    for headers in ({"authorization": "Bearer x"}, {"X": "a\nb"}, {"a b": "c"}):
        with pytest.raises(ConfigurationError, match="extra_headers"):
            await client.complete("Hi", extra_headers=headers)

    assert sim.requests == []


async def test_budget_ends_spending(sim: Simulator, connect: Connect) -> None:
    """A budget of three requests: the fourth is refused unsent, in a map as for a call."""
    client = connect(sim.base_url, budget=Budget(requests=3))

    results: list[Result[Any]] = await client.map([f"{i}" for i in range(10)], concurrency=2)

    errors = [result.error for result in results]
    assert (errors[:3], type(errors[3]), type(errors[-1])) == ([None] * 3, BudgetExceeded, NotSentError)
    with pytest.raises(BudgetExceeded, match="3 requests"):
        await client.complete("Hi")
    assert len(sim.requests) == 3


async def test_budget_of_tokens_is_settled_with_usage(sim: Simulator, connect: Connect) -> None:
    """What the gateway reports is what is spent, streamed or not; a stream that was left is settled too."""
    sim.reply("Hi.", usage={"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150})
    client = connect(sim.base_url, budget=Budget(tokens=2000))

    await client.complete("Hi")
    assert (client._shared.spending.tokens, client._shared.spending.reserved) == (150, 0)
    await client.stream("Hi").drain()
    assert (client._shared.spending.tokens, client._shared.spending.reserved) == (300, 0)
    async with client.stream("Hi"):
        pass
    assert client._shared.spending.tokens + client._shared.spending.assumed > 300
    assert client._shared.spending.reserved == 0


async def test_via_stream_gives_the_same_result(sim: Simulator, client: AnyFast) -> None:
    """``via_stream=True`` streams on the wire and gives the completion that the plain call gives."""
    plain = await client.complete("Tell me a story", max_tokens=60)
    folded = await client.complete("Tell me a story", max_tokens=60, via_stream=True)

    assert [r.body.get("stream", False) for r in sim.requests] == [False, True]
    assert attrs.evolve(folded, id=plain.id, extra=plain.extra) == plain  # chunks have a field more
    assert folded.trace is not None
    assert [attempt.outcome for attempt in folded.trace.attempts] == ["ok"]


async def test_timeout_of_a_call(sim: Simulator, client: AnyFast) -> None:
    """A number is the call's total; ``Timeouts`` replaces all clocks; a wrong one is refused."""
    sim.stall(after=0, times=None)

    for timeout in (0.03, Timeouts(total=0.03), Timeouts(response=0.03)):
        with pytest.raises(TimeoutError):
            await client.complete("Hi", timeout=timeout)
    with pytest.raises(ConfigurationError, match=r"Timeouts\.total"):
        await client.complete("Hi", timeout=-1)


async def test_trace_tells_how_a_call_went(client: AnyFast) -> None:
    """Connecting is told for the first call and None for the next; times are in seconds."""
    first, second = await client.complete("Hi"), await client.complete("Hi")

    assert first.trace is not None
    assert second.trace is not None
    assert first.trace.connect is not None
    assert second.trace.connect is None
    assert 0 < second.trace.total < 1
    assert first == second  # the trace takes no part in equality


async def test_calls_see_each_others_history(sim: Simulator, client: AnyFast) -> None:
    """An answer's message appended to the history goes back out as it came."""
    history: list[Any] = [UserMessage("Hi")]
    history.append((await client.complete(history)).message)
    history.append(UserMessage("And?"))

    await client.complete(history)

    assert [m["role"] for m in sim.requests[1].body["messages"]] == ["user", "assistant", "user"]


# -- aioresponses: request shapes and the classes of statuses --------------------------------------------------------

CHAT = f"{NOWHERE}/chat/completions"
CLASSES = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


@pytest.fixture
async def offline(connect: Connect) -> AnyFast:
    """A client that would reach nobody."""
    return connect(NOWHERE, retry=ONCE)


@pytest.mark.parametrize("verb", ["complete", "stream"])
async def test_every_status_has_its_class(mocked: aioresponses.aioresponses, offline: AnyFast, verb: str) -> None:
    """400 to 599: named ones have their class, 402 is no money, 500 up the server's, the rest ``APIStatusError``."""
    for status in range(400, 600):
        mocked.post(CHAT, status=status, payload={"error": {"message": "no", "type": "x", "code": "y", "param": "z"}})
        client = offline.with_options(model=f"model-{status}")  # a 429 holds its model's next call
        with pytest.raises(APIStatusError) as caught:
            await (client.complete("Hi") if verb == "complete" else client.stream("Hi").drain())
        error = caught.value

        rest = InsufficientQuotaError if status == 402 else InternalServerError if status >= 500 else APIStatusError
        assert type(error) is CLASSES.get(status, rest)
        assert (error.status_code, error.message, error.code, error.type, error.param) == (status, "no", "y", "x", "z")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "insufficient_user_quota", InsufficientQuotaError),
        (429, "insufficient_quota", InsufficientQuotaError),
        (503, "model_not_found", ModelNotFoundError),
        (404, "model_not_found", ModelNotFoundError),
        (500, "model_not_found", ModelNotFoundError),
    ],
)
async def test_codes_win_over_statuses(
    mocked: aioresponses.aioresponses, offline: AnyFast, status: int, code: str, kind: type[AnyFastError]
) -> None:
    """Quota and model errors are told by their code, and never sent again."""
    mocked.post(CHAT, status=status, payload={"error": {"message": "no", "code": code}})

    with pytest.raises(kind) as caught:
        await offline.complete("Hi")

    assert caught.value.retryable is False


@pytest.mark.parametrize("bearer", ["Bearer sk-other-0123456789", "bearer abc"])
async def test_error_that_echoes_a_bearer_keeps_its_code(
    mocked: aioresponses.aioresponses, offline: AnyFast, bearer: str
) -> None:
    """Taking keys out of an error body leaves it JSON: its code still decides."""
    body = {"error": {"message": f"no money for {bearer}", "code": "insufficient_quota"}}
    mocked.post(CHAT, status=429, payload=body)
    mocked.post(CHAT, payload=body)

    with pytest.raises(InsufficientQuotaError) as caught:
        await offline.complete("Hi")
    with pytest.raises(InsufficientQuotaError):
        await offline.complete("Hi")

    assert bearer not in str(caught.value)


async def test_shape_of_a_request(mocked: aioresponses.aioresponses, offline: AnyFast, raw_server: RawServers) -> None:
    """Only what was given is in the body, and that it is no stream; None is not sent; ``extra_body`` stands beside."""
    mocked.post(CHAT, payload=raw_server.completion_body())

    await offline.complete(
        "Hi", system="Be brief.", temperature=0.5, max_tokens=None, stop=["."], extra_body={"safe": True}
    )

    (((method, url), (call,)),) = mocked.requests.items()
    assert (method, str(url)) == ("POST", CHAT)
    assert call.kwargs["allow_redirects"] is False
    assert json.loads(call.kwargs["data"]) == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "stop": ["."],
        "safe": True,
        "stream": False,
    }


async def test_mocked_stream_is_read(
    mocked: aioresponses.aioresponses, offline: AnyFast, raw_server: RawServers
) -> None:
    """Users who mock aiohttp get their streams too: no clock counts from the machine's start."""
    body = b"".join([raw_server.event("Hi"), raw_server.event(finish="stop"), raw_server.DONE])
    mocked.post(CHAT, body=body, content_type="text/event-stream")

    assert (await offline.stream("Hi").drain()).text == "Hi"


async def test_mocked_failures_are_ours(mocked: aioresponses.aioresponses, offline: AnyFast) -> None:
    """A web page and a refused connection are errors of ours."""
    mocked.post(CHAT, body=b"<html><title>Log in</title>", content_type="text/html")
    with pytest.raises(ResponseShapeError, match="web page"):
        await offline.complete("Hi")

    mocked.post(CHAT, exception=ConnectionRefusedError(111, "Connection refused"))
    with pytest.raises(APIConnectionError):
        await offline.complete("Hi")


async def test_throttled_with_a_delay_of_none_is_tried_again(sim: Simulator, client: AnyFast) -> None:
    """429 with ``Retry-After: 0``: the call waits no time and succeeds, and tells both attempts."""
    sim.fail(429, retry_after=0)

    completion = await client.complete("Hi")

    assert completion.trace is not None
    assert [attempt.outcome for attempt in completion.trace.attempts] == ["rate_limit", "ok"]


async def test_throttled_call_inside_an_open_stream_goes_on(sim: Simulator, client: AnyFast) -> None:
    """Throttled while a stream of the same model is open and waits for it: no deadlock."""
    sim.stall(after=2)
    async with client.stream("outer"):
        sim.fail(429, retry_after=0)

        completion = await client.complete("inner", timeout=0.2)

    assert completion.text


async def test_warnings_point_to_the_caller(client: AnyFast) -> None:
    """Nothing that a call does right warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await client.complete("Hi")
        await client.stream("Hi").drain()
        await client.map(["Hi"])
