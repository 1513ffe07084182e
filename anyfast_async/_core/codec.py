"""Request to JSON bytes, JSON bytes to completion or chunk. Here attrs, cattrs and orjson meet, and nowhere else.

Answers are lossless: what a class does not know, or knows with another type, goes into ``extra`` and comes out again.
Where orjson refuses (lone surrogates, NaN, bad UTF-8, deep nesting) or would round (integers over 64 bits), the
standard library reads the text instead.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
import cattrs
import orjson

from anyfast_async import completions, messages
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Model
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
    part_of_path,
)
from anyfast_async.requests import WIRE_FIELDS, ChatRequest

T = TypeVar("T")

_EXACT_FLOAT: Final = 2.0**63
"""orjson turns integers over 64 bits into floats; a float this large is a reason to read the text again."""


_DEPTH: Final = 1024
"""Levels of arrays and objects, orjson's bound. The interpreter's own differs from one Python to the next."""


class InvalidJSONError(ValueError):
    """The text is no JSON."""


class _RoundedError(Exception):
    """A number in the answer may have been rounded."""


# -- text and numbers that orjson cannot do --------------------------------------------------------------------------


def mended(text: str) -> str:
    """Return *text* with surrogate pairs joined and lone surrogates replaced, so that it can be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return a deep copy of a JSON value with *change* made to every string, however deep it is nested."""
    holder = [value]
    todo: list[tuple[Any, Any]] = [(holder, 0)]
    while todo:
        container, key = todo.pop()
        item = container[key]
        if isinstance(item, str):
            container[key] = change(item)
        elif isinstance(item, Mapping):
            container[key] = fresh = {change(k) if isinstance(k, str) else k: v for k, v in item.items()}
            todo += [(fresh, k) for k in fresh]
        elif isinstance(item, (list, tuple)):
            container[key] = items = list(item)
            todo += [(items, i) for i in range(len(items))]
    return holder[0]


def copied(value: Any) -> Any:
    """Return a deep copy of a JSON value, however deep it is nested."""
    return map_strings(value, str) if isinstance(value, (dict, list)) else value


def _mended_value(value: Any) -> Any:
    return map_strings(value, lambda text: text if text.isascii() else mended(text))


def loads(data: bytes, *, mend: bool = True) -> Any:
    """Return the value of JSON *data*.

    With *mend* false, strings may hold lone surrogates: a pair may be split over two events of a stream.

    Raises:
        InvalidJSONError: it is no JSON, or nested deeper than 1024 levels.

    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _mended_value(_loads_exactly(data)) if mend else _loads_exactly(data)


