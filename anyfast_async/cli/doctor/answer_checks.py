"""What is odd about answers: the framing of a stream, its chunks, its end, thoughts, usage. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import attrs

from anyfast_async._core.json.jsontext import dumps
from anyfast_async.cli.doctor.error_shapes import answer_error, stream_error
from anyfast_async.cli.doctor.observations import RawAnswer, RawEvent, events_of

REASONS: Final[frozenset[str]] = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_CHUNK: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "prompt_filter_results"})
"""Fields that every client knows, of an answer and of a chunk."""
_NEW_API: Final = frozenset({"system_fingerprint"})


@attrs.frozen
class StreamedChunks:
    """The JSON objects of a stream, taken apart once."""

    events: tuple[RawEvent, ...]
    """Those that are objects and no errors."""

    @property
    def values(self) -> list[dict[str, Any]]:
        """The objects."""
        return [event.value for event in self.events]

    def choices(self) -> Iterator[dict[str, Any]]:
        """Every choice of every chunk."""
        for value in self.values:
            yield from (one for one in value.get("choices") or () if isinstance(one, dict))

    def deltas(self) -> Iterator[dict[str, Any]]:
        """Every delta."""
        return (one["delta"] for one in self.choices() if isinstance(one.get("delta"), dict))


def chunks_of(events: Sequence[RawEvent]) -> StreamedChunks:
    """Return what is a chunk among the events."""
    return StreamedChunks(
        tuple(one for one in events if isinstance(one.value, dict) and one.value.get("type") != "ping")
    )


def text_of(delta: dict[str, Any]) -> str:
    """Return the text in a delta or message."""
    content = delta.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def whole_findings(seen: RawAnswer) -> Iterator[str]:
    """Name what is odd about an answer that was asked for in one."""
    if seen.status is None or seen.end != "whole":
        yield "answer-cut" if seen.end == "cut" else "no-answer"
        return
    if seen.ok and seen.is_stream:
        yield "sse-to-plain-call"
        return
    error = answer_error(seen)
    if error is not None:
        yield error
        return
    value = seen.json()
    yield from _values([value])
    messages = [one.get("message") or {} for one in value.get("choices") or () if isinstance(one, dict)]
    yield from _parts(messages)
    if any(one.get("content", "") is None and not one.get("tool_calls") for one in messages):
        yield "null-content"
    reasons = [one.get("finish_reason") for one in value.get("choices") or ()]
    yield from _reasons(reasons)
    if not value.get("usage"):
        yield "no-usage"


def stream_findings(seen: RawAnswer) -> Iterator[str]:
    """Name what is odd about an answer that was asked for as a stream."""
    if seen.status is None or (seen.end != "whole" and not seen.pieces):
        yield "no-answer"
        return
    if seen.end == "cut":
        yield "stream-cut"
    if not seen.ok or not seen.is_stream:
        error = answer_error(seen)
        yield "json-to-stream-call" if error is None else error
        return
    events = events_of(seen)
    error = stream_error(events)
    yield from _framing(seen, events)
    if error is not None:
        yield error
        return
    chunks = chunks_of(events)
    nothing = not any(text_of(one) or len(one.keys() - {"role", "content"}) for one in chunks.deltas())
    ended = any(one.get("finish_reason") for one in chunks.choices())
    if nothing and not ended and any(not one.get("choices") for one in chunks.values):
        yield "empty-stream"
        return
    yield from _end(events, chunks, seen)
    yield from _form(chunks)
    yield from _parts(list(chunks.deltas()))
    yield from _thoughts(chunks)
    if ended:  # it stands at the end
        yield from _usage(chunks)


# -- framing ---------------------------------------------------------------------------------------------------------


def _framing(seen: RawAnswer, events: Sequence[RawEvent]) -> Iterator[str]:
    if b"\r\n" in seen.body:
        yield "crlf"
    if any(name == "" for event in events for name, _ in event.fields):
        yield "comments"
    if not all(event.spaced for event in events):
        yield "data-without-space"
    pings = [event for event in events if event.name == "ping"]
    if any(isinstance(event.value, dict) for event in pings):
        yield "ping-payload"
    elif pings:
        yield "ping-events"
    if any(event.has_data and not event.data.strip() and not event.name for event in events):
        yield "empty-data"
    named = [event for event in events if event.name not in ("", "ping", "error")]
    if named or any(name in ("id", "retry") for event in events for name, _ in event.fields):
        yield "event-fields"


def _end(events: Sequence[RawEvent], chunks: StreamedChunks, seen: RawAnswer) -> Iterator[str]:
    places = [number for number, event in enumerate(events) if event.is_done]
    finished = any(one.get("finish_reason") for one in chunks.choices())
    if not finished:
        yield "truncated-done" if places else "truncated"
    elif not places:
        yield "no-done"
    if places and not events[places[0]].whole and seen.end == "whole":
        yield "unfinished-done"
    if places and any(event.has_data or event.fields for event in events[places[0] + 1 :]):
        yield "bytes-after-done"


# -- chunks ----------------------------------------------------------------------------------------------------------


def _form(chunks: StreamedChunks) -> Iterator[str]:
    choices = list(chunks.choices())
    yield from _values(chunks.values)
    ids = list(dict.fromkeys(one["id"] for one in chunks.values if one.get("id")))
    if len(ids) > 1:
        yield "second-stream"
    spoken = [(one, text_of(one.get("delta") or {})) for one in choices]
    done = [number for number, (one, _) in enumerate(spoken) if one.get("finish_reason")]
    if len(ids) < 2 and len(done) > 1 and not any(_calls(one) for one, _ in spoken):  # noqa: PLR2004
        yield "finish-on-every-chunk"
    elif done and spoken[done[0]][1]:
        yield "finish-with-last-token"
    roles = sum("role" in (one.get("delta") or {}) for one, _ in spoken)
    if roles > len({one.get("index") for one in choices}) and len(ids) < 2:  # noqa: PLR2004
        yield "role-on-every-chunk"
    if any("delta" in one and one["delta"] is None for one in choices):
        yield "null-delta"
    if any("delta" not in one and "message" not in one for one in choices):
        yield "absent-delta"
    if any("message" in one for one in choices):
        yield "message-for-delta"
    if any(one.get("content") == "" and not one.keys() - {"content"} for one in chunks.deltas()):
        yield "empty-content"
    if any("content" in one and one["content"] is None and not one.get("tool_calls") for one in chunks.deltas()):
        yield "null-content"
    yield from _reasons([one.get("finish_reason") for one in choices])
    yield from _choiceless(chunks)


def _calls(choice: dict[str, Any]) -> Any:
    return (choice.get("delta") or {}).get("tool_calls")


def _choiceless(chunks: StreamedChunks) -> Iterator[str]:
    blank = [one for one in chunks.values if not one.get("choices") and not one.get("usage")]
    if any("prompt_filter_results" in one for one in blank):
        yield "prompt-filter-results"
    if any("choices" not in one or one["choices"] is None for one in blank):
        yield "null-choices"
    elif any("prompt_filter_results" not in one for one in blank):
        yield "no-choices"


def _values(values: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is odd about the outermost fields of answers and chunks."""
    if any(not {"id", "object", "model"} & one.keys() for one in values):
        yield "headless"
    if any(one.keys() - _CHUNK - _NEW_API or one.get("system_fingerprint") for one in values):
        yield "unknown-fields"


