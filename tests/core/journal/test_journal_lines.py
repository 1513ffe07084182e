"""Lines of a journal: what is written is read back, and what is damaged is never taken for something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import (
    AnyFastError,
    APIConnectionError,
    AssistantMessage,
    BadRequestError,
    ChatCompletion,
    Choice,
    IncompleteStreamError,
    InsufficientQuotaError,
    OutputError,
    RateLimitError,
    ResponseTimeout,
    Usage,
)
from anyfast_async._core.answer import error_of
from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._core.json import codec

STEM = "0123456789abcdef01234567"


def answer(custom_id: str = "a", text: str = "x", **extra: Any) -> bytes:
    completion = ChatCompletion(
        choices=(Choice(message=AssistantMessage(text), finish_reason="stop"),),
        usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
        extra=extra,
    )
    return journal_lines.answer_line(custom_id, completion, stem=STEM)


def failure(custom_id: str, error: AnyFastError | None = None) -> bytes:
    return journal_lines.error_line(custom_id, error or IncompleteStreamError("cut"), stem=STEM)


# -- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_line_is_one_of_openai() -> None:
    """The line is JSON with custom_id first, in the Batch API's shape, and its id holds the stem."""
    line = answer("row-1", "Ünïcode\n")
    value = json.loads(line)

    assert ["custom_id", "id", "response", "error"] == list(value)
    assert ("row-1", None, 200) == (value["custom_id"], value["error"], value["response"]["status_code"])
    assert "Ünïcode\n" == value["response"]["body"]["choices"][0]["message"]["content"]
    assert (f"batch_req_{STEM}", STEM) == (value["id"][:-9], journal_lines.stem_of(line))
    assert line.startswith(journal_lines.head_of("row-1"))
    assert (1, True) == (line.count(b"\n"), line.endswith(b"\n"))


@given(st.text(min_size=1), st.text())
def test_answers_are_read_back(custom_id: str, text: str) -> None:
    """Whatever id and text hold, the id is found and the completion is the same."""
    line = answer(custom_id, text, service_tier="x")
    found = journal_lines.completion_in(line)

    mended = custom_id.encode("utf-8", "replace").decode() == custom_id
    assert found is not None
    assert not mended or journal_lines.recorded_id(line) == custom_id
    assert not mended or found.extra == {"service_tier": "x"}
    assert json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] == found.text


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_an_editors_marks_do_no_harm(ending: bytes) -> None:
    """A byte order mark, Windows line ends and a missing last line end leave a line what it is."""
    line = journal_lines.BOM + answer("a")[:-1] + ending

    assert "a" == journal_lines.recorded_id(line)
    assert journal_lines.completion_in(line) == journal_lines.completion_in(answer("a"))


def test_every_bit_flip_is_harmless() -> None:
    """With any one bit of a line flipped, either the line is refused, or id and answer are those that were written."""
    line = answer("row-1", "hello")
    body = json.loads(line)["response"]["body"]
    refused = 0

    for place in range(len(line) * 8):
        bad = bytearray(line)
        bad[place // 8] ^= 1 << place % 8
        custom_id = journal_lines.recorded_id(bytes(bad))
        refused += custom_id is None
        if custom_id is not None:
            assert ("row-1", body) == (custom_id, json.loads(bytes(bad))["response"]["body"]), place

    assert refused > 0.9 * len(line) * 8


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\0" * 4096,
        b"dear diary\n",
        b'{"a": 1}\n',
        b"[1]\n",
        b'{"custom_id": 5, "response": {}}\n',
        b'{"custom_id": "a"}\n',
        answer("a")[:50],
        answer("a")[:40] + answer("b"),
        answer("a")[:-20] + b"\xff\xfe" + answer("a")[-18:],
        b'{"custom_id": "a", "response": "\xff"}\n',
        b'{"custom_id": "a", "response": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_line(line: bytes) -> None:
    """Notes, halves, glued lines, zeros and bad UTF-8 have no id."""
    assert journal_lines.recorded_id(line) is None


def test_lines_of_others_are_read() -> None:
    """A line of OpenAI or vLLM is no line of ours, and is understood all the same."""
    response = b'{"status_code": 200, "body": {"choices": []}}'
    line = b'{"id": "vllm-1", "custom_id": "a", "response": ' + response + b', "error": null}\n'

    assert ("a", None) == (journal_lines.recorded_id(line), journal_lines.stem_of(line))
    assert journal_lines.completion_in(line) == ChatCompletion(choices=())
    assert journal_lines.completion_in(b'{"custom_id": "a", "response": null, "error": {}}') is None


def test_torn_ends() -> None:
    """The beginning of a line, however short, may be torn; other text is not."""
    line = answer("a")

    assert all(journal_lines.may_be_torn(line[:size]) for size in range(len(line)))
    assert not journal_lines.may_be_torn(b"dear diary")


# -- failures --------------------------------------------------------------------------------------------------------


def refused(status: int, **problem: Any) -> AnyFastError:
    return error_of(status, {}, json.dumps({"error": problem}).encode(), now=0.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused(400, message="no", code="bad"), BadRequestError),
        (refused(429, message="slow down"), RateLimitError),
        (refused(403, message="no money", code="insufficient_user_quota"), InsufficientQuotaError),
        (ResponseTimeout("too long"), ResponseTimeout),
        (APIConnectionError("gone"), APIConnectionError),
        (IncompleteStreamError("cut"), IncompleteStreamError),
        (AnyFastError("what"), AnyFastError),
    ],
)
def test_failures_are_read_back(error: AnyFastError, kind: type[AnyFastError]) -> None:
    """The error in a line is of the class that was written, with its words and whether trying again is of use."""
    line = failure("a", error)
    found = journal_lines.error_in(line)

    assert ("a", kind) == (journal_lines.recorded_id(line), type(found))
    assert (error.kind, error.retryable) == (found.kind, found.retryable)
    assert error.message in str(found)
    assert getattr(error, "status_code", None) == getattr(found, "status_code", None)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"error": "text"}', b'{"response": {"status_code": 500}, "error": 1}'])
