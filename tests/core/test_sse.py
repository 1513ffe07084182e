"""Bytes to server-sent events: every recorded vector under every cut, and an independent reading of the standard."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.sse import Bare, Data, Decoder, Event, Rest
from anyfast_async.errors import ResponseShapeError

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "sse_vectors.json").read_text(encoding="utf-8")
)["sse"]
WHOLE = bool(os.environ.get("ANYFAST_LONG"))
LONG = 70_000  # vectors above this many bytes are about size: cutting them everywhere would say nothing new


class Decoded(NamedTuple):
    events: list[tuple[str, str, str]]
    retry: list[int]
    last_event_id: str


def seen(event: bytes) -> tuple[str, str, str]:
    """Return type, text and id of an event; a malformed byte sequence becomes U+FFFD, as the standard wants."""
    text = event.decode("utf-8", "replace")
    return (event.type, text, event.id) if isinstance(event, Event) else ("message", text, "")


def decoded(pieces: Iterable[Data]) -> Decoded:
    decoder = Decoder()
    # What stands outside of the format is no event to the standard.
    events = [seen(e) for piece in pieces for e in decoder.feed(piece) if not isinstance(e, Bare)]
    decoder.close()
    return Decoded(events, decoder.retry, decoder.last_event_id)


@functools.cache
def source(name: str) -> bytes:
    vector = next(v for v in VECTORS if v["name"] == name)
    if "input_b64" in vector:
        return base64.b64decode(vector["input_b64"])
    data = b"".join(base64.b64decode(part["b64"]) * part["repeat"] for part in vector["input_parts"])
    assert vector["input_sha256"] == hashlib.sha256(data).hexdigest()
    return data


def expected(vector: dict[str, Any]) -> list[tuple[str, str, str]]:
    if "events" in vector:
        return [(e["type"], e["data"], e["id"]) for e in vector["events"]]
    return [
        (e["type"], e["data_join"].join([e["data_unit"]] * e["data_repeat"]), e["id"])
        for e in vector["events_generated"]
        for _ in range(e.get("event_repeat", 1))
    ]


def cut(data: bytes, *at: int) -> list[bytes]:
    edges = [0, *at, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def check(vector: dict[str, Any], pieces: Iterable[Data]) -> None:
    found = decoded(pieces)
    assert expected(vector) == found.events
    assert vector["retry"] == found.retry
    assert vector.get("last_event_id", found.last_event_id) == found.last_event_id


every_vector = pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])


def test_all_vectors_are_there() -> None:
    """The file holds the 148 vectors: the platform tests' and our own."""
    assert len(VECTORS) == 148


@every_vector
def test_vector_whole(vector: dict[str, Any]) -> None:
    """Fed in one piece a vector gives its events."""
    check(vector, [source(vector["name"])])


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_vectors_of_other_buffers(kind: Callable[[bytes], Data]) -> None:
    """Fed as a bytearray or a memoryview every vector gives the same events, and the buffer may be reused."""
    for vector in VECTORS:
        data = source(vector["name"])
        if len(data) <= LONG:
            check(vector, map(kind, cut(data, len(data) // 3, len(data) // 2)))


@every_vector
def test_vector_in_small_pieces(vector: dict[str, Any]) -> None:
    """Fed byte by byte (those above 70 kB in pieces of 1500) a vector gives the same events."""
    data = source(vector["name"])
    step = 1 if len(data) <= LONG else 1500
    check(vector, (data[i : i + step] for i in range(0, len(data), step)))


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(source(v["name"])) <= 400], ids=lambda v: v["name"])
def test_vector_cut_in_two(vector: dict[str, Any]) -> None:
    """A vector of up to 400 bytes cut in two at any place gives the same events."""
    data = source(vector["name"])
    for at in range(len(data) + 1):
        check(vector, cut(data, at))


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(source(v["name"])) > 400], ids=lambda v: v["name"])
def test_vector_cut_at_random(vector: dict[str, Any]) -> None:
    """A longer vector cut at random places, 200 times (those above 70 kB: once), gives the same events."""
    data = source(vector["name"])
    rng = random.Random(vector["name"])
    for _ in range(200 if len(data) <= LONG else 1):
        check(vector, cut(data, *sorted(rng.choices(range(len(data)), k=rng.randint(1, 9)))))


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(source(v["name"])) <= 60], ids=lambda v: v["name"])
def test_vector_cut_in_three(vector: dict[str, Any]) -> None:
    """A vector of up to 60 bytes cut in three at any two places gives the same events."""
    data = source(vector["name"])
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            check(vector, cut(data, first, second))


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(source(v["name"])) <= 400], ids=lambda v: v["name"])
def test_vector_with_empty_pieces(vector: dict[str, Any]) -> None:
    """Empty pieces between any two bytes change nothing."""
    data = source(vector["name"])
    check(vector, (p for b in data for p in (b"", bytes([b]), bytearray(), memoryview(b""))))


