"""What is wrong with messages and the parts of their content, each problem with its path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import attrs

from anyfast_async._values.json_values import problems_of_json
from anyfast_async._values.rules import number, shown, string, word
from anyfast_async.errors import FieldError, escaped
from anyfast_async.messages import (
    JSON,
    MEDIA_TYPES,
    AssistantMessage,
    AudioPart,
    FilePart,
    FunctionCall,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    VideoPart,
    plain_text,
)

_MESSAGE_CLASSES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)
_URL_FIELDS = {"image_url": "url", "video_url": "url"}
_LOCAL_HINT = (
    "must be an https: or data: URL; nothing was opened: a local file enters as pathlib.Path or by from_path()"
)


def problems_of_messages(messages: Any) -> list[FieldError]:
    """Return what is wrong with the *messages* of a request, each with its path; an empty list if nothing is."""
    if not isinstance(messages, tuple):
        return [FieldError("messages", f"must be a string, a message or a list of messages, not {shown(messages)}")]
    if not messages:
        return [FieldError("messages", "must not be empty: at least one message with content")]
    others = [(f"messages[{i}]", message) for i, message in enumerate(messages) if plain_text(message) is None]
    return [
        problem
        for path, message in others
        for problem in (*_problems_of_message(path, message), *problems_of_json(path, _view(message), level=2))
    ]


def _view(value: Any) -> Any:
    """Return what is JSON in a message, as it is; what other checks look at is left out."""
    match value:
        case AssistantMessage():
            calls = value.tool_calls if isinstance(value.tool_calls, (tuple, list)) else ()
            return _fields(value) | {"content": _view(value.content), "tool_calls": [_view(call) for call in calls]}
        case ToolCall():
            return _fields(value) | {"function": _view(value.function)}
        case FunctionCall():
            return _fields(value)
        case SystemMessage() | UserMessage() | ToolMessage():
            return {"content": _view(value.content)}
        case Mapping():
            return value
        case list() | tuple():
            return [part if isinstance(part, Mapping) else None for part in value]
    return None


def _fields(value: Any) -> dict[str, Any]:
    own = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return {name: item for name, item in own.items() if name not in ("extra", "blank")} | dict(value.extra)


def _problems_of_message(path: str, message: Any) -> list[FieldError]:
    if isinstance(message, Mapping):
        role, content = message.get("role"), message.get("content")
        found: list[FieldError] = []
        if not isinstance(role, str) or not role:
            problem = "is missing" if role is None else f"must be a non-empty string, not {shown(role)}"
            found.append(FieldError(f"{path}.role", f"{problem}; for example 'user'"))
        if "type" in message or any(name in message for name in _URL_FIELDS):
            found.append(FieldError(path, "is a content part, not a message; put it into a message's content list"))
            found += _problems_of_dict_part(path, message)
        elif content is None and role != "assistant":
            found.append(FieldError(f"{path}.content", "is missing"))
        if content is None or (content == [] and role == "assistant"):
            return found  # some gateways answer so
        return found + _problems_of_content(f"{path}.content", content)
    if not isinstance(message, _MESSAGE_CLASSES):
        return [FieldError(path, f"must be a message or a dict with role and content, not {shown(message)}")]
    found = _named(f"{path}.name", None if message.name is None else string(message.name))
    if isinstance(message, AssistantMessage) and not isinstance(message.tool_calls, (tuple, list, NoneType)):
        found.append(FieldError(f"{path}.tool_calls", f"must be a list of ToolCall, not {shown(message.tool_calls)}"))
    if isinstance(message, ToolMessage) and not isinstance(message.tool_call_id, str):  # "" is what some upstreams give
        found.append(FieldError(f"{path}.tool_call_id", "must be the id of the tool call that this answers"))
    if isinstance(message, AssistantMessage) and message.content in (None, ()):
        return found
    return found + _problems_of_content(f"{path}.content", message.content)


def _problems_of_content(path: str, content: Any) -> list[FieldError]:
    if isinstance(content, str):
        return []
    if not isinstance(content, Sequence) or isinstance(content, (bytes, bytearray)):
        return [FieldError(path, f"must be a string or a list of content parts, not {shown(content)}")]
    if not content:
        return [FieldError(path, "must not be an empty list")]
    return [problem for i, part in enumerate(content) for problem in _problems_of_part(f"{path}[{i}]", part)]


def _problems_of_part(path: str, part: Any) -> list[FieldError]:
    match part:
        case str():
            return []
        case TextPart():
            return _named(f"{path}.text", string(part.text))
        case ImagePart():
            detail = None if part.detail is None else word("auto", "low", "high")(part.detail)
            return _named(f"{path}.url", _url(part.url)) + _named(f"{path}.detail", detail)
        case VideoPart():
            fps = None if part.fps is None else number(0, 1000)(part.fps)
            return _named(f"{path}.url", _url(part.url)) + _named(f"{path}.fps", fps)
        case AudioPart():
            problem = _file(part.data) if isinstance(part.data, Path) else string(part.data)
            return _named(f"{path}.data", problem) + _named(f"{path}.format", word("wav", "mp3")(part.format))
        case FilePart():
            return _named(f"{path}.filename", string(part.filename)) + _named(f"{path}.file_data", _url(part.file_data))
        case Mapping():
            return _problems_of_dict_part(path, part)
        case Path():
            return _named(path, _file(part))
    return [FieldError(path, f"must be a content part, a string or a dict, not {shown(part)}")]


def _problems_of_dict_part(path: str, part: JSON) -> list[FieldError]:
    """Check only what would otherwise look like a request to open a local file; a dict goes out as it is."""
    found = []
    if not isinstance(part.get("type"), str):
        found.append(FieldError(f"{path}.type", "is missing; for example 'text' or 'image_url'"))
    for name, inner in _URL_FIELDS.items():
        value = part.get(name)
        where = f"{path}.{name}"
        if isinstance(value, Mapping):
            value, where = value.get(inner), f"{where}.{inner}"
        if isinstance(value, str) and (value.lower().startswith("file:") or not re.match(_SCHEME, value)):
            found.append(FieldError(where, f"{_LOCAL_HINT}; not {shown(value)}"))
    return found


_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]+:"


def _file(path: Path) -> str | None:
    if path.suffix.lower() in MEDIA_TYPES:
        return None
    return f"must be a file of a type that can be sent ({', '.join(MEDIA_TYPES)}), not {escaped(path.suffix, 20)!r}"


def _url(value: Any) -> str | None:
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, str) and value.startswith(("https:", "data:")):
        return None
    return f"{_LOCAL_HINT}; not {shown(value)}"


def _named(path: str, problem: str | None) -> list[FieldError]:
    return [FieldError(path, problem)] if problem else []
