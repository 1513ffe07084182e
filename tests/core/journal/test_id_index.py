"""Indexes of ids: exact, and small."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._core.journal import id_index as module
from anyfast_async._core.journal.id_index import Index, LateIndex, Seen


def index_of(lines: dict[int, str]) -> Index:
    """An index over made-up lines: where each begins, and whose it is."""
    return Index(lambda custom_id, at: lines[at] == custom_id)


def test_ids_are_found_where_they_are() -> None:
    """Ten thousand ids are found at their places, through every growth of the tables; others are not."""
    lines = {at * 7: f"row-{at}" for at in range(10_000)}
    index = index_of(lines)

    assert all(index.add(custom_id, at) for at, custom_id in lines.items())

    assert len(lines) == len(index)
    assert list(lines) == [index.find(custom_id) for custom_id in lines.values()]
    assert {None} == {index.find(f"new-{i}") for i in range(1000)}
    assert list(lines) == index.places()


def test_an_id_is_added_once() -> None:
    """Adding an id that is there changes nothing and says so; replacing moves it."""
    lines = {0: "a", 50: "a"}
    index = index_of(lines)

    assert (True, False, 0) == (index.add("a", 0), index.add("a", 50), index.find("a"))
    index.replace("a", 50)

    assert (50, 1) == (index.find("a"), len(index))


def test_equal_hashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids whose hashes are all the same are still found, each at its own place: nothing hangs on the hash."""
    monkeypatch.setattr(module, "hash", lambda _: 12345, raising=False)
    lines = {at: f"row-{at}" for at in range(200)}
    index = index_of(lines)

    for at, custom_id in lines.items():
        assert index.find(custom_id) is None
        index.replace(custom_id, at)

    assert list(lines) == [index.find(custom_id) for custom_id in lines.values()]


@given(st.lists(st.lists(st.integers(0, 40), max_size=9), max_size=9), st.integers(0, 20), st.booleans())
def test_late_is_as_good(blocks: list[list[int]], asked: int, is_small: bool) -> None:
    """An index that is made late says what one says that is there from the beginning, whenever it is asked."""
    lines: dict[int, str] = {}
    late, index = LateIndex(lambda one, at: lines[at] == one), index_of(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LATE", 3 if is_small else 1 << 19)
        for number, block in enumerate(blocks):
            ids = [f"row-{one}" for one in block]
            begins = [*range(len(lines), len(lines) + len(ids))]
            lines.update(zip(begins, ids, strict=True))
            assert index.add_many(ids, begins) == late.add_many(ids, begins)
            if number == asked:
                assert index.find("row-1") == late.find("row-1")
        if lines:
            index.replace(lines[0], 0)
            late.replace(lines[0], 0)

    assert [index.find(f"row-{n}") for n in range(42)] == [late.find(f"row-{n}") for n in range(42)]


def test_places_up_to_a_tebibyte() -> None:
    """A line may begin at the last byte of a tebibyte."""
    last = 2**40 - 2
    index = index_of({last: "a"})

    index.add("a", last)

    assert last == index.find("a")


def test_a_million_ids_take_20_mib() -> None:
    """A million ids take at most 20 MiB, the tables that are not full included."""
    index = Index(lambda *_: False)

    for i in range(100_000):
        index.add(f"row-{i}", i)

    assert sum(table.buffer_info()[1] * table.itemsize for table in index._tables) <= 2 * 2**20


@pytest.mark.parametrize("numbers", [range(3000), [0, 1, 2**64 - 1, -1, 2**63]])
def test_numbers_are_counted(numbers: list[int]) -> None:
    """Each number is counted for itself, as 64 bits; the 0 is one with the 1, which is all that it costs."""
    rand = random.Random(1)
    drawn = rand.choices(list(numbers), k=5000)
    counts: dict[int, int] = {}
    seen = Seen()

    for number in drawn:
        key = number % 2**64 or 1
        counts[key] = counts.get(key, 0) + 1
        assert counts[key] == seen.count(number)

    assert len(counts) == len(seen)


def test_numbers_that_came_in_bulk_are_known_one_by_one() -> None:
    """However they were counted, and wherever they collide, what came before has come before."""
    alike = [7 + (number << 24) for number in range(11)]  # one table, one place
    seen = Seen()

    assert set() == seen.again(alike)
    assert [2] * 11 == [seen.count(number) for number in alike]
    assert {*alike} == seen.again(alike)
    assert [4] * 11 == [seen.count(number) for number in alike]
