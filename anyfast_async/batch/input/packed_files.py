"""Files as they are read and written: packed with gzip, bzip2, xz or Zstandard, and in whatever encoding.

A packed file may be many members (frames, streams) one after the other: ``cat a.zst b.zst`` makes one, and so do
parallel packers. All of them are read, and what stands between them and is no member is an error, not an end.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from anyfast_async.batch.input.request_lines import SourceError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Packing: TypeAlias = Literal["gzip", "bzip2", "xz", "zstd"]
INSTALL: Final = "pip install 'anyfast-async[zstd]'"
SUFFIXES: Final = (".gz", ".zst", ".xz", ".bz2")
WRITTEN: Final = (".gz", ".zst")
"""Ends of names of files that are packed when they are written."""
UNPACKING: Final = (EOFError, OSError, zlib.error, lzma.LZMAError, UnicodeError)
"""What a packed file raises that is cut or damaged; an ``OSError`` of the system has a number, this one has none."""

_GZIP: Final = b"\x1f\x8b"
_BZIP2: Final = b"BZh"
_BZIP2_BLOCKS: Final = (b"1A", b"\x17r")
"""How the first block begins, or the end where there is none; a word may begin like the rest of it."""
_XZ: Final = b"\xfd7zXZ\0"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""The end of the mark of a frame that holds no data (RFC 8878 3.1.2); parallel packers begin with one."""
_LIBRARIES: Final = ("compression.zstd", "backports.zstd")
_PIECE: Final = 128 * 1024


class _Members(io.RawIOBase):
    """The bytes of a packed file, member after member, unpacked piece by piece.

    Args:
        file: closed with this.
        new: makes the decompressor of a member.
        broken: what it raises for bytes that are none.
        padding: the bytes that may stand between two members.

    """

    def __init__(self, file: IO[bytes], new: Callable[[], Any], broken: type[Exception], padding: bytes = b"") -> None:
        self._file = file
        self._new = new
        self._broken = broken
        self._padding = padding
        self._member = new()
        self._is_fresh = True
        self._at_hand = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            if self._member.eof:
                self._at_hand = self._member.unused_data
                self._member, self._is_fresh = self._new(), True
            packed = b""
            if self._is_fresh:
                packed = self._at_hand or self._file.read(_PIECE)
                self._at_hand = b""
                if not packed:
                    return 0
                packed = packed.lstrip(self._padding)
                if not packed:
                    continue
            elif self._member.needs_input and not (packed := self._file.read(_PIECE)):
                message = "the file ends in the middle of what is packed"
                raise EOFError(message)
            self._is_fresh = False
            try:
                data = self._member.decompress(packed, len(view))
            except self._broken as error:
                message = f"it is damaged: {error}"
                raise OSError(message) from None
            if data:
                view[: len(data)] = data
                return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Recoded(io.RawIOBase):
    """A text of another encoding, as UTF-8. Bytes that do not fit become such as no UTF-8 has, in their places."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._at_hand = b""
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._at_hand and not self._is_over:
            data = self._file.read(_PIECE)
            self._is_over = not data
            self._at_hand = self._decoder.decode(data, final=self._is_over).encode("utf-8", "surrogatepass")
        data, self._at_hand = self._at_hand[: len(view)], self._at_hand[len(view) :]
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(path: Path, encoding: str | None = None) -> IO[bytes]:
    """Open a file for reading, unpacked if it is packed, which its first bytes tell, and in UTF-8.

    Raises:
        OSError: it cannot be read; reading raises one of :data:`UNPACKING` where it is cut or damaged.
        SourceError: what unpacks it is not installed.

    """
    file = path.open("rb")
    try:
        unpacked = _unpacked(file)
    except BaseException:
        file.close()
        raise
    if encoding is None:
        return unpacked
    return cast("IO[bytes]", io.BufferedReader(_Recoded(unpacked, encoding), _PIECE))


def is_packed(path: Path) -> bool:
    """Return whether a file begins like a packed one.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        return _packing(file.read(len(_XZ))) is not None


@contextmanager
def packed_for(path: Path, packing: str) -> Iterator[IO[bytes]]:
    """Open a new file for writing; it is whole when this is left.

    Args:
        path: of the file.
        packing: one of :data:`WRITTEN`, or ``""``.

    Raises:
        OSError: it cannot be written.
        SourceError: what packs it is not installed.

    """
    with path.open("wb") as file:
        match packing:
            case ".gz":  # without a name or a time, so that the same table is the same file
                with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                    yield cast("IO[bytes]", packed)
            case ".zst":
                with _zstd().open(file, "wb") as packed:
                    yield packed
            case _:
                yield file


def check_packing(packing: str) -> None:
    """Find out whether files can be packed so, before anything is done for them.

    Raises:
        SourceError: what packs them is not installed.

    """
    if packing == ".zst":
        _zstd()


def is_clearly_utf_8(path: Path) -> bool:
    """Return whether a file is UTF-8 that no other encoding would look like: with characters beyond ASCII.

    Raises:
        OSError: it cannot be read.

    """
    decoder, found = codecs.getincrementaldecoder("utf-8")(), False
    try:
        with opened(path) as file:
            while data := file.read(io.DEFAULT_BUFFER_SIZE):
                found |= not decoder.decode(data).isascii()
            decoder.decode(b"", final=True)
    except (UnicodeError, *UNPACKING):
        return False
    return found


def checked_encoding(name: str) -> str | None:
    """Return the usual name of a text encoding, None for UTF-8.

    Raises:
        SourceError: there is none of that name.

    """
    try:
        "".encode(name)
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        message = f"there is no text encoding {name!r}; common ones are cp1252 (Windows), latin-1, utf-16 and shift_jis"
        raise SourceError(message) from None
    return None if found in ("utf-8", "utf-8-sig") else found


def _packing(first: bytes) -> Packing | None:
    if first.startswith(_GZIP):
        return "gzip"
    if first.startswith(_BZIP2) and first[4:] in _BZIP2_BLOCKS:
        return "bzip2"
    if first.startswith(_XZ):
        return "xz"
    if first.startswith(_ZSTD) or (first[1:4] == _SKIPPABLE and first[0] & 0xF0 == 0x50):  # noqa: PLR2004 - the mark
        return "zstd"
    return None


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    packing = _packing(file.read(len(_XZ)))
    file.seek(0)
    match packing:
        case "gzip":
            unpacked = gzip.GzipFile(fileobj=file)
            unpacked.myfileobj = cast("Any", file)  # closed with it
            return cast("IO[bytes]", unpacked)
        case "bzip2":
            return _members(file, bz2.BZ2Decompressor, OSError)
        case "xz":
            return _members(file, lzma.LZMADecompressor, lzma.LZMAError, b"\0")
        case "zstd":
            library = _zstd()
            return _members(file, library.ZstdDecompressor, library.ZstdError)
    return file


def _members(file: IO[bytes], new: Callable[[], Any], broken: type[Exception], padding: bytes = b"") -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(_Members(file, new, broken, padding), _PIECE))


def _zstd() -> Any:
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    message = f"Zstandard needs one more package: {INSTALL}"
    raise SourceError(message)


__all__ = [
    "INSTALL",
    "SUFFIXES",
    "UNPACKING",
    "WRITTEN",
    "check_packing",
    "checked_encoding",
    "is_packed",
    "opened",
    "packed_for",
]
