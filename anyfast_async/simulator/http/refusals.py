"""What the gateway says when it refuses: status, headers and body.

Pure values. The shapes are those of new-api: ``middleware/utils.go`` (`abortWithOpenAiMessage`),
``controller/relay.go`` with ``types/error.go`` (relay errors), ``controller/relay.go`` (`RelayNotFound`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import attrs

from anyfast_async.simulator.http.encoding import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GatewayError", "error_for", "in_band", "middleware_error", "not_found", "relay_error", "render"]

Stage = Literal["middleware", "relay", "upstream", "proxy"]
"""Who refuses: the gateway before the call, the gateway's relay, the model's provider, a proxy in front."""


@attrs.frozen
class GatewayError:
    """One refusal, before the id of the request that it answers is known."""

    status: int
    message: str
    code: str | int = ""
    type: str = "new_api_error"
    stage: Stage = "relay"
    upstream_called: bool = False
    """The call to the model's provider had begun: a streamed request then has the event-stream head set."""

    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = None
    """Sent instead of the JSON body that the other fields make."""

    content_type: str = "application/json; charset=utf-8"


def middleware_error(status: int, message: str, code: str = "") -> GatewayError:
    """A refusal before the relay: key, limiter, overload, choice of a channel."""
    return GatewayError(status, message, code, stage="middleware")


def relay_error(status: int, message: str, code: str) -> GatewayError:
    """A refusal by the relay itself, before or instead of the call to the model's provider."""
    return GatewayError(status, message, code, stage="relay")


def not_found(method: str, path: str) -> GatewayError:
    """An unknown path below /v1 or /api (new-api ``controller/relay.go``: `RelayNotFound`)."""
    return GatewayError(404, f"Invalid URL ({method} {path})", type="invalid_request_error", stage="upstream")


def error_for(status: int, *, code: str | int | None = None, message: str | None = None) -> GatewayError:
    """The error that the gateway most likely means by ``status``, or by ``code`` where one is given."""
    known = _BY_STATUS.get(status, _unknown(status)) if code is None else _by_code(status, code)
    return known if message is None else attrs.evolve(known, message=message)


def render(error: GatewayError, request_id: str) -> bytes:
    """The body of the answer."""
    return error.body if error.body is not None else encode({"error": _fields(error, request_id)})


