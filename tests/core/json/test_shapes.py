"""The functions that are written for shapes: when they are, how many, and what they make."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
import pytest

from anyfast_async._core.json import lossless
from anyfast_async._core.json import shapes as written
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Model

from ..reading import third

T = TypeVar("T")


def _same(value: Any) -> Any:
    return value


def test_a_shape_is_written_for_when_it_comes_again() -> None:
    """The first object of a shape says nothing about the next; the second does, and its keys may be any text."""
    shapes: Any = lossless._make_converter(_same).get_structure_hook(Model)
    value = {"id": "m", '"]\nraise SystemExit #': 1, "key0": 2}
    assert Model(id="m", extra={'"]\nraise SystemExit #': 1, "key0": 2}) == shapes(value)
    assert {} == shapes._hooks
    assert shapes(value) == shapes(value)
    assert [tuple(value)] == list(shapes._hooks)
    assert shapes.latest == list(shapes._hooks.values())


def test_shapes_are_bounded() -> None:
    """A gateway that sends ever new keys, or large ones, fills no memory, and its answers are whole all the same."""
    shapes: Any = lossless._make_converter(_same).get_structure_hook(Model)
    wide = {str(number): number for number in range(1000)}
    for value in (wide, {"x" * 100_000: 1}, *({f"x{number}": 1} for number in range(300))):
        assert all(Model(extra=value) == shapes(value) for _ in range(3))
    assert written.SHAPES == len(shapes._hooks)
    for number in range(300):
        shapes({f"y{number}": 1})
    assert len(shapes._seen) <= written.SHAPES
    assert all(sum(map(len, shape)) < 10 for shape in shapes._hooks)


def test_what_is_made_is_frozen() -> None:
    """An answer is of the class itself, cannot be changed, and equals one that was made by hand, hash aside."""
    found = third({"id": "m", "x": 1}, Model)
    assert (Model, Model(id="m", extra={"x": 1})) == (type(found), found)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found.id = "n"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del found.id


def test_fields_beside_the_wire_have_their_defaults() -> None:
    """What is no part of the JSON is as if the answer had been made by hand, also where it depends on the rest."""
    bare, used = third({}, ChatCompletion), third({"usage": {"x": 1}}, ChatCompletion)
    assert (None, "gateway") == (bare.usage_source, used.usage_source)
    assert (None, {}, None) == (bare.request_id, bare.headers, bare.trace)
    assert bare.headers is not used.headers


def test_with_text() -> None:
    """A chunk with another text shares nothing that could be changed with the one that it was made of."""
    value = {"id": "c", "x": 1, "usage": None, "choices": [{"index": 0, "y": 2, "delta": {"content": "a"}}]}
    first = lossless.structure(value, ChatCompletionChunk)
    texted = written.texter(first)
    second, third = texted("b"), texted("b")
    value["choices"] = [{"index": 0, "y": 2, "delta": {"content": "b"}}]
    assert value == lossless.as_dict(second)
    assert lossless.structure(value, ChatCompletionChunk) == second
    assert ("a", "b") == (first.text, second.text)
    assert first.extra is not second.extra
    assert first.choices[0].extra is not second.choices[0].extra
    parts = [(one, one.choices[0], one.choices[0].delta) for one in (second, third)]
    assert second == third
    assert all(a is not b and a.extra is not b.extra and a.blank is not b.blank for a, b in zip(*parts, strict=True))
