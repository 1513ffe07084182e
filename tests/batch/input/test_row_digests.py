"""What the rows of an input hold, in a few bytes a row."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from anyfast_async.batch.input.row_digests import RowDigests, json_digest, number_of, text_digest


def digests(*rows: tuple[str, str], by_place: bool = False) -> RowDigests:
    """Two columns of rows."""
    found = RowDigests(("a", "b"), None, by_place)
    for a, b in rows:
        found.add(number_of(a), text_digest(a) + text_digest(b))
    return found


def written(found: RowDigests, places: range, *, is_all: bool) -> list[Any]:
    """Blocks as they are read back from a file."""
    return [json.loads(json.dumps(block)) for block in found.blocks(places, is_all=is_all)]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20), st.integers(0, 20), st.booleans())
def test_they_are_read_back(rows: list[tuple[str, str]], cut: int, by_place: bool) -> None:
    """What was written in two parts is there again, whatever the text is."""
    found = digests(*rows, by_place=by_place)
    cut = min(cut, len(rows))
    blocks = [
        *written(found, range(cut), is_all=True),
        *written(found, range(cut, len(rows)), is_all=False),
    ]

    assert found == RowDigests.of(blocks)


def test_what_is_not_whole() -> None:
    """Of blocks whose last is missing nothing counts; those before them and after them do."""
    found = RowDigests(("a",))
    for number in range(5000):
        found.add(number + 1, text_digest(str(number)))
    first, last = written(found, range(5000), is_all=True)

    assert RowDigests.of([]) is None
    assert RowDigests.of([first]) is None
    assert found == RowDigests.of([first, first, last])
    assert found == RowDigests.of([first, last, first | {"all": False}])
    assert found == RowDigests.of([first, last, first, first, last])


def test_which_column() -> None:
    """A row that differs says in which column; one whose content counts for nothing does not differ."""
    one, other = digests(("x", "1"), ("y", "2")), digests(("x", "1"), ("y", "3"))

    assert (None, "b") == (one.changed(0, other, 0), one.changed(1, other, 1))
    other.void(1)
    assert one.changed(1, other, 1) is None
    assert (0, True) == (other.numbers[1], other.is_void(1))


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_json_is_its_value(value: dict[str, Any]) -> None:
    """The order of an object's keys says nothing."""
    assert json_digest(value) == json_digest(dict(reversed(value.items())))
