"""The answers of an HTTP/1 server from bytes: framings, limits, compression, and aiohttp's parser beside ours."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
import zlib
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser

from anyfast_async._core import http1
from anyfast_async._core.http1 import BombError, MalformedError, Sized, TruncatedError, UntilClose, read_head

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Read(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool
    whole: bool
    rest: bytes


def read(pieces: Iterable[bytes]) -> Read | None:
    """What the pieces amount to when the connection ends after them; None without a whole head."""
    begun, head, got = b"", None, []
    for data in pieces:
        if head is None:
            begun += data
            found = read_head(begun)
            if found is None:
                continue
            head, data = found  # noqa: PLW2901
        if head.body.done:
            head.body.rest += data
            continue
        piece = head.body.feed(data)
        while piece:
            got.append(piece)
            piece = head.body.more()
    if head is None:
        return None
    whole = True
    try:
        head.body.end()
    except TruncatedError:
        whole = False
    return Read(head.status, head.headers, b"".join(got), head.reusable, whole, head.body.rest)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """*data* whole, by the byte, and in two at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(len(data)):
        yield [data[:i], data[i:]]


def head(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *lines, "")).encode()


PACKED = gzip.compress(b"hello", mtime=0)

# -- framings --------------------------------------------------------------------------------------------------------

