"""Quirks in how a stream is framed and how it ends, and answers in the form that was not asked for."""

from __future__ import annotations

from anyfast_async.simulator.http.encoding import DONE, encode, event
from anyfast_async.simulator.quirks.draft import AnswerDraft, Quirk

__all__ = ["FRAMING"]

_WHATWG = "WHATWG HTML 9.2.6 (interpreting an event stream)"


# -- framing -------------------------------------------------------------------------------------------------


def _comments(wire: AnswerDraft) -> None:
    wire.insert(wire.first_content(), b": keep-alive\n\n", b":\n\n", b": OPENROUTER PROCESSING\n\n")
    wire.insert(0, b": OPENROUTER PROCESSING\n\n")


def _empty_data(wire: AnswerDraft) -> None:
    wire.insert(wire.first_content(), b"data:\n\n", b"data: \n\n")
    wire.insert(0, b"data:\n\n")


def _ping_events(wire: AnswerDraft) -> None:
    wire.insert(wire.first_content(), b"event: ping\ndata:\n\n", b"event: ping\n\n")


def _ping_payload(wire: AnswerDraft) -> None:
    wire.insert(wire.first_content(), b'event: ping\ndata: {"type": "ping"}\n\n')


def _no_space(wire: AnswerDraft) -> None:
    wire.frame = lambda value: b"data:" + encode(value) + b"\n\n"
    for piece in wire.pieces:
        if piece.data == DONE:
            piece.data = b"data:[DONE]\n\n"


def _crlf(wire: AnswerDraft) -> None:
    wire.line_end = b"\r\n"


def _event_fields(wire: AnswerDraft) -> None:
    wire.frame = lambda value: b"event: message\nid: 7\nretry: 3000\n" + event(value)


def _no_done(wire: AnswerDraft) -> None:
    wire.remove_done()


def _unfinished_done(wire: AnswerDraft) -> None:
    """Nothing ends the last line."""
    wire.remove_done()
    wire.insert(len(wire.pieces), b"data: [DONE]")


def _truncated(wire: AnswerDraft) -> None:
    wire.break_off()


def _truncated_done(wire: AnswerDraft) -> None:
    wire.break_off(DONE)


def _after_done(wire: AnswerDraft) -> None:
    late = {"delta": {"content": "AFTER THE END"}, "logprobs": None, "finish_reason": None, "index": 0}
    wire.insert(len(wire.pieces), {**wire.blank_chunk(), "choices": [late]}, b"garbage\n\n")


# -- the other form ------------------------------------------------------------------------------------------


def _sse_to_plain_call(wire: AnswerDraft) -> None:
    wire.streamed = True


def _json_to_stream_call(wire: AnswerDraft) -> None:
    wire.streamed = False


FRAMING = (
    Quirk(
        "comments",
        "comments before and between the events",
        "OpenRouter, streaming (: OPENROUTER PROCESSING); new-api relay/helper/common.go (: PING)",
        "streamed",
        _comments,
    ),
    Quirk(
        "empty-data",
        "events with empty data as signs of life",
        "modelcontextprotocol/python-sdk#1670; netease-lcap/wave-agent#1326",
        "streamed",
        _empty_data,
    ),
    Quirk("ping-events", "ping events without data", "caozhiyuan/copilot-api#88", "streamed", _ping_events),
    Quirk(
        "ping-payload",
        'ping events with {"type": "ping"}',
        "Anthropic API, streaming messages; caozhiyuan/copilot-api#88",
        "streamed",
        _ping_payload,
    ),
    Quirk("data-without-space", "no space after data:", _WHATWG, "streamed", _no_space),
    Quirk("crlf", "lines end in CR LF", _WHATWG, "streamed", _crlf),
    Quirk("event-fields", "event:, id: and retry: fields with every event", _WHATWG, "streamed", _event_fields),
    Quirk(
        "no-done",
        "the stream ends in good order, with a finish reason, but without [DONE]",
        "gpustack/llama-box#2; huggingface/text-generation-inference#1896",
        "streamed",
        _no_done,
    ),
    Quirk(
        "unfinished-done",
        "the stream ends right after [DONE], without the blank line",
        f"{_WHATWG}: such an event is not dispatched",
        "streamed",
        _unfinished_done,
    ),
    Quirk(
        "truncated",
        "the upstream breaks off: the stream ends in good order, without finish reason and [DONE]",
        "CherryHQ/cherry-studio#19793",
        "streamed",
        _truncated,
    ),
    Quirk(
        "truncated-done",
        "the upstream breaks off: [DONE], without finish reason",
        "new-api relay/helper/stream_scanner.go and relay/helper/common.go (Done)",
        "streamed",
        _truncated_done,
    ),
    Quirk("bytes-after-done", "more bytes after [DONE]", "openai/openai-python#3440", "streamed", _after_done),
    Quirk(
        "sse-to-plain-call",
        "an event stream answers a request that is not streamed",
        "new-api relay/compatible_handler.go: the upstream's content type decides",
        "whole",
        _sse_to_plain_call,
    ),
    Quirk(
        "json-to-stream-call",
        "one JSON object answers a streamed request",
        "upstreams that do not stream, relayed by new-api relay/compatible_handler.go",
        "streamed",
        _json_to_stream_call,
    ),
)
"""What gateways and providers do around the events of a stream."""
