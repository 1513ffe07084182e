"""Requests in the batch forms of others: translated whole, or refused by the name of what has no counterpart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch.input.other_forms import NoCounterpartError, from_gemini, from_responses
from anyfast_async.batch.input.request_lines import LineError
from anyfast_async.batch.input.source import Source, open_source

PICTURE = "iVBORw0KGgo="
RESPONSES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"model": "m", "input": "Hi", "max_output_tokens": 5, "store": False, "metadata": {"a": "b"}, "tools": []},
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "tools": []},
    ),
    (
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "developer", "content": "In English."},
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is it?"},
                        {"type": "input_image", "image_url": "https://a.test/x.png", "detail": "low"},
                    ],
                },
            ],
            "reasoning": {"effort": "low", "summary": None},
            "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}},
            "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "tool_choice": "auto",
            "truncation": "disabled",
        },
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "system", "content": "In English."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": {"url": "https://a.test/x.png", "detail": "low"}},
                    ],
                },
            ],
            "reasoning_effort": "low",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
            },
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "tool_choice": "auto",
        },
    ),
]


@pytest.mark.parametrize(("given", "made"), RESPONSES)
def test_responses(given: dict[str, Any], made: dict[str, Any]) -> None:
    """What has a counterpart is translated; what OpenAI keeps beside an answer is left out."""
    assert made == from_responses(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"input": "Hi", "previous_response_id": "r"}, "body.previous_response_id: has no counterpart"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, r"body.tools\[0\]: a tool of type 'web_search'"),
        ({"input": [{"type": "function_call_output"}]}, r"body.input\[0\].type: 'function_call_output' has no"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, r"content\[0\]: has no"),
        ({"input": 7}, "body.input: must be a list, not"),
        ({"input": "Hi", "reasoning": {"effort": "low", "summary": "auto"}}, "body.reasoning.summary: has no"),
        ({"input": "Hi", "text": {"verbosity": "low"}}, "body.text.verbosity"),
        ({"input": "Hi", "truncation": "auto"}, "body.truncation"),
        ("Hi", "body: must be an object"),
    ],
)
def test_responses_that_cannot_be(given: Any, words: str) -> None:
    """What chat completions do not have is refused by its place."""
    with pytest.raises(NoCounterpartError, match=words):
        from_responses(given)


CONFIG = {
    "temperature": 0,
    "maxOutputTokens": 9,
    "topP": 0.5,
    "stopSequences": ["."],
    "responseMimeType": "application/json",
}
SET = {"temperature": 0, "max_tokens": 9, "top_p": 0.5, "stop": ["."], "response_format": {"type": "json_object"}}
GEMINI: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"key": "a", "request": {"contents": [{"parts": [{"text": "Hi"}]}]}},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ),
    (
        {
            "request": {
                "model": "models/gemini-2.5-flash",
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [
                    {"role": "user", "parts": [{"text": "Hi"}]},
                    {"role": "model", "parts": [{"text": "Yes?"}]},
                    {
                        "role": "user",
                        "parts": [{"text": "This"}, {"inlineData": {"mimeType": "image/png", "data": PICTURE}}],
                    },
                ],
                "generationConfig": CONFIG,
            }
        },
        {
            "model": "gemini-2.5-flash",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yes?"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "This"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
                    ],
                },
            ],
            **SET,
        },
    ),
    (
        {"id": 1, "contents": "Hi", "generation_config": {"response_json_schema": {"type": "object"}}},
        {
            "messages": [{"role": "user", "content": "Hi"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}},
            },
        },
    ),
    (
        {
            "contents": "Hi",
            "generationConfig": {
                "topK": None,
                "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True, "thinkingLevel": "HIGH"},
                "responseSchema": {
                    "type": "OBJECT",
                    "properties": {
                        "type": {"type": "STRING", "enum": ["STRING", "B"], "nullable": True},
                        "items": {"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}]}},
                    },
                    "propertyOrdering": ["type", "items"],
                },
            },
        },
        {
            "messages": [{"role": "user", "content": "Hi"}],
            "extra_body": {
                "google": {
                    "thinking_config": {"thinking_budget": -1, "include_thoughts": True, "thinking_level": "HIGH"}
                }
            },
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {
                        "type": "object",
                        "properties": {
                            "type": {"type": "string", "enum": ["STRING", "B"], "nullable": True},
                            "items": {"type": "array", "items": {"anyOf": [{"type": "integer"}]}},
                        },
                        "propertyOrdering": ["type", "items"],
                    },
                },
            },
        },
    ),
]


@pytest.mark.parametrize(("given", "made"), GEMINI)
def test_gemini(given: dict[str, Any], made: dict[str, Any]) -> None:
    """Contents become messages and settings become fields, in both spellings of their names."""
    assert made == from_gemini(given)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"contents": [], "tools": []}, "request.tools: has no counterpart"),
        ({"contents": [], "safetySettings": [{}]}, "request.safety_settings: has no counterpart"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://a"}}]}]}, "file_data: no text and no image"),
        ({"contents": [{"parts": [{"text": "a", "thought": True}]}]}, "text, thought: no text and no image"),
        ({"contents": [{"role": "tool", "parts": []}]}, r"contents\[0\].role: must be 'user' or 'model'"),
        ({"contents": [], "generationConfig": {"topK": 3}}, "request.generation_config.top_k: has no counterpart"),
        ({"contents": [], "generationConfig": {"responseMimeType": "text/x.enum"}}, "response_mime_type"),
        (
            {"contents": [], "generationConfig": {"responseSchema": {}, "responseJsonSchema": {}}},
            "response_schema: stands beside response_json_schema",
        ),
        (
            {"contents": [], "generationConfig": {"thinkingConfig": {"thinkingBudget": 1.5}}},
            "request.generation_config.thinking_config.thinking_budget: must be of type int, not ",
        ),
        (
            {"contents": [], "generationConfig": {"thinkingConfig": {"depth": 1}}},
            "request.generation_config.thinking_config.depth: has no counterpart",
        ),
        ({"contents": [None]}, r"request.contents\[0\]: must be an object"),
    ],
)
def test_gemini_that_cannot_be(request_: dict[str, Any], words: str) -> None:
    """What chat completions do not have is refused by its place."""
    with pytest.raises(NoCounterpartError, match=words):
        from_gemini({"request": request_})


def read(path: Path, rows: list[Any]) -> tuple[Source, list[tuple[str, Any]]]:
    """The source of *rows*, and the ids and contents of its requests, problems in their places."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source, found = open_source(path), []
    for number, row in source.records():
        assert not isinstance(row, LineError)
        try:
            line = source.line(number, row)
            found.append((line.custom_id, line.request.messages[-1]["content"]))  # type: ignore[index]
        except LineError as error:
            found.append((error.custom_id or "", str(error)))
    return source, found


def test_files(tmp_path: Path) -> None:
    """Both forms are told by their first line; ids are those of the form, and one row that cannot be is one bad row."""
    contents = {"contents": [{"parts": [{"text": "Hi"}]}]}
    source, found = read(
        tmp_path / "gemini.jsonl", [{"key": "a", "request": contents}, contents, {"key": "c", "request": {"tools": []}}]
    )
    assert (
        "gemini",
        [("a", "Hi"), ("line-2", "Hi"), ("c", "request.tools: has no counterpart in chat completions")],
    ) == (
        source.format,
        found,
    )

    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "Hi"}}
    bad = line | {"custom_id": "b", "body": {"model": "m"}}
    source, found = read(tmp_path / "openai.jsonl", [line, bad])
    assert ("batch", ("a", "Hi")) == (source.format, found[0])
    assert "b" == found[1][0]
    assert "messages" in found[1][1]
