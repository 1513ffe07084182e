"""The scripting methods, seen from a client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyfast_async.simulator import Simulator

    from ..raw_client import Http


async def test_reply(sim: Simulator, http: Http) -> None:
    """A scripted text is given as it stands, to what it is for."""
    sim.reply("Paris, of course", when="capital")
    assert (await http.chat("the capital?", max_tokens=1, stop="course")).text == "Paris, of course"
    assert "Paris" not in (await http.chat("the river?")).text


async def test_reply_times(sim: Simulator, http: Http) -> None:
    """``times`` counts requests."""
    sim.reply("once", times=1)
    assert [(await http.chat()).text == "once" for _ in range(2)] == [True, False]


@pytest.mark.parametrize("value", [{"city": "Paris"}, [1, 2], None, "text", 1.5])
async def test_json(sim: Simulator, http: Http, value: object) -> None:
    """``json=`` is the content as JSON text, None included."""
    sim.reply(json=value)
    assert json.loads((await http.chat()).text) == value


async def test_chunks(sim: Simulator, http: Http) -> None:
    """``chunks=`` are the deltas, and their join is the whole answer."""
    sim.reply(chunks=["", "Par", "is\n", "\u00e9\u4e2d"])
    response = await http.chat(stream=True)
    contents = [choice["delta"].get("content") for choice in response.choices]
    assert contents == ["", "", "Par", "is\n", "\u00e9\u4e2d", None]
    assert (await http.chat()).text == "Paris\n\u00e9\u4e2d"


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (("f", {"x": 1}), ("f", '{"x": 1}')),
        (("f", "{broken"), ("f", "{broken")),
        ({"name": "f", "arguments": {}, "id": "mine"}, ("f", "{}")),
        ({"id": "mine", "type": "function", "function": {"name": "f", "arguments": "{}"}}, ("f", "{}")),
        ({"name": "f"}, ("f", "{}")),
    ],
)
async def test_tool_calls(sim: Simulator, http: Http, call: Any, wanted: tuple[str, str]) -> None:
    """Tool calls are given as pairs, as mappings or in the form of the API."""
    sim.reply(tool_calls=[call])
    choice = (await http.chat()).json["choices"][0]
    (made,) = choice["message"]["tool_calls"]
    assert (made["function"]["name"], made["function"]["arguments"]) == wanted
    assert made["id"] == "mine" or made["id"].startswith("call_")
    assert choice["finish_reason"] == "tool_calls"


async def test_reply_details(sim: Simulator, http: Http) -> None:
    """Thoughts, finish reason and usage can be set."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
    sim.reply("x", reasoning="I think so", finish_reason="content_filter", usage=usage)
    completion = (await http.chat()).json
    assert completion["choices"][0]["message"]["reasoning_content"] == "I think so"
    assert completion["choices"][0]["finish_reason"] == "content_filter"
    assert completion["usage"]["total_tokens"] == 7
    assert completion["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    response = await http.chat(stream=True)
    assert response.streamed("reasoning_content") == "I think so"
    assert response.choices[-1]["delta"] == {"content": "x"}
    assert response.choices[-1]["finish_reason"] == "content_filter"


async def test_partial_reply(sim: Simulator, http: Http) -> None:
    """What a reply does not say is made up as usual."""
    usual = (await http.chat()).text
    sim.reply(finish_reason="length")
    completion = await http.chat()
    assert completion.text == usual
    assert completion.json["choices"][0]["finish_reason"] == "length"


async def test_reply_for_all_choices(sim: Simulator, http: Http) -> None:
    """With ``n`` every choice is the scripted one."""
    sim.reply("same")
    assert [one["message"]["content"] for one in (await http.chat(n=2)).json["choices"]] == ["same", "same"]


def test_contradictions(sim_not_started: Simulator) -> None:
    """Contradictory and senseless scripts are refused where they are written."""
    with pytest.raises(ValueError, match="one of text"):
        sim_not_started.reply("x", json=None)
    with pytest.raises(ValueError, match="times=0"):
        sim_not_started.reply("x", times=0)
    with pytest.raises(ValueError, match="times=-1"):
        sim_not_started.drop(times=-1)
    with pytest.raises(ValueError, match="after=-1"):
        sim_not_started.cut(after=-1)
    with pytest.raises(ValueError, match="seconds=-1"):
        sim_not_started.stall(seconds=-1)
    with pytest.raises(ValueError, match="limit=-1"):
        sim_not_started.limit(requests_per_minute=-1)
    with pytest.raises(ValueError, match="status 200"):
        sim_not_started.fail(200)
    with pytest.raises(ValueError, match="status 600"):
        sim_not_started.fail(600, body="x")


async def test_fail(sim: Simulator, http: Http) -> None:
    """An error comes so many times, with a Retry-After only if that was said; then all is well."""
    sim.fail(429, retry_after=2, times=2)
    sim.fail(503)
    answers = [await http.chat() for _ in range(4)]
    assert [answer.status for answer in answers] == [429, 429, 503, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["2", "2", None, None]
    assert answers[0].error["code"] == ""
    assert answers[2].error["code"] == "system_cpu_overloaded"


async def test_fail_in_detail(sim: Simulator, http: Http) -> None:
    """Code, message and headers can be set."""
    sim.fail(429, code="insufficient_quota", message="Pay first", headers={"x-should-retry": "false"})
    response = await http.chat()
    assert (response.error["code"], response.error["message"]) == ("insufficient_quota", "Pay first")
    assert response.headers["X-Should-Retry"] == "false"


@pytest.mark.parametrize(
    ("body", "raw", "content_type"),
    [
        (b"", b"", None),
        ("", b"", None),
        (b"{broken", b"{broken", "application/json; charset=utf-8"),
        ("<html>", b"<html>", "text/html; charset=utf-8"),
        ("Bad Gateway", b"Bad Gateway", "text/plain; charset=utf-8"),
        ({"detail": "no"}, b'{"detail": "no"}', "application/json; charset=utf-8"),
        ([{"error": {}}], b'[{"error": {}}]', "application/json; charset=utf-8"),
    ],
)
async def test_bodies(sim: Simulator, http: Http, body: Any, raw: bytes, content_type: str | None) -> None:
    """A body is sent as it is, as JSON if it is a value, under a fitting content type."""
    sim.fail(502, body=body)
    response = await http.chat(stream=True)
    assert (response.status, response.raw) == (502, raw)
    if content_type is not None:
        assert response.headers["Content-Type"] == content_type


async def test_any_answer_at_all(sim: Simulator, http: Http) -> None:
    """A body and headers make any answer, such as an error after a comment in a stream with status 200."""
    raw = b': PING\n\n{"error":{"message":"late"}}'
    sim.fail(200, body=raw, headers={"content-type": "text/event-stream"})
    response = await http.chat(stream=True)
    assert (response.status, response.raw) == (200, raw)
    assert response.headers["Content-Type"] == "text/event-stream"


async def test_fail_in_a_stream(sim: Simulator, http: Http) -> None:
    """``after=`` lets the error come as an event of a stream that began well."""
    sim.fail(429, code=429, after=2, times=2)
    response = await http.chat(stream=True)
    assert response.status == 200
    assert len(response.events) == 4
    assert response.events[2]["error"]["code"] == 429
    assert response.events[3] == "[DONE]"
    assert (await http.chat(stream=False)).status == 429


async def test_fail_for_some(sim: Simulator, http: Http) -> None:
    """``when=`` lets only some requests fail."""
    sim.fail(500, when="bad", times=None)
    assert [(await http.chat(text)).status for text in ("bad", "good", "bad")] == [500, 200, 500]


async def test_models_fail_too(sim: Simulator, http: Http) -> None:
    """A fault for all requests hits the list of models; one with a condition does not."""
    sim.fail(500, when="bad")
    sim.fail(503)
    assert [(await http.send("GET", "/models")).status for _ in range(2)] == [503, 200]


async def test_refused_requests_do_not_use_the_script(sim: Simulator, http: Http) -> None:
    """What the gateway refuses by itself leaves faults and replies for the next request."""
    sim.fail(503)
    sim.reply("once", times=1)
    assert (await http.chat(max_tokens="x")).status == 500
    assert (await http.chat()).status == 503
    assert (await http.chat()).text == "once"


async def test_break_off(sim: Simulator, http: Http) -> None:
    """A clean cut ends the stream in good order, with [DONE] but without finish reason and usage."""
    sim.cut(after=2, clean=True, times=2)
    response = await http.chat(stream=True)
    assert len(response.events) == 3
    assert response.events[-1] == "[DONE]"
    assert [choice["finish_reason"] for choice in response.choices] == [None, None]
    refused = await http.chat()
    assert (refused.status, refused.error["code"]) == (500, "read_response_body_failed")
