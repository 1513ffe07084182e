"""``completion.parse`` of answers that are nested deep."""

from __future__ import annotations

import attrs
import pytest

from anyfast_async import AssistantMessage, ChatCompletion, Choice, OutputError


@attrs.frozen
class Node:
    """A class that holds itself."""

    child: Node | None = None


def answer(depth: int) -> ChatCompletion:
    """Return a completion whose text nests so many objects."""
    text = '{"child":' * depth + "null" + "}" * depth
    return ChatCompletion(choices=(Choice(index=0, message=AssistantMessage(content=text), finish_reason="stop"),))


def test_deep_enough() -> None:
    """Fifty levels are read."""
    node: Node | None = answer(50).parse(Node)
    depth = 0
    while node is not None:
        node, depth = node.child, depth + 1
    assert 50 == depth


@pytest.mark.parametrize("depth", [900, 100_000])
def test_too_deep(depth: int) -> None:
    """More levels than Python's stack has are an ``OutputError`` that holds the completion, no ``RecursionError``."""
    deep = answer(depth)
    with pytest.raises(OutputError) as failed:
        deep.parse(Node)
    assert failed.value.completion is deep
