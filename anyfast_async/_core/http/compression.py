"""Compressed bodies: the codings of an answer are undone in order, a bounded piece at a time.

Only gzip and deflate are asked for. A server that sends Brotli or Zstandard all the same is understood if a library for
it is installed, which is imported then and not before.
"""

from __future__ import annotations

import importlib
import zlib
from types import ModuleType
from typing import Any, Final, Protocol

from anyfast_async._core.http.body_end import Body, MalformedError, TruncatedError

MAX_PIECE: Final = 256 * 1024
"""Most bytes that are unpacked at once."""
MAX_UNPACKED: Final = 8 * 1024 * 1024
"""Bytes that a compressed body may unpack to, whatever it was; more must not be a bomb."""
MAX_RATIO: Final = 100
"""How many times as large as it came a body may unpack to: text packs to a tenth, a bomb to a thousandth."""
MAX_STREAMS: Final = 1000
"""Compressed streams in one body: each costs far more than the twenty bytes that it may have."""
MAX_CODINGS: Final = 5
"""Codings of one body, one over the other."""
ZSTD_WINDOW: Final = 23
"""Binary logarithm of the largest window of Zstandard in HTTP (RFC 9659)."""

GZIP: Final = ("gzip", "x-gzip")
GZIP_MAGIC: Final = 0x1F
"""What every stream of gzip begins with (RFC 1952 2.3.1)."""
PACKED: Final = (*GZIP, "deflate", "br", "zstd", "compress", "x-compress")
"""Codings of bodies. What else is said there ("identity", "utf-8") changes nothing."""
LIBRARIES: Final = {
    "br": ("brotli", "brotlicffi"),
    "zstd": ("compression.zstd", "backports.zstd", "zstandard"),
}
"""What unpacks a coding, the preferred one first. Only if the piece that it gives can be bounded."""


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


# -- one stream ------------------------------------------------------------------------------------------------------


class Unpacker(Protocol):
    """One compressed stream."""

    rest: bytes
    """What it has not taken of the input: at its end, what comes after it."""
    held: bool
    """Whether there is more to come without any input."""
    done: bool
    """Whether it has ended."""

    def feed(self, data: bytes) -> bytes:
        """Return a piece of what the input unpacks to. Whatever it raises means that the input is no such stream."""
        ...


