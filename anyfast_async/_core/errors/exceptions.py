"""The exception for an error: what its body says, who wrote it, and what may be done about it.

Bodies have every shape that ``error_bodies`` reads, and are events, HTML pages of proxies, plain text or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from anyfast_async._core.errors import quota_and_model
from anyfast_async._core.errors.advice import advice_on
from anyfast_async._core.errors.error_bodies import Problem, problem_of
from anyfast_async._core.errors.failures import THROTTLED, of_status, status_error, verdict
from anyfast_async._core.errors.gateway_or_proxy import Speaker, is_page, is_statement, speaker, words_of
from anyfast_async._core.errors.request_id import Hide, as_is, holds_long_key, request_id
from anyfast_async._core.json import codec
from anyfast_async._core.retry.retry_after import retry_after
from anyfast_async._core.sse import Decoder
from anyfast_async.errors import (
    APIError,
    APIStatusError,
    InsufficientQuotaError,
    ModelNotFoundError,
    ResponseShapeError,
    escaped,
)

_SHOWN_BODY: Final = 400
_SEARCHED_BODY: Final = 64 * 1024

_BEARER: Final = r"(?i)bearer\s+\S+|\bsk-[A-Za-z0-9_\-]{8,}"


E = TypeVar("E", bound=APIError)


def _hidden(value: Any, hide: Hide) -> Any:
    """Return a decoded body without the key; only decoded text can be searched, escapes hide it in the raw one.

    Names of fields are no place for a word that is the key, or ``error`` itself may be gone.
    """

    def shown(text: str) -> str:
        return hide(without_keys(text))

    return codec.map_strings(value, shown, lambda name: shown(name) if holds_long_key(name, shown) else name)


def without_keys(text: str) -> str:
    """Return *text* without anything that looks like a key: gateways do echo them."""
    return re.sub(_BEARER, "***", text)


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
    delay = retry_after(headers, source, problem.message, now, throttled=of_status(status).stated == THROTTLED)
    if quota_and_model.is_quota(status, (problem.code, problem.type), problem.message, source, delay):
        kind: type[APIStatusError] = InsufficientQuotaError
        delay = quota_and_model.refilled_after(source, delay, now)
    elif quota_and_model.is_model(status, problem.code, problem.message):
        kind = ModelNotFoundError
    elif found.by == "proxy" and "proxy-authenticate" in headers:
        kind = APIStatusError  # it is not the gateway that refuses, and not the key that is refused
    else:
        kind = status_error(status)
    shown = _without_key(problem, hide)
    location = hide(without_keys(headers.get("location", "nowhere")))
    said = _message(f"{status}", shown) + (": an empty body" if isinstance(body, str) and not body.strip() else "")
    error = kind(said + _source(status, headers, found) + advice_on(status, location, problem.code))
    error.request_id = request_id(headers, problem.message, hide)
    error.status_code = status
    error.retry_after = delay
    error.spoken_by = found.by
    should_retry = headers.get("x-should-retry")
    retry, billed = verdict(status, problem.code, problem.type, stated=found.stated, should_retry=should_retry)
    error.retry_class = retry if kind not in (InsufficientQuotaError, ModelNotFoundError) else "never"
    error.retryable = error.retry_class != "never"
    error.billed = "maybe" if found.late else billed
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
