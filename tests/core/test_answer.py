"""(status, headers, body) to the right answer or exception: error shapes, recorded streams, real servers' bytes."""

from __future__ import annotations

import base64
import json
import pickle
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import errors
from anyfast_async._core import answer
from anyfast_async._core.json import codec
from anyfast_async._core.sse import Decoder
from anyfast_async._core.stream.completeness import verdict
from anyfast_async._core.stream.fold import Fold
from anyfast_async._core.stream.reader import AnswerReader
from anyfast_async._core.usual_answer import usual_completion
from anyfast_async._http.api_key import Secret
from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import (
    AnyFastError,
    APIError,
    APIStatusError,
    IncompleteStreamError,
    InsufficientQuotaError,
    ModelNotFoundError,
    ResponseShapeError,
)

DATA = Path(__file__).parents[1] / "data"
NOW = 1_000_000.0


def error(status: int, body: Any, headers: Mapping[str, str] | None = None, **kwargs: Any) -> APIStatusError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer.error_of(status, headers or {}, raw, now=NOW, **kwargs)


def completion(body: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> ChatCompletion:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer.completion_of(status, headers or {"content-type": "application/json"}, raw, now=NOW)


# -- a stream without any input or output ----------------------------------------------------------------------------


class Outcome(NamedTuple):
    completion: ChatCompletion
    error: AnyFastError | None


def read(pieces: Iterable[bytes], headers: Mapping[str, str] | None = None, *, broken: bool = False) -> Outcome:
    """Do what a stream does with the pieces of a body: read, fold, judge."""
    reader, fold = AnswerReader(headers or {}, clock=lambda: NOW), Fold()
    for piece in pieces:
        if not reader.done and reader.error is None:
            reader.feed(piece)
    if not reader.done and not broken and reader.error is None:
        reader.close()
    for item in reader.items:
        fold.take(item)
    error = reader.error
    if broken and not reader.done and error is None:
        error = IncompleteStreamError("the stream broke off")
        error.reason = "cut"
    return Outcome(fold.completion(), error or verdict(fold, accept_missing_finish=False))


def event(data: bytes, kind: str = "message", headers: Mapping[str, str] | None = None, **kwargs: Any) -> Any:
    """Return the chunk that an event is read as, None if it says nothing; raise what it says went wrong."""
    reader = AnswerReader(headers or {}, clock=lambda: NOW, **kwargs)
    lines = b"".join(b"data: %b\n" % line for line in data.split(b"\n"))
    reader.feed(b"event: %b\n" % kind.encode() + lines + b"\n")
    if reader.error is not None:
        raise reader.error
    return reader.items[0] if reader.items else None


LLM: list[dict[str, Any]] = json.loads((DATA / "sse_vectors.json").read_text(encoding="utf-8"))["llm"]
OUTCOMES: dict[str, tuple[type[AnyFastError], ...]] = {
    "truncated": (IncompleteStreamError,),
    "api_error": (APIError,),
    "protocol_error": (ResponseShapeError,),
}


def outcome_word(error: AnyFastError | None) -> str:
    if error is None:
        return "complete"
    return next(word for word, kinds in OUTCOMES.items() if isinstance(error, kinds))


def judged(vector: dict[str, Any], pieces: list[bytes]) -> Outcome:
    headers = {"content-type": vector["content_type"]}
    if "event-stream" in vector["content_type"]:
        return read(pieces, headers, broken="0-chunk" in vector.get("transport", ""))
    try:
        return Outcome(answer.completion_of(200, headers, b"".join(pieces), now=NOW), None)
    except AnyFastError as found:
        return Outcome(ChatCompletion(), found)


def test_all_llm_vectors_are_there() -> None:
    """The file holds the 44 recorded and derived streams."""
    assert 44 == len(LLM)


@pytest.mark.parametrize("step", [None, 1], ids=["whole", "byte-by-byte"])
@pytest.mark.parametrize("vector", LLM, ids=[v["name"] for v in LLM])
def test_llm_vector(vector: dict[str, Any], step: int | None) -> None:
    """A recorded stream ends as it should: outcome, text per choice, reasons, usage, tool calls, status and message."""
    body, want = base64.b64decode(vector["input_b64"]), vector["expect"]
    if step and len(body) > 50_000:
        step = 997
    found, failed = judged(vector, [body[i : i + step] for i in range(0, len(body), step)] if step else [body])
    assert outcome_word(failed) in want.get("any_of", [want["outcome"]])
    if want["outcome"] == "any_of":
        return
    assert want["text"] == {str(c.index): c.message.text for c in found.choices if c.message}
    if "finish_reason" in want:
        assert want["finish_reason"] == {str(c.index): c.finish_reason for c in found.choices}
    if "usage" in want:
        assert want["usage"] == codec.as_dict(found)["usage"]
    if "tool_calls" in want:
        wanted = [(c["id"], c["name"], c["arguments"]) for c in want["tool_calls"]]
        assert wanted == [(c.id, c.name, c.arguments) for c in found.tool_calls]
    if isinstance(failed, APIError):
        assert want["message"] == failed.message
        assert want.get("status") == getattr(failed, "status_code", None)


# -- bytes of real servers -------------------------------------------------------------------------------------------


class Raw(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


def parsed(raw: bytes) -> Raw:
    """Take an HTTP/1.1 answer apart: status line, headers, chunked, counted or until-close body."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    status = int(first.split()[1])
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers.get("content-length", len(rest)))
        return Raw(status, headers, rest[:length], len(rest) >= length)
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if (count := int(size, 16)) == 0:
            return Raw(status, headers, body, whole=True)
        body, rest = body + rest[:count], rest[count + 2 :]
    return Raw(status, headers, body, whole=False)


class Is(NamedTuple):
    """What a sample must turn into: a text with its finish reason, or an exception with some of its attributes."""

    text: str | None
    finish: str | None = None
    error: type[AnyFastError] | None = None
    attributes: Mapping[str, Any] = {}


def ok(text: str, finish: str | None = "stop") -> Is:
    return Is(text, finish)


def bad(kind: type[AnyFastError], text: str | None = None, **attributes: Any) -> Is:
    return Is(text, None, kind, attributes)


HELLO = "Hello! How can I help you today? Naïve café ☕ — 你好 🚀"
LOST_500 = bad(errors.InternalServerError, status_code=500, retry_class="ambiguous", billed="maybe", code="500")
DROPPED = bad(
    errors.InternalServerError,
    code="chaos_drop",
    message="Chaos: request dropped",
    retry_class="refused",
    retry_after=None,
)
LIMITED = bad(
    errors.RateLimitError, message="Rate limited", code="rate_limit_exceeded", retry_after=2.0, retry_class="throttled"
)
NO_DEPLOYMENT = bad(
    errors.RateLimitError,
    message="No deployments available for selected model.",
    type="internal_server_error",
    code="429",
    retry_after=None,
    retry_class="throttled",
)
MODELS = Is("models")
SLOW = "one two three four five six seven eight nine ten"

SAMPLES: dict[str, Is] = {
    "aimock/chaos_disconnect": Is(None),  # the connection was closed without a byte
    "aimock/chaos_drop": DROPPED,
    "aimock/chaos_malformed": bad(
        ResponseShapeError, status_code=200, body="{malformed json: <<<chaos>>>", billed="maybe"
    ),
    "aimock/chaos_ratelimit": bad(
        errors.RateLimitError, code="chaos_ratelimit", retry_after=1.0, retry_class="throttled"
    ),
    "aimock/err_400": bad(
        errors.BadRequestError,
        code="unsupported_value",
        param="temperature",
        retry_class="never",
        type="invalid_request_error",
    ),
    "aimock/err_401": bad(
        errors.AuthenticationError, code="invalid_api_key", message="Invalid API key", retryable=False
    ),
    "aimock/err_429": LIMITED,
    "aimock/err_429_stream": LIMITED,
    "aimock/err_503": bad(errors.InternalServerError, status_code=503, code=None, retry_class="refused"),
    "aimock/err_badjson": bad(errors.BadRequestError, code="invalid_json", retry_class="never"),
    "aimock/err_noauth": bad(errors.AuthenticationError, code="invalid_api_key"),
    "aimock/err_quota": bad(
        InsufficientQuotaError, status_code=429, retry_after=1.0, retry_class="never", retryable=False
    ),
    "aimock/flaky_1": DROPPED,
    "aimock/flaky_2": ok("survived chaos"),
    "aimock/flaky_3": ok("survived chaos"),
    "aimock/flaky_4": ok("survived chaos"),
    "aimock/flaky_5": ok("survived chaos"),
    "aimock/flaky_6": DROPPED,
    "aimock/json_object": ok('{"ok": true, "n": 3}'),
    "aimock/length": ok("cut by max_tok", "length"),
    "aimock/models": MODELS,
    "aimock/nonstream": ok(HELLO),
    "aimock/reasoning": ok("42"),
    "aimock/retry_twice_0": bad(errors.RateLimitError, code=None, retry_after=1.0, retry_class="throttled"),
    "aimock/retry_twice_1": bad(errors.InternalServerError, status_code=503, retry_class="refused"),
    "aimock/retry_twice_2": ok("third time lucky"),
    "aimock/stream": ok(HELLO),
    "aimock/stream_cut": bad(IncompleteStreamError, "this strea", reason="cut"),
    "aimock/stream_disconnect": bad(IncompleteStreamError, "the so", reason="cut"),
    "aimock/stream_reasoning": ok("42"),
    "aimock/stream_slow": ok(SLOW),
    "aimock/stream_usage": ok(HELLO),
    "litellm/body_mock": ok(HELLO),
    "litellm/err_401": bad(errors.AuthenticationError, message="Incorrect API key provided", code="401"),
    "litellm/err_429": bad(errors.RateLimitError, type="throttling_error", code="429", retry_class="throttled"),
    "litellm/err_429_stream": bad(errors.RateLimitError, type="throttling_error", code="429", retry_class="throttled"),
    "litellm/err_500": LOST_500,
    "litellm/err_badjson": bad(errors.BadRequestError, param="request_body", code="400"),
    "litellm/err_ctx": bad(errors.BadRequestError, status_code=400, retry_class="never"),
    "litellm/err_model": bad(errors.BadRequestError, type="invalid_request_error", retry_class="never"),
    "litellm/err_noauth": bad(
        errors.InternalServerError, message="Internal Server Error", body="Internal Server Error", code=None
    ),
    "litellm/err_nomsgs": bad(errors.BadRequestError, param="messages"),
    "litellm/err_upstream_down": LOST_500,
    "litellm/err_upstream_down_stream": LOST_500,
    "litellm/err_upstream_killed_midstream": Is("", "stop"),  # 149 kB of text; its length is compared below
    "litellm/limited_1": ok("ok"),
    "litellm/limited_2": ok("ok"),
    "litellm/limited_3": NO_DEPLOYMENT,
    "litellm/limited_4": NO_DEPLOYMENT,
    "litellm/models": MODELS,
    "litellm/n2": ok(HELLO),
    "litellm/nonstream": ok(HELLO),
    "litellm/stream": ok(HELLO),
    "litellm/stream_n2": bad(IncompleteStreamError, HELLO, reason="no_finish"),  # it never finishes choice 1
    "litellm/stream_usage": ok(HELLO),
    "litellm/via_aimock_429": bad(errors.RateLimitError, retry_after=2.0, retry_class="throttled"),
    "litellm/via_aimock_429_stream": bad(errors.RateLimitError, retry_after=2.0, retry_class="throttled"),
    "litellm/via_aimock_cut": bad(errors.InternalServerError, status_code=500, retry_class="ambiguous"),
    "litellm/via_aimock_disconnect": bad(
        errors.InternalServerError, "the so", status_code=500, code="500", type=None, retry_class="refused"
    ),
    "litellm/via_aimock_filtered": ok("[filtered]", "content_filter"),
    "litellm/via_aimock_think": ok("42"),
    "litellm/via_llamacpp": ok(" backhomewill can", "length"),
    "litellm/via_llamacpp_stream": ok("", "length"),
}


def test_every_sample_has_an_expectation() -> None:
    """No recorded answer of a real server is skipped."""
    root = DATA / "realservers"
    assert sorted(SAMPLES) == sorted(str(p.relative_to(root).with_suffix("")) for p in root.glob("*/*.raw"))


@pytest.mark.parametrize("name", SAMPLES)
def test_real_server_sample(name: str) -> None:
    """The bytes that a real server sent become the text that it meant, or the exception that says what is wrong."""
    want = SAMPLES[name]
    data = (DATA / "realservers" / f"{name}.raw").read_bytes()
    if want.text is None and want.error is None:
        assert b"" == data
        return
    raw = parsed(data)
    if want is MODELS:
        assert "gemini-2.5-pro" in [m.id for m in answer.models_of(*raw[:3], now=NOW)] or "aimock" in name
        return
    if raw.status == 200 and "event-stream" in raw.headers["content-type"]:
        found, failed = read([raw.body], raw.headers, broken=not raw.whole)
    else:
        try:
            found, failed = completion(raw.body, raw.headers, raw.status), None
        except AnyFastError as caught:
            found, failed = ChatCompletion(), caught
    assert want.error is (None if failed is None else type(failed))
    if want.text:
        assert want.text == found.text
    if want.error is None:
        assert want.finish == found.finish_reason
    assert {n: v for n, v in want.attributes.items() if getattr(failed, n) != v} == {}
    if failed is not None and "aimock/" in name and not isinstance(failed, IncompleteStreamError):
        assert raw.headers["x-request-id"] == failed.request_id


def test_what_else_the_samples_hold() -> None:
    """Reasoning before the role, two choices in one event, usage beside a choice, and 149 kB in small events."""

    def sample(name: str) -> ChatCompletion:
        raw = parsed((DATA / "realservers" / f"{name}.raw").read_bytes())
        return read([raw.body]).completion

    assert "Let me think about it step by step." == sample("aimock/stream_reasoning").reasoning
    assert "Let me think about it step by step." == sample("litellm/via_aimock_think").reasoning
    assert [HELLO, HELLO] == [c.message.text for c in sample("litellm/stream_n2").choices if c.message]
    usage = sample("litellm/stream_usage").usage
    assert (22, 9, 31) == (usage and (usage.completion_tokens, usage.prompt_tokens, usage.total_tokens))
    killed = parsed((DATA / "realservers/litellm/err_upstream_killed_midstream.raw").read_bytes()).body
    deltas = [json.loads(line[6:]) for line in killed.splitlines() if line.startswith(b"data: {")]
    wanted = "".join(d["choices"][0]["delta"].get("content", "") for d in deltas)
    assert len(wanted) > 1000
    assert wanted == sample("litellm/err_upstream_killed_midstream").text


# -- errors inside a success ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "cls", "status"),
    [
        ({"error": {"message": "m", "code": 503}}, errors.InternalServerError, 503),
        ({"error": {"message": "m", "code": "429"}}, errors.RateLimitError, 429),
        ({"error": {"message": "m", "status": "UNAVAILABLE"}}, errors.InternalServerError, 503),
        ({"error": {"message": "m", "status": "INVALID_ARGUMENT"}}, errors.BadRequestError, 400),
        ({"error": {"message": "m", "code": "model_not_found"}}, ModelNotFoundError, 503),
        ({"error": {"message": "m", "code": "insufficient_user_quota"}}, InsufficientQuotaError, 403),
        ({"error": {"message": "m", "type": "overloaded_error"}}, errors.InternalServerError, 529),
        ({"error": {"message": "m", "code": 12, "type": "server_error"}}, errors.InternalServerError, 500),
        ({"error": {"message": "m", "code": "999"}}, APIError, None),
        ({"error": {"message": "m", "code": True}}, APIError, None),
        ({"error": "m"}, APIError, None),
        ({"error": {}, "object": "error"}, APIError, None),
        ({"object": "error", "message": "m", "code": 400}, errors.BadRequestError, 400),
        ({"success": False, "message": "m"}, APIError, None),
        ([{"error": {"message": "m", "code": 400}}], errors.BadRequestError, 400),
        ({"error": {"message": "m"}, "status": 404}, errors.NotFoundError, 404),
    ],
)
def test_error_inside_a_success(problem: Any, cls: type[APIError], status: int | None) -> None:
    """A 200 that holds an error raises it, as a whole answer and as an event; it has a status if it names one."""
    with pytest.raises(APIError) as whole:
        completion(problem)
    with pytest.raises(APIError) as streamed:
        event(json.dumps(problem).encode())
    for found in (whole.value, streamed.value):
        assert cls is type(found)
        assert status == getattr(found, "status_code", None)


def test_error_beside_choices_in_a_whole_answer() -> None:
    """OpenRouter answers 200 with an error and a choice that finished with "error": it is an error."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "error"}
    with pytest.raises(APIError):
        completion({"error": {"message": "m", "code": 502}, "choices": [choice]})


def test_error_beside_choices_in_an_event() -> None:
    """OpenRouter ends a broken stream with a chunk that holds an error beside a choice: it is an error."""
    data = b'{"error":{"code":502,"message":"m"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}'
    with pytest.raises(errors.InternalServerError):
        event(data)


def test_a_null_error_is_none() -> None:
    """A completion with "error": null is a completion, and keeps the null."""
    found = completion({"error": None, "choices": [{"index": 0, "message": {"content": "x"}}]})
    assert ("x", {"error": None}) == (found.text, found.extra)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b'{"message":"boom"}', "boom"), (b'{"error":{"message":"boom"}}', "boom"), (b"boom", "boom")],
)
def test_error_events(data: bytes, message: str) -> None:
    """An event of type "error" is an error, as an object with or without "error" and as plain text."""
    with pytest.raises(APIError) as found:
        event(data, "error")
    assert message == found.value.message


