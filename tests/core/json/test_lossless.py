"""JSON objects to answers: the usual hook and the general one are one and the same to the eye."""

from __future__ import annotations

from typing import Any

import attrs
import cattrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.json import lossless
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Model, Trace, Usage
from anyfast_async.messages import AssistantMessage, FunctionCall, ToolCall

KINDS: list[type[Any]] = [
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Usage,
    Model,
    AssistantMessage,
    ToolCall,
    FunctionCall,
]
VALUES: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.none()
        | st.sampled_from(["a", "", 1, 0, True, 1.5, [], {}])
        | st.lists(OBJECTS, max_size=2)
        | OBJECTS
        | st.lists(st.integers(), max_size=2)
    )
)
NAMES = st.sampled_from(sorted({a.name for kind in KINDS for a in attrs.fields(kind)} | {"x"}))
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(NAMES, VALUES, max_size=6)


def general(value: dict[str, Any], kind: type[Any]) -> Any:
    """Return what the general hook makes of *value*, with the general one for what is in it."""
    converter = cattrs.Converter()

    def hook(inner: type[Any]) -> lossless.Hook:
        return lossless._general_hook(inner, lossless._fields(inner, converter, _same), _same)

    converter.register_structure_hook_factory(lossless._is_lossless, hook)
    return converter.get_structure_hook(kind)(value, kind)


def _same(value: Any) -> Any:
    return value


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@settings(max_examples=30, deadline=None)
@given(value=OBJECTS)
def test_usual_is_general(kind: type[Any], value: dict[str, Any]) -> None:
    """Whatever an object holds, it becomes the same answer by either hook, of the same class, field by field."""
    found, wanted = lossless.structure(value, kind), general(value, kind)
    assert wanted == found
    assert (type(wanted), wanted.blank, repr(wanted)) == (type(found), found.blank, repr(found))


def test_what_is_made_is_frozen() -> None:
    """An answer is of the class itself, cannot be changed, and equals one that was made by hand, hash aside."""
    found = lossless.structure({"id": "m", "x": 1}, Model)
    assert (Model, Model(id="m", extra={"x": 1})) == (type(found), found)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found.id = "n"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del found.id


def test_fields_beside_the_wire_have_their_defaults() -> None:
    """What is no part of the JSON is as if the answer had been made by hand, also where it depends on the rest."""
    bare, used = lossless.structure({}, ChatCompletion), lossless.structure({"usage": {"x": 1}}, ChatCompletion)
    assert (None, "gateway") == (bare.usage_source, used.usage_source)
    assert (None, {}, None) == (bare.request_id, bare.headers, bare.trace)
    assert bare.headers is not used.headers


def test_rounded_numbers_are_told() -> None:
    """A float that may stand for a larger integer is refused by the exact way, wherever it is kept as it came."""
    values: list[dict[str, Any]] = [{"x": 1e30}, {"x": [{"y": 1e30}]}, {"created": 1e30}]
    for value in (*values, {"choices": [{"logprobs": {"y": 1e30}}]}):
        with pytest.raises(lossless.RoundedError):
            lossless.structure_exactly(value, ChatCompletion)
    assert 1.5 == lossless.structure_exactly({"x": 1.5}, ChatCompletion).extra["x"]


def test_filled() -> None:
    """What was just made gets its last fields, as ``attrs.evolve`` would give them to a copy."""
    made = lossless.structure({"id": "c", "choices": [{}], "x": 1}, ChatCompletion)
    wanted = attrs.evolve(made, id="d", trace=Trace(total=1.0))
    assert lossless.filled(made, id="d", trace=wanted.trace) is made
    assert made == wanted


def test_with_text() -> None:
    """A chunk with another text shares nothing that could be changed with the one that it was made of."""
    value = {"id": "c", "x": 1, "usage": None, "choices": [{"index": 0, "y": 2, "delta": {"content": "a"}}]}
    first = lossless.structure(value, ChatCompletionChunk)
    texted = lossless.texter(first)
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


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}, (9, 5, 14)),
        ({"prompt_tokens": 9.0, "completion_tokens": 5.0, "total_tokens": 14.0}, (9, 5, 14)),
        ({"prompt_tokens": "9", "completion_tokens": "5", "total_tokens": "14"}, (9, 5, 14)),
        ({"prompt_tokens": 9.5, "completion_tokens": "five", "total_tokens": "-1"}, (None, None, None)),
        ({"prompt_tokens": True, "completion_tokens": "\u0665", "total_tokens": 1e300}, (None, None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, 0, 0)),
        ({"prompt_tokens_details": {"cached_tokens": 3.0}}, (None, None, None)),
    ],
)
def test_numbers_of_a_usage(usage: dict[str, Any], read: tuple[Any, ...]) -> None:
    """RFC 8259 6: 9.0 is the number 9; digits are read too; what is no whole number stays unknown. Nothing is lost."""
    completion = lossless.structure({"usage": usage}, ChatCompletion)
    found = completion.usage
    assert found is not None
    assert read == (found.prompt_tokens, found.completion_tokens, found.total_tokens)
    assert any(read) == found.known
    assert {"usage": usage} == lossless.as_dict(completion)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}])
def test_a_usage_without_numbers_is_none(usage: dict[str, Any]) -> None:
    """A usage that says nothing is unknown, not a usage of nothing; it goes back out all the same."""
    completion = lossless.structure({"usage": usage}, ChatCompletion)
    assert (None, None) == (completion.usage, completion.usage_source)
    assert {"usage": usage} == lossless.as_dict(completion)


def test_an_id_that_is_a_number_can_be_answered() -> None:
    """The id of a tool call that is a number is read as text, and goes back out as the number."""
    call = {"id": 7, "function": {"name": "f", "arguments": "{}"}}
    message = lossless.structure({"tool_calls": [call]}, AssistantMessage)
    assert ("7", {"tool_calls": [call]}) == ((message.tool_calls or ())[0].id, lossless.as_dict(message))
