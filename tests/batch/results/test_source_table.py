"""The table that a batch was made of."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from anyfast_async.batch.results.source_table import SourceTable, as_json, whole_table


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00+00:00"),
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(hours=1), "1:00:00"),
        (b"\x00\xff", "AP8="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (float("nan"), None),
        ({"a": [Decimal("1.0"), None, True, 2**80]}, {"a": ["1.0", None, True, 2**80]}),
    ],
)
def test_as_json(value: Any, said: Any) -> None:
    """What JSON has no word for is text that loses nothing."""
    assert said == as_json(value)


@pytest.mark.parametrize(
    ("name", "text", "ids"),
    [
        ("a.csv", "x,id\n1,b\n", ["b"]),
        ("a.csv", "x,y\n1,b\n", ["line-2"]),
        ("a.jsonl", '{"custom_id": "q", "id": 3}\n', ["q"]),
        ("a.jsonl", '{"custom_id": "q", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n', ["q"]),
        ("a.jsonl", '{"id": 5, "messages": []}\n', ["5"]),
        ("a.txt", "one\n\ntwo\n", ["line-1", "line-3"]),
    ],
)
def test_whole_table(name: str, text: str, ids: list[str], tmp_path: Path) -> None:
    """Where no log says how requests were made, the ids stand where they usually do."""
    (tmp_path / name).write_text(text)

    table = SourceTable(whole_table(tmp_path / name, None))

    assert ids == [row.custom_id for row in table.rows()]
