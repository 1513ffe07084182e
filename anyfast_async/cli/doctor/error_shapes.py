"""Names for errors: in the body of an answer, and in the events of a stream. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from anyfast_async.cli.doctor.observations import RawAnswer, RawEvent, value_of

_GOOGLE: Final = re.compile(r"[A-Z][A-Z_]+")
_FIRST_ERROR: Final = 400


def answer_error(seen: RawAnswer) -> str | None:
    """Return the name for an answer that is an error; None if it is none."""
    body, failed = seen.body.strip(), not seen.ok
    if not body:
        return "empty-error" if failed else "empty-answer"
    if body[:1] == b"<":
        return "html-error" if failed else "html-200"
    value = seen.json()
    if value is None:
        return "text-error" if failed else "truncated-json" if body[:1] in (b"{", b"[") else "no-json"
    if isinstance(value, list):
        error = next((one["error"] for one in value if isinstance(one, dict) and "error" in one), None)
        return None if error is None else "list-error" if failed else "list-error-in-200"
    if not isinstance(value, dict):
        return "no-json"
    return _object_error(seen, value, failed=failed)


def _object_error(seen: RawAnswer, value: dict[str, Any], *, failed: bool) -> str | None:
    error = value.get("error")
    if isinstance(error, str) and error:
        return "string-error"
    if isinstance(error, dict):
        return _error(seen, error, failed=failed)
    if value.get("success") is False:
        return "error" if failed else "no-success-200"
    if not failed:
        return None if "choices" in value or "data" in value else "no-completion"
    if seen.content_type == "application/problem+json" or {"title", "status"} <= value.keys():
        return "problem-json"
    return "detail-error" if "detail" in value else "unusual-error"


def _error(seen: RawAnswer, error: dict[str, Any], *, failed: bool) -> str:
    code = error.get("code")
    if code in ("prompt_blocked", "empty_response"):
        return {"prompt_blocked": "blocked-prompt", "empty_response": "empty-response"}[str(code)]
    if not failed:
        return "error-in-200"
    if seen.content_type == "text/event-stream":
        return "json-error-as-event-stream"
    if isinstance(value_of(str(error.get("message", ""))), dict):
        return "nested-error"
    if isinstance(error.get("status"), str) and _GOOGLE.fullmatch(error["status"]):
        return "google-error"
    return "integer-code" if isinstance(code, int) and not isinstance(code, bool) else "error"


def stream_error(events: Sequence[RawEvent]) -> str | None:
    """Return the name for the first error in a stream; None if there is none."""
    content = False
    for number, event in enumerate(events):
        name = _event_error(event, first=not content)
        if name is not None:
            return name
        bare = "".join(f"{name}:{value}" if value else name for name, value in event.fields if name)
        if not event.has_data and bare.startswith("{") and "error" in bare:
            return "bare-error-after-content" if content else "error-after-ping"
        content = content or (isinstance(event.value, dict) and bool(event.value.get("choices"))) or number < 0
    return None


def _event_error(event: RawEvent, *, first: bool) -> str | None:
    value = event.value
    if event.name == "error":
        return "named-error-event" if isinstance(value, dict) else "text-error-event"
    if isinstance(value, list):
        return "list-error-event" if any(isinstance(one, dict) and "error" in one for one in value) else None
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if value.get("object") == "error":
        return "vllm-bare-error"
    if isinstance(error, str) and error:
        return "string-error-event"
    if not isinstance(error, dict):
        return None
    if value.get("choices"):
        return "openrouter-error-chunk"
    code = error.get("code")
    if isinstance(code, int) and code >= _FIRST_ERROR:
        return "vllm-error-event"
    return "error-event-first" if first else "error-event"


def error_said(seen: RawAnswer, events: Sequence[RawEvent] = ()) -> str:
    """Return what an error says of itself, as far as that can be told."""
    values = [event.value for event in events] or [seen.json()]
    for value in values:
        found = _message(value)
        if found:
            return found
    return ""


def _message(value: Any) -> str:
    if isinstance(value, list):
        return next(filter(None, map(_message, value)), "")
    if not isinstance(value, dict):
        return ""
    error = value.get("error", value if value.get("object") == "error" else None)
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "")
    if isinstance(error, str):
        return error
    return str(next((value[name] for name in ("message", "title", "detail") if isinstance(value.get(name), str)), ""))
