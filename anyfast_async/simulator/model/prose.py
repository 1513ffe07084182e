"""Plausible prose about a prompt, and the pieces ("tokens") that a model would generate it in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

__all__ = ["count", "prose", "quote", "sentence", "split", "thoughts", "topic"]

_LOOKED_AT = 2000  # of a long prompt, its beginning is enough to be quoted
_LONG = 5  # letters; shorter words are mostly grammar
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
# A token here: up to twelve letters with the space before them. Space at the end is its own.
_PIECE = re.compile(r"\s*\S{1,12}|\s+")

_OPENERS = (
    'You asked about "{}".',
    'Here is what can be said about "{}".',
    'A short answer to "{}":',
    'On "{}", three points matter.',
)
_THOUGHTS = (
    'The user asks about "{}".',
    'First, what does "{}" mean here?',
    'Let me think about "{}" step by step.',
)
_SUBJECTS = (
    "The first thing to know", "Another point", "The usual approach", "A careful reading",
    "The evidence so far", "The common mistake", "A simple example", "The short version", "Most of the work",
    "The better question",
)  # fmt: skip
_VERBS = ("suggests", "shows", "depends on", "comes down to", "leaves room for", "starts with", "points to")
_OBJECTS = (
    "a clear goal", "small steps", "the details", "good measurements", "patience and practice",
    "the order of things", "what happens next", "a second opinion", "the limits of the method", "plain facts",
    "a question of scale", "careful planning",
)  # fmt: skip


def split(text: str) -> list[str]:
    """Cut a text into tokens; joined they are the text again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(split(text))


def quote(text: str) -> str:
    """The first few words of a text, at most 48 characters."""
    return " ".join(_WORD.findall(text[:_LOOKED_AT])[:6])[:48] or "this"


def topic(text: str) -> list[str]:
    """Words that a text is about: names (capitalised, not at its beginning), else its longer words."""
    words = _WORD.findall(text[:_LOOKED_AT])
    names = [word for word in words[1:] if word[0].isupper()]
    return names or [word for word in words if len(word) >= _LONG] or words or ["example"]


def sentence(random: Random) -> str:
    """One sentence of no great meaning."""
    return f"{random.choice(_SUBJECTS)} {random.choice(_VERBS)} {random.choice(_OBJECTS)}."


def prose(about: str, random: Random, tokens: int) -> str:
    """Sentences about a text, ``tokens`` tokens or a little more."""
    return _written(random.choice(_OPENERS).format(quote(about)), random, tokens)


def thoughts(about: str, random: Random, tokens: int) -> str:
    """The same in the voice of a model that thinks aloud."""
    return _written(random.choice(_THOUGHTS).format(quote(about)), random, tokens)


def _written(opening: str, random: Random, tokens: int) -> str:
    sentences, have = [opening], count(opening)
    while have < tokens:
        sentences.append(sentence(random))
        have += count(sentences[-1])
    return " ".join(sentences)