@pytest.mark.parametrize("data", [b"", b'""', b"{}"])
def test_error_events_without_a_message(data: bytes) -> None:
    """An event of type "error" that says nothing more is an error all the same."""
    with pytest.raises(APIError):
        event(data, "error")


def test_an_error_becomes_an_event() -> None:
    """For a browser an error is written in OpenAI's shape: code or kind, message escaped, one line of data."""
    known = error(429, {"error": {"message": "slow\ndown", "code": "x"}})
    other = answer.error_of(502, {}, b"", now=NOW)
    events = Decoder().feed(answer.error_event(known) + answer.error_event(other))
    assert [
        {"error": {"message": "slow\\ndown", "type": "rate_limit", "param": None, "code": "x"}},
        {"error": {"message": "502", "type": "server", "param": None, "code": "server"}},
    ] == [json.loads(e) for e in events]


@pytest.mark.parametrize(
    ("data", "wanted"), [(b"", None), (b" \n", None), (b"{}", {}), (b'{"type":"ping"}', {"type": "ping"})]
)
def test_events_that_say_nothing(data: bytes, wanted: Any) -> None:
    """Empty data is passed over (modelcontextprotocol #1670), a ping is an object without choices."""
    assert wanted == event(data)


@pytest.mark.parametrize("data", [b"{oops", b"oops", b'{"choices": []}{', b"\xff"])
def test_events_that_are_no_chunk(data: bytes) -> None:
    """An event that is no JSON may be a damaged chunk: an error with the start of it, not skipped in silence."""
    with pytest.raises(ResponseShapeError, match="an event of the stream is no JSON") as found:
        event(data, headers={"x-request-id": "r"})
    assert (200, "r", data.decode("utf-8", "replace")) == (
        found.value.status_code,
        found.value.request_id,
        found.value.body,
    )


