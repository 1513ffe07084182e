"""JSON that arrives in pieces: what there is of it, whatever the pieces are, in linear steps."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._structured.partial_json import DEEPEST, PartialJson
from anyfast_async._structured.partial_values import plain

WORDS = st.text('ab"\\{}[],:/*#é😀\n\ud800', max_size=5)
JSON: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
JSON |= st.lists(JSON, max_size=3) | st.dictionaries(WORDS, JSON, max_size=3)
JSON |= st.lists(JSON, max_size=3) | st.dictionaries(WORDS, JSON, max_size=3)


def _read(text: str, *, wrapped: bool = False, size: int = 1) -> PartialJson:
    reader = PartialJson(wrapped=wrapped)
    for at in range(0, len(text), size):
        reader.feed(text[at : at + size])
    return reader


def _is_beginning(before: Any, after: Any) -> bool:
    """Whether *before* may have become *after* by adding at its end."""
    if isinstance(before, str) and isinstance(after, str):
        return after.startswith(before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) <= len(after) and all(map(_is_beginning, before, after))
    if isinstance(before, dict) and isinstance(after, dict):
        return all(name in after and _is_beginning(value, after[name]) for name, value in before.items())
    return bool(before == after)


@settings(max_examples=25)
@given(
    value=st.dictionaries(WORDS, JSON, max_size=4),
    size=st.integers(1, 9),
    before=st.sampled_from(["", "Sure, {name}: ", "As [1] says:\n```json\n"]),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_every_piece(value: dict[str, Any], size: int, before: str, ascii_only: bool, indent: int | None) -> None:
    """However it is cut, what there is only grows, and at the end it is what json.loads gives."""
    text = before + json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    reader, last = PartialJson(), None
    for at in range(0, len(text), size):
        reader.feed(text[at : at + size])
        now = plain(reader.so_far())
        assert last is None or _is_beginning(last, now)
        last = now
    assert last == value
    reader.feed(" That is all. {}")
    assert plain(reader.so_far()) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("nothing", None),
        ("{", None),
        ('{"', {}),
        ('{"a', {}),
        ('{"a": ', {}),
        ('{"a": "', {"a": ""}),
        ('{"a": 1', {}),
        ('{"a": 12,', {"a": 12}),
        ('{"a": tru', {}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\u00', {"a": "x"}),
        ('{"a": "\\ud83d', {"a": ""}),
        ('{"a": "\\ud83d\\ude00', {"a": "😀"}),
        ('{"a": [{"b": 1}, {', {"a": [{"b": 1}, {}]}),
        ('{"a": 1, /* two } */ "b": 2, // three }\n # four }\n "c": 3,}', {"a": 1, "b": 2, "c": 3}),
        ('{"a": [1, 2,], "b": 3}', {"a": [1, 2], "b": 3}),
    ],
)
def test_beginnings(text: str, found: Any) -> None:
    """Strings grow, numbers and words come when they are complete, comments are passed over."""
    for size in (1, 3, 100):
        assert plain(_read(text, size=size).so_far()) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"value": [1, 2', [1]),
        ('{"value": "x', "x"),
        ('{"val', None),
        ("[1, 2", [1]),
        ('{"other": 1}', {"other": 1}),
        ("It is [true] or so: [[1]", [[1]]),
    ],
)
def test_wrapped(text: str, found: Any) -> None:
    """Of what was asked for as ``{"value": ...}`` the value is given, or what came instead."""
    assert plain(_read(text, wrapped=True).so_far()) == found


@pytest.mark.parametrize(
    "text", ['{"a": 1]', '{"a" "b"', '{"a": "b" "c"', '{"a": }', "{'a': 1}", '{"a": "\\x00000", "b": 1}', '{"a": /b/}']
)
def test_what_is_no_json(text: str) -> None:
    """Nothing is made up after a mistake."""
    reader = _read(text)
    before = plain(reader.so_far())
    assert not reader.feed(' "z": 1, "zz": [1]}')
    assert plain(reader.so_far()) == before


def test_bounds() -> None:
    """What is too deep, and numbers that do not end, are followed no further."""
    assert _read('{"a":' * (DEEPEST + 10))._lost
    assert len(_read('{"a": ' + "1" * 5000)._rest) < 500
    assert len(_read("{" + " " * 5000)._rest) < 500


def _steps(text: str) -> int:
    """Lines of Python that run while every piece is read and looked at."""
    count = 0

    def tell(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        return tell

    reader = PartialJson()
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]  # a token has about four characters
    sys.settrace(tell)
    try:
        for piece in pieces:
            if reader.feed(piece):
                partial = reader.so_far()
                _ = partial.title, partial.items and partial.items[-1], len(partial)
    finally:
        sys.settrace(None)
    return count


def _answer(tokens: int, kind: str) -> str:
    if kind == "one long text":
        return json.dumps({"title": "x" * 4 * tokens})
    if kind == "many objects":
        return json.dumps({"title": "t", "items": [{"name": f"city {n}", "n": n} for n in range(tokens // 7)]})
    if kind == "many numbers":
        return json.dumps({"items": list(range(tokens))})
    return json.dumps({"title": "a\\\n" * tokens})


@pytest.mark.parametrize("kind", ["one long text", "many objects", "many numbers", "many escapes"])
def test_steps_are_linear(kind: str) -> None:
    """Partial objects of 2 000 tokens, looked at with every token, take twice the steps of those of 1 000."""
    assert _steps(_answer(2000, kind)) <= 2.1 * _steps(_answer(1000, kind))
