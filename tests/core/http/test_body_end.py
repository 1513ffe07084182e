"""Bodies and where they end: sizes of chunks, trailers, and the lines between them."""

from __future__ import annotations

import pytest

from anyfast_async._core.http import body_end
from anyfast_async._core.http.body_end import (
    Chunked,
    MalformedError,
    Sized,
    TruncatedError,
    UntilClose,
    end_of_lines,
    line_before,
)
from anyfast_async._size_limits import MAX_SIZE_LINE, MAX_TRAILERS

from ..reading import cuts


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"a\n\n", 3),
        (b"a\r\n\r\n", 5),
        (b"a\n\r\nb\n\n", 4),
        (b"a\r\n\n\r\n", 4),
        (b"a\n\n\r\n", 3),
        (b"a\r\n\r", -1),
        (b"a\n", -1),
        (b"\r\r\n", -1),
    ],
)
def test_end_of_lines(data: bytes, end: int) -> None:
    """Lines end with LF, or with CR and LF, in any mixture; the first empty one ends them."""
    assert end == end_of_lines(data)


def test_lines_of_a_body_are_not_kept() -> None:
    """Only what can be a size is remembered: text of answers does not outlive them."""
    before = body_end._usual_size.cache_info().currsize
    for number in range(20):
        body = Chunked()
        body.feed(b"%x\r\n" % 5000 + b"event: x\r\ndata: %d " % number + b"y" * 4000 + b"\r\n\r\n" * 3)
    assert body_end._usual_size.cache_info().currsize <= before + 1


def test_end_of_lines_is_looked_for_from_a_place_on() -> None:
    """What was looked through before is not looked at again."""
    assert -1 == end_of_lines(b"a\n\nb", 2)


def unchunked(data: bytes) -> list[tuple[bytes, bool, bytes] | str]:
    """What *data* amounts to, cut in every way."""
    found: list[tuple[bytes, bool, bytes] | str] = []
    for pieces in cuts(data):
        body, got, surplus = Chunked(), b"", b""
        try:
            for piece in pieces:
                if body.done:
                    surplus += piece
                else:
                    got += body.feed(piece)
                    got += body.more() if body.held else b""
            found.append((got, body.done, body.rest + surplus))
        except MalformedError:
            found.append("malformed")
    return found


@pytest.mark.parametrize("wrong", [b"zz\r\n", b"-1\r\n", b"\n\r\n"])
def test_what_came_before_a_wrong_chunk_is_not_lost(wrong: bytes) -> None:
    """The chunks before it are given out, however they are cut; then it is told, each time somebody asks."""
    for pieces in cuts(b"3\r\nabc\r\n2\r\nde\r\n" + wrong):
        body, got = Chunked(), b""
        with pytest.raises(MalformedError):
            for piece in pieces:
                got += body.feed(piece)
                while body.held:
                    got += body.more()
        assert b"abcde" == got
        if body.held:
            assert not body.at_chunk
            with pytest.raises(MalformedError):
                body.feed(b"")


@pytest.mark.parametrize(
    ("data", "amounts"),
    [
        (b"2\r\nhe\r\n003 ;x=y\r\nllo\r\n0\r\n\r\nrest", (b"hello", True, b"rest")),
        (b"5\r\nhello\r\n0\r\nA: b\r\nC\n\nrest", (b"hello", True, b"rest")),
        (b"5\r\nhello\r\n0;x\r\n\nrest", (b"hello", True, b"rest")),
        (b"5\r\nhello\r\n0\r\n\r\n\r\n", (b"hello", True, b"\r\n")),
        (b"5\r\nhello\r\n0\r\n\rA: b\r\n\r\n", (b"hello", True, b"")),
        (b"5\r\nhello\r\n0\r\nA: b\r\n", (b"hello", False, b"")),
        (b"5\r\nhello\r\n", (b"hello", False, b"")),
        (b"5\r\nhello0\r\n\r\n", "malformed"),
        (b"5\nhello", "malformed"),
        (b"-5\r\nhello", "malformed"),
        (b"5 x\r\nhello", "malformed"),
    ],
)
def test_chunks_under_every_cut(data: bytes, amounts: object) -> None:
    """One outcome, however it is cut."""
    assert {str(amounts)} == set(map(str, unchunked(data)))


@pytest.mark.parametrize("size", [1, 7, 1448, 10**6])
def test_lines_of_chunks_and_trailers_have_limits(size: int) -> None:
    """The limit itself passes and one byte more does not, whatever the cut; trailers have no limit for a line."""

    def passes(data: bytes) -> bool:
        body = Chunked()
        try:
            for i in range(0, len(data), size):
                body.feed(data[i : i + size])
        except MalformedError:
            return False
        return body.done

    def chunk(extension: int) -> bytes:
        return b"1\r\nx\r\n1;" + b"y" * extension + b"\r\nx\r\n0\r\n\r\n"

    def trailers(length: int) -> bytes:
        return b"0\r\nA: " + b"y" * length + b"\r\n\r\n"

    assert [True, False] == [passes(chunk(MAX_SIZE_LINE - 4)), passes(chunk(MAX_SIZE_LINE - 3))]
    assert [True, False] == [passes(trailers(MAX_TRAILERS - 8)), passes(trailers(MAX_TRAILERS - 7))]


def test_what_is_missing_is_told() -> None:
    """A length that was not reached, and a last chunk that did not come."""
    sized = Sized(5)
    sized.feed(b"hel")
    with pytest.raises(TruncatedError, match="2 bytes are missing"):
        sized.end()
    with pytest.raises(TruncatedError, match="the last chunk is missing"):
        Chunked().end()


def test_a_body_of_a_stated_length_ends_with_its_last_byte() -> None:
    """One of no bytes is there at once; one of a single byte is not, and is cut where that does not come."""
    assert Sized(0).done
    body = Sized(1)
    with pytest.raises(TruncatedError, match="1 bytes are missing"):
        body.end()

    assert (b"a", True, b"b") == (body.feed(b"ab"), body.done, body.rest)
    body.end()


def test_only_of_a_body_in_chunks_a_chunk_comes_next() -> None:
    """What looks like one in another body, which may hold any lines, is taken as it comes."""
    assert [True, False, False] == [body.at_chunk for body in (Chunked(), Sized(9), UntilClose())]


def test_line_before_a_chunk() -> None:
    """It is the one line with which a chunk takes just so many bytes; where there is none it is before nothing."""
    for taken in (*range(600), *range(4090, 4110), *range(65_530, 65_550)):
        lines = [b"%x\r\n" % size for size in range(max(1, taken - 9), taken) if len(b"%x" % size) + size + 4 == taken]
        assert lines in ([], [line_before(taken)])
        assert lines or len(line_before(taken)) > taken


def test_a_body_until_the_close_ends_with_it() -> None:
    """All that comes is the body, and it is over when nothing comes any more."""
    body = UntilClose()
    assert (b"a", b"b", False) == (body.feed(b"a"), body.feed(b"b"), body.done)

    body.end()
    assert body.done