def test_failures_of_others(line: bytes) -> None:
    """Whatever stands in a line of failures, it is an error of this package."""
    assert isinstance(journal_lines.error_in(line), AnyFastError)


# -- the log ---------------------------------------------------------------------------------------------------------


def past_of(line: bytes) -> LogReplay:
    past = LogReplay()
    past.add(line)
    return past


def test_failed_rows_are_in_the_log() -> None:
    """A failure is told by its id, and its line comes out of the log byte for byte."""
    line = failure("ä b")
    record = journal_lines.failed_record(line)

    assert ("ä b", line) == (LogReplay().add(record), journal_lines.failure_in(record))
    assert journal_lines.failure_in(journal_lines.record("started", "a")) is None


def test_every_bit_flip_in_the_log_is_seen() -> None:
    """With any one bit of a line of the log flipped, the line says nothing."""
    record = journal_lines.record("started", "a")

    for place in range((len(record) - 1) * 8):
        bad = bytearray(record)
        bad[place // 8] ^= 1 << place % 8
        assert {} == past_of(bytes(bad)).open, place


def test_the_holder_is_a_line_of_fixed_size() -> None:
    """Who holds the lock is read from the first 512 bytes, and from nothing that is damaged."""
    head = journal_lines.holder(4321, "a host " * 100)

    assert (journal_lines.HOLDER_SIZE, 1) == (len(head), head.count(b"\n"))
    assert (4321, "a host ") == ((found := journal_lines.read_holder(head)) and (found[0], found[1][:7]))
    assert [None] * 4 == [journal_lines.read_holder(bad) for bad in (b"", head[:100], b"\0" + head[1:], b"x" * 512)]
    assert all(journal_lines.may_be_log(head[:size]) for size in range(journal_lines.HOLDER_SIZE))
    assert not journal_lines.may_be_log(b"dear diary")
    assert not past_of(head).known


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a was 1, is 2"]),
        ({"a": None}, {}, []),
        ({}, {"a": "x"}, ['a was not given, is "x"']),
        ({"o": {"t": 0, "m": "x"}}, {"o": {"t": 1, "m": "x"}}, ["o.t was 0, is 1"]),
    ],
)
def test_differences_are_named(before: dict[str, Any], now: dict[str, Any], found: list[str]) -> None:
    """What differs between two headers is named with both values, also inside of one."""
    assert found == journal_lines.differences(before, now)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, b"<html><title>502 Bad Gateway</title>"),
        (503, b'{"error":{"message":"m","type":"new_api_error","code":""}}'),
        (503, b'{"detail":"m"}'),
        (504, b""),
        (400, b'{"error":{"message":"m","code":"violation_fee.x"}}'),
    ],
)
def test_line_of_a_failure_tells_who_spoke_and_what_it_may_have_cost(status: int, body: bytes) -> None:
    """A page of a proxy does not become the gateway's word by being written down."""
    error = error_of(status, {}, body, now=0.0)

    again = journal_lines.error_in(journal_lines.error_line("a", error, stem="0" * 24))

    assert (error.billed, error.spoken_by, error.kind) == (again.billed, again.spoken_by, again.kind)


def test_line_of_an_answer_that_does_not_fit_has_the_answer() -> None:
    """It was paid for: whoever mends rows by hand finds it whole beside the error, which stays one of the output."""
    error = OutputError("no JSON in it")
    error.completion = codec.structure({"choices": [{"message": {"content": "Paris!"}}], "x": 1}, ChatCompletion)
    response = json.loads(failure("a", error))["response"]

    assert (200, codec.as_dict(error.completion)) == (response["status_code"], response["body"])
    assert type(journal_lines.error_in(failure("a", error))) is OutputError


def test_line_of_a_lost_request_tells_what_it_may_have_cost() -> None:
    """One that never left says so, and is read so."""
    unsent = APIConnectionError("cannot connect")
    unsent.billed = "no"

    lines = [journal_lines.error_line("a", error, stem="0" * 24) for error in (unsent, APIConnectionError("broken"))]

    assert ["no", "maybe"] == [journal_lines.error_in(line).billed for line in lines]


@given(st.text(max_size=30), st.text(max_size=30) | st.none())
def test_lines_tell_of_equal_requests(text: str, same_as: str | None) -> None:
    """What a line was written with is read from it, whatever the answer says; a line without it tells nothing."""
    twin = journal_lines.Twin("0123456789abcdef01234567", same_as)
    for said in (text, ',"same_as":"x","request":"0123456789abcdef01234567"}', '","request":"'):
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        completion = codec.structure({"id": "c", "choices": [choice]}, ChatCompletion)
        plain = journal_lines.answer_line("r", completion, stem="a" * 24)
        told = journal_lines.answer_line("r", completion, stem="a" * 24, twin=twin)

        assert None is journal_lines.twin_in(plain)
        assert twin == journal_lines.twin_in(told)
        assert journal_lines.completion_in(plain) == journal_lines.completion_in(told)
        assert "r" == journal_lines.recorded_id(told)
