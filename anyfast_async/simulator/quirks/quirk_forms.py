"""Quirks in how text, thoughts, choices and usage are put into an answer."""

from __future__ import annotations

import base64
import copy
from random import Random
from typing import TYPE_CHECKING, Any

from anyfast_async.simulator.model.picture import png
from anyfast_async.simulator.quirks.draft import AnswerDraft, Quirk

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FORMS"]

_OPENAI = "OpenAI API reference, streaming chat completions"
_GEMINI = "new-api relay/channel/gemini/relay-gemini.go (GeminiChatStreamHandler)"
_CLAUDE = "new-api relay/channel/claude/relay-claude.go"
_NEW_API = "new-api relay/channel/openai/relay-openai.go"


# -- finish reason and role ----------------------------------------------------------------------------------


def _finishing(wire: AnswerDraft) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The chunk that ends each choice with an empty delta, and the last one with content before it."""
    last: dict[int, dict[str, Any]] = {}
    for chunk in tuple(wire.chunks()):
        for choice in chunk.get("choices") or ():
            before = last.get(choice.get("index"))
            if choice.get("finish_reason") and choice.get("delta") == {} and before is not None:
                yield chunk, before
            last[choice.get("index")] = choice


def _finish_with_last_token(wire: AnswerDraft) -> None:
    for chunk, before in tuple(_finishing(wire)):
        before["finish_reason"] = chunk["choices"][0]["finish_reason"]
        wire.remove(lambda one, ended=chunk: one is ended)  # type: ignore[misc]


def _finish_on_every_chunk(wire: AnswerDraft) -> None:
    for choice in wire.choices():
        choice["finish_reason"] = choice.get("finish_reason") or "stop"


def _role_on_every_chunk(wire: AnswerDraft) -> None:
    for choice in wire.choices():
        if isinstance(choice.get("delta"), dict):
            choice["delta"]["role"] = "assistant"
        if choice.get("finish_reason") is None:
            choice.pop("finish_reason", None)
        choice.pop("logprobs", None)


def _raw_stop_reason(wire: AnswerDraft) -> None:
    whole = wire.whole.get("choices") if isinstance(wire.whole, dict) else None
    for choice in (*(whole or ()), *wire.choices()):
        if choice.get("finish_reason") == "stop":
            choice["finish_reason"] = "pause_turn"


# -- deltas --------------------------------------------------------------------------------------------------


def _empty_delta(wire: AnswerDraft, *, absent: bool) -> None:
    for choice in wire.choices():
        if choice.get("delta") == {}:
            choice["delta"] = None
            if absent:
                del choice["delta"]
    nothing: dict[str, Any] = {"index": 0, "finish_reason": None}
    wire.insert(1, {**wire.blank_chunk(), "choices": [nothing if absent else {**nothing, "delta": None}]})


def _null_delta(wire: AnswerDraft) -> None:
    _empty_delta(wire, absent=False)


def _absent_delta(wire: AnswerDraft) -> None:
    _empty_delta(wire, absent=True)


def _message_for_delta(wire: AnswerDraft) -> None:
    if not isinstance(wire.whole, dict) or "choices" not in wire.whole:
        return
    chunk = {**wire.blank_chunk(), "choices": copy.deepcopy(wire.whole["choices"])}
    wire.remove(lambda one: one.get("choices"))
    wire.insert(0, chunk)


def _empty_content(wire: AnswerDraft) -> None:
    for choice in wire.choices():
        if isinstance(choice.get("delta"), dict):
            choice["delta"].setdefault("content", "")
    nothing = {"delta": {"content": ""}, "logprobs": None, "finish_reason": None, "index": 0}
    wire.insert(wire.first_content(), {**wire.blank_chunk(), "choices": [nothing]})


def _content_parts(wire: AnswerDraft) -> None:
    for part in wire.parts():
        if isinstance(part.get("content"), str) and part["content"]:
            part["content"] = [{"type": "text", "text": part["content"]}]


def _null_content(wire: AnswerDraft) -> None:
    for part in wire.parts():
        if part.get("content") == "":
            part["content"] = None


def _no_choices(wire: AnswerDraft) -> None:
    wire.insert(wire.first_content(), wire.blank_chunk())


def _null_choices(wire: AnswerDraft) -> None:
    blank = wire.blank_chunk()
    del blank["choices"]
    wire.insert(wire.first_content(), {**blank, "choices": None}, blank)


def _prompt_filter_results(wire: AnswerDraft) -> None:
    verdict = {"hate": {"filtered": False, "severity": "safe"}}
    results = [{"prompt_index": 0, "content_filter_results": verdict}]
    empty = {"id": "", "model": "", "object": "", "created": 0, "choices": []}
    wire.insert(0, {**empty, "prompt_filter_results": results})


def _unknown_fields(wire: AnswerDraft) -> None:
    for number, chunk in enumerate(wire.chunks()):
        chunk |= {"service_tier": "default", "system_fingerprint": "fp_44709d6fcb", "obfuscation": "aB3" * (number % 4)}
    if isinstance(wire.whole, dict):
        wire.whole |= {"service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}


def _second_stream(wire: AnswerDraft) -> None:
    again = copy.deepcopy(wire.pieces)
    for piece in again:
        if isinstance(piece.data, dict):
            piece.data["id"] = "chatcmpl-second"
    del wire.pieces[wire.first_content() :]
    wire.pieces += again


# -- thoughts ------------------------------------------------------------------------------------------------


def _reasoning_field(wire: AnswerDraft) -> None:
    for part in wire.parts():
        if "reasoning_content" in part:
            part["reasoning"] = part.pop("reasoning_content")


def _thoughts_swallow_text(wire: AnswerDraft) -> None:
    """The first piece of text comes in one upstream event with the last thought."""
    thought: dict[str, Any] | None = None
    for delta in wire.deltas():
        if delta.get("reasoning_content"):
            thought = delta
        elif thought is not None and isinstance(delta.get("content"), str) and delta["content"]:
            thought["reasoning_content"] += delta.pop("content")
            break
    wire.remove(lambda one: _one_delta(one) == {} and not one["choices"][0].get("finish_reason"))


def _one_delta(chunk: dict[str, Any]) -> Any:
    return chunk["choices"][0].get("delta") if chunk.get("choices") else None


def _thinking_to_content(wire: AnswerDraft) -> None:
    for message in wire.messages():
        thoughts = message.pop("reasoning_content", None)
        if thoughts:
            message["content"] = f"<think>\n{thoughts}\n</think>\n{message['content']}"
    _marked(wire, "<think>\n", "\n</think>\n", {})


def _thought_in_content(wire: AnswerDraft) -> None:
    mark = {"extra_content": {"google": {"thought": True}}}
    for message in wire.messages():
        thoughts = message.pop("reasoning_content", None)
        if thoughts:
            message |= {"content": f"<thought>{thoughts}</thought>{message['content']}", **copy.deepcopy(mark)}
    _marked(wire, "<thought>", "</thought>", mark)


def _marked(wire: AnswerDraft, begin: str, end: str, mark: dict[str, Any]) -> None:
    """Move the thoughts of a stream into its text, between two marks."""
    last: dict[int, dict[str, Any]] = {}
    for choice in wire.choices():
        delta, index = choice.get("delta") or {}, choice.get("index", 0)
        thought = delta.pop("reasoning_content", None)
        if thought:
            delta |= {"content": thought if index in last else begin + thought, **copy.deepcopy(mark)}
            last[index] = delta
    for delta in last.values():
        delta["content"] += end


def _lone_newline_thought(wire: AnswerDraft) -> None:
    """The signature of a thinking block comes as a thought of one newline."""
    last: dict[int, dict[str, Any]] = {}
    for chunk in wire.chunks():
        for choice in chunk.get("choices") or ():
            if (choice.get("delta") or {}).get("reasoning_content"):
                last[choice.get("index", 0)] = chunk
    for index, chunk in last.items():
        place = next(i for i, piece in enumerate(wire.pieces) if piece.data is chunk) + 1
        choice = {"delta": {"reasoning_content": "\n"}, "logprobs": None, "finish_reason": None, "index": index}
        wire.insert(place, {**wire.blank_chunk(), "choices": [choice]})


def _delta_images(wire: AnswerDraft) -> None:
    picture = base64.b64encode(png(Random(0))).decode()  # noqa: S311  # always the same
    images = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}, "index": 0}]
    for message in wire.messages():
        message["images"] = copy.deepcopy(images)
    choice = {"delta": {"content": "", "images": images}, "logprobs": None, "finish_reason": None, "index": 0}
    wire.insert(wire.first_content(), {**wire.blank_chunk(), "choices": [choice]})


# -- usage ---------------------------------------------------------------------------------------------------


def _usage_on_every_chunk(wire: AnswerDraft) -> None:
    final = wire.usage()
    if final is None:
        return
    chunks = list(wire.chunks())
    for number, chunk in enumerate(chunks[:-1]):
        done = final["completion_tokens"] * number // len(chunks)
        total = final["prompt_tokens"] + done
        chunk["usage"] = {**copy.deepcopy(final), "completion_tokens": done, "total_tokens": total}


def _usage_in_choice(wire: AnswerDraft) -> None:
    final = wire.usage()
    ends = [choice for choice in wire.choices() if choice.get("finish_reason")]
    if final is None or not ends:
        return
    wire.remove(lambda chunk: chunk.get("usage"))
    ends[-1]["usage"] = final


def _no_usage(wire: AnswerDraft) -> None:
    wire.remove(lambda chunk: chunk.get("usage") and not chunk.get("choices"))
    for chunk in wire.chunks():
        chunk.pop("usage", None)
    if isinstance(wire.whole, dict):
        wire.whole.pop("usage", None)


def _headless(wire: AnswerDraft) -> None:
    for value in (*wire.chunks(), *((wire.whole,) if isinstance(wire.whole, dict) else ())):
        for name in ("id", "object", "model"):
            value.pop(name, None)
        if "created" in value:
            value["created"] = float(value["created"])


FORMS = (
    Quirk(
        "finish-with-last-token",
        "the finish reason stands in the chunk of the last token",
        f"vllm-project/vllm#35705; {_GEMINI}, for every reason but STOP",
        "streamed",
        _finish_with_last_token,
    ),
    Quirk(
        "finish-on-every-chunk",
        'every chunk says "stop", the first one too',
        "QuantumNous/new-api#378; su-kaka/gcli2api#403",
        "streamed",
        _finish_on_every_chunk,
    ),
    Quirk(
        "role-on-every-chunk",
        "every chunk repeats the role, and lacks finish_reason until the end",
        "Gemini API, OpenAI compatibility (ai.google.dev/gemini-api/docs/openai); vllm-project/vllm#19650",
        "streamed",
        _role_on_every_chunk,
    ),
    Quirk(
        "raw-stop-reason",
        'a reason that OpenAI does not know, "pause_turn"',
        f"{_CLAUDE}, for stop reasons without an equivalent",
        "both",
        _raw_stop_reason,
    ),
    Quirk("null-delta", "delta is null", "upstreams relayed verbatim, " + _NEW_API, "streamed", _null_delta),
    Quirk(
        "absent-delta", "choices without delta", "upstreams relayed verbatim, " + _NEW_API, "streamed", _absent_delta
    ),
    Quirk(
        "message-for-delta",
        "one chunk with the whole message instead of deltas",
        "upstreams that do not stream, relayed verbatim, " + _NEW_API,
        "streamed",
        _message_for_delta,
    ),
    Quirk("empty-content", 'content is "" on every chunk that has none', _GEMINI, "streamed", _empty_content),
    Quirk(
        "content-parts",
        "content is a list of parts instead of a string",
        "OpenAI API reference, message content; Mistral API, content chunks",
        "both",
        _content_parts,
    ),
    Quirk("null-content", "content is null where there is none", _OPENAI, "both", _null_content),
    Quirk(
        "no-choices",
        "a chunk in the middle has no choices and null usage",
        f"{_GEMINI}, for upstream events without candidates",
        "streamed",
        _no_choices,
    ),
    Quirk(
        "null-choices",
        "chunks in the middle have null choices, or no such field",
        "upstreams relayed verbatim, " + _NEW_API,
        "streamed",
        _null_choices,
    ),
    Quirk(
        "prompt-filter-results",
        "the first chunk has no choices, no id and no model, but filter results",
        "Azure OpenAI, content filtering (prompt_filter_results)",
        "streamed",
        _prompt_filter_results,
    ),
    Quirk(
        "unknown-fields",
        "service_tier, system_fingerprint, and padding under obfuscation",
        f"{_OPENAI}; relayed verbatim, {_NEW_API}",
        "both",
        _unknown_fields,
    ),
    Quirk(
        "second-stream",
        "the upstream breaks off, and the gateway starts a whole new answer in the same stream",
        f"{_CLAUDE} with retries, new-api controller/relay.go",
        "streamed",
        _second_stream,
    ),
    Quirk(
        "reasoning-field",
        "thoughts come as reasoning instead of reasoning_content",
        "vLLM (reasoning outputs), OpenRouter (reasoning tokens), Ollama (thinking)",
        "both",
        _reasoning_field,
    ),
    Quirk(
        "thoughts-swallow-text",
        "an upstream event with thought and text goes to reasoning_content as a whole",
        _GEMINI,
        "streamed",
        _thoughts_swallow_text,
    ),
    Quirk(
        "thinking-to-content",
        "thoughts stand in the text, between <think> and </think>",
        f"{_NEW_API}, channel setting thinking_to_content",
        "both",
        _thinking_to_content,
    ),
    Quirk(
        "thought-in-content",
        "thoughts stand in the text, marked by extra_content.google.thought",
        "Gemini API, OpenAI compatibility with include_thoughts (ai.google.dev/gemini-api/docs/openai)",
        "both",
        _thought_in_content,
    ),
    Quirk(
        "lone-newline-thought",
        "after the thoughts one more, a single newline, for their signature",
        f"{_CLAUDE}, signature_delta",
        "streamed",
        _lone_newline_thought,
    ),
    Quirk(
        "delta-images",
        "a picture beside the text, under images",
        "OpenRouter, image generation; LiteLLM, Gemini image generation",
        "both",
        _delta_images,
    ),
    Quirk(
        "usage-on-every-chunk",
        "every chunk has the usage so far",
        "xAI API, streaming; vLLM, continuous_usage_stats",
        "streamed",
        _usage_on_every_chunk,
    ),
    Quirk(
        "usage-in-choice",
        "usage stands in the last choice",
        f"Moonshot API, streaming; read so by {_NEW_API}",
        "streamed",
        _usage_in_choice,
    ),
    Quirk(
        "no-usage",
        "no usage at all",
        "OpenAI API reference, streaming (stream_options.include_usage); vLLM without it",
        "both",
        _no_usage,
    ),
    Quirk(
        "headless",
        "no id, object and model; created is a float",
        "upstreams relayed verbatim, new-api dto/openai_response.go (created is of any type)",
        "both",
        _headless,
    ),
)
"""What gateways and providers do to the form of an answer."""
