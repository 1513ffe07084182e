"""Answers that are kept until it is known in which order they are wanted."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.usage import Used
from anyfast_async.batch.results.kept_answers import KeptAnswers
from anyfast_async.batch.results.parquet_tables import array_of
from anyfast_async.batch.results.row import IN_DOUBT, MISSING, FailedRow, Row, failed_row, object_in_text, told_of
from anyfast_async.batch.results.table import MOST, Columns

pytest.importorskip("pyarrow")

GONE = FailedRow("server", "gone", retryable=True, billed="no")


def answer(custom_id: str, text: str) -> Row:
    """A row with an answer."""
    row = Row(custom_id, "ok", text, object_in_text(text), "stop", "m", 3, 2, used=Used(3, 2, 1))
    return row._replace(later=("x", None), tool_calls=[{"id": "é"}]) if custom_id == "5" else row


def check(rows: Sequence[Row], wanted: Sequence[str | None], folder: Path, *, together: int, asked: int = 8) -> None:
    """What was kept is what the rows say one by one, in the order in which they are *wanted*."""
    standing = {row.custom_id: row for row in rows}
    expected = [
        standing.get(one or "") or failed_row(one or "", IN_DOUBT if one in ("doubt", "7") else MISSING, "missing")
        for one in wanted
    ]
    columns = Columns(cost_of=lambda _, used: 0.5 if used else None)
    some = [rows[at : at + together] for at in range(0, len(rows), together)]
    for part in some:
        columns.look(told_of(part))
    kinds = columns.kinds
    with KeptAnswers(folder, with_cost=True) as kept:
        for part in some:
            kept.add({**told_of(part), "cost": [0.5 if row.used else None for row in part]})
        ordered = kept.ordered([wanted[:20], [], wanted[20:]], ["doubt", "7"])
        for first in range(0, len(wanted), asked):
            count = min(asked, len(wanted) - first)
            found = columns.named_cells(ordered.told(first, count, columns.keys))
            careful = columns.table(expected[first : first + count])
            for name, kind in kinds.items():
                assert array_of(kind, [*careful[name]]).equals(array_of(kind, found[name])), name


@pytest.mark.parametrize("together", [1, 7, 100])
def test_any_order(together: int, tmp_path: Path) -> None:
    """Rows come in the order in which they are wanted, however they were kept; of two with one id the later counts."""
    rows = [answer(str(n), f'{{"n": {n}}}') if n % 9 else failed_row(str(n), GONE) for n in range(50)]
    rows += [answer("7", "later"), failed_row("9", GONE), answer("7", "last")]
    wanted: list[str | None] = [*map(str, range(60)), None, "7", "no", "doubt"]
    random.Random(1).shuffle(wanted)

    check(rows, wanted, tmp_path, together=together)


NUMBERS = st.sampled_from([0, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e300])
VALUES: st.SearchStrategy[Any] = st.sampled_from([None, True, "", "é", "\x1b", [], [1, None], {"a": 2**70}]) | NUMBERS
TEXTS = (
    st.dictionaries(st.sampled_from(["a", "b", "text", "answer.a"]), NUMBERS | VALUES).map(json.dumps)
    | st.fixed_dictionaries({"a": NUMBERS, "b": VALUES}).map(json.dumps)
    | st.sampled_from(["", "plain", "{", "[1]", '```json\n{"a": 1}\n```'])
)


@given(st.lists(TEXTS | st.none(), max_size=12), st.integers(1, 5), st.randoms())
def test_whatever_is_answered(texts: list[str | None], together: int, chance: random.Random) -> None:
    """What is read and kept by columns is the same, digit by digit, as what is read of each row when it is written."""
    rows = [failed_row(str(n), GONE) if text is None else answer(str(n), text) for n, text in enumerate(texts)]
    wanted: list[str | None] = [str(n) for n in range(len(rows) + 2)]
    chance.shuffle(wanted)
    with tempfile.TemporaryDirectory() as folder:
        check(rows, wanted, Path(folder), together=together, asked=5)


def test_many_fields(tmp_path: Path) -> None:
    """Objects with too many fields are one text each."""
    rows = [answer(str(n), json.dumps({f"f{m}": m for m in range(n * MOST)})) for n in range(3)]

    check(rows, ["2", "0", "1"], tmp_path, together=1)


def test_nothing(tmp_path: Path) -> None:
    """No answers, or none that are wanted."""
    with KeptAnswers(tmp_path, with_cost=False) as kept:
        kept.add(told_of([]))
        wanted = Columns().keys
        assert 0 == len(kept.ordered([], []).told(0, 0, wanted)["outcome"])
        assert ["missing"] == kept.ordered([["a"]], []).told(0, 1, wanted)["outcome"].to_pylist()
    assert [] == [*tmp_path.iterdir()]
