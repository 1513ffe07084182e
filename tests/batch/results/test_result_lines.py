"""Lines of output and error files: any of them, and the usual ones, which are read quickly and say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import AssistantMessage, ChatCompletion, Choice, Usage
from anyfast_async._core.errors.failures import status_error
from anyfast_async._core.journal import journal_lines
from anyfast_async.batch.results.result_lines import row_of, usual_row
from anyfast_async.errors import FirstTokenTimeout

STEM = "0" * 24


def answered(custom_id: str, text: str = "Hi") -> bytes:
    """A line of ours."""
    choice = Choice(message=AssistantMessage(text), finish_reason="stop")
    completion = ChatCompletion(choices=(choice,), usage=Usage(prompt_tokens=3, completion_tokens=2))
    return journal_lines.answer_line(custom_id, completion, stem=STEM)


def failed(custom_id: str, status: int = 500, message: str = "gone") -> bytes:
    """A line of ours."""
    error = status_error(status)(message)
    error.status_code = status
    return journal_lines.error_line(custom_id, error, stem=STEM)


def line(**value: Any) -> bytes:
    """A line of another program."""
    return json.dumps({"id": "x", "custom_id": "a", **value}).encode()


BODY = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
}
PROBLEM = {"message": "too long", "type": "invalid_request_error", "param": None, "code": "context_length_exceeded"}


@pytest.mark.parametrize(
    "data",
    [
        answered("a"),
        line(response={"status_code": 200, "request_id": "r", "body": BODY}, error=None),
        line(response={"status_code": 200, "body": BODY}, error=""),
        line(response={"body": BODY}),
        b"\xef\xbb\xbf" + line(response={"status_code": 200, "request_id": "r", "body": BODY}, error=None) + b"\r\n",
    ],
    ids=["ours", "openai", "vllm", "bare", "bom and crlf"],
)
def test_answers(data: bytes) -> None:
    """Answers are read in all their shapes: with and without an error field, a request id, a status."""
    row = row_of(data)

    assert row is not None
    assert ("a", "ok", None) == (row.custom_id, row.outcome, row.failure)
    assert "Hi" == row.text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (failed("a", 503), ("server", True, "no", 503)),
        (
            journal_lines.error_line("a", FirstTokenTimeout("slow"), stem=STEM),
            ("first_token_timeout", True, "maybe", None),
        ),
        (
            line(response={"status_code": 400, "request_id": "r", "body": {"error": PROBLEM}}, error=None),
            ("bad_request", False, "no", 400),
        ),
        (
            line(response=None, error={"code": "batch_expired", "message": "not executed"}),
            ("batch_expired", True, "no", None),
        ),
        (
            line(response={"status_code": 400, "request_id": "r", "body": None}, error="bad prompt"),
            ("bad_request", False, "no", 400),
        ),
        (
            line(response={"status_code": 429, "body": None}, error={"message": "busy", "type": "x", "code": 429}),
            ("rate_limit", True, "no", 429),
        ),
        (line(response=None, error="it broke"), ("error", None, "maybe", None)),
        (line(response=None, error={"code": "their_own", "message": "?"}), ("their_own", None, "maybe", None)),
        (line(response={"status_code": 200, "body": None}, error="it broke"), ("error", None, "maybe", 200)),
        (
            line(response={"status_code": 200, "body": {"choices": []}}, error=None),
            ("response_shape", False, "maybe", 200),
        ),
        (
            line(response={"status_code": 200, "body": {"error": {"message": "busy", "code": 429}}}),
            ("rate_limit", True, "no", 200),
        ),
        (
            line(response={"status_code": 403, "body": {"error": {"message": "m", "code": "insufficient_user_quota"}}}),
            ("quota", False, "no", 403),
        ),
    ],
    ids=[
        *("ours", "ours without an answer", "openai", "openai expired", "vllm text", "vllm object", "text alone"),
        *("another code", "vllm 200", "no choices", "error in a 200", "by code"),
    ],
)
def test_failures(data: bytes, expected: tuple[Any, ...]) -> None:
    """Failures are read in all their shapes: kind, whether sending again may help, and whether it may be billed."""
    row = row_of(data)

    assert row is not None
    assert row.failure is not None
    found = row.failure
    assert ("failed", expected) == (row.outcome, (found.kind, found.retryable, found.billed, found.status_code))
    assert found.message


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"not json",
            b"[]",
            b'{"custom_id":"a"}',
            b'{"custom_id":1,"response":null,"error":null}',
            b"\xff\xfe{}",
        ),
        b'{"response":null,"error":"x"}',
        answered("a")[:-20],
        answered("a").replace(b"Hi", b"Ho"),
    ],
)
def test_broken_lines(data: bytes) -> None:
    """What is no result is told from one: torn lines, and lines that are not as they were written."""
    assert row_of(data) is None


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "x", "server"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["code", "message", "error", "choices", "message", "content"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(
    status=ODD | st.integers(100, 600),
    body=ODD | st.fixed_dictionaries({"choices": ODD, "usage": ODD}),
    error=ODD,
    response=ODD | st.none(),
)
def test_any_shape(status: Any, body: Any, error: Any, response: Any) -> None:
    """Whatever JSON stands where a result should be: a row comes of it, and a failed one has a kind and a message."""
    shaped = {"status_code": status, "body": body} if response is None else response

    row = row_of(line(response=shaped, error=error))

    assert row is not None
    assert (row.text is None) == (row.failure is not None)
    assert row.failure is None or (row.failure.kind and row.failure.message)
    assert row.fields is None or isinstance(row.fields, dict)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        (' {"a": "\\ud83d"} ', {"a": "\ufffd"}),
        ("[1]", None),
        ("Paris", None),
        ("", None),
        ('{"a": 1} and more', None),
    ],
)
def test_fields(text: str, fields: dict[str, Any] | None) -> None:
    """An answer that is a JSON object, in a Markdown block or not, has fields; any other has none."""
    row = row_of(answered("a", text))

    assert row is not None
    assert fields == row.fields


def test_integers_of_any_size() -> None:
    """Numbers of an answer that are longer than any machine's stay as they stand there."""
    row = row_of(answered("a", '{"serial": 12345678901234567890123, "score": 0.5, "text": "\\ud83d 9999999999999999"}'))

    assert row is not None
    assert {"serial": 12345678901234567890123, "score": 0.5, "text": "\ufffd 9999999999999999"} == row.fields


