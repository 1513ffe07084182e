"""Quirks in how tool calls are put into an answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from anyfast_async.simulator.http.encoding import decode, json_text
from anyfast_async.simulator.model import prose
from anyfast_async.simulator.quirks.draft import AnswerDraft, Quirk, ToolDeltas

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CALLS", "SIGNATURE"]

SIGNATURE = "CiQB0e2Kb/Y+thought+signature/of+the+simulator=="
"""The thought signature that answers carry; the API treats it as opaque."""

_GEMINI = "new-api relay/channel/gemini/relay-gemini.go (GeminiChatStreamHandler)"
_COMPAT = "Gemini API, OpenAI compatibility"
_SIGNATURES = "Gemini API, thought signatures (ai.google.dev/gemini-api/docs/thought-signatures)"

_Calls: TypeAlias = Sequence[dict[str, Any]]


def _whole(call: dict[str, Any], index: int | None) -> dict[str, Any]:
    return {**({} if index is None else {"index": index}), **call, "function": dict(call["function"])}


def _fragments(call: dict[str, Any]) -> list[str]:
    """The arguments in the pieces in which they are generated; a call without any has none."""
    arguments = call["function"]["arguments"]
    return prose.split(arguments if isinstance(arguments, str) else json_text(arguments))


def _opening(call: dict[str, Any]) -> dict[str, Any]:
    return {"id": call["id"], "type": "function", "function": {"name": call["function"]["name"], "arguments": ""}}


# -- the Gemini channel --------------------------------------------------------------------------------------


def _early(calls: _Calls) -> Iterator[ToolDeltas]:
    yield [{"index": index, **_opening(call)} for index, call in enumerate(calls)], None
    arguments = [{"arguments": call["function"]["arguments"]} for call in calls]
    yield [{"index": index, "type": None, "function": one} for index, one in enumerate(arguments)], None


def _late(calls: _Calls) -> Iterator[ToolDeltas]:
    for index, call in enumerate(calls):
        yield [_whole(call, index)], "tool_calls"


def _all_at_0(calls: _Calls) -> Iterator[ToolDeltas]:
    for call in calls:
        yield [_whole(call, 0)], "tool_calls"


def _early_calls(wire: AnswerDraft) -> None:
    """The gateway makes its role chunk of the first upstream event, so the heads of the calls stand in it."""
    wire.retell_calls(_early)
    roles: dict[int, dict[str, Any]] = {}
    moved: list[dict[str, Any]] = []
    for chunk in wire.chunks():
        for choice in chunk.get("choices") or ():
            delta, index = choice.get("delta") or {}, choice.get("index", 0)
            calls = delta.get("tool_calls")
            if delta.get("role"):
                roles.setdefault(index, delta)
            elif calls and calls[0].get("id") and "tool_calls" not in roles.get(index, delta):
                roles[index]["tool_calls"] = calls
                moved.append(chunk)
    wire.remove(lambda chunk: any(chunk is one for one in moved))


def _late_calls(wire: AnswerDraft) -> None:
    wire.retell_calls(_late)


def _calls_then_stop(wire: AnswerDraft) -> None:
    wire.retell_calls(_late, last="stop")


def _index_0(wire: AnswerDraft) -> None:
    wire.retell_calls(_all_at_0, last="stop")


# -- other channels ------------------------------------------------------------------------------------------


def _openai(calls: _Calls) -> Iterator[ToolDeltas]:
    for index, call in enumerate(calls):
        yield [{"index": index, **_opening(call)}], None
        for fragment in _fragments(call):
            yield [{"index": index, "function": {"arguments": fragment}}], None


def _interleaved(calls: _Calls) -> Iterator[ToolDeltas]:
    yield [{"index": index, **_opening(call)} for index, call in enumerate(calls)], None
    fragments = [_fragments(call) for call in calls]
    for place in range(max(map(len, fragments))):
        for index, mine in enumerate(fragments):
            if place < len(mine):
                yield [{"index": index, "function": {"arguments": mine[place]}}], None


def _claude(calls: _Calls) -> Iterator[ToolDeltas]:
    # The number of the content block: the thinking and text blocks before it count too.
    for index, call in enumerate(calls, start=1):
        number = 2 * index
        yield [{"index": number, **_opening(call)}], None
        for fragment in _fragments(call):
            yield [{"index": number, "type": "function", "function": {"arguments": fragment}}], None


def _anonymous(calls: _Calls) -> Iterator[ToolDeltas]:
    for call in calls:
        yield [_opening(call)], None
        for fragment in _fragments(call):
            yield [{"function": {"arguments": fragment}}], None


def _one_by_one(calls: _Calls) -> Iterator[ToolDeltas]:
    for call in calls:
        yield [_whole(call, None)], None


def _together(calls: _Calls) -> Iterator[ToolDeltas]:
    yield [_whole(call, None) for call in calls], None


def _call_fragments(wire: AnswerDraft) -> None:
    wire.retell_calls(_openai)


def _interleaved_calls(wire: AnswerDraft) -> None:
    wire.retell_calls(_interleaved)


def _claude_indices(wire: AnswerDraft) -> None:
    wire.retell_calls(_claude)


def _fragments_without_index(wire: AnswerDraft) -> None:
    wire.retell_calls(_anonymous)


def _calls_without_index(wire: AnswerDraft) -> None:
    wire.retell_calls(_one_by_one, last="stop")


def _call_list_without_index(wire: AnswerDraft) -> None:
    wire.retell_calls(_together)


def _bare_calls(wire: AnswerDraft) -> None:
    for part in wire.parts():
        for call in part.get("tool_calls") or ():
            call.pop("type", None)
            if "id" in call:
                call["id"] = ""


def _argument_objects(wire: AnswerDraft) -> None:
    wire.retell_calls(_late)
    for part in wire.parts():
        for call in part.get("tool_calls") or ():
            with suppress(ValueError, KeyError):  # scripted arguments may be no JSON, and a delta may have none
                call["function"]["arguments"] = decode(call["function"]["arguments"].encode())


# -- thought signatures --------------------------------------------------------------------------------------


def _extra_content() -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": SIGNATURE}}}


def _thought_signature(wire: AnswerDraft) -> None:
    """Only the first of parallel calls has it, and it has to come back with the history."""
    wire.retell_calls(_signed)
    _sign_messages(wire)


def _thought_signature_apart(wire: AnswerDraft) -> None:
    wire.retell_calls(_signed_apart)
    _sign_messages(wire)


def _signed(calls: _Calls) -> Iterator[ToolDeltas]:
    yield [_whole(call, None) | (_extra_content() if number == 0 else {}) for number, call in enumerate(calls)], None


def _signed_apart(calls: _Calls) -> Iterator[ToolDeltas]:
    yield [_whole(call, index) for index, call in enumerate(calls)], None
    yield [{"index": 0, **_extra_content()}], None


def _sign_messages(wire: AnswerDraft) -> None:
    for message in wire.messages():
        for call in (message.get("tool_calls") or ())[:1]:
            call.update(_extra_content())
    for number, message in enumerate(wire.request["messages"]):
        calls = message.get("tool_calls") if message.get("role") == "assistant" else None
        if calls and _signature(calls[0]) != SIGNATURE:
            wire.refuse(400, [{"error": _missing(calls[0], number)}])


def _signature(call: Any) -> Any:
    for name in ("extra_content", "google", "thought_signature"):
        call = call.get(name) if isinstance(call, dict) else None
    return call


def _missing(call: Any, position: int) -> dict[str, Any]:
    name = (call.get("function") or {}).get("name") if isinstance(call, dict) else None
    message = (
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
        f"correctly. Function call `{name}`, position {position}."
    )
    return {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}


CALLS = (
    Quirk(
        "early-tool-calls",
        "tool calls in the first upstream event: id and name in one chunk, all arguments in the next, with type null",
        _GEMINI,
        "streamed",
        _early_calls,
    ),
    Quirk(
        "late-tool-calls",
        "every tool call whole in a chunk of its own that has a finish reason already, then the end",
        _GEMINI,
        "streamed",
        _late_calls,
    ),
    Quirk(
        "tool-calls-then-stop",
        'the same, but the last finish reason is "stop"',
        f"googleapis/python-genai#2868; {_GEMINI}, before May 2026",
        "streamed",
        _calls_then_stop,
    ),
    Quirk(
        "tool-calls-at-index-0",
        "all parallel tool calls have index 0",
        f"{_GEMINI}, before January 2026; Ollama, parallel tool calls",
        "streamed",
        _index_0,
    ),
    Quirk(
        "tool-call-fragments",
        "arguments in fragments that have nothing but the index",
        "OpenAI API reference, streaming; relayed verbatim, new-api relay/channel/openai/relay-openai.go",
        "streamed",
        _call_fragments,
    ),
    Quirk(
        "interleaved-tool-calls",
        "fragments of parallel tool calls take turns",
        "OpenAI API reference, streaming (tool_calls[].index)",
        "streamed",
        _interleaved_calls,
    ),
    Quirk(
        "claude-tool-indices",
        "indices are those of content blocks, 2, 4 ...; every fragment repeats the type",
        "new-api relay/channel/claude/relay-claude.go",
        "streamed",
        _claude_indices,
    ),
    Quirk(
        "tool-calls-without-index",
        'whole tool calls without index, one per chunk; ends with "stop"',
        f"{_COMPAT}: THU-MAIC/OpenMAIC#1556, open-webui/computer#224, microclaw/microclaw#230",
        "streamed",
        _calls_without_index,
    ),
    Quirk(
        "tool-call-list-without-index",
        "whole tool calls without index, all in one chunk",
        f"{_COMPAT}: THU-MAIC/OpenMAIC#1556, open-webui/computer#224",
        "streamed",
        _call_list_without_index,
    ),
    Quirk(
        "tool-fragments-without-index",
        "fragments with neither index nor id continue the last tool call",
        f"{_COMPAT}: open-webui/computer#224",
        "streamed",
        _fragments_without_index,
    ),
    Quirk(
        "bare-tool-calls",
        'tool calls without type, their id is ""',
        "upstreams relayed verbatim, new-api relay/channel/openai/relay-openai.go",
        "both",
        _bare_calls,
    ),
    Quirk(
        "argument-objects",
        "arguments are a JSON object instead of its text",
        "Ollama API, tool calling (arguments of its own API)",
        "both",
        _argument_objects,
    ),
    Quirk(
        "thought-signature",
        "the first of parallel tool calls carries extra_content.google.thought_signature; a request whose history "
        "lacks it gets a 400",
        f"{_SIGNATURES}; noho/dayu-agent#45",
        "both",
        _thought_signature,
    ),
    Quirk(
        "thought-signature-apart",
        "the same, but in a stream the signature comes in a delta of its own",
        f"{_SIGNATURES}; microclaw/microclaw#230",
        "both",
        _thought_signature_apart,
    ),
)
"""What gateways and providers do to tool calls."""