# -- whole answers ----------------------------------------------------------------------------------------------------

HI: dict[str, Any] = {
    "id": "c",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}
FIRST = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
EVENTS = FIRST + b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def test_a_completion_with_its_request_id() -> None:
    """A success is the completion, with the gateway's id beside it."""
    found = completion(HI, {"x-oneapi-request-id": "r"})
    assert ("Hi", "stop", "r", HI) == (found.text, found.finish_reason, found.request_id, codec.as_dict(found))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"null", {}),
        (b"5", {}),
        (b"[]", {}),
        (b"{}", {}),
        (b'{"choices":[]}', {}),
        (b'{"choices":{}}', {}),
        (b"{oops", {"content-type": "application/json"}),
        (b"hello", {"content-type": "text/plain"}),
        (b"<html><title>Console</title>", {"content-type": "text/html"}),
        (b"  <!doctype html>", {}),
        (b"hi", {"content-type": "text/html; charset=utf-8"}),
    ],
)
def test_a_success_that_is_no_completion(body: bytes, headers: dict[str, str]) -> None:
    """A 200 without choices, without JSON or with a page is told apart from an answer; a page points to base_url."""
    with pytest.raises(ResponseShapeError) as found:
        completion(body, headers)
    page = b"<" in body or "html" in headers.get("content-type", "")
    assert page == ("base_url" in str(found.value))
    assert (200, "maybe", body.decode()) == (found.value.status_code, found.value.billed, found.value.body)


