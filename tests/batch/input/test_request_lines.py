"""Lines of a batch's input: what is taken, and what is refused with which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from anyfast_async._core.json import codec
from anyfast_async.batch.input.request_lines import (
    ID_NAMES,
    LineError,
    bare_request,
    batch_request,
    given_id,
    object_in,
)


def test_a_good_line(make_line: Callable[..., bytes]) -> None:
    """A line in the OpenAI Batch format gives the request of its body."""
    problems: list[str] = []
    request = batch_request(
        object_in(make_line("row-1", max_tokens=50, response_format={"type": "json_object"})), problems
    )

    assert request is not None
    assert ("gemini-2.5-flash", 50, {"type": "json_object"}) == (
        request.model,
        request.max_tokens,
        request.response_format,
    )
    assert (({"role": "user", "content": "Hi"},), []) == (request.messages, problems)


@pytest.mark.parametrize("stream", [None, False])
def test_stream_may_be_said_to_be_off(make_line: Callable[..., bytes], stream: object) -> None:
    """``"stream": false`` and ``null`` are what a batch does anyway."""
    data = json.loads(make_line())
    data["body"]["stream"] = stream
    problems: list[str] = []

    assert batch_request(data, problems) is not None
    assert problems == []


@pytest.mark.parametrize(
    ("top_level", "body", "problems"),
    [
        ({"method": "GET"}, {}, ["method: is 'GET'; must be 'POST'"]),
        ({"method": None}, {}, ["method: is missing; must be 'POST'"]),
        ({"url": "/v1/embeddings"}, {}, ["url: is '/v1/embeddings'; must be '/v1/chat/completions'"]),
        ({"url": "\x1b[31m"}, {}, ["url: is '\\\\x1b[31m'; must be '/v1/chat/completions'"]),
        ({"body": None}, {}, ["body: is missing; it is the request, an object with model and messages"]),
        ({"body": []}, {}, ["body: must be an object, not list of 0 items"]),
        ({}, {"stream": True}, ["body.stream: must be absent or false in a batch"]),
        ({}, {"messages": []}, ["body.messages: must not be empty: at least one message with content"]),
        (
            {"method": "PUT"},
            {"stream": 1, "temperature": 2.1, "n": 0},
            [
                "method: is 'PUT'; must be 'POST'",
                "body.stream: must be absent or false in a batch",
                "body.temperature: must be a number from 0 to 2, not 2.1",
                "body.n: must be an integer of at least 1, not 0",
            ],
        ),
    ],
)
def test_every_problem_of_a_line(
    make_line: Callable[..., bytes], top_level: dict[str, Any], body: dict[str, Any], problems: list[str]
) -> None:
    """A bad line names each bad field, those of the body included, in one go."""
    found: list[str] = []

    batch_request(object_in(make_line("a", top_level, **body)), found)

    assert problems == found


def test_a_bare_request() -> None:
    """A body may stand on a line by itself, with an id beside its fields, which is not sent."""
    messages = [{"role": "user", "content": "Hi"}]
    problems: list[str] = []

    good = bare_request({"id": 7, "custom_id": "a", "messages": messages, "top_p": 0.5}, problems)
    bad = bare_request({"messages": messages, "temperature": 3, "stream": True}, problems)

    assert good is not None
    assert (0.5, None, None) == (good.top_p, good.extra_body, bad)
    assert [
        "stream: must be absent or false in a batch",
        "temperature: must be a number from 0 to 2, not 3",
    ] == problems


@pytest.mark.parametrize(
    ("value", "digits", "custom_id", "problems"),
    [
        ({"custom_id": "a", "id": "b"}, True, "a", []),
        ({"id": "b"}, True, "b", []),
        ({"id": 7}, True, "7", []),
        ({}, True, None, []),
        ({"custom_id": None, "id": 7}, True, "7", []),
        ({"id": True}, True, None, ["id: must be a non-empty string or a whole number, not True"]),
        ({"id": 1.5}, True, None, ["id: must be a non-empty string or a whole number, not 1.5"]),
        ({"custom_id": 7}, False, None, ["custom_id: must be a non-empty string, not 7"]),
        ({"custom_id": ""}, False, None, ["custom_id: must be a non-empty string, not str of 0 characters"]),
    ],
)
def test_given_ids(value: dict[str, Any], digits: bool, custom_id: str | None, problems: list[str]) -> None:
    """An id is text, or with *digits* a whole number; the first place that has one counts."""
    found: list[str] = []

    assert custom_id == given_id(value, ID_NAMES, found, digits=digits)
    assert problems == found


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{not json}\n", "is not JSON"),
        (b'{"custom_id": "a"', "is not JSON"),
        (b"[]\n", "must be a JSON object, not list of 0 items"),
        (b'"x"\n', "must be a JSON object, not str of 1 characters"),
        (b'{"a": "\xff"}\n', "is not UTF-8 (byte 8 of the line); if the file is from Windows, --encoding cp1252"),
    ],
)
def test_no_object_at_all(data: bytes, problem: str) -> None:
    """What is no JSON object in UTF-8 is refused as a whole."""
    with pytest.raises(LineError) as caught:
        object_in(data)

    assert ((problem,), None) == (caught.value.problems, caught.value.custom_id)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", True),
        ("metadata", {"run": "7"}),
        ("logit_bias", {"50256": -100}),
        ("service_tier", "auto"),
        ("prompt_cache_key", "k1"),
        ("safety_identifier", "u1"),
        ("verbosity", "low"),
        ("modalities", ["text"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("web_search_options", {}),
    ],
)
def test_fields_that_pass_through(make_line: Callable[..., bytes], name: str, value: Any) -> None:
    """Fields of OpenAI's API that have no rule here are sent as they stand."""
    problems: list[str] = []

    request = batch_request(object_in(make_line("a", **{name: value})), problems)

    assert request is not None, problems
    assert value == codec.body_of(request, stream=False)[name]


def test_an_extra_body_is_applied(make_line: Callable[..., bytes]) -> None:
    """Its fields stand beside the others; what the gateway reads under a literal extra_body stays there."""
    extra = {"top_k": 5, "store": False, "google": {"thinking_config": {}}}
    request = batch_request(object_in(make_line("a", extra_body=extra, store=True)), [])

    assert request is not None
    body = codec.body_of(request, stream=False)
    assert (5, False, {"google": {"thinking_config": {}}}) == (body["top_k"], body["store"], body["extra_body"])
