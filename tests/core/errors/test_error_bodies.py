"""What an error says, whatever its shape, and what says nothing of one; more shapes are in ``test_problem``."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async import APIStatusError
from anyfast_async._core.errors import error_bodies, exceptions

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("payload", "message", "code"),
    [
        ({"type": "error", "code": "server_error", "message": "m"}, "m", "server_error"),
        ({"code": "Throttling.RateQuota", "message": "m", "request_id": "r"}, "m", "Throttling.RateQuota"),
        ({"error_code": 336501, "error_msg": "m"}, "m", 336501),
        ({"detail": "m"}, "m", None),
        ({"detail": [{"loc": ["body"], "msg": "x"}]}, '[{"loc":["body"],"msg":"x"}]', None),
        ({"code": 500, "msg": "m"}, "m", 500),
        ({"message": "m"}, "m", None),
        ({"id": "x", "choices": None, "base_resp": {"status_code": 1002, "status_msg": "m"}}, "m", 1002),
        ({"error": "Bad Request", "message": "m"}, "Bad Request: m", None),
        ({"error": "SyntaxError", "message": "m"}, "m", "SyntaxError"),
        ({"error": "invalid_token", "error_description": "m"}, "m", "invalid_token"),
        ({"error": "m", "message": "m"}, "m", "m"),
        ({"error": "a b", "message": "a b"}, "a b", None),
        ({"error": "m"}, "m", None),
        ({"success": False, "message": "m"}, "m", None),
        ({"errors": [{"message": "m", "code": 7003}], "result": None}, "m", 7003),
        ({"errors": ["m"]}, "m", None),
        ({"error": {"message": "m", "code": 7}, "errors": ["other"]}, "m", 7),
        ({"message": "m", "code": 7, "errors": ["other"]}, "m", 7),
        ({"error": [{"message": "m", "code": "c"}]}, "m", "c"),
        ({"error": {"error": [{"message": "m"}]}}, "m", None),
    ],
)
def test_words_and_code_are_kept(payload: Any, message: str, code: Any) -> None:
    """Whatever shape an upstream has for errors, also inside a success."""
    assert error_bodies.is_error(payload)
    found = exceptions.inband_error(payload, {}, now=NOW)
    assert (message, code) == (found.message, found.code)
    assert message in str(found)


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [{"index": 0}], "message": "m"},
        {"choices": [{"index": 0}], "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"choices": None, "base_resp": {"status_code": 0, "status_msg": ""}},
        {"choices": [], "usage": {"total_tokens": 3}},
        {"choices": [{"index": 0}], "errors": ["m"]},
        {"choices": [], "errors": []},
        {"code": 0, "msg": "ok", "data": {}},
        {"code": 200, "message": "success"},
        {"type": "message_start", "message": {"role": "assistant"}},
        {"type": "progress", "message": "half way"},
        {"message": {"role": "assistant", "content": "Hi"}, "done": False},
        {"object": "list", "data": [], "message": "m"},
        {"detail": ""},
        {"a": 1},
        [],
        5,
        "text",
    ],
)
def test_what_is_no_error(payload: Any) -> None:
    """Answers, wrappers that say that all is well, and events of a type that nobody knows."""
    assert not error_bodies.is_error(payload)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("FAILED_PRECONDITION", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("RESOURCE_EXHAUSTED", 429),
        ("INTERNAL", 500),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
        ("rate_limit_error", 429),
        ("authentication_error", 401),
        ("invalid_request_error", 400),
        ("overloaded_error", 529),
        ("insufficient_quota", 429),
        ("insufficient_user_quota", 403),
        ("invalid_api_key", 401),
        ("prompt_blocked", 400),
        ("model_not_found", 503),
        ("rate_limit_exceeded", 429),
        *((word, 500) for word in ("server_error", "internal_server_error", "invalid_request", "empty_response")),
        *((word, 500) for word in ("do_request_failed", "bad_response", "bad_response_body")),
        ("read_response_body_failed", 500),
    ],
)
def test_a_word_inside_a_success_has_its_status(word: str, status: int) -> None:
    """As google/rpc/code.proto, Anthropic's and OpenAI's pages and the gateway have it, by the code or the type."""
    for name in ("status", "code", "type"):
        found = exceptions.inband_error({"error": {"message": "m", name: word}}, {}, now=NOW)
        assert isinstance(found, APIStatusError)
        assert status == found.status_code