@pytest.mark.parametrize(
    "before", [b"\xef\xbb\xbf", b": PING\n\n", b"\n: PING\n\n", b"\xef\xbb\xbf\n\n", b"retry: 5\n\n"]
)
@pytest.mark.parametrize("reason", [None, "", "stop"])
@pytest.mark.parametrize("headers", [{"content-type": "text/event-stream"}, {"content-type": "application/json"}, {}])
def test_a_whole_answer_is_one_behind_what_says_nothing(
    before: bytes, reason: str | None, headers: dict[str, str]
) -> None:
    """A mark or a comment before a whole JSON answer does not make a stream of it, which would want a finish reason."""
    whole = HI | {"choices": [{**HI["choices"][0], "finish_reason": reason}]}
    assert codec.as_dict(completion(whole, headers)) == whole
    found = completion(before + codec.dumps(whole), headers)
    assert ("Hi", reason) == (found.text, found.choices[0].finish_reason)


def test_what_is_cut_names_its_request() -> None:
    """An answer that lacks its end is told with the gateway's id of the request."""
    with pytest.raises(IncompleteStreamError) as found:
        completion(FIRST, {"x-request-id": "r"})
    assert "r" == found.value.request_id


@pytest.mark.parametrize("headers", [{"content-type": "text/event-stream; charset=utf-8"}, {}])
@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data: [DONE]", b"", b": PING\n\n", b"data:\n\n"])
def test_an_event_stream_for_a_call_without_stream(headers: dict[str, str], end: bytes) -> None:
    """new-api relays what its upstream sends: a stream that answers a plain call is folded."""
    found = completion(EVENTS + end, headers | {"x-request-id": "r"})
    assert ("Hi", "stop", "r") == (found.text, found.finish_reason, found.request_id)


