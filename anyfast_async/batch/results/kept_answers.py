"""Answers as Arrow columns, kept in a file without a name until it is known in which order they are wanted.

So a join reads its answers once, and needs memory for their ids, not for what they say.
"""

from __future__ import annotations

import mmap
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

import attrs

from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.row import IN_DOUBT, MISSING, Told, failed_row, objects_in_texts, told_of

if TYPE_CHECKING:
    from types import TracebackType

    import pyarrow as pa

_TEXTS: Final = ("outcome", "finish_reason", "model", "refusal", "error_kind", "error", "tool_calls")
_NEAR: Final = 8
"""Batches that are put together to take rows of them."""
_NUMBERS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


class KeptAnswers:
    """Rows of results, some at a time; a context manager.

    Args:
        folder: where the file is.
        with_cost: whether there is a ``cost`` beside what rows are, which is kept, too.

    Raises:
        ImportError: there is no pyarrow.

    """

    def __init__(self, folder: Path, *, with_cost: bool) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        types = dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(_NUMBERS, pa.int64())
        types |= {"text": pa.large_string(), "later": pa.list_(pa.string())}
        self._schema: pa.Schema = pa.schema(types | ({"cost": pa.float64()} if with_cost else {}))
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed on leaving
        self._ids: list[pa.Array] = []
        self._firsts: list[int] = []
        """The numbers of the first rows of the batches."""
        self._ends: list[int] = []
        """Where they end in the file."""
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, told: Told) -> None:
        """Keep some rows; of two with one id the later one counts."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        count = len(told["custom_id"])
        if not count:
            return
        arrays = [_array(field, told[field.name]) for field in self._schema]
        self._ids.append(pa.array(told["custom_id"], pa.large_string()))
        self._file.write(pa.record_batch(arrays, schema=self._schema).serialize())
        self._firsts.append(self._count)
        self._ends.append(self._file.tell())
        self._count += count

    def ordered(self, wanted: Iterable[Sequence[str | None]], doubtful: Iterable[str]) -> OrderedAnswers:
        """Return the rows in the order of the ids that are *wanted*; None is a row without an id.

        Args:
            wanted: the ids, some at a time.
            doubtful: those that may have been sent.

        """
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.compute  # noqa: PLC0415

        pc: Any = pyarrow.compute  # its functions are made when it is imported

        text = pa.large_string()
        ids = pa.chunked_array([pa.array(some, text) for some in wanted], text)
        known = pa.chunked_array(self._ids, text)
        distinct = pc.unique(known)
        places = pc.index_in(ids, value_set=distinct)
        if len(distinct) < len(known):
            last = [0] * len(distinct)
            for number, which in enumerate(pc.index_in(known, value_set=distinct).to_pylist()):
                last[which] = number
            places = pa.array(last, pa.int64()).take(places)
        absent = self._count
        missing = told_of([failed_row("", failure, "missing") for failure in (MISSING, IN_DOUBT)])
        self.add({**missing, "cost": (None, None)})
        in_doubt = pc.is_in(ids, value_set=pa.array(doubtful, text))
        places = pc.coalesce(places.cast(pa.int64()), pc.add(pc.cast(in_doubt, pa.int64()), absent))
        return OrderedAnswers(ids, places, self._firsts, self._batches())

    def _batches(self) -> list[pa.RecordBatch]:
        """Return what was kept; nothing of it is read before it is needed."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        self._file.flush()
        data = pa.py_buffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
        spans = zip((0, *self._ends), self._ends, strict=False)
        return [pa.ipc.read_record_batch(data.slice(begin, end - begin), self._schema) for begin, end in spans]


@attrs.frozen
class OrderedAnswers:
    """Answers in the order in which they are wanted."""

    _ids: pa.ChunkedArray
    _places: pa.ChunkedArray
    """The number of the row for each of them."""
    _firsts: Sequence[int]
    _batches: Sequence[pa.RecordBatch]

    def told(self, first: int, count: int) -> Mapping[str, Any]:
        """Return what *count* rows from *first* on (from 0) are, in arrays or lists."""
        batch = self._taken(self._places.slice(first, count))
        told: dict[str, Any] = {name: batch.column(name) for name in batch.schema.names}
        told["custom_id"] = self._ids.slice(first, count).fill_null("").combine_chunks()
        told["text"] = texts = told["text"].to_pylist()
        told["later"] = told["later"].to_pylist()
        kinds = told["error_kind"].to_pylist()
        if None not in texts and told["error_kind"].null_count == count:
            told["fields"] = objects_in_texts(texts)
            return told
        every: list[dict[str, Any] | None] = [None] * count
        told["fields"] = every
        fitting = [
            n for n, (text, kind) in enumerate(zip(texts, kinds, strict=True)) if text is not None and kind is None
        ]
        for n, fields in zip(fitting, objects_in_texts([texts[n] for n in fitting]), strict=True):
            every[n] = fields
        return told

    def _taken(self, places: pa.ChunkedArray) -> pa.RecordBatch:
        """Return rows by their numbers."""
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.compute  # noqa: PLC0415

        pc: Any = pyarrow.compute  # its functions are made when it is imported

        absent = self._firsts[-1]
        found = pc.min_max(places.filter(pc.less(places, absent))).as_py()
        low, high = found["min"] or 0, found["max"] or 0
        first, last = (bisect_right(self._firsts, place) - 1 for place in (low, high))
        if last - first > _NEAR:
            return self._gathered(places.to_pylist())
        near = self._batches[first : last + 1]
        behind = sum(batch.num_rows for batch in near)
        inner = pc.if_else(
            pc.less(places, absent),
            pc.subtract(places, self._firsts[first]),
            pc.add(pc.subtract(places, absent), behind),
        )
        return _one(pa.Table.from_batches([*near, self._batches[-1]]).combine_chunks().take(inner))

    def _gathered(self, places: Sequence[int]) -> pa.RecordBatch:
        """Return rows that lie far apart: those of each batch, and then in the order that is wanted."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        numbers: dict[int, list[int]] = {}
        for number, place in enumerate(places):
            numbers.setdefault(bisect_right(self._firsts, place) - 1, []).append(number)
        parts = [
            self._batches[which].take(pa.array([places[number] - self._firsts[which] for number in some]))
            for which, some in numbers.items()
        ]
        order = [0] * len(places)
        for now, number in enumerate(number for some in numbers.values() for number in some):
            order[number] = now
        return _one(pa.Table.from_batches(parts).combine_chunks().take(pa.array(order, pa.int64())))


def _one(table: pa.Table) -> pa.RecordBatch:
    """Return a table as one batch, also where it has no rows."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _array(field: pa.Field, cells: Sequence[Any]) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if cells.count(None) == len(cells):
        return pa.nulls(len(cells), field.type)
    if field.name == "tool_calls":
        cells = [None if one is None else json_text(one) for one in cells]
    return pa.array(cells, field.type)
