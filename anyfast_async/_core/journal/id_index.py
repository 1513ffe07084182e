"""Where a million ids are, in 20 MiB or less. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

_SHARDS: Final = 256
_FIRST: Final = 16
_TAG: Final = (1 << 24) - 1
_WORD: Final = (1 << 64) - 1
_LATE: Final = 1 << 19
"""Ids that may be waiting for an index."""


class _Table:
    """Open addressing in arrays of 64-bit slots: 11 to 21 bytes an entry, whatever the ids are.

    There are 256 tables, so that one that grows needs little room beside the others. The place of a slot in its table
    is in the slot's own low 24 bits, so that a table grows without its keys.
    """

    def __init__(self) -> None:
        self._tables = [array("Q", bytes(8 * _FIRST)) for _ in range(_SHARDS)]
        self._counts = [0] * _SHARDS

    def __len__(self) -> int:
        return sum(self._counts)

    def _fill(self, shard: int, at: int, slot: int) -> None:
        """Put *slot* at the free place that probing has found."""
        table = self._tables[shard]
        table[at] = slot
        self._counts[shard] += 1
        if 4 * self._counts[shard] > 3 * len(table):
            self._grow(shard)

    def _grow(self, shard: int) -> None:
        table = self._tables[shard]
        larger = self._tables[shard] = array("Q", bytes(16 * len(table)))
        mask = len(larger) - 1
        for one in filter(None, table):
            i = one & mask
            while larger[i]:
                i = (i + 1) & mask
            larger[i] = one


class Index(_Table):
    """Where the line of each id begins in a file, up to 1 TiB.

    It keeps 32 bits of an id's hash, and asks whether the line that it points to is the right one: so it is exact, and
    with a million ids it asks for a wrong line once in four thousand times.

    Args:
        is_it: says whether the line of an id is the one that begins at a byte.

    """

    def __init__(self, is_it: Callable[[str, int], bool]) -> None:
        super().__init__()
        self._is_it = is_it

    def find(self, custom_id: str) -> int | None:
        """Return where the line of *custom_id* begins, None if there is none."""
        at, shard = self._probe(custom_id)
        slot = self._tables[shard][at]
        return (slot >> 24) - 1 if slot else None

    def add(self, custom_id: str, begin: int) -> bool:
        """Say that the line of *custom_id* begins at byte *begin*; return False, and change nothing, if it has one."""
        return not self.add_many((custom_id,), (begin,))

    def add_many(self, custom_ids: Iterable[str], begins: Iterable[int]) -> list[int]:
        """Do what :meth:`add` does for each; return the numbers of those that have a line already."""
        # Every row of a file goes through here, so _probe and _fill are written out.
        tables, counts, again = self._tables, self._counts, []
        for place, (custom_id, begin) in enumerate(zip(custom_ids, begins, strict=True)):
            number = hash(custom_id)
            shard, tag = number >> 56 & 255, number & _TAG
            table = tables[shard]
            mask = len(table) - 1
            i = tag & mask
            while slot := table[i]:
                if slot & _TAG == tag and self._is_it(custom_id, (slot >> 24) - 1):
                    again.append(place)
                    break
                i = (i + 1) & mask
            else:
                table[i] = begin + 1 << 24 | tag
                counts[shard] += 1
                if 4 * counts[shard] > 3 * mask:
                    self._grow(shard)
        return again

    def add_hashes(self, hashes: Iterable[int], begins: Iterable[int]) -> None:
        """Do what :meth:`add` does for ids of which the *hashes* are given, and differ."""
        tables = self._tables
        for number, begin in zip(hashes, begins, strict=True):
            shard, tag = number >> 56 & 255, number & _TAG
            table = tables[shard]
            mask = len(table) - 1
            i = tag & mask
            while table[i]:
                i = (i + 1) & mask
            self._fill(shard, i, begin + 1 << 24 | tag)

    def replace(self, custom_id: str, begin: int) -> None:
        """Say that the line of *custom_id* begins at byte *begin*, wherever one began before."""
        at, shard = self._probe(custom_id)
        slot = begin + 1 << 24 | hash(custom_id) & _TAG
        if self._tables[shard][at]:
            self._tables[shard][at] = slot
        else:
            self._fill(shard, at, slot)

    def places(self) -> list[int]:
        """Return the beginnings of all lines, in their order."""
        return sorted((slot >> 24) - 1 for table in self._tables for slot in table if slot)

    def _probe(self, custom_id: str) -> tuple[int, int]:
        """Return the place of *custom_id*, or the free one where it belongs, and its table's number."""
        number = hash(custom_id)
        shard = number >> 56 & 255
        table = self._tables[shard]
        mask, tag = len(table) - 1, number & _TAG
        i = tag & mask
        while (slot := table[i]) and (slot & _TAG != tag or not self._is_it(custom_id, (slot >> 24) - 1)):
            i = (i + 1) & mask
        return i, shard