def _parts(parts: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is odd about messages and deltas, which have the same fields."""
    if any(isinstance(one.get("content"), list) for one in parts):
        yield "content-parts"
    if any("reasoning" in one and "reasoning_content" not in one for one in parts):
        yield "reasoning-field"
    text = "".join(map(text_of, parts))
    if any(_mark(one) for one in parts):
        yield "thought-in-content"
    elif "<think>" in text:
        yield "thinking-to-content"
    if any(one.get("images") for one in parts):
        yield "delta-images"


def _mark(part: dict[str, Any]) -> Any:
    google = (part.get("extra_content") or {}).get("google") if isinstance(part.get("extra_content"), dict) else None
    return google.get("thought") if isinstance(google, dict) else None


def _reasons(reasons: Sequence[Any]) -> Iterator[str]:
    if any(one and one not in REASONS for one in reasons):
        yield "raw-stop-reason"


def _thoughts(chunks: StreamedChunks) -> Iterator[str]:
    thoughts = [one["reasoning_content"] for one in chunks.deltas() if one.get("reasoning_content")]
    if len(thoughts) > 1 and thoughts[-1] == "\n":
        yield "lone-newline-thought"


def _usage(chunks: StreamedChunks) -> Iterator[str]:
    counted = [one for one in chunks.values if one.get("usage")]
    if len(counted) > 2:  # noqa: PLR2004 - some repeat it at the end
        yield "usage-on-every-chunk"
    elif not counted:
        in_choice = any(one.get("usage") for one in chunks.choices())
        yield "usage-in-choice" if in_choice else "no-usage"


# -- tool calls ------------------------------------------------------------------------------------------------------


def whole_tool_findings(seen: RawAnswer) -> Iterator[str]:
    """Name what is odd about the tool calls of an answer in one."""
    value = seen.json()
    if not seen.ok or not isinstance(value, dict) or answer_error(seen) is not None:
        return
    calls = [call for one in value.get("choices") or () for call in (one.get("message") or {}).get("tool_calls") or ()]
    yield from _tool_forms(calls, apart=False)
    if not calls:
        yield "no-tool-calls"


def stream_tool_findings(seen: RawAnswer) -> Iterator[str]:
    """Name the shape of the tool calls of a stream."""
    if not seen.ok or not seen.is_stream:
        return
    chunks = chunks_of(events_of(seen))
    told = [(one, call) for one in chunks.choices() for call in _calls(one) or () if isinstance(call, dict)]
    if not told:
        return
    calls = [call for _, call in told]
    begun = [call for call in calls if (call.get("function") or {}).get("name")]
    yield from _tool_forms(calls, apart=True)
    reasons = [one.get("finish_reason") for one in chunks.choices() if one.get("finish_reason")]
    indices = [call.get("index") for call in begun]
    if any("index" not in call for call in calls):
        yield _without_index(chunks, calls, begun)
    elif len(begun) > 1 and set(indices) == {0}:
        yield "tool-calls-at-index-0"
    elif indices and indices[0] not in (0, None):
        yield "claude-tool-indices"
    elif len(reasons) > 1:
        yield "tool-calls-then-stop" if reasons[-1] == "stop" else "late-tool-calls"
    elif len(calls) > len(begun) * 2:
        order = [call.get("index") for call in calls]
        turns = sum(a != b for a, b in pairwise(order))
        yield "interleaved-tool-calls" if turns > 2 * len(begun) - 1 else "tool-call-fragments"
    elif len(calls) > len(begun) and any("type" in call and call["type"] is None for call in calls):
        yield "early-tool-calls"
    if reasons and reasons[-1] == "stop" and len(reasons) == 1 and all("index" in call for call in calls):
        yield "tool-calls-end-in-stop"


def _without_index(chunks: StreamedChunks, calls: list[dict[str, Any]], begun: list[dict[str, Any]]) -> str:
    if len(calls) > len(begun):
        return "tool-fragments-without-index"
    together = any(len(_calls(one) or ()) > 1 for one in chunks.choices())
    return "tool-call-list-without-index" if together else "tool-calls-without-index"


def _tool_forms(calls: Sequence[dict[str, Any]], *, apart: bool) -> Iterator[str]:
    begun = [call for call in calls if (call.get("function") or {}).get("name")]
    if any(not call.get("id") for call in begun):
        yield "bare-tool-calls"
    if any(isinstance((call.get("function") or {}).get("arguments"), dict) for call in calls):
        yield "argument-objects"
    signed = [call for call in calls if b"thought_signature" in dumps(call)]
    if signed:
        yield (
            "thought-signature-apart"
            if apart and not (signed[0].get("function") or {}).get("name")
            else ("thought-signature")
        )
