"""Answers in the gateway's wire shapes: a completion, the chunks of a stream, the list of models.

Pure. Keys, their order and the quirks are those of new-api's Gemini channel: ``relay-gemini.go``
(`GeminiChatHandler`, `GeminiChatStreamHandler`), ``dto/openai_response.go``, ``relay/helper/common.go``.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from anyfast_async.simulator.model.replies import Answer, Candidate, SimulatedToolCall

__all__ = ["Chunk", "chunks", "completion", "model_entry", "model_list"]


def completion(answer: Answer) -> dict[str, Any]:
    """The answer in one object (`OpenAITextResponse`: id, model, object, created, choices, usage)."""
    return {
        "id": answer.id,
        "model": answer.model,
        "object": "chat.completion",
        "created": answer.created,
        "choices": [_choice(index, candidate) for index, candidate in enumerate(answer.candidates)],
        "usage": answer.usage,
    }


def _choice(index: int, candidate: Candidate) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(candidate.pieces)}
    if candidate.reasoning:
        message["reasoning_content"] = "".join(candidate.reasoning)
    if candidate.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in candidate.tool_calls
        ]
    return {"index": index, "message": message, "finish_reason": candidate.finish_reason}


@attrs.frozen
class Chunk:
    """One event of a stream, and how many tokens of its choice were generated before it."""

    tokens_before: int
    data: dict[str, Any]


def chunks(answer: Answer) -> Iterator[Chunk]:
    """The events of a streamed answer; the last is the usage chunk, for clients that did not decline it."""
    head = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": None,
    }
    rounds = zip_longest(*(_deltas(one) for one in answer.candidates))
    last = 0
    for several in rounds:  # choices take turns
        for index, delta in enumerate(several):
            if delta is None:
                continue
            last = max(last, delta.tokens_before)
            choice = {
                "delta": delta.fields,
                "logprobs": None,
                "finish_reason": delta.finish_reason,
                "index": index,
            }
            yield Chunk(delta.tokens_before, {**head, "choices": [choice], "usage": None})
    yield Chunk(last, {**head, "choices": [], "usage": answer.usage})


@attrs.frozen
class _Delta:
    tokens_before: int
    fields: dict[str, Any]
    finish_reason: str | None = None


def _deltas(candidate: Candidate) -> Iterator[_Delta]:
    if candidate.tool_calls and not candidate.reasoning and not candidate.pieces:
        yield from _early_calls(candidate)
    else:
        yield from _text_then_calls(candidate)


def _early_calls(candidate: Candidate) -> Iterator[_Delta]:
    """Tool calls in the upstream's first event: the head in the role chunk, the arguments in a second one.

    `GeminiChatStreamHandler` copies the calls into the start chunk without their arguments and clears id,
    type and name in what follows (`ClearToolCalls`), so that the type comes as null and the id is missing.
    """
    before = candidate.thought_tokens
    calls = candidate.tool_calls
    yield _Delta(
        before,
        {"content": "", "role": "assistant", "tool_calls": [_call(i, c, "") for i, c in _numbered(calls)]},
    )
    rest = [{"index": i, "type": None, "function": {"arguments": c.arguments}} for i, c in _numbered(calls)]
    yield _Delta(candidate.tokens, {"content": "", "tool_calls": rest})
    yield _Delta(candidate.tokens, {}, candidate.finish_reason)


def _text_then_calls(candidate: Candidate) -> Iterator[_Delta]:
    """A role chunk, thoughts, text, tool calls (each whole, with the finish reason), and the end.

    A `stop` has its own chunk with an empty delta; any other reason rides on the last chunk with content.
    """
    # Thoughts that are not shown take their time all the same.
    before = 0 if candidate.reasoning else candidate.thought_tokens
    yield _Delta(before, {"content": "", "role": "assistant"})
    for piece in candidate.reasoning:
        yield _Delta(before, {"reasoning_content": piece})
        before += 1
    own_chunk = candidate.finish_reason in ("stop", "tool_calls")
    # An upstream event without text (the limit was used up by thinking) still makes a chunk.
    pieces = candidate.pieces or (() if own_chunk else ("",))
    for number, piece in enumerate(pieces, start=1):
        ends = number == len(pieces) and not own_chunk and not candidate.tool_calls
        yield _Delta(before, {"content": piece}, candidate.finish_reason if ends else None)
        before += 1
    for index, call in _numbered(candidate.tool_calls):
        yield _Delta(before, {"content": "", "tool_calls": [_call(index, call, call.arguments)]}, "tool_calls")
    if own_chunk or candidate.tool_calls:
        yield _Delta(candidate.tokens, {}, candidate.finish_reason)


def _numbered(calls: tuple[SimulatedToolCall, ...]) -> list[tuple[int, SimulatedToolCall]]:
    return list(enumerate(calls))


def _call(index: int, call: SimulatedToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments}
    return {"index": index, "id": call.id, "type": "function", "function": function}


def model_list(models: Iterable[str]) -> dict[str, Any]:
    """``GET /v1/models`` (controller/model.go: `ListModels`; a Go map, so its keys are sorted)."""
    return {"data": [model_entry(model) for model in models], "object": "list", "success": True}


def model_entry(model: str) -> dict[str, Any]:
    """One model of the list (dto/pricing.go: `OpenAIModels`; ``created`` is a constant there)."""
    return {
        "id": model,
        "object": "model",
        "created": 1626777600,
        "owned_by": "vertex-ai",
        "supported_endpoint_types": ["gemini", "openai"],
    }