# -- the same, read quickly ------------------------------------------------------------------------------------------

COUNTS = (
    st.none() | st.integers(-2, 40) | st.sampled_from([2**53, 2**63 - 1, 2**63, 2**64, 9.0, "9", True, "x", [], 1e30])
)
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens", "image_tokens", "text_tokens"]), COUNTS
)
USAGES = (
    st.none()
    | st.sampled_from([{}, [], 7])
    | st.fixed_dictionaries(
        {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
        optional={"total_tokens": COUNTS, "prompt_tokens_details": DETAILS, "completion_tokens_details": DETAILS},
    )
)
ADDING_UP = st.builds(
    lambda prompt, completion, details: {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **details,
    },
    st.integers(0, 9),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]), DETAILS),
)
TEXTS = st.sampled_from(
    [
        "",
        "Hi",
        '{"a": 1}',
        ' {"a": 1.5}',
        "```json\n{}\n```",
        '{"n": 12345678901234567890123}',
        "\ud83d",
        "[1]",
        "{",
        "\ufeff{}",
    ]
)
MESSAGES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "content": TEXTS
        | st.none()
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), max_size=2)
    },
    optional={
        "role": st.sampled_from(["assistant", None, 1]),
        "refusal": st.sampled_from([None, "", "no", 0]),
        "tool_calls": st.sampled_from(
            [None, [], [{}], [{"id": "t", "function": {"name": "f", "arguments": "{}"}}], "x"]
        ),
        "reasoning_content": TEXTS,
    },
)
CHOICES = st.lists(
    st.fixed_dictionaries(
        {"message": MESSAGES | st.none()},
        optional={
            "index": st.sampled_from([0, 1, None, "0"]),
            "finish_reason": st.sampled_from(["stop", "length", "content_filter", "", None, 3, "error", "weird"]),
        },
    ),
    max_size=3,
)
BODIES = st.fixed_dictionaries(
    {"choices": CHOICES},
    optional={
        "model": st.sampled_from(["m", "", None, 5]),
        "usage": USAGES | ADDING_UP,
        "object": st.sampled_from(["chat.completion", "response"]),
        "output": st.just([]),
        "candidates": st.just([]),
    },
)


LINES = st.fixed_dictionaries(
    {
        "response": st.fixed_dictionaries(
            {"status_code": st.sampled_from([200, 201, 200.0, None, True, 500, "200"]), "body": BODIES}
        ),
        "error": st.sampled_from([None, "", {}, "x", {"code": "output"}]),
    }
)


@given(LINES, TEXTS, st.booleans(), st.sampled_from([b"", b"\n", b"\r\n", b" \n"]))
def test_quick_reading_says_the_same(value: Any, custom_id: str, is_ours: bool, end: bytes) -> None:
    """Whatever a line holds: what the quick reader says of it, the one that takes anything says, too."""
    if is_ours:
        data = journal_lines._line(custom_id, STEM, **value).rstrip() + end
    else:
        data = line(custom_id=custom_id, **value) + end

    assert usual_row(data) in (None, row_of(data))


@pytest.mark.parametrize("cut", [1, 20, -2])
def test_damaged_lines_are_not_usual(cut: int) -> None:
    """A line that was written here, and is not as it was written, is never read quickly."""
    data = answered("a")

    assert usual_row(data) is not None
    assert usual_row(data.replace(b"Hi", b"Ho")) is None
    assert usual_row(data[:cut]) is None


def test_usual_lines_are_most() -> None:
    """Answers as gateways and servers write them are read quickly."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    more = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}, "completion_tokens_details": None}
    for body in (BODY, BODY | {"usage": usage}, BODY | {"usage": usage | more, "system_fingerprint": None}):
        assert usual_row(line(response={"status_code": 200, "body": body}, error=None)) is not None
        assert usual_row(journal_lines._line("a", STEM, {"status_code": 200, "body": body}, None, None)) is not None
