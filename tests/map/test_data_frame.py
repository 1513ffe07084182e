"""Results as a data frame."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import attrs
import pytest

from anyfast_async import AnyFast, AssistantMessage, ChatCompletion, Choice, Result, Usage
from anyfast_async._map.data_frame import frame_of
from anyfast_async._map.result import ResultList
from anyfast_async.errors import ConfigurationError, OutputError, QueueFullError
from anyfast_async.simulator import Simulator


class Mood(enum.Enum):
    """A kind of value."""

    GOOD = "good"


@attrs.frozen
class Label:
    """What is asked for."""

    mood: Mood
    score: int
    error: str
    tags: list[str]


def completion(text: str) -> ChatCompletion:
    """An answer."""
    choice = Choice(message=AssistantMessage(text), finish_reason="stop")
    return ChatCompletion(model="m", choices=(choice,), usage=Usage(prompt_tokens=3, completion_tokens=2))


def results(*items: Any) -> ResultList[Any]:
    """One that is good, one that does not parse, one that failed."""
    first, second, third = items
    return ResultList(
        [
            Result(0, first, completion=completion("{}"), value=Label(Mood.GOOD, 7, "none", ["a"])),
            Result(1, second, completion=completion("Sorry"), error=OutputError("is no Label")),
            Result(2, third, error=QueueFullError("busy")),
        ]
    )


ROWS = ({"id": 10**15, "outcome": "x"}, {"id": 2, "outcome": "y"}, {"id": 3, "outcome": None})


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_rows(library: str) -> None:
    """Items that are rows keep their columns; fields of the answers and what became of them stand beside."""
    pytest.importorskip(library)

    frame = results(*ROWS).frame(library)

    found = rows_of(frame, library)
    assert [row["id"] for row in ROWS] == [row["id"] for row in found]
    assert ["x", "y", None] == [row["outcome"] for row in found]
    assert ["ok", "failed", "failed"] == [row["answer.outcome"] for row in found]
    assert [("good", 7, "none"), (None, None, None)] == [
        tuple(row[name] for name in ("mood", "score", "error")) for row in found[:2]
    ]
    assert [None, "Sorry", None] == [row["text"] for row in found]
    assert [None, "output", QueueFullError.kind] == [row["error_kind"] for row in found]
    assert [None, "is no Label"] == [row["answer.error"] for row in found][:2]
    assert ["a"] == list(found[0]["tags"])


def rows_of(frame: Any, library: str) -> list[dict[str, Any]]:
    """The rows of a frame, with None for what is missing."""
    if library == "pandas":
        missing = frame.astype(object).where(frame.notna(), None)
        return missing.to_dict("records")  # type: ignore[no-any-return]
    return frame.to_dicts() if library == "polars" else frame.to_pylist()  # type: ignore[no-any-return]


def test_beside_a_frame() -> None:
    """Beside a frame of pandas its own columns stay as they are, with their index and their types."""
    pandas = pytest.importorskip("pandas")
    before = pandas.DataFrame({"n": pandas.array([1, None, 3], dtype="Int8")}, index=["c", "b", "a"])

    after = frame_of(results("a", "b", "c"), None, before)

    assert before.equals(after[["n"]])
    assert ["good", None, None] == [None if value != value else value for value in after["mood"]]  # noqa: PLR0124
    assert "Int64" == str(after["score"].dtype)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_beside_others(library: str) -> None:
    """So do those of a frame of polars, and of a table of Arrow."""
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    before = make({"n": [1, 2, 3]})

    after = frame_of(results(*"abc"), None, before)

    assert (3, before.schema["n"] if library == "polars" else before.schema.field("n").type) == (
        len(after),
        after.schema["n"] if library == "polars" else after.schema.field("n").type,
    )
    assert ["ok", "failed", "failed"] == [row["outcome"] for row in rows_of(after, library)]


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_what_fits_no_type(library: str) -> None:
    """Cells that no column can hold together are JSON; whole numbers of any size keep their digits."""
    pytest.importorskip(library)
    items = ({"n": 10**30, "m": 1}, {"n": 1, "m": "x"}, {"n": None, "m": [1]})

    found = rows_of(results(*items).frame(library), library)

    assert [str(10**30), "1", None] == [None if row["n"] is None else str(row["n"]).strip('"') for row in found]
    assert ["1", '"x"', "[1]"] == [row["m"] for row in found]


def test_refused() -> None:
    """A library that is none of the three, or is not there, is named."""
    with pytest.raises(ConfigurationError, match="must be one of pandas, polars, pyarrow, not 'spark'"):
        results(*"abc").frame("spark")


async def test_in_one_line(client: AnyFast) -> None:
    """A map can be awaited as a frame; texts have their ids and themselves beside the answers."""
    library = next((one for one in ("pandas", "polars", "pyarrow") if _is_there(one)), "")
    if not library:
        pytest.skip("none of the libraries is installed")
    frame = await client.map(["One?", "Two?"]).frame()

    found = rows_of(frame, library)
    assert [(0, "One?", "ok"), (1, "Two?", "ok")] == [(row["id"], row["item"], row["outcome"]) for row in found]
    assert all(row["text"] for row in found)


def _is_there(name: str) -> bool:
    try:
        pytest.importorskip(name)
    except pytest.skip.Exception:
        return False
    return True


COLUMNS: dict[str, list[Any]] = {
    "id": [2**53 + 1, None, -(2**63)],
    "price": [Decimal("1.50"), None, Decimal("-12345678901234567890123456789012345.67")],
    "day": [dt.date(1969, 7, 20), None, dt.date(2026, 1, 2)],
    "text": ["a", "b", None],
    "meta": [{"a": [1, None]}, None, {"a": []}],
}


def tables() -> Iterator[Any]:
    """Tables whose types nobody could tell from their cells."""
    pa = pytest.importorskip("pyarrow")
    zone = dt.timezone(dt.timedelta(hours=2))
    at = pa.array([dt.datetime(1969, 7, 20, tzinfo=zone), None, dt.datetime(2026, 1, 2, tzinfo=zone)])
    table = pa.table(
        {
            **COLUMNS,
            "price": pa.array(COLUMNS["price"], pa.decimal128(38, 2)),
            "at": at.cast(pa.timestamp("ms", "Europe/Berlin")),
            "kind": pa.array(["x", None, "x"]).dictionary_encode(),
            "large": pa.array(["x", None, ""], pa.large_string()),
            "most": pa.array([2**64 - 1, 0, None], pa.uint64()),
        }
    )
    yield table
    yield table.to_batches()[0]
    yield pytest.importorskip("polars").from_arrow(table)
    pandas = pytest.importorskip("pandas")
    yield pandas.DataFrame(
        {
            "id": pandas.array([1, None, 3], dtype="Int64"),
            "kind": pandas.Categorical(["x", None, "x"], categories=["y", "x"], ordered=True),
            "at": pandas.to_datetime(["1969-07-20T00:00+02:00", None, "2026-01-02T00:00+02:00"]),
            "text": pandas.array(["a", None, "c"], dtype="string"),
            "price": pandas.array(COLUMNS["price"], dtype=pandas.ArrowDtype(pa.decimal128(38, 2))),
            "n": pandas.array([1, 2, 3], dtype="int8"),
        },
        index=pandas.Index([7, 7, 9], name="row"),
    )


async def test_a_table_keeps_its_types() -> None:
    """A table comes back as it was, with columns beside its own: every type, index and order, and its library."""
    async with Simulator() as sim, AnyFast("key", base_url=sim.base_url, model="gemini-2.5-flash") as client:
        for table in tables():
            names = list(getattr(table, "column_names", None) or table.columns)
            after = await client.map(table, template="Good or bad? {text}").frame()

            assert type(after) is type(table)
            kept = after.select(names) if hasattr(after, "select") else after[names]
            assert table.equals(kept)
            types = ("schema", "dtypes")
            before, now = (
                next(str(getattr(one, name)) for name in types if hasattr(one, name)) for one in (table, kept)
            )
            assert before == now
            assert 3 == len(after)
            assert "outcome" in str(list(getattr(after, "column_names", None) or after.columns))
