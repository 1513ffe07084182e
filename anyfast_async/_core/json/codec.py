"""Request to JSON bytes, JSON bytes to completion or chunk. Here attrs, cattrs and orjson meet.

JSON as such is in ``jsontext``, how objects become answers in ``lossless``; both speak through this file.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from anyfast_async._core.json.jsontext import (
    InvalidJSONError,
    copied,
    documents,
    dumps,
    loads,
    loads_exactly,
)
from anyfast_async._core.json.lossless import (
    RoundedError,
    as_dict,
    filled,
    load,
    put,
    structure,
    structure_exactly,
)
from anyfast_async._core.json.shapes import maker, texter
from anyfast_async._values.json_reading import map_strings, mended, mended_value
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Model
from anyfast_async.messages import (
    JSON,
    MEDIA_TYPES,
    AssistantMessage,
    AudioPart,
    FilePart,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
    VideoPart,
    part_of_path,
)
from anyfast_async.requests import ChatRequest

T = TypeVar("T")

__all__ = [
    "Files",
    "InvalidJSONError",
    "answer_to_wire",
    "as_dict",
    "body_of",
    "copied",
    "decode_chunk",
    "decode_completion",
    "decode_models",
    "documents",
    "dumps",
    "encode",
    "filled",
    "load",
    "loads",
    "loads_exactly",
    "maker",
    "map_strings",
    "mended",
    "mended_value",
    "message_to_wire",
    "put",
    "structure",
    "texter",
    "unsaid",
]

# -- answers ---------------------------------------------------------------------------------------------------------


def decode_completion(data: bytes) -> ChatCompletion:
    """Return the completion in *data*, strings encodable.

    Raises:
        InvalidJSONError: it is no JSON object.

    """
    return _object_of(data, ChatCompletion)


def decode_chunk(data: bytes) -> ChatCompletionChunk:
    """Return the chunk in *data*.

    Raises:
        InvalidJSONError: it is no JSON object.

    """
    return _object_of(data, ChatCompletionChunk)


def decode_models(data: bytes) -> list[Model]:
    """Return the list of ``GET /v1/models``.

    Raises:
        InvalidJSONError: it is none.

    """
    value = loads(data)
    items = value.get("data") if isinstance(value, dict) else None
    if not isinstance(items, list):
        message = "no list under 'data'"
        raise InvalidJSONError(message)
    return [structure(item, Model) for item in items if isinstance(item, dict)]


def _object_of(data: bytes, kind: type[T]) -> T:
    value = loads(data)
    if not isinstance(value, dict):
        message = f"a JSON object was expected, not {type(value).__name__}"
        raise InvalidJSONError(message)
    try:
        return structure_exactly(value, kind)
    except RoundedError:
        return structure(mended_value(loads_exactly(data)), kind)


# -- requests --------------------------------------------------------------------------------------------------------


Files: TypeAlias = Mapping[Path, bytes]
"""What stands in the local files of a request."""


_SLICE: Final = 3 * 256 * 1024
"""Bytes encoded at a time, a multiple of 3: one call for a large file would stop every thread, the loop's too."""


def _base64(data: bytes, before: str = "") -> str:
    view = memoryview(data)
    slices = (b64encode(view[at : at + _SLICE]).decode("ascii") for at in range(0, len(data), _SLICE))
    return "".join([before, *slices])


def _url_of(url: str | Path, files: Files) -> str:
    if isinstance(url, str):
        return url
    return _base64(files[url], f"data:{MEDIA_TYPES[url.suffix.lower()]};base64,")


def _part_to_wire(part: Any, files: Files) -> Any:
    match part:
        case Path():
            return _part_to_wire(part_of_path(part), files)
        case str():
            return {"type": "text", "text": part}
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            image = {"url": _url_of(part.url, files)} | ({"detail": part.detail} if part.detail else {})
            return {"type": "image_url", "image_url": image}
        case AudioPart():
            data = part.data if isinstance(part.data, str) else _base64(files[part.data])
            return {"type": "input_audio", "input_audio": {"data": data, "format": part.format}}
        case FilePart():
            return {"type": "file", "file": {"filename": part.filename, "file_data": _url_of(part.file_data, files)}}
        case VideoPart():
            # Gemini's translation takes a plain string, the other families an object (new-api dto/openai_request.go).
            url = _url_of(part.url, files)
            video = url if part.fps is None else {"url": url, "fps": part.fps}
            return {"type": "video_url", "video_url": video}
    return part


def _content_to_wire(content: Any, files: Files) -> Any:
    return content if content is None or isinstance(content, str) else [_part_to_wire(p, files) for p in content]