class _Zlib:
    """gzip and deflate."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(window)
        self.rest = b""
        self.held = self.done = False

    def feed(self, data: bytes) -> bytes:
        stream = self._stream
        piece = stream.decompress(data, MAX_PIECE)
        self.done = stream.eof
        self.rest = stream.unused_data if self.done else stream.unconsumed_tail
        # A full piece may not be all that zlib has, even if it took the whole input.
        self.held = len(piece) == MAX_PIECE and not self.done
        return piece


class _Brotli:
    """``br`` by a library that bounds its output, as those from 1.2 on do."""

    def __init__(self, library: ModuleType) -> None:
        self._stream: Any = library.Decompressor()
        self.rest = b""
        self.held = self.done = False

    def feed(self, data: bytes) -> bytes:
        taken, self.rest = (b"", data) if self.held else (data, b"")
        piece: bytes = self._stream.process(taken, output_buffer_limit=MAX_PIECE)
        self.done = self._stream.is_finished()
        self.held = not self.done and not self._stream.can_accept_more_data()
        return piece


class _Zstd:
    """``zstd`` by the standard library of Python 3.14, or by its backport."""

    def __init__(self, library: ModuleType) -> None:
        options = {library.DecompressionParameter.window_log_max: ZSTD_WINDOW}
        self._stream: Any = library.ZstdDecompressor(options=options)
        self.rest = b""
        self.held = self.done = False

    def feed(self, data: bytes) -> bytes:
        piece: bytes = self._stream.decompress(data, MAX_PIECE)
        self.done = self._stream.eof
        self.rest = self._stream.unused_data if self.done else b""
        self.held = not self.done and not self._stream.needs_input
        return piece


class _Zstandard:
    """``zstd`` by a library that does not bound its output; the input does: 4 bytes give 128 KiB at most."""

    SLICE: Final = 16

    def __init__(self, library: ModuleType) -> None:
        self._stream: Any = library.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW).decompressobj()
        self.rest = b""
        self.held = self.done = False

    def feed(self, data: bytes) -> bytes:
        piece: bytes = self._stream.decompress(data[: self.SLICE])
        self.done = self._stream.eof
        self.rest = self._stream.unused_data + data[self.SLICE :] if self.done else data[self.SLICE :]
        return piece


def _by_library(coding: str) -> Unpacker | None:
    """Return what unpacks *coding* by a library, None if none is installed that can."""
    for name in LIBRARIES.get(coding, ()):
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        if coding == "zstd":
            return _Zstandard(library) if name == "zstandard" else _Zstd(library)
        if hasattr(library.Decompressor, "can_accept_more_data"):
            return _Brotli(library)
    return None


# -- bodies ----------------------------------------------------------------------------------------------------------


class Packed(Body):
    """A compressed body; what it unpacks to comes a bounded piece at a time."""

    def __init__(self, body: Body, coding: str) -> None:
        self._body = body
        self._coding = coding
        self._window = 15 if coding == "deflate" else 31
        self._stream: Unpacker | None = None
        self._input = b""
        self._plain = False
        self._padded = False
        self._streams = 0
        self._given = 0
        self._came = 0

    @property
    def done(self) -> bool:  # type: ignore[override]
        return self._body.done and not self.held

    @property
    def held(self) -> bool:  # type: ignore[override]
        return bool(self._input) or self._body.held or (self._stream is not None and self._stream.held)

    @property
    def rest(self) -> bytes:  # type: ignore[override]
        return self._body.rest

    @property
    def framed(self) -> bool:  # type: ignore[override]
        return self._body.framed

    @property
    def taken(self) -> int:
        """Bytes that came and were unpacked so far."""
        return self._body.taken if isinstance(self._body, Packed) else self._came - len(self._input)

    def feed(self, data: bytes) -> bytes:
        self._take(self._body.feed(data))
        return self.more()

    def _take(self, packed: bytes) -> None:
        self._input += packed
        self._came += len(packed)

    def more(self) -> bytes:
        piece = b""
        while not piece:
            if not self._input and self._body.held:
                self._take(self._body.more())
            if not self._input and (self._stream is None or not self._stream.held):
                break
            piece = self._unpacked()
        self._given += len(piece)
        if not self._plain:
            check_ratio(self.taken, self._given)
        return piece

    def _unpacked(self) -> bytes:
        if self._stream is None and not self._plain:
            self._padded = self._padded or self._is_padding(self._input[0])
            if self._padded:
                self._input = b""
                return b""
            self._begin(self._input[0])
        if self._stream is None:
            piece, self._input = self._input, b""
            return piece
        try:
            piece = self._stream.feed(self._input)
        except Exception:  # noqa: BLE001 - every library has its own
            message = f"the body is not {self._coding}, as its head says"
            raise MalformedError(message) from None
        self._input = self._stream.rest
        if self._stream.done:
            self._stream = None
        return piece

    def _is_padding(self, first: int) -> bool:
        """Whether what begins with *first* is no stream, and neither is what follows: gzip's are often padded."""
        return self._streams > 0 and self._coding in GZIP and first != GZIP_MAGIC

    def _begin(self, first: int) -> None:
        if first == ord("{") and not self._given and self._coding in (*GZIP, "zstd"):
            self._plain = True  # JSON, which no such stream begins like: a proxy has unpacked it and left the header
            return
        self._streams += 1
        if self._streams > MAX_STREAMS:
            message = f"the body holds more than {MAX_STREAMS} compressed streams"
            raise MalformedError(message)
        if self._coding in (*GZIP, "deflate"):
            if self._coding == "deflate" and first & 0x0F != zlib.DEFLATED:  # RFC 1950
                self._window = -15  # some servers leave the zlib header out
            self._stream = _Zlib(self._window)
            return
        self._stream = _by_library(self._coding)
        if self._stream is None:
            names = " or ".join(name for name in LIBRARIES.get(self._coding, ()) if not name.startswith("compression"))
            hint = f"; with {names} installed it could be read" if names else ""
            message = f"the body is packed with {self._coding}, which was not asked for{hint}"
            raise MalformedError(message)

    def end(self) -> None:
        self._body.end()
        if self._stream is not None:
            message = "the compressed body breaks off"
            raise TruncatedError(message)


def unpacked(body: Body, codings: str) -> Body:
    """Return *body* without the *codings* that were put on it, in this order (RFC 9110 8.4).

    Raises:
        MalformedError: they are too many.

    """
    names = [name for one in codings.split(",") if (name := one.strip(" \t").lower()) in PACKED]
    if len(names) > MAX_CODINGS:
        message = f"a body that was packed {len(names)} times"
        raise MalformedError(message)
    for name in reversed(names):
        body = Packed(body, name)
    return body
