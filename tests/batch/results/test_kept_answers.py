"""Answers that are kept until it is known in which order they are wanted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from anyfast_async._core.usage import Used
from anyfast_async.batch.results.kept_answers import KeptAnswers
from anyfast_async.batch.results.row import IN_DOUBT, MISSING, FailedRow, Row, failed_row, object_in_text, told_of

pytest.importorskip("pyarrow")

GONE = FailedRow("server", "gone", retryable=True, billed="no")


def answer(custom_id: str, text: str) -> Row:
    """A row with an answer."""
    row = Row(custom_id, "ok", text, object_in_text(text), "stop", "m", 3, 2, used=Used(3, 2, 1))
    return row._replace(later=("x", None), tool_calls=[{"id": "é"}]) if custom_id == "5" else row


def listed(told: Any, name: str) -> list[Any]:
    cells = told[name]
    return list(cells) if isinstance(cells, (list, tuple)) else cells.to_pylist()


@pytest.mark.parametrize("together", [1, 7, 100])
def test_any_order(together: int, tmp_path: Path) -> None:
    """Rows come in the order in which they are wanted, however they were kept; of two with one id the later counts."""
    rows = [answer(str(n), f'{{"n": {n}}}') if n % 9 else failed_row(str(n), GONE) for n in range(50)]
    rows += [answer("7", "later"), failed_row("9", GONE), answer("7", "last")]
    standing = {row.custom_id: row for row in rows}
    wanted: list[str | None] = [*map(str, range(60)), None, "7", "no", "doubt"]
    random.Random(1).shuffle(wanted)

    with KeptAnswers(tmp_path, with_cost=True) as kept:
        for at in range(0, len(rows), together):
            some = rows[at : at + together]
            kept.add({**told_of(some), "cost": [0.5 if row.used else None for row in some]})
        ordered = kept.ordered([wanted[:20], [], wanted[20:]], ["doubt", "7"])
        parts = [ordered.told(first, 8) for first in range(0, len(wanted), 8)]

    expected = [
        standing.get(one or "") or failed_row(one or "", IN_DOUBT if one == "doubt" else MISSING, "missing")
        for one in wanted
    ]
    for name in ("custom_id", "outcome", "text", "fields", "model", "prompt_tokens", "error_kind", "error"):
        assert [getattr(row, name) for row in expected] == [cell for told in parts for cell in listed(told, name)]
    assert [0.5 if row.used else None for row in expected] == [cell for told in parts for cell in listed(told, "cost")]
    assert [list(row.later) for row in expected] == [later or [] for told in parts for later in listed(told, "later")]
    assert ['[{"id":"é"}]'] == [calls for told in parts for calls in listed(told, "tool_calls") if calls]


def test_nothing(tmp_path: Path) -> None:
    """No answers, or none that are wanted."""
    with KeptAnswers(tmp_path, with_cost=False) as kept:
        kept.add(told_of([]))
        assert [] == listed(kept.ordered([], []).told(0, 0), "outcome")
        assert ["missing"] == listed(kept.ordered([["a"]], []).told(0, 1), "outcome")
    assert [] == list(tmp_path.iterdir())