# -- an independent reading of WHATWG HTML 9.2.5 and 9.2.6, over the whole text at once -------------------------------


def reference(stream: bytes) -> Decoded:
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]  # a line without an end is no line
    events: list[tuple[str, str, str]] = []
    retry: list[int] = []
    data, kind, buffered_id, last_id = "", "", "", ""
    for line in lines:
        if line == "":
            last_id = buffered_id
            if data != "":
                events.append((kind or "message", data.removesuffix("\n"), last_id))
            data, kind = "", ""
            continue
        if line[0] == ":":
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            buffered_id = value
        elif field == "retry" and value and set(value) <= set("0123456789"):
            retry.append(int(value))
    return Decoded(events, retry, last_id)


NAMES = st.sampled_from(["data", "event", "id", "retry", "", "Data", "data ", " data", "x", "{", "data\ufeff"])
VALUES = st.one_of(
    st.sampled_from(
        ["", " ", "[DONE]", "1000", "+1", "1_0", "٣", "a\0b", "é", "😀", "\ufeff", " two", "a:b", '{"a":1}']
    ),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12),
)
LINES = st.tuples(NAMES, st.sampled_from([":", ": ", "", ":  "]), VALUES).map("".join)
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r", "\n\r", "\r\n\n"])
TEXTS = st.lists(st.tuples(LINES, ENDS).map("".join), max_size=12).map("".join)
NOISE = st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef", b"\xff", b"\xef\xbb\xbf\xef\xbb\xbf"])


@pytest.mark.slow
@settings(max_examples=2000 if WHOLE else 50, deadline=None)
@given(st.tuples(NOISE, TEXTS.map(str.encode), NOISE).map(b"".join), st.lists(st.floats(0, 1), max_size=6))
def test_decoder_equals_reference_however_cut(stream: bytes, places: list[float]) -> None:
    """Any stream of any line ends, cut anywhere, gives the events of a plain reading of the standard."""
    wanted = reference(stream)
    assert wanted == decoded(cut(stream, *sorted(int(p * len(stream)) for p in places)))
    assert wanted == decoded(bytes([b]) for b in stream)


@pytest.mark.slow
@settings(max_examples=2000 if WHOLE else 70, deadline=None)
@given(st.binary(max_size=80), st.floats(0, 1))
def test_any_bytes_decode_alike_whole_and_cut(stream: bytes, place: float) -> None:
    """Arbitrary bytes raise nothing, and a cut does not change what they give."""
    assert reference(stream) == decoded([stream]) == decoded(cut(stream, int(place * len(stream))))


# -- the end of the body ----------------------------------------------------------------------------------------------


def rest_of(*pieces: bytes) -> Rest:
    decoder = Decoder()
    for piece in pieces:
        decoder.feed(piece)
    return decoder.close()


def test_feed_after_close_raises() -> None:
    """A decoder that was closed takes no more bytes."""
    decoder = Decoder()
    decoder.close()
    with pytest.raises(ValueError, match=r"feed\(\) after close\(\)"):
        decoder.feed(b"data: a\n\n")


@pytest.mark.parametrize(
    ("stream", "rest"),
    [
        (b"", Rest(b"", unfinished=False, bare=b"")),
        (b"data: [DONE]", Rest(b"[DONE]", unfinished=True, bare=b"")),
        (b"data: [DONE]\n", Rest(b"[DONE]", unfinished=False, bare=b"")),
        (b"data: a\ndata: b", Rest(b"a\nb", unfinished=True, bare=b"")),
        (b"data: a\n\n", Rest(b"", unfinished=False, bare=b"")),
        (b"\xef\xbb", Rest(b"", unfinished=True, bare=b"")),
        (b": comment", Rest(b"", unfinished=True, bare=b"")),
        (b': PING\n\n{"error":{}}', Rest(b"", unfinished=True, bare=b'{"error":{}}')),
        (b'{\n  "error": {\n  }\n}\n', Rest(b"", unfinished=False, bare=b'{\n  "error": {\n  }\n}')),
        (b'[{"error":{}}]\n', Rest(b"", unfinished=False, bare=b'[{"error":{}}]')),
        (b"  {}\n", Rest(b"", unfinished=False, bare=b"  {}")),
        (b"hello\n{}\nworld", Rest(b"", unfinished=True, bare=b"{}\nworld")),
        (b"{}\ndata: a\n\n", Rest(b"", unfinished=False, bare=b"")),
    ],
)
def test_what_is_left_at_the_end(stream: bytes, rest: Rest) -> None:
    """close() returns the undispatched data and JSON outside of the format (gin appends errors), however cut."""
    assert rest == rest_of(stream)
    assert rest == rest_of(*(bytes([b]) for b in stream))


