"""Rules: what a rule says of a bad value, and what it shows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Problems

SECRET = "my secret diary"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", 2.1, "must be a number from 0 to 2, not 2.1"),
        ("max_tokens", 0, "must be an integer of at least 1, not 0"),
        ("top_logprobs", 21, "must be an integer from 0 to 20, not 21"),
        ("n", True, "must be an integer of at least 1, not True"),
        ("reasoning_effort", "hard", "'xhigh', 'max', not 'hard'"),
        ("tool_choice", "any\x1b[2J", r"not 'any\\x1b[2J'"),
        ("response_format", {"type": "xml"}, "type must be one of 'text', 'json_object', 'json_schema', not 'xml'"),
        ("stop", [], "1 to 16 of them, not list of 0 items"),
        ("user", b"me", "must be a string, not bytes of 2 items"),
        ("thinking", object(), "must be an object, not object"),
        ("temperature", SECRET, "not str of 15 characters"),
    ],
)
def test_what_the_error_shows(problems: Problems, name: str, value: Any, words: str) -> None:
    """Numbers and enum words are shown, other text only by type and length."""
    assert words in problems("hi", **{name: value})[name]


def test_an_absurd_number_is_reported(problems: Problems) -> None:
    """An integer too long to be shown is a bad field as any other."""
    assert ["temperature"] == list(problems("hi", temperature=10**5000))
