"""What an error says: every shape of body that is known, and the exception that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from anyfast_async import errors
from anyfast_async._core.errors import exceptions
from anyfast_async._core.errors.failures import status_error
from anyfast_async.errors import APIStatusError, InsufficientQuotaError, ModelNotFoundError

NOW = 1_000_000.0


def error(status: int, body: Any, headers: Mapping[str, str] | None = None, **kwargs: Any) -> APIStatusError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return exceptions.error_of(status, headers or {}, raw, now=NOW, **kwargs)


# -- the shapes of error bodies ---------------------------------------------------------------------------------------

NESTED = '{\n "error": {\n "code": 429, "message": "quota; retry in 4.5s", "status": "RESOURCE_EXHAUSTED"}}'
SHAPES: list[tuple[str, int, Any, dict[str, Any]]] = [
    (
        "1 new-api relay",
        500,
        {
            "error": {
                "message": "field messages is required",
                "type": "new_api_error",
                "param": "",
                "code": "invalid_request",
            }
        },
        {"message": "field messages is required", "type": "new_api_error", "code": "invalid_request", "param": None},
    ),
    (
        "2 new-api middleware",
        401,
        {"error": {"message": "Invalid token (request id: 2026X)", "type": "new_api_error", "code": ""}},
        {"type": "new_api_error", "code": "", "request_id": "2026X"},
    ),
    (
        "3 AnyFast, message only",
        401,
        {"error": {"message": "No token provided"}},
        {"message": "No token provided", "code": None},
    ),
    (
        "4 AnyFast, introduction",
        401,
        {"error": {"message": "m", "type": "authentication_error", "code": "invalid_api_key"}},
        {"type": "authentication_error", "code": "invalid_api_key"},
    ),
    (
        "5 integer code",
        429,
        {"error": {"message": "m", "type": "upstream_error", "param": "", "code": 429}},
        {"code": 429, "type": "upstream_error", "retry_class": "throttled"},
    ),
    (
        "6 upstream was no JSON",
        502,
        {
            "error": {
                "message": "openai_error",
                "type": "bad_response_status_code",
                "param": "",
                "code": "bad_response_status_code",
            }
        },
        {"code": "bad_response_status_code", "retry_class": "refused"},
    ),
    (
        "7 OpenRouter metadata",
        502,
        {"error": {"message": "m", "code": 502, "metadata": {"raw": "r"}}},
        {"message": "m", "code": 502},
    ),
    (
        "8 Google",
        429,
        {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "38s"}]}},
        {"code": 429, "message": "m", "retry_after": 38.0},
    ),
    ("9 Google in a list", 429, [{"error": {"code": 429, "message": "m"}}], {"code": 429, "message": "m"}),
    (
        "10 JSON in the message",
        429,
        {"error": {"message": NESTED, "code": 429, "status": "Too Many Requests"}},
        {"message": "quota; retry in 4.5s", "code": 429, "retry_after": 4.5},
    ),
    ("11 error is a text", 500, {"error": "text"}, {"message": "text", "code": None, "type": None}),
    ("12 new-api task routes", 400, {"code": "bad", "message": "m", "data": None}, {"code": "bad", "message": "m"}),
    (
        "12 with JSON in the message",
        400,
        {"code": "bad", "message": '{"error":{"message":"deep"}}'},
        {"code": "bad", "message": "deep"},
    ),
    ("13 new-api dashboard", 403, {"success": False, "message": "m"}, {"message": "m", "code": None}),
    ("13 without message", 403, {"success": False}, {"message": "403"}),
    ("14 FastAPI", 422, {"detail": "m"}, {"message": "m"}),
    ("14 FastAPI list", 422, {"detail": [{"loc": ["body"], "msg": "x"}]}, {"message": '[{"loc":["body"],"msg":"x"}]'}),
    ("14 message", 400, {"message": "m"}, {"message": "m"}),
    ("14 msg", 400, {"msg": "m"}, {"message": "m"}),
    ("14 error_msg", 400, {"error_msg": "m"}, {"message": "m"}),
    ("14 vLLM", 400, {"object": "error", "message": "m", "code": 400}, {"message": "m", "code": 400}),
    ("14 vLLM without message", 400, {"object": "error"}, {"message": "400"}),
    (
        "15 Anthropic",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
        {"type": "overloaded_error"},
    ),
    (
        "16 RFC 9457",
        524,
        {
            "type": "https://x/",
            "title": "Error 524: A timeout occurred",
            "status": 524,
            "detail": "d",
            "retry_after": 60,
        },
        {"message": "d", "retry_after": 60.0, "retry_class": "ambiguous", "billed": "maybe", "type": "https://x/"},
    ),
    ("16 title only", 524, {"title": "Error 524", "status": 524}, {"message": "Error 524"}),
    (
        "17 HTML",
        502,
        b"<html><head><title>502 Bad\nGateway</title></head>",
        {"message": "Bad Gateway", "code": None},
    ),
    ("17 HTML without title", 502, b"<html>hi", {"message": "hi", "body": "<html>hi"}),
    ("18 empty", 429, b"", {"message": "429", "body": "", "retry_class": "throttled"}),
    ("18 white space", 429, b" \n", {"message": "429"}),
    ("18 short text", 504, b"error code: 504", {"message": "error code: 504", "retry_class": "ambiguous"}),
    (
        "errors, as Cloudflare's API has them",
        400,
        {"success": False, "errors": [{"code": 7003, "message": "no route"}], "messages": [], "result": None},
        {"message": "no route", "code": 7003},
    ),
    ("errors that are texts", 502, {"errors": ["m", "n"]}, {"message": "m", "retry_class": "ambiguous"}),
    ("no errors", 500, {"errors": [], "a": 1}, {"message": '{"errors": [], "a": 1}'}),
    ("error is a list", 500, {"error": [None, {"message": "m", "code": "c"}]}, {"message": "m", "code": "c"}),
    ("error is a list of texts", 500, {"error": ["m"]}, {"message": "m", "code": None}),
    (
        "an error in an error",
        500,
        {"error": {"error": {"message": "m", "code": "c"}}},
        {"message": "m", "code": "c", "retry_class": "ambiguous"},
    ),
    (
        "an error in other words",
        500,
        {"error": {"code": 5, "reason": "r"}},
        {"message": '{"code":5,"reason":"r"}', "code": 5},
    ),
    ("an error without words", 500, {"error": {"code": "c", "message": ""}}, {"message": "500", "code": "c"}),
    ("no object", 500, b"5", {"message": "5", "body": 5}),
    ("a list without objects", 500, b"[1]", {"message": "[1]", "body": [1]}),
    ("an object without a message", 500, {"a": 1}, {"message": '{"a": 1}', "body": {"a": 1}}),
    ("an empty error", 500, {"error": {}}, {"message": "500"}),
    ("a message that is no text", 500, {"error": {"message": 5, "code": True}}, {"message": "5", "code": None}),
    ("a brace that is no JSON", 500, {"error": {"message": "{oops"}}, {"message": "{oops"}),
    ("JSON in the message that is no error", 500, {"error": {"message": '{"a":1}'}}, {"message": '{"a":1}'}),
]


@pytest.mark.parametrize(("status", "body", "wanted"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_error_shape(status: int, body: Any, wanted: dict[str, Any]) -> None:
    """Every shape that gateways, upstreams and proxies put errors into is understood; the status picks the class."""
    found = error(status, body)
    assert status == found.status_code
    assert status_error(status) is type(found)
    assert wanted == {name: getattr(found, name) for name in wanted}
    assert str(found).startswith(str(status))


def test_retry_info_in_a_list() -> None:
    """google-gemini/gemini-cli #14831: the list-wrapped error carries its RetryInfo too."""
    body = [{"error": {"code": 429, "message": "m", "details": [{"retryDelay": "38s"}]}}]
    assert 38.0 == error(429, body).retry_after


