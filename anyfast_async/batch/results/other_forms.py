"""Lines that other batches write, in the form of chat completions: Gemini's, OpenAI's responses, sglang's. Pure.

Gemini API, batches: ``key``, and a ``GenerateContentResponse`` or an ``error``. Vertex AI: the same with ``status``.
OpenAI: bodies of ``/v1/responses``. sglang before its 0.5 wrote the one choice where the list of choices belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyfast_async._core.json import codec

_ENDS: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "SAFETY": "content_filter",
}
_HTTP: Final = range(300, 600)


def other_line(line: bytes) -> dict[str, Any] | None:
    """Return what a line of Gemini's batches says, as a line of OpenAI's; None if it is none."""
    try:
        value = codec.loads(line)
    except codec.InvalidJSONError:
        return None
    if not isinstance(value, dict):
        return None
    key = value.get("key") if "key" in value else _in(value.get("metadata"), "key")
    response, error = value.get("response"), value.get("error") or value.get("status")
    if "custom_id" in value or not isinstance(key, str):  # it would be a line of ours, and damaged
        return None
    if not isinstance(response, dict) and not error:
        return None
    if isinstance(response, dict) and ("candidates" in response or "promptFeedback" in response):
        return {"custom_id": key, "response": {"status_code": 200, "body": _of_gemini(response)}, "error": None}
    problem = error if isinstance(error, dict) else {"message": str(error or "there is no answer in the line")}
    status = problem.get("code")
    if isinstance(status, int) and status in _HTTP:
        body = {"error": {"message": problem.get("message"), "code": problem.get("status"), "type": None}}
        return {"custom_id": key, "response": {"status_code": status, "body": body}, "error": None}
    told = {"code": problem.get("status") or status, "message": problem.get("message")}
    return {"custom_id": key, "response": None, "error": {name: str(v) for name, v in told.items() if v is not None}}


def chat_body(body: Any) -> Any:
    """Return the body of an answer as that of a chat completion, if it is one of another form that is known."""
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("choices"), dict):
        return body | {"choices": [body["choices"]]}
    if body.get("object") == "response" and isinstance(body.get("output"), list):
        return _of_responses(body)
    if "candidates" in body:
        return _of_gemini(body)
    return body


def _of_gemini(response: Mapping[str, Any]) -> dict[str, Any]:
    candidates = [one for one in response.get("candidates") or () if isinstance(one, dict)]
    choices = [_of_candidate(number, one) for number, one in enumerate(candidates)]
    if not choices and _in(response.get("promptFeedback"), "blockReason"):
        choices = [{"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": ""}}]
    usage = response.get("usageMetadata")
    body = {"id": response.get("responseId"), "object": "chat.completion", "model": response.get("modelVersion")}
    used: dict[str, Any] = {}
    if isinstance(usage, dict):
        thought = usage.get("thoughtsTokenCount")
        used["usage"] = _usage(
            usage.get("promptTokenCount"),
            _sum(usage.get("candidatesTokenCount"), thought),
            usage.get("totalTokenCount"),
            usage.get("cachedContentTokenCount"),
            thought,
        )
    return body | {"choices": choices} | used


def _of_candidate(number: int, candidate: Mapping[str, Any]) -> dict[str, Any]:
    parts = [part for part in _in(candidate.get("content"), "parts") or () if isinstance(part, dict)]
    texts = [part for part in parts if isinstance(part.get("text"), str)]
    calls = [part["functionCall"] for part in parts if isinstance(part.get("functionCall"), dict)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(part["text"] for part in texts if not part.get("thought")),
    }
    if thoughts := "".join(part["text"] for part in texts if part.get("thought")):
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = [
            _call(one.get("id") or f"call_{n}", one.get("name"), codec.dumps(one.get("args") or {}).decode())
            for n, one in enumerate(calls)
        ]
    reason = candidate.get("finishReason")
    index = candidate.get("index")
    return {
        "index": index if isinstance(index, int) else number,
        "finish_reason": _ENDS.get(reason, reason.lower()) if isinstance(reason, str) else None,
        "message": message,
    }


def _of_responses(body: Mapping[str, Any]) -> dict[str, Any]:
    items = [one for one in body["output"] if isinstance(one, dict)]
    parts = [
        part
        for one in items
        if one.get("type") == "message"
        for part in one.get("content") or ()
        if isinstance(part, dict)
    ]
    calls = [one for one in items if one.get("type") == "function_call"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(map(_text, parts))}
    if refusal := "".join(part["refusal"] for part in parts if isinstance(part.get("refusal"), str)):
        message["refusal"] = refusal
    if calls:
        message["tool_calls"] = [_call(one.get("call_id"), one.get("name"), one.get("arguments")) for one in calls]
    reason = _in(body.get("incomplete_details"), "reason")
    end = _ENDS.get(reason, reason) if isinstance(reason, str) else "tool_calls" if calls else "stop"
    usage = body.get("usage")
    used: dict[str, Any] = {}
    if isinstance(usage, dict):
        used["usage"] = _usage(
            usage.get("input_tokens"),
            usage.get("output_tokens"),
            usage.get("total_tokens"),
            _in(usage.get("input_tokens_details"), "cached_tokens"),
            _in(usage.get("output_tokens_details"), "reasoning_tokens"),
        )
    choices = [{"index": 0, "finish_reason": end, "message": message}]
    return {"id": body.get("id"), "object": "chat.completion", "model": body.get("model"), "choices": choices} | used


def _usage(prompt: Any, completion: Any, total: Any, cached: Any, thought: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if thought is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


def _call(name: Any, function: Any, arguments: Any) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": function, "arguments": arguments}}


def _sum(*numbers: Any) -> int | None:
    known = [number for number in numbers if isinstance(number, int)]
    return sum(known) if known else None


def _text(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _in(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
