"""What comes in pieces: texts cut inside of a character, calls in fragments, unknown fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.stream.fragments import Text, merge, merge_usage


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


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": None, "b": None}, {"a": 1, "b": None}),
        ({"a": [1]}, {"a": [2]}, {"a": [1, 2]}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": {"b": 1}}, {"a": {"c": {"d": 2}}}, {"a": {"b": 1, "c": {"d": 2}}}),
        ({"a": "x"}, {"a": "y"}, {"a": "y"}),
    ],
)
def test_merge(old: dict[str, Any], new: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Objects merge, lists grow or come whole again, null says nothing, the last of anything else wins."""
    merge(old, new)
    assert wanted == old


@pytest.mark.parametrize(
    ("name", "pieces", "whole"),
    [
        ("thought", ["a", "b", "b"], "abb"),
        ("id", ["a", "b"], "b"),
        ("reasoning_format", ["a", "a"], "a"),
        ("thought_signature", ["QUJD", "REVG"], "QUJDREVG"),
        ("thought_signature", ["QUJD", "QUJD"], "QUJD"),
        ("signature", ["QU", "QUJD"], "QUJD"),
        ("x", ["\ud83d", "\ude00"], "\U0001f600"),
        ("x", [["a"], ["a"]], ["a", "a"]),
        ("x", [{"y": "a"}, {"y": "b"}], {"y": "ab"}),
        (
            "images",
            [[{"index": 0, "u": "a"}], [{"index": 0, "u": "b"}]],
            [{"index": 0, "u": "a"}, {"index": 0, "u": "b"}],
        ),
        ("images", [[{"index": 0, "u": "a"}], [{"index": 0, "u": "a"}]], [{"index": 0, "u": "a"}]),
    ],
)
def test_merge_of_what_streams(name: str, pieces: list[Any], whole: Any) -> None:
    """Texts are joined, what only says what something is comes whole, a signature comes in pieces or again."""
    found: dict[str, Any] = {}
    for piece in pieces:
        merge(found, {name: piece}, streamed=True)
    assert {name: whole} == found


TEXT = {"type": "reasoning.text", "index": 0, "format": "own-v1"}
THINKING = {"type": "thinking"}
SECRET = {"type": "redacted_thinking"}


@pytest.mark.parametrize(
    ("name", "pieces", "blocks"),
    [
        ("reasoning_details", [TEXT | {"text": "a"}, TEXT | {"text": "b"}], [TEXT | {"text": "ab"}]),
        (
            "reasoning_details",
            [TEXT | {"text": "a"}, TEXT | {"signature": "s"}],
            [TEXT | {"text": "a", "signature": "s"}],
        ),
        ("reasoning_details", [TEXT | {"text": "a"}, {"index": 0, "text": "b"}], [TEXT | {"text": "ab"}]),
        (
            "reasoning_details",
            [TEXT | {"text": "a"}, TEXT | {"index": 1, "text": "b"}, TEXT | {"text": "c"}],
            [TEXT | {"text": "ac"}, TEXT | {"index": 1, "text": "b"}],
        ),
        (
            "reasoning_details",
            [TEXT | {"text": "a"}, TEXT | {"type": "reasoning.encrypted", "data": "x"}],
            [TEXT | {"text": "a"}, TEXT | {"type": "reasoning.encrypted", "data": "x"}],
        ),
        (
            "thinking_blocks",
            [THINKING | {"thinking": "a"}, THINKING | {"thinking": "b"}],
            [THINKING | {"thinking": "ab"}],
        ),
        (
            "thinking_blocks",
            [THINKING | {"thinking": "a"}, THINKING | {"signature": "s"}, THINKING | {"thinking": "b"}],
            [THINKING | {"thinking": "a", "signature": "s"}, THINKING | {"thinking": "b"}],
        ),
        (
            "thinking_blocks",
            [SECRET | {"data": "a"}, SECRET | {"data": "b"}],
            [SECRET | {"data": "a"}, SECRET | {"data": "b"}],
        ),
        ("thinking_blocks", [THINKING | {"thinking": "a"}, {"type": "text", "thinking": "b"}], None),
        (
            "annotations",
            [{"type": "url_citation", "url": "a"}, {"type": "url_citation", "url": "b"}],
            [{"type": "url_citation", "url": "a"}, {"type": "url_citation", "url": "b"}],
        ),
        (
            "reasoning_details",
            [{"index": 0, "text": "a"}, TEXT | {"text": "b"}],
            [TEXT | {"text": "ab"}],
        ),
        ("reasoning_details", [TEXT | {"type": "reasoning.encrypted", "data": "x"}, {"index": 0, "data": "y"}], None),
        ("x", [{"index": 0, "id": "a", "t": "1"}, {"index": 0, "id": "b", "t": "2"}], None),
        ("x", [{"t": "1"}, {"t": "2"}], None),
        ("x", [1, {"index": 0}, "y"], None),
    ],
)
def test_blocks_in_pieces(name: str, pieces: list[Any], blocks: list[Any] | None) -> None:
    """Pieces of one block are put together: by index and type, thoughts without an index until they are signed."""
    found: dict[str, Any] = {}
    for piece in pieces:
        merge(found, {name: [piece]}, streamed=True)
    assert {name: blocks or pieces} == found


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ([{"total_tokens": 1}, {"total_tokens": 2}], {"total_tokens": 2}),
        ([{"total_tokens": 14}, {}], {"total_tokens": 14}),
        ([{"total_tokens": 14}, {"total_tokens": 0}], {"total_tokens": 14}),
        ([{"total_tokens": "14"}, {"total_tokens": "0"}], {"total_tokens": "14"}),
        ([{"total_tokens": 14}, {"total_tokens": None}], {"total_tokens": 14}),
        ([{"total_tokens": None}, {"total_tokens": 14}], {"total_tokens": 14}),
        ([{"prompt_tokens": 9}, {"completion_tokens": 5}], {"prompt_tokens": 9, "completion_tokens": 5}),
        ([{"d": {"x": 3}}, {"d": {"x": 0, "y": 1}}, {"d": None}], {"d": {"x": 3, "y": 1}}),
        ([{"total_tokens": 0}], {"total_tokens": 0}),
    ],
)
def test_merge_usage(told: list[dict[str, Any]], wanted: dict[str, Any]) -> None:
    """Running totals: the last number counts, and nothing never replaces a number."""
    found: dict[str, Any] = {}
    for usage in told:
        merge_usage(found, usage)
    assert wanted == found


@given(st.text(max_size=6), st.text(max_size=9))
def test_news(so_far: str, whole: str) -> None:
    """What a whole text has more than what streamed; None if it is another text."""
    text = Text()
    text.add(so_far)
    news = text.news(whole)
    assert whole == so_far + news if news else (news == "") == so_far.startswith(whole)


def test_the_end_of_half_a_character() -> None:
    """Half a character waits; at the end it is shown as what stands for it, once."""
    text = Text()
    text.add("a\ud83d")
    assert (True, "\ufffd", False, "") == (text.waits, text.end(), text.waits, text.end())
    assert "a\ufffd" == str(text) == text.said