def test_retry_info_in_a_nested_message() -> None:
    """SDK-based proxies put Google's whole body into the message as text, RetryInfo included."""
    inner = json.dumps({"error": {"code": 429, "message": "m", "details": [{"retryDelay": "38s"}]}})
    assert 38.0 == error(429, {"error": {"message": inner, "code": 429}}).retry_after


# -- codes and statuses -----------------------------------------------------------------------------------------------

VERDICTS: list[tuple[int, Any, str, str, type[APIStatusError], str, str]] = [
    # status, code, type, message, class, retry class, billed
    (400, "", "new_api_error", "m", errors.BadRequestError, "never", "no"),
    (400, "prompt_blocked", "prompt_blocked", "m", errors.BadRequestError, "never", "no"),
    (400, "model_price_error", "new_api_error", "m", errors.BadRequestError, "never", "no"),
    (500, "model_price_error", "new_api_error", "m", errors.InternalServerError, "never", "no"),
    (400, 400, "upstream_error", "m", errors.BadRequestError, "never", "no"),
    (401, "", "new_api_error", "m", errors.AuthenticationError, "never", "no"),
    (401, "invalid_api_key", "upstream_error", "m", errors.AuthenticationError, "never", "no"),
    (403, "insufficient_user_quota", "new_api_error", "m", InsufficientQuotaError, "never", "no"),
    (403, "pre_consume_token_quota_failed", "new_api_error", "m", InsufficientQuotaError, "never", "no"),
    (403, "access_denied", "new_api_error", "m", errors.PermissionDeniedError, "never", "no"),
    (403, "", "new_api_error", "m", errors.PermissionDeniedError, "never", "no"),
    (404, "", "invalid_request_error", "m", errors.NotFoundError, "never", "no"),
    (404, "model_not_found", "upstream_error", "m", ModelNotFoundError, "never", "no"),
    (404, 404, "upstream_error", "m", errors.NotFoundError, "never", "no"),
    (408, "", "upstream_error", "m", APIStatusError, "ambiguous", "maybe"),
    (409, "", "upstream_error", "m", errors.ConflictError, "never", "no"),
    (413, "read_request_body_failed", "new_api_error", "m", APIStatusError, "never", "no"),
    (422, "", "upstream_error", "m", errors.UnprocessableEntityError, "never", "no"),
    (425, "", "", "m", APIStatusError, "refused", "no"),
    (429, "", "new_api_error", "10 requests in 1 minutes", errors.RateLimitError, "throttled", "no"),
    (429, 429, "upstream_error", "m", errors.RateLimitError, "throttled", "no"),
    (429, "rate_limit_exceeded", "x", "m", errors.RateLimitError, "throttled", "no"),
    (429, "insufficient_quota", "insufficient_quota", "m", InsufficientQuotaError, "never", "no"),
    (429, 429, "upstream_error", "Quota GenerateRequestsPerDayPerProject", InsufficientQuotaError, "never", "no"),
    (429, 429, "upstream_error", "limit per day reached", InsufficientQuotaError, "never", "no"),
    *[
        (500, code, "new_api_error", "m", errors.InternalServerError, "never", "no")
        for code in (
            "invalid_request",
            "convert_request_failed",
            "sensitive_words_detected",
            "invalid_api_type",
            "json_marshal_failed",
            "gen_relay_info_failed",
            "count_token_failed",
            "channel:model_mapped_error",
            "channel:param_override_invalid",
            "channel:header_override_invalid",
        )
    ],
    *[
        (500, code, code, "m", errors.InternalServerError, "refused", "no")
        for code in (
            "do_request_failed",
            "bad_response",
            "bad_response_body",
            "read_response_body_failed",
            "empty_response",
            "query_data_error",
            "update_data_error",
            "aws_invoke_error",
            "channel:response_time_exceeded",
            "channel:no_available_key",
            "get_channel_failed",
        )
    ],
    (500, "", "new_api_panic", "m", errors.InternalServerError, "ambiguous", "no"),
    (500, "x", "upstream_error", "m", errors.InternalServerError, "refused", "no"),
    (501, "api_not_implemented", "new_api_error", "m", errors.InternalServerError, "never", "no"),
    (503, "model_not_found", "new_api_error", "m", ModelNotFoundError, "never", "no"),
    (503, "system_cpu_overloaded", "new_api_error", "m", errors.InternalServerError, "throttled", "no"),
    (503, "system_memory_overloaded", "new_api_error", "m", errors.InternalServerError, "throttled", "no"),
    (503, "system_disk_overloaded", "new_api_error", "m", errors.InternalServerError, "throttled", "no"),
    (503, "bad_response_status_code", "bad_response_status_code", "m", errors.InternalServerError, "refused", "no"),
    (502, "", "", "m", errors.InternalServerError, "refused", "no"),
    (504, "", "", "m", errors.InternalServerError, "ambiguous", "maybe"),
    *[(status, "", "", "m", errors.InternalServerError, "refused", "no") for status in (520, 521, 522, 523, 529)],
    (524, "", "", "m", errors.InternalServerError, "ambiguous", "maybe"),
    *[(status, "", "", "m", errors.InternalServerError, "never", "no") for status in (505, 525, 526)],
    (400, "violation_fee.policy", "x", "m", errors.BadRequestError, "never", "yes"),
    (500, "violation_fee.policy", "x", "m", errors.InternalServerError, "never", "yes"),
]


