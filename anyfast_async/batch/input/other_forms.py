"""Requests in the batch forms of others, as bodies of chat completions: OpenAI's responses, Gemini's. Pure.

What has no counterpart is refused by its name: leaving it out would give other answers than were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from anyfast_async._values.rules import shown
from anyfast_async.errors import escaped

RESPONSES_URL: Final = "/v1/responses"
_SAME: Final = (
    *("model", "temperature", "top_p", "top_logprobs", "user", "parallel_tool_calls", "stream"),
    *("prompt_cache_key", "service_tier"),
)
"""Fields that mean the same in responses and in chat completions."""
_OF_OPENAI_ALONE: Final = ("metadata", "store", "safety_identifier")
"""What OpenAI keeps beside an answer, which does not change it."""
_USUAL: Final = (("truncation", "disabled"), ("background", False))
"""What is so in chat completions in any case."""
_CONFIG: Final = {
    "candidate_count": "n",
    "frequency_penalty": "frequency_penalty",
    "logprobs": "top_logprobs",
    "max_output_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "response_logprobs": "logprobs",
    "seed": "seed",
    "stop_sequences": "stop",
    "temperature": "temperature",
    "top_p": "top_p",
}
"""Settings of Gemini, and what they are called in chat completions."""
_THINKING: Final[Mapping[str, type]] = {"include_thoughts": bool, "thinking_budget": int, "thinking_level": str}
"""What a thinking config may hold; the gateway refuses other names and types, after the row is sent."""
_ONE_SCHEMA: Final = frozenset({"additionalProperties", "items"})
_SCHEMAS: Final = frozenset({"$defs", "anyOf", "any_of", "prefixItems", "prefix_items", "properties"})
"""Fields of a schema that hold one, and many."""
_ROLES: Final = {None: "user", "user": "user", "model": "assistant"}


class NoCounterpartError(ValueError):
    """A part of a request that chat completions do not have, or that is not of the form that it should have."""

    def __init__(self, path: str, problem: str = "has no counterpart in chat completions") -> None:
        super().__init__(f"{path}: {problem}")


# -- OpenAI's responses ----------------------------------------------------------------------------------------------


def from_responses(body: Any, path: str = "body") -> dict[str, Any]:
    """Return a body for ``/v1/responses`` as one for chat completions.

    Raises:
        NoCounterpartError: it cannot be said there.

    """
    given = _object(body, path)
    made: dict[str, Any] = {"messages": []}
    if (told := given.get("instructions")) is not None:
        made["messages"].append({"role": "system", "content": told})
    for name, value in given.items():
        where = _at(path, name)
        if value is None or name == "instructions" or name in _OF_OPENAI_ALONE or (name, value) in _USUAL:
            continue
        if name in _SAME:
            made[name] = value
        elif name == "input":
            made["messages"] += _messages(value, where)
        elif name in _TRANSLATED:
            made |= _TRANSLATED[name](value, where)
        else:
            raise NoCounterpartError(where)
    return made


def _messages(value: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    return [_message(item, f"{path}[{place}]") for place, item in enumerate(_list(value, path))]


def _message(item: Any, path: str) -> dict[str, Any]:
    given = _object(item, path)
    if given.get("type", "message") != "message":
        raise NoCounterpartError(_at(path, "type"), f"{_word(given['type'])} has no counterpart in chat completions")
    role = "system" if given.get("role") == "developer" else given.get("role")
    content = given.get("content")
    if not isinstance(content, str):
        where = f"{path}.content"
        content = [_part(part, f"{where}[{place}]") for place, part in enumerate(_list(content, where))]
    return {"role": role, "content": content}


def _part(part: Any, path: str) -> dict[str, Any]:
    given = _object(part, path)
    match given:
        case {"type": "input_text" | "output_text" | "text", "text": text}:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url)}:
            detail = {"detail": given["detail"]} if "detail" in given else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case {"type": "input_file", "file_data": str(data)}:
            name = {"filename": given["filename"]} if "filename" in given else {}
            return {"type": "file", "file": {"file_data": data, **name}}
    raise NoCounterpartError(path)


def _text_format(value: Any, path: str) -> dict[str, Any]:
    wanted = _object(_only(value, path, "format"), _at(path, "format"))
    match wanted.get("type"):
        case "text":
            return {}
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            schema = {name: item for name, item in wanted.items() if name != "type"}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
    raise NoCounterpartError(_at(path, "format"))


def _tool(tool: Any, path: str) -> dict[str, Any]:
    given = _object(tool, path)
    if given.get("type") != "function":
        raise NoCounterpartError(path, f"a tool of type {_word(given.get('type'))} has no counterpart")
    return {"type": "function", "function": {name: item for name, item in given.items() if name != "type"}}


def _tools(value: Any, path: str) -> dict[str, Any]:
    return {"tools": [_tool(tool, f"{path}[{place}]") for place, tool in enumerate(_list(value, path))]}


def _choice(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"tool_choice": value}
    raise NoCounterpartError(path)


_TRANSLATED: Final[Mapping[str, Callable[[Any, str], dict[str, Any]]]] = {
    "max_output_tokens": lambda value, _: {"max_tokens": value},
    "reasoning": lambda value, path: {"reasoning_effort": _only(value, path, "effort")},
    "text": _text_format,
    "tool_choice": _choice,
    "tools": _tools,
}


# -- Gemini's form ---------------------------------------------------------------------------------------------------


def is_gemini(value: Mapping[str, Any]) -> bool:
    """Return whether a row is a request in Gemini's batch form: ``contents``, or a ``request`` that has some."""
    inner = value.get("request", value)
    return isinstance(inner, Mapping) and "contents" in inner


