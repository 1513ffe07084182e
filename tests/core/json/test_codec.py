"""Request to JSON bytes and JSON bytes to answers: nothing is lost, and nothing hostile gets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyfast_async._core.json import codec
from anyfast_async._core.json.codec import InvalidJSONError
from anyfast_async.completions import ChatCompletion, ChatCompletionChunk, Choice, Model, Usage
from anyfast_async.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    FunctionCall,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    VideoPart,
)
from anyfast_async.requests import ChatRequest

Decode = Callable[[bytes], Any]

# -- lossless answers -------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "index",
        "message",
        "delta",
        "finish_reason",
        "logprobs",
        "content",
        "role",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "type",
        "reasoning_content",
        "refusal",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "extra",
        "blank",
        "request_id",
        "trace",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cached_tokens",
        "x",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, -1, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**29, 0.0, -0.0, 1.0, 1e300, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
WILD = st.recursive(
    SCALARS,
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(NAMES | st.text(st.characters(exclude_categories=["Cs"]), max_size=3), v, max_size=5)
    ),
    max_leaves=12,
)


def mixed(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that have any of *fields*, well formed or wild, and others beside them."""
    known = st.fixed_dictionaries({}, optional={n: v | WILD for n, v in fields.items()})
    return st.builds(lambda a, b: {**b, **a}, known, st.dictionaries(NAMES, WILD, max_size=2))


TEXT = st.text(max_size=4) | st.none()
CALLS = st.lists(
    mixed(
        {
            "id": TEXT,
            "type": st.just("function"),
            "index": st.integers(0, 3),
            "function": mixed({"name": TEXT, "arguments": TEXT}),
        }
    ),
    max_size=2,
)
MESSAGE = mixed(
    {
        "role": st.just("assistant"),
        "content": TEXT | st.lists(WILD, max_size=2),
        "tool_calls": CALLS,
        "reasoning_content": TEXT,
    }
)
CHOICES = st.lists(
    mixed(
        {
            "index": st.integers(0, 2),
            "message": MESSAGE,
            "delta": MESSAGE,
            "finish_reason": TEXT,
            "logprobs": st.none() | st.dictionaries(NAMES, WILD, max_size=2),
        }
    ),
    max_size=2,
)
USAGE = mixed(
    {
        "prompt_tokens": st.integers(0, 9),
        "total_tokens": st.integers(),
        "prompt_tokens_details": mixed({"cached_tokens": st.integers()}),
    }
)
ANSWERS = mixed(
    {"id": TEXT, "object": TEXT, "created": st.integers(), "model": TEXT, "choices": CHOICES, "usage": USAGE}
)


