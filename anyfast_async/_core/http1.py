"""The answers of an HTTP/1 server, read from bytes that are cut anywhere.

:func:`read_head` finds the end of a head and says how its body is framed; the body takes the bytes after it and gives
back what they carry. As tolerant as aiohttp's parser with its defaults, and as strict where two readers could disagree
about where an answer ends.
"""

from __future__ import annotations

import abc
import re
import zlib
from collections.abc import Collection
from typing import Any, Final

import attrs

MAX_LINE: Final = 8190
"""Longest line of a head in bytes."""
MAX_HEADERS: Final = 128
MAX_HEAD: Final = 64 * 1024
"""Largest head in bytes, provisional ones apart."""
MAX_PIECE: Final = 256 * 1024
"""Most bytes that are unpacked at once."""
MAX_UNPACKED: Final = 8 * 1024 * 1024
"""Bytes that a compressed body may unpack to, whatever it was; more must not be a bomb."""
MAX_RATIO: Final = 100
"""How many times as large as it came a body may unpack to: text packs to a tenth, a bomb to a thousandth."""
MAX_STREAMS: Final = 1000
"""Compressed streams in one body: each costs far more than the twenty bytes that it may have."""
UNPACKED: Final = ("gzip", "x-gzip", "deflate")
PACKED: Final = (*UNPACKED, "br", "zstd", "compress")

_STATUS: Final = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_FIELD: Final = re.compile(r"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)\r?\n", re.MULTILINE)
_FOLD: Final = re.compile(r"[ \t]*\r?\n[ \t]+")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_NEXT_SIZE: Final = re.compile(b"\r\n" + _SIZE.pattern)
_BEGINNING: Final = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:[ \t]+|[ \t]*;[^\r\n]*)?\r?)?")

SWITCHING: Final = 101
FINAL: Final = 200
NO_BODY: Final = (204, 304)
MAX_DIGITS: Final = 18


class MalformedError(ValueError):
    """What came is no HTTP/1, or goes beyond what is read of it."""


class TruncatedError(ValueError):
    """An answer ended before its end."""


class BombError(ValueError):
    """A body unpacks to far more than it is."""


def check_ratio(packed: int, unpacked: int) -> None:
    """Check how much a body has unpacked to.

    Raises:
        BombError: it is no honest compression.

    """
    if unpacked > max(MAX_UNPACKED, MAX_RATIO * packed):
        message = f"the answer unpacks to more than {MAX_RATIO} times its size"
        raise BombError(message)


# -- bodies ----------------------------------------------------------------------------------------------------------


class Body(abc.ABC):
    """A body as it comes."""

    done = False
    """Whether all of it has been given out."""
    held = False
    """Whether :meth:`more` has something to give."""
    rest = b""
    """What came after the end."""

    @abc.abstractmethod
    def feed(self, data: bytes) -> bytes:
        """Return what the next bytes carry of the body.

        Raises:
            MalformedError: they cannot belong to it.

        """

    def more(self) -> bytes:
        """Return what else they carry, a bounded piece at a time, ``b""`` at last.

        Raises:
            MalformedError: as :meth:`feed`.
            BombError: it is far more than what came.

        """
        return b""

    @abc.abstractmethod
    def end(self) -> None:
        """Take the end of the connection.

        Raises:
            TruncatedError: it comes too early.

        """