def in_band(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The same as a JSON object for an event of a stream that has begun."""
    return {"error": _fields(error, request_id)}


def _fields(error: GatewayError, request_id: str) -> dict[str, Any]:
    # Messages of the gateway itself end in the request id, relayed ones do not
    # (new-api common/utils.go: MessageWithRequestId).
    signed = error.type == "new_api_error"
    message = f"{error.message} (request id: {request_id})" if signed else error.message
    if error.stage == "middleware":
        # gin.H is a map: Go writes its keys sorted, and there is no "param" (middleware/utils.go).
        return {"code": error.code, "message": message, "type": error.type}
    return {"message": message, "type": error.type, "param": "", "code": error.code}


def _upstream(status: int, message: str, code: str | int, type_: str = "upstream_error") -> GatewayError:
    return GatewayError(status, message, code, type_, stage="upstream", upstream_called=True)


def _unknown(status: int) -> GatewayError:
    # A Google error relayed: numeric code kept, type missing at the source, hence "upstream_error".
    return _upstream(status, _phrase(status), status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"


def _cloudflare(status: int, title: str) -> GatewayError:
    page = (
        "<!DOCTYPE html>\n"
        f'<html lang="en-US">\n<head>\n<title>anyfast.ai | {status}: {title}</title>\n</head>\n'
        f"<body>\n<h1>{title} <span>Error code {status}</span></h1>\n</body>\n</html>\n"
    )
    return GatewayError(
        status, title, status, stage="proxy", body=page.encode(), content_type="text/html; charset=UTF-8"
    )


def _by_code(status: int, code: str | int) -> GatewayError:
    if isinstance(code, int):
        return _upstream(status, _phrase(status), code)
    message = _MESSAGES.get(code, _phrase(status))
    if code == "" or code in _MIDDLEWARE_CODES:
        return middleware_error(status, message, code)
    if code in _TYPE_IS_CODE:
        return GatewayError(status, message, code, type=code, upstream_called=True)
    if code in _RELAY_CODES or code.startswith("channel:"):
        called = code in _AFTER_THE_CALL
        return attrs.evolve(relay_error(status, message, code), upstream_called=called)
    return _upstream(status, message, code, _UPSTREAM_TYPES.get(code, "upstream_error"))


_MIDDLEWARE_CODES = frozenset(
    {
        "access_denied",
        "model_not_found",
        "system_cpu_overloaded",
        "system_disk_overloaded",
        "system_memory_overloaded",
    }
)
# new-api types/error.go and relay/channel: these errors carry their code as their type.
_TYPE_IS_CODE = frozenset(
    {
        "bad_response",
        "bad_response_body",
        "bad_response_status_code",
        "empty_response",
        "prompt_blocked",
        "read_response_body_failed",
    }
)
_AFTER_THE_CALL = frozenset({"do_request_failed", "aws_invoke_error"})
_RELAY_CODES = _AFTER_THE_CALL | {
    "api_not_implemented",
    "convert_request_failed",
    "count_token_failed",
    "gen_relay_info_failed",
    "get_channel_failed",
    "insufficient_user_quota",
    "invalid_api_type",
    "invalid_request",
    "json_marshal_failed",
    "model_price_error",
    "pre_consume_token_quota_failed",
    "query_data_error",
    "read_request_body_failed",
    "sensitive_words_detected",
    "update_data_error",
}
# What the providers themselves put into "type" (OpenAI API reference, "Error codes").
_UPSTREAM_TYPES = {
    "insufficient_quota": "insufficient_quota",
    "rate_limit_exceeded": "requests",
    "context_length_exceeded": "invalid_request_error",
    "invalid_request_error": "invalid_request_error",
    "overloaded_error": "overloaded_error",
}
_MESSAGES = {
    "api_not_implemented": "API not implemented",
    "bad_response_status_code": "openai_error",
    "do_request_failed": "do request failed",
    "empty_response": "empty response from Gemini API",
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_user_quota": "user quota is not enough",
    "invalid_request": "invalid request",
    "model_not_found": "No available channel for this model under group default (distributor)",
    "pre_consume_token_quota_failed": "token quota is not enough",
    "prompt_blocked": "request blocked by Gemini API: PROHIBITED_CONTENT",
    "read_request_body_failed": "request body too large",
    "sensitive_words_detected": "sensitive words detected",
    "system_cpu_overloaded": "system cpu overloaded",
    "system_disk_overloaded": "system disk overloaded",
    "system_memory_overloaded": "system memory overloaded",
}
_BY_STATUS = {
    400: _upstream(400, "Request contains an invalid argument.", 400),
    401: middleware_error(401, "Invalid token"),
    403: _by_code(403, "insufficient_user_quota"),
    413: _by_code(413, "read_request_body_failed"),
    # The limiter in front of the relay; it sends no Retry-After (middleware/model-rate-limit.go).
    429: middleware_error(429, "You have reached the request limit: at most 60 requests in 1 minutes"),
    500: _by_code(500, "do_request_failed"),
    501: _by_code(501, "api_not_implemented"),
    502: _by_code(502, "bad_response_status_code"),
    503: _by_code(503, "system_cpu_overloaded"),
    504: _by_code(504, "bad_response_status_code"),
    520: _cloudflare(520, "Web server is returning an unknown error"),
    521: _cloudflare(521, "Web server is down"),
    522: _cloudflare(522, "Connection timed out"),
    523: _cloudflare(523, "Origin is unreachable"),
    524: _cloudflare(524, "A timeout occurred"),
    525: _cloudflare(525, "SSL handshake failed"),
    526: _cloudflare(526, "Invalid SSL certificate"),
    529: _upstream(529, "Overloaded", "overloaded_error", "overloaded_error"),
}
