"""What an error says: its body read, whatever its shape, and made the right exception.

Error shapes: new-api ``types/error.go`` and its middleware, Google's ``google.rpc.Status`` (also wrapped in a list),
RFC 9457 problem details as Cloudflare sends them, FastAPI's ``detail``, ``error`` beside ``message`` as Fastify, NestJS
and Spring have it, DashScope's ``code`` and ``message``, Baidu's ``error_code`` and ``error_msg``, ``base_resp`` of
MiniMax, ``errors`` of Cloudflare's API, events, HTML pages of proxies, empty bodies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from anyfast_async._core import closed, codec
from anyfast_async._core.delay import retry_after
from anyfast_async._core.pages import Speaker, is_page, is_statement, speaker, words_of
from anyfast_async._core.sse import Decoder
from anyfast_async._core.verdicts import verdict
from anyfast_async.errors import (
    APIError,
    APIStatusError,
    InsufficientQuotaError,
    ModelNotFoundError,
    ResponseShapeError,
    escaped,
    status_error,
)

Hide: TypeAlias = Callable[[str], str]
"""Takes the key out of a text; a function, so that no frame that an exception passes through holds the key."""

REDIRECTS: Final = range(300, 400)
_ERROR_STATUSES: Final = range(400, 600)
_SHOWN_BODY: Final = 400
_SEARCHED_BODY: Final = 64 * 1024
THROTTLED_STATUS: Final = 429

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

_REQUEST_ID_HEADERS: Final = ("x-oneapi-request-id", "x-request-id", "cf-ray")
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_REQUEST_ID_TEXT: Final = re.compile(r"\(request id: ([0-9A-Za-z]+)\)")
_ECHOED: Final = 16
"""Characters of a key that is no word; see ``_key.Secret.hide``."""
_BEARER: Final = re.compile(r"(?i)bearer\s+\S+|\bsk-[A-Za-z0-9_\-]{8,}")


E = TypeVar("E", bound=APIError)


def as_is(text: str) -> str:
    return text


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


def _hidden(value: Any, hide: Hide) -> Any:
    """Return a decoded body without the key; only decoded text can be searched, escapes hide it in the raw one.

    Names of fields are no place for a word that is the key, or ``error`` itself may be gone.
    """

    def shown(text: str) -> str:
        return hide(without_keys(text))

    return codec.map_strings(value, shown, lambda name: shown(name) if _holds_long_key(name, shown) else name)


def request_id(headers: Mapping[str, str], message: str = "", hide: Hide = as_is) -> str | None:
    """Return the gateway's id of the request as it came: from a header, else the last one in the message.

    What holds a key of sixteen characters or more, or is nothing else than a key or its end, is an echo, and no id.
    """
    found = [value for name in _REQUEST_ID_HEADERS if _REQUEST_ID.fullmatch(value := headers.get(name, ""))]
    found += reversed(_REQUEST_ID_TEXT.findall(message))
    return next((one for one in found if not _is_echo(one, hide)), None)


def _is_echo(text: str, hide: Hide) -> bool:
    return hide(text) == "***" or _holds_long_key(text, hide)


def _holds_long_key(text: str, hide: Hide) -> bool:
    return len(text) - len(hide(text).replace("***", "")) >= _ECHOED


def shown_headers(headers: Mapping[str, str], hide: Hide) -> dict[str, str]:
    """Return an answer's *headers* for an exception to show: without the key, ids of the request as they came."""
    return {
        name: value if name in _REQUEST_ID_HEADERS and not _is_echo(value, hide) else hide(value)
        for name, value in headers.items()
    }


def without_keys(text: str) -> str:
    """Return *text* without anything that looks like a key: gateways do echo them."""
    return _BEARER.sub("***", text)


# -- what an error body says -----------------------------------------------------------------------------------------


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


# -- exceptions ------------------------------------------------------------------------------------------------------


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide = as_is) -> APIStatusError:
    """Return the exception for an answer with an error *status*; *headers* have lower-case names."""
    payload = _decoded(body)
    found = speaker(status, headers, payload)
    problem = problem_of(payload)
    if problem is None:
        text = hide(without_keys(payload if isinstance(payload, str) else body.decode("utf-8", "replace"))).strip()
        words = words_of(text, status, _SHOWN_BODY) if is_page(headers, text) else text[:_SHOWN_BODY]
        problem = Problem(words)
    return _status_error(status, headers, problem, payload, found, now=now, hide=hide)


def _decoded(body: bytes) -> Any:
    """Return the JSON of an error's body, also of one that was sent as an event, its text if there is none."""
    try:
        return codec.loads(body)
    except codec.InvalidJSONError:
        pass
    if body.lstrip().startswith((b"data:", b"event:", b":")):
        for event in Decoder().feed(body + b"\n\n"):
            try:
                return codec.loads(event)
            except codec.InvalidJSONError:
                continue
    return body.decode("utf-8", "replace")


