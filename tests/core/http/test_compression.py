"""Compressed bodies: codings, lists of them, bombs, and libraries that may be there."""

from __future__ import annotations

import gzip
import importlib
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from anyfast_async._core.http import compression
from anyfast_async._core.http.body_end import MalformedError, Sized
from anyfast_async._core.http.compression import BombError, unpacked
from anyfast_async._core.http.head import HeadReader

from ..reading import head, read, verdict


def packed(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(("coding", "window"), [("gzip", 31), ("X-GZIP", 31), ("deflate", 15), ("Deflate", -15)])
def test_compressed_bodies(coding: str, window: int) -> None:
    """Gzip and deflate, with the zlib header or, as some servers send it, without; text around every buffer's size."""
    for size in (
        0,
        1,
        1000,
        compression.MAX_PIECE - 1,
        compression.MAX_PIECE,
        compression.MAX_PIECE + 1,
        3 * compression.MAX_PIECE,
    ):
        text = random.Random(size).randbytes(size // 8) * 8 + b"x" * (size % 8)
        body = packed(text, window)
        one = read([head(f"Content-Encoding: {coding}", f"Content-Length: {len(body)}") + body])
        assert one is not None
        assert (text, True) == (one.body, one.whole)


def test_several_streams_in_one_body() -> None:
    """Two gzip streams one after the other are one body; a thousand and one are refused."""
    one = read([head("Content-Encoding: gzip") + gzip.compress(b"a") + gzip.compress(b"b")])
    assert one is not None
    assert b"ab" == one.body
    with pytest.raises(MalformedError, match="1000 compressed streams"):
        read([head("Content-Encoding: gzip") + gzip.compress(b"") * 1001])


@pytest.mark.parametrize("padding", [b"\0" * 20, b"junk", b"\r\n" + gzip.compress(b"b", mtime=0)])
def test_what_is_after_the_last_stream_is_padding(padding: bytes) -> None:
    """A whole stream is followed by another or by nothing that counts, however the bytes were cut."""
    body = gzip.compress(b"a") + padding
    whole = head("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body
    for cut in range(len(whole)):
        one = read([whole[:cut], whole[cut:]])
        assert one is not None
        assert (b"a", True) == (one.body, one.whole)


@pytest.mark.parametrize("coding", ["identity", "utf-8", ""])
def test_codings_that_are_none(coding: str) -> None:
    """What some servers write there beside compressions changes nothing."""
    one = read([head(f"Content-Encoding: {coding}", "Content-Length: 5") + b"hello"])
    assert one is not None
    assert b"hello" == one.body


def test_a_bomb_is_unpacked_a_piece_at_a_time() -> None:
    """8 MiB in 8 KB come in pieces of 256 KiB, and only as they are asked for."""
    body = packed(bytes(compression.MAX_UNPACKED), 31)
    found = HeadReader().feed(head("Content-Encoding: gzip") + body)
    assert found is not None
    first, rest = found
    pieces = [first.body.feed(rest)]
    assert not first.body.done
    while first.body.held:
        pieces.append(first.body.more())
    assert {compression.MAX_PIECE, 0} >= {len(piece) for piece in pieces[:-1]}
    assert compression.MAX_UNPACKED == sum(map(len, pieces))


def test_a_bomb_is_refused() -> None:
    """Beyond 8 MiB a body may unpack to a hundred times its size, which text does not; a bomb does at once."""
    text = random.Random(1).randbytes(2**20) * 40
    one = read([head("Content-Encoding: gzip") + packed(text[: 2**20], 31)])
    assert one is not None
    with pytest.raises(BombError, match="more than 100 times its size"):
        read([head("Content-Encoding: gzip") + packed(bytes(compression.MAX_UNPACKED + 1), 31)])


def test_a_bomb_is_refused_by_what_it_has_unpacked_not_by_what_has_come() -> None:
    """Junk behind a bomb, which came with it and was not looked at, does not make it an honest compression."""
    bomb = packed(bytes(compression.MAX_UNPACKED + 1), 31) + bytes(2**20)
    with pytest.raises(BombError, match="more than 100 times its size"):
        read([head("Content-Encoding: gzip") + bomb])


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codings", "times"),
    [("identity, gzip", 1), ("gzip, gzip", 2), ("gzip,\tX-Gzip ,gzip", 3), (" gzip , utf-8", 1), (",gzip,", 1)],
)
def test_codings_are_undone_in_order(codings: str, times: int) -> None:
    """A list of codings (RFC 9110 8.4), in one line or in several, whole and by the byte."""
    body = b"hello"
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    for lines in ([f"Content-Encoding: {codings}"], [f"Content-Encoding: {one}" for one in codings.split(",")]):
        data = head(*lines, f"Content-Length: {len(body)}") + body
        for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
            one = read(pieces)
            assert one is not None
            assert (b"hello", True, True) == (one.body, one.whole, one.reusable)


def test_coding_of_the_transfer_is_undone_too() -> None:
    """``Transfer-Encoding: gzip, chunked``, which nobody asked for, is a body like another."""
    body = gzip.compress(b"hello", mtime=0)
    one = read([head("Transfer-Encoding: gzip, chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)])
    assert one is not None
    assert (b"hello", True, True) == (one.body, one.whole, one.reusable)


def test_codings_have_a_limit() -> None:
    """Five times is the most that a body may be packed."""
    assert "malformed 200" == verdict([head("Content-Encoding: " + ", ".join(["gzip"] * 6), "Content-Length: 0")])


def test_bomb_in_a_bomb_is_refused() -> None:
    """What counts is how many bytes came, not what the coding in between unpacks to."""
    text = bytes(compression.MAX_UNPACKED + 1)
    body = gzip.compress(gzip.compress(text))
    with pytest.raises(BombError, match="more than 100 times its size"):
        read([head("Content-Encoding: gzip, gzip") + body])


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "zstd"])
def test_json_that_is_not_packed_at_all_is_taken(coding: str) -> None:
    """A proxy has unpacked it and left the header: no such stream begins with a brace."""
    one = read([head(f"Content-Encoding: {coding}", "Content-Length: 8") + b'{"a": 1}'])
    assert one is not None
    assert (b'{"a": 1}', True) == (one.body, one.whole)


def test_half_a_compressed_body_is_not_whole() -> None:
    """Whatever is packed over what: a stream without its end breaks off."""
    body = gzip.compress(gzip.compress(b"hello"))[:-9]
    one = read([head("Content-Encoding: gzip, gzip", f"Content-Length: {len(body)}") + body])
    assert one is not None
    assert not one.whole


# -- what was not asked for ------------------------------------------------------------------------------------------

TEXT = b"".join(b"%d, " % number for number in range(200_000))


def _brotli(name: str) -> Callable[[bytes], bytes]:
    compress: Callable[[bytes], bytes] = pytest.importorskip(name, minversion="1.2").compress
    return compress


def _zstd(name: str) -> Callable[[bytes], bytes]:
    library = pytest.importorskip(name)
    compress: Callable[[bytes], bytes] = library.compress
    return compress


@pytest.mark.parametrize(
    ("coding", "name", "made"),
    [
        (coding, name, _brotli if coding == "br" else _zstd)
        for coding, names in compression.LIBRARIES.items()
        for name in names
    ],
)
def test_what_a_library_unpacks_is_read(
    monkeypatch: pytest.MonkeyPatch, coding: str, name: str, made: Callable[[str], Callable[[bytes], bytes]]
) -> None:
    """Brotli and Zstandard by every library there may be: whole, in small pieces, and what follows is no part of it."""
    compress = made(name)
    monkeypatch.setitem(compression.LIBRARIES, coding, (name,))
    for text in (b"", b"hello", TEXT):
        body = compress(text)
        data = head(f"Content-Encoding: {coding}", f"Content-Length: {len(body)}") + body
        for size in (len(data), 1000, 7):
            one = read([data[i : i + size] for i in range(0, len(data), size)])
            assert one is not None
            assert (text, True, b"") == (one.body, one.whole, one.rest)
    half = read([head(f"Content-Encoding: {coding}") + compress(TEXT)[:-5]])
    assert half is not None
    assert not half.whole
    assert "malformed 0" == verdict([head(f"Content-Encoding: {coding}") + b"\xff\xff no such thing"])


@pytest.mark.parametrize(
    ("coding", "name", "made"),
    [
        (coding, name, _brotli if coding == "br" else _zstd)
        for coding, names in compression.LIBRARIES.items()
        for name in names
    ],
)
def test_bombs_of_every_library_are_refused(
    monkeypatch: pytest.MonkeyPatch, coding: str, name: str, made: Callable[[str], Callable[[bytes], bytes]]
) -> None:
    """They come a bounded piece at a time, under the same bounds as gzip."""
    monkeypatch.setitem(compression.LIBRARIES, coding, (name,))
    body = unpacked(Sized(2**30), coding)
    sizes = []
    with pytest.raises(BombError, match="more than 100 times its size"):
        sizes.append(len(body.feed(made(name)(bytes(2**25)))))
        while sizes[-1]:
            sizes.append(len(body.more()))
    assert max(sizes) <= 4 * compression.MAX_PIECE


@pytest.mark.parametrize(
    ("coding", "words"),
    [
        ("br", "packed with br, which was not asked for; with brotli or brotlicffi installed it could be read"),
        (
            "zstd",
            "packed with zstd, which was not asked for; with backports.zstd or zstandard installed it could be read",
        ),
        ("compress", "packed with compress, which was not asked for"),
    ],
)
def test_what_no_library_unpacks_is_named(monkeypatch: pytest.MonkeyPatch, coding: str, words: str) -> None:
    """The error says what would read it; an empty body needs nothing."""

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MalformedError, match=words):
        read([head(f"Content-Encoding: {coding}", "Content-Length: 5") + b"hello"])
    assert read([head(f"Content-Encoding: {coding}", "Content-Length: 0")]) is not None


def test_library_that_bounds_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Brotli from before 1.2 gives out whatever a few bytes unpack to: it is not used."""

    class Old:
        class Decompressor:
            def process(self, data: bytes) -> bytes:
                return data

    monkeypatch.setattr(importlib, "import_module", lambda _: Old)
    with pytest.raises(MalformedError, match="packed with br"):
        read([head("Content-Encoding: br", "Content-Length: 5") + b"hello"])
