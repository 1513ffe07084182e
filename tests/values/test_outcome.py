"""What an answer amounts to, whichever words its upstream ends it with."""

from __future__ import annotations

from typing import Any

import pytest

from anyfast_async._core.json import codec
from anyfast_async.completions import ChatCompletion

TEXT = {"content": "Be"}
NOTHING: dict[str, Any] = {"content": ""}


def answer(*choices: tuple[dict[str, Any] | None, str | None]) -> ChatCompletion:
    found = [{"index": i, "message": message, "finish_reason": reason} for i, (message, reason) in enumerate(choices)]
    return codec.structure({"choices": found}, ChatCompletion)


@pytest.mark.parametrize(
    ("message", "reason", "outcome", "words"),
    [
        (TEXT, "stop", "ok", None),
        (TEXT, None, "ok", None),
        *(
            (TEXT, end, "ok", None)
            for end in ("end_turn", "eos", "stop_sequence", "pause_turn", "COMPLETE", "tool_use")
        ),
        *((TEXT, word, "cut", "max_tokens was reached") for word in ("length", "max_tokens", "MAX_TOKENS")),
        *((TEXT, word, "cut", word) for word in ("model_length", "model_context_window_exceeded")),
        *(
            (TEXT, word, "filtered", word)
            for word in ("content_filter", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "sensitive")
        ),
        (NOTHING, "SAFETY", "filtered", "SAFETY"),
        (TEXT, "MALFORMED_FUNCTION_CALL", "cut", "tool call that cannot be read (MALFORMED_FUNCTION_CALL)"),
        (NOTHING, "MALFORMED_FUNCTION_CALL", "empty", "tool call that cannot be read (MALFORMED_FUNCTION_CALL)"),
        (NOTHING, "UNEXPECTED_TOOL_CALL", "empty", "UNEXPECTED_TOOL_CALL"),
        *(
            (TEXT, word, "cut", word)
            for word in ("error", "abort", "network_error", "insufficient_system_resource", "OTHER")
        ),
        ({"content": None, "refusal": "I will not"}, "stop", "refused", "the model refused: I will not"),
        (TEXT, "refusal", "refused", "the model refused"),
        (NOTHING, "stop", "empty", "the answer is empty"),
        (NOTHING, "length", "empty", "max_tokens left no room"),
        (None, "stop", "empty", "the answer is empty"),
        ({"content": None, "reasoning_content": "hm"}, "stop", "empty", "the answer is empty"),
        (
            {"content": None, "tool_calls": [{"id": "", "function": {"name": "", "arguments": ""}}]},
            "stop",
            "empty",
            "empty",
        ),
        ({"content": None, "function_call": {"name": "", "arguments": ""}}, "stop", "empty", "empty"),
        ({"content": [{"type": "thinking", "thinking": "hm"}]}, "stop", "empty", "empty"),
        ({"content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]}, "tool_calls", "ok", None),
        ({"content": None, "function_call": {"name": "f", "arguments": ""}}, "function_call", "ok", None),
        ({"content": None, "audio": {"id": "a"}}, "stop", "ok", None),
        ({"content": None, "images": [{"image_url": {"url": "https://x"}}]}, "stop", "ok", None),
        ({"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}, "stop", "ok", None),
    ],
)
def test_outcome(message: Any, reason: str | None, outcome: str, words: str | None) -> None:
    """Outcome and diagnosis agree: nothing is said of an ok answer, and the reason is named of any other."""
    found = answer((message, reason))
    assert outcome == found.outcome
    assert (found.diagnosis is None) if words is None else (words in (found.diagnosis or ""))


def test_the_first_choice_that_is_not_ok_counts() -> None:
    """Of several choices the outcome is that of the first with which something is wrong, and it is named."""
    found = answer((TEXT, "stop"), (TEXT, "length"))
    assert ("cut", "choice 1: the answer is cut off: max_tokens was reached; raise max_tokens") == (
        found.outcome,
        found.diagnosis,
    )
    assert ("empty", "the answer is empty") == (ChatCompletion().outcome, ChatCompletion().diagnosis)