class Sized(Body):
    """A body of a length that was announced."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        left = self._left - len(data)
        if left < 0:
            data, self.rest = data[:left], data[left:]
        self._left = max(left, 0)
        self.done = left <= 0
        return data

    def end(self) -> None:
        if not self.done:
            message = f"{self._left} bytes are missing"
            raise TruncatedError(message)


class Chunked(Body):
    """A body in chunks, each with its length before it."""

    def __init__(self) -> None:
        self._left = 0
        self._size = _SIZE
        self._line = b""
        self._trailers = -1

    def feed(self, data: bytes) -> bytes:
        if self._line:
            data, self._line = self._line + data, b""
        pieces: list[bytes] = []
        at = 0
        while self._trailers < 0:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                if data.startswith(b"\r\n", at):  # it nearly always comes with its chunk
                    at += 2
                    self._size = _SIZE
            if at == len(data):
                break
            found = self._size.match(data, at)
            if found is None:
                self._line = _beginning(data[at:], self._size)
                break
            at = found.end()
            self._left = int(found[1], 16)
            self._size = _NEXT_SIZE
            if not self._left:
                self._trailers = 0
        if self._trailers >= 0:
            self._skip_trailers(data[at:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _skip_trailers(self, data: bytes) -> None:
        while not self.done:
            line, newline, rest = data.partition(b"\n")
            if not newline and len(line) <= MAX_LINE:
                self._line = data
                return
            self._trailers += 1
            if len(line) > MAX_LINE or self._trailers > MAX_HEADERS:
                message = "trailers that are too long or too many"
                raise MalformedError(message)
            self.done = line in (b"", b"\r")
            data = rest
        self.rest = data

    def end(self) -> None:
        if not self.done:
            message = "the last chunk is missing"
            raise TruncatedError(message)


def _beginning(line: bytes, size: re.Pattern[bytes]) -> bytes:
    """Return *line*, the beginning of a chunk's size, if it can be one."""
    before = b"\r\n" if size is _NEXT_SIZE else b""
    begins = line[: len(before)] == before[: len(line)] and _BEGINNING.fullmatch(line, min(len(before), len(line)))
    if not begins or len(line) > MAX_LINE:
        message = "a chunk without its size"
        raise MalformedError(message)
    return line


class UntilClose(Body):
    """A body that ends with the connection."""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        self.done = True


class Packed(Body):
    """A compressed body; what it unpacks to comes a bounded piece at a time."""

    def __init__(self, body: Body, coding: str) -> None:
        self._body = body
        self._coding = coding
        self._window = 15 if coding == "deflate" else 31
        self._stream: Any = None
        self._input = b""
        self._streams = 0
        self._came = 0
        self._given = 0

    @property
    def done(self) -> bool:  # type: ignore[override]
        return self._body.done and not self.held

    @property
    def rest(self) -> bytes:  # type: ignore[override]
        return self._body.rest

    def feed(self, data: bytes) -> bytes:
        packed = self._body.feed(data)
        self._came += len(packed)
        self._input += packed
        return self.more()

    def more(self) -> bytes:
        piece = b""
        while not piece and (self._input or self.held):
            stream = self._stream or self._begin(self._input[0])
            try:
                piece = stream.decompress(self._input, MAX_PIECE)
            except zlib.error:
                message = f"the body is not {self._coding}, as its head says"
                raise MalformedError(message) from None
            self._stream, self._input = (None, stream.unused_data) if stream.eof else (stream, stream.unconsumed_tail)
            # A full piece may not be all that zlib has, even if it took the whole input.
            self.held = bool(self._input) or (len(piece) == MAX_PIECE and not stream.eof)
        self._given += len(piece)
        check_ratio(self._came, self._given)
        return piece

    def _begin(self, first: int) -> Any:
        if self._coding not in UNPACKED:
            message = f"the body is packed with {self._coding}, which was not asked for"
            raise MalformedError(message)
        if self._coding == "deflate" and first & 0x0F != 8:  # noqa: PLR2004 - RFC 1950
            self._window = -15  # some servers leave the zlib header out
        self._streams += 1
        if self._streams > MAX_STREAMS:
            message = f"the body holds more than {MAX_STREAMS} compressed streams"
            raise MalformedError(message)
        return zlib.decompressobj(self._window)

    def end(self) -> None:
        self._body.end()
        if self._stream is not None:
            message = "the compressed body breaks off"
            raise TruncatedError(message)


# -- heads -----------------------------------------------------------------------------------------------------------


@attrs.define
class Head:
    """The head of an answer."""

    status: int
    headers: dict[str, str]
    """With lower-case names; of equal names the last."""
    body: Body
    reusable: bool
    """Whether the connection can serve another request when the body has ended."""


