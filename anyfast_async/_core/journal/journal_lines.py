"""Records of what was sent and what came of it: their lines, and what can be told from them. Pure.

Two files hold a run. The *answers* have one line per answer, as in the output of the OpenAI Batch API, ``custom_id``
first. The *log* beside them has one line per event: a checksum, a space, a JSON object with one key that says what
happened. A line that does not match its checksum was torn or damaged, and is never taken for anything else.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final, get_args

import attrs

from anyfast_async._core import answer
from anyfast_async._core.errors.failures import STOPPERS, of_kind
from anyfast_async._core.json import codec
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import AnyFastError, APIStatusError, Billed, NotSentError, OutputError, SpokenBy, escaped

# -- lines of answers and failures -----------------------------------------------------------------------------------

BOM: Final = b"\xef\xbb\xbf"
_START: Final = b'{"custom_id":'
_BEGIN: Final = _START + b'"'
_ID: Final = b'"batch_req_'
STEM_DIGITS: Final = 24
_TEXT: Final = rb'"([^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+)"'
_OURS: Final = re.compile(_START + _TEXT + rb',"id":' + _ID + rb'([0-9a-f]{24})_([0-9a-f]{8})",')


@attrs.frozen
class Twin:
    """What a line tells of a row where equal requests are sent once."""

    request: str
    """:data:`STEM_DIGITS` hexadecimal digits that equal requests have in common."""
    same_as: str | None = None
    """The row that was sent, if it was not this one."""


_REQUEST: Final = b',"request":"'
_SAME_AS: Final = b',"same_as":"'


def twin_in(line: bytes) -> Twin | None:
    """Return what a line of answers or failures tells of equal requests, None if nothing."""
    text = line.rstrip(b"\r\n")
    at = len(text) - len(_REQUEST) - STEM_DIGITS - 2
    if at < 0 or not text.startswith(_REQUEST, at) or not text.endswith(b'"}'):
        return None
    request = text[-STEM_DIGITS - 2 : -2].decode("ascii", "replace")
    begin = text.rfind(_SAME_AS, 0, at)
    try:
        same_as = None if begin < 0 else codec.loads(text[begin + len(_SAME_AS) - 1 : at])
    except codec.InvalidJSONError:  # words of an answer
        same_as = None
    return Twin(request, same_as if isinstance(same_as, str) else None)


def _told_of(twin: Twin) -> bytes:
    same_as = b"" if twin.same_as is None else _SAME_AS[:-1] + codec.dumps(twin.same_as)
    return same_as + _REQUEST + twin.request.encode() + b'"'


def answer_line(custom_id: str, completion: ChatCompletion, *, stem: str, twin: Twin | None = None) -> bytes:
    """Return the line for an answer, with its line end.

    Args:
        custom_id: the row's.
        completion: the answer.
        stem: :data:`STEM_DIGITS` hexadecimal digits that tell the request from others; the line's own ``id`` is made
            of them and of the line's checksum.
        twin: what there is to tell of equal requests.

    """
    response = {"status_code": 200, "request_id": completion.request_id, "body": codec.as_dict(completion)}
    return _line(custom_id, stem, response, None, twin)


def error_line(custom_id: str, error: AnyFastError, *, stem: str, twin: Twin | None = None) -> bytes:
    """Return the line for a failed row, with its line end.

    What the gateway answered with a status stands under ``response``; a row without such an answer (time-outs, broken
    connections) has none, and its ``error`` says why. One whose answer does not fit has both.

    Args:
        custom_id: the row's.
        error: what it failed with.
        stem: as for :func:`answer_line`.
        twin: as for :func:`answer_line`.

    """
    if not isinstance(error, APIStatusError):
        kind = {"code": error.kind, "message": str(error)}
        said = error.completion if isinstance(error, OutputError) else None
        body = None if said is None else codec.as_dict(said)
        response = None if said is None else {"status_code": 200, "request_id": said.request_id, "body": body}
        return _line(custom_id, stem, response, kind | _ledger(error, of_kind(error.kind).error()), twin)
    problem: dict[str, Any] = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    problem |= _ledger(error, _status_error(error.status_code, {"error": problem}))
    response = {"status_code": error.status_code, "request_id": error.request_id, "body": {"error": problem}}
    return _line(custom_id, stem, response, None, twin)


_LEDGER: Final = {"billed": get_args(Billed), "spoken_by": get_args(SpokenBy)}


def _ledger(error: AnyFastError, read: AnyFastError) -> dict[str, Any]:
    """Return what the rest of the line would not tell: where *error* is not as what is *read* of it."""
    return {name: getattr(error, name) for name in _LEDGER if getattr(error, name) != getattr(read, name)}


def _told(error: AnyFastError, problem: Any) -> AnyFastError:
    """Return an *error* that was read with what :func:`_ledger` says in addition."""
    for name, words in _LEDGER.items() if isinstance(problem, dict) else ():
        if problem.get(name) in words:
            setattr(error, name, problem[name])
    return error


def _status_error(status: int, body: Any) -> AnyFastError:
    return answer.error_of(status, {}, codec.dumps(body), now=0.0)


def _line(
    custom_id: str, stem: str, response: dict[str, Any] | None, error: dict[str, Any] | None, twin: Twin | None = None
) -> bytes:
    # The checksum is over the rest of the line.
    head = _START + codec.dumps(custom_id) + b',"id":' + _ID + stem.encode()
    more = b"" if twin is None else _told_of(twin)
    tail = b'","response":' + codec.dumps(response) + b',"error":' + codec.dumps(error) + more + b"}"
    return b"%b_%08x%b\n" % (head, zlib.crc32(tail, zlib.crc32(head)), tail)


BEFORE_SUM: Final = len(_START) + len(b',"id":' + _ID) + STEM_DIGITS
"""Bytes of a line before its checksum, but for the id as it stands there; behind it are an underscore and 8 digits."""


def head_of(custom_id: str) -> bytes:
    """Return how a line for *custom_id* begins, if it was written here."""
    return _START + codec.dumps(custom_id) + b',"id":' + _ID


def recorded_id(line: bytes) -> str | None:
    """Return the ``custom_id`` of a whole line of answers or failures, None if it is damaged or no such line.

    Lines as they are written here are held against their checksum; those of other programs are read as JSON.
    """
    text = line.removeprefix(BOM).rstrip(b"\r\n")
    ours = _OURS.match(text)
    if ours is not None:
        if not _is_summed(text, ours):
            return None
        token = ours[1]
        return token.decode() if b"\\" not in token else str(codec.loads(b'"' + token + b'"'))
    if text.startswith(_BEGIN):
        return None  # pieces of two of ours, put together, may be JSON
    try:
        value = json.loads(text.decode())  # strictly: nothing is mended here
    except (ValueError, RecursionError):
        return None
    custom_id = value.get("custom_id") if _is_result(value) else None
    return custom_id if isinstance(custom_id, str) else None


def _is_summed(text: bytes, ours: re.Match[bytes]) -> bool:
    return zlib.crc32(text[ours.end(3) :], zlib.crc32(text[: ours.end(2)])) == int(ours[3], 16)


def is_damaged(line: bytes) -> bool:
    """Return whether *line* begins as it would be written here, and is not as it was written."""
    if not line.startswith(_BEGIN):
        return False
    text = line.rstrip(b"\r\n")
    ours = _OURS.match(text)
    return ours is None or not _is_summed(text, ours)


def value_of(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a line of answers or failures, None if it is none."""
    try:
        value = codec.loads(line.removeprefix(BOM))
    except codec.InvalidJSONError:
        return None
    return value if _is_result(value) else None


