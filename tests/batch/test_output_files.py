"""Which rows of a batch count as done, by what stands in its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyfast_async import AssistantMessage, ChatCompletion, Choice, ConfigurationError, IncompleteStreamError
from anyfast_async._core.journal.journal_lines import answer_line, error_line
from anyfast_async.batch import BatchFiles, open_batch
from anyfast_async.batch.output_files import outcome_in
from anyfast_async.errors import BadRequestError

STEM = "0" * 24


def filled(tmp_path: Path, retry_failed: str = "all") -> BatchFiles:
    """A batch of which a is answered, b was refused, and the stream of c broke."""
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
    refused = BadRequestError("no")
    refused.status_code = 400
    out.write_bytes(answer_line("a", ChatCompletion(choices=(Choice(message=AssistantMessage("x")),)), stem=STEM))
    err.write_bytes(error_line("b", refused, stem=STEM) + error_line("c", IncompleteStreamError("cut"), stem=STEM))
    return open_batch(out, err, retry_failed=retry_failed)


@pytest.mark.parametrize(
    ("policy", "done"), [("all", "a"), ("none", "abc"), ("bad_request", "ac"), ("incomplete", "ab"), ("auth", "abc")]
)
def test_what_is_done(tmp_path: Path, policy: str, done: str) -> None:
    """Answered rows are; failed ones unless all are to be tried again, or those with their kind of error."""
    with filled(tmp_path, policy) as files:
        assert [name in done for name in "abcd"] == [name in files.done for name in "abcd"]
        assert (len(done), 1) == (len(files.done), files.answered)
        assert 5 not in files.done


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """The message names what is allowed, and nothing is made."""
    with pytest.raises(ConfigurationError, match=r"'all' .*'none'.*incomplete.*, not 'bad'"):
        open_batch(tmp_path / "out", tmp_path / "err", retry_failed="bad")

    assert [] == list(tmp_path.iterdir())


def test_what_a_crash_left_is_told(tmp_path: Path) -> None:
    """Rows that were at work at a kill, and damaged lines, are told by the next run and the ones after it."""
    files = filled(tmp_path)
    files.journal.started("d")
    files.close()
    out = tmp_path / "out.jsonl"
    out.write_bytes(out.read_bytes() + b"\0\n")

    for _ in range(2):
        with open_batch(out, tmp_path / "err.jsonl") as files:
            assert (("d",), 1) == (files.maybe_billed, files.quarantined)


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "tool_calls", "SAFETY", None])
@pytest.mark.parametrize("text", ["Hi", "", None])
@pytest.mark.parametrize("refusal", [None, "No."])
def test_outcomes_in_lines(finish: str | None, text: str | None, refusal: str | None) -> None:
    """What a line's answer is told to be without making a completion of it is what the completion is."""
    choices = [Choice(message=AssistantMessage(text, refusal=refusal), finish_reason=finish)]
    for several in (choices, choices * 2):
        completion = ChatCompletion(choices=tuple(several))

        assert completion.outcome == outcome_in(answer_line("a", completion, stem=STEM))