@pytest.mark.parametrize(
    ("body", "reason", "text"),
    [
        (FIRST, "no_finish", "Hi"),
        (b"data: [DONE]\n\n", "empty", ""),
        (b"data: {}\n\n", "empty", ""),
    ],
)
def test_a_broken_event_stream_for_a_call_without_stream(body: bytes, reason: str, text: str) -> None:
    """Such a stream without a finish reason is incomplete, with what had come in .partial."""
    with pytest.raises(IncompleteStreamError) as found:
        completion(body, {"content-type": "text/event-stream"})
    assert (reason, text) == (found.value.reason, found.value.partial and found.value.partial.text)


@pytest.mark.parametrize(
    "tail", [b'{"error":{"message":"m","code":503}}', b'data: {"error":{"message":"m","code":503}}\n\n']
)
def test_an_error_in_an_event_stream_for_a_call_without_stream(tail: bytes) -> None:
    """An error that the gateway appends to such a stream, as an event or bare (gin), is raised."""
    with pytest.raises(errors.InternalServerError, match="503: m"):
        completion(FIRST + tail, {"content-type": "text/event-stream"})


@pytest.mark.parametrize("tail", [b"{oops", b'{"a":1}', b"[1]"])
def test_other_bare_text_after_an_event_stream(tail: bytes) -> None:
    """Bare text at the end of such a stream that is no error changes nothing."""
    assert "Hi" == completion(EVENTS + tail, {"content-type": "text/event-stream"}).text


