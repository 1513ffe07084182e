"""One format, one reader: the same bytes come to the same answer through every way there is to it.

``data/cases/entrances.json`` holds what a server sends and what it amounts to. Where an answer is handed on in pieces,
the pieces are put together the plain way, as programs for the vendor SDK do: text to text, and calls by their index.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from anyfast_async import AnyFast, AnyFastError, RetryPolicy
from anyfast_async import openai as door
from anyfast_async._core.journal.journal_lines import answer_line, completion_in
from anyfast_async._core.json import codec
from anyfast_async._values.reasoning import thoughts_of
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk

if TYPE_CHECKING:
    from conftest import Connect, RawServers

CASES: Final = Path(__file__).parent / "data" / "cases"
ROWS: Final[list[dict[str, Any]]] = json.loads((CASES / "entrances.json").read_text(encoding="utf-8"))
KEY: Final = "sk-test-0123456789-abcdefgh"
SOON: Final = RetryPolicy(attempts=4, backoff=(0.01, 0.01))
ONCE: Final = RetryPolicy(attempts=1, throttle_patience=0.01)
STATED: Final = {"InternalServerError", "RateLimitError"}
"""What the gateway states before there is any content may be sent again, in a map for as long as it takes."""
Seen: TypeAlias = dict[str, Any]


def seen_of(found: ChatCompletion) -> Seen:
    """What a completion says, as the table writes it."""
    usage = found.usage
    return {
        "text": found.text,
        "finish": found.finish_reason,
        "reasoning": found.reasoning,
        "calls": [[call.name, call.arguments] for call in found.tool_calls if call.function is not None],
        "tokens": None if usage is None else [usage.prompt_tokens, usage.completion_tokens],
    }


def put_together(chunks: Iterable[Mapping[str, Any]]) -> Seen:
    """What chunks come to that are put together the plain way."""
    text, reasoning, finish, tokens = "", "", None, None
    calls: dict[int, list[str]] = {}
    for raw in chunks:
        chunk = codec.structure(raw, ChatCompletionChunk)
        usage = chunk.usage
        tokens = tokens if usage is None else [usage.prompt_tokens, usage.completion_tokens]
        for choice in raw.get("choices") or ():
            if choice["index"] != 0:
                continue
            delta = choice["delta"]
            text += delta.get("content") or ""
            finish = choice.get("finish_reason") or finish
            for call in delta.get("tool_calls") or ():
                if not isinstance(function := call.get("function"), dict):
                    continue  # of a custom tool
                name, arguments = calls.setdefault(call["index"], ["", ""])
                name, arguments = name + (function.get("name") or ""), arguments + (function.get("arguments") or "")
                calls[call["index"]] = [name, arguments]
        deltas = (choice.delta for choice in chunk.choices if choice.index == 0 and choice.delta is not None)
        reasoning += "".join(map(thoughts_of, deltas))
    placed = [calls[index] for index in sorted(calls)]
    return {"text": text, "finish": finish, "reasoning": reasoning, "calls": placed, "tokens": tokens}


# -- the ways --------------------------------------------------------------------------------------------------------


async def complete(client: AnyFast) -> Seen:
    return seen_of(await client.complete("q"))


async def via_stream(client: AnyFast) -> Seen:
    return seen_of(await client.complete("q", via_stream=True))


async def in_map(client: AnyFast) -> Seen:
    (result,) = await client.map(["q"])
    return seen_of(result.unwrap())


async def recorded(client: AnyFast) -> Seen:
    """An answer that went through a journal."""
    found = completion_in(answer_line("x", await client.complete("q"), stem="0" * 12))
    assert found is not None
    return seen_of(found)


async def stream(client: AnyFast) -> Seen:
    async with client.stream("q") as tokens:
        text = "".join([token async for token in tokens])
    return seen_of(tokens.completion) | {"text": text}


async def chunks(client: AnyFast) -> Seen:
    async with client.stream("q") as opened:
        found = [codec.as_dict(chunk) async for chunk in opened.chunks()]
    assert seen_of(opened.completion)["text"] == put_together(found)["text"]
    return put_together(found)


async def sse(client: AnyFast) -> Seen:
    async with client.stream("q") as opened:
        data = b"".join([piece async for piece in opened.sse()])
    events = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event]
    found = [json.loads(event) for event in events if event != b"[DONE]"]
    if any("error" in event for event in found):
        assert [found[-1]] == [event for event in found if "error" in event]
        return {"failed": found[-1]["error"]["message"], "partial": put_together(found[:-1])["text"]}
    assert b"[DONE]" == events[-1]
    return put_together(found)


async def door_create(client: door.AsyncOpenAI) -> Seen:
    found = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}])
    return seen_of(codec.structure(found.to_dict(), ChatCompletion))


async def door_stream(client: door.AsyncOpenAI) -> Seen:
    opened = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}], stream=True)
    return put_together([chunk.to_dict() async for chunk in opened])


async def door_events(client: door.AsyncOpenAI) -> Seen:
    async with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "q"}]) as opened:
        events = [event async for event in opened]
        final = await opened.get_final_completion()
    found = seen_of(codec.structure(final.to_dict(), ChatCompletion))
    done: list[Any] = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    said: list[Any] = [event for event in events if event.type == "content.done"]
    assert found["calls"] == [[e.name, e.arguments] for e in sorted(done, key=lambda e: e.index) if e.name]
    assert found["text"].startswith(said[0].content if said else "")  # a finish reason may come too early
    return found


OURS: Final[list[Callable[[AnyFast], Awaitable[Seen]]]] = [
    complete,
    via_stream,
    in_map,
    recorded,
    stream,
    chunks,
    sse,
]
DOOR: Final[list[Callable[[door.AsyncOpenAI], Awaitable[Seen]]]] = [door_create, door_stream, door_events]


def as_expected(way: str, seen: Seen, row: dict[str, Any]) -> None:
    result = row["result"]
    if "failed" in seen:
        assert seen.get("error", result["error"]) == result["error"], way
        assert result["message"] in seen["failed"], way
        assert (result.get("partial") or "") == (seen.get("partial") or ""), way
        return
    wanted = {"reasoning": "", "calls": [], "tokens": None} | result
    if "plain" in row and way in ("chunks", "sse", "door_stream"):
        wanted["calls"] = row["plain"]
    assert wanted == seen, way


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
async def test_every_way_comes_to_the_same(raw_server: RawServers, connect: Connect, row: dict[str, Any]) -> None:
    """Text, thoughts, calls, finish reason, usage, error and partial answer; what is paid for is never sent again."""
    answer = raw_server.answer(row["body"].encode(), content_type=row["type"])
    server = await raw_server([answer])
    result = row["result"]
    stated = result.get("error") in STATED and not result.get("partial")

    def client() -> AnyFast:  # another one for each way, as a refusal would hold the next
        return connect(server.base_url, retry=ONCE if stated else SOON)

    async with door.AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as other:
        ways: list[tuple[str, Callable[[], Awaitable[Seen]]]] = [
            *((way.__name__, lambda way=way: way(client())) for way in OURS if not (stated and way is in_map)),
            *((way.__name__, lambda way=way: way(other)) for way in DOOR),
        ]
        for name, way in ways:
            before = len(server.requests)
            try:
                seen = await way()
            except AnyFastError as error:
                seen = {"failed": error.message, "partial": error.partial.text if error.partial is not None else None}
                if not name.startswith("door"):
                    seen["error"] = type(error).__name__
            assert ("error" in result) == ("failed" in seen), (name, seen)
            as_expected(name, seen, row)
            assert 1 == len(server.requests) - before, name
