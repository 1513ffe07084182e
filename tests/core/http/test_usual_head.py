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
from anyfast_async._core.http.head import HeadReader
from anyfast_async._core.http.usual_head import FIELDS, FORMS, LESSONS, RARELY, UsualHeads
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


def check(data: bytes, limit: int = MAX_HEAD, *, heads: UsualHeads | None = None) -> bool:
    """Hold what is read in one go against the reader; return whether it was."""
    found = (heads or UsualHeads(limit)).read(data)
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
    found = UsualHeads().read(USUAL)
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
    heads = UsualHeads()
    assert heads.read(data) is None
    assert heads.read(USUAL) is not None
    assert heads.read(data) is None


def test_kept_alive_is_usual() -> None:
    """As proxies say it."""
    assert check(USUAL.replace(b"Empty:", b"Connection: Keep-Alive"))


def test_limit_is_that_of_the_head() -> None:
    """To the byte, as with the reader."""
    size = USUAL.index(b"\r\n\r\n") + 4
    assert check(USUAL, size)
    assert UsualHeads(size - 1).read(USUAL) is None
    heads = UsualHeads(size)
    assert all(heads.read(USUAL.replace(b"a1", value)) is not None for value in (b"a1", b"b2", b"c"))
    assert heads.read(USUAL.replace(b"a1", b"abc")) is None


PIECES = st.sampled_from([
    *(f"{line}\r\n".encode() for line in (*FIRST, *LINES)),
    *(*BODIES, *ODD, b"\r\n", b"x" * 40, b"Content-Length: 5\r\n", b"Connection: keep-alive\r\n", b"hello"),
])  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=12).map(b"".join), st.binary(max_size=60)), st.sampled_from([60, MAX_HEAD]))
def test_what_is_taken_is_read_the_same(data: bytes, limit: int) -> None:
    """Whatever comes."""
    check(data, limit)


VALUES: Final = st.one_of(
    st.sampled_from([b"", b" ", b"a", b" a\t", b"\tb", b"a\nx: b", b"a\r\nb: c", b"\0", b"\xff", b"a\r", b"5"]),
    st.binary(max_size=6),
)


@given(st.lists(st.tuples(VALUES, VALUES, VALUES, st.sampled_from([b"5", b" 5", b"4", b"5 ", b"05"])), max_size=8))
def test_what_was_learned_changes_no_reading(answers: list[tuple[bytes, bytes, bytes, bytes]]) -> None:
    """Heads of one form, one after the other, whose values change in turn, also to what ends or splits a line."""
    heads = UsualHeads()
    for one, two, three, length in [(b"1", b"2", b"3", b"5"), (b"1", b"9", b"3", b"5"), *answers]:
        fields = b"Same: a\r\nOne:%b\r\nTwo: %b\r\nOne: %b\r\nContent-Length: %b\r\n" % (one, two, three, length)
        check(b"HTTP/1.1 200 OK\r\n%bEnd: b\r\n\r\nhello" % fields, heads=heads)


@given(st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=6))
def test_answers_of_an_origin_are_read_the_same(answers: list[bytes]) -> None:
    """Of several forms in turn, and of none."""
    heads = UsualHeads()
    for data in answers * 2:
        check(data, heads=heads)


def head(number: int, *, server: str = "a", names: tuple[str, ...] = ("X-Request-Id", "Date")) -> bytes:
    lines = "".join(f"{name}: {number}\r\n" for name in names)
    return f"HTTP/1.1 200 OK\r\nServer: {server}\r\n{lines}Content-Length: 5\r\n\r\nhello".encode()


def forms_of(heads: UsualHeads) -> int:
    return len(heads._forms)


def test_what_changes_is_learned_once() -> None:
    """After the second head nothing is left to learn; what all have in common is kept once."""
    heads = UsualHeads()
    for number in range(100):
        assert check(head(number), heads=heads)
    assert (heads._lessons, forms_of(heads)) == (2, 1)
    found = [
        fields for number in (7, 8) for fields, _ in [heads.read(head(number)) or ({"server": "", "date": ""}, b"")]
    ]
    assert found[0]["server"] is found[1]["server"]
    assert [fields["date"] for fields in found] == ["7", "8"]


def test_several_servers_answer_in_turn() -> None:
    """Each form is learned; of more than four the ones of late are known."""
    heads = UsualHeads()
    names = [("X-Request-Id", f"X-{one}") for one in range(FORMS)]
    for number in range(50):
        assert check(head(number, names=names[number % FORMS]), heads=heads)
    assert (heads._lessons, forms_of(heads)) == (2 * FORMS, FORMS)
    assert check(head(1, names=("Other",)), heads=heads)
    assert (heads._lessons, forms_of(heads)) == (2 * FORMS + 1, FORMS)


def test_a_head_of_very_many_fields_is_left_to_the_reader() -> None:
    """Its pattern would take as long to compile as hundreds of heads to read."""
    heads = UsualHeads()
    most = tuple(f"X-{one}" for one in range(FIELDS - 2))
    assert check(head(1, names=most), heads=heads)
    for number in range(LESSONS):
        assert not check(head(number, names=(*most, "More")), heads=heads)
    assert forms_of(heads) == 1


def test_an_origin_that_always_sends_others_is_left_to_the_reader() -> None:
    """Learning costs more than it brings there; now and then one more is learned from, in case it has settled."""
    heads = UsualHeads()
    for number in range(2_000):
        check(head(number, names=(f"X-{number}",)), heads=heads)
    assert heads._lessons == LESSONS + 2_000 // RARELY
    assert [check(head(number), heads=heads) for number in range(400)][-100:] == [True] * 100


def test_an_answer_that_is_not_whole_teaches_its_head() -> None:
    """The next one is read in one go."""
    heads = UsualHeads()
    assert heads.read(head(1)[:-1]) is None
    assert heads.read(head(2)[:-1]) is None
    assert check(head(3), heads=heads)
    assert heads._lessons == 2


@pytest.mark.parametrize("field", ["Connection", "Transfer-Encoding", "Content-Encoding", "Trailer"])
def test_what_says_how_an_answer_is_read_never_changes(field: str) -> None:
    """Whether another answer may follow, and where this one ends, is never one of the values that are passed over."""
    heads = UsualHeads()
    for value in ("keep-alive", "Keep-Alive", "keep-alive", "close", "chunked"):
        for number in range(3):
            data = head(number).replace(b"Server: a", f"{field}: {value}".encode())
            assert check(data, heads=heads) == (field == "Connection" and value.lower() == "keep-alive")


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
    rand, taken, heads = random.Random(2), 0, UsualHeads()
    for _ in range(300_000 if LONG else 3_000):
        data = mutated(USUAL, rand) if rand.random() < 0.7 else made(rand)
        taken += check(data)
        check(USUAL, heads=heads)
        check(data, heads=heads)
    assert taken > 50