def inband_error(payload: Any, headers: Mapping[str, str], *, now: float, hide: Hide = as_is) -> APIError:
    """Return the exception for an error object that came inside a success."""
    problem = problem_of(payload) or Problem("")
    stated = is_statement(payload)
    found = Speaker("gateway" if stated else "unknown", stated)
    if problem.status is None:
        shown = _without_key(problem, hide)
        error = APIError(_message("the gateway reported an error", shown))
        error.spoken_by, error.billed = found.by, "no" if stated else "maybe"
        error.request_id = request_id(headers, problem.message, hide)
        return _fill(error, shown, _hidden(payload, hide))
    return _status_error(problem.status, headers, problem, payload, found, now=now, hide=hide)


def _status_error(
    status: int,
    headers: Mapping[str, str],
    problem: Problem,
    body: Any,
    found: Speaker,
    *,
    now: float,
    hide: Hide,
) -> APIStatusError:
    source = problem.body or body
    delay = retry_after(headers, source, problem.message, now, throttled=status == THROTTLED_STATUS)
    if closed.is_quota(status, (problem.code, problem.type), problem.message, source, delay):
        kind: type[APIStatusError] = InsufficientQuotaError
        delay = closed.refilled_after(source, delay, now)
    elif closed.is_model(status, problem.code, problem.message):
        kind = ModelNotFoundError
    elif found.by == "proxy" and "proxy-authenticate" in headers:
        kind = APIStatusError  # it is not the gateway that refuses, and not the key that is refused
    else:
        kind = status_error(status)
    shown = _without_key(problem, hide)
    location = hide(without_keys(headers.get("location", "nowhere")))
    said = _message(f"{status}", shown) + (": an empty body" if isinstance(body, str) and not body.strip() else "")
    error = kind(said + _source(status, headers, found) + _advice(status, location, problem))
    error.request_id = request_id(headers, problem.message, hide)
    error.status_code = status
    error.retry_after = delay
    error.spoken_by = found.by
    should_retry = headers.get("x-should-retry")
    retry, billed = verdict(status, problem.code, problem.type, stated=found.stated, should_retry=should_retry)
    error.retry_class = retry if kind not in (InsufficientQuotaError, ModelNotFoundError) else "never"
    error.retryable = error.retry_class != "never"
    error.billed = billed
    return _fill(error, shown._replace(message=shown.message or f"{status}"), _hidden(body, hide))


def _without_key(problem: Problem, hide: Hide) -> Problem:
    message, kind, code, param = (_hidden(value, hide) for value in problem[:4])
    return Problem(message, kind, code, param, problem.status)


def _fill(error: E, problem: Problem, body: Any) -> E:
    error.message = problem.message or str(error)
    error.code, error.type, error.param, error.body = problem.code, problem.type, problem.param, body
    return error


def _message(start: str, problem: Problem) -> str:
    named = isinstance(problem.code, str) and problem.code not in ("", start)
    code = f" {escaped(str(problem.code), 60)}" if named else ""
    return f"{start}{code}: {escaped(problem.message)}" if problem.message else f"{start}{code}"


def _source(status: int, headers: Mapping[str, str], found: Speaker) -> str:
    """Return words for who says so, where it is not the gateway."""
    if found.by != "proxy":
        return ""
    if status == 407 or "proxy-authenticate" in headers:  # noqa: PLR2004
        return " (a forward proxy refuses the credentials for itself: check proxy=, or HTTPS_PROXY)"
    return f" (said by {found.name or 'a proxy'} in front of the gateway, as a proxy, not by the gateway)"


def _advice(status: int, location: str, problem: Problem) -> str:
    if status in REDIRECTS:
        where = escaped(location, 120)
        return f" (a redirect to {where}; redirects are not followed, because the key must not go there: set base_url)"
    if status == 524:  # noqa: PLR2004
        return " (a proxy gave up on an answer that was silent for 100 s: pass via_stream=True, or use client.stream)"
    if problem.code in closed.MODEL_CODES:
        return " (no channel serves this model for this key: see `anyfast models` for what it may use)"
    return ""


def shape_error(
    headers: Mapping[str, str], body: bytes, what: str, *, status: int | None, hide: Hide = as_is
) -> ResponseShapeError:
    """Return the exception for a success that is no completion."""
    # The key is taken out before the text is cut: half a key would not be recognised.
    text = hide(without_keys(body[:_SEARCHED_BODY].decode("utf-8", "replace")))[:_SHOWN_BODY]
    error = ResponseShapeError(f"{what}: {escaped(text, 200)}" if text else what)
    error.status_code = status
    error.spoken_by = speaker(status or 0, headers, text).by
    error.body = text
    error.request_id = request_id(headers, hide=hide)
    return error
