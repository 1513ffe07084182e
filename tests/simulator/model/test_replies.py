"""What the simulated model says."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from anyfast_async.simulator import MODELS, Simulator

from ..raw_client import MODEL, Http

if TYPE_CHECKING:
    import aiohttp

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "now"}}


async def test_shape(http: Http) -> None:
    """A completion has the keys of the gateway, in its order, and an id made from the request id."""
    response = await http.chat("What is the capital of France?")
    completion = response.json
    assert list(completion) == ["id", "model", "object", "created", "choices", "usage"]
    assert completion["id"] == "chatcmpl-" + response.headers["X-Oneapi-Request-Id"]
    assert len(completion["id"]) == len("chatcmpl-20260427111505260254000NBdvZFoP")
    assert completion["id"].startswith("chatcmpl-20260427111505")
    assert (completion["object"], completion["created"], completion["model"]) == (
        "chat.completion",
        1777288505,
        MODEL,
    )
    assert list(completion["choices"][0]) == ["index", "message", "finish_reason"]
    assert completion["choices"][0]["message"]["role"] == "assistant"
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["X-New-Api-Version"]


async def test_text_is_about_the_prompt(http: Http) -> None:
    """The text quotes the prompt, also one that comes in parts."""
    assert "What is the capital of France" in (await http.chat("What is the capital of France?")).text
    parts = [{"type": "text", "text": "Describe this cat"}, {"type": "image_url", "image_url": {"url": "x"}}]
    response = await http.chat([{"role": "user", "content": parts}])
    assert "Describe this cat" in response.text


async def test_usage(http: Http) -> None:
    """Usage has the gateway's keys; tokens are counted from the texts."""
    usage = (await http.chat("x" * 40, max_tokens=7)).json["usage"]
    assert usage == {
        "prompt_tokens": 14,
        "completion_tokens": 7,
        "total_tokens": 21,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "text_tokens": 14,
            "audio_tokens": 0,
            "image_tokens": 0,
        },
        "completion_tokens_details": {
            "text_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
            "reasoning_tokens": 0,
        },
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": None,
        "claude_cache_creation_5_m_tokens": 0,
        "claude_cache_creation_1_h_tokens": 0,
    }


async def test_reruns_are_equal(session: aiohttp.ClientSession) -> None:
    """Two simulators with one seed give equal bytes, ids included; another seed gives others."""
    bodies = []
    for seed in (1, 1, 2):
        async with Simulator(seed=seed) as sim:
            http = Http(session, sim.base_url)
            answers = [await http.chat(f"Question {i}", stream=bool(i % 2), n=2) for i in range(4)]
            bodies.append([answer.raw for answer in answers])
    assert bodies[0] == bodies[1]
    assert all(one != other for one, other in zip(bodies[0], bodies[2], strict=True))


async def test_prompts_differ(http: Http) -> None:
    """Different prompts have different texts and ids."""
    answers = [await http.chat(f"Question {i}") for i in range(20)]
    assert len({answer.text for answer in answers}) == 20
    assert len({answer.json["id"] for answer in answers}) == 20


async def test_max_tokens(http: Http) -> None:
    """A token limit gives the beginning of the same text and ``length``; max_completion_tokens goes first."""
    whole = (await http.chat("Tell me a story")).text
    response = await http.chat("Tell me a story", max_tokens=5)
    choice = response.json["choices"][0]
    assert choice["finish_reason"] == "length"
    assert whole.startswith(choice["message"]["content"])
    assert response.json["usage"]["completion_tokens"] == 5
    both = await http.chat("Tell me a story", max_tokens=5, max_completion_tokens=3)
    assert both.json["usage"]["completion_tokens"] == 3


async def test_enough_tokens(http: Http) -> None:
    """A limit that is not reached changes nothing."""
    assert (await http.chat("Hi", max_tokens=5000)).json["choices"] == (await http.chat("Hi")).json["choices"]


@pytest.mark.parametrize("stop", [" capital", [" capital"], ["nowhere", "", " capital"]])
async def test_stop(http: Http, stop: object) -> None:
    """The text ends before the first stop sequence."""
    choice = (await http.chat("What is the capital of France?", stop=stop)).json["choices"][0]
    assert choice["message"]["content"].endswith('"What is the')
    assert choice["finish_reason"] == "stop"


async def test_only_five_stops(http: Http) -> None:
    """The sixth stop sequence and those after it are ignored, as in the Gemini channel."""
    text = (await http.chat("The capital", stop=["1", "2", "3", "4", "5", " capital"])).text
    assert " capital" in text