def read_head(data: bytes) -> tuple[Head, bytes] | None:
    """Return the first head in *data* that is not a provisional one, and the bytes after it; None if more are needed.

    Raises:
        MalformedError: *data* does not begin with a head.

    """
    while True:
        data = data.lstrip(b"\r\n")
        end, skip = data.find(b"\n\r\n"), 3
        bare = data.find(b"\n\n", 0, end if end >= 0 else len(data))
        if bare >= 0:
            end, skip = bare, 2
        if end < 0:
            _check_beginning(data)
            return None
        head = _head(data[: end + 1].decode("utf-8", "surrogateescape"))
        data = data[end + skip :]
        if head.status >= FINAL:
            return head, data
        if head.status == SWITCHING:
            message = "the server changes to a protocol that was not asked for"
            raise MalformedError(message)


def _check_beginning(data: bytes) -> None:
    """Check what came of a head so far: nothing that is none is waited for."""
    start = b"HTTP/1."
    if data[: len(start)] != start[: len(data)]:
        message = "an answer that does not begin with HTTP/1"
        raise MalformedError(message)
    if len(data) > MAX_HEAD or len(data) - data.rfind(b"\n") > MAX_LINE + 3:
        message = f"a head of more than {MAX_HEAD} bytes, or {MAX_LINE} in a line"
        raise MalformedError(message)


def _head(text: str) -> Head:
    if len(text) > MAX_LINE and max(map(len, text.split("\n"))) > MAX_LINE + 3:  # ": " and a CR do not count
        message = f"a line of more than {MAX_LINE} bytes in the head"
        raise MalformedError(message)
    first = _STATUS.match(text)
    if first is None:
        message = "a head without a status line of HTTP/1"
        raise MalformedError(message)
    fields = _fields(text[first.end() :])
    headers = {name.lower(): value.rstrip(" \t") for name, value in fields}
    twice = _twice(fields) if len(headers) < len(fields) else ()
    status = int(first[2])
    body = _body_of(status, headers, twice)
    connection = headers.get("connection") if "connection" not in twice else "close"
    reusable = type(body) is not UntilClose and _stays_open(first[1], connection)
    coding = headers.get("content-encoding")
    if coding is not None and coding.lower() in PACKED:
        body = Packed(body, coding.lower())
    return Head(status, headers, body, reusable)


def _fields(text: str) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = _FIELD.findall(text)
    if len(fields) != text.count("\n"):
        text = _FOLD.sub(" ", text)
        fields = _FIELD.findall(text)
        if len(fields) != text.count("\n"):
            message = "a line in the head that is no header"
            raise MalformedError(message)
    if len(fields) > MAX_HEADERS:
        message = f"more than {MAX_HEADERS} headers"
        raise MalformedError(message)
    return fields


def _twice(fields: list[tuple[str, str]]) -> set[str]:
    names = [name.lower() for name, _ in fields]
    return {name for name in names if names.count(name) > 1}


def _stays_open(minor: str, connection: str | None) -> bool:
    if connection is None:
        return minor == "1"
    options = {option.strip() for option in connection.lower().split(",")}
    return "close" not in options and (minor == "1" or "keep-alive" in options)


def _body_of(status: int, headers: dict[str, str], twice: Collection[str]) -> Body:
    """Return how the body is framed (RFC 9112 6.3)."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and length is not None:
        message = "both Transfer-Encoding and Content-Length"
        raise MalformedError(message)
    is_length = length is None or (length.isascii() and length.isdigit() and len(length) <= MAX_DIGITS)
    if not is_length or "content-length" in twice:
        message = "more than one Content-Length, or one that is no number"
        raise MalformedError(message)
    if status < FINAL or status in NO_BODY:
        return Sized(0)
    if length is not None:
        return Sized(int(length))
    if coding is not None and coding.lower().rpartition(",")[2].strip() == "chunked":
        return Chunked()
    return UntilClose()