@pytest.mark.parametrize(("status", "code", "kind", "message", "cls", "retry", "billed"), VERDICTS)
def test_verdict(  # noqa: PLR0917 - a row of the table
    status: int, code: Any, kind: str, message: str, cls: type[APIStatusError], retry: str, billed: str
) -> None:
    """new-api types/error.go, controller/relay.go, service/: every known code gets its class, retry class and bill."""
    found = error(status, {"error": {"message": message, "type": kind, "code": code}})
    assert (cls, retry, billed, retry != "never") == (type(found), found.retry_class, found.billed, found.retryable)


@pytest.mark.parametrize(
    ("status", "header", "retry"),
    [
        (400, "true", "refused"),
        (409, "true", "refused"),
        (409, "TRUE ", "refused"),
        (429, "true", "throttled"),
        (429, "false", "never"),
        (500, "false", "never"),
        (503, "maybe", "ambiguous"),
        (409, "", "never"),
    ],
)
def test_x_should_retry_wins(status: int, header: str, retry: str) -> None:
    """openai-python _base_client.py: x-should-retry decides over the status; words but true and false do not."""
    assert retry == error(status, b"", {"x-should-retry": header}).retry_class


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (301, {"location": "https://else/\x1b[31m"}, r"a redirect to https://else/\\x1b\[31m.*set base_url"),
        (302, {}, "a redirect to nowhere"),
        (524, {}, "via_stream=True"),
    ],
)
def test_advice(status: int, headers: dict[str, str], words: str) -> None:
    """The message says what to do where that is known."""
    with pytest.raises(APIStatusError, match=words):
        raise error(status, b"", headers)


