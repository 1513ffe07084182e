"""Chunks recognised by their bytes: what is taken for text is exactly what decoding the whole would give."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.sse import Event
from anyfast_async._core.stream.chunk_template import ChunkTemplate, payload_of
from anyfast_async._core.stream.fold import Fold

CHUNK: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "system_fingerprint": None,
    "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}],
    "usage": None,
}


def chunk(delta: Any, **changes: Any) -> dict[str, Any]:
    """Return the chunk with another delta and other fields; ``finish_reason`` and ``index`` are its choice's."""
    choice = {name: changes.pop(name) for name in ("finish_reason", "index", "logprobs") if name in changes}
    return CHUNK | {"choices": [CHUNK["choices"][0] | {"delta": delta} | choice]} | changes


def template(payload: dict[str, Any] = CHUNK) -> ChunkTemplate:
    made = ChunkTemplate.of(json.dumps(payload).encode(), payload)
    assert made is not None
    return made


def text(made: ChunkTemplate, data: bytes) -> str | None:
    """Return what *made* takes *data* for."""
    texts = made.texts([data])
    return texts[0] if texts else None


HALVES = ["\ud83d", "\ude00"]
TEXTS = st.text(max_size=12) | st.text(st.sampled_from('"\\{},:\n\u2028é😀 contentdelta'), max_size=12)


@given(TEXTS, TEXTS, st.booleans(), st.booleans(), st.booleans())
def test_texts_are_what_decoding_gives(first: str, second: str, spaces: bool, ascii: bool, around: bool) -> None:  # noqa: A002
    """Any text in the same chunk is recognised, however JSON spells it, and is the text that the whole JSON holds."""
    payload = chunk({"content": first}) | ({'"content": "': second, "delta": first} if around else {})
    separators = (", ", ": ") if spaces else (",", ":")
    made = ChunkTemplate.of(json.dumps(payload, separators=separators).encode(), payload)
    assert made is not None
    other = payload | chunk({"content": second})
    data = json.dumps(other, separators=separators, ensure_ascii=ascii).encode()
    if around and not ascii:  # the bytes around the text differ too then
        assert text(made, data) in (None, second)
    else:
        assert second == text(made, data)
    assert other == made.payload(second)


@pytest.mark.parametrize(
    "other",
    [
        chunk({"content": "b"}, id="d"),
        chunk({"content": "b"}, created=2),
        chunk({"content": "b"}, usage={"total_tokens": 1}),
        chunk({"content": "b"}, index=1),
        chunk({"content": "b"}, finish_reason="stop"),
        chunk({"content": "b", "role": "assistant"}),
        chunk({"reasoning_content": "b"}),
        chunk({"content": None}),
        chunk({"content": 1}),
        chunk({"content": ["b"]}),
        chunk({}),
        {"choices": []},
    ],
)
def test_other_chunks_are_not_recognised(other: dict[str, Any]) -> None:
    """A chunk with anything else that differs is left to be decoded whole."""
    assert None is text(template(), json.dumps(other).encode())


@pytest.mark.parametrize(
    "content",
    [b'"b', b'b"', b'"b","role":"x"', b'"\\"', b'"a\nb"', b'"\\ud83d"', b'"\xff"', b"", b'"b" ', b'"b"}, {"x": "c"'],
)
def test_between_the_bytes_stands_one_string(content: bytes) -> None:
    """What is not exactly one JSON string between the known bytes is not recognised."""
    data = json.dumps(chunk({"content": "@"})).encode().replace(b'"@"', content)
    assert None is text(template(), data)


