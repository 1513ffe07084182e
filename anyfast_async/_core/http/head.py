"""The heads of an HTTP/1 server's answers, read from bytes that are cut anywhere (RFC 9112).

As tolerant as other clients where readers agree on what is meant, and as strict as RFC 9112 where they could disagree
about where an answer ends.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from anyfast_async._core.http.body_end import Body, Chunked, MalformedError, Sized, UntilClose, end_of_lines
from anyfast_async._core.http.compression import PACKED, unpacked
from anyfast_async._core.http.usual_head import EMPTY_LINE, NAME, OWS
from anyfast_async._size_limits import MAX_HEAD
from anyfast_async._values.bases import Shown

MAX_PROVISIONAL: Final = 32
"""Provisional answers before the one that counts (RFC 9110 15.2)."""
MAX_DIGITS: Final = 18
SWITCHING: Final = 101
FINAL: Final = 200
NO_BODY: Final = (204, 304)
NO_STATUS: Final = "it does not begin with a status line of HTTP/1"
NO_FIELD: Final = "a line in the head that is no header"
NO_TRANSFER: Final = "a Transfer-Encoding that is not known"
NO_LENGTH: Final = "more than one Content-Length, or one that is no number"

_STATUS: Final = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_FIELD: Final = re.compile(rf"^({NAME}++):[ \t]*+([^\r\n\0]*+)\r?\n", re.MULTILINE)
_FOLD: Final = r"\r?\n[ \t]++"
_LISTS: Final = ("connection", "content-encoding", "content-length", "transfer-encoding")
"""Fields that say how an answer is read, and may stand there more than once: a list in several lines."""

# What a head that has not come whole can begin with, compiled when the first one comes. Possessive is what stands in a
# group, not the group: before 3.11.5 Python's re may lose what such a group has matched (gh-106052).
_DIGITS: Final = b"0123456789"
_STATUS_BEGUN: Final = (*(b"%c" % byte for byte in b"HTTP/1."), _DIGITS, b" ", _DIGITS[1:], _DIGITS, _DIGITS, b" \r\n")
_LINES: Final = rf"(?:(?>(?:{NAME}++:|[ \t])[^\r\n\0]*+\r?\n))*".encode()
_LINE_BEGUN: Final = rf"{NAME}+|(?:(?:{NAME}+:|[ \t])[^\r\n\0]*)?\r?".encode()
_NAME_BEGUN: Final = rf"{NAME}*(?::[^\r\n\0]*\r?)?".encode()
_VALUE_BEGUN: Final = rb"[^\r\n\0]*\r?"


class UnaskedError(ValueError):
    """An answer that came before its request (RFC 9112 9.2)."""


@attrs.define(repr=False)
class Head(Shown):
    """The head of an answer."""

    status: int
    headers: dict[str, str]
    """With lower-case names; of equal names the last."""
    body: Body
    reusable: bool
    """Whether the connection can serve another request when the body has ended."""


class HeadReader:
    """Reads one head after the other. It looks at each byte once, and keeps nothing but the head that has begun.

    Args:
        limit: the largest head in bytes.

    """

    __slots__ = ("_blank", "_head", "_limit", "_line", "_named", "_provisional", "_seen")

    def __init__(self, limit: int = MAX_HEAD) -> None:
        self._limit = limit
        self._head = bytearray()
        """What has come of it."""
        self._blank = 0
        """Line ends before it, which are dropped (RFC 9112 2.2)."""
        self._provisional = 0
        self._line = self._seen = 0
        """Where the line begins that has begun, and up to where it was looked at; 0 stands for the status line."""
        self._named = False
        """Whether that line has its colon."""

    @property
    def begun(self) -> bool:
        """Whether an answer has begun whose head is not there yet."""
        return bool(self._head or self._provisional)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has come yet of what comes next."""
        return not (self._head or self._blank or self._provisional)

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Return the first head that is not a provisional one, and the bytes after it; None if more are needed.

        Raises:
            MalformedError: what came is none and can become none.

        """
        whole: bytes | bytearray = data
        try:
            if self.is_fresh and (found := self._read_at_once(data)) is not None:
                return found
            while True:
                start = len(self._head)
                if start:
                    whole = self._head
                    whole += data
                else:
                    whole = data.lstrip(b"\r\n")
                    self._blank += len(data) - len(whole)
                end = end_of_lines(whole, max(start - 2, 0))
                if end < 0:
                    if not start:
                        self._head += whole
                    self._check_size(len(self._head) + 1)
                    self._check_begun()
                    return None
                self._check_size(end)
                head = _head(*_lines(whole[:end].decode("utf-8", "surrogateescape")))
                data = bytes(whole[end:])
                self._end(head.status)
                if head.status >= FINAL:
                    return head, data
        except MalformedError as error:
            begun = _STATUS.match(whole[: len(_STATUS_BEGUN)].decode("latin-1").strip("\r\n") + "\n")
            error.status = int(begun[2]) if begun is not None else 0
            raise

    def _read_at_once(self, data: bytes) -> tuple[Head, bytes] | None:
        """Read a head as nearly all are: it comes whole, its lines are fields, it is no provisional one."""
        end = data.find(EMPTY_LINE)
        if end < 0:
            return None
        end += len(EMPTY_LINE)
        if end > self._limit:
            return None
        text = data[:end].decode("utf-8", "surrogateescape")
        first = _STATUS.match(text)
        if first is None or first[2] < "200":
            return None
        fields = _FIELD.findall(text, first.end())
        return (_head(first, fields), data[end:]) if len(fields) == text.count("\n") - 2 else None

    def _end(self, status: int) -> None:
        """Forget a head that was read."""
        if self._head:
            self._head = bytearray()
            self._line = self._seen = 0
            self._named = False
        self._blank = 0
        if status >= FINAL:
            self._provisional = 0
            return
        self._provisional += 1
        if status == SWITCHING:
            message = "the server changes to a protocol that was not asked for"
            raise MalformedError(message)
        if self._provisional > MAX_PROVISIONAL:
            message = f"more than {MAX_PROVISIONAL} provisional answers"
            raise MalformedError(message)

    def _check_size(self, size: int) -> None:
        if size + self._blank > self._limit:
            message = f"a head of more than {self._limit} bytes, which AnyFast(max_head=...) allows"
            raise MalformedError(message)

    def _check_begun(self) -> None:
        """Check what has come of a head: for what can become none nothing is waited."""
        head = self._head
        if not self._line:
            end = head.find(b"\n", self._seen) + 1
            begun = all(byte in allowed for byte, allowed in zip(head, _STATUS_BEGUN, strict=False))
            if not begun or head.find(b"\r", self._seen, end - 2 if end else len(head) - 1) >= 0:
                raise MalformedError.at(NO_STATUS, head[:end] or head)
            self._line = self._seen = end
        if not self._line:
            self._seen = len(head) - head.endswith(b"\r")
            return
        white = head.startswith((b" ", b"\t"), self._line)
        if white and head.find(b"\n") + 1 == self._line:  # there is no line that it could continue
            raise MalformedError.at(NO_FIELD, head[self._line :].partition(b"\n")[0])
        if head.find(b"\n", self._seen) >= 0:
            self._line = self._seen = re.compile(_LINES).match(head, self._line).end()  # type: ignore[union-attr]  # it may be empty
            self._named = False
            white = head.startswith((b" ", b"\t"), self._line)
        allowed = _LINE_BEGUN if self._seen == self._line else _VALUE_BEGUN if self._named else _NAME_BEGUN
        if not re.compile(allowed).fullmatch(head, self._seen):
            raise MalformedError.at(NO_FIELD, head[self._line :].partition(b"\n")[0])
        self._named = self._named or white or head.find(b":", self._seen) >= 0
        self._seen = len(head) - head.endswith(b"\r")


def is_farewell(data: bytes) -> bool:
    """Return whether bytes that nobody asked for only end their connection: line ends, or a refusal that closes it.

    Servers say 408 before they close an idle connection (RFC 9110 15.5.9), and some end a body with an empty line.
    """
    try:
        found = HeadReader().feed(data)
    except MalformedError:
        return False
    if found is None:
        return not data.strip(b"\r\n")
    return found[0].status // 100 == 4 and not found[0].reusable  # noqa: PLR2004 - 4xx


# -- a whole head ----------------------------------------------------------------------------------------------------


def _lines(text: str) -> tuple[re.Match[str], list[tuple[str, str]]]:
    """Return the first line and the fields of a head; *text* is all of it, with its empty line."""
    first = _STATUS.match(text)
    if first is None:
        raise MalformedError.at(NO_STATUS, _as_bytes(text).partition(b"\n")[0])
    text = text[first.end() :]
    fields = _FIELD.findall(text)
    if len(fields) == text.count("\n") - 1:
        return first, fields
    text = re.sub(_FOLD, " ", text)  # a line may go on in the next one (RFC 9112 5.2)
    fields = _FIELD.findall(text)
    lines = text.split("\n")[:-2]
    if len(fields) != len(lines):
        wrong = next(line for line in lines if not _FIELD.match(line + "\n"))
        raise MalformedError.at(NO_FIELD, _as_bytes(wrong))
    return first, fields


def _head(first: re.Match[str], fields: list[tuple[str, str]]) -> Head:
    headers = {name.lower(): value.rstrip(OWS) for name, value in fields}
    says = headers if len(headers) == len(fields) else headers | _joined(fields)
    status = int(first[2])
    coding, length = says.get("transfer-encoding"), says.get("content-length")
    connection = says.get("connection")
    reusable = first[1] != "0" if connection is None else _stays_open(first[1], connection)
    codings = says.get("content-encoding")
    size = None
    if length is not None and coding is None:
        size = int(length) if length.isascii() and length.isdigit() and len(length) <= MAX_DIGITS else _length(length)
    body: Body
    if status < FINAL or status in NO_BODY:
        body = Sized(0)
    elif size is not None:
        body = Sized(size)
    elif coding is not None:
        # It wins over a length; what two readers may see differently is the last on its connection (RFC 9112 6.3).
        chunked, packed = _transfer(coding)
        reusable = reusable and chunked and length is None
        body = Chunked() if chunked else UntilClose()
        codings = ",".join(filter(None, (codings, packed)))
    else:
        body = UntilClose()
        reusable = False
    return Head(status, headers, unpacked(body, codings) if codings else body, reusable)


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Return what is said in several lines as the one list that it is (RFC 9110 5.3)."""
    return {
        known: ",".join(value.strip(OWS) for name, value in fields if name.lower() == known)
        for known in _LISTS
        if any(name.lower() == known for name, _ in fields)
    }


def _stays_open(minor: str, connection: str) -> bool:
    options = {option.strip(OWS) for option in connection.lower().split(",")}
    return connection.isascii() and "close" not in options and (minor != "0" or "keep-alive" in options)


def _length(text: str) -> int:
    """Return the length that is said, once or several times the same (RFC 9110 8.6)."""
    same, *others = {part.strip(OWS) for part in text.split(",")}
    if others or not (same.isascii() and same.isdigit() and len(same) <= MAX_DIGITS):
        raise MalformedError.at(NO_LENGTH, _as_bytes(text))
    return int(same)


def _transfer(text: str) -> tuple[bool, str]:
    """Return whether a body comes in chunks, and the codings below them (RFC 9112 6.1, 7)."""
    names = [name for part in text.split(",") if (name := part.strip(OWS).lower())]
    chunked = names[-1:] == ["chunked"]
    while names[-1:] == ["chunked"]:  # said twice it is done once, with a second one who only says it
        names.pop()
    names = [name for name in names if name != "identity"]
    if not text.isascii() or not set(names) <= set(PACKED):
        raise MalformedError.at(NO_TRANSFER, _as_bytes(text))
    return chunked, ",".join(names)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
