"""A conversation as a request, a file and a page."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async.cli.chat.conversation import Conversation, question, text_of

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TEXT = {"type": "text", "text": "notes"}
TALK = Conversation(
    "m",
    "Be brief",
    [{"role": "user", "content": "Hi\nthere"}, {"role": "assistant", "content": "Hello", "thought_signature": "x"}],
)


def test_a_request() -> None:
    """The system message is first, then what was said, whole, then the question."""
    asked = TALK.asked({"role": "user", "content": "And?"})

    assert [("system", "Be brief"), ("user", "Hi\nthere"), ("assistant", "Hello"), ("user", "And?")] == [
        (message["role"], message["content"]) for message in asked
    ]
    assert "x" == asked[2]["thought_signature"]
    assert 2 == len(TALK.messages)


def test_there_and_back() -> None:
    """A file holds all of it."""
    assert TALK == Conversation.from_json(TALK.as_json())


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "is not JSON"),
        (TALK.as_json()[:-20], "is not JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", "version: must be 1"),
        (b'{"version":2,"model":"m","messages":[]}', "another version"),
        (b'{"version":1,"messages":[]}', "model:"),
        (b'{"version":1,"model":"m","system":3,"messages":[]}', "system:"),
        (b'{"version":1,"model":"m","messages":{}}', "messages: must be a list"),
        (b'{"version":1,"model":"m","messages":["hi"]}', "role of number 1 must be user"),
        (b'{"version":1,"model":"m","messages":[{"role":"user"},{"role":"user"}]}', "number 2 must be assistant"),
        (b'{"version":1,"model":"m","messages":[{"role":"user"}]}', "no answer"),
    ],
)
def test_broken_files(data: bytes, wrong: str) -> None:
    """What is wrong with a file is said."""
    with pytest.raises(ValueError, match=wrong):
        Conversation.from_json(data)


def test_a_page() -> None:
    """As Markdown it has the title, the model and who said what."""
    page = TALK.as_markdown()

    assert page.startswith(
        "# Hi there\n\nModel: m\n\n## System\n\nBe brief\n\n## You\n\nHi\nthere\n\n## Model\n\nHello"
    )


def test_titles() -> None:
    """A title is one line of at most 60 characters."""
    long = Conversation("m", None, [question("word " * 50), {"role": "assistant", "content": ""}])
    assert (60, "…") == (len(long.title), long.title[-1])
    assert "" == Conversation("m").title
    assert Conversation("m").as_markdown().startswith("# Conversation\n")


@pytest.mark.parametrize(
    ("text", "attached", "content"),
    [
        ("Hi", [], "Hi"),
        ("Hi", [TEXT], "notes\n\nHi"),
        ("Hi", [IMAGE, TEXT], [IMAGE, TEXT, {"type": "text", "text": "Hi"}]),
    ],
)
def test_questions(text: str, attached: list[Any], content: Any) -> None:
    """Texts alone are one text; with anything else there are parts, the question last."""
    assert {"role": "user", "content": content} == question(text, attached)


def test_what_a_message_says() -> None:
    """Parts that are no text are named."""
    assert "[image]\n\nnotes\n\n[audio]" == text_of({"content": [IMAGE, TEXT, {"type": "input_audio"}]})
    assert "" == text_of({"content": None})
