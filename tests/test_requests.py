"""What is asked: every field with its range, one check for all of them, and the one way in."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import requests
from anyfast_async.errors import RequestValidationError
from anyfast_async.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from anyfast_async.requests import (
    WIRE_FIELDS,
    CallOptions,
    ChatOptions,
    ChatRequest,
    ReasoningEffort,
    RequestFields,
    as_request,
    request_from_body,
)

if TYPE_CHECKING:
    from conftest import Problems

SECRET = "my secret diary"


# -- fields ----------------------------------------------------------------------------------------------------------

GOOD: dict[str, list[Any]] = {
    "model": ["m", "gemini-2.5-pro", " x "],
    "max_tokens": [1, 10**12],
    "max_completion_tokens": [1, 10**12],
    "temperature": [0, 0.0, 1, 2, 2.0],
    "top_p": [0, 0.5, 1, 1.0],
    "frequency_penalty": [-2, 0, 2.0],
    "presence_penalty": [-2.0, 0, 2],
    "stop": ["a", ["a"], ("a", "b"), ["a"] * 16],
    "n": [1, 128],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {}},
        MappingProxyType({"type": "text"}),
    ],
    "tools": [[], [{"type": "function"}], ({},)],
    "tool_choice": ["none", "auto", "required", {"type": "function", "function": {"name": "f"}}],
    "parallel_tool_calls": [True, False],
    "reasoning_effort": list(get_args(ReasoningEffort)),
    "thinking": [{"type": "enabled"}, {}],
    "enable_thinking": [True, False],
    "seed": [-(2**63), 0, 2**63 - 1],
    "logprobs": [True, False],
    "top_logprobs": [0, 20],
    "stream_options": [{"include_usage": True}, {}],
    "user": ["me", ""],
    "user_id": ["a", "A-z_0", "a" * 512],
    "extra_body": [{}, {"x": 1}],
}
NAN = float("nan")
BAD: dict[str, list[Any]] = {
    "model": ["", "  ", 5, ["m"]],
    "max_tokens": [0, -1, 1.5, 2.0, True, "5", NAN],
    "max_completion_tokens": [0, 1.0, False],
    "temperature": [-0.0001, 2.0001, NAN, float("inf"), "1", True, [1]],
    "top_p": [-0.1, 1.1, "1", False],
    "frequency_penalty": [-2.1, 2.1, NAN, "0"],
    "presence_penalty": [-2.1, 2.1, float("-inf"), {}],
    "stop": ["", [], ["a", ""], ["a"] * 17, [5], 5, b"a", {"a": 1}],
    "n": [0, -1, 1.0, True, "1"],
    "response_format": ["json_object", {}, {"type": "xml"}, {"type": 5}, [{"type": "text"}]],
    "tools": ["x", [5], {}, 5, [["x"]]],
    "tool_choice": ["any", "", 5, ["auto"]],
    "parallel_tool_calls": [0, 1, "true"],
    "reasoning_effort": ["hard", "", "LOW", 1],
    "thinking": ["enabled", True, []],
    "enable_thinking": [1, "x"],
    "seed": [-(2**63) - 1, 2**63, 1.0, True, "7"],
    "logprobs": [1, "true"],
    "top_logprobs": [-1, 21, 1.0, True],
    "stream_options": [True, []],
    "user": [5, [], b"me"],
    "user_id": ["", "a" * 513, "a b", "a\n", "é", 5],
    "extra_body": ["x", [], 5],
}


def test_every_field_is_tried() -> None:
    """The tables of good and bad values name every field of a request beside the messages."""
    names = sorted(a.name for a in attrs.fields(ChatRequest) if a.name != "messages")
    assert names == sorted(GOOD) == sorted(BAD)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in GOOD.items() for v in values])
def test_good_value(name: str, value: Any) -> None:
    """The lowest, the highest and the usual values of a field are taken as they are."""
    assert value == getattr(as_request("hi", {name: value}), name)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_bad_value(problems: Problems, name: str, value: Any) -> None:
    """A value just outside of the range or of another type is the one error, with its name and what is allowed."""
    found = problems("hi", **{name: value})
    assert [name] == list(found)
    assert "must be" in found[name]


def test_none_is_not_sent() -> None:
    """None means not sent, for every field."""
    assert ChatRequest("hi") == as_request("hi", dict.fromkeys(GOOD))


def test_all_bad_fields_are_reported_at_once(problems: Problems) -> None:
    """Several bad fields, unknown names and bad messages come in one error, one line each, with their paths."""
    wrong: Any = 5
    found = problems(
        [{"role": "user"}, UserMessage([TextPart("x"), wrong])],
        temperature=2.1,
        n=0,
        top_p=-0.1,
        max_tokens=0,
        temprature=1,
    )
    assert [
        "temprature",
        "messages[0].content",
        "messages[1].content[1]",
        "max_tokens",
        "temperature",
        "top_p",
        "n",
    ] == list(found)
    with pytest.raises(RequestValidationError, match=r"^invalid request, 2 problems:\n  n: .*\n  seed: "):
        ChatRequest("hi", n=0, seed="x")  # type: ignore[arg-type]


def test_a_request_validation_error_is_a_value_error() -> None:
    """A program that knows nothing of this package catches it as a ValueError; nothing was sent, nothing billed."""
    with pytest.raises(ValueError, match=r"^invalid request: n: must be an integer of at least 1, not 0$") as found:
        ChatRequest("hi", n=0)
    assert isinstance(found.value, RequestValidationError)
    assert (False, "no", "never") == (found.value.retryable, found.value.billed, found.value.retry_class)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("temprature", "did you mean 'temperature'? Otherwise use extra_body={'temprature': ...}"),
        ("maxtokens", "did you mean 'max_tokens'?"),
        ("toop_p", "did you mean 'top_p'?"),
        ("zzz", "to send a field that is not documented use extra_body={'zzz': ...}"),
        ("stream", "to stream, use client.stream(...)"),
    ],
)
def test_unknown_names(problems: Problems, name: str, words: str) -> None:
    """An unknown option names the nearest one and the way around; stream= points to client.stream."""
    assert words in problems("hi", **{name: 1})[name]
    assert [name] == list(problems("hi", **{name: None})), "None does not make an unknown name known"


def test_an_unknown_name_is_escaped_and_short() -> None:
    """The name of an unknown option comes from a file perhaps: it is shown escaped and cut."""
    with pytest.raises(RequestValidationError) as found:
        as_request("hi", {"\x1b[2J" + "x" * 100: 1})
    (error,) = found.value.errors
    assert (True, True) == (error.path.isprintable(), error.problem.isprintable())
    assert len(error.path) < 100


def test_a_huge_unknown_name_does_not_make_a_huge_error() -> None:
    """A name of 100 000 characters, from a batch line, does not end up in the message."""
    with pytest.raises(RequestValidationError) as found:
        as_request("hi", {"x" * 100_000: 1})
    assert len(str(found.value)) < 1000


def test_nothing_of_a_prompt_shows_in_an_error() -> None:
    """However wrong a request is, its texts do not show in the error."""
    bad: Any = [
        {"role": "user", "content": [{"text": SECRET}, {"type": "image_url", "image_url": SECRET}]},
        {"content": SECRET},
        UserMessage([TextPart(SECRET), ImagePart(SECRET), AudioPart(SECRET, "wav"), FilePart(SECRET, SECRET)]),
        SECRET,
        ToolMessage(SECRET, ""),
    ]
    with pytest.raises(RequestValidationError) as found:
        as_request(
            bad, {"user_id": SECRET, "stop": [SECRET, ""], "thinking": SECRET, "temperature": SECRET, "tools": [SECRET]}
        )
    assert 10 <= len(found.value.errors)
    assert SECRET not in str(found.value) + repr(found.value) + repr(vars(found.value))


# -- the same names everywhere ---------------------------------------------------------------------------------------


def test_request_fields_and_chat_request_are_equal() -> None:
    """The typed keywords and the object have the same names and the same types."""
    known = vars(requests)
    fields = get_type_hints(RequestFields, known)
    request = {n: t for n, t in get_type_hints(ChatRequest, known).items() if n not in ("messages", "extra_body")}
    assert request == fields
    assert tuple(request) == WIRE_FIELDS


def test_chat_options_are_both() -> None:
    """The keywords of a call are the fields of the wire and the options of the call, and no name is in both."""
    wire, call = RequestFields.__annotations__, CallOptions.__annotations__
    assert set(wire) | set(call) == set(ChatOptions.__annotations__)
    assert set() == set(wire) & set(call)


# -- the one way in --------------------------------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=2),
        lambda v: (
            st.lists(v, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "content", "type", "image_url", "url", "messages", "stop", "n", "stream"]), v
            )
        ),
        max_leaves=10,
    )
)
def test_any_body_is_a_request_or_a_validation_error(body: Any) -> None:
    """Whatever stands in a batch line, it is a request or a RequestValidationError with at least one path."""
    try:
        assert request_from_body(body).messages
    except RequestValidationError as error:
        assert all(e.path for e in error.errors)  # noqa: PT017


@given(st.permutations(["seed", "model", "stop", "temperature", "n"]), st.integers(0, 5))
def test_keywords_make_what_the_class_makes(names: list[str], count: int) -> None:
    """A request made of keywords is, field by field and in their order, what ``ChatRequest`` makes of them."""
    values: dict[str, Any] = {"seed": 1, "model": "m", "stop": ".", "temperature": 0.5, "n": 2}
    fields = {name: values[name] for name in names[:count]}
    made, wanted = as_request("hi", fields), ChatRequest("hi", **fields)
    assert (wanted, hash(wanted), list(vars(wanted).items())) == (made, hash(made), list(vars(made).items()))


def test_fields_go_over_a_request() -> None:
    """A ChatRequest is taken as it is, with the keyword arguments over it; None changes nothing."""
    base = ChatRequest("hi", model="a", temperature=1, seed=5)
    assert ChatRequest("hi", model="b", temperature=1, seed=5) == as_request(base, {"model": "b", "seed": None})
    assert base == as_request(base, {})


def test_a_system_message_goes_first() -> None:
    """system= stands before the messages, whatever they are given as."""
    for prompt in ("hi", UserMessage("hi"), [UserMessage("hi")], ChatRequest("hi")):
        assert (SystemMessage("be kind"), UserMessage("hi")) == as_request(prompt, {}, system="be kind").messages
    with pytest.raises(RequestValidationError, match="messages: must not be empty"):
        as_request("", {}, system="be kind")
    with pytest.raises(RequestValidationError, match="messages: must be a string"):
        as_request(5, {}, system="be kind")  # type: ignore[arg-type]
    with pytest.raises(RequestValidationError, match=r"system: must be a string"):
        as_request("hi", {}, system=5)  # type: ignore[arg-type]


def test_paths_count_the_callers_messages() -> None:
    """With system= the path of a bad message is its place in what the caller gave."""
    with pytest.raises(RequestValidationError, match=r"messages\[0\]: "):
        as_request([5], {}, system="be kind")  # type: ignore[list-item]


def test_a_body_is_a_request() -> None:
    """The body of a batch line passes the same check; stream false and nulls are as if absent."""
    body = json.loads(
        '{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false,"n":null,"temperature":1}'
    )
    assert ChatRequest([{"role": "user", "content": "hi"}], model="m", temperature=1) == request_from_body(body)


def test_a_literal_extra_body_stays_one() -> None:
    """The gateway reads a literal extra_body key: in a batch line it is one field of the body."""
    body = {"messages": "hi", "extra_body": {"google": {"thinking_config": {}}}}
    assert {"extra_body": {"google": {"thinking_config": {}}}} == request_from_body(body).extra_body


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (5, "body"),
        ([], "body"),
        ("hi", "body"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi", "stream": True}, "stream"),
        ({"messages": "hi", "temperature": 3}, "temperature"),
        ({"messages": "hi", "logit_byas": {}}, "logit_byas"),
        ({"messages": "hi", "extra_body": [1]}, "extra_body"),
        ({"messages": "hi", "timeout": 5}, "timeout"),
    ],
)
def test_bad_bodies(body: Any, path: str) -> None:
    """What is wrong with the body of a batch line is said with its path."""
    with pytest.raises(RequestValidationError) as found:
        request_from_body(body)
    assert [path] == [e.path for e in found.value.errors]


def test_stream_in_a_body_is_reported_with_the_rest() -> None:
    """A batch line that asks for a stream and has another bad field gets both reported."""
    with pytest.raises(RequestValidationError) as found:
        request_from_body({"messages": "hi", "stream": True, "n": 0})
    assert {"stream", "n"} == {e.path for e in found.value.errors}


def test_call_options_in_a_body_are_not_suggested_again() -> None:
    """A batch line with an option that only calls have is not told "did you mean" the very same name."""
    with pytest.raises(RequestValidationError) as found:
        request_from_body({"messages": "hi", "timeout": 5})
    assert "did you mean 'timeout'" not in str(found.value)
