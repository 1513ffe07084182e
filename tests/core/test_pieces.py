"""What comes in pieces: texts cut inside of a character, calls in fragments, unknown fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.pieces import Call, Text, merge


@pytest.mark.parametrize(
    ("pieces", "shown", "whole"),
    [
        (["a", "", "b"], ["a", "", "b"], "ab"),
        (["é", "日本"], ["é", "日本"], "é日本"),
        (["a\ud83d", "\ude00b"], ["a", "\U0001f600b"], "a\U0001f600b"),
        (["\ud83d", "\ud83d", "x"], ["", "\ufffd", "\ufffdx"], "\ufffd\ufffdx"),
        (["a\ude00"], ["a\ufffd"], "a\ufffd"),
        (["a", "\ud83d"], ["a", ""], "a\ufffd"),
    ],
)
def test_text(pieces: list[str], shown: list[str], whole: str) -> None:
    """A pair of surrogates that was cut is joined in the piece that completes it; what stays half is replaced."""
    text = Text()
    assert shown == [text.add(piece) for piece in pieces]
    assert whole == str(text)


@given(st.lists(st.text()))
def test_whole_texts_are_shown_as_they_are(pieces: list[str]) -> None:
    """Where no character was cut, each piece is shown as it came."""
    text = Text()
    assert pieces == [text.add(piece) for piece in pieces]
    assert "".join(pieces) == str(text)


def test_call() -> None:
    """Id and name of the first fragment, arguments of all of them; an object for arguments becomes text."""
    call = Call(0)
    call.add({"id": "a", "function": {"name": "f", "arguments": '{"x"'}, "extra_content": {"y": 1}})
    assert not call.whole
    call.add({"id": "b", "function": {"name": "f", "arguments": ":1}"}, "extra_content": {"z": 2}})
    assert call.whole
    wanted = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    assert wanted | {"extra_content": {"y": 1, "z": 2}} == call.as_dict()
    other = Call(None)
    other.add({"function": {"arguments": {"x": 1}}})
    assert '{"x":1}' == other.as_dict()["function"]["arguments"]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": None, "b": None}, {"a": 1, "b": None}),
        ({"a": [1]}, {"a": [2]}, {"a": [1, 2]}),
        ({"a": {"b": 1}}, {"a": {"c": {"d": 2}}}, {"a": {"b": 1, "c": {"d": 2}}}),
        ({"a": "x", "t": "x"}, {"a": "y", "t": "y"}, {"a": "y", "t": "xy"}),
    ],
)
def test_merge(old: dict[str, Any], new: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Objects merge, lists grow, null says nothing, texts under a given name are joined, the last of all else wins."""
    merge(old, new, joined=frozenset({"t"}))
    assert wanted == old