def test_bare_text_is_bounded() -> None:
    """Endless lines outside of the format do not pile up in memory."""
    decoder = Decoder(max_event=5000)
    with pytest.raises(ResponseShapeError, match="more than 5000 bytes"):
        for _ in range(10):
            decoder.feed(b"{" + b"x" * 1000 + b"\n")


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_bare_text_before_an_event(step: int) -> None:
    """JSON outside of the format comes before the event that follows it, however the bytes are cut."""
    stream = b'data: a\n\n{"x":\n1}\n\ndata: b\n\n'
    decoder = Decoder()
    found = [event for at in range(0, len(stream), step) for event in decoder.feed(stream[at : at + step])]
    assert [b"a", b'{"x":\n1}', b"b"] == found
    assert [False, True, False] == [isinstance(event, Bare) for event in found]
    assert b"" == decoder.close().bare


def test_the_rest_keeps_its_type() -> None:
    """An event that no blank line ended is told with its type."""
    rest = rest_of(b"event: error\ndata: x")
    assert isinstance(rest.data, Event)
    assert (b"x", "error") == (rest.data, rest.data.type)


def test_an_event_is_its_data() -> None:
    """The data keeps its bytes, malformed ones too; only an event with a type or an id is more than its bytes."""
    plain, typed, numbered = Decoder().feed(b"data: a\xffb\n\nevent: x\ndata: a\n\nid: 1\ndata: b\n\n")
    assert (b"a\xffb", bytes) == (plain, type(plain))
    assert (b"a", "x", "") == (typed, typed.type, typed.id)  # type: ignore[attr-defined]
    assert (b"b", "message", "1") == (numbered, numbered.type, numbered.id)  # type: ignore[attr-defined]


def test_retry_of_absurd_length_is_ignored() -> None:
    """A retry value of thousands of digits neither raises nor counts: Python would refuse to convert it."""
    assert [7] == decoded([b"retry: " + b"9" * 5000 + b"\nretry: 7\n\n"]).retry


# -- limits -----------------------------------------------------------------------------------------------------------


def fed_until_refused(decoder: Decoder, pieces: Iterable[bytes]) -> int:
    """Return how many bytes were taken before the refusal."""
    taken = 0
    with pytest.raises(ResponseShapeError, match="bytes"):
        for piece in pieces:
            decoder.feed(piece)
            taken += len(piece)
    return taken


@pytest.mark.parametrize("step", [1, 7, 64])
def test_line_limit_ends_within_one_feed(step: int) -> None:
    """An endless line is refused when it passes the limit, not a feed later."""
    taken = fed_until_refused(Decoder(max_line=500), iter(lambda: b"x" * step, None))
    assert 500 - step <= taken <= 500


@pytest.mark.parametrize("step", [1, 7, 64])
def test_event_limit_ends_within_one_feed(step: int) -> None:
    """Endless data lines are refused when the event passes the limit, not a feed later."""
    line = b"data:" + b"x" * step + b"\n"
    taken = fed_until_refused(Decoder(max_event=500), iter(lambda: line, None))
    data = taken // len(line) * (step + 1)
    assert 500 - (step + 1) < data <= 500


def test_a_whole_line_over_the_limit_is_refused() -> None:
    """The line limit also holds for a line that comes in one piece with its end."""
    assert fed_until_refused(Decoder(max_line=10), [b"data: 12345678\n"]) == 0


def test_lines_and_events_up_to_the_limit_pass() -> None:
    """What is as long as the limit allows comes through, again and again."""
    decoder = Decoder(max_line=16, max_event=11)
    assert [b"0123456789"] * 3 == [e for _ in range(3) for e in decoder.feed(b"data: 0123456789\n\n")]


def test_events_before_an_overlong_line_are_not_lost() -> None:
    """Every complete event whose bytes were read is delivered, also when the piece goes on with too long a line."""
    stream = b"data: a\n\n" + b"x" * 100
    decoder = Decoder(max_line=50)
    events: list[bytes] = []
    with pytest.raises(ResponseShapeError):  # both orders of delivery and refusal would be fine
        events += decoder.feed(stream)
        decoder.feed(b"")
        decoder.close()
    assert [b"a"] == events


def test_limit_is_kept_at_the_end() -> None:
    """An unfinished last data line that takes the event over its limit is refused by close()."""
    decoder = Decoder(max_event=10)
    decoder.feed(b"data: 12345\ndata: 67890")
    with pytest.raises(ResponseShapeError, match="more than 10 bytes"):
        decoder.close()


def test_a_refusal_is_not_lost_at_the_end() -> None:
    """A limit broken behind complete events of the last piece is refused by close(), if not by another feed()."""
    decoder = Decoder(max_line=50)
    assert [b"a"] == decoder.feed(b"data: a\n\n" + b"x" * 100)
    with pytest.raises(ResponseShapeError, match="a line of more than 50 bytes"):
        decoder.close()