def same(left: Any, right: Any) -> bool:
    """Compare JSON values, telling 1, 1.0 and true apart."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.parametrize("decode", [codec.decode_completion, codec.decode_chunk])
@settings(max_examples=80, deadline=None)
@given(value=ANSWERS)
def test_answers_are_lossless(decode: Decode, value: dict[str, Any]) -> None:
    """Any JSON object, however its known fields are filled, comes back the same, null distinct from absent."""
    assert same(value, json.loads(codec.dumps(codec.as_dict(decode(json.dumps(value).encode())))))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"choices": []},
        {"choices": None, "usage": None, "id": None},
        {"choices": [{}]},
        {"choices": [{"message": {}}, 5]},
        {"choices": [{"message": {"tool_calls": []}}, {"message": {"tool_calls": None}}]},
        {"choices": [{"message": {"tool_calls": [{"id": "", "function": {"arguments": None}}, {"type": None}]}}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": "a"}]}}]},
        {"choices": [{"message": {"role": None, "content": ""}}]},
        {"extra": 1, "blank": {"a": 1}, "request_id": "x", "trace": []},
        {"id": 5, "created": "now", "model": ["a"], "usage": "none", "object": {}},
        {"created": 1.0, "usage": {"prompt_tokens": True, "total_tokens": 0}},
    ],
)
def test_odd_answers_are_lossless(value: dict[str, Any]) -> None:
    """Fields of other types, unknown ones, nulls and empty lists each come back as they were, in either class."""
    for decode in (codec.decode_completion, codec.decode_chunk):
        assert same(value, codec.as_dict(decode(json.dumps(value).encode())))


BIG = 123456789012345678901234567890


@pytest.mark.parametrize(
    "value",
    [
        {"created": BIG},
        {"x": BIG},
        {"x": [{"y": -BIG}]},
        {"x": 2**64},
        {"x": -(2**63) - 1},
        {"usage": {"cost": BIG}},
        {"choices": [{"logprobs": {"x": BIG}}]},
        {"choices": [{"message": {"tool_calls": [{"extra_content": {"n": BIG}}]}}]},
        {"choices": [{"message": {"content": [{"n": BIG}]}}]},
    ],
)
def test_numbers_keep_their_digits(value: dict[str, Any]) -> None:
    """Integers over 64 bits, which orjson makes floats of, are not rounded."""
    assert same(value, codec.as_dict(codec.decode_completion(json.dumps(value).encode())))


def test_logprobs_are_a_field() -> None:
    """Log probabilities that came stand in Choice.logprobs, not among the unknown fields."""
    value = {"choices": [{"logprobs": {"content": [{"token": "a"}]}}]}
    (choice,) = codec.decode_completion(json.dumps(value).encode()).choices
    assert ({"content": [{"token": "a"}]}, {}) == (choice.logprobs, choice.extra)


def test_known_fields_are_typed() -> None:
    """A usual answer arrives as objects of our classes, with nothing unknown."""
    value = {
        "id": "c",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "x",
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
                },
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
    }
    found = codec.decode_completion(json.dumps(value).encode())
    wanted_call = ToolCall(id="a", function=FunctionCall(name="f", arguments="{}"))
    assert (Choice(index=0, message=AssistantMessage("x", tool_calls=(wanted_call,))),) == found.choices
    assert isinstance(found.usage, Usage)
    assert 2 == (found.usage.completion_tokens_details and found.usage.completion_tokens_details.reasoning_tokens)
    assert {} == found.extra


def test_chunks_are_typed() -> None:
    """A chunk's delta is a message without a role where none was sent."""
    chunk = codec.decode_chunk(b'{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}')
    assert isinstance(chunk, ChatCompletionChunk)
    assert ("x", None) == (chunk.text, chunk.choices[0].delta and chunk.choices[0].delta.role)


# -- hostile JSON -----------------------------------------------------------------------------------------------------

NO_JSON = [
    b"",
    b"{",
    b"{oops",
    b"\xff\xfe",
    b"nul",
    b'{"a":',
    b"[" * 100_000,
    b'{"x":' * 100_000,
    b"1" * 5000,
    b"{}}",
    b"\x00",
]


@pytest.mark.parametrize("decode", [codec.loads, codec.decode_completion, codec.decode_chunk, codec.decode_models])
@pytest.mark.parametrize("data", NO_JSON, ids=lambda d: repr(d[:8]))
def test_no_json(decode: Decode, data: bytes) -> None:
    """What is no JSON, is nested 100 000 deep or holds a number of 5000 digits raises InvalidJSONError only."""
    with pytest.raises(InvalidJSONError):
        decode(data)


@pytest.mark.parametrize("data", [b"[]", b"5", b"null", b'"x"', b"true"])
def test_json_that_is_no_object(data: bytes) -> None:
    """An answer must be an object; the error says what came and shows nothing of it."""
    for decode in (codec.decode_completion, codec.decode_chunk):
        with pytest.raises(InvalidJSONError, match=r"a JSON object was expected, not (list|int|NoneType|str|bool)"):
            decode(data)


NAN = b'{"n":NaN,"x":'


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (codec.decode_completion, b'{"x":' + b"[" * 1010 + b"]" * 1010 + b"}"),
        (codec.decode_chunk, b'{"a":' * 1010 + b"1" + b"}" * 1010),
        (codec.loads, NAN + b"[" * 800 + b"]" * 800 + b"}"),
        (codec.decode_completion, NAN + b"[" * 800 + b"]" * 800 + b"}"),
    ],
    ids=["exact-list", "exact-object", "mended", "mended-answer"],
)
def test_nesting_that_the_parser_accepts(decode: Decode, data: bytes) -> None:
    """Nesting that orjson (1024) or the standard library still accept is decoded or refused, never a RecursionError."""
    try:
        decode(data)
    except InvalidJSONError:
        return


def test_nan_in_an_answer() -> None:
    """An answer with NaN, which Python services send, is read, and its text is there."""
    found = codec.decode_completion(b'{"choices":[{"message":{"content":"x"},"logprobs":{"a":NaN}}]}')
    assert "x" == found.text


# -- models -----------------------------------------------------------------------------------------------------------