WHOLE = {
    "length": (JSON + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "length 0": (JSON + b"Content-Length: 0\r\n\r\n", b"", True),
    "chunks": (JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n003;x=y\r\nllo\r\n0\r\n\r\n", b"hello", True),
    "trailers": (JSON + b"Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"hello", True),
    "until close": (JSON + b"\r\nhello", b"hello", False),
    "close": (JSON + b"Content-Length: 5\r\nConnection: Close\r\n\r\nhello", b"hello", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "provisional": (b"HTTP/1.1 103 X\r\nLink: x\r\n\r\nHTTP/1.1 100 X\r\n\r\n" + JSON + b"\r\nhello", b"hello", False),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", b"hello", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "gzip": (JSON + b"Content-Encoding: gzip\r\nContent-Length: 25\r\n\r\n" + PACKED, b"hello", True),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_every_framing_under_every_cut(name: str) -> None:
    """Whole, by the byte, and in two at any place: the same body, nothing behind it, and the same verdict on reuse."""
    data, body, reusable = WHOLE[name]
    found = {str(read(pieces)) for pieces in cuts(data)}
    assert len(found) == 1
    one = read([data])
    assert one is not None
    assert (body, reusable, True, b"") == (one.body, one.reusable, one.whole, one.rest)


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in ("until close", "provisional")])
def test_an_answer_that_is_cut_is_not_whole(name: str) -> None:
    """At any byte before its end the answer is not whole: it has no head yet, or its body says so."""
    data, body, _ = WHOLE[name]
    for size in range(len(data)):
        one = read([data[:size]])
        assert one is None or not one.whole, size
        assert one is None or body.startswith(one.body)


def test_what_follows_an_answer_is_no_part_of_it() -> None:
    """Bytes behind the end are kept apart, so that the connection is not used again."""
    for name in ("length", "chunks", "gzip", "no content"):
        data, body, _ = WHOLE[name]
        one = read([data + b"HTTP/1.1 200"])
        assert one is not None
        assert (body, b"HTTP/1.1 200") == (one.body, one.rest)


def test_names_are_lower_case_and_the_last_counts() -> None:
    """Headers are looked up in lower case; of equal ones the last counts, white space around values does not."""
    found = read_head(head("X-A: 1", "x-a:2 ", "X-B:\t a b\t", "Empty:", "U: é", "Content-Length: 0"))
    assert found is not None
    assert {"x-a": "2", "x-b": "a b", "empty": "", "u": "é", "content-length": "0"} == found[0].headers


def test_folded_headers_are_joined() -> None:
    """A value that goes on in the next line, which RFC 9112 forbids and old servers do, is one value."""
    found = read_head(head("A: b", "  c", "Content-Length: 0"))
    assert found is not None
    assert "b c" == found[0].headers["a"]


MALFORMED = {
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x16",
    "http 2": b"HTTP/2 200\r\n\r\n",
    "status of two digits": b"HTTP/1.1 99 X\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 X\r\n\r\n",
    "no header": head("broken header"),
    "space before the colon": head("Content-Length : 5"),
    "no name": head(": x"),
    "nul": head("A: \0"),
    "carriage return": head("A: x\ry"),
    "two lengths": head("Content-Length: 5", "Content-Length: 5"),
    "signed length": head("Content-Length: +5"),
    "list of lengths": head("Content-Length: 5, 5"),
    "endless length": head("Content-Length: " + "9" * 19),
    "length and chunks": head("Content-Length: 5", "Transfer-Encoding: chunked"),
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "chunk without a size": head("Transfer-Encoding: chunked") + b"\r\nx",
    "signed chunk": head("Transfer-Encoding: chunked") + b"+5\r\nhello",
    "chunk in another base": head("Transfer-Encoding: chunked") + b"0x5\r\nhello",
    "chunk that overflows": head("Transfer-Encoding: chunked") + b"f" * 16 + b"\r\n",
    "chunk with a bare line feed": head("Transfer-Encoding: chunked") + b"5\nhello",
    "chunk that is longer than it says": head("Transfer-Encoding: chunked") + b"1\r\nxy\r\n",
    "not gzip": head("Content-Encoding: gzip", "Content-Length: 5") + b"hello",
    "brotli": head("Content-Encoding: br", "Content-Length: 5") + b"hello",
    "129 headers": head(*(f"A{i}: x" for i in range(129))),
    "long line": head("A: " + "x" * 8190),
    "long line without an end": head()[:-2] + b"A: " + b"x" * 8300,
    "long head without an end": head(*(f"A{i}: {'x' * 8000}" for i in range(9)))[:-2],
    "130 trailers": head("Transfer-Encoding: chunked") + b"0\r\n" + b"a: b\r\n" * 130,
    "long trailer": head("Transfer-Encoding: chunked") + b"0\r\na: " + b"b" * 8200,
    "long chunk extension": head("Transfer-Encoding: chunked") + b"5;" + b"b" * 8200,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_is_refused(name: str) -> None:
    """What no reader should guess about is refused as soon as it shows, whole or by the byte."""
    data = MALFORMED[name]
    size = 1 + len(data) // 500
    for pieces in ([data], [data[i : i + size] for i in range(0, len(data), size)]):
        with pytest.raises(MalformedError):
            read(pieces)


def test_128_headers_of_8190_bytes_in_all_pass() -> None:
    """The limits themselves are within them."""
    lines = [f"A{i}: x" for i in range(126)]
    assert read([head(*lines, "B: " + "x" * 8189, "Content-Length: 0")]) is not None


# -- compression -----------------------------------------------------------------------------------------------------


def packed(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(("coding", "window"), [("gzip", 31), ("X-GZIP", 31), ("deflate", 15), ("Deflate", -15)])
def test_compressed_bodies(coding: str, window: int) -> None:
    """Gzip and deflate, with the zlib header or, as some servers send it, without; text around every buffer's size."""
    for size in (0, 1, 1000, http1.MAX_PIECE - 1, http1.MAX_PIECE, http1.MAX_PIECE + 1, 3 * http1.MAX_PIECE):
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


@pytest.mark.parametrize("coding", ["identity", "utf-8", ""])
def test_codings_that_are_none(coding: str) -> None:
    """What some servers write there beside compressions changes nothing."""
    one = read([head(f"Content-Encoding: {coding}", "Content-Length: 5") + b"hello"])
    assert one is not None
    assert b"hello" == one.body


def test_a_bomb_is_unpacked_a_piece_at_a_time() -> None:
    """8 MiB in 8 KB come in pieces of 256 KiB, and only as they are asked for."""
    body = packed(bytes(http1.MAX_UNPACKED), 31)
    found = read_head(head("Content-Encoding: gzip") + body)
    assert found is not None
    first, rest = found
    pieces = [first.body.feed(rest)]
    assert not first.body.done
    while first.body.held:
        pieces.append(first.body.more())
    assert {http1.MAX_PIECE, 0} >= {len(piece) for piece in pieces[:-1]}
    assert http1.MAX_UNPACKED == sum(map(len, pieces))


def test_a_bomb_is_refused() -> None:
    """Beyond 8 MiB a body may unpack to a hundred times its size, which text does not; a bomb does at once."""
    text = random.Random(1).randbytes(2**20) * 40
    one = read([head("Content-Encoding: gzip") + packed(text[: 2**20], 31)])
    assert one is not None
    with pytest.raises(BombError, match="more than 100 times its size"):
        read([head("Content-Encoding: gzip") + packed(bytes(http1.MAX_UNPACKED + 1), 31)])


def test_time_is_linear() -> None:
    """Four times the head, the chunks or the compressed streams take at most eight times as long."""

    def seconds(data: bytes, size: int) -> float:
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            read([data[i : i + size] for i in range(0, len(data), size)])
            best = min(best, time.process_time() - began)
        return best

    chunk = b"4\r\nabcd\r\n"
    assert seconds(head("Transfer-Encoding: chunked") + chunk * 40_000, 2**16) < 8 * max(
        seconds(head("Transfer-Encoding: chunked") + chunk * 10_000, 2**16), 0.002
    )
    assert seconds(head(*(f"A{i}: {'x' * 450}" for i in range(120))), 64) < 0.5


# -- beside aiohttp --------------------------------------------------------------------------------------------------


class Theirs:
    """aiohttp's parser, driven as its protocol does."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        quiet = SimpleNamespace(pause_reading=lambda: None, resume_reading=lambda **_: None)
        self.parser = HttpResponseParser(quiet, self.loop, 2**20, read_until_eof=True)  # type: ignore[arg-type]

    def read(self, pieces: Iterable[bytes]) -> Any:
        """(status, headers, body, reusable, whole), None without a head, "refused" for an error."""
        found: list[Any] = []
        whole = True
        try:
            for data in pieces:
                found += self.parser.feed_data(data)[0]
            try:
                self.parser.feed_eof()
            except HttpProcessingError:
                whole = False
        except HttpProcessingError:
            return "refused"
        finally:
            self.loop.close()
        found = [one for one in found if one[0].code >= 200]
        if not found:
            return None
        message, payload = found[0]
        body = b"".join(getattr(payload, "_buffer", ()))
        headers = {name.lower(): value for name, value in message.headers.items()}
        whole = whole and payload.is_eof() and payload.exception() is None
        return message.code, headers, body, not message.should_close, whole


LINES = [
    "Content-Length: 5", "Content-Length: 0", "Content-Length: 7", "content-length:5", "Content-Length: x",
    "Transfer-Encoding: chunked", "transfer-encoding: Chunked", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity", "Connection: close", "Connection: keep-alive", "Connection: Keep-Alive, x",
    "Connection: x, Close", "A: b", "A:", "A: \t b", "Content-Type: text/plain", "no colon", "A\tb: c", "é: x",
    "A: é", "X: " + "y" * 300, " folded", "Content-Encoding: utf-8", "Date: now", "Set-Cookie: a=b",
]  # fmt: skip
BODIES = [
    b"hello", b"", b"hell", b"5\r\nhello\r\n0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n", b"5\r\nhello\r\n",
    b"5\r\nhello0\r\n\r\n", b"g\r\nhello\r\n0\r\n\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"5\r\nhell",
]  # fmt: skip
FIRST = [
    "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.0 200 OK", "HTTP/1.1 500", "HTTP/1.1 204 No", "HTP/1.1 200 OK",
]  # fmt: skip


def made(rand: random.Random) -> bytes:
    """An answer of likely and unlikely parts."""
    lines = [rand.choice(FIRST), *rand.choices(LINES, k=rand.randrange(6)), "", ""]
    end = "\n" if rand.random() < 0.05 else "\r\n"
    return end.join(lines).encode() + rand.choice(BODIES)


@pytest.mark.parametrize("seed", range(20))
def test_aiohttp_reads_the_same(seed: int) -> None:
    """Over made-up answers, cut at random, aiohttp's parser reads what ours reads and refuses what ours refuses."""
    rand = random.Random(seed)
    different = []
    for _ in range(100):
        data = made(rand)
        places = sorted(rand.choices(range(len(data) + 1), k=rand.randrange(4)))
        pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        theirs = Theirs().read(pieces)
        ours: Any
        try:
            one = read(pieces)
            ours = None if one is None else one[:5]
            surplus = one is not None and one.rest != b""
        except MalformedError:
            ours, surplus = "refused", False
        if surplus:
            continue  # aiohttp takes it for the next answer, we close the connection
        if isinstance(ours, tuple) and isinstance(theirs, tuple) and theirs[3]:
            ours = (*ours[:3], True, ours[4])  # we may be more careful about using a connection again
        if ours != theirs:
            different.append((pieces, ours, theirs))
    assert different == []


def test_the_body_says_how_it_is_framed() -> None:
    """An answer to nothing has no body; one without a length lasts until the connection is closed."""
    kinds = [type(found[0].body) for lines in ((), ("Content-Length: 1",)) if (found := read_head(head(*lines)))]
    assert [UntilClose, Sized] == kinds