def test_advice_for_a_model() -> None:
    """A model that no channel serves points to the list of models."""
    with pytest.raises(ModelNotFoundError, match=r"503 model_not_found: m .*anyfast models"):
        raise error(503, {"error": {"message": "m", "code": "model_not_found"}})


@pytest.mark.parametrize(
    ("headers", "message", "wanted"),
    [
        ({"x-oneapi-request-id": "a", "x-request-id": "b", "cf-ray": "c"}, "(request id: d)", "a"),
        ({"x-request-id": "b", "cf-ray": "c"}, "(request id: d)", "b"),
        ({"x-oneapi-request-id": "", "cf-ray": "c"}, "(request id: d)", "c"),
        ({}, "m (request id: d) (request id: e)", "e"),
        ({}, "m", None),
    ],
)
def test_request_id(headers: dict[str, str], message: str, wanted: str | None) -> None:
    """The gateway's id: header by header, else the last one in the message: chained gateways each add theirs."""
    assert wanted == error(500, {"error": {"message": message}}, headers).request_id


# -- errors inside a success and elsewhere -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "spoken", "retry", "billed"),
    [
        ({"error": {"message": "m", "code": 503}}, "gateway", "refused", "no"),
        ({"error": {"message": "m", "type": "rate_limit_error"}}, "gateway", "throttled", "no"),
        ({"error": {"message": "m", "code": 504}}, "gateway", "ambiguous", "maybe"),
        ({"error": {"message": "m", "code": "x"}}, "gateway", "never", "no"),
        ({"code": 500, "msg": "m"}, "unknown", "ambiguous", "maybe"),
        ({"detail": "m"}, "unknown", "never", "maybe"),
    ],
)
def test_error_inside_a_success_follows_its_code(payload: Any, spoken: str, retry: str, billed: str) -> None:
    """What the gateway states is met as the same code with a status; what somebody else says may have been billed."""
    found = exceptions.inband_error(payload, {}, now=NOW)
    assert (spoken, retry, billed) == (found.spoken_by, found.retry_class, found.billed)


