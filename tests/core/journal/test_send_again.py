"""Which rows are sent again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from anyfast_async import ConfigurationError
from anyfast_async._core.journal.send_again import SendAgain


@pytest.mark.parametrize(
    ("words", "kinds", "outcomes", "named"),
    [
        ("all", {"server", "validation"}, set(), False),
        ("none", set(), set(), False),
        ("server", {"server"}, set(), True),
        ("server,timeout", {"server", "timeout"}, set(), True),
        ("empty", set(), {"empty"}, True),
        ("length", set(), {"cut"}, True),
        ("content_filter, cut", set(), {"filtered", "cut"}, True),
        ("all,cut", {"server", "rate_limit"}, {"cut"}, True),
        (["refused", "server"], {"server"}, {"refused"}, True),
    ],
)
def test_words(words: str | Iterable[str], kinds: set[str], outcomes: set[str], *, named: bool) -> None:
    """Kinds of errors, outcomes of answers and the words of the wire are understood, alone and together."""
    again = SendAgain.of(words)

    assert all(again.failed(kind) for kind in kinds)
    assert again.every_failure or not again.failed("queue_full")
    assert outcomes == {word for word in ("ok", "cut", "empty", "filtered", "refused") if again.answered(word)}
    assert named == again.is_named


@pytest.mark.parametrize("words", ["", "bad", "none,cut", "ok", "failed", "cut,nope", []])
def test_other_words(words: str | list[str]) -> None:
    """What is no such word is refused, with the ones that there are and the name of the argument."""
    with pytest.raises(ConfigurationError, match=r"retry= must be .*empty, cut, filtered, refused.*server"):
        SendAgain.of(words, name="retry=")
