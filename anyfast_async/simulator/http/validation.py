"""What the gateway refuses before it asks a model, and how.

Pure: header values and decoded bodies in, a :class:`GatewayError` or None out. The rules and their order are
those of new-api: ``middleware/auth.go`` (`TokenAuth`), ``middleware/distributor.go`` (`getModelRequest`),
``relay/helper/valid_request.go`` (`GetAndValidateTextRequest`) over the struct of ``dto/openai_request.go``,
and the conversions of ``relay/channel/gemini/relay-gemini.go``. Documented ranges (temperature and the like)
are not checked by the gateway, so they are not checked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyfast_async.simulator.http.encoding import decode
from anyfast_async.simulator.http.refusals import middleware_error, relay_error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from anyfast_async.simulator.http.refusals import GatewayError

__all__ = ["check_body", "check_key", "check_model"]

_MAX_TOKENS = 1073741823  # math.MaxInt32 / 2, relay/helper/valid_request.go
_MAX_CHOICES = 128  # dto.MaxChatCompletionsN
_BEARERS = ("Bearer ", "bearer ")


def check_key(authorization: str | None, accepted: Collection[str] | None) -> GatewayError | None:
    """The key of an ``Authorization`` header; ``accepted=None`` takes any key that is not empty."""
    key = (authorization or "").strip()
    for prefix in _BEARERS:
        key = key.removeprefix(prefix)
    key = key.strip()
    if not key or key.lower() == "bearer":
        return middleware_error(401, "No token provided")
    if accepted is not None and key not in accepted:
        return middleware_error(401, "Invalid token")
    return None


def check_model(
    content_type: str, raw: bytes, models: Collection[str] | None
) -> tuple[dict[str, Any], None] | tuple[Any, GatewayError]:
    """Decode a body as far as choosing a channel needs it; the decoded value comes along with a refusal."""
    if not content_type.startswith("application/json"):
        # Without this content type the body is not looked at, so there is no model name.
        return None, middleware_error(400, "Model name not specified, model name cannot be empty")
    try:
        body = decode(raw)
    except ValueError:
        return None, middleware_error(400, "Invalid request: invalid JSON request body")
    model = body.get("model") if isinstance(body, dict) else None
    if model is not None and not isinstance(model, str):
        return body, middleware_error(400, "Invalid request: field model must be a string")
    if not isinstance(body, dict) or not model:
        return body, middleware_error(400, "Model name not specified, model name cannot be empty")
    if models is not None and model not in models:
        text = f"No available channel for model {model} under group default (distributor)"
        return body, middleware_error(503, text, "model_not_found")
    return body, None


def check_body(body: dict[str, Any]) -> GatewayError | None:
    """The fields of a chat-completions request whose model is known."""
    problem = _type_mismatch(body, _FIELDS, "GeneralOpenAIRequest.") or _nested_mismatch(body) or _value_problem(body)
    # HTTP 500 for what the caller did wrong: that is how the gateway does it (code invalid_request).
    if problem is not None:
        return relay_error(500, problem, "invalid_request")
    problem = _conversion_problem(body)
    return None if problem is None else relay_error(500, problem, "convert_request_failed")


# -- types: Go's encoding/json over dto/openai_request.go ----------------------------------------------------


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_uint(value: object) -> bool:
    return _is_int(value) and value >= 0  # type: ignore[operator]  # an int, by the first half


def _is_float(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is(*types: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, types)


_FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "messages": ("[]dto.Message", _is(list)),
    "stream": ("bool", _is(bool)),
    "stream_options": ("dto.StreamOptions", _is(dict)),
    "max_tokens": ("uint", _is_uint),
    "max_completion_tokens": ("uint", _is_uint),
    "reasoning_effort": ("string", _is(str)),
    "temperature": ("float64", _is_float),
    "top_p": ("float64", _is_float),
    "top_k": ("int", _is_int),
    "n": ("int", _is_int),
    "frequency_penalty": ("float64", _is_float),
    "presence_penalty": ("float64", _is_float),
    "response_format": ("dto.ResponseFormat", _is(dict)),
    "seed": ("float64", _is_float),
    "parallel_tool_calls": ("bool", _is(bool)),
    "tools": ("[]dto.ToolCallRequest", _is(list)),
    "logprobs": ("bool", _is(bool)),
    "top_logprobs": ("int", _is_int),
}
_MESSAGE_FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "role": ("string", _is(str)),
    "name": ("string", _is(str)),
    "tool_call_id": ("string", _is(str)),
    "reasoning_content": ("string", _is(str)),
}
_GO_KINDS = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def _type_mismatch(
    value: dict[str, Any], fields: dict[str, tuple[str, Callable[[object], bool]]], path: str
) -> str | None:
    for name, (go_type, fits) in fields.items():
        given = value.get(name)
        if given is not None and not fits(given):  # null leaves a Go field as it was
            return _cannot_unmarshal(given, path + name, go_type)
    return None


def _cannot_unmarshal(given: object, path: str, go_type: str) -> str:
    kind = _GO_KINDS[type(given)]
    shown = f"number {given}" if kind == "number" else kind
    return f"json: cannot unmarshal {shown} into Go struct field {path} of type {go_type}"


def _nested_mismatch(body: dict[str, Any]) -> str | None:
    for message in body.get("messages") or ():
        if not isinstance(message, dict):
            return _cannot_unmarshal_item(message, "messages", "dto.Message")
        problem = _type_mismatch(message, _MESSAGE_FIELDS, "Message.messages.")
        if problem is not None:
            return problem
    for tool in body.get("tools") or ():
        if not isinstance(tool, dict):
            return _cannot_unmarshal_item(tool, "tools", "dto.ToolCallRequest")
    include_usage = (body.get("stream_options") or {}).get("include_usage")
    if include_usage is not None and not isinstance(include_usage, bool):
        return _cannot_unmarshal(include_usage, "StreamOptions.stream_options.include_usage", "bool")
    return None


def _cannot_unmarshal_item(item: object, field: str, go_type: str) -> str | None:
    if item is None:
        return f"{field}: null item"
    return _cannot_unmarshal(item, f"GeneralOpenAIRequest.{field}", go_type)


# -- values --------------------------------------------------------------------------------------------------


def _value_problem(body: dict[str, Any]) -> str | None:
    if any((body.get(name) or 0) > _MAX_TOKENS for name in ("max_tokens", "max_completion_tokens")):
        return "max_tokens is invalid"
    choices = body.get("n")
    if choices is not None and not 1 <= choices <= _MAX_CHOICES:
        return f"n must be an integer between 1 and {_MAX_CHOICES}"
    if not body.get("messages"):
        return "field messages is required"
    return None


# -- conversion to Gemini's own request (relay-gemini.go) ----------------------------------------------------

_THINKING_KEYS: dict[str, Callable[[object], bool]] = {
    "thinking_budget": _is_int,
    "include_thoughts": _is(bool),
    "thinking_level": _is(str),
}


def _conversion_problem(body: dict[str, Any]) -> str | None:
    return _thinking_problem(body) or _arguments_problem(body)


def _thinking_problem(body: dict[str, Any]) -> str | None:
    extra = body.get("extra_body")
    google = extra.get("google") if isinstance(extra, dict) else None
    config = google.get("thinking_config") if isinstance(google, dict) else None
    if not isinstance(config, dict):
        return None
    for camel, snake in (
        ("thinkingBudget", "thinking_budget"),
        ("includeThoughts", "include_thoughts"),
        ("thinkingLevel", "thinking_level"),
    ):
        if camel in config:
            return f"extra_body.google.thinking_config.{camel} is not supported, use {snake} instead"
    for name, fits in _THINKING_KEYS.items():
        if name in config and not fits(config[name]):
            return f"extra_body.google.thinking_config.{name} has an invalid type"
    return None


def _arguments_problem(body: dict[str, Any]) -> str | None:
    """Arguments of earlier tool calls must be the text of a JSON object, or empty."""
    for message in body["messages"]:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and not _is_object_text(function.get("arguments") or ""):
                return f"invalid arguments for function {function.get('name')}"
    return None


def _is_object_text(arguments: object) -> bool:
    if not isinstance(arguments, str):
        return False
    try:
        return arguments == "" or isinstance(decode(arguments.encode("utf-8", "replace")), dict)
    except ValueError:
        return False
