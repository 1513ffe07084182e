"""Where upstreams put what a model thought: under many names, beside the answer or in parts of it; and what it said.

``reasoning_content`` (DeepSeek, this gateway), ``reasoning`` and ``reasoning_details`` (OpenRouter, vLLM), ``thinking``
(Ollama, GitHub), ``thinking_blocks`` (LiteLLM), content parts of the type ``thinking`` (Mistral).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from anyfast_async.messages import AssistantMessage

_NAME: Final = r"(?i)reason|think|thought"
_OTHER: Final = r"(?i)signature|token|effort|budget|redacted|encrypted|finish|stop|[_-](?:id|type|format)$"
"""What has such a name and is no text of a thought."""
_TEXTS: Final = ("thinking", "text", "reasoning", "summary", "content")
"""Where the text of a part or block stands, and of the parts that it is made of itself."""


def is_thought(name: str) -> bool:
    """Return whether a field or a type with this name holds the text of thoughts."""
    return bool(re.search(_NAME, name)) and not re.search(_OTHER, name)


def thought_in(part: Any) -> str | None:
    """Return the text of a content part that is a thought, None if it is none."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return _text_of(part) if isinstance(kind, str) and is_thought(kind) else None


def said_in(part: Any) -> str | None:
    """Return the text of a content part that is said and not thought, whatever its type; None if there is none."""
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) and thought_in(part) is None else None


def thoughts_of(message: AssistantMessage) -> str:
    """Return what the model thought, from the first place that says it; ``""`` if none does."""
    if message.reasoning_content:
        return message.reasoning_content
    extra = {name: value for name, value in message.extra.items() if is_thought(name)}
    for value in extra.values():
        if isinstance(value, str) and value:
            return value
    parts = message.content if isinstance(message.content, tuple) else ()
    lists: list[Iterable[Any]] = [value for value in extra.values() if isinstance(value, list)]
    for blocks in (*lists, parts):
        if text := "".join(thought_in(block) or "" for block in blocks):
            return text
    return next((text for value in extra.values() if isinstance(value, Mapping) and (text := _text_of(value))), "")


def _text_of(part: Mapping[str, Any]) -> str:
    for name in _TEXTS:
        value = part.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list):
            inner = (item.get("text") if isinstance(item, Mapping) else item for item in value)
            if text := "".join(item for item in inner if isinstance(item, str)):
                return text
    return ""