def _loads_exactly(data: bytes) -> Any:
    try:
        text = data.decode("utf-8-sig", "replace")
        value = json.loads(text, strict=False, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidJSONError(type(error).__name__) from None
    if _is_deep(value):
        message = f"nested deeper than {_DEPTH} levels"
        raise InvalidJSONError(message)
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        if not inner:
            return False
        level = [item for items in inner for item in items]
    return True


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON; an answer that holds one is read as if it said null."""


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _has_nan(value: Any) -> bool:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return True
        if isinstance(item, Mapping):
            todo += item.values()
        elif isinstance(item, (list, tuple)):
            todo += item
    return False


def _refuse(value: Any) -> None:
    message = f"{type(value).__name__} cannot be sent as JSON"
    raise TypeError(message)


def dumps(value: Any) -> bytes:
    """Return *value* as JSON bytes, valid UTF-8 whatever the strings hold.

    Raises:
        TypeError: it holds something that JSON cannot, or is nested deeper than the interpreter's stack.

    """
    try:
        data = orjson.dumps(value)
    except TypeError:  # lone surrogates, integers over 64 bits, deep nesting; anything else is refused again
        pass
    else:
        if b"null" in data and _has_nan(value):  # orjson writes null for them
            message = "NaN and Infinity cannot be sent as JSON"
            raise TypeError(message)
        return data
    plain, slim = _mended_value(value), (",", ":")
    try:
        text = json.dumps(plain, ensure_ascii=False, separators=slim, allow_nan=False, default=_refuse)
    except (RecursionError, ValueError) as error:
        message = f"a value cannot be sent as JSON: {error}"
        raise TypeError(message) from None
    return text.encode()


# -- answers: one lossless hook for every class that has ``extra`` and ``blank`` -------------------------------------

_MISFIT: Final = object()
Keep = Callable[[Any], Any]
"""What is done with an unknown value before it goes into ``extra``."""


def _is_lossless(kind: Any) -> bool:
    return attrs.has(kind) and hasattr(kind, "__attrs_attrs__") and {"extra", "blank"} <= attrs.fields_dict(kind).keys()


def _wire_fields(kind: type[Any]) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind, vars(completions) | vars(messages))
    private = ("extra", "blank")
    return [
        (a.name, hints[a.name]) for a in attrs.fields(kind) if a.name not in private and a.metadata.get("wire", True)
    ]


def _reader(hint: Any, converter: cattrs.Converter) -> Callable[[Any], Any]:
    """Return a function from a JSON value to the field's value, or to ``_MISFIT``."""
    members = [
        m for m in (get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)) if m is not type(None)
    ]
    (member, *others) = members
    if get_origin(member) is Mapping and not others:
        return lambda value: value if type(value) is dict else _MISFIT
    if get_origin(member) is tuple and not others:
        item = _reader(get_args(member)[0], converter)

        def read_list(value: Any) -> Any:
            if type(value) is not list:
                return _MISFIT
            items = tuple(item(v) for v in value)
            return _MISFIT if _MISFIT in items else items

        return read_list
    if _is_lossless(member):
        hook: Callable[[Any, Any], Any] | None = None

        def read_object(value: Any) -> Any:
            nonlocal hook
            hook = hook or converter.get_structure_hook(member)
            return hook(value, member) if type(value) is dict else _MISFIT

        return read_object
    if str in members and others:  # content: text, or a list of parts that is kept as it came
        return lambda value: value if type(value) in (str, list) else _MISFIT
    return lambda value: value if type(value) is member else _MISFIT


def _exact(value: Any) -> Any:
    """Return *value*, or say that a number in it may have been rounded."""
    todo = [value]
    while todo:
        item = todo.pop()
        if type(item) is float and abs(item) >= _EXACT_FLOAT:
            raise _RoundedError
        if type(item) is dict:
            todo += item.values()
        elif type(item) is list:
            todo += item
    return value


def _structure_hook(kind: type[T], converter: cattrs.Converter, keep: Keep) -> Callable[[Any, Any], T]:
    readers = {name: _reader(hint, converter) for name, hint in _wire_fields(kind)}
    absent = {"role": None} if kind is AssistantMessage else {}
    make = cast("Callable[..., T]", kind)

    def structure(value: Any, _: Any) -> T:
        known: dict[str, Any] = dict(absent)
        extra: dict[str, Any] = {}
        blank: dict[str, Any] = {}
        for name, item in value.items():
            read = readers.get(name)
            if read is None:
                extra[name] = keep(item)
            elif item is None or item == []:
                blank[name] = item
            elif (good := read(item)) is _MISFIT:
                extra[name] = keep(item)
                if kind is FunctionCall and name == "arguments":  # Ollama sends an object
                    known[name] = dumps(item).decode()
            else:
                known[name] = keep(good) if type(good) in (list, dict) else good
        return make(**known, extra=extra, blank=blank)

    return structure


