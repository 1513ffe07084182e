"""Answers that come whole: what is read in one go, the reader reads the same; everything else is left to it."""

from __future__ import annotations

import copy
import os
import pickle
import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.http.body_end import MalformedError
from anyfast_async._core.http.head import HeadReader, read_whole
from anyfast_async._size_limits import MAX_HEAD

from ..reading import BODIES, FIRST, JSON, LINES, ODD, made, mutated

LONG: Final = bool(os.environ.get("ANYFAST_LONG"))
USUAL: Final = (
    JSON + b"X-Request-Id:  a1 \t\r\nX-TWICE: one\r\nContent-Length: 5\r\nx-twice: two\r\nEmpty:\r\n\r\nhello"
)


def read_by_reader(data: bytes, limit: int = MAX_HEAD) -> tuple[Any, ...] | None:
    """Status, fields, body, and whether others can follow, by the reader; None if the answer is not whole by then."""
    try:
        found = HeadReader(limit).feed(data)
        if found is None:
            return None
        head, rest = found
        body = head.body.feed(rest)
        while head.body.held:
            body += head.body.more()
    except (MalformedError, ValueError):
        return None
    if not head.body.done or head.body.rest:
        return None
    return head.status, head.headers, body, head.reusable


def check(data: bytes, limit: int = MAX_HEAD) -> bool:
    """Hold what is read in one go against the reader; return whether it was."""
    found = read_whole(data, limit)
    if found is None:
        return False
    fields, body = found
    wanted = read_by_reader(data, limit)
    assert wanted is not None, data
    for name in [*wanted[1], "x-request-id", "none", "Content-Length", "ß"]:
        assert fields.get(name) == wanted[1].get(name), (data, name)
    assert wanted == (200, dict(fields), body, True), data
    return True


def test_usual_answer_is_read_in_one_go() -> None:
    """Its fields are a mapping by lower-case names, of equal names the last; what is not there is not there."""
    found = read_whole(USUAL)
    assert found is not None
    fields, body = found
    assert (fields.get("x-twice"), fields.get("none"), fields.get("none", "x"), body) == ("two", None, "x", b"hello")
    whole = {
        "content-type": "application/json",
        "x-request-id": "a1",
        "x-twice": "two",
        "content-length": "5",
        "empty": "",
    }
    assert fields == whole
    assert whole == fields
    assert (fields["x-request-id"], fields.get("x-request-id"), len(fields)) == ("a1", "a1", 5)
    copied: Any = copy.deepcopy(fields)
    assert (repr(fields), copied, pickle.loads(pickle.dumps(fields))) == (  # noqa: S301
        repr(dict(fields)),
        whole,
        whole,
    )
    assert check(USUAL)


@pytest.mark.parametrize(
    "data",
    [
        USUAL.replace(b" 200 ", b" 201 "),
        USUAL.replace(b" 200 ", b" 500 "),
        USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
        USUAL.replace(b"\r\n", b"\n"),
        USUAL + b"x",
        USUAL[:-1],
        b"\r\n" + USUAL,
        USUAL.replace(b"Length: 5", b"Length: 5, 5"),
        USUAL.replace(b"Length: 5", b"Length: +5"),
        USUAL.replace(b"Length: 5", b"Length: \xc2\xb25"),
        USUAL.replace(b"Empty:", b"Content-Length: 5"),
        USUAL.replace(b"Empty:", b"Transfer-Encoding: chunked"),
        USUAL.replace(b"Empty:", b"Content-Encoding: identity"),
        USUAL.replace(b"Empty:", b"Connection: close"),
        USUAL.replace(b"Empty:", b"Connection: keep-alive, close"),
        USUAL.replace(b"Empty:", b"Connection: keep-alive\r\nconnection: close"),
        USUAL.replace(b"Empty:", b"Empty :"),
        USUAL.replace(b"Empty:", b" folded"),
        USUAL.replace(b"Empty:", b"Nul: \0"),
    ],
)
def test_anything_else_is_left_to_the_reader(data: bytes) -> None:
    """Another status, framing said otherwise or twice, a connection that closes, a line that is no field."""
    assert read_whole(data) is None


def test_kept_alive_is_usual() -> None:
    """As proxies say it."""
    assert check(USUAL.replace(b"Empty:", b"Connection: Keep-Alive"))


def test_limit_is_that_of_the_head() -> None:
    """To the byte, as with the reader."""
    size = USUAL.index(b"\r\n\r\n") + 4
    assert check(USUAL, size)
    assert read_whole(USUAL, size - 1) is None


PIECES = st.sampled_from([
    *(f"{line}\r\n".encode() for line in (*FIRST, *LINES)),
    *(*BODIES, *ODD, b"\r\n", b"x" * 40, b"Content-Length: 5\r\n", b"Connection: keep-alive\r\n", b"hello"),
])  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=12).map(b"".join), st.binary(max_size=60)), st.sampled_from([60, MAX_HEAD]))
def test_what_is_taken_is_read_the_same(data: bytes, limit: int) -> None:
    """Whatever comes."""
    check(data, limit)


@given(
    st.lists(st.tuples(st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~0-9-]{1,12}", fullmatch=True), st.text(max_size=12))),
    st.binary(max_size=20),
)
def test_any_fields_are_read_the_same(fields: list[tuple[str, str]], body: bytes) -> None:
    """Names and values as they may be, and as they may not."""
    lines = "".join(f"{name}:{value}\r\n" for name, value in fields).encode("utf-8", "replace")
    check(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(body), body))


@pytest.mark.reliability
def test_mutated_answers_are_read_the_same() -> None:
    """Answers with changed bytes; some of them are still taken."""
    rand, taken = random.Random(2), 0
    for _ in range(300_000 if LONG else 3_000):
        data = mutated(USUAL, rand) if rand.random() < 0.7 else made(rand)
        taken += check(data)
    assert taken > 50
