"""Lines that other batches write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.batch.results.other_forms import other_line
from anyfast_async.batch.results.result_lines import row_of
from anyfast_async.batch.results.results import Results

USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 7, "totalTokenCount": 20}


def gemini(*parts: dict[str, Any], reason: str = "STOP", **more: Any) -> dict[str, Any]:
    """A line of the Gemini API's output file."""
    candidate = {"content": {"parts": list(parts), "role": "model"}, "finishReason": reason, "index": 0}
    response = {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "gemini-2.5-flash"}
    return {"key": "k", "response": response} | more


def openai(body: dict[str, Any]) -> dict[str, Any]:
    """A line of the OpenAI Batch API's output file."""
    return {
        "id": "b",
        "custom_id": "k",
        "response": {"status_code": 200, "request_id": "r", "body": body},
        "error": None,
    }


def responses(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One for ``/v1/responses``."""
    usage = {
        "input_tokens": 9,
        "output_tokens": 11,
        "total_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 7},
    }
    return openai({"object": "response", "model": "gpt", "output": list(output), "usage": usage} | more)


def said(*content: dict[str, Any]) -> dict[str, Any]:
    """A message of a response."""
    return {"type": "message", "role": "assistant", "content": list(content)}


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("line", "outcome", "text"),
    [
        (gemini({"text": "mm", "thought": True}, {"text": "h"}, {"text": "i"}), "ok", "hi"),
        (gemini({"text": "hi"}, reason="MAX_TOKENS"), "cut", "hi"),
        (gemini(reason="SAFETY"), "filtered", ""),
        (gemini({"functionCall": {"name": "f", "args": {"a": 1}}}), "ok", ""),
        (gemini({"text": "hi"}, status="", processed_time="2026"), "ok", "hi"),
        ({"key": "k", "response": {"promptFeedback": {"blockReason": "SAFETY"}}}, "filtered", ""),
        (openai({"object": "chat.completion", "choices": CHOICE}), "ok", "hi"),
        (responses({"type": "reasoning", "summary": []}, said({"type": "output_text", "text": "hi"})), "ok", "hi"),
        (responses(said({"type": "refusal", "refusal": "no"})), "refused", ""),
        (
            responses(
                said({"type": "output_text", "text": "h"}),
                status="incomplete",
                incomplete_details={"reason": "max_output_tokens"},
            ),
            "cut",
            "h",
        ),
        (responses({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}), "ok", ""),
    ],
)
def test_answers(line: dict[str, Any], outcome: str, text: str) -> None:
    """What they say is read as an answer."""
    row = row_of(json.dumps(line).encode())

    assert row is not None
    assert ("k", outcome, text) == (row.custom_id, row.outcome, row.text)


def test_what_was_used() -> None:
    """Thinking is part of what is billed as completion, and named."""
    for line in (gemini({"text": "hi"}), responses(said({"type": "output_text", "text": "hi"}))):
        row = row_of(json.dumps(line).encode())
        assert row is not None
        assert row.used is not None
        assert (9, 11, 20, 7) == (row.prompt_tokens, row.completion_tokens, row.used.tokens, row.reasoning_tokens)


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (
            {"key": "k", "error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}},
            None,
            "slow down",
        ),
        ({"key": "k", "error": {"code": 13, "message": "broke"}}, "13", "broke"),
        ({"key": "k", "status": "Bad Request: no", "response": {}}, None, "Bad Request: no"),
    ],
)
def test_failures(line: dict[str, Any], kind: str | None, message: str) -> None:
    """What failed has its reason."""
    row = row_of(json.dumps(line).encode())

    assert row is not None
    assert row.failure is not None
    assert ("k", "failed") == (row.custom_id, row.outcome)
    assert message in row.failure.message
    assert kind in (None, row.failure.kind)


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b'{"key": "k"}', b'{"key": 1, "response": {}}', b'{"response": {}}', b"x"]
)
def test_none_of_them(line: bytes) -> None:
    """Anything else is no result."""
    assert other_line(line) is None


def test_a_file_of_them(tmp_path: Path) -> None:
    """They are found by their ids, as others; of two the later counts."""
    path = tmp_path / "out.jsonl"
    lines = [gemini({"text": str(n)}) | {"key": f"k{n % 3}"} for n in range(5)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    with Results(path, tmp_path / "no", tmp_path / "none") as found:
        assert (3, 2) == (found.total, found.again)
        assert "4" == found.find("k1").text