async def test_several_choices(http: Http) -> None:
    """``n`` choices come, each its own text, numbered, and all are paid for."""
    completion = (await http.chat("Hello!", n=3)).json
    assert [choice["index"] for choice in completion["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in completion["choices"]]
    assert len(set(texts)) == 3
    assert texts[0] == (await http.chat("Hello!")).text


async def test_answer_tokens(session: aiohttp.ClientSession) -> None:
    """``answer_tokens`` sets the length of texts exactly."""
    async with Simulator(answer_tokens=500) as sim:
        usage = (await Http(session, sim.base_url).chat()).json["usage"]
        assert usage["completion_tokens"] == 500


@pytest.mark.parametrize(
    ("fields", "tokens", "shown"),
    [
        ({"reasoning_effort": "low"}, 16, True),
        ({"reasoning_effort": "none"}, 0, False),
        ({"extra_body": {"google": {"thinking_config": {"thinking_budget": 20}}}}, 20, True),
        ({"extra_body": {"google": {"thinking_config": {"thinking_budget": 0}}}}, 0, False),
        (
            {"extra_body": {"google": {"thinking_config": {"thinking_budget": 9, "include_thoughts": False}}}},
            9,
            False,
        ),
        ({"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}}, 32, True),
    ],
)
async def test_thinking(http: Http, fields: dict[str, Any], tokens: int, *, shown: bool) -> None:
    """Thinking is asked for in two ways, may be shown or not, and is part of the completion tokens."""
    completion = (await http.chat("Hello!", **fields)).json
    usage = completion["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == tokens
    assert usage["completion_tokens"] > tokens
    assert ("reasoning_content" in completion["choices"][0]["message"]) is shown


async def test_thinking_uses_up_the_limit(http: Http) -> None:
    """With a small limit all tokens go to thinking: an empty text with ``length``."""
    completion = (await http.chat("Hello!", reasoning_effort="high", max_tokens=16)).json
    choice = completion["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert choice["message"]["reasoning_content"]
    assert completion["usage"]["completion_tokens"] == 16


async def test_json_mode(http: Http) -> None:
    """``json_object`` gives an object."""
    response = await http.chat("Hello!", response_format={"type": "json_object"})
    assert isinstance(json.loads(response.text), dict)


async def test_json_schema(http: Http) -> None:
    """``json_schema`` gives JSON of that schema, references included."""
    schema = {
        "$defs": {"Color": {"type": "string", "enum": ["red", "green"]}},
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "color": {"$ref": "#/$defs/Color"},
            "sizes": {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 3},
        },
        "required": ["name", "color", "sizes"],
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema}}
    value = json.loads((await http.chat("A thing", response_format=response_format)).text)
    assert list(value) == ["name", "color", "sizes"]
    assert value["color"] in ("red", "green")
    assert len(value["sizes"]) == 3
    assert all(size >= 3 for size in value["sizes"])


async def test_cut_json(http: Http) -> None:
    """Too few tokens cut JSON in the middle, as they do in life."""
    response = await http.chat("Hello!", response_format={"type": "json_object"}, max_tokens=3)
    assert response.json["choices"][0]["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


@pytest.mark.parametrize("model", [model for model in MODELS if "-image" in model])
async def test_images(http: Http, model: str) -> None:
    """Image models append a real PNG as a Markdown image; it costs 1290 tokens."""
    completion = (await http.chat("A cat", model=model)).json
    text, _, image = completion["choices"][0]["message"]["content"].partition("\n![image](data:image/png;base64,")
    assert "A cat" in text
    png = base64.b64decode(image.removesuffix(")"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    start = png.index(b"IDAT") + 4
    assert len(zlib.decompressobj().decompress(png[start:])) == 16 * (1 + 16 * 3)
    assert completion["usage"]["completion_tokens"] > 1290


async def test_no_tokens_for_an_image(http: Http) -> None:
    """Too small a limit leaves the image out."""
    completion = (await http.chat("A cat", model="gemini-3-pro-image-preview", max_tokens=200)).json
    assert completion["choices"][0]["finish_reason"] == "length"
    assert "![image]" not in completion["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("prompt", "choice", "called"),
    [
        ("Call get_weather for Paris", None, ["get_weather"]),
        ("Please get weather in Paris", "auto", ["get_weather"]),
        ("get_weather and now", None, ["get_weather", "now"]),
        ("Hello!", None, []),
        ("Call get_weather", "none", []),
        ("now", "required", ["now"]),
        ("Hello!", {"type": "function", "function": {"name": "now"}}, ["now"]),
    ],
)
async def test_which_tools(http: Http, prompt: str, choice: object, called: list[str]) -> None:
    """Functions are called if the choice forces them, or the prompt names them."""
    fields = {} if choice is None else {"tool_choice": choice}
    completion = (await http.chat(prompt, tools=[WEATHER, CLOCK], **fields)).json["choices"][0]
    calls = completion["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == called
    assert completion["finish_reason"] == ("tool_calls" if called else "stop")
    assert (completion["message"]["content"] == "") is bool(called)


async def test_required_tool(http: Http) -> None:
    """``required`` calls some function even if the prompt names none."""
    message = (await http.chat("Hello!", tools=[WEATHER, CLOCK], tool_choice="required")).json["choices"][0]
    assert len(message["message"]["tool_calls"]) == 1


async def test_tool_arguments(http: Http) -> None:
    """Arguments fit the function's schema, with words of the prompt."""
    response = await http.chat("Call get_weather for Paris", tools=[WEATHER])
    (call,) = response.json["choices"][0]["message"]["tool_calls"]
    assert list(call) == ["id", "type", "function"]
    assert call["id"].startswith("call_")
    arguments = json.loads(call["function"]["arguments"])
    assert arguments["city"] == "Paris"
    assert arguments["unit"] in ("celsius", "fahrenheit")
    assert 1 <= arguments["days"] <= 7


async def test_tool_loop_ends(http: Http) -> None:
    """After a tool has answered, the model answers in text, about what the tool said."""
    history = [
        {"role": "user", "content": "Call get_weather for Paris"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "get_weather says: sunny, 21 degrees"},
    ]
    choice = (await http.chat(history, tools=[WEATHER])).json["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "sunny" in choice["message"]["content"]
