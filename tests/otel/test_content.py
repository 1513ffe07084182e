"""Prompts and answers in the shapes of the conventions."""

from __future__ import annotations

import json
from typing import Any

from anyfast_async._core.json import codec
from anyfast_async.completions import ChatCompletion
from anyfast_async.messages import ImagePart, SystemMessage, TextPart, ToolMessage, UserMessage
from anyfast_async.otel._content import input_messages, output_messages
from anyfast_async.requests import ChatRequest

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
ASKED: dict[str, Any] = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": '{"city": "Paris"}'}


def test_input() -> None:
    """Each message has its role and its parts; of an image only the kind is told."""
    request = ChatRequest(
        [
            SystemMessage("Be brief."),
            UserMessage(["Look:", TextPart("here"), ImagePart("data:image/png;base64,AAAA")]),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            ToolMessage("rain", "call_1"),
            {"role": "user", "content": [{"type": "video_url", "video_url": "data:video/mp4;base64,AAAA"}]},
        ]
    )

    assert json.loads(input_messages(request)) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "Look:"},
                {"type": "text", "content": "here"},
                {"type": "image"},
            ],
        },
        {"role": "assistant", "parts": [ASKED]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rain"}]},
        {"role": "user", "parts": [{"type": "video_url"}]},
    ]
    assert "AAAA" not in input_messages(request)


def test_output() -> None:
    """Each choice is one message, with why it ended; one that has no reason ended in an error."""
    found = {
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}},
            {"index": 1, "finish_reason": None, "message": {"role": "assistant", "content": "", "tool_calls": [CALL]}},
        ]
    }
    completion = codec.structure(found, ChatCompletion)

    assert json.loads(output_messages(completion)) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Paris"}], "finish_reason": "stop"},
        {"role": "assistant", "parts": [{"type": "text", "content": ""}, ASKED], "finish_reason": "error"},
    ]
