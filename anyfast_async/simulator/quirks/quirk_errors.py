"""Quirks that are errors: in the middle of a stream, inside a 200, and in bodies of other shapes than usual."""

from __future__ import annotations

from typing import Any

from anyfast_async.simulator.http.encoding import DONE, encode, event, json_text
from anyfast_async.simulator.quirks.draft import AnswerDraft, Quirk

__all__ = ["ERRORS"]

_GIN = "gin-gonic/gin render/render.go (writeContentType) under new-api controller/relay.go"
_GEMINI = "new-api relay/channel/gemini/relay-gemini.go"
_NEW_API = "new-api relay/channel/openai/relay-openai.go"
_TYPES = "new-api types/error.go"

_OVERLOADED = {"message": "The model is overloaded", "type": "server_error", "param": None, "code": "server_error"}
_FAILED = {"message": "do request failed", "type": "new_api_error", "param": "", "code": "do_request_failed"}
_EXHAUSTED = "Resource has been exhausted (e.g. check quota). Please retry in 1.5s."
_GOOGLE = {
    "code": 429,
    "message": _EXHAUSTED,
    "status": "RESOURCE_EXHAUSTED",
    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}],
}
_PAGE = (
    b'<!doctype html>\n<html lang="en">\n<head><title>AnyFast</title></head>\n'
    b'<body><div id="root"></div></body>\n</html>\n'
)
_BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    b"<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
_HTML = "text/html; charset=utf-8"
_PING = b": PING\n\n"


# -- nothing instead of an answer ----------------------------------------------------------------------------


def _blocked(wire: AnswerDraft, code: str, status: int, message: str) -> None:
    if not wire.streamed:
        wire.refuse(status, {"error": {"message": message, "type": code, "param": "", "code": code}})
        return
    usage = [
        {**wire.blank_chunk(), "usage": {**final, "completion_tokens": 0, "total_tokens": final["prompt_tokens"]}}
        for final in [wire.usage()]
        if final
    ]
    del wire.pieces[1:]
    for delta in wire.deltas():
        delta.clear()
        delta |= {"content": "", "role": "assistant"}
    wire.insert(1, wire.blank_chunk(), *usage, DONE)


def _blocked_prompt(wire: AnswerDraft) -> None:
    _blocked(wire, "prompt_blocked", 400, "request blocked by Gemini API: PROHIBITED_CONTENT")


def _empty_response(wire: AnswerDraft) -> None:
    _blocked(wire, "empty_response", 500, "empty response from Gemini API")


# -- in the middle of a stream -------------------------------------------------------------------------------


def _error_event(wire: AnswerDraft) -> None:
    usage = [{**wire.blank_chunk(), "usage": final} for final in [wire.usage()] if final]
    wire.break_off({"error": _OVERLOADED}, *usage, DONE)


def _error_first(wire: AnswerDraft) -> None:
    wire.pieces.clear()
    wire.insert(0, {"error": _OVERLOADED}, DONE)


def _named_error_event(wire: AnswerDraft) -> None:
    wire.break_off(b"event: error\n" + event({"type": "error", "error": _OVERLOADED}))


def _text_error_event(wire: AnswerDraft) -> None:
    wire.break_off(b"event: error\ndata: upstream connect error\n\n")


def _string_error_event(wire: AnswerDraft) -> None:
    wire.break_off({"error": "The model is overloaded"}, DONE)


def _list_error_event(wire: AnswerDraft) -> None:
    wire.break_off(event([{"error": _GOOGLE}]))


