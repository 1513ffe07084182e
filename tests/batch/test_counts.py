"""What became of the rows of an input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import AssistantMessage, ChatCompletion, Choice
from anyfast_async._values.outcome import ODD
from anyfast_async.batch.counts import Counts, Standing


@pytest.mark.parametrize(
    ("text", "finish", "refusal", "outcome"),
    [
        ("Hi", "stop", None, "ok"),
        ("Hi", "length", None, "cut"),
        ("", "length", None, "empty"),
        ("", "stop", None, "empty"),
        ("Sorry", "content_filter", None, "filtered"),
        ("", "content_filter", None, "filtered"),
        ("", "stop", "I will not", "refused"),
    ],
)
def test_outcomes(text: str, finish: str, refusal: str | None, outcome: str) -> None:
    """What an answer is, told by what it holds and how it ended."""
    message = AssistantMessage(text, refusal=refusal)

    assert outcome == ChatCompletion(choices=(Choice(message=message, finish_reason=finish),)).outcome


STANDINGS = st.sampled_from([Standing("ok"), *map(Standing, ODD), *(Standing("failed", kind) for kind in ("a", "b"))])


@given(st.lists(st.lists(STANDINGS, min_size=1, max_size=4), max_size=20))
def test_each_row_counts_once(rows: list[list[Standing]]) -> None:
    """However often rows were sent, each counts once: by its last answer, or its last failure if it has none."""
    counts = Counts()
    ends = []
    for results in rows:
        before = None
        for now in results:
            counts.add(now, before)
            if before is None or now.outcome != "failed" or before.outcome == "failed":
                before = now
        ends.append(before)

    assert len(rows) == counts.results == counts.answered + counts.failed
    for outcome in ("ok", *ODD, "failed"):
        assert sum(end is not None and end.outcome == outcome for end in ends) == counts.outcomes[outcome]
    assert counts.failed == counts.kinds.total()
    assert min(counts.kinds.values(), default=1) > 0


def test_what_is_bad() -> None:
    """Failed, cut, empty and filtered rows are no good end, unless they are accepted; a refusal is an answer."""
    for word in ("failed", "cut", "empty", "filtered"):
        counts = Counts()
        counts.add(Standing(word))
        assert counts.is_bad()
        assert word == "failed" or not counts.is_bad(frozenset({word}))
    fine = Counts()
    fine.add(Standing("refused"))
    assert not fine.is_bad()