def test_an_error_status_of_a_completion() -> None:
    """An error status raises, also with the content type of a stream (gin keeps the one that it has set)."""
    body = json.dumps({"error": {"message": "m", "code": ""}}).encode()
    with pytest.raises(errors.RateLimitError):
        completion(body, {"content-type": "text/event-stream"}, 429)


def test_models() -> None:
    """The list of models: objects only, unknown fields kept."""
    body = b'{"success":true,"data":[{"id":"a","owned_by":"x","mode":"chat"},5],"object":"list"}'
    (model,) = answer.models_of(200, {}, body, now=NOW)
    assert ("a", "x", {"mode": "chat"}) == (model.id, model.owned_by, model.extra)


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (401, b'{"error":{"message":"No token provided"}}', errors.AuthenticationError),
        (200, b'{"success":false,"message":"m"}', APIError),
        (200, b"<html>", ResponseShapeError),
        (200, b"{}", ResponseShapeError),
        (200, b"{oops", ResponseShapeError),
        (200, b'{"data":5}', ResponseShapeError),
    ],
)
def test_models_that_are_none(status: int, body: bytes, cls: type[AnyFastError]) -> None:
    """Whatever else comes in place of a list of models is the error that it is."""
    with pytest.raises(cls):
        answer.models_of(status, {}, body, now=NOW)


# -- the key does not show --------------------------------------------------------------------------------------------

