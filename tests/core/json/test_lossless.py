"""JSON objects to answers: the function of a shape and the general hook are one and the same to the eye."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import attrs
import cattrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.json import lossless
from anyfast_async._core.json import shapes as written
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Choice, ChunkChoice, Model, Trace, Usage
from anyfast_async.messages import AssistantMessage, FunctionCall, ToolCall

from ..reading import third

T = TypeVar("T")
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
        | st.sampled_from(["a", "", 1, 0, True, 1.5, 1e30, [], {}])
        | st.lists(OBJECTS, max_size=2)
        | OBJECTS
        | st.lists(st.integers(), max_size=2)
    )
)
NAMES = st.sampled_from(sorted({a.name for kind in KINDS for a in attrs.fields(kind)} | {"x", "y", '"]\n\ud800'}))
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(NAMES, VALUES, max_size=6)


def _same(value: Any) -> Any:
    return value


def _fitting() -> dict[str, st.SearchStrategy[Any]]:
    """Return values of the types that fields have, by name; null is one of them."""
    of_type = {str: st.just("a"), int: st.just(1), dict: OBJECTS, list: st.lists(OBJECTS, max_size=2)}
    fields = [f for kind in KINDS for f in lossless._fields(kind, lossless._make_converter(_same), _same)]
    return {field.name: of_type[field.types[0]] | st.none() for field in fields}


FITTING = _fitting()


@st.composite
def alike(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return objects with the same keys in any order, most of whose values have the types of the fields."""
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    of_name = {name: FITTING[name] | FITTING[name] | VALUES if name in FITTING else VALUES for name in names}
    orders = draw(st.lists(st.permutations(names), min_size=1, max_size=3))
    return [draw(st.fixed_dictionaries({name: of_name[name] for name in order})) for order in orders]


@functools.cache
def general(kind: Any, keep: written.Keep) -> written.Hook:
    """Return the general hook, with the general one for what is in an object."""
    converter = cattrs.Converter()

    def hook(inner: type[Any]) -> written.Hook:
        return lossless._general_hook(inner, lossless._fields(inner, converter, keep), keep)

    converter.register_structure_hook_factory(lossless._is_lossless, hook)
    made: written.Hook = converter.get_structure_hook(kind)
    return made


def told(answer: Any) -> str:
    """Return all that an answer holds, the order of what it does not know, and the classes."""
    if not attrs.has(type(answer)):
        return f"({', '.join(map(told, answer))})" if type(answer) is tuple else repr(answer)
    fields = {a.name: getattr(answer, a.name) for a in attrs.fields(type(answer))}
    return f"{type(answer)} {sorted(fields.pop('blank').items())!r} {[(n, told(v)) for n, v in fields.items()]}"


def told_or_rounded(hook: written.Hook, value: dict[str, Any]) -> str:
    """Return what the answer of *hook* holds, or that a number may have been rounded."""
    try:
        return told(hook(value))
    except lossless.RoundedError:
        return "rounded"


@pytest.mark.parametrize("keep", [_same, lossless._exact], ids=["as it is", "exact"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@settings(max_examples=25, deadline=None)
@given(values=alike(), others=alike())
def test_shapes_are_general(
    kind: type[Any], keep: written.Keep, values: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    """Whatever objects hold, and whatever shapes came before, each becomes what the general hook makes of it."""
    hook: written.Hook = lossless._make_converter(keep).get_structure_hook(kind)
    for value in [*values, *others] * 3:
        before = repr(value)
        wanted = told_or_rounded(general(kind, keep), value)  # type: ignore[arg-type]  # classes have a hash
        assert wanted == told_or_rounded(hook, value)
        assert before == repr(value)
        if wanted != "rounded":
            assert value == lossless.as_dict(hook(value))


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
    completion = third({"usage": usage}, ChatCompletion)
    found = completion.usage
    assert found is not None
    assert read == (found.prompt_tokens, found.completion_tokens, found.total_tokens)
    assert any(read) == found.known
    assert {"usage": usage} == lossless.as_dict(completion)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}])
def test_a_usage_without_numbers_is_none(usage: dict[str, Any]) -> None:
    """A usage that says nothing is unknown, not a usage of nothing; it goes back out all the same."""
    completion = third({"usage": usage}, ChatCompletion)
    assert (None, None) == (completion.usage, completion.usage_source)
    assert {"usage": usage} == lossless.as_dict(completion)


def test_an_id_that_is_a_number_can_be_answered() -> None:
    """The id of a tool call that is a number is read as text, and goes back out as the number."""
    call = {"id": 7, "function": {"name": "f", "arguments": "{}"}}
    message = third({"tool_calls": [call]}, AssistantMessage)
    assert ("7", {"tool_calls": [call]}) == ((message.tool_calls or ())[0].id, lossless.as_dict(message))
