"""Lines of a batch: an input line to a checked request; an answer or an error to an output line. Pure.

Shapes: the OpenAI Batch API's input, output and error files. In what is written ``custom_id`` comes first and ``error``
last, so that finding out what a file holds takes no more than the two ends of each line.
"""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from anyfast_async._core import codec
from anyfast_async._rules import shown
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, APIStatusError, RequestValidationError, escaped
from anyfast_async.requests import ChatRequest, request_from_body

URL: Final = "/v1/chat/completions"

_START: Final = b'{"custom_id":'
_HEAD: Final = re.compile(_START + rb'("(?:[^"\\\x00-\x1f]|\\.)*"),')
_END: Final = b',"error":null}'


@attrs.frozen
class BatchLine:
    """One request of a batch."""

    number: int
    """Of its line in the file, from 1."""
    custom_id: str
    request: ChatRequest


class LineError(ValueError):
    """A line that is no request; ``.problems`` says everything that is wrong with it."""

    def __init__(self, problems: tuple[str, ...], custom_id: str | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.custom_id = custom_id
        """Where the line has a valid one."""


# -- input -----------------------------------------------------------------------------------------------------------


def parse_line(number: int, data: bytes) -> BatchLine:
    """Return the request in the line *data*.

    Raises:
        LineError: it holds none; every problem of the line is named.

    """
    value = _object_in(data)
    custom_id = value.get("custom_id")
    problems = list(_problems_of_envelope(value))
    request: ChatRequest | None = None
    if "body" in value:
        body = value["body"]
        if isinstance(body, dict) and body.get("stream") not in (None, False):
            problems.append("body.stream: must be absent or false in a batch")
            body = {name: item for name, item in body.items() if name != "stream"}
        try:
            request = request_from_body(body)
        except RequestValidationError as error:
            problems += [str(e) if e.path == "body" else f"body.{e}" for e in error.errors]
    else:
        problems.append("body: is missing; it is the request, an object with model and messages")
    good_id = custom_id if isinstance(custom_id, str) and custom_id else None
    if problems or request is None or good_id is None:
        raise LineError(tuple(problems), good_id)
    return BatchLine(number, good_id, request)


def _object_in(data: bytes) -> dict[str, Any]:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise LineError((f"is not UTF-8 (byte {error.start + 1} of the line)",)) from None
    try:
        value = codec.loads(data)
    except codec.InvalidJSONError:
        raise LineError(("is not JSON",)) from None
    if not isinstance(value, dict):
        raise LineError((f"must be a JSON object, not {shown(value)}",))
    return value


def _problems_of_envelope(value: dict[str, Any]) -> list[str]:
    found = []
    custom_id = value.get("custom_id")
    if custom_id is None:
        found.append("custom_id: is missing")
    elif not isinstance(custom_id, str) or not custom_id:
        found.append(f"custom_id: must be a non-empty string, not {shown(custom_id)}")
    for name, allowed in (("method", "POST"), ("url", URL)):
        given = value.get(name)
        if given != allowed:
            said = "is missing" if given is None else f"is {_named(given)}"
            found.append(f"{name}: {said}; must be {allowed!r}")
    return found


def _named(value: Any) -> str:
    return repr(escaped(value, 60)) if isinstance(value, str) else shown(value)


# -- output ----------------------------------------------------------------------------------------------------------


def answer_line(custom_id: str, completion: ChatCompletion, *, row_id: str) -> bytes:
    """Return the line of the output file for an answer, with its line end.

    Args:
        custom_id: the row's.
        completion: the answer.
        row_id: what makes the line's own ``id`` unique.

    """
    response = {"status_code": 200, "request_id": completion.request_id, "body": codec.as_dict(completion)}
    return _line(custom_id, row_id, response, None)


def error_line(custom_id: str, error: AnyFastError, *, row_id: str) -> bytes:
    """Return the line of the error file for a failed row, with its line end.

    What the gateway answered with a status stands under ``response``; a row without such an answer (time-outs, broken
    connections) has none, and its ``error`` says why.

    Args:
        custom_id: the row's.
        error: what it failed with.
        row_id: what makes the line's own ``id`` unique.

    """
    if not isinstance(error, APIStatusError):
        return _line(custom_id, row_id, None, {"code": error.kind, "message": str(error)})
    problem = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    response = {"status_code": error.status_code, "request_id": error.request_id, "body": {"error": problem}}
    return _line(custom_id, row_id, response, None)


def _line(custom_id: str, row_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    value = {"custom_id": custom_id, "id": f"batch_req_{row_id}", "response": response, "error": error}
    return codec.dumps(value) + b"\n"


# -- what an output file holds ---------------------------------------------------------------------------------------


def recorded_id(line: bytes) -> str | None:
    """Return the ``custom_id`` of a whole line of an output or error file, None if it is no such line.

    Lines as they are written here are only looked at from both ends; those of other programs are read as JSON.
    """
    text = line.rstrip(b"\r\n")
    head = _HEAD.match(text)
    if head is not None and text.endswith(_END):
        custom_id = codec.loads(head[1])
        return custom_id if isinstance(custom_id, str) else None
    try:
        value = codec.loads(text)
    except codec.InvalidJSONError:
        return None
    if not isinstance(value, dict) or not ("response" in value or "error" in value):
        return None
    custom_id = value.get("custom_id")
    return custom_id if isinstance(custom_id, str) else None


def may_be_torn(tail: bytes) -> bool:
    """Return whether *tail*, the end of a file without a line end, may be the beginning of a line written here."""
    return tail.startswith(_START) or _START.startswith(tail)


__all__ = ["URL", "BatchLine", "LineError", "answer_line", "error_line", "may_be_torn", "parse_line", "recorded_id"]