def from_gemini(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request of a row in Gemini's batch form as a body for chat completions.

    Raises:
        NoCounterpartError: it cannot be said there.

    """
    path = "request" if "request" in row else ""
    given = {_snake(name): item for name, item in _object(row.get("request", row), path or "the row").items()}
    made: dict[str, Any] = {"messages": []}
    if (told := given.get("system_instruction")) is not None:
        made["messages"].append({"role": "system", "content": _parts(told, _at(path, "system_instruction"))})
    for name, value in given.items():
        where = _at(path, name)
        if value is None or name in ("system_instruction", *(("key", "id", "custom_id") if not path else ())):
            continue
        if name == "contents":
            contents = [{"parts": [{"text": value}]}] if isinstance(value, str) else _list(value, where)
            made["messages"] += [_content(one, f"{where}[{place}]") for place, one in enumerate(contents)]
        elif name == "generation_config":
            made |= _config(value, where)
        elif name == "model" and isinstance(value, str):
            made["model"] = value.rpartition("/")[2]
        else:
            raise NoCounterpartError(where)
    return made


def _content(content: Any, path: str) -> dict[str, Any]:
    given = _object(content, path)
    if given.get("role") not in _ROLES:
        raise NoCounterpartError(_at(path, "role"), f"must be 'user' or 'model', not {_word(given['role'])}")
    return {"role": _ROLES[given.get("role")], "content": _parts(given, path)}


def _parts(content: Any, path: str) -> Any:
    """Return the content of a message: text where there is nothing else."""
    if isinstance(content, str):
        return content
    where = f"{path}.parts"
    parts = _object(content, path).get("parts")
    listed = parts if isinstance(parts, list) else [parts]
    made = [_gemini_part(part, f"{where}[{place}]") for place, part in enumerate(listed)]
    return made[0]["text"] if len(made) == 1 and made[0]["type"] == "text" else made


def _gemini_part(part: Any, path: str) -> dict[str, Any]:
    given = {_snake(name): item for name, item in _object(part, path).items()}
    match given:
        case {"text": str(text)} if len(given) == 1:
            return {"type": "text", "text": text}
        case {"inline_data": Mapping() as blob} if len(given) == 1:
            data = {_snake(name): item for name, item in blob.items()}
            kind = data.get("mime_type")
            if isinstance(kind, str) and kind.startswith("image/") and isinstance(data.get("data"), str):
                return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data['data']}"}}
    raise NoCounterpartError(
        path, f"{', '.join(escaped(name, 40) for name in given) or 'nothing'}: no text and no image"
    )


def _config(config: Any, path: str) -> dict[str, Any]:
    given = {_snake(name): item for name, item in _object(config, path).items()}
    made: dict[str, Any] = {}
    kind, schema = given.pop("response_mime_type", None), given.pop("response_json_schema", None)
    own = given.pop("response_schema", None)
    if own is not None and schema is not None:
        raise NoCounterpartError(_at(path, "response_schema"), "stands beside response_json_schema; one of the two")
    schema = _lowered(own) if own is not None else schema
    if (thinking := given.pop("thinking_config", None)) is not None:
        made["extra_body"] = {"google": {"thinking_config": _thinking(thinking, _at(path, "thinking_config"))}}
    for name, value in given.items():
        if value is None:
            continue
        if name not in _CONFIG:
            raise NoCounterpartError(_at(path, name))
        made[_CONFIG[name]] = value
    if schema is not None:
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        return made | {"response_format": wanted}
    if kind == "application/json":
        return made | {"response_format": {"type": "json_object"}}
    if kind not in (None, "text/plain"):
        raise NoCounterpartError(_at(path, "response_mime_type"))
    return made


def _thinking(config: Any, path: str) -> dict[str, Any]:
    """Return a thinking config as the gateway takes it: in snake case, and of these types, else it fails."""
    made: dict[str, Any] = {}
    for name, value in _object(config, path).items():
        kind = _THINKING.get(_snake(name))
        if kind is None:
            raise NoCounterpartError(_at(path, _snake(name)))
        if type(value) is not kind:
            raise NoCounterpartError(_at(path, _snake(name)), f"must be of type {kind.__name__}, not {shown(value)}")
        made[_snake(name)] = value
    return made


def _lowered(schema: Any) -> Any:
    """Return a schema in Gemini's own form, in which types are upper case, as one of JSON Schema.

    What else differs, such as ``nullable``, stays: the gateway hands it on to Gemini.
    """
    if not isinstance(schema, Mapping):
        return schema
    made = dict(schema)
    if isinstance(kind := made.get("type"), str):
        made["type"] = kind.lower()
    for name in _ONE_SCHEMA & made.keys():
        made[name] = _lowered(made[name])
    for name in _SCHEMAS & made.keys():
        inner = made[name]
        if isinstance(inner, list):
            made[name] = [_lowered(one) for one in inner]
        elif isinstance(inner, Mapping):  # by names, which may be those of fields of a schema
            made[name] = {key: _lowered(one) for key, one in inner.items()}
    return made


# -- their values ----------------------------------------------------------------------------------------------------


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _at(path: str, name: str) -> str:
    return f"{path}.{escaped(name, 80)}" if path else escaped(name, 80)


def _word(value: Any) -> str:
    return repr(escaped(value, 40)) if isinstance(value, str) else shown(value)


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise NoCounterpartError(path, f"must be an object, not {shown(value)}")


def _list(value: Any, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise NoCounterpartError(path, f"must be a list, not {shown(value)}")


def _only(value: Any, path: str, name: str) -> Any:
    """Return a field of an object that has no other."""
    given = {key: item for key, item in _object(value, path).items() if item is not None}
    for other in given:
        if other != name:
            raise NoCounterpartError(_at(path, other))
    return given.get(name)


__all__ = ["RESPONSES_URL", "NoCounterpartError", "from_gemini", "from_responses", "is_gemini"]
