"""(status, headers, body) to a completion, or to the right exception; also for what comes inside a 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyfast_async._core import codec
from anyfast_async._core.fold import Fold
from anyfast_async._core.problem import Hide, as_is, error_of, inband_error, is_error, request_id, shape_error
from anyfast_async._core.sse import Decoder, type_of
from anyfast_async.completions import ChatCompletion, Model
from anyfast_async.errors import AnyFastError, APIError, IncompleteStreamError, escaped

__all__ = [
    "DONE",
    "SUCCESS",
    "completion_of",
    "content_type",
    "error_event",
    "error_of",
    "event_payload",
    "inband_error",
    "is_error",
    "is_html",
    "models_of",
    "request_id",
    "shape_error",
    "verdict",
]

DONE: Final = b"[DONE]"
SUCCESS: Final = range(200, 300)
_BROKEN: Final[Any] = object()
"""Stands for what is no JSON. What is raised while that error is handled carries it along, and it holds the text."""


def content_type(headers: Mapping[str, str]) -> str:
    """Return the media type in lower case, ``""`` if there is none."""
    return headers.get("content-type", "").lower()


def is_html(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether the answer is a web page."""
    return "html" in content_type(headers) or body.lstrip()[:1] == b"<"


def _no_page(headers: Mapping[str, str], body: bytes, status: int, hide: Hide) -> None:
    if is_html(headers, body):
        what = "the answer is a web page; does base_url end in /v1?"
        raise shape_error(headers, body, what, status=status, hide=hide)


def completion_of(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide = as_is
) -> ChatCompletion:
    """Return the completion that answers a request which was not streamed.

    Raises:
        APIError: an error status, or an error inside a success.
        ResponseShapeError: a success that is no completion.
        IncompleteStreamError: the upstream streamed all the same, and broke off.

    """
    if status not in SUCCESS:
        raise error_of(status, headers, body, now=now, hide=hide)
    kind = content_type(headers)
    if not (kind.startswith("application/json") and body.startswith(b"{")):
        if "event-stream" in kind or body.lstrip()[:5] == b"data:":
            return _folded(headers, body, now=now, hide=hide)
        _no_page(headers, body, status, hide)
    try:
        completion = codec.decode_completion(body)
    except codec.InvalidJSONError:
        completion = None
    if completion is None or not completion.choices or completion.extra.get("error"):
        _raise_inband(headers, body, now=now, hide=hide)
        raise shape_error(headers, body, "the answer is no completion", status=status, hide=hide)
    return _with_head(completion, headers)


def _raise_inband(headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide) -> None:
    try:
        payload = codec.loads(body)
    except codec.InvalidJSONError:
        return
    if is_error(payload):
        raise inband_error(payload, headers, now=now, hide=hide)


def _folded(headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide) -> ChatCompletion:
    """Fold an event stream that answered a call which did not ask for one (new-api relays what its upstream sends)."""
    decoder = Decoder()
    fold = Fold()
    for event in decoder.feed(body):
        if event.strip() == DONE:
            break
        payload = event_payload(event, type_of(event), headers, now=now, hide=hide)
        if payload is not None:
            fold.add(payload)
    rest = decoder.close()
    if rest.bare:
        _raise_inband(headers, rest.bare, now=now, hide=hide)
    if not fold.finished:
        error = IncompleteStreamError("the answer ended before it was complete")
        error.reason = "empty" if fold.empty else "no_finish"
        error.partial = fold.completion()
        raise error
    return _with_head(fold.completion(), headers)


def _with_head(completion: ChatCompletion, headers: Mapping[str, str]) -> ChatCompletion:
    return codec.filled(completion, request_id=request_id(headers), headers=headers)


def event_payload(
    data: bytes, event_type: str, headers: Mapping[str, str], *, now: float, hide: Hide = as_is
) -> dict[str, Any] | None:
    """Return the chunk in an event's *data*, None if the event says nothing.

    Raises:
        APIError: it is an error.
        ResponseShapeError: it is no JSON object.

    """
    if event_type == "ping":  # Anthropic's, with a payload of its own
        return None
    try:
        payload = codec.loads(data, mend=False)
    except codec.InvalidJSONError:
        payload = _BROKEN
    if payload is _BROKEN:
        if event_type == "error":
            payload = data.decode("utf-8", "replace")
        elif not data.strip():
            return None
        else:
            raise shape_error(headers, data, "an event of the stream is no JSON", status=200, hide=hide)
    if type(payload) is dict and payload.get("choices") and "error" not in payload and event_type != "error":
        return payload  # nearly every one
    if event_type == "error" and not is_error(payload):
        payload = {"error": payload or "the stream was ended by an error event"}
    if is_error(payload):
        raise inband_error(payload, headers, now=now, hide=hide)
    if not isinstance(payload, dict):
        raise shape_error(headers, data, "an event of the stream is no JSON object", status=200, hide=hide)
    return payload


def verdict(fold: Fold, *, accept_missing_finish: bool) -> IncompleteStreamError | None:
    """Return what is wrong with a stream that ended in order, None if nothing is.

    Complete means a finish reason on every choice; ``[DONE]`` proves nothing, because the gateway writes it after
    broken upstreams too (new-api ``relay/helper/common.go``).
    """
    if fold.finished or (accept_missing_finish and not fold.empty):
        return None
    if not fold.empty:
        error = IncompleteStreamError(
            "the stream ended without a finish_reason: the answer is probably cut short. If this model never sends "
            "one, pass accept_missing_finish=True",
        )
        error.reason = "no_finish"
        return error
    error = IncompleteStreamError(
        "the stream ended without an answer: the prompt was blocked, or the upstream sent nothing"
    )
    error.reason = "empty"
    return error


def error_event(error: AnyFastError) -> bytes:
    """Return the event that tells a browser of *error*, in OpenAI's shape."""
    code = error.code if isinstance(error, APIError) and error.code else error.kind
    value = {"message": escaped(error.message), "type": error.kind, "param": None, "code": code}
    return b"data: " + codec.dumps({"error": value}) + b"\n\n"


def models_of(status: int, headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide = as_is) -> list[Model]:
    """Return the models of ``GET /v1/models``.

    Raises:
        APIError: an error status, or an error inside a success.
        ResponseShapeError: a success that is no list of models.

    """
    if status not in SUCCESS:
        raise error_of(status, headers, body, now=now, hide=hide)
    _no_page(headers, body, status, hide)
    _raise_inband(headers, body, now=now, hide=hide)
    try:
        models = codec.decode_models(body)
    except codec.InvalidJSONError:
        models = None
    if models is None:
        raise shape_error(headers, body, "the answer is no list of models", status=status, hide=hide)
    return models
