"""What is said: every message and part, what is wrong with one, and that nothing is opened to find out."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from anyfast_async.messages import (
    GEMINI_MODELS,
    MEDIA_TYPES,
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
    part_of_path,
    plain_text,
)
from anyfast_async.requests import ChatRequest, as_request

if TYPE_CHECKING:
    from conftest import NothingOpened, Problems


def untyped(value: Any) -> Any:
    """Hide the type of *value* from the type checker: callers without one pass such things."""
    return value


def test_documented_models() -> None:
    """The ten Gemini ids of the gateway's chat page are there, and nothing limits a model to them."""
    assert 10 == len(set(GEMINI_MODELS))
    assert "some/other:model" == ChatRequest("hi", model="some/other:model").model


# -- messages and parts ----------------------------------------------------------------------------------------------


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
def test_prompts(problems: Problems, prompt: Any, wanted: Any) -> None:
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
def test_bad_messages(problems: Problems, prompt: Any, path: str, words: str) -> None:
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
def test_a_path_in_a_dict_is_not_opened(problems: Problems, part: dict[str, Any]) -> None:
    """A path where an image belongs is an error that says so; nothing is opened, and the path is not shown."""
    for prompt in ([UserMessage([part])], [{"role": "user", "content": [part]}], part, [part]):
        found = problems(prompt)
        assert [p for p in found if "_url" in p and "nothing was opened" in found[p]]
        assert "passwd" not in str(found)


def test_a_part_in_place_of_a_message(problems: Problems) -> None:
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
def test_good_parts(nothing_opened: NothingOpened, part: Any) -> None:
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
def test_every_field_of_a_message_is_checked(problems: Problems, message: Any) -> None:
    """Every field that has a type or words of its own is checked, not only content."""
    assert problems([message])


# -- local files -----------------------------------------------------------------------------------------------------


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
def test_part_of_path(nothing_opened: NothingOpened, name: str, wanted: Any) -> None:
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


# -- values ----------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (UserMessage("a"), "a"),
        (SystemMessage(""), ""),
        (AssistantMessage("a"), "a"),
        ({"role": "user", "content": "a"}, "a"),
        (UserMessage("a", name="n"), None),
        (UserMessage(["a"]), None),
        (UserMessage(untyped(5)), None),
        (AssistantMessage(None), None),
        (AssistantMessage("a", extra={"x": 1}), None),
        (AssistantMessage("a", refusal="b"), None),
        (AssistantMessage("a", tool_calls=()), None),
        (ToolMessage("a", "id"), None),
        ({"role": "user", "content": "a", "name": "n"}, None),
        ({"role": "", "content": "a"}, None),
        ({"role": "user", "content": ["a"]}, None),
        ({"type": "text", "content": "a"}, None),
        ("a", None),
    ],
)
def test_messages_that_are_nothing_but_text(message: Any, text: str | None) -> None:
    """The short way through checking and weighing is for a role and a text alone; more is looked at in full."""
    assert plain_text(message) == text