def _arguments_to_wire(arguments: Any) -> str:
    """Return arguments as upstreams take them: the text of a JSON object.

    What a model wrote that is none stays to be seen by it.
    """
    if isinstance(arguments, str):
        try:
            value = loads(arguments.encode("utf-8", "replace")) if arguments.strip() else {}
        except InvalidJSONError:
            value = None
        if isinstance(value, dict):
            return arguments if arguments.strip() else "{}"
    if not isinstance(arguments, dict):
        arguments = {} if arguments is None else {"arguments": arguments}
    return dumps(arguments).decode()


def _function_to_wire(function: Any) -> dict[str, Any] | None:
    """Return a function call of an answer as it goes back, None if it names no function."""
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        return None
    return {**function, "arguments": _arguments_to_wire(function.get("arguments"))}


def _tool_call_to_wire(call: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a call of an answer as it goes back, None for one that names no function: upstreams refuse those."""
    wire = {name: value for name, value in call.items() if name != "index"}
    kind = wire["type"] = wire.get("type") or "function"
    if type(wire.get("id")) is int:
        wire["id"] = str(wire["id"])  # as the result that is given for it
    if kind != "function" and wire.get(kind):
        return wire
    function = _function_to_wire(wire.get("function"))
    return None if function is None else {**wire, "function": function}


def answer_to_wire(message: JSON) -> dict[str, Any]:
    """Return the message of an answer as it goes back into the history: all that it holds, as upstreams take it."""
    wire = {**message, "role": message.get("role") or "assistant"}
    calls = wire.get("tool_calls")
    given = (call for call in calls if isinstance(call, Mapping)) if isinstance(calls, list) else ()
    wire["tool_calls"] = [call for call in map(_tool_call_to_wire, given) if call is not None]
    wire["function_call"] = _function_to_wire(wire.get("function_call"))
    for name in ("tool_calls", "function_call"):
        if not wire[name]:
            del wire[name]  # an empty list or null, which OpenAI refuses
    if not any(wire.get(name) for name in ("content", *_INSTEAD)):
        wire["content"] = ""
    elif wire.get("content") == []:
        wire["content"] = None
    return wire


_INSTEAD: Final = ("tool_calls", "function_call", "refusal", "audio")
"""Fields of an assistant's message without which it must have a content."""


def message_to_wire(message: Any, files: Files = MappingProxyType({})) -> JSON:
    """Return a message as the JSON object that goes out; a dict goes out as it is."""
    if type(message) is UserMessage and type(message.content) is str and message.name is None:
        return {"role": "user", "content": message.content}  # nearly every one
    match message:
        case AssistantMessage():
            wire = answer_to_wire(as_dict(message))
            return wire | ({"content": _content_to_wire(message.content, files)} if message.content else {})
        case ToolMessage():
            wire = {"role": "tool", "tool_call_id": message.tool_call_id}
        case SystemMessage() | UserMessage():
            wire = {"role": message.role}
        case _:
            return dict(message)
    wire["content"] = _content_to_wire(message.content, files)
    return wire | ({"name": message.name} if message.name is not None else {})


_PLACED: Final = frozenset({"model", "messages", "extra_body"})
"""Fields of a request that do not simply follow in order."""


def body_of(request: ChatRequest, *, stream: bool, files: Files = MappingProxyType({})) -> dict[str, Any]:
    """Return the JSON object that *request* is sent as."""
    body: dict[str, Any] = {"model": request.model, "messages": [message_to_wire(m, files) for m in request.messages]}
    body |= {name: value for name, value in vars(request).items() if value is not None and name not in _PLACED}
    if stream:
        body["stream"] = True
        body.setdefault("stream_options", {"include_usage": True})
        if not body["stream_options"]:  # an empty object asks for nothing, and is not sent
            del body["stream_options"]
    else:
        body.pop("stream_options", None)  # only valid on streams, by the OpenAI reference
    if request.extra_body:
        body |= request.extra_body
    return body


_WHOLE: Final = b',"stream":false}'
"""How a body ends that asks for a whole answer: some gateways stream when nothing is said."""


def encode(request: ChatRequest, *, stream: bool, files: Files = MappingProxyType({})) -> bytes:
    """Return the bytes of *request*'s body; *files* holds what stands in its local files.

    Raises:
        TypeError: a tool, ``extra_body`` or raw part holds something that JSON cannot.

    """
    body = body_of(request, stream=stream, files=files)
    data = dumps(body)
    return data if "stream" in body else data[:-1] + _WHOLE


def unsaid(body: bytes) -> bytes:
    """Return a body that asks for a whole answer without saying so: as the vendor SDK sends it and journals know it."""
    return body[: -len(_WHOLE)] + b"}" if body.endswith(_WHOLE) else body
