"""What a log says, taken together."""

from __future__ import annotations

import pytest

from anyfast_async import AssistantMessage, ChatCompletion, Choice, IncompleteStreamError
from anyfast_async._core.journal import journal_lines
from anyfast_async._core.journal.log_replay import LogReplay

STEM = "0123456789abcdef01234567"


def answer(custom_id: str, text: str = "x") -> bytes:
    return journal_lines.answer_line(
        custom_id, ChatCompletion(choices=(Choice(message=AssistantMessage(text)),)), stem=STEM
    )


def past_of(*lines: bytes) -> LogReplay:
    past = LogReplay()
    for line in lines:
        past.add(line)
    return past


def test_a_log_tells_what_is_open() -> None:
    """Open is what was started and has neither failed nor been taken back; a list of open ids replaces the rest."""
    lines = [
        journal_lines.holder(1, "host"),
        journal_lines.record("header", {"a": 1}),
        *(journal_lines.record("started", name) for name in "abc"),
        journal_lines.record("open", ["b"]),
        *(journal_lines.record("started", name) for name in "def"),
        journal_lines.failed_record(journal_lines.error_line("d", IncompleteStreamError("cut"), stem=STEM)),
        journal_lines.record("unsent", "e"),
    ]
    past = past_of(*lines)

    assert (["b", "f"], {"a": 1}, True) == (list(past.open), past.header, past.known)


def test_a_log_tells_what_came_before() -> None:
    """Ids that may be billed twice add up over runs; damaged lines are counted, torn ones are not."""
    past = past_of(
        journal_lines.record("maybe_billed", ["a"]),
        journal_lines.record("maybe_billed", ["b", "a"]),
        journal_lines.damaged_record(b"\0\0", at=7, torn=False),
        journal_lines.damaged_record(b"{", at=9, torn=True),
        journal_lines.record("settled", True),
        journal_lines.record("of a later version", None),
    )

    assert (["a", "b"], 1, 1) == (list(past.maybe_billed), past.quarantined, past.settled)


@pytest.mark.parametrize(
    ("lines", "is_answered"),
    [
        ([], True),
        ([journal_lines.record("again", "a")], False),
        ([journal_lines.record("again", "a"), journal_lines.replaced_record(answer("a", "old"))], True),
        ([journal_lines.record("again", "a"), journal_lines.replaced_record(answer("a", "new"))], False),
        ([journal_lines.record("again", "a"), journal_lines.record("open", [])], True),
        ([journal_lines.record("again", "a"), journal_lines.record("open", ["a"])], False),
    ],
)
def test_an_answer_may_be_to_an_earlier_request(lines: list[bytes], is_answered: bool) -> None:
    """The answer in the file is that of the last request, unless it stood there before, or was just to be replaced."""
    past = past_of(*lines)

    assert past.is_answered("a", answer("a", "new")) is is_answered
    assert not past.is_answered("a", None)


def test_inputs_and_models_are_remembered() -> None:
    """Every input that it was begun or went on with, and by which names answers call the models that were asked."""
    past = past_of(
        journal_lines.record("header", {"input": {"sha256": "1"}}),
        journal_lines.record("header", {"written by": "map"}),
        journal_lines.record("changed", {"input": {"sha256": "2"}}),
        journal_lines.record("input kept", "3"),
        journal_lines.record("model", ["m-001", "m"]),
    )

    assert {"1", "2", "3"} == past.inputs
    assert [("m",), ("other",)] == [past.asked_for("m-001"), past.asked_for("other")]


def test_a_log_tells_what_was_sent_within_the_last_minute() -> None:
    """So a run that goes on stays within its limits: when, how many requests and how many tokens."""
    past = past_of(
        journal_lines.record("sent", [100.0, 5, 700]),
        journal_lines.record("sent", [130.0, 2, 90]),
        journal_lines.record("sent", [170.0, 1, 30]),
    )

    assert [(130.0, 2, 90), (170.0, 1, 30)] == past.sent


def test_a_log_tells_that_answers_of_another_program_are_there() -> None:
    """They count as answers, and were made of what nobody knows."""
    assert (False, True) == (past_of().foreign, past_of(journal_lines.record("foreign", True)).foreign)
