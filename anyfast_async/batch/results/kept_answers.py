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
from anyfast_async.batch.results.parquet_tables import array_of, type_of
from anyfast_async.batch.results.row import IN_DOUBT, MISSING, Told, failed_row, objects_in_texts, told_of
from anyfast_async.batch.results.table import CHOICE, MOST, OTHER, FieldColumns, Key, Kind

if TYPE_CHECKING:
    from types import TracebackType

    import pyarrow as pa

_TEXTS: Final = ("outcome", "finish_reason", "model", "refusal", "error_kind", "error", "tool_calls")
_NEAR: Final = 8
"""Batches that are put together to take rows of them."""
_FIELD: Final = "answer."
"""Before the names of fields of answers, so that they are no others."""
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
        types |= {"text": pa.large_string(), "is_object": pa.bool_(), "later": pa.list_(pa.string())}
        self._schema: pa.Schema = pa.schema(types | ({"cost": pa.float64()} if with_cost else {}))
        self._schemas: list[pa.Schema] = []
        """Of each batch: that, and columns for the fields of its objects."""
        self._kinds: list[Mapping[str, Kind] | None] = []
        """What those are of each batch; None if they are none."""
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

    def add(self, told: Told, fields: FieldColumns | None = None) -> None:
        """Keep some rows; of two with one id the later one counts.

        Args:
            told: the rows.
            fields: the columns of their fields, if they are there already.

        """
        import pyarrow as pa  # noqa: PLC0415 - an extra

        count = len(told["custom_id"])
        if not count:
            return
        fields = fields or FieldColumns.of(told["fields"])
        told = {**told, "is_object": [one is not None for one in fields.rows]}
        arrays = [_array(field, told[field.name]) for field in self._schema]
        schema, kinds = self._schema, fields.kinds if len(fields.values) <= MOST else None
        for name, kind in (kinds or {}).items():
            arrays.append(array_of(kind, fields.aligned(name)))
            schema = schema.append(pa.field(f"{_FIELD}{name}", arrays[-1].type))
        self._schemas.append(schema if not self._schemas or schema != self._schemas[-1] else self._schemas[-1])
        self._kinds.append(kinds)
        self._ids.append(pa.array(told["custom_id"], pa.large_string()))
        self._file.write(pa.record_batch(arrays, schema=schema).serialize())
        self._firsts.append(self._count)
        self._ends.append(self._file.tell())
        self._count += count

    def ordered(self, wanted: Iterable[Sequence[str | None] | pa.Array], doubtful: Iterable[str]) -> OrderedAnswers:
        """Return the rows in the order of the ids that are *wanted*; None is a row without an id.

        Args:
            wanted: the ids, some at a time.
            doubtful: those that may have been sent.

        """
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.compute  # noqa: PLC0415

        pc: Any = pyarrow.compute  # its functions are made when it is imported

        text = pa.large_string()
        some_ids: Iterable[Any] = wanted
        ids = pa.chunked_array(
            [some.cast(text) if isinstance(some, pa.Array) else pa.array(some, text) for some in some_ids], text
        )
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
        return OrderedAnswers(ids, places, self._firsts, self._batches(), self._kinds, self._schema)

    def _batches(self) -> list[pa.RecordBatch]:
        """Return what was kept; nothing of it is read before it is needed."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        self._file.flush()
        data = pa.py_buffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
        spans = zip((0, *self._ends), self._ends, self._schemas, strict=False)
        return [pa.ipc.read_record_batch(data.slice(begin, end - begin), schema) for begin, end, schema in spans]


@attrs.frozen
class OrderedAnswers:
    """Answers in the order in which they are wanted."""

    _ids: pa.ChunkedArray
    _places: pa.ChunkedArray
    """The number of the row for each of them."""
    _firsts: Sequence[int]
    _batches: Sequence[pa.RecordBatch]
    _kinds: Sequence[Mapping[str, Kind] | None]
    _schema: pa.Schema

    def told(self, first: int, count: int, wanted: Mapping[Key, Kind]) -> Mapping[Key, Any]:
        """Return what *count* rows from *first* on (from 0) are, in arrays or lists.

        Args:
            first: see above.
            count: see above.
            wanted: the columns that will be made of it, with what stands in them. Their fields of answers are told as
                columns where that says the same; else there is ``fields``.

        """
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.compute  # noqa: PLC0415

        pc: Any = pyarrow.compute  # its functions are made when it is imported

        parts, order = self._parts(self._places.slice(first, count))
        fields: dict[str, Kind] = {key[0]: kind for key, kind in wanted.items() if isinstance(key, tuple)}
        are_columns = all(self._fit(which, fields) for which, _ in parts)
        types = {field.name: field.type for field in self._schema if field.name in wanted}
        if any(isinstance(key, str) and key.startswith(CHOICE) for key in wanted):
            types["later"] = self._schema.field("later").type
        if "text" in wanted or not are_columns:
            types |= {name: self._schema.field(name).type for name in ("text", "is_object")}
        if are_columns:
            types |= {f"{_FIELD}{name}": type_of(kind) for name, kind in fields.items()}
        chosen = [_chosen(self._batches[which], rows, types) for which, rows in parts]
        taken = pa.Table.from_batches(chosen, pa.schema(types)).combine_chunks().take(order)
        arrays = {name: taken[name].combine_chunks() for name in types}
        told: dict[Key, Any] = {name: array for name, array in arrays.items() if not name.startswith(_FIELD)}
        told["custom_id"] = self._ids.slice(first, count).fill_null("").combine_chunks()
        if "later" in told:
            told["later"] = told["later"].to_pylist()
        if are_columns:
            told.update(((name,), arrays[f"{_FIELD}{name}"]) for name in fields)
            if "text" in told:
                told[OTHER] = pc.if_else(told["is_object"], None, told["text"])
        else:
            told["text"] = told["text"].to_pylist()
            told["fields"] = _read_again(told["text"], told["is_object"].to_pylist())
        return told

    def _fit(self, which: int, fields: Mapping[str, Kind]) -> bool:
        """Return whether the columns of a batch say of its fields what is wanted."""
        own = self._kinds[which]
        return own is not None and all(
            own.get(name, kind) == kind or (own[name], kind) == ("integer", "number") for name, kind in fields.items()
        )

    def _parts(self, places: pa.ChunkedArray) -> tuple[Sequence[tuple[int, pa.Array | None]], pa.Array]:
        """Return the batches that rows are in, with their numbers there, and the order of what was taken so.

        Args:
            places: the numbers of the rows. Of batches that lie together all rows are taken (None).

        """
        import pyarrow.compute  # noqa: PLC0415 - an extra

        pc: Any = pyarrow.compute  # its functions are made when it is imported

        absent = self._firsts[-1]
        found = pc.min_max(places.filter(pc.less(places, absent))).as_py()
        low, high = found["min"] or 0, found["max"] or 0
        first, last = (bisect_right(self._firsts, place) - 1 for place in (low, high))
        if last - first > _NEAR:
            return self._scattered(places.to_pylist())
        near = [*range(first, last + 1), len(self._batches) - 1]
        behind = sum(self._batches[which].num_rows for which in near[:-1])
        order = pc.if_else(
            pc.less(places, absent),
            pc.subtract(places, self._firsts[first]),
            pc.add(pc.subtract(places, absent), behind),
        )
        return [(which, None) for which in near], order

    def _scattered(self, places: Sequence[int]) -> tuple[Sequence[tuple[int, pa.Array | None]], pa.Array]:
        """Return the same of rows that lie far apart."""
        import pyarrow as pa  # noqa: PLC0415 - an extra

        numbers: dict[int, list[int]] = {}
        for number, place in enumerate(places):
            numbers.setdefault(bisect_right(self._firsts, place) - 1, []).append(number)
        parts = [
            (which, pa.array([places[number] - self._firsts[which] for number in some], pa.int64()))
            for which, some in numbers.items()
        ]
        order = [0] * len(places)
        for now, number in enumerate(number for some in numbers.values() for number in some):
            order[number] = now
        return parts, pa.array(order, pa.int64())


def _chosen(batch: pa.RecordBatch, rows: pa.Array | None, types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """Return some columns of a batch, or of some *rows* of it; what it lacks is null there."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    names = {*batch.schema.names}
    arrays = [
        batch.column(name).cast(kind) if name in names else pa.nulls(batch.num_rows, kind)
        for name, kind in types.items()
    ]
    chosen = pa.record_batch(arrays, schema=pa.schema(types))
    return chosen if rows is None else chosen.take(rows)


def _read_again(texts: Sequence[str | None], are_objects: Sequence[bool]) -> Sequence[dict[str, Any] | None]:
    """Return the objects that some of the texts are."""
    wanted = [text for text, is_object in zip(texts, are_objects, strict=True) if is_object and text is not None]
    objects = iter(objects_in_texts(wanted))
    return [next(objects) if is_object else None for is_object in are_objects]


def _array(field: pa.Field, cells: Sequence[Any]) -> pa.Array:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if cells.count(None) == len(cells):
        return pa.nulls(len(cells), field.type)
    if field.name == "tool_calls":
        cells = [None if one is None else json_text(one) for one in cells]
    return pa.array(cells, field.type)
