"""Prompts and answers as the GenAI conventions want them on spans, where somebody asked for them.

The shapes: ``gen-ai-input-messages.json`` and ``gen-ai-output-messages.json`` of the conventions. Of files and media
only the kind is told: a span is no place for megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anyfast_async._core.json import codec
from anyfast_async.completions import ChatCompletion
from anyfast_async.messages import TextPart, ToolCall
from anyfast_async.requests import ChatRequest


def input_messages(request: ChatRequest) -> str:
    """Return what was asked, as JSON."""
    return codec.dumps([_message(one) for one in request.messages]).decode()


def output_messages(completion: ChatCompletion) -> str:
    """Return what was answered, as JSON: a message for each choice."""
    return codec.dumps(
        [{**_message(one.message), "finish_reason": one.finish_reason or "error"} for one in completion.choices]
    ).decode()


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _message(message: Any) -> dict[str, Any]:
    role = str(_of(message, "role") or "assistant")
    content = _of(message, "content")
    if role == "tool":
        parts = [{"type": "tool_call_response", "id": _of(message, "tool_call_id"), "response": _text(content)}]
    else:
        several = content if isinstance(content, Sequence) and not isinstance(content, str) else (content,)
        parts = [_part(one) for one in several if one is not None]
    parts += [_call(one) for one in _of(message, "tool_calls") or ()]
    return {"role": role, "parts": parts}


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "content": part}
    text = part.text if isinstance(part, TextPart) else _of(part, "text")
    if isinstance(text, str):
        return {"type": "text", "content": text}
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__.removesuffix("Part").lower()
    return {"type": str(kind)}


def _text(content: Any) -> Any:
    return content if content is None or isinstance(content, str) else [_part(one) for one in content]


def _call(call: ToolCall | Mapping[str, Any]) -> dict[str, Any]:
    function = _of(call, "function")
    return {
        "type": "tool_call",
        "id": _of(call, "id"),
        "name": _of(function, "name"),
        "arguments": _of(function, "arguments"),
    }
