"""What is wrong with messages: JSON in them, wherever it can stand."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async import AssistantMessage, ChatRequest, FunctionCall, RequestValidationError, ToolCall, UserMessage
from anyfast_async._values.message_rules import problems_of_messages
from anyfast_async.messages import ImagePart, SystemMessage, TextPart, ToolMessage


def endless() -> dict[str, Any]:
    """An object that contains itself."""
    value: dict[str, Any] = {"type": "text"}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"role": "user", "content": "q", "note": endless()}, "messages[1].note.again"),
        ({"role": "user", "content": [{"type": "text", "text": "x", "y": {1}}]}, "messages[1].content[0].y"),
        (UserMessage([TextPart("x"), endless()]), "messages[1].content[1].again"),
        (SystemMessage([endless()]), "messages[1].content[0].again"),
        (ToolMessage([endless()], "c-1"), "messages[1].content[0].again"),
        (AssistantMessage("x", extra={"signature": b"x"}), "messages[1].signature"),
        (AssistantMessage([endless()]), "messages[1].content[0].again"),
        (AssistantMessage(tool_calls=(ToolCall(extra={"a": [{1}]}),)), "messages[1].tool_calls[0].a[0]"),
        (
            AssistantMessage(tool_calls=(ToolCall(function=FunctionCall(extra={"a": 1j})),)),
            "messages[1].tool_calls[0].function.a",
        ),
        (
            AssistantMessage(tool_calls=(ToolCall(function=FunctionCall(arguments=b"{}")),)),  # type: ignore[arg-type]
            "messages[1].tool_calls[0].function.arguments",
        ),
        (AssistantMessage("x", reasoning_content={1}), "messages[1].reasoning_content"),  # type: ignore[arg-type]
        ({"role": "user", "content": [ImagePart("https://x")]}, "messages[1].content[0]"),
    ],
)
def test_json_in_messages(message: Any, path: str) -> None:
    """What JSON cannot hold is named with its path, in dicts, parts, tool calls and unknown fields of answers."""
    assert [path] == [problem.path for problem in problems_of_messages((UserMessage("q"), message))]
    with pytest.raises(RequestValidationError) as caught:
        ChatRequest([message], model="m")
    assert path.replace("[1]", "[0]", 1) in str(caught.value)