def test_models() -> None:
    """The list under "data" becomes models; what is no object in it is passed over."""
    wanted = [Model(id="a", extra={"mode": "chat"}), Model()]
    assert wanted == codec.decode_models(b'{"data":[{"id":"a","mode":"chat"},null,{}]}')


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"data":null}', b'{"data":{}}'])
def test_no_models(data: bytes) -> None:
    """Another shape is no list of models."""
    with pytest.raises(InvalidJSONError, match="no list under 'data'"):
        codec.decode_models(data)


# -- requests ---------------------------------------------------------------------------------------------------------

URL = "https://x/1.png"
RAW = {"type": "input_video", "y": {"z": 1}}


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("hi", {"type": "text", "text": "hi"}),
        (TextPart("hi"), {"type": "text", "text": "hi"}),
        (ImagePart(URL), {"type": "image_url", "image_url": {"url": URL}}),
        (ImagePart(URL, detail="low"), {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}),
        (AudioPart("QQ==", "wav"), {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}),
        (
            FilePart("a.pdf", "data:application/pdf;base64,QQ=="),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
        ),
        (VideoPart(URL), {"type": "video_url", "video_url": URL}),
        (VideoPart(URL, fps=0.5), {"type": "video_url", "video_url": {"url": URL, "fps": 0.5}}),
        (RAW, RAW),
    ],
)
def test_part_on_the_wire(part: Any, wanted: Any) -> None:
    """Each content part has its exact JSON (new-api dto/openai_request.go); a dict goes out as it is."""
    assert {"role": "user", "content": [wanted]} == codec.message_to_wire(UserMessage([part]))


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (Path("a.PNG"), {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUI="}}),
        (
            ImagePart.from_path("a.jpg", detail="high"),
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUI=", "detail": "high"}},
        ),
        (Path("a.mp3"), {"type": "input_audio", "input_audio": {"data": "QUI=", "format": "mp3"}}),
        (AudioPart.from_path("a.wav"), {"type": "input_audio", "input_audio": {"data": "QUI=", "format": "wav"}}),
        (
            Path("x/a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUI="}},
        ),
        (
            FilePart.from_path("x/a.txt"),
            {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,QUI="}},
        ),
        (Path("a.mp4"), {"type": "video_url", "video_url": "data:video/mp4;base64,QUI="}),
        (
            VideoPart.from_path("a.mov", fps=2),
            {"type": "video_url", "video_url": {"url": "data:video/mov;base64,QUI=", "fps": 2}},
        ),
    ],
)
def test_local_file_on_the_wire(part: Any, wanted: Any) -> None:
    """A local file goes out as base64 of what was read, with its suffix's media type; nothing is opened here."""
    path = part if isinstance(part, Path) else next(v for v in attrs.asdict(part).values() if isinstance(v, Path))
    found = codec.message_to_wire(UserMessage([part]), {path: b"AB"})
    assert {"role": "user", "content": [wanted]} == found


CALL = ToolCall(id="a", type="function", function=FunctionCall(name="f", arguments="{}"))
WIRE_CALL = {"type": "function", "id": "a", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (SystemMessage("s"), {"role": "system", "content": "s"}),
        (UserMessage("u", name="me"), {"role": "user", "content": "u", "name": "me"}),
        (ToolMessage("t", "a"), {"role": "tool", "tool_call_id": "a", "content": "t"}),
        (ToolMessage("t", "a", name="f"), {"role": "tool", "tool_call_id": "a", "content": "t", "name": "f"}),
        (AssistantMessage("x"), {"role": "assistant", "content": "x"}),
        (AssistantMessage("x", name="n"), {"role": "assistant", "content": "x", "name": "n"}),
        (
            AssistantMessage(["x", TextPart("y")]),
            {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
        ),
        (AssistantMessage(tool_calls=(CALL,)), {"role": "assistant", "tool_calls": [WIRE_CALL]}),
        (AssistantMessage(role=None), {"role": "assistant", "content": ""}),
        ({"role": "developer", "content": None, "x": 1}, {"role": "developer", "content": None, "x": 1}),
        (MappingProxyType({"role": "user", "content": "u"}), {"role": "user", "content": "u"}),
    ],
)
def test_message_on_the_wire(message: Any, wanted: dict[str, Any]) -> None:
    """Each message class has its exact JSON, and a dict goes out as it is."""
    assert wanted == codec.message_to_wire(message)


def test_an_answer_goes_back_out() -> None:
    """The message of an answer goes out with its unknown fields; only the call's index is dropped."""
    answer = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "thought_signature": "s",
        "tool_calls": [
            {
                "index": 0,
                "id": "a",
                "type": None,
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "t"}},
            }
        ],
    }
    found = codec.decode_completion(json.dumps({"choices": [{"message": answer}]}).encode()).message
    wanted = dict(answer, tool_calls=[WIRE_CALL | {"extra_content": {"google": {"thought_signature": "t"}}}])
    assert wanted == codec.message_to_wire(found)
    ChatRequest([UserMessage("hi"), found])