def _unstructure_hook(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    names = [name for name, _ in _wire_fields(kind)]

    def unstructure(value: Any) -> dict[str, Any]:
        known = {n: _to_json(item) for n in names if (item := getattr(value, n)) is not None and item != ()}
        return dict(value.blank) | known | dict(value.extra)

    return unstructure


def _make_converter(keep: Keep) -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook_factory(_is_lossless, lambda kind: _structure_hook(kind, converter, keep))
    converter.register_unstructure_hook_factory(_is_lossless, _unstructure_hook)
    return converter


_converter: Final = _make_converter(lambda value: value)
_exact_converter: Final = _make_converter(_exact)


def _to_json(value: Any) -> Any:
    match value:
        case str() | int() | float() | None:
            return value
        case list() | tuple():
            return [_to_json(v) for v in value]
        case Mapping():
            return value
    return _converter.unstructure(value)


def as_dict(value: Any) -> dict[str, Any]:
    """Return an answer as the JSON object that it came from."""
    unstructured: dict[str, Any] = _converter.unstructure(value)
    return unstructured


def structure(value: JSON, kind: type[T]) -> T:
    """Return the JSON object *value* as an answer of class *kind*; it never fails on a dict."""
    return _converter.structure(value, kind)


def _decoded(data: bytes, kind: type[T]) -> T | Any:
    """Return *kind* if *data* is a JSON object, else the value it is."""
    value = loads(data)
    if not isinstance(value, dict):
        return value
    try:
        return _exact_converter.structure(value, kind)
    except _RoundedError:
        return structure(_mended_value(_loads_exactly(data)), kind)


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
    result = _decoded(data, kind)
    if not isinstance(result, kind):
        message = f"a JSON object was expected, not {type(result).__name__}"
        raise InvalidJSONError(message)
    return result


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


def _tool_call_to_wire(call: ToolCall) -> dict[str, Any]:
    """Return a call of an answer as it goes back: typed, and with its arguments as text, as the gateway demands."""
    wire = {name: value for name, value in as_dict(call).items() if name != "index"}
    wire["type"] = wire.get("type") or "function"
    function = wire.get("function")
    if isinstance(function, dict) and isinstance(function.get("arguments"), (dict, list)):
        function["arguments"] = dumps(function["arguments"]).decode()
    return wire


def message_to_wire(message: Any, files: Files = MappingProxyType({})) -> JSON:
    """Return a message as the JSON object that goes out; a dict goes out as it is."""
    match message:
        case AssistantMessage():
            wire = as_dict(message) | {"role": message.role or "assistant"}
            if not message.tool_calls:
                wire.pop("tool_calls", None)  # an empty list or null, which OpenAI refuses
            if message.content is not None:
                wire["content"] = _content_to_wire(message.content, files)
            if message.tool_calls:
                wire["tool_calls"] = [_tool_call_to_wire(c) for c in message.tool_calls]
            return wire
        case ToolMessage():
            wire = {"role": "tool", "tool_call_id": message.tool_call_id}
        case SystemMessage() | UserMessage():
            wire = {"role": message.role}
        case _:
            return dict(message)
    wire["content"] = _content_to_wire(message.content, files)
    return wire | ({"name": message.name} if message.name is not None else {})


def body_of(request: ChatRequest, *, stream: bool, files: Files = MappingProxyType({})) -> dict[str, Any]:
    """Return the JSON object that *request* is sent as."""
    body: dict[str, Any] = {"model": request.model, "messages": [message_to_wire(m, files) for m in request.messages]}
    for name in WIRE_FIELDS[1:]:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if stream:
        body["stream"] = True
        body.setdefault("stream_options", {"include_usage": True})
        if not body["stream_options"]:  # an empty object asks for nothing, and is not sent
            del body["stream_options"]
    else:
        body.pop("stream_options", None)  # only valid on streams, by the OpenAI reference
    return body | dict(request.extra_body or {})


def encode(request: ChatRequest, *, stream: bool, files: Files = MappingProxyType({})) -> bytes:
    """Return the bytes of *request*'s body; *files* holds what stands in its local files.

    Raises:
        TypeError: a tool, ``extra_body`` or raw part holds something that JSON cannot.

    """
    return dumps(body_of(request, stream=stream, files=files))