class LateIndex:
    """An :class:`Index` that is made when it is asked for a line first, or when an id comes again.

    Until then it is quicker to fill, and takes some hundred bytes an id: so it is made of half a million, too.

    Args:
        is_it: as in :class:`Index`.

    """

    def __init__(self, is_it: Callable[[str, int], bool]) -> None:
        self._index = Index(is_it)
        self._seen: set[int] | None = set()
        """The hashes of all ids, which differ; None if the index is made."""
        self._hashes = array("q")
        self._begins = array("Q")

    def add_many(self, custom_ids: Sequence[str], begins: Sequence[int]) -> list[int]:
        """Do what :meth:`Index.add_many` does."""
        if (seen := self._seen) is not None:
            hashes, before = [*map(hash, custom_ids)], len(seen)
            seen.update(hashes)
            if len(seen) - before == len(hashes):
                self._hashes.extend(hashes)
                self._begins.extend(begins)
                if len(seen) > _LATE:
                    self._made()
                return []
        return self._made().add_many(custom_ids, begins)

    def find(self, custom_id: str) -> int | None:
        """Do what :meth:`Index.find` does."""
        return self._made().find(custom_id)

    def replace(self, custom_id: str, begin: int) -> None:
        """Do what :meth:`Index.replace` does."""
        self._made().replace(custom_id, begin)

    def _made(self) -> Index:
        if self._seen is not None:
            self._seen = None
            self._index.add_hashes(self._hashes, self._begins)
            del self._hashes[:], self._begins[:]
        return self._index


class Seen(_Table):
    """How often each 64-bit number has come.

    Numbers are hashes: that two of a million which should differ are equal happens once in 37 million runs. What came
    once takes 8 to 20 bytes, what came again a little more.
    """

    def __init__(self) -> None:
        super().__init__()
        self._again: dict[int, int] = {}

    def count(self, number: int) -> int:
        """Count *number*; return how often it has come, from 1."""
        slot = (number & _WORD) or 1
        table = self._tables[slot >> 56]
        mask = len(table) - 1
        i = slot & mask
        while table[i]:
            if table[i] == slot:
                self._again[slot] = times = self._again.get(slot, 1) + 1
                return times
            i = (i + 1) & mask
        self._fill(slot >> 56, i, slot)
        return 1

    def again(self, numbers: Iterable[int]) -> set[int]:
        """Count each of *numbers* as :meth:`count` does; return those that had come before."""
        # Every row of a file goes through here, so count and _fill are written out.
        tables, counts, found = self._tables, self._counts, set()
        for number in numbers:
            slot = (number & _WORD) or 1
            shard = slot >> 56
            table = tables[shard]
            mask = len(table) - 1
            i = slot & mask
            while taken := table[i]:
                if taken == slot:
                    self._again[slot] = self._again.get(slot, 1) + 1
                    found.add(number)
                    break
                i = (i + 1) & mask
            else:
                table[i] = slot
                counts[shard] += 1
                if 4 * counts[shard] > 3 * mask + 3:
                    self._grow(shard)
        return found
