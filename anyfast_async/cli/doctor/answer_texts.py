"""What each finding about answers is called, what it means for a program, and what to do. Words only."""

from __future__ import annotations

from typing import Final, Literal

import attrs

Level = Literal["ok", "note", "warning", "problem"]
"""Good; odd, and this client copes; costs something; something that was asked for did not come."""

COPED: Final = "This client reads it; a parser of your own, or another client, may not."
NOTHING: Final = "Nothing, with this client."


@attrs.frozen
class Words:
    """The words of a finding."""

    level: Level
    title: str
    meaning: str = COPED
    advice: str = NOTHING


def _note(title: str, meaning: str = COPED, advice: str = NOTHING) -> Words:
    return Words("note", title, meaning, advice)


def _warning(title: str, meaning: str, advice: str) -> Words:
    return Words("warning", title, meaning, advice)


def _problem(title: str, meaning: str, advice: str) -> Words:
    return Words("problem", title, meaning, advice)


_GO_BY_FINISH: Final = "Go by finish_reason, not by [DONE]; this client does."
_UPSTREAM: Final = "Ask the operator which upstream serves this model, or choose another model or channel."
_CUT: Final = "What came is not the whole answer. This client raises IncompleteStreamError with what came as .partial."
_ASK_AGAIN: Final = "Run doctor again; if it stays, report it to the operator with the request id."
_SUMMED: Final = "Token counts, costs and budgets are estimates where no usage comes."
_LATE: Final = "The answer fails after the status 200: programs that look at the status alone take it for a success."
_SHAPE: Final = "The request failed, with an error of this shape. This client finds its message, code and delay."

