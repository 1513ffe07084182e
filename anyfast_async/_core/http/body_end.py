"""How the bodies of HTTP/1 answers end: after a length, with a last chunk, or with the connection (RFC 9112 6, 7)."""

from __future__ import annotations

import abc
import functools
import operator
import re
from typing import Final

from anyfast_async._size_limits import MAX_SIZE_LINE, MAX_TRAILERS

MAX_SIZE_DIGITS: Final = 15
"""Most digits of a chunk's size."""
_ZERO: Final = 48
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_NEXT_SIZE: Final = re.compile(b"\r\n" + _SIZE.pattern)
_BEGINNING: Final = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:[ \t]+|[ \t]*;[^\r\n]*)?\r?)?")


class MalformedError(ValueError):
    """What came is no HTTP/1, or goes beyond what is read of it."""

    line = b""
    """The line that is wrong, as it came; it is shown to nobody as it is."""
    status = 0
    """The status of the answer that it is found in, where that was read."""

    @classmethod
    def at(cls, message: str, line: bytes | bytearray) -> MalformedError:
        """Return the error for a *line* that is wrong."""
        error = cls(message)
        error.line = bytes(line[:MAX_SIZE_LINE]).rstrip(b"\r\n")
        return error


class TruncatedError(ValueError):
    """An answer ended before its end."""


def end_of_lines(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the empty line ends that ends the lines in *data*, looked for from *start* on; -1 without one.

    A line feed alone ends a line too (RFC 9112 2.2).
    """
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, end + 1 if end >= 0 else len(data))
    if bare >= 0:
        return bare + 2
    return end + 3 if end >= 0 else -1


class Body(abc.ABC):
    """A body as it comes."""

    done = False
    """Whether all of it has been given out."""
    held = False
    """Whether :meth:`more` has something to give."""
    rest = b""
    """What came after the end."""
    framed = True
    """Whether it says itself where it ends."""
    at_chunk = False
    """Whether a chunk of it comes next, from its beginning."""

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
        self._left -= len(data)
        if self._left <= 0:
            self.done = True
            if self._left < 0:
                data, self.rest, self._left = data[: self._left], data[self._left :], 0
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
        self._broken: MalformedError | None = None

    def feed(self, data: bytes) -> bytes:
        if self._broken is not None:
            raise self._broken
        if self._line:
            data, self._line = self._line + data, b""
        pieces: list[bytes] = []
        try:
            self._split(data, pieces)
        except MalformedError as error:
            if not pieces:
                raise
            self._broken, self.held = error, True  # nothing that came before it is lost
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def more(self) -> bytes:
        if self._broken is not None:
            raise self._broken
        return b""

    def _split(self, data: bytes, pieces: list[bytes]) -> None:
        """Put what *data* holds of the body into *pieces*."""
        at, end = 0, len(data)
        left, size = self._left, self._size
        if not left and size is _SIZE:
            at = _whole_chunks(data, pieces)
        while self._trailers < 0:
            if left:
                piece = data[at : at + left]
                pieces.append(piece)
                at += len(piece)
                left -= len(piece)
                if not left and data.startswith(b"\r\n", at):  # it nearly always comes with its chunk
                    at += 2
                    size = _SIZE
            if at == end:
                break
            found = size.match(data, at)
            if found is None:
                self._line = _beginning(data[at:], size)
                break
            begun, at = at, found.end()
            if at - begun > MAX_SIZE_LINE and at - found.start(1) > MAX_SIZE_LINE:
                raise _no_size(found[0])
            left = int(found[1], 16)
            size = _NEXT_SIZE
            if not left:
                self._trailers = 0
                data, at = b"\n" + data[at:], 0  # where there are no trailers, this line's end begins the empty one
        self._left, self._size = left, size
        if self._trailers >= 0:
            self._skip_trailers(data[at:])

    @property
    def at_chunk(self) -> bool:  # type: ignore[override]  # nobody sets it
        return self._size is _SIZE and not (self._left or self._line or self.held) and self._trailers < 0

    def _skip_trailers(self, data: bytes) -> None:
        end = end_of_lines(data)
        self.done = end >= 0
        self.rest = data[end:] if self.done else b""
        self._line = b"" if self.done else data[-2:]
        self._trailers += (end if self.done else len(data)) - len(self._line)
        if self._trailers > MAX_TRAILERS:
            message = f"trailers of more than {MAX_TRAILERS} bytes"
            raise MalformedError(message)

    def end(self) -> None:
        if not self.done:
            message = "the last chunk is missing"
            raise TruncatedError(message)


@functools.lru_cache(maxsize=4096)
def line_before(taken: int) -> bytes:
    """Return the usual line before a chunk that takes *taken* bytes, with that line and with what ends it."""
    for digits in range(1, 16):
        line = b"%x\r\n" % max(0, taken - digits - 4)
        if len(line) == digits + 2 and line[0] != _ZERO:
            return line
    return bytes(taken + 1)  # none takes so many: it is before nothing


@functools.lru_cache(maxsize=1024)
def _usual_size(line: bytes) -> int:
    """Return the size that a *line* of nothing else says; -1 if it says more, or that of the last chunk."""
    found = _SIZE.fullmatch(line + b"\r\n")
    return (found and int(found[1], 16)) or -1


def _whole_chunks(data: bytes, pieces: list[bytes]) -> int:
    """Put the chunks that *data* begins with into *pieces*, as far as they are whole and usual; return where they end.

    Usual are those with no line end of this kind in them, as events have none, and whose size alone is in its line.
    """
    lines = data.split(b"\r\n")  # size, chunk, size, chunk, and so on
    chunks = lines[1:-1:2]
    # What else stands in a line's place (a body's own lines do) is not kept for the sake of a size.
    sizes = [_usual_size(line) if len(line) <= MAX_SIZE_DIGITS and line.isalnum() else -1 for line in lines[::2]]
    fits = list(map(operator.eq, map(len, chunks), sizes))
    if False in fits:
        del chunks[fits.index(False) :]
    pieces += chunks
    return sum(map(len, lines[: 2 * len(chunks)])) + 4 * len(chunks)


def _beginning(line: bytes, size: re.Pattern[bytes]) -> bytes:
    """Return *line*, the beginning of a chunk's size, if it can be one."""
    before = b"\r\n" if size is _NEXT_SIZE else b""
    begins = line[: len(before)] == before[: len(line)] and _BEGINNING.fullmatch(line, min(len(before), len(line)))
    if not begins or len(line) - len(before) > MAX_SIZE_LINE:
        raise _no_size(line)
    return line


def _no_size(line: bytes) -> MalformedError:
    return MalformedError.at("a chunk without its size", line.lstrip(b"\r\n").partition(b"\n")[0])


class UntilClose(Body):
    """A body that ends with the connection."""

    framed = False

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        self.done = True
