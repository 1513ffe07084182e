"""What gateways really send, through this client and through the vendor's SDK, side by side.

Run ``python benchmarks/quirks.py``; it needs the ``openai`` package. Each row is one answer, played byte for byte by a
raw server on loopback to both clients. The last column says whether what came out is right.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import openai

from anyfast_async import AnyFast, AnyFastError, RetryPolicy

logging.disable(logging.CRITICAL)

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def body(value: Any, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    extra = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(raw)}\r\n{extra}\r\n"
    return head.encode() + raw


def stream(*payloads: Any, done: bool = True) -> bytes:
    """An event stream that ends when the connection does."""
    events = b"".join(b"data: " + json.dumps(p).encode() + b"\n\n" for p in payloads)
    return STREAM_HEAD + events + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta: Any, finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    """One chunk with one choice."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return head | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]} | fields


def call(call_id: str | None, name: str, arguments: str, **fields: Any) -> dict[str, Any]:
    """One tool call in a delta."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}} | fields


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
STOP = chunk({}, "stop")


@attrs.frozen
class Row:
    """One answer, and what must come of it."""

    what: str
    answer: bytes
    right: Callable[[str], bool]
    streamed: bool = True


ROWS = [
    Row(
        "first chunk is choice 1",
        stream(chunk({"content": "B"}, "stop", 1), chunk({"content": "A"}, "stop", 0)),
        lambda out: "'A', 'B'" in out,
    ),
    Row(
        "tool call without index",
        stream(chunk({"tool_calls": [call("t", "f", "{}")]}), STOP),
        lambda out: "f({})" in out,
    ),
    Row(
        "two parallel calls, both index 0",
        stream(chunk({"tool_calls": [call("c1", "f", '{"a":1}', index=0), call("c2", "g", '{"b":2}', index=0)]}), STOP),
        lambda out: 'f({"a":1})' in out and 'g({"b":2})' in out,
    ),
    Row(
        "usage, then a chunk with usage null",
        stream(chunk({"content": "x"}, "stop", usage=USAGE), chunk({}, usage=None)),
        lambda out: "3 tokens" in out,
    ),
    Row(
        "no finish_reason, no [DONE]",
        stream(chunk({"content": "half an ans"}), done=False),
        lambda out: "IncompleteStream" in out,
    ),
    Row(
        "[DONE] after a broken upstream",
        stream(chunk({"content": "half an ans"})),
        lambda out: "IncompleteStream" in out,
    ),
    Row(
        "object missing",
        stream({"id": "c", "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}),
        lambda out: "'x'" in out,
    ),
    Row(
        "role on every chunk",
        stream(*[chunk({"role": "assistant", "content": t}) for t in "ab"], STOP),
        lambda out: "'ab'" in out and "role=assistant;" in out,
    ),
    Row("delta: null", stream(chunk({"content": "x"}), chunk(None, "stop")), lambda out: "'x'" in out),
    Row(
        "BOM before the first event",
        STREAM_HEAD + b"\xef\xbb\xbf" + stream(chunk({"content": "x"}), STOP)[len(STREAM_HEAD) :],
        lambda out: "'x'" in out,
    ),
    Row(
        "bad UTF-8 in the text",
        stream(chunk({"content": "a?b"}, "stop")).replace(b"?", b"\xff"),
        lambda out: "'a" in out,
    ),
    Row(
        "bare JSON error after the stream began",
        stream(chunk({"content": "x"}), done=False) + b'{"error":{"message":"overloaded","code":503}}',
        lambda out: "overloaded" in out,
    ),
    Row("stream=true answered by a JSON error", body({"error": {"message": "quota"}}), lambda out: "quota" in out),
    Row("200 with an error object", body({"error": {"message": "no credit"}}), lambda out: "no credit" in out, False),
    Row(
        "200 with a web page",
        body(b"<html><title>Console</title></html>", kind="text/html"),
        lambda out: "ResponseShape" in out,
        False,
    ),
    Row(
        "Gemini's list-wrapped error",
        body([{"error": {"code": 400, "message": "bad schema", "status": "INVALID_ARGUMENT"}}], 400),
        lambda out: "bad schema" in out,
        False,
    ),
]


def shown(choices: Any, usage: Any) -> str:
    """Describe an answer, of either client."""
    texts = [c.message.content for c in choices]
    calls = [f"{t.function.name}({t.function.arguments})" for c in choices for t in c.message.tool_calls or ()]
    tokens = f"{usage.total_tokens} tokens" if usage else "no usage"
    return f"{', '.join(map(repr, texts))}; role={choices[0].message.role}; {tokens}; {' '.join(calls)}".strip("; ")


async def ours(base_url: str, row: Row) -> str:
    """Through this client."""
    async with AnyFast("sk-test", base_url=base_url, model="m", retry=RetryPolicy(attempts=1)) as client:
        completion = await client.complete("x", via_stream=row.streamed)
        return shown(completion.choices, completion.usage)


async def theirs(base_url: str, row: Row) -> str:
    """Through the vendor's SDK, with its own accumulator."""
    async with openai.AsyncOpenAI(api_key="sk-test", base_url=base_url, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "x"}]
        if not row.streamed:
            answer: Any = await client.chat.completions.create(model="m", messages=messages)
        else:
            async with client.chat.completions.stream(model="m", messages=messages) as events:
                answer = await events.get_final_completion()
        return repr(answer) if isinstance(answer, str) else shown(answer.choices, answer.usage)


async def outcome(work: Awaitable[str]) -> str:
    """What came out: an answer, or the exception's class and text."""
    try:
        return await work
    except (AnyFastError, openai.OpenAIError) as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - what the other client does with it is what is measured
        return f"crash: {type(error).__name__}: {error}"


async def main() -> int:
    """Play every row to both clients and print the table."""
    answer = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    right = [0, 0]
    for row in ROWS:
        answer = row.answer
        print(row.what)
        for number, (name, client) in enumerate([("anyfast_async", ours), (f"openai {openai.__version__}", theirs)]):
            said = (await outcome(client(base_url, row))).replace("\n", " ")
            good = row.right(said)
            right[number] += good
            print(f"  {name:<14} {'right' if good else 'WRONG'}  {said[:130]}")
    server.close()
    print(f"\nright: anyfast_async {right[0]} of {len(ROWS)}, openai {openai.__version__} {right[1]} of {len(ROWS)}")
    return 0 if right[0] == len(ROWS) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