ANSWERS: Final[dict[str, Words]] = {
    # framing
    "crlf": _note("lines of the stream end in CR LF"),
    "comments": _note("the stream has comments, as signs of life"),
    "empty-data": _note("the stream has events with empty data, as signs of life"),
    "ping-events": _note("the stream has ping events without data"),
    "ping-payload": _note("the stream has ping events with a JSON object", "It is no chunk. " + COPED),
    "data-without-space": _note("no space follows data: in the stream"),
    "event-fields": _note("events of the stream have event:, id: or retry: fields"),
    # the end
    "no-done": _note("the stream ends without [DONE]", "Clients that wait for it wait in vain.", _GO_BY_FINISH),
    "unfinished-done": _note(
        "no blank line follows [DONE]", "By the rules of event streams it is never dispatched.", _GO_BY_FINISH
    ),
    "bytes-after-done": _warning(
        "more comes after [DONE]", "It is no part of the answer, and this client leaves it out.", _ASK_AGAIN
    ),
    "truncated": _problem(
        "the stream ends in good order, but in the middle: no finish_reason, no [DONE]", _CUT, _UPSTREAM
    ),
    "truncated-done": _problem(
        "the stream ends with [DONE], but without finish_reason",
        "[DONE] is written after upstreams that broke off, too. " + _CUT,
        _GO_BY_FINISH + " " + _UPSTREAM,
    ),
    "stream-cut": _problem(
        "the connection broke before the stream's end",
        _CUT,
        "See whether a proxy on the way has a time limit for answers (nginx: proxy_read_timeout), and raise it.",
    ),
    "answer-cut": _problem("the connection broke before the answer's end", "The answer is lost.", _ASK_AGAIN),
    "no-answer": _problem("no answer came", "Nothing can be told of it.", _ASK_AGAIN),
    "empty-stream": _problem(
        "the stream has a role and no content: the prompt was blocked, or nothing was generated",
        "This client raises IncompleteStreamError(reason='empty').",
        "Try another prompt or model; see the gateway's log for the reason.",
    ),
    "second-stream": _problem(
        "a second answer begins in the same stream",
        "The gateway tried again after it had begun to answer: texts of two answers follow each other.",
        "Ask the operator to switch off retries of streams that have begun.",
    ),
    "json-to-stream-call": _warning(
        "a stream was asked for, and one JSON object came",
        "Nothing is shown before all of it is there. This client takes it as an answer.",
        "Ask the operator to switch on streaming for this model.",
    ),
    "sse-to-plain-call": _note("an event stream answers requests that asked for none", "This client folds it."),
    # chunks
    "finish-with-last-token": _note(
        "finish_reason stands in the chunk of the last text", "A client that stops there before the text loses it."
    ),
    "finish-on-every-chunk": _warning(
        "every chunk has a finish_reason", "A client that stops at the first one loses the rest.", NOTHING
    ),
    "role-on-every-chunk": _note("every chunk repeats the role"),
    "raw-stop-reason": _note("a finish_reason that OpenAI's API does not have", advice="Do not compare with 'stop'."),
    "null-delta": _note("delta is null in some chunks"),
    "absent-delta": _note("some chunks have no delta"),
    "message-for-delta": _warning(
        "the whole message comes in one chunk instead of deltas",
        "Nothing is shown before all of it is there.",
        _UPSTREAM,
    ),
    "empty-content": _note("content is an empty text in chunks that have none"),
    "null-content": _note("content is null where there is none"),
    "content-parts": _note("content is a list of parts instead of a text"),
    "no-choices": _note("chunks without choices in the middle of the stream"),
    "null-choices": _note("choices is null or missing in some chunks"),
    "prompt-filter-results": _note("the first chunk holds filter results, and no choice"),
    "unknown-fields": _note("fields that OpenAI-compatible gateways need not have", "They are kept in .extra."),
    "headless": _note("no id, object and model", "Answers cannot be told apart by their ids in logs."),
    "delta-images": _note("pictures come beside the text, under images", "They are in .images."),
    # thoughts
    "reasoning-field": _note("thoughts come as reasoning, not reasoning_content", "They are in .reasoning."),
    "thinking-to-content": _warning(
        "thoughts stand in the text, between <think> and </think>",
        "They are a part of .text: users see them, and JSON in it is no JSON.",
        "Ask the operator to switch off thinking_to_content, or cut them out.",
    ),
    "thought-in-content": _warning(
        "thoughts stand in the text, marked by extra_content.google.thought",
        "Clients that do not know the mark show them.",
        "Do not ask for include_thoughts, or cut them out.",
    ),
    "lone-newline-thought": _note("a last thought of a single newline, for a signature"),
    # usage
    "usage-on-every-chunk": _note("every chunk has the usage so far", "Whoever adds them up counts too much."),
    "usage-in-choice": _note("usage stands in the last choice"),
    "no-usage": _warning("no usage comes with answers", _SUMMED, "Ask the operator to relay the upstream's usage."),
    # tool calls
    "early-tool-calls": _note("tool calls: ids and names in one chunk, all arguments in the next"),
    "late-tool-calls": _note("tool calls: each whole in a chunk that has a finish_reason already"),
    "tool-calls-then-stop": _note(
        "tool calls: each whole in a chunk with finish_reason, and the last one says 'stop'",
        "A loop that goes by finish_reason == 'tool_calls' at the end calls nothing.",
        "Look whether there are tool calls, not at finish_reason.",
    ),
    "tool-calls-end-in-stop": _note(
        "finish_reason is 'stop' after tool calls",
        "A loop that goes by finish_reason == 'tool_calls' calls nothing.",
        "Look whether there are tool calls, not at finish_reason.",
    ),
    "tool-calls-at-index-0": _warning(
        "all parallel tool calls have index 0",
        "Clients that go by the index make one call of them, with arguments that are no JSON. This client tells them "
        "apart by their ids and names.",
        NOTHING,
    ),
    "tool-call-fragments": Words("ok", "tool calls: arguments in fragments that go by the index"),
    "interleaved-tool-calls": _note("tool calls: fragments of parallel calls take turns"),
    "claude-tool-indices": _note("tool calls: indices do not begin at 0 and have gaps"),
    "tool-calls-without-index": _note("tool calls: whole and without index, one per chunk"),
    "tool-call-list-without-index": _note("tool calls: whole and without index, all in one chunk"),
    "tool-fragments-without-index": _note("tool calls: fragments with neither index nor id"),
    "bare-tool-calls": _warning(
        "tool calls have no id", "Results cannot name the call that they answer; this client makes ids up.", NOTHING
    ),
    "argument-objects": _note("arguments of tool calls are a JSON object instead of its text"),
    "thought-signature": _warning(
        "tool calls carry a thought signature",
        "A history without it is refused with 400.",
        "Put the answer's message into the history as it is (choices[0].message), extra fields included.",
    ),
    "thought-signature-apart": _warning(
        "tool calls carry a thought signature, in a delta of its own",
        "A history without it is refused with 400.",
        "Put the answer's message into the history as it is (choices[0].message), extra fields included.",
    ),
    "no-tool-calls": _note("the model called no tool, though it was told to", "tool_choice may not be obeyed."),
    # errors in a stream
    "error-event": _problem("an error comes as an event in the middle of the stream", _LATE, _ASK_AGAIN),
    "error-event-first": _problem("the first event of the stream is an error", _LATE, _ASK_AGAIN),
    "named-error-event": _problem("the stream has an event: error with an object", _LATE, _ASK_AGAIN),
    "text-error-event": _problem("the stream has an event: error with plain text", _LATE, _ASK_AGAIN),
    "string-error-event": _problem("the stream has an event whose error is a text", _LATE, _ASK_AGAIN),
    "list-error-event": _problem("the stream has an event that is a list with an error", _LATE, _ASK_AGAIN),
    "openrouter-error-chunk": _problem("a chunk of the stream has an error beside its choices", _LATE, _ASK_AGAIN),
    "vllm-error-event": _problem("the stream has an error whose code is a status", _LATE, _ASK_AGAIN),
    "vllm-bare-error": _problem("the stream has an object that is an error itself", _LATE, _ASK_AGAIN),
    "error-after-ping": _problem("after a comment the stream ends in an error that is no event", _LATE, _ASK_AGAIN),
    "bare-error-after-content": _problem(
        "after content the stream ends in an error that is no event", _LATE, _ASK_AGAIN
    ),
    # errors instead of an answer
    "blocked-prompt": _problem("the prompt was blocked", "Nothing was generated.", "Try another prompt or model."),
    "empty-response": _problem("the model generated nothing", "There is an error, or no text.", _UPSTREAM),
    "error": _problem("the request failed", _SHAPE, _ASK_AGAIN),
    "error-in-200": _problem("status 200, and an error object", _LATE, _ASK_AGAIN),
    "list-error-in-200": _problem("status 200, and a list with an error", _LATE, _ASK_AGAIN),
    "html-200": _problem(
        "status 200, and a web page",
        "This address leads to a page for people, not to the API.",
        "See ANYFAST_BASE_URL: it usually ends in /v1.",
    ),
    "no-success-200": _problem("status 200, and success is false", _LATE, _ASK_AGAIN),
    "truncated-json": _problem("status 200, and half of a JSON object", "The answer is lost.", _ASK_AGAIN),
    "no-json": _problem("status 200, and no JSON", "The answer is lost.", "See ANYFAST_BASE_URL."),
    "no-completion": _problem("status 200, and JSON that is no completion", "No answer.", "See ANYFAST_BASE_URL."),
    "empty-answer": _problem("status 200, and no body", "The answer is lost.", _ASK_AGAIN),
    "json-error-as-event-stream": _problem("an error in JSON under the content type of a stream", _SHAPE, _ASK_AGAIN),
    "integer-code": _problem("the request failed; the code is a number", _SHAPE, _ASK_AGAIN),
    "google-error": _problem("the request failed, with Google's own error", _SHAPE, _ASK_AGAIN),
    "list-error": _problem("the request failed, with an error in a list", _SHAPE, _ASK_AGAIN),
    "nested-error": _problem("the request failed; the message is the upstream's JSON", _SHAPE, _ASK_AGAIN),
    "string-error": _problem("the request failed; the error is a text", _SHAPE, _ASK_AGAIN),
    "detail-error": _problem("the request failed, with FastAPI's detail", _SHAPE, _ASK_AGAIN),
    "problem-json": _problem("the request failed, with problem details (RFC 9457)", _SHAPE, _ASK_AGAIN),
    "html-error": _problem(
        "the request failed, with a web page",
        "A proxy before the gateway answers, not the gateway.",
        "See the proxy's log: it did not reach the gateway, or did not wait for it.",
    ),
    "text-error": _problem("the request failed, with plain text", _SHAPE, _ASK_AGAIN),
    "empty-error": _problem("the request failed, without a body", "The status is all there is to go by.", _ASK_AGAIN),
    "unusual-error": _problem("the request failed, in a shape of its own", _SHAPE, _ASK_AGAIN),
}
"""By name."""
