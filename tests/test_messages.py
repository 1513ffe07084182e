"""What goes in: every field with its range, every message and part, and one check for all of them."""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async import messages
from anyfast_async.errors import FieldError, RequestValidationError
from anyfast_async.messages import (
    GEMINI_MODELS,
    MEDIA_TYPES,
    WIRE_FIELDS,
    AssistantMessage,
    AudioPart,
    CallOptions,
    ChatOptions,
    ChatRequest,
    FilePart,
    FunctionCall,
    ImagePart,
    ReasoningEffort,
    RequestFields,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    VideoPart,
    as_request,
    part_of_path,
    request_from_body,
)

SECRET = "my secret diary"


def untyped(value: Any) -> Any:
    """Hide the type of *value* from the type checker: callers without one pass such things."""
    return value


@contextlib.contextmanager
def nothing_opened() -> Iterator[None]:
    """Fail if anything is opened or looked up on the disk inside."""

    def refuse(*args: object, **kwargs: object) -> Any:
        opened.append(args)
        raise PermissionError

    opened: list[object] = []
    names = ((builtins, "open"), (os, "open"), (os, "stat"), (io, "open"), (Path, "open"), (Path, "stat"))
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in names:
            patch.setattr(owner, name, refuse)
        yield
    assert [] == opened


def problems(prompt: Any, **fields: Any) -> dict[str, str]:
    """Return what is wrong with a request, by path."""
    with pytest.raises(RequestValidationError) as found, nothing_opened():
        as_request(prompt, fields)
    assert all(error.path in str(found.value) for error in found.value.errors)
    return {error.path: error.problem for error in found.value.errors}


# -- fields -----------------------------------------------------------------------------------------------------------

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
def test_bad_value(name: str, value: Any) -> None:
    """A value just outside of the range or of another type is the one error, with its name and what is allowed."""
    found = problems("hi", **{name: value})
    assert [name] == list(found)
    assert "must be" in found[name]


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
def test_what_the_error_shows(name: str, value: Any, words: str) -> None:
    """Numbers and enum words are shown, other text only by type and length."""
    assert words in problems("hi", **{name: value})[name]


def test_an_absurd_number_is_reported() -> None:
    """An integer too long to be shown is a bad field as any other."""
    assert ["temperature"] == list(problems("hi", temperature=10**5000))


def test_none_is_not_sent() -> None:
    """None means not sent, for every field."""
    assert ChatRequest("hi") == as_request("hi", dict.fromkeys(GOOD))


def test_all_bad_fields_are_reported_at_once() -> None:
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
        ("top_k", "did you mean 'top_p'?"),
        ("zzz", "to send a field that is not documented use extra_body={'zzz': ...}"),
        ("stream", "to stream, use client.stream(...)"),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
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


# -- the same names everywhere ----------------------------------------------------------------------------------------


def test_request_fields_and_chat_request_are_equal() -> None:
    """The typed keywords and the object have the same names and the same types."""
    known = vars(messages)
    fields = get_type_hints(RequestFields, known)
    request = {n: t for n, t in get_type_hints(ChatRequest, known).items() if n not in ("messages", "extra_body")}
    assert request == fields
    assert tuple(request) == WIRE_FIELDS


def test_chat_options_are_both() -> None:
    """The keywords of a call are the fields of the wire and the options of the call, and no name is in both."""
    wire, call = RequestFields.__annotations__, CallOptions.__annotations__
    assert set(wire) | set(call) == set(ChatOptions.__annotations__)
    assert set() == set(wire) & set(call)


def test_documented_models() -> None:
    """The ten Gemini ids of the gateway's chat page are there, and nothing limits a model to them."""
    assert 10 == len(set(GEMINI_MODELS))
    assert "some/other:model" == ChatRequest("hi", model="some/other:model").model


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("hi", (UserMessage("hi"),)),
        (UserMessage("hi"), (UserMessage("hi"),)),
        ({"role": "user", "content": "hi"}, ({"role": "user", "content": "hi"},)),
        ([UserMessage("hi"), {"role": "x", "content": []}], None),
        ((SystemMessage("s"), UserMessage("hi")), (SystemMessage("s"), UserMessage("hi"))),
        ([AssistantMessage(None)], (AssistantMessage(None),)),
        ([{"role": "assistant", "tool_calls": []}], ({"role": "assistant", "tool_calls": []},)),
        ([ToolMessage("x", "id")], (ToolMessage("x", "id"),)),
        (MappingProxyType({"role": "user", "content": "hi"}), (MappingProxyType({"role": "user", "content": "hi"}),)),
    ],
)
def test_prompts(prompt: Any, wanted: Any) -> None:
    """A text, a message or a sequence of messages of any class or as dicts is a tuple of messages."""
    if wanted is None:
        assert {"messages[1].content": "must not be an empty list"} == problems(prompt)
    else:
        assert wanted == as_request(prompt, {}).messages