def _is_result(value: Any) -> bool:
    return isinstance(value, dict) and ("response" in value or "error" in value)


def is_answer(line: bytes) -> bool:
    """Return whether a line of answers or failures holds an answer."""
    value = value_of(line) or {}
    response, problem = value.get("response"), value.get("error")
    if not isinstance(response, dict) or problem:
        return False
    status = response.get("status_code")
    return status is None or status in answer.SUCCESS


def stem_of(line: bytes) -> str | None:
    """Return the ``stem`` with which a line was written here, None for a line of another program."""
    ours = _OURS.match(line)
    return ours[2].decode() if ours is not None else None


def may_be_torn(tail: bytes) -> bool:
    """Return whether *tail*, the end of a file without a line end, may be the beginning of a line written here."""
    return tail.startswith(_START) or _START.startswith(tail)


def completion_in(line: bytes) -> ChatCompletion | None:
    """Return the completion in a line of answers, None if there is none in it."""
    value = value_of(line)
    response = value.get("response") if value is not None else None
    body = response.get("body") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(body, dict) or "choices" not in body:
        return None
    request_id = response.get("request_id")
    completion = codec.structure(body, ChatCompletion)
    return attrs.evolve(completion, request_id=request_id) if isinstance(request_id, str) else completion


def error_in(line: bytes) -> AnyFastError:
    """Return the error in a line of failures, as the class that it was; what it had tried is not in the line."""
    value = value_of(line) or {}
    response, problem = value.get("response"), value.get("error")
    is_misfit = isinstance(problem, dict) and problem.get("code") == OutputError.kind
    if isinstance(response, dict) and isinstance(status := response.get("status_code"), int) and not is_misfit:
        body = response.get("body") or problem
        error = _status_error(status, body)
        request_id = response.get("request_id")
        error.request_id = request_id if isinstance(request_id, str) else error.request_id
        return _told(error, body.get("error") if isinstance(body, dict) else None)
    code = problem.get("code") if isinstance(problem, dict) else None
    message = problem.get("message") if isinstance(problem, dict) else problem
    return _told(of_kind(str(code)).error(str(message)), problem)


