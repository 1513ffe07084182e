"""Lines of a batch's input: a line to a checked request. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from anyfast_async._core.json import codec
from anyfast_async._values.rules import shown
from anyfast_async.batch.input.other_forms import RESPONSES_URL, NoCounterpartError, from_gemini, from_responses
from anyfast_async.errors import AnyFastError, ConfigurationError, RequestValidationError, escaped
from anyfast_async.requests import ChatRequest, request_from_body

URL: Final = "/v1/chat/completions"
ID_NAMES: Final = ("custom_id", "id")
"""Where a bare request may have its id."""
GEMINI_IDS: Final = ("key", "custom_id", "id")
"""Where a request in Gemini's form may have its id."""
_LONG: Final = re.compile(rb"[0-9]{16}")
"""Digits from which the fast reader may round."""
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_RUN: Final = b"0" * 16


@attrs.frozen
class BatchLine:
    """One request of a batch."""

    number: int
    """Of its line in the file, from 1."""
    custom_id: str
    request: ChatRequest


class LineError(AnyFastError, ValueError):
    """A line that is no request; ``.problems`` says everything that is wrong with it."""

    kind = "validation"
    is_end: bool = False
    """Whether nothing that comes after it in the file could be read."""

    def __init__(self, problems: tuple[str, ...], custom_id: str | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.custom_id = custom_id
        """Where the line has a valid one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems, self.custom_id), vars(self)


def unreadable(problem: str) -> LineError:
    """Return the error for a line after which nothing could be read."""
    error = LineError((f"{problem}; what comes after it was not read",))
    error.is_end = True
    return error


class SourceError(ConfigurationError):
    """An input that cannot be read as it is said to be: its format, its template, its columns."""


# -- input -----------------------------------------------------------------------------------------------------------


def not_in(encoding: str | None, error: UnicodeDecodeError | None = None) -> str:
    """Return what is wrong with a line that is not in its *encoding* (None: UTF-8), and what to do."""
    if encoding is not None:
        return f"is not {encoding}; --encoding names another"
    place = "" if error is None else f" (byte {error.start + 1} of the line)"
    return f"is not UTF-8{place}; if the file is from Windows, --encoding cp1252"


def object_in(data: bytes, encoding: str | None = None) -> dict[str, Any]:
    """Return the JSON object in the line *data*; *encoding* is what the file says to be.

    Raises:
        LineError: it holds none.

    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise LineError((not_in(encoding, error),)) from None
    try:
        value = exact_value(data)
    except codec.InvalidJSONError:
        raise LineError(("is not JSON",)) from None
    if not isinstance(value, dict):
        raise LineError((f"must be a JSON object, not {shown(value)}",))
    return value


def exact_value(data: bytes) -> Any:
    """Return the JSON value in *data*, integers of any size as they stand there.

    Raises:
        InvalidJSONError: it is no JSON.

    """
    if _LONG.search(data) is None:
        return codec.loads(data)
    return codec.mended_value(codec.loads_exactly(data))


def has_long_number(text: str) -> bool:
    """Return whether the fast reader may round a number in *text*."""
    return has_long_number_in(text.encode("utf-8", "surrogatepass"))


def has_long_number_in(data: bytes) -> bool:
    """Return whether the fast reader may round a number in *data*."""
    return _LONG_RUN in data.translate(_DIGITS)


def batch_request(value: Mapping[str, Any], problems: list[str]) -> ChatRequest | None:
    """Return the request of a line in the OpenAI Batch format; what is wrong with the line goes into *problems*."""
    is_response = value.get("url") == RESPONSES_URL
    for name, allowed in (("method", "POST"), ("url", URL)):
        given = value.get(name)
        if given != allowed and not (name == "url" and is_response):
            said = "is missing" if given is None else f"is {_named(given)}"
            problems.append(f"{name}: {said}; must be {allowed!r}")
    if "body" not in value:
        problems.append("body: is missing; it is the request, an object with model and messages")
        return None
    if is_response:
        return _translated(lambda: from_responses(value["body"]), problems)
    return _request(value["body"], "body", problems)


def gemini_request(value: Mapping[str, Any], problems: list[str]) -> ChatRequest | None:
    """Return the request of a row in Gemini's batch form; what is wrong with it goes into *problems*."""
    return _translated(lambda: from_gemini(value), problems)


def _translated(translate: Callable[[], dict[str, Any]], problems: list[str]) -> ChatRequest | None:
    try:
        body = translate()
    except NoCounterpartError as error:
        problems.append(str(error))
        return None
    return _request(body, "", problems)


def bare_request(value: Mapping[str, Any], problems: list[str]) -> ChatRequest | None:
    """Return the request that a line is, but for its id; what is wrong with it goes into *problems*."""
    return _request({name: item for name, item in value.items() if name not in ID_NAMES}, "", problems)


def given_id(value: Mapping[str, Any], names: Iterable[str], problems: list[str], *, digits: bool) -> str | None:
    """Return the id of a row, from the first of *names* that holds something.

    Args:
        value: the row.
        names: where an id may stand.
        problems: what is wrong with the id goes there.
        digits: whether a whole number or a UUID is taken, for its digits; the OpenAI Batch format knows text alone.

    """
    for name in names:
        given = value.get(name)
        if isinstance(given, str) and given:
            return given
        if digits and isinstance(given, (int, uuid.UUID)) and not isinstance(given, bool):
            return str(given)
        if given is not None:
            wanted = "a non-empty string or a whole number" if digits else "a non-empty string"
            problems.append(f"{escaped(name, 80)}: must be {wanted}, not {shown(given)}")
            return None
    return None


def _request(body: Any, path: str, problems: list[str]) -> ChatRequest | None:
    start = f"{path}." if path else ""
    if isinstance(body, dict) and body.get("stream") not in (None, False):
        problems.append(f"{start}stream: must be absent or false in a batch")
        body = {name: item for name, item in body.items() if name != "stream"}
    try:
        return request_from_body(body)
    except RequestValidationError as error:
        problems += [str(e) if e.path == path else f"{start}{e}" for e in error.errors]
        return None


def _named(value: Any) -> str:
    return repr(escaped(value, 60)) if isinstance(value, str) else shown(value)


__all__ = [
    "GEMINI_IDS",
    "ID_NAMES",
    "URL",
    "BatchLine",
    "LineError",
    "SourceError",
    "bare_request",
    "batch_request",
    "exact_value",
    "gemini_request",
    "given_id",
    "has_long_number",
    "has_long_number_in",
    "not_in",
    "object_in",
    "unreadable",
]
