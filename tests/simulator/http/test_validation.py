"""What the gateway refuses, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator import Simulator
from anyfast_async.simulator.http.validation import check_body, check_key

from ..raw_client import MODEL, Http

if TYPE_CHECKING:
    import aiohttp

USER = {"role": "user", "content": "Hello!"}


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "No token provided"),
        ("", "No token provided"),
        ("Bearer", "No token provided"),
        ("Bearer ", "No token provided"),
        ("Bearer sk-other", "Invalid token"),
        ("sk-other", "Invalid token"),
    ],
)
def test_bad_keys(authorization: str | None, message: str) -> None:
    """A missing and a wrong key are told apart in the message only: 401 with an empty code."""
    error = check_key(authorization, {"sk-test"})
    assert error is not None
    assert (error.status, error.code, error.message) == (401, "", message)


@pytest.mark.parametrize("authorization", ["Bearer sk-test", "bearer sk-test", "sk-test", " Bearer  sk-test "])
def test_good_keys(authorization: str) -> None:
    """The gateway takes the scheme in lower case and the bare key, too."""
    assert check_key(authorization, {"sk-test"}) is None


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"messages": []}, 500, "invalid_request"),
        ({"messages": None}, 500, "invalid_request"),
        ({"messages": "Hello!"}, 500, "invalid_request"),
        ({"messages": ["Hello!"]}, 500, "invalid_request"),
        ({"messages": [{"role": 1, "content": "x"}]}, 500, "invalid_request"),
        ({"max_tokens": "x"}, 500, "invalid_request"),
        ({"max_tokens": -1}, 500, "invalid_request"),
        ({"max_tokens": 1.5}, 500, "invalid_request"),
        ({"max_tokens": True}, 500, "invalid_request"),
        ({"max_tokens": 1073741824}, 500, "invalid_request"),
        ({"temperature": "hot"}, 500, "invalid_request"),
        ({"stream": "yes"}, 500, "invalid_request"),
        ({"stream_options": {"include_usage": 1}}, 500, "invalid_request"),
        ({"n": 0}, 500, "invalid_request"),
        ({"n": 129}, 500, "invalid_request"),
        ({"tools": {}}, 500, "invalid_request"),
        ({"response_format": "json"}, 500, "invalid_request"),
        (
            {"extra_body": {"google": {"thinking_config": {"thinkingBudget": 1}}}},
            500,
            "convert_request_failed",
        ),
        (
            {"extra_body": {"google": {"thinking_config": {"thinking_budget": "1"}}}},
            500,
            "convert_request_failed",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
                ]
            },
            500,
            "convert_request_failed",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}]},
            500,
            "convert_request_failed",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {"a": 1}}}]}]},
            500,
            "convert_request_failed",
        ),
        ({"tools": [None]}, 500, "invalid_request"),
    ],
)
def test_refused_fields(fields: dict[str, Any], status: int, code: str) -> None:
    """Wrong types and values are HTTP 500 with a code that says the caller is to blame."""
    error = check_body({"model": MODEL, "messages": [USER], **fields})
    assert error is not None
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": None, "stream": None, "tools": None, "n": None, "stream_options": None},
        {"temperature": 1, "top_p": 0.5, "n": 1, "stop": ["a"], "max_tokens": 2},
        {"temperature": 99},
        {"unheard_of": object},
        {"messages": [{"role": "user"}, {"role": "user", "content": None}, {"role": "user", "content": [1]}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}, 3]}]},
    ],
)
def test_accepted_fields(fields: dict[str, Any]) -> None:
    """Null is as good as absent; unknown fields and documented ranges are not looked at."""
    assert check_body({"model": MODEL, "messages": [USER], **fields}) is None


def test_type_mismatch_message() -> None:
    """The message of a type mismatch is that of Go's JSON decoder."""
    error = check_body({"model": MODEL, "messages": [USER], "max_tokens": -1})
    assert error is not None
    assert error.message == (
        "json: cannot unmarshal number -1 into Go struct field GeneralOpenAIRequest.max_tokens of type uint"
    )


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b"not json", "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'{"model": NaN}', "application/json"),
        (b'{"messages": []}', "application/json"),
        (b'{"model": "", "messages": []}', "application/json"),
        (b'{"model": 5, "messages": []}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"model": "gemini-2.5-pro", "messages": [{"role": "user", "content": "x"}]}', "text/plain"),
        (b'{"model": "gemini-2.5-pro", "messages": [{"role": "user", "content": "x"}]}', ""),
    ],
)
async def test_no_model(http: Http, raw: bytes, content_type: str) -> None:
    """Without a JSON object that names a model the answer is 400, with an empty code and no param."""
    response = await http.send("POST", "/chat/completions", raw, content_type=content_type)
    assert response.status == 400
    assert response.error["type"] == "new_api_error"
    assert response.error["code"] == ""
    assert "param" not in response.error


async def test_unknown_model(http: Http) -> None:
    """A model that no channel serves is 503 model_not_found."""
    response = await http.chat(model="gpt-4o")
    assert (response.status, response.error["code"]) == (503, "model_not_found")
    assert response.error["message"].startswith("No available channel for model gpt-4o under group default")


async def test_any_model(session: aiohttp.ClientSession) -> None:
    """``models=None`` takes any model id."""
    async with Simulator(models=None) as sim:
        assert (await Http(session, sim.base_url).chat(model="gpt-4o")).json["model"] == "gpt-4o"


async def test_keys_are_checked_first(http: Http) -> None:
    """A request without a key is 401, whatever else is wrong with it, and its body is not looked at."""
    response = await http.send("POST", "/chat/completions", b"not json", authorization="")
    assert response.status == 401
    assert response.error["message"].startswith("No token provided (request id: 2026")
    assert list(response.error) == ["code", "message", "type"]


async def test_given_keys(session: aiohttp.ClientSession) -> None:
    """``api_keys`` names the accepted keys; one string instead of a collection is a mistake."""
    async with Simulator(api_keys={"sk-good"}) as sim:
        http = Http(session, sim.base_url)
        assert (await http.chat()).status == 401
        assert (await http.send("GET", "/models", authorization="Bearer sk-good")).status == 200
    with pytest.raises(TypeError):
        Simulator(api_keys="sk-good")


async def test_body_limit(session: aiohttp.ClientSession) -> None:
    """A body beyond ``max_body`` is 413, and the connection goes on to be used."""
    async with Simulator(max_body=1000) as sim:
        http = Http(session, sim.base_url)
        response = await http.chat("x" * 300_000)
        assert (response.status, response.error["code"]) == (413, "read_request_body_failed")
        assert (await http.chat()).status == 200
        assert sim.connections == 1


async def test_lone_surrogates(http: Http) -> None:
    """Text that is not Unicode is mended as Go does it, not refused."""
    raw = b'{"model": "gemini-2.5-pro", "messages": [{"role": "user", "content": "broken \\ud800 \xff text"}]}'
    response = await http.send("POST", "/chat/completions", raw)
    assert response.status == 200
    assert "broken text" in response.text