KEY = "abcd/efghijklmnop+qrstuvwxyz0123456789"
Make = Callable[[bytes, Callable[[str], str]], AnyFastError]


def raised(call: Callable[[], object]) -> AnyFastError:
    with pytest.raises(AnyFastError) as found:
        call()
    return found.value


MAKERS: dict[str, Make] = {
    "error_of": lambda body, hide: answer.error_of(401, {}, body, now=NOW, hide=hide),
    "completion_of": lambda body, hide: raised(lambda: answer.completion_of(200, {}, body, now=NOW, hide=hide)),
    "event": lambda body, hide: raised(lambda: event(body, hide=hide)),
    "models_of": lambda body, hide: raised(lambda: answer.models_of(200, {}, body, now=NOW, hide=hide)),
}


def everything(found: AnyFastError) -> str:
    return f"{found} {found!r} {vars(found)!r} {pickle.dumps(found)!r}"


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    "template",
    [
        '{"error":{"message":"bad key %s given","code":"%s"}}',
        '{"error":{"message":"you sent Authorization: Bearer %s ."}}',
        '{"error":"%s"}',
        "no json %s",
        "<html>%s",
        '{"error":{"message":"...%s"}}',
    ],
)
def test_the_key_never_shows(make: Make, template: str) -> None:
    """An echoed key, or the last characters of it, is replaced in message, code, body and pickle."""
    for part in (KEY, KEY[-8:]):
        found = make(template.replace("%s", part).encode(), Secret(KEY).hide)
        assert part not in everything(found)
        assert "***" in everything(found)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_other_keys_never_show(make: Make) -> None:
    """What looks like a key or a Bearer token is replaced even if it is not ours."""
    found = make(b'{"error":{"message":"used Bearer abc.def and sk-0123456789abcdef here","code":"x"}}', str)
    assert not [word for word in ("abc.def", "0123456789abcdef") if word in everything(found)]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_hiding_a_token_keeps_the_error_readable(make: Make) -> None:
    """A message that ends with a Bearer token keeps its code, and stays one of our exceptions."""
    found = make(b'{"error":{"message":"bad Authorization: Bearer abc.def","code":"invalid_api_key"}}', str)
    assert "invalid_api_key" == getattr(found, "code", None)
    assert "abc.def" not in everything(found)


@pytest.mark.parametrize("key", ["5", "error", "null", "code", '"'])
def test_a_short_key_keeps_the_error_readable(key: str) -> None:
    """Keys for local servers are often one word; hiding them does not break the error, which stays one of ours."""
    body = {"error": {"message": "m", "code": 503, "param": None}}
    found = raised(lambda: completion(event(json.dumps(body).encode(), hide=Secret(key).hide)))
    assert (503, errors.InternalServerError) == (getattr(found, "code", None), type(found))


ESCAPES = pytest.mark.parametrize(("plain", "escape"), [("/", "\\/"), ("+", "\\u002b"), ("a", "\\u0061")])


def check_escaped(make: Make, plain: str, escape: str) -> None:
    found = make(f'{{"error":{{"message":"bad key {KEY.replace(plain, escape)} given"}}}}'.encode(), Secret(KEY).hide)
    assert KEY[:-8] not in everything(found)


@ESCAPES
@pytest.mark.parametrize("make", [MAKERS[n] for n in ("completion_of", "event", "models_of")])
def test_a_key_behind_json_escapes_never_shows(make: Make, plain: str, escape: str) -> None:
    r"""PHP writes "/" as "\/", .NET "+" as "\u002B": a key echoed so inside a success is found all the same."""
    check_escaped(make, plain, escape)


@ESCAPES
def test_a_key_behind_json_escapes_never_shows_in_a_status_error(plain: str, escape: str) -> None:
    """A key echoed with JSON escapes in the body of an error status is found all the same."""
    check_escaped(MAKERS["error_of"], plain, escape)


def test_a_key_across_the_cut_never_shows() -> None:
    """Of a long body only the start is kept; a key that the cut goes through does not show in part."""
    body = b"x" * (400 - len(KEY) + 1) + KEY.encode()
    found = MAKERS["models_of"](body, Secret(KEY).hide)
    assert KEY[:20] not in everything(found)


