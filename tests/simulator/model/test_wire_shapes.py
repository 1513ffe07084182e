"""Streams and lists as the gateway writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator import MODELS

from ..raw_client import MODEL

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

    from ..raw_client import Http, Response

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def deltas(response: Response) -> list[Any]:
    return [choice["delta"] for choice in response.choices]


def reasons(response: Response) -> list[Any]:
    return [choice["finish_reason"] for choice in response.choices]


async def test_headers(http: Http) -> None:
    """The head of a stream is the one that the gateway sets."""
    response = await http.chat(stream=True)
    wanted = {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "Connection": "keep-alive",
        "Transfer-Encoding": "chunked",
        "X-Accel-Buffering": "no",
    }
    assert wanted.items() <= response.headers.items()
    assert response.json_id == response.headers["X-Oneapi-Request-Id"]


async def test_framing(http: Http) -> None:
    """Events are single ``data:`` lines with LF ends, and ``[DONE]`` is the last."""
    raw = (await http.chat("a\r\nb <&> \u2028", stream=True)).raw
    assert raw.endswith(b"\n\ndata: [DONE]\n\n")
    assert b"\r" not in raw
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in raw[:-2].split(b"\n\n"))


async def test_escapes(sim: Simulator, http: Http) -> None:
    """Angle brackets, ampersands and line separators are escaped, as Go's encoder does it."""
    sim.reply("<b> & \u2028")
    response = await http.chat()
    assert rb"\u003cb\u003e \u0026 \u2028" in response.raw
    assert response.text == "<b> & \u2028"


async def test_text(http: Http) -> None:
    """A role chunk, pieces of text, an empty delta with ``stop``, the usage with no choices, ``[DONE]``."""
    response = await http.chat("Hello!", stream=True)
    events = response.events
    head = ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"]
    assert all(list(event) == head for event in events[:-1])
    assert all(list(choice) == ["delta", "logprobs", "finish_reason", "index"] for choice in response.choices)
    assert deltas(response)[0] == {"content": "", "role": "assistant"}
    assert all(list(delta) == ["content"] for delta in deltas(response)[1:-1])
    assert deltas(response)[-1] == {}
    assert reasons(response) == [None] * (len(response.choices) - 1) + ["stop"]
    assert all(event["usage"] is None for event in events[:-2])
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == (await http.chat("Hello!")).json["usage"]
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": 7},
        {"stop": "the"},
        {"reasoning_effort": "low"},
        {"reasoning_effort": "high", "max_tokens": 10},
        {"response_format": {"type": "json_object"}},
        {"model": "gemini-3-pro-image-preview"},
        {"n": 3},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "low"},
    ],
)
async def test_streamed_equals_whole(http: Http, fields: dict[str, Any]) -> None:
    """The deltas of a stream add up to the answer that is not streamed: text, thoughts, reasons, usage, id."""
    whole = (await http.chat("What is the capital of France?", **fields)).json
    streamed = await http.chat("What is the capital of France?", stream=True, **fields)
    for choice in whole["choices"]:
        index, message = choice["index"], choice["message"]
        assert streamed.streamed("content", index) == message["content"]
        assert streamed.streamed("reasoning_content", index) == message.get("reasoning_content", "")
        mine = [one for one in streamed.choices if one["index"] == index]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        calls = [call for one in mine for call in one["delta"].get("tool_calls", ())]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        assert arguments == "".join(c["function"]["arguments"] for c in message.get("tool_calls", ()))
    assert streamed.events[-2]["usage"] == whole["usage"]


async def test_length(http: Http) -> None:
    """``length`` rides on the last chunk with text; there is no chunk of its own for it."""
    response = await http.chat("Hello!", stream=True, max_tokens=2)
    assert reasons(response) == [None, None, "length"]
    assert deltas(response)[-1]["content"] != ""


async def test_only_thoughts(http: Http) -> None:
    """If thinking uses up the limit there is one empty chunk with ``length``."""
    response = await http.chat("Hello!", stream=True, max_tokens=2, reasoning_effort="low")
    assert [list(delta) for delta in deltas(response)] == [
        ["content", "role"],
        ["reasoning_content"],
        ["reasoning_content"],
        ["content"],
    ]
    assert deltas(response)[-1] == {"content": ""}
    assert reasons(response) == [None, None, None, "length"]


async def test_early_tool_calls(http: Http) -> None:
    """Calls in the first event: id and name in the role chunk, arguments in the next with a null type."""
    response = await http.chat("Hello!", stream=True, tools=[TOOL], tool_choice="required")
    first, second, last = response.choices
    (call,) = first["delta"]["tool_calls"]
    assert list(first["delta"]) == ["content", "role", "tool_calls"]
    assert call["id"].startswith("call_")
    assert call == {
        "index": 0,
        "id": call["id"],
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert second["delta"] == {
        "content": "",
        "tool_calls": [{"index": 0, "type": None, "function": {"arguments": "{}"}}],
    }
    assert (last["delta"], last["finish_reason"]) == ({}, "tool_calls")


async def test_late_tool_calls(sim: Simulator, http: Http) -> None:
    """Calls after text: each whole in a chunk that already has the finish reason, then the end."""
    sim.reply("Hm.", tool_calls=[("a", {"x": 1}), ("b", {})])
    response = await http.chat("Hello!", stream=True)
    assert reasons(response) == [None, None, "tool_calls", "tool_calls", "tool_calls"]
    calls = [delta["tool_calls"][0] for delta in deltas(response)[2:4]]
    assert [(call["index"], call["function"]["name"], call["type"]) for call in calls] == [
        (0, "a", "function"),
        (1, "b", "function"),
    ]
    assert calls[0]["function"]["arguments"] == '{"x": 1}'


async def test_choices_take_turns(http: Http) -> None:
    """With several choices each event has one of them, in turns."""
    response = await http.chat("Hello!", stream=True, n=3)
    assert all(len(event["choices"]) == 1 for event in response.events[:-2])
    assert [choice["index"] for choice in response.choices[:9]] == [0, 1, 2] * 3
    assert reasons(response).count("stop") == 3


@pytest.mark.parametrize(
    ("options", "sent"),
    [({"include_usage": False}, False), ({"include_usage": True}, True), ({}, True), (None, True)],
)
async def test_usage_can_be_declined(http: Http, options: object, *, sent: bool) -> None:
    """The usage chunk comes unless ``include_usage`` is false."""
    events = (await http.chat(stream=True, stream_options=options)).events
    assert (events[-2]["choices"] == []) is sent


async def test_model_list(http: Http) -> None:
    """The list has the gateway's keys and its constant ``created``."""
    listed = (await http.send("GET", "/models", content_type="")).json
    assert list(listed) == ["data", "object", "success"]
    assert (listed["object"], listed["success"]) == ("list", True)
    assert [model["id"] for model in listed["data"]] == list(MODELS)
    assert listed["data"][0] == {
        "id": "gemini-3.1-pro-preview",
        "object": "model",
        "created": 1626777600,
        "owned_by": "vertex-ai",
        "supported_endpoint_types": ["gemini", "openai"],
    }


async def test_one_model(http: Http) -> None:
    """One model can be asked for; an unknown one is an error object with status 200."""
    assert (await http.send("GET", f"/models/{MODEL}")).json["id"] == MODEL
    response = await http.send("GET", "/models/gpt-4o")
    assert (response.status, response.error["code"]) == (200, "model_not_found")
    assert (await http.send("GET", f"/models/{MODEL}", authorization="")).status == 401