UNRECORDED: Final = (STOPPERS | {NotSentError.kind}) - {"model"}
"""Kinds of errors that are no fault of a row, which is as if it had not been taken up: they are not recorded."""


# -- lines of the log ------------------------------------------------------------------------------------------------

HOLDER_SIZE: Final = 512
"""Bytes of the first line, which is written in place: who holds the lock."""
_RECORD: Final = re.compile(rb"([0-9a-f]{8}) (\{.*\})[ ]*\n?", re.DOTALL)
_PART: Final = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (\{.*)?", re.DOTALL)
HOLDER: Final = b'{"pid":'
FAILED: Final = b'{"failed":'
REPLACED: Final = b'{"replaced":'


def record(kind: str, value: Any) -> bytes:
    """Return a line of the log."""
    return _summed(codec.dumps({kind: value}))


def failed_record(line: bytes) -> bytes:
    """Return the line of the log that keeps *line*, a line for the file of failures."""
    return _summed(FAILED + line.rstrip(b"\n") + b"}")


def replaced_record(line: bytes) -> bytes:
    """Return the line of the log that keeps *line*, an answer that a later one is about to replace."""
    return _summed(REPLACED + plain(line) + b"}")


def plain(line: bytes) -> bytes:
    """Return *line* without its end, and without a mark of its encoding."""
    return line.rstrip(b"\r\n").removeprefix(BOM)


def _summed(data: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(data), data)


def holder(pid: int, host: str) -> bytes:
    """Return the first line of the log."""
    line = record("pid", [pid, host[:200]])
    return line[:-1].ljust(HOLDER_SIZE - 1) + b"\n"


def read_holder(head: bytes) -> tuple[int, str] | None:
    """Return (pid, host) from the first line of the log, None if it does not say."""
    data = record_in(head[:HOLDER_SIZE])
    value = codec.loads(data).get("pid") if data is not None else None
    return (value[0], value[1]) if isinstance(value, list) else None


def may_be_log(head: bytes) -> bool:
    """Return whether *head*, all that a file of less than :data:`HOLDER_SIZE` bytes holds, may be a torn first line."""
    return _PART.fullmatch(head.rstrip(b"\0")) is not None


def record_in(line: bytes) -> bytes | None:
    """Return the JSON in a line of the log, None if it is not as it was written."""
    found = _RECORD.fullmatch(line)
    return found[2] if found is not None and zlib.crc32(found[2]) == int(found[1], 16) else None


def failure_in(line: bytes) -> bytes | None:
    """Return the line for the file of failures that a line of the log keeps, with its line end; else None."""
    data = record_in(line)
    return data[len(FAILED) : -1] + b"\n" if data is not None and data.startswith(FAILED) else None


def replaced_in(line: bytes) -> bytes | None:
    """Return the answer that a line of the log keeps, because a later one has replaced it; else None."""
    data = record_in(line) if line.startswith(REPLACED, 9) else None
    return data[len(REPLACED) : -1] if data is not None else None


def damaged_record(data: bytes, *, at: int, torn: bool) -> bytes:
    """Return the line of the log that keeps *data*, found at byte *at* of the answers or failures."""
    return record("damaged", {"at": at, "torn": torn, "base64": base64.b64encode(data).decode()})


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two headers, in words."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{name}.{inner}" for inner in differences(old, new)]
        elif old != new:
            found.append(f"{name} was {_shown(old)}, is {_shown(new)}")
    return found


def _shown(value: Any) -> str:
    return "not given" if value is None else escaped(codec.dumps(value).decode(), 80)
