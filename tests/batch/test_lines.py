"""Lines of a batch: what is taken, what is refused with which words, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import (
    AnyFastError,
    AssistantMessage,
    BadRequestError,
    ChatCompletion,
    Choice,
    ResponseTimeout,
    Usage,
)
from anyfast_async.batch.lines import LineError, answer_line, error_line, may_be_torn, parse_line, recorded_id

COMPLETION = ChatCompletion(
    id="chatcmpl-1",
    object="chat.completion",
    created=1,
    model="m",
    choices=(Choice(index=0, message=AssistantMessage("Hé"), finish_reason="stop"),),
    usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
    request_id="req-7",
)


def test_good_line(make_line: Callable[..., bytes]) -> None:
    """A line gives its custom_id, its number and the request of its body."""
    line = parse_line(7, make_line("row-1", max_tokens=50, response_format={"type": "json_object"}))

    assert (7, "row-1") == (line.number, line.custom_id)
    assert ("gemini-2.5-flash", 50, {"type": "json_object"}) == (
        line.request.model,
        line.request.max_tokens,
        line.request.response_format,
    )
    assert ({"role": "user", "content": "Hi"},) == line.request.messages


@pytest.mark.parametrize("stream", [None, False])
def test_stream_may_be_said_to_be_off(make_line: Callable[..., bytes], stream: object) -> None:
    """``"stream": false`` and ``null`` are what a batch does anyway."""
    data = json.loads(make_line()) | {}
    data["body"]["stream"] = stream

    assert "a" == parse_line(1, json.dumps(data).encode()).custom_id


@pytest.mark.parametrize(
    ("top_level", "body", "problems"),
    [
        ({"custom_id": None}, {}, ["custom_id: is missing"]),
        ({"custom_id": ""}, {}, ["custom_id: must be a non-empty string, not str of 0 characters"]),
        ({"custom_id": 7}, {}, ["custom_id: must be a non-empty string, not 7"]),
        ({"method": "GET"}, {}, ["method: is 'GET'; must be 'POST'"]),
        ({"method": None}, {}, ["method: is missing; must be 'POST'"]),
        ({"url": "/v1/embeddings"}, {}, ["url: is '/v1/embeddings'; must be '/v1/chat/completions'"]),
        ({"url": "\x1b[31m"}, {}, ["url: is '\\\\x1b[31m'; must be '/v1/chat/completions'"]),
        ({"body": None}, {}, ["body: is missing; it is the request, an object with model and messages"]),
        ({"body": []}, {}, ["body: must be an object, not list of 0 items"]),
        ({}, {"stream": True}, ["body.stream: must be absent or false in a batch"]),
        ({}, {"messages": []}, ["body.messages: must not be empty: at least one message with content"]),
        (
            {"method": "PUT"},
            {"stream": 1, "temperature": 2.1, "n": 0},
            [
                "method: is 'PUT'; must be 'POST'",
                "body.stream: must be absent or false in a batch",
                "body.temperature: must be a number from 0 to 2, not 2.1",
                "body.n: must be an integer of at least 1, not 0",
            ],
        ),
    ],
)
def test_every_problem_of_a_line(
    make_line: Callable[..., bytes], top_level: dict[str, Any], body: dict[str, Any], problems: list[str]
) -> None:
    """A bad line names each bad field, those of the body included, in one go."""
    with pytest.raises(LineError) as caught:
        parse_line(1, make_line("a", top_level, **body))

    assert problems == list(caught.value.problems)


def test_a_bad_line_still_tells_its_id(make_line: Callable[..., bytes]) -> None:
    """The id of a line with a bad body is known, so that a duplicate of it is found too."""
    with pytest.raises(LineError) as caught:
        parse_line(1, make_line("row-1", temperature=9))

    assert "row-1" == caught.value.custom_id


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{not json}\n", "is not JSON"),
        (b'{"custom_id": "a"', "is not JSON"),
        (b"[]\n", "must be a JSON object, not list of 0 items"),
        (b'"x"\n', "must be a JSON object, not str of 1 characters"),
        (b'{"a": "\xff"}\n', "is not UTF-8 (byte 8 of the line)"),
    ],
)
def test_no_line_at_all(data: bytes, problem: str) -> None:
    """What is no JSON object in UTF-8 is refused as a whole."""
    with pytest.raises(LineError) as caught:
        parse_line(1, data)

    assert ((problem,), None) == (caught.value.problems, caught.value.custom_id)


def test_answer_line() -> None:
    """An answer is written as in OpenAI's output file, custom_id first, on one line."""
    line = answer_line("row-1", COMPLETION, row_id="abc")

    assert line.startswith(b'{"custom_id":"row-1","id":"batch_req_abc",')
    assert line.endswith(b',"error":null}\n')
    assert 1 == line.count(b"\n")
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "Hé", "role": "assistant"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    assert {
        "custom_id": "row-1",
        "id": "batch_req_abc",
        "response": {"status_code": 200, "request_id": "req-7", "body": body},
        "error": None,
    } == json.loads(line)


def test_error_line_of_an_answer_with_a_status() -> None:
    """What the gateway refused stands under response, with its status, request id and error object."""
    error = BadRequestError("400: no")
    error.message, error.type, error.param, error.code = "no", "invalid_request_error", "top_p", "bad"
    error.status_code, error.request_id = 400, "req-8"

    value = json.loads(error_line("row-2", error, row_id="x"))

    problem = {"message": "no", "type": "invalid_request_error", "param": "top_p", "code": "bad"}
    response = {"status_code": 400, "request_id": "req-8", "body": {"error": problem}}
    assert {"custom_id": "row-2", "id": "batch_req_x", "response": response, "error": None} == value


def test_error_line_without_an_answer() -> None:
    """A row that got no answer has no response; its error says why."""
    value = json.loads(error_line("row-3", ResponseTimeout("no answer within 600 s"), row_id="x"))

    error = {"code": "response_timeout", "message": "no answer within 600 s"}
    assert {"custom_id": "row-3", "id": "batch_req_x", "response": None, "error": error} == value


@given(custom_id=st.text(min_size=1), text=st.text())
def test_a_written_line_tells_its_id(custom_id: str, text: str) -> None:
    """Whatever the id and the answer hold, the id is read back from the line."""
    completion = ChatCompletion(choices=(Choice(message=AssistantMessage(text)),))

    assert custom_id == recorded_id(answer_line(custom_id, completion, row_id="1"))
    assert custom_id == recorded_id(error_line(custom_id, AnyFastError(text), row_id="1"))


@pytest.mark.parametrize(
    ("line", "custom_id"),
    [
        (b'{"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200}, "error": null}\n', "a"),
        (b'{"id": "vllm-1", "custom_id": "a", "response": null, "error": "out of memory"}\r\n', "a"),
        (b'{"custom_id": "a", "method": "POST", "url": "/", "body": {}}\n', None),
        (b'{"custom_id": 7, "response": null, "error": null}\n', None),
        (b'{"custom_id":"a","id":"batch_req_1","resp', None),
        (b"[1]\n", None),
        (b"hello\n", None),
    ],
)
def test_lines_of_other_programs(line: bytes, custom_id: str | None) -> None:
    """Output lines of other batch programs count whatever their field order; input lines and other text do not."""
    assert custom_id == recorded_id(line)


def test_what_may_be_a_torn_line() -> None:
    """Every beginning of a written line may be a torn line; the end of another file may not."""
    line = answer_line("row-1", COMPLETION, row_id="abc")

    assert all(may_be_torn(line[:n]) for n in range(1, len(line)))
    assert not may_be_torn(b"dear diary")
    assert not may_be_torn(b'{"id": 1')
