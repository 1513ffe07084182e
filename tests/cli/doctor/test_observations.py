"""Events are taken apart as they stand, whatever ends their lines and however their bytes were cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.cli.doctor.observations import RawAnswer, events_of

STREAM = b': ping\n\nevent: a\r\ndata:{"x": 1}\r\n\r\ndata: [DONE]\n\ndata: rest'


def test_events() -> None:
    """Comments, names, data with and without a space, the end, and what no blank line ends."""
    comment, named, done, rest = events_of(RawAnswer(status=200, pieces=((0.5, STREAM),), ended_at=1.0))

    assert ((("", "ping"),), False) == (comment.fields, comment.has_data)
    assert ("a", {"x": 1}, False, True) == (named.name, named.value, named.spaced, named.whole)
    assert (True, True, 0.5) == (done.is_done, done.whole, done.at)
    assert ("rest", None, False, 1.0) == (rest.data, rest.value, rest.whole, rest.at)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    """The events are the same, each at the time of the piece that holds its end."""
    places = sorted({0, len(STREAM), *cuts})
    pieces = tuple((float(start), STREAM[start:end]) for start, end in pairwise(places))
    events = events_of(RawAnswer(status=200, pieces=pieces, ended_at=99.0))

    assert [one.data for one in events] == ["", '{"x": 1}', "[DONE]", "rest"]
    assert sorted(one.at for one in events) == [one.at for one in events]


def test_what_is_a_stream() -> None:
    """The body decides, and where it is silent the content type."""
    assert RawAnswer(status=200, pieces=((0.0, b"data: 1\n\n"),)).is_stream
    assert RawAnswer(status=200, headers={"content-type": "text/event-stream; charset=utf-8"}).is_stream
    assert not RawAnswer(status=200, headers={"content-type": "text/event-stream"}, pieces=((0.0, b"{}"),)).is_stream