@pytest.mark.parametrize(
    "payload",
    [
        chunk({"content": "a"}, finish_reason="stop"),
        chunk({"content": "a"}, logprobs={"content": []}),
        chunk({"content": "a"}, usage={"total_tokens": 1}),
        chunk({"content": "a"}, x={"y": 1}),
        chunk({"content": "a"}, x=[1]),
        chunk({"content": "a"}, index=1),
        chunk({"content": "a"}, index=False),
        chunk({"content": "a", "role": "assistant"}),
        chunk({"content": ["a"]}),
        chunk({"content": None}),
        chunk("a"),
        {"choices": []},
        {"choices": None},
        {"choices": ["a"]},
        CHUNK | {"choices": CHUNK["choices"] * 2},
    ],
)
def test_chunks_that_say_more_make_no_template(payload: dict[str, Any]) -> None:
    """Only a text of choice 0 with flat fields around it can be repeated without looking at the rest."""
    assert None is ChunkTemplate.of(json.dumps(payload).encode(), payload)


def test_a_doubled_name_makes_no_template() -> None:
    """Where the text stands in the second of two equal names, the first would be taken for it; so neither is."""
    data = b'{"choices":[{"index":0,"delta":{"content":"x","content":"y"}}]}'
    assert None is ChunkTemplate.of(data, json.loads(data))


def test_a_chunk_in_two_lines_makes_no_template() -> None:
    """What stands in an event of two lines stands in no line of one."""
    data = json.dumps(CHUNK).encode().replace(b'"choices"', b'\n"choices"')
    assert ChunkTemplate.of(data, CHUNK) is None


@pytest.mark.parametrize("lost", [b'"', b'"a', b'a"'])
def test_an_event_that_lost_a_quote_is_none(lost: bytes) -> None:
    """What stands before the text and what stands behind it do not share a quote."""
    made, data = template(), json.dumps(CHUNK).encode()
    broken = data.replace(b'"content": "a"', b'"content": ' + b'"a"'.replace(lost, b"", 1))
    assert text(made, broken) is None
    assert made.alone(b"data: " + broken + b"\n\n") is None


def test_a_long_chunk_makes_no_template() -> None:
    """Pictures in the text are not worth the memory."""
    payload = chunk({"content": "x" * 70_000})
    assert None is ChunkTemplate.of(json.dumps(payload).encode(), payload)


def test_texts_stop_at_the_first_other_event() -> None:
    """Events are taken up to the first one that is another; those behind it are left."""
    token = [json.dumps(chunk({"content": str(i)})).encode() for i in range(3)]
    events = [token[0], token[1], b"[DONE]", token[2]]
    assert ["0", "1"] == template().texts(events)
    assert ["2"] == template().texts(events, 3)


def test_typed_events_are_looked_into() -> None:
    """An event with a type or an id is not recognised, whatever its bytes: an error may look like anything."""
    data = Event(json.dumps(chunk({"content": "b"})).encode(), "error")
    assert [] == template().texts([data])


def test_an_item_stands_for_a_chunk() -> None:
    """A text with its template is the chunk that it came in."""
    assert chunk({"content": "b"}) == payload_of((template(), "b"))
    assert payload_of(CHUNK) is CHUNK


@given(st.lists(st.tuples(st.sampled_from(["a", "é", "", *HALVES]), st.integers(0, 2), st.booleans()), max_size=12))
def test_folding_texts_is_folding_chunks(steps: list[tuple[str, int, bool]]) -> None:
    """However texts of several templates and whole chunks follow each other, the fold is that of all whole chunks."""
    kinds = [template(), template(CHUNK | {"id": "d"}), template(CHUNK | {"x": 1})]
    whole, quick = Fold(), Fold()
    for said, kind, is_whole in steps:
        payload = kinds[kind].payload(said)
        assert whole.restarts(payload) == quick.restarts(payload)
        is_whole = is_whole or said in HALVES  # noqa: PLW2901 - such a text is never recognised
        shown = quick.take(payload if is_whole else (kinds[kind], said))
        assert whole.add(payload) == payload_of(shown)
    assert whole.completion() == quick.completion()
    assert all(whole.restarts(chunk({"role": "x"}, id=i)) == quick.restarts(chunk({"role": "x"}, id=i)) for i in "cde")