@pytest.mark.parametrize("start", [b"", b": ping\n\n", b"event: error\n", b"\r\n", b"data: hello\n\n"])
def test_event_in_the_body_of_an_error(start: bytes) -> None:
    """An error status whose body is an event stream: the error inside of it."""
    found = error(400, start + b'data: {"error":{"message":"m","code":"c"}}\n\n')
    assert ("m", "c", "gateway") == (found.message, found.code, found.spoken_by)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(407, {"proxy-authenticate": "Basic"}), (401, {"proxy-authenticate": "Basic"}), (407, {})],
)
def test_refusal_of_a_forward_proxy(status: int, headers: dict[str, str]) -> None:
    """RFC 9110 15.5.8, and tinyproxy's 401: the key for the gateway has nothing to do with it."""
    found = error(status, b"<html><h1>Access denied</h1></html>", headers)
    assert (APIStatusError, "proxy", "never", "no") == (
        type(found),
        found.spoken_by,
        found.retry_class,
        found.billed,
    )
    assert "proxy=" in str(found)
    assert "ANYFAST_API_KEY" not in str(found)


@pytest.mark.parametrize(("status", "server", "billed"), [(404, "lighttpd/1.4.69", "maybe"), (404, "nginx", "no")])
def test_status_that_comes_late(status: int, server: str, billed: str) -> None:
    """A 404 of lighttpd's may be about an upstream that fell silent in the middle: that may have been billed."""
    found = error(status, b"<html><h1>404 Not Found</h1></html>", {"server": server, "content-type": "text/html"})
    assert ("proxy", "never", billed) == (found.spoken_by, found.retry_class, found.billed)


@pytest.mark.parametrize("header", ["x-litellm-call-id", "x-smg-error-code"])
@pytest.mark.parametrize(
    ("status", "retry", "billed"),
    [(500, "ambiguous", "maybe"), (503, "ambiguous", "maybe"), (429, "throttled", "no"), (400, "never", "no")],
)
def test_error_object_of_another_gateway(header: str, status: int, retry: str, billed: str) -> None:
    """LiteLLM says 500 of an answer that was cut behind it: nobody knows of the bill. Refusals are refusals."""
    body = {"error": {"message": "litellm.APIConnectionError: payload is not completed", "type": None, "code": "500"}}
    found = error(status, body, {header: "1"})
    assert ("gateway", retry, billed) == (found.spoken_by, found.retry_class, found.billed)


JSON_BEHIND = {"x-litellm-call-id": "1", "llm_provider-content-type": "application/json; charset=UTF-8"}


@pytest.mark.parametrize(
    ("headers", "retry", "billed"),
    [
        (JSON_BEHIND, "refused", "no"),
        ({**JSON_BEHIND, "llm_provider-content-type": "text/html"}, "ambiguous", "maybe"),
        ({**JSON_BEHIND, "llm_provider-x-litellm-call-id": "2"}, "ambiguous", "maybe"),
        ({"x-litellm-call-id": "1"}, "ambiguous", "maybe"),
    ],
)
@pytest.mark.parametrize("status", [500, 503])
def test_what_litellm_relays(headers: dict[str, str], status: int, retry: str, billed: str) -> None:
    """Where the server behind it said so itself, in JSON, it is a refusal as without LiteLLM, and sent again as often.

    A broken connection brought no header of it, and a proxy's page is HTML. Behind a second LiteLLM nothing is known.
    """
    body = {"error": {"message": "litellm.ServiceUnavailableError: The model is overloaded.", "code": str(status)}}
    found = error(status, body, headers)
    assert ("gateway", retry, billed) == (found.spoken_by, found.retry_class, found.billed)
    assert "ambiguous" == error(504, body, headers).retry_class


def test_what_is_no_answer_is_shown_from_its_beginning() -> None:
    """A page in place of a completion: its first words are in the message, a part of it is kept, and no key."""
    page = b"<html>It works! sk-0123456789abcdef " + b"x" * 100_000
    error = exceptions.shape_error({}, page, "the answer is no JSON", status=200)

    assert str(error).startswith("the answer is no JSON: <html>It works! ")
    assert (200, 400) == (error.status_code, len(error.body))
    assert "0123456789abcdef" not in f"{error} {error.body}"
