"""What an error says, whatever its shape: its words, its code, and the status that it names.

Shapes: new-api ``types/error.go`` and its middleware, Google's ``google.rpc.Status`` (also wrapped in a list), RFC 9457
problem details as Cloudflare sends them, FastAPI's ``detail``, ``error`` beside ``message`` as Fastify, NestJS and
Spring have it, DashScope's ``code`` and ``message``, Baidu's ``error_code`` and ``error_msg``, ``base_resp`` of
MiniMax, ``errors`` of Cloudflare's API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from anyfast_async._core.json import codec

_ERROR_STATUSES: Final = range(400, 600)

_GOOGLE_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""google.rpc.Code to HTTP, for errors inside a 200."""
_WORD_STATUS: Final = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "insufficient_user_quota": 403,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "invalid_request_error": 400,
    "invalid_request": 500,
    "prompt_blocked": 400,
    "model_not_found": 503,
    "server_error": 500,
    "internal_server_error": 500,
    "do_request_failed": 500,
    "bad_response": 500,
    "bad_response_body": 500,
    "read_response_body_failed": 500,
    "empty_response": 500,
    "overloaded_error": 529,
}
"""Codes and types to the status that they come with when they come with one, for errors inside a 200."""

_WORDS: Final = ("message", "msg", "detail", "error_msg", "error_description")
"""Where error bodies have their words."""
_CODES: Final = ("code", "error_code", "errcode")
_NO_WORDS: Final = frozenset({*_WORDS, *_CODES, "type", "param", "status"})
"""Fields of an error that do not make one without words worth showing as it is."""
_WRAPPED: Final = 4
"""How many lists and objects may stand around an error."""
_WELL: Final = frozenset({0, 200, "0", "200", "ok", "OK", "success", "Success", "SUCCESS"})
"""Codes by which wrappers say that nothing is wrong."""
_NAME: Final = re.compile(r"[A-Za-z][\w.\-]*")


class Problem(NamedTuple):
    """What an error body says."""

    message: str
    type: str | None = None
    code: str | int | None = None
    param: str | None = None
    status: int | None = None
    """The HTTP status that the body names, for errors inside a 200."""
    body: Any = None
    """The object that says so, where it is another one than the whole body."""


def _status_of(*values: Any) -> int | None:
    for value in values:
        if isinstance(value, bool):
            continue
        if isinstance(value, int) and value in _ERROR_STATUSES:
            return value
        if isinstance(value, str):
            if value.isascii() and value.isdigit() and len(value) == 3 and int(value) in _ERROR_STATUSES:  # noqa: PLR2004
                return int(value)
            if status := _GOOGLE_STATUS.get(value) or _WORD_STATUS.get(value):
                return status
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def problem_of(payload: Any) -> Problem | None:
    """Return what the decoded error body *payload* says, None if it is no error body."""
    if isinstance(payload, list):
        payload = next((item for item in payload if isinstance(item, Mapping)), None)
    if not isinstance(payload, Mapping):
        return None
    inner = _stated(payload)
    source = inner if isinstance(inner, Mapping) else payload
    if isinstance(base := payload.get("base_resp"), Mapping):
        source = {"message": base.get("status_msg"), "code": base.get("status_code")}
    code = _code(source)
    message = _words(source, inner)
    if isinstance(inner, str) and inner:
        if not isinstance(message, str):
            message = inner
        elif code is None and _NAME.fullmatch(inner):
            code = inner
        elif inner != message:
            message = f"{inner}: {message}"
    if message is None and inner is None and not _says_so(payload):
        return None
    text = message if isinstance(message, str) else codec.dumps(message).decode() if message is not None else ""
    if text.startswith("{") and (nested := _nested(text)) is not None:
        # Google's SDK-based proxies put the whole upstream body into the message, as text.
        return nested if nested.code is not None else nested._replace(code=code)
    status = _status_of(
        *(source.get("status"), code, source.get("type"), payload.get("status"), source.get("statusCode"))
    )
    return Problem(text, _text(source.get("type")), code, _text(source.get("param")), status)


def _stated(payload: Mapping[str, Any]) -> Any:
    """Return what stands as ``error``, or first among ``errors``, and not the lists and objects around it."""
    found = inner = payload.get("error")
    if not inner and not any(_text(payload.get(name)) for name in _WORDS):
        found = payload.get("errors") or inner
    for _ in range(_WRAPPED):
        if isinstance(found, list):
            found = next((one for one in found if isinstance(one, (Mapping, str)) and one), None)
        elif isinstance(found, Mapping) and isinstance(found.get("error"), (Mapping, list)):
            found = found["error"]
        else:
            break
    return found


def _words(source: Mapping[str, Any], inner: Any) -> Any:
    """Return what *source* has for words, the whole *inner* error if it has only others than are known."""
    message = next((source[name] for name in (*_WORDS, "title") if source.get(name)), None)
    if message is None and source is inner and any(source[name] for name in source if name not in _NO_WORDS):
        return inner
    return message


def _code(source: Mapping[str, Any]) -> str | int | None:
    for name in _CODES:
        code = source.get(name)
        if isinstance(code, (str, int)) and not isinstance(code, bool):
            return code
    return None


def _says_so(payload: Mapping[str, Any]) -> bool:
    """Return whether an object calls itself an error, whatever else is in it."""
    if isinstance(base := payload.get("base_resp"), Mapping):
        return base.get("status_code") not in _WELL
    return payload.get("object") == "error" or payload.get("type") == "error" or payload.get("success") is False


def _nested(text: str) -> Problem | None:
    try:
        value = codec.loads(text.encode("utf-8", "replace"))
    except codec.InvalidJSONError:
        return None
    if not isinstance(value, Mapping) or "error" not in value:
        return None
    found = problem_of(value)
    return found._replace(body=value) if found is not None else None


def is_error(payload: Any) -> bool:
    """Return whether a decoded answer with a success status is an error object all the same."""
    if isinstance(payload, list):
        return any(isinstance(item, Mapping) and _is_one(item.get("error")) for item in payload)
    if not isinstance(payload, Mapping):
        return False
    if _is_one(payload.get("error")):
        return True
    if payload.get("choices"):
        return False
    return _says_so(payload) or _is_bare(payload) or _is_one(payload.get("errors"))


_NONE: Final = frozenset({"0", "200", "ok", "success", "none"})


def _is_one(error: Any) -> bool:
    """Return whether *error* is one: some gateways' word for none, beside an answer, is a code of 0 and no message."""
    if isinstance(error, Mapping):
        return any(value and str(value).strip().lower() not in _NONE for value in error.values())
    return bool(error)


def _is_bare(payload: Mapping[str, Any]) -> bool:
    """Return whether an object without choices is an error that has no other mark than words."""
    detail = payload.get("detail")
    if not (detail and isinstance(detail, (str, list))) and not any(_text(payload.get(name)) for name in _WORDS):
        return False
    code = _code(payload)
    # An event of a type that nobody knows says nothing, unless it has a code.
    return code not in _WELL if code is not None else "type" not in payload and "object" not in payload