def test_the_request_does_not_follow_a_list() -> None:
    """A list of messages or parts that changes after the request was made does not change the request."""
    history: list[Any] = [UserMessage("a")]
    request = ChatRequest(history)
    history.append(UserMessage("b"))
    assert (UserMessage("a"),) == request.messages
    parts = ["a"]
    answer = AssistantMessage(parts)
    parts.append("b")
    assert ("a",) == answer.content


@pytest.mark.parametrize(
    ("prompt", "path", "words"),
    [
        ("", "messages", "must not be empty"),
        ([], "messages", "must not be empty"),
        (None, "messages", "must be a string, a message or a list of messages, not None"),
        (5, "messages", "not 5"),
        (b"hi", "messages", "not bytes of 2 items"),
        (iter([]), "messages", "not list_iterator"),
        ({"a", "b"}, "messages", "not set"),
        (["hi"], "messages[0]", "must be a message or a dict with role and content, not str of 2 characters"),
        ([UserMessage("a"), None], "messages[1]", "not None"),
        ([{"content": "x"}], "messages[0].role", "is missing; for example 'user'"),
        ([{"role": "", "content": "x"}], "messages[0].role", "must be a non-empty string"),
        ([{"role": 5, "content": "x"}], "messages[0].role", "not 5"),
        ([{"role": "user"}], "messages[0].content", "is missing"),
        ([{"role": "tool", "content": None}], "messages[0].content", "is missing"),
        ([{"role": "user", "content": 5}], "messages[0].content", "must be a string or a list of content parts, not 5"),
        ([{"role": "assistant", "content": {}}], "messages[0].content", "not dict of 0 items"),
        ([UserMessage(untyped(b"x"))], "messages[0].content", "not bytes of 1 items"),
        ([UserMessage([])], "messages[0].content", "must not be an empty list"),
        ([UserMessage(untyped(None))], "messages[0].content", "not None"),
        ([ToolMessage("x", "")], "messages[0].tool_call_id", "must be the id"),
        ([ToolMessage("x", untyped(5))], "messages[0].tool_call_id", "must be the id"),
        (
            [UserMessage([untyped(None)])],
            "messages[0].content[0]",
            "must be a content part, a string or a dict, not None",
        ),
        ([UserMessage([{}])], "messages[0].content[0].type", "is missing"),
        ([UserMessage([TextPart(untyped(5))])], "messages[0].content[0].text", "must be a string, not 5"),
        ([UserMessage([ImagePart("/etc/passwd")])], "messages[0].content[0].url", "must be an https: or data: URL"),
        ([UserMessage([ImagePart("http://x/1.png")])], "messages[0].content[0].url", "must be an https: or data: URL"),
        ([UserMessage([VideoPart("file:///x")])], "messages[0].content[0].url", "must be an https: or data: URL"),
        ([UserMessage([AudioPart(untyped(5), "wav")])], "messages[0].content[0].data", "must be a string"),
        (
            [UserMessage([AudioPart("QQ==", untyped("ogg"))])],
            "messages[0].content[0].format",
            "must be one of 'wav', 'mp3', not 'ogg'",
        ),
        ([UserMessage([FilePart(untyped(5), "data:,")])], "messages[0].content[0].filename", "must be a string"),
        ([UserMessage([FilePart("a", "a.pdf")])], "messages[0].content[0].file_data", "must be an https: or data: URL"),
        ([UserMessage([Path("/etc/passwd")])], "messages[0].content[0]", "must be a file of a type that can be sent"),
        ([UserMessage([ImagePart(Path("x.exe"))])], "messages[0].content[0].url", "not '.exe'"),
        ([UserMessage([AudioPart(Path("x.exe"), "wav")])], "messages[0].content[0].data", "not '.exe'"),
    ],
)
def test_bad_messages(prompt: Any, path: str, words: str) -> None:
    """What is wrong with a message is said with its path, in a class as in a dict."""
    found = problems(prompt)
    assert [path] == list(found)
    assert words in found[path]


