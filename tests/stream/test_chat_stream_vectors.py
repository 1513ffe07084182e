"""The chat-stream vectors through the client, over a socket, in every framing that a vector asks for."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from anyfast_async import APIError, IncompleteStreamError, ResponseShapeError, RetryPolicy
from anyfast_async._core.json import codec

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "sse_vectors.json").read_text())["llm"]


def script(vector: dict[str, Any], servers: Any, step: int) -> list[Any]:
    """What the server plays for a vector; the body goes out *step* bytes at a time."""
    body = base64.b64decode(vector["input_b64"])
    kind = {"content_type": vector["content_type"]}
    match vector["name"]:
        case "content-length-cut":
            return [servers.head(**kind, content_length=str(len(body) + 100)) + body, ("sleep", 0.02), "fin"]
        case "chunked-cut":
            return [servers.head(**kind, transfer_encoding="chunked") + servers.chunk(body), ("sleep", 0.02), "fin"]
        case "gzip":
            packer = zlib.compressobj(wbits=31)
            events = [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]
            pieces = [packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH) for event in events] + [packer.flush()]
            head = servers.head(**kind, transfer_encoding="chunked", content_encoding="gzip")
            return [head, *[servers.chunk(piece) for piece in pieces if piece], servers.LAST]
    pieces = [body[i : i + step] for i in range(0, len(body), step)]
    return [servers.head(**kind, transfer_encoding="chunked"), *map(servers.chunk, pieces), servers.LAST]


@pytest.mark.parametrize("step", [7, 1_000_000])
@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
async def test_vector(  # noqa: C901 - one check for each thing that a vector names
    raw_server: Any, connect: Any, vector: dict[str, Any], step: int
) -> None:
    """Outcome, text, finish reasons, tool calls, usage, status and message are those that the vector names."""
    expect = vector["expect"]
    if len(base64.b64decode(vector["input_b64"])) > 20_000 and step == 7:
        step = 997
    server = await raw_server(script(vector, raw_server, step))
    client = connect(server.base_url, retry=RetryPolicy(attempts=1))
    error: Any = None
    completion: Any = None
    try:
        completion = await client.complete("x", via_stream=True)
        outcome = "complete"
    except APIError as found:
        outcome, error = "api_error", found
    except ResponseShapeError as found:
        outcome, error = "protocol_error", found
    except IncompleteStreamError as found:
        outcome, error = "truncated", found
    answer = completion if error is None else error.partial
    assert outcome in expect.get("any_of", [expect["outcome"]])
    choices = answer.choices if answer is not None else ()
    if "text" in expect:
        assert expect["text"] == {str(choice.index): choice.message.text for choice in choices}
    if "finish_reason" in expect:
        assert expect["finish_reason"] == {str(choice.index): choice.finish_reason for choice in choices}
    if "tool_calls" in expect:
        calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls]
        assert expect["tool_calls"] == calls
    if "usage" in expect:
        assert expect["usage"] == codec.as_dict(answer.usage)
    if "status" in expect:
        assert expect["status"] == error.status_code
    if "message" in expect:
        assert expect["message"] == error.message
