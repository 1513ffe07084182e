"""Where upstreams put what a model thought."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async._core.json import codec
from anyfast_async._values.reasoning import is_thought, said_in, thought_in, thoughts_of
from anyfast_async.completions import ChatCompletion


@pytest.mark.parametrize(
    ("message", "thoughts"),
    [
        ({"reasoning_content": "a", "thinking": "b"}, "a"),
        ({"reasoning": "b", "reasoning_details": [{"type": "reasoning.text", "text": "b"}]}, "b"),
        ({"thinking": "c"}, "c"),
        ({"reasoning_text": "d"}, "d"),
        ({"thought": "e"}, "e"),
        (
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "f"},
                    {"type": "reasoning.summary", "summary": "g"},
                ]
            },
            "fg",
        ),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, ""),
        ({"thinking_blocks": [{"type": "thinking", "thinking": "h", "signature": "s"}]}, "h"),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "i"}]},
                    {"type": "text", "text": "x"},
                ]
            },
            "i",
        ),
        ({"reasoning": {"content": "j"}}, "j"),
        ({"thought_signature": "x", "reasoning_effort": "low", "reasoning_id": "y", "reasoning": 5}, ""),
        ({"content": "x", "other": "y"}, ""),
    ],
)
def test_thoughts_of(message: dict[str, Any], thoughts: str) -> None:
    """The text of thoughts is found under each of their names, in blocks and in parts of the content."""
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    assert thoughts == thoughts_of(codec.structure({"choices": choices}, ChatCompletion).message)


def test_names() -> None:
    """A name tells thoughts from what only belongs to them."""
    assert [True, True, False, False] == list(
        map(is_thought, ("Thinking", "reasoning.text", "thought_signature", "text"))
    )


def test_thought_in_a_part() -> None:
    """A part of another type is no thought, an empty one is an empty thought."""
    assert [None, None, "", "a"] == [
        thought_in(part)
        for part in (5, {"type": "text", "text": "a"}, {"type": "thinking"}, {"type": "thinking", "thinking": "a"})
    ]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("a", "a"),
        ({"type": "text", "text": "a"}, "a"),
        ({"text": "a"}, "a"),
        ({"type": "output_text", "text": "a"}, "a"),
        ({"type": "reasoning", "text": "a"}, None),
        ({"type": "thinking", "thinking": "a", "text": "b"}, None),
        ({"type": "image_url", "image_url": {}}, None),
        ({"type": "text", "text": 5}, None),
        (5, None),
    ],
)
def test_said_in_a_part(part: Any, text: str | None) -> None:
    """The text of a part belongs to the answer unless it is a thought."""
    assert text == said_in(part)