@pytest.mark.parametrize(
    "part",
    [
        {"image_url": "/etc/passwd"},
        {"type": "image_url", "image_url": "/etc/passwd"},
        {"type": "image_url", "image_url": {"url": "/etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": "etc/passwd"},
        {"type": "image_url", "image_url": " /etc/passwd"},
        {"type": "image_url", "image_url": "C:\\secret.png"},
        {"type": "video_url", "video_url": "/etc/passwd"},
        {"type": "video_url", "video_url": {"url": "~/x.mp4"}},
        {"type": "image_url", "image_url": "FILE:///etc/passwd"},
    ],
)
def test_a_path_in_a_dict_is_not_opened(part: dict[str, Any]) -> None:
    """A path where an image belongs is an error that says so; nothing is opened, and the path is not shown."""
    for prompt in ([UserMessage([part])], [{"role": "user", "content": [part]}], part, [part]):
        found = problems(prompt)
        assert [p for p in found if "_url" in p and "nothing was opened" in found[p]]
        assert "passwd" not in str(found)


def test_a_part_in_place_of_a_message() -> None:
    """A content part given as a message says where it belongs."""
    assert "put it into a message's content list" in problems({"type": "text", "text": "x"})["messages[0]"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": "https://x/1.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        {"type": "image_url", "image_url": {"url": "gs://bucket/x"}},
        {"type": "image_url", "image_url": 5},
        {"type": "anything", "path": "/etc/passwd"},
        "text",
        TextPart(""),
        ImagePart("data:,", detail="low"),
        VideoPart("https://x/1.mp4", fps=1),
        AudioPart("QQ==", "mp3"),
        FilePart("a.pdf", "data:application/pdf;base64,QQ=="),
        Path("a.PNG"),
        ImagePart(Path("a.webp")),
        AudioPart(Path("a.wav"), "wav"),
        FilePart("a.pdf", Path("a.pdf")),
        VideoPart(Path("a.mp4")),
    ],
)
def test_good_parts(part: Any) -> None:
    """Good parts pass; a dict is not interpreted beyond that, and a local file is not opened by the check."""
    with nothing_opened():
        assert (UserMessage([part]),) == as_request([UserMessage([part])], {}).messages


@pytest.mark.parametrize(
    "message",
    [
        UserMessage([ImagePart("https://x/1.png", detail="huge")]),  # type: ignore[arg-type]
        UserMessage([VideoPart("https://x/1.mp4", fps="fast")]),  # type: ignore[arg-type]
        UserMessage([VideoPart("https://x/1.mp4", fps=-1)]),
        UserMessage("x", name=5),  # type: ignore[arg-type]
        AssistantMessage("x", tool_calls="abc"),  # type: ignore[arg-type]
    ],
)
def test_every_field_of_a_message_is_checked(message: Any) -> None:
    """Every field that has a type or words of its own is checked, not only content."""
    assert problems([message])


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


@settings(max_examples=150, deadline=None)
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


# -- local files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.png", ImagePart(Path("a.png"))),
        ("a.JPG", ImagePart(Path("a.JPG"))),
        ("a.mp3", AudioPart(Path("a.mp3"), "mp3")),
        ("a.wav", AudioPart(Path("a.wav"), "wav")),
        ("a.mov", VideoPart(Path("a.mov"))),
        ("x/a.pdf", FilePart("a.pdf", Path("x/a.pdf"))),
        ("a.txt", FilePart("a.txt", Path("a.txt"))),
        ("a", FilePart("a", Path("a"))),
    ],
)
def test_part_of_path(name: str, wanted: Any) -> None:
    """The suffix of a local file decides which part it becomes; it is not opened for that."""
    with nothing_opened():
        assert wanted == part_of_path(Path(name))


def test_from_path() -> None:
    """from_path() takes a str or a path, and makes the part for it without opening it."""
    assert ImagePart(Path("a.png"), detail="low") == ImagePart.from_path("a.png", detail="low")
    assert AudioPart(Path("a.MP3"), "mp3") == AudioPart.from_path(Path("a.MP3"))
    assert FilePart("a.pdf", Path("d/a.pdf")) == FilePart.from_path("d/a.pdf")
    assert VideoPart(Path("a.mp4"), fps=2) == VideoPart.from_path("a.mp4", fps=2)


@pytest.mark.parametrize("suffix", MEDIA_TYPES)
def test_every_media_type_may_be_sent(suffix: str) -> None:
    """Every suffix of the table passes the check."""
    assert as_request([UserMessage([Path(f"a{suffix}")])], {}).messages


# -- the one way in ---------------------------------------------------------------------------------------------------


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
        ({"messages": "hi", "logit_bias": {}}, "logit_bias"),
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


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (None, ""),
        (
            ["a", TextPart("b"), {"type": "text", "text": "c"}, {"text": 5}, ImagePart("data:,"), {}, Path("a.png")],
            "abc",
        ),
    ],
)
def test_text_of_an_assistant_message(content: Any, text: str) -> None:
    """The text of a message is its text parts put together."""
    assert text == AssistantMessage(content).text


def test_tool_call_shortcuts() -> None:
    """Name and arguments of a tool call are texts, also where the model gave none."""
    full = ToolCall(function=FunctionCall(name="f", arguments="{}"))
    shown = [(c.name, c.arguments) for c in (full, ToolCall(), ToolCall(function=FunctionCall()))]
    assert [("f", "{}"), ("", ""), ("", "")] == shown


@pytest.mark.parametrize(
    "value",
    [
        UserMessage("a"),
        SystemMessage("a"),
        ToolMessage("a", "i"),
        AssistantMessage("a"),
        TextPart("a"),
        ChatRequest("a"),
    ],
)
def test_values_are_frozen(value: Any) -> None:
    """Messages, parts and requests do not change under a retry."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, "b")


def test_a_field_error_reads_as_one_line() -> None:
    """A field error is its path and its problem."""
    assert "n: is bad" == str(FieldError("n", "is bad"))
