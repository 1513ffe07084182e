"""The gateway as a pure function: any request has an answer."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from anyfast_async.simulator.http.gateway import Delivery, Gateway, Incoming, Settings
from anyfast_async.simulator.script.rules import Script

from ..raw_client import MODEL

SETTINGS = Settings(
    seed=0,
    created=0,
    models=None,
    api_keys=None,
    strict=False,
    latency=None,
    answer_tokens=None,
    ping=None,
    max_body=1_000_000,
)
HEADERS = {"authorization": "Bearer k", "content-type": "application/json"}
FIELDS = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "stop",
    "n",
    "response_format",
    "tools",
    "tool_choice",
    "reasoning_effort",
    "extra_body",
    "temperature",
    "user",
    "role",
    "content",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "parameters",
    "properties",
    "items",
    "type",
    "json_schema",
    "schema",
    "google",
    "thinking_config",
    "thinking_budget",
    "enum",
    "required",
    "$ref",
    "anyOf",
    "minimum",
    "maximum",
    "minItems",
    "format",
    "text",
    "image_url",
    "include_usage",
]
WORDS = ["", "x", MODEL, "user", "tool", "required", "none", "object", "array", "integer", "json_schema", "#"]


def handled(body: object) -> Delivery:
    request = Incoming(
        method="POST", path="/v1/chat/completions", headers=HEADERS, raw=json.dumps(body).encode(), now=0.0
    )
    return Gateway(SETTINGS, Script()).handle(request)


def anything(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(5 if depth > 4 else 8)
    if kind < 5:
        return [None, random.random() < 0.5, random.randint(-2, 9), random.random(), random.choice(WORDS)][kind]
    if kind == 5:
        return [anything(random, depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(FIELDS): anything(random, depth + 1) for _ in range(random.randrange(5))}


@pytest.mark.parametrize("seed", range(20))
def test_any_body_is_answered(seed: int) -> None:
    """Whatever JSON is sent, it is answered or refused; nothing breaks."""
    random = Random(seed)
    for _ in range(200):
        usual = {"model": MODEL, "messages": [{"role": "user", "content": "Call x"}]}
        odd = {random.choice(FIELDS): anything(random) for _ in range(random.randrange(6))}
        delivery = handled(usual | odd)
        assert delivery.status in (200, 400, 500)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_schema", "json_schema": "x"}},
        {"tools": [{"type": "function", "function": {"name": "x"}}], "tool_choice": {"function": "x"}},
        {"stop": {"a": 1}, "user": 5, "tools": []},
    ],
)
def test_odd_but_answered(fields: dict[str, Any]) -> None:
    """Odd values that the gateway does not check are passed over."""
    assert handled({"model": MODEL, "messages": [{"role": "user", "content": "x"}], **fields}).status == 200


@pytest.mark.parametrize("schema", [{"properties": [1]}, {"enum": 5}, {"type": "array", "minItems": "x"}])
@pytest.mark.parametrize("stream", [False, True])
def test_malformed_schema(schema: dict[str, Any], *, stream: bool) -> None:
    """A malformed schema is refused by the provider: 400 with a numeric code."""
    delivery = handled(
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "x"}],
            "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
            "stream": stream,
        }
    )
    assert delivery.status == 400
    assert json.loads(delivery.body)["error"]["code"] == 400


def test_body_is_handed_back() -> None:
    """A delivery knows the decoded body, for the record."""
    body = {"model": MODEL, "messages": []}
    assert handled(body).request_body == body