@settings(max_examples=50, deadline=None)
@given(mixed({"content": TEXT, "reasoning_content": TEXT}))
def test_any_answer_goes_back_out(message: dict[str, Any]) -> None:
    """Whatever fields a message had (but for tool calls and the role), they go out again."""
    message = {n: v for n, v in message.items() if n not in ("tool_calls", "role", "content")} | {"content": "x"}
    found = codec.decode_completion(json.dumps({"choices": [{"message": message}]}).encode()).message
    assert same(message | {"role": "assistant"}, codec.message_to_wire(found))


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_call_of_no_function_does_not_go_back_out(name: Any) -> None:
    """Upstreams refuse a history with a call that names none; what else an answer says goes back."""
    message = {"content": "x", "tool_calls": [{"id": "a", "function": {"name": name, "arguments": "{}"}}]}
    found = codec.decode_completion(json.dumps({"choices": [{"message": message}]}).encode()).message
    assert {"role": "assistant", "content": "x"} == codec.message_to_wire(found)


def test_an_empty_list_of_tool_calls_does_not_go_back_out() -> None:
    """An answer of vLLM has "tool_calls": [], which in a request is invalid; the history leaves it out."""
    found = codec.decode_completion(b'{"choices":[{"message":{"content":"x","tool_calls":[]}}]}').message
    assert {"role": "assistant", "content": "x"} == codec.message_to_wire(found)


def test_body_has_what_is_set() -> None:
    """Model, messages and the fields that are not None, in the documented order; stream only for streams."""
    request = ChatRequest(
        "hi", model="m", temperature=0, n=1, stop=["a"], user="u", stream_options={"include_usage": False}
    )
    plain = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        "stop": ["a"],
        "n": 1,
        "user": "u",
    }
    assert plain == codec.body_of(request, stream=False)
    assert list(plain) == list(codec.body_of(request, stream=False))
    assert plain | {"stream": True, "stream_options": {"include_usage": False}} == codec.body_of(request, stream=True)


def test_streams_ask_for_usage() -> None:
    """A stream asks for usage unless it is told otherwise."""
    assert {"include_usage": True} == codec.body_of(ChatRequest("hi", model="m"), stream=True)["stream_options"]


def test_extra_body_wins() -> None:
    """extra_body stands beside the documented fields and over them; a literal extra_body key can be sent through it."""
    extra = {"temperature": 1, "extra_body": {"google": {}}, "seed": None}
    body = codec.body_of(ChatRequest("hi", model="m", temperature=0, extra_body=extra), stream=False)
    assert (1, {"google": {}}, None) == (body["temperature"], body["extra_body"], body["seed"])
    assert None is ChatRequest("hi").extra_body


def test_encode_is_compact_utf8() -> None:
    """The body is compact UTF-8 JSON, also where a prompt holds half a character."""
    body = codec.encode(ChatRequest("né", model="m"), stream=False)
    assert '{"model":"m","messages":[{"role":"user","content":"né"}],"stream":false}'.encode() == body
    assert '{"model":"m","messages":[{"role":"user","content":"né"}]}'.encode() == codec.unsaid(body)
    assert (
        "n\ufffd" == json.loads(codec.encode(ChatRequest("n\ud800", model="m"), stream=False))["messages"][0]["content"]
    )


def test_encode_refuses_what_json_cannot_hold() -> None:
    """Something that JSON cannot hold, put in after the check, is a TypeError that names its place and type."""
    tool: dict[str, Any] = {}
    request = ChatRequest("hi", model="m", tools=[tool])
    tool["x"] = {1}
    with pytest.raises(TypeError, match=r"value\.tools\[0\]\.x: is a set, which JSON cannot hold"):
        codec.encode(request, stream=False)


def test_structure_and_as_dict_leave_a_completion_alone() -> None:
    """A completion made by hand becomes JSON without what takes no part in it."""
    made = ChatCompletion(
        id="c", choices=(Choice(index=0, message=AssistantMessage("x")),), request_id="r", extra={"y": 1}
    )
    wanted = {"id": "c", "choices": [{"index": 0, "message": {"content": "x", "role": "assistant"}}], "y": 1}
    assert wanted == codec.as_dict(made)
    assert made == codec.structure(wanted, ChatCompletion)
