"""What rows hold, as it is noted."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyfast_async.batch.input.input_content import Content, NoContent
from anyfast_async.batch.input.row_digests import number_of
from anyfast_async.batch.input.source import Source


@pytest.mark.parametrize(
    ("id_column", "numbers"), [(None, [4, 7, 9]), ("id", [number_of("a"), 0, number_of("c")])], ids=["counted", "ids"]
)
def test_rows_and_one_that_is_bad(id_column: str | None, numbers: list[int]) -> None:
    """Rows are known by their ids, or by their numbers where they have none; bad ones hold nothing."""
    content = Content(Source(Path("in.csv"), "csv", id_column=id_column))
    content.add([4, 7, 9], ["a", None, "c"], [b"1234", None, b"5678"])
    content.void(2)

    found = content.found(is_numbered=False)

    assert (bytearray(b"1234" + bytes(8)), id_column is None) == (found.cells, found.by_place)
    assert numbers[:2] == [*found.numbers][:2]


def test_nobody_asks() -> None:
    """Nothing is kept if nobody asks."""
    nothing = NoContent()
    nothing.add([1], ["a"], [None])
    nothing.void(0)

    assert nothing.found(is_numbered=True) is None