def _openrouter_error(wire: AnswerDraft) -> None:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    error = {"code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "Google"}}
    wire.break_off({**wire.blank_chunk(), "choices": [choice], "error": error}, DONE)


def _vllm_error(wire: AnswerDraft) -> None:
    error = {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}
    wire.break_off({"error": error}, DONE)


def _vllm_bare_error(wire: AnswerDraft) -> None:
    error = {"object": "error", "message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}
    wire.break_off(error, DONE)


def _error_after_ping(wire: AnswerDraft) -> None:
    wire.pieces.clear()
    wire.insert(0, _PING, encode({"error": _FAILED}))


def _bare_error_after_content(wire: AnswerDraft) -> None:
    wire.break_off(encode({"error": _FAILED}))


# -- instead of an answer, with status 200 -------------------------------------------------------------------


def _error_in_200(wire: AnswerDraft) -> None:
    wire.refuse(200, {"error": {**_OVERLOADED, "code": 503}})


def _list_error_in_200(wire: AnswerDraft) -> None:
    wire.refuse(200, [{"error": _GOOGLE}])


def _console_page(wire: AnswerDraft) -> None:
    wire.refuse(200, _PAGE, _HTML)


def _no_success(wire: AnswerDraft) -> None:
    wire.refuse(200, {"success": False, "message": "get user group failed"})


def _truncated_json(wire: AnswerDraft) -> None:
    body = wire.body()
    wire.refuse(200, body[: len(body) // 2])


# -- instead of an answer, with a status ---------------------------------------------------------------------


def _json_error_as_event_stream(wire: AnswerDraft) -> None:
    error = {"message": _EXHAUSTED, "type": "upstream_error", "param": "", "code": 429}
    wire.refuse(429, {"error": error}, "text/event-stream")


def _integer_code(wire: AnswerDraft) -> None:
    wire.refuse(429, {"error": {"message": _EXHAUSTED, "type": "upstream_error", "param": "", "code": 429}})


def _google_error(wire: AnswerDraft) -> None:
    wire.refuse(429, {"error": _GOOGLE})


def _list_error(wire: AnswerDraft) -> None:
    wire.refuse(429, [{"error": _GOOGLE}])


def _nested_error(wire: AnswerDraft) -> None:
    inner = json_text({"error": _GOOGLE})
    wire.refuse(429, {"error": {"message": inner, "code": 429, "status": "Too Many Requests"}})


def _string_error(wire: AnswerDraft) -> None:
    wire.refuse(500, {"error": "upstream connect error or disconnect/reset before headers"})


def _detail_error(wire: AnswerDraft) -> None:
    problem = {"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}
    wire.refuse(422, {"detail": [problem]})


def _problem_json(wire: AnswerDraft) -> None:
    problem: dict[str, Any] = {
        "type": "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/",
        "title": "Error 524: A timeout occurred",
        "status": 524,
        "detail": "The origin web server did not return a response in time.",
        "error_code": 524,
        "retryable": True,
        "retry_after": 60,
    }
    wire.refuse(524, problem, "application/problem+json")


def _html_error(wire: AnswerDraft) -> None:
    wire.refuse(502, _BAD_GATEWAY, _HTML)


def _empty_error(wire: AnswerDraft) -> None:
    wire.refuse(429, b"", "")


ERRORS = (
    Quirk(
        "blocked-prompt",
        "a blocked prompt: a stream with a role and usage, nothing else; not streamed: 400 prompt_blocked",
        f"{_GEMINI} (GeminiChatStreamHandler, GeminiChatHandler)",
        "both",
        _blocked_prompt,
    ),
    Quirk(
        "empty-response",
        "no candidates: a stream with a role and usage, nothing else; not streamed: 500 empty_response",
        f"{_GEMINI} (GeminiChatStreamHandler, GeminiChatHandler)",
        "both",
        _empty_response,
    ),
    Quirk(
        "error-event",
        "an upstream error in the middle of a stream comes as an event, then usage and [DONE]",
        f"{_NEW_API}, upstream events relayed verbatim",
        "streamed",
        _error_event,
    ),
    Quirk(
        "error-event-first",
        "the first event of a stream is an upstream error",
        f"{_NEW_API}, upstream events relayed verbatim",
        "streamed",
        _error_first,
    ),
    Quirk(
        "named-error-event",
        "event: error, with an error object",
        "Anthropic API, streaming messages (error events)",
        "streamed",
        _named_error_event,
    ),
    Quirk(
        "text-error-event",
        "event: error, with plain text",
        "WHATWG HTML 9.2: the data of an event is any text",
        "streamed",
        _text_error_event,
    ),
    Quirk(
        "string-error-event",
        "an event whose error is a string",
        "upstream errors relayed verbatim, " + _NEW_API,
        "streamed",
        _string_error_event,
    ),
    Quirk(
        "list-error-event",
        "an event that is a list with an error in it",
        "google-gemini/gemini-cli#14831",
        "streamed",
        _list_error_event,
    ),
    Quirk(
        "openrouter-error-chunk",
        'a chunk with error and finish_reason "error"',
        "OpenRouter API, errors and debugging (mid-stream errors)",
        "streamed",
        _openrouter_error,
    ),
    Quirk(
        "vllm-error-event",
        "an error event whose code is a number, then [DONE]",
        "vLLM entrypoints/openai (create_streaming_error_response)",
        "streamed",
        _vllm_error,
    ),
    Quirk(
        "vllm-bare-error",
        'an event with "object": "error"',
        "vLLM entrypoints/openai/protocol.py (ErrorResponse), older versions",
        "streamed",
        _vllm_bare_error,
    ),
    Quirk(
        "error-after-ping",
        "after a comment the body ends in a JSON error that is no event",
        f"{_GIN}: the head is out already",
        "streamed",
        _error_after_ping,
    ),
    Quirk(
        "bare-error-after-content",
        "after content the body ends in a JSON error that is no event",
        f"{_GIN}; new-api relay/channel/claude/relay-claude.go",
        "streamed",
        _bare_error_after_content,
    ),
    Quirk(
        "error-in-200",
        "status 200, and an error object",
        f"{_NEW_API}: the upstream's status is echoed",
        "both",
        _error_in_200,
    ),
    Quirk(
        "list-error-in-200",
        "status 200, and a list with an error in it",
        "google-gemini/gemini-cli#14831",
        "both",
        _list_error_in_200,
    ),
    Quirk("html-200", "status 200, and a web page", "new-api router/web-router.go", "both", _console_page),
    Quirk(
        "no-success-200",
        'status 200, and {"success": false}',
        "new-api controller/model.go (ListModels) and the routes of its console",
        "both",
        _no_success,
    ),
    Quirk(
        "truncated-json",
        "status 200, and half of a JSON object",
        "CopilotKit/aimock, chaos option malformed",
        "both",
        _truncated_json,
    ),
    Quirk(
        "json-error-as-event-stream",
        "status 429, a JSON error, and the content type of a stream",
        _GIN,
        "streamed",
        _json_error_as_event_stream,
    ),
    Quirk(
        "integer-code", "status 429, the code is a number", f"{_TYPES}, relayed Google errors", "both", _integer_code
    ),
    Quirk(
        "google-error",
        "status 429, Google's error with a delay in its details",
        "google.rpc.Status and RetryInfo, as the Gemini API answers",
        "both",
        _google_error,
    ),
    Quirk("list-error", "status 429, the same in a list", "google-gemini/gemini-cli#14831", "both", _list_error),
    Quirk(
        "nested-error",
        "status 429, the message is the upstream's JSON",
        "google-gemini/gemini-cli#10925",
        "both",
        _nested_error,
    ),
    Quirk("string-error", "status 500, the error is a string", "Envoy and Ollama error bodies", "both", _string_error),
    Quirk(
        "detail-error",
        "status 422, a list under detail",
        "FastAPI, handling errors (RequestValidationError), in front of vLLM and LiteLLM",
        "both",
        _detail_error,
    ),
    Quirk(
        "problem-json",
        "status 524, problem details with a delay",
        "RFC 9457; Cloudflare 5xx errors for clients that accept JSON",
        "both",
        _problem_json,
    ),
    Quirk("html-error", "status 502, a web page", "nginx, default error pages", "both", _html_error),
    Quirk(
        "empty-error",
        "status 429, no body",
        "new-api middleware/model-rate-limit.go (memoryRateLimitHandler)",
        "both",
        _empty_error,
    ),
)
"""Errors where an answer should be."""
