"""What bytes and objects amount to, read as a connection does; cuts of them, and made-up answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from anyfast_async._core.http.body_end import MalformedError, TruncatedError
from anyfast_async._core.http.head import HeadReader
from anyfast_async._core.json import lossless

T = TypeVar("T")
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Read(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool
    whole: bool
    rest: bytes


def read(pieces: Iterable[bytes], limit: int = 128 * 1024) -> Read | None:
    """What the pieces amount to when the connection ends after them; None without a whole head."""
    reader, head, got, surplus = HeadReader(limit), None, [], b""
    for data in pieces:
        if head is None:
            found = reader.feed(data)
            if found is None:
                continue
            head, data = found  # noqa: PLW2901
        if head.body.done:
            surplus += data
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
    return Read(head.status, head.headers, b"".join(got), head.reusable, whole, head.body.rest + surplus)


def verdict(pieces: Iterable[bytes], limit: int = 128 * 1024) -> Read | str | None:
    """The same, with "malformed" and the status for what is refused."""
    try:
        return read(pieces, limit)
    except MalformedError as error:
        return f"malformed {error.status}"


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """*data* whole, by the byte, and in two at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(len(data)):
        yield [data[:i], data[i:]]


def cut_at(data: bytes, places: Iterable[int]) -> list[bytes]:
    """*data* cut at some places."""
    found = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *found], [*found, len(data)], strict=True)]


def head(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *lines, "")).encode()


# -- made-up answers -------------------------------------------------------------------------------------------------

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


def mutated(data: bytes, rand: random.Random) -> bytes:
    """*data* with a few bytes changed, left out, put in, or said twice."""
    for _ in range(rand.randrange(1, 5)):
        at = rand.randrange(len(data) + 1)
        size = rand.choice((0, 1, 1, 2, 8))
        new = rand.choice((b"", b"", rand.randbytes(1), rand.choice(ODD), data[at : at + 8]))
        data = data[:at] + new + data[at + size :]
    return data


ODD = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b"\0",
    b"\x0b",
    b"\xc2\xa0",
    b"chunked",
    b"0",
    b";",
    b"1",
)
"""Bytes that mean something to a reader."""


def third(value: Any, kind: type[T]) -> T:
    """Return what is made of the third object of a shape: by then it has a function, which is the latest."""
    converter = lossless._make_converter(lambda value: value)
    return [converter.structure(value, kind) for _ in range(3)][-1]
