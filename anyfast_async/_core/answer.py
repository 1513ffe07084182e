"""(status, headers, body) to a completion, or to the right exception; also for what comes inside a 200."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from anyfast_async._core.errors.error_bodies import is_error
from anyfast_async._core.errors.exceptions import error_of, inband_error, shape_error
from anyfast_async._core.errors.request_id import Hide, as_is, request_id
from anyfast_async._core.json import codec
from anyfast_async._core.stream.chunk_template import Item, payload_of
from anyfast_async._core.stream.completeness import verdict
from anyfast_async._core.stream.fold import Fold
from anyfast_async._core.stream.reader import AnswerReader, is_whole
from anyfast_async._core.usual_answer import SUCCESS, is_usual, usual_completion
from anyfast_async.completions import ChatCompletion, Model, Trace
from anyfast_async.errors import AnyFastError, APIError, escaped

__all__ = [
    "SUCCESS",
    "completion_of",
    "content_type",
    "error_event",
    "error_of",
    "inband_error",
    "is_error",
    "is_html",
    "models_of",
    "paid",
    "request_id",
    "shape_error",
]

_BEGINNING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:[{\[<:]|data:|event:|id:|retry:|\Z)")
"""What an answer begins with that is JSON, a page, or an event stream under another label. In anything else, such as a
body whose chunks were left in it, JSON is an accident."""


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
    """Return the completion that answers a request which was not streamed, whatever it is labelled and packed as.

    Raises:
        APIError: an error status, or an error inside a success.
        ResponseShapeError: a success that is no completion.
        IncompleteStreamError: the upstream streamed all the same, and broke off.

    """
    if status not in SUCCESS:
        raise error_of(status, headers, body, now=now, hide=hide)
    completion = usual_completion(status, headers, body)
    if completion is not None:
        return completion
    completion = _read(headers, body, now=now, hide=hide)
    return codec.filled(completion, request_id=request_id(headers), headers=headers)


def _read(headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide) -> ChatCompletion:
    """Read an answer that is not simply a JSON completion: new-api relays what its upstream sends."""
    if "event-stream" not in content_type(headers) and _BEGINNING.match(body) is None:
        _no_page(headers, body, 200, hide)
        raise shape_error(headers, body, "the answer is no completion", status=200, hide=hide)
    reader = AnswerReader(headers, clock=lambda: now, hide=hide)
    reader.feed(body)
    if reader.error is None:
        reader.close()
    fold = Fold()
    for item in reader.items:
        fold.take(item)
    error = reader.error
    is_events = "event-stream" in content_type(headers) or reader.done or bool(reader.items)
    streamed = is_events and body.lstrip()[:1] not in (b"{", b"[", b"<")
    if error is None and not fold.begun and not streamed:
        page = "the answer is a web page; does base_url end in /v1?" if is_html(headers, body) else None
        error = shape_error(headers, body, page or "the answer is no completion", status=200, hide=hide)
    whole = _is_whole(reader.items)
    error = error or verdict(fold, whole=reader.whole or (whole and not streamed))
    if error is not None:
        error.partial = fold.completion() if streamed or fold.begun else None
        error.request_id = error.request_id or request_id(headers, hide=hide)
        raise paid(error, fold)
    completion = codec.structure(payload_of(reader.items[0]), ChatCompletion) if whole else fold.completion()
    completion = completion if is_usual(completion) else fold.completion()
    return codec.filled(completion, trace=Trace(ignored=reader.ignored)) if reader.ignored else completion


def _is_whole(items: Collection[Item]) -> bool:
    """Return whether what came is one answer, not the chunks of one."""
    return len(items) == 1 and all(is_whole(payload_of(item)) for item in items)


def paid(error: AnyFastError, fold: Fold) -> AnyFastError:
    """Return *error*, which ended an answer; one of which something had come is paid for, and not asked for again."""
    if isinstance(error, APIError) and not fold.empty:
        error.billed = "maybe" if error.billed == "no" else error.billed
        error.retry_class, error.retryable = "never", False
    return error


def _raise_inband(headers: Mapping[str, str], body: bytes, *, now: float, hide: Hide) -> None:
    try:
        payload = codec.loads(body)
    except codec.InvalidJSONError:
        return
    if is_error(payload):
        raise inband_error(payload, headers, now=now, hide=hide)


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
    try:
        models = codec.decode_models(body)
    except codec.InvalidJSONError:
        models = None
    if models is None:
        _raise_inband(headers, body, now=now, hide=hide)
        _no_page(headers, body, status, hide)
        raise shape_error(headers, body, "the answer is no list of models", status=status, hide=hide)
    return models