def test_a_key_in_a_redirect_never_shows() -> None:
    """A redirect that carries the key in its address is reported without it."""
    found = error(302, b"", {"location": f"https://else/?key={KEY}"}, hide=Secret(KEY).hide)
    assert KEY not in everything(found)


def test_server_text_is_escaped() -> None:
    """Control characters, escape sequences and bidirectional overrides of a server do not reach a log or a terminal."""
    nasty = "a\x1b[2J\r\nb\u202ec\u2066d\x00e\x9b"
    body = json.dumps({"error": {"message": nasty, "code": nasty}}).encode()
    for found in (
        error(500, body),
        error(500, nasty.encode()),
        raised(lambda: completion(body)),
        raised(lambda: completion(nasty.encode())),
        raised(lambda: event(nasty.replace("\r", "\x0b\x0b").encode())),
    ):
        assert str(found).isprintable()
        assert "\\x1b[2J\\r\\nb\\u202ec" in str(found).replace("\\x0b\\x0b", "\\r")


def test_long_server_text_is_cut_in_the_message_only() -> None:
    """An error of a megabyte has a short message; .message has all of it."""
    found = error(500, {"error": {"message": "x" * 1_000_000}})
    assert (len(str(found)) < 500, 1_000_000) == (True, len(found.message))


# -- hostile bodies ---------------------------------------------------------------------------------------------------


@given(
    st.integers(100, 599),
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "message", "code", "type", "status", "details", "choices", "detail"]),
                    inner,
                )
            ),
            max_leaves=8,
        ).map(lambda v: json.dumps(v).encode()),
    ),
)
def test_any_answer_is_a_completion_or_one_of_our_errors(status: int, body: bytes) -> None:
    """No body whatever gets anything but our own exceptions out, for whole answers, models and events."""
    for call in (answer.completion_of, answer.models_of):
        try:
            call(status, {}, body, now=NOW)
        except AnyFastError as found:
            assert str(found).isprintable()  # noqa: PT017 - nothing may be raised as well
    try:
        event(body)
    except AnyFastError as found:
        assert str(found).isprintable()  # noqa: PT017


DEEP = b'{"error":{"message":"m"},"x":' + b"[" * 900 + b"]" * 900 + b"}"


@pytest.mark.parametrize("make", [MAKERS["event"], MAKERS["completion_of"]])
def test_deeply_nested_errors(make: Make) -> None:
    """An error object that is nested 900 deep is one of our exceptions, not a RecursionError."""
    assert isinstance(make(DEEP, str), AnyFastError)


def test_a_page_of_open_titles_is_read_in_linear_time() -> None:
    """A hostile page of half the size that is read of an error body (64 KiB) takes less than a fifth of a second."""

    def taken() -> float:
        began = time.process_time()
        error(502, b"<title>" * 4_000)
        return time.process_time() - began

    assert min(taken() for _ in range(5)) < 0.2


def test_a_usual_answer_may_say_more() -> None:
    """Fields that nobody knows do not keep it from the short way; an error beside the choices does."""
    body = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    found = [usual_completion(200, {}, json.dumps(body | more).encode()) for more in ({}, {"note": 1}, {"error": "no"})]

    assert [True, True, False] == [one is not None for one in found]


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "half"}, "finish_reason": "error"},
        {"finish_reason": "stop"},
        {"message": {"content": "a"}, "finish_reason": "stop", "error": {"message": "boom"}},
    ],
)
def test_a_choice_that_says_of_an_error_is_looked_into(choice: dict[str, Any]) -> None:
    """One beside a whole one, too: no half of an answer is taken for it because it came quickly."""
    whole = {"message": {"content": "a"}, "finish_reason": "stop"}
    assert usual_completion(200, {}, json.dumps({"choices": [whole]}).encode()) is not None
    for choices in ([choice], [whole, choice]):
        assert usual_completion(200, {}, json.dumps({"choices": choices}).encode()) is None


def test_the_choice_that_lacks_its_end_is_named_where_there_are_several() -> None:
    """Of two, one of which has ended, it is the other; of one there is nothing to name."""
    fold = Fold()
    fold.add({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    fold.add({"choices": [{"index": 1, "delta": {"content": "b"}}]})
    assert "without a finish_reason for choice 1:" in str(verdict(fold))

    fold = Fold()
    fold.add({"choices": [{"index": 0, "delta": {"content": "a"}}]})
    assert "without a finish_reason:" in str(verdict(fold))
