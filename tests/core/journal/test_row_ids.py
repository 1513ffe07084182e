"""Which sources give rows, which ids items have, and that a journal tells the ids apart."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import math
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async import ChatRequest, ConfigurationError, RequestValidationError, UserMessage
from anyfast_async._core.journal.row_ids import asked_for, check_source, id_of, is_table, recorded_as

# -- sources ---------------------------------------------------------------------------------------------------------


def pandas_frame() -> Any:
    return pytest.importorskip("pandas").DataFrame({"id": [7], "text": ["kettle"]})


def polars_frame() -> Any:
    return pytest.importorskip("polars").DataFrame({"id": [7], "text": ["kettle"]})


def arrow_table() -> Any:
    return pytest.importorskip("pyarrow").table({"id": [7], "text": ["kettle"]})


def relation() -> Any:
    return pytest.importorskip("duckdb").sql("select 7 as id, 'kettle' as text")


TABLES: dict[str, tuple[Callable[[], Any], str]] = {
    "pandas": (pandas_frame, "pandas DataFrame .* frame.to_dict\\('records'\\) or frame.itertuples"),
    "polars": (polars_frame, "polars DataFrame .* frame.iter_rows\\(named=True\\) or frame.to_dicts"),
    "polars, lazy": (lambda: polars_frame().lazy(), "LazyFrame .* frame.collect\\(\\).iter_rows\\(named=True\\)"),
    "arrow": (arrow_table, "pyarrow Table .* records of table.to_pylist"),
    "arrow, a batch": (lambda: arrow_table().to_batches()[0], "RecordBatch .* records of table.to_pylist"),
    "duckdb": (relation, "DuckDBPyRelation .* relation.fetchall\\(\\), or the records of"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_no_sources(name: str) -> None:
    """Python iterates over their columns; the message says how to get at the rows."""
    make, wanted = TABLES[name]
    with pytest.raises(ConfigurationError, match=wanted) as caught:
        check_source(make())

    assert "request=" in str(caught.value)
    assert "template='{text}'" in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        lambda: pandas_frame().to_dict("records"),
        lambda: pandas_frame().itertuples(),
        lambda: pandas_frame()["text"],
        lambda: polars_frame().iter_rows(named=True),
        lambda: polars_frame()["text"],
        lambda: arrow_table().to_pylist(),
        lambda: relation().fetchall(),
    ],
)
def test_rows_and_columns_of_tables_are_sources(rows: Callable[[], Any]) -> None:
    """What the messages advise is taken, and so is one column of prompts."""
    found = rows()
    check_source(found)
    assert len(list(found)) == 1


def test_tables_of_libraries_that_are_not_here() -> None:
    """Other data frames are known by their class, or by the interchange protocol; what only has columns is none."""

    class Plain:
        columns = ("id", "text")

        def __iter__(self) -> Iterator[int]:
            return iter([1])

    class DataFrame(Plain):
        pass

    class Special(DataFrame):
        pass

    class Protocol(Plain):
        def __dataframe__(self) -> None:
            pass

    class Cursor(Plain):
        def columns(self, *_: int) -> None:  # type: ignore[override]
            """A method, as SQLAlchemy's results have."""

        def __arrow_c_stream__(self) -> None:
            pass

    assert [is_table(kind) for kind in (Plain, DataFrame, Special, Protocol, Cursor)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    with pytest.raises(ConfigurationError, match="its rows, as records"):
        check_source(Protocol())
    check_source(Plain())


async def pages() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("text", "not one str; put it into a list"),
        (b"text", "not one bytes; put it into a list"),
        (bytearray(), "not one bytearray"),
        ({"role": "user", "content": "x"}, "not one dict; put it into a list"),
        (UserMessage("x"), "not one UserMessage; put it into a list"),
        (ChatRequest("x"), "not one ChatRequest; put it into a list"),
        (7, "not one int"),
        (None, "not one NoneType"),
        (pages, "not a function; call it first"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_one_thing_is_no_source(source: Any, wanted: str) -> None:
    """One prompt, one message or a function is not taken apart; nothing is pulled out of it."""
    with pytest.raises(ConfigurationError, match=wanted):
        check_source(source)


async def test_coroutine_is_no_source() -> None:
    """A coroutine that gives rows must be awaited first."""
    rows = asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match="not a coroutine; await it first"):
        check_source(rows)
    await rows


def test_sources() -> None:
    """What gives one row after another, however."""

    class Sequence:
        def __getitem__(self, at: int) -> int:
            raise IndexError

    every: list[Any] = [
        [],
        (),
        set(),
        range(3),
        iter([]),
        {}.values(),
        pages(),
        deque(),
        Sequence(),
        map(str, ()),
    ]
    for source in every:
        check_source(source)


# -- ids -------------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    id: Any
    text: str


@pytest.mark.parametrize(
    "wanted",
    [
        *(7, 0, -1, 1.5, "7", "", b"x", uuid.UUID(int=5), decimal.Decimal("2.50"), (1, "a")),
        *(dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.time(1), frozenset({1})),
    ],
    ids=repr,
)
def test_ids_keep_their_type(wanted: Any) -> None:
    """Whatever can be compared and hashed is an id, as a key or an attribute, and is given back as it is."""
    for item in ({"id": wanted}, {"custom_id": wanted, "id": 1}, SimpleNamespace(id=wanted), Row(wanted, "x")):
        assert (type(id_of(item)), id_of(item)) == (type(wanted), wanted)


@pytest.mark.parametrize(
    "value", [None, True, math.nan, decimal.Decimal("nan"), [1], {}, len], ids=lambda value: type(value).__name__
)
def test_what_is_no_id(value: Any) -> None:
    """None, a missing value of a table, a method and a list are not."""
    assert id_of({"id": value}) is None
    assert id_of({"custom_id": value, "id": 3}) == 3


def test_items_without_an_id() -> None:
    """Prompts have none, and rows without the field."""
    assert [id_of(item) for item in ("text", 5, {"text": "x"}, ["a"], UserMessage("x"), ChatRequest("x"))] == [None] * 6


class Broken:
    @property
    def id(self) -> int:
        message = "no id\nhere"
        raise RuntimeError(message)

    sku = 5


def test_an_id_that_raises_is_a_bad_item() -> None:
    """The error is the item's, says what was raised, and escapes it."""
    with pytest.raises(RequestValidationError, match=r"id: the item's own id raised RuntimeError .*: no id\\nhere"):
        id_of(Broken())


def test_ids_that_are_asked_for() -> None:
    """By the name of a field, in dicts and objects, or by a function."""
    assert asked_for("sku")({"sku": 5, "id": 6}) == 5
    assert asked_for("sku")(Broken()) == 5
    assert asked_for(lambda row: (row[0], row[1]))([1, "a"]) == (1, "a")


@pytest.mark.parametrize(
    ("wanted", "item", "problem"),
    [
        ("sku", {"id": 1}, "id= raised KeyError for this item: 'sku'"),
        ("sku", Row(1, "x"), "id= raised AttributeError"),
        (lambda row: 1 / row, 0, "id= raised ZeroDivisionError"),
        (lambda _: None, 0, "id= must give something that can be compared and hashed, .* not None"),
        ("id", {"id": [1]}, r"not \[1\]"),
    ],
)
def test_an_id_that_cannot_be_had_is_a_bad_item(wanted: Any, item: Any, problem: str) -> None:
    """Who asks for an id gets one for each item, or an error for that item."""
    with pytest.raises(RequestValidationError, match=problem):
        asked_for(wanted)(item)


def test_id_is_a_name_or_a_function() -> None:
    """Anything else is refused at once."""
    with pytest.raises(ConfigurationError, match="id must be the name of a field or a function of an item, not 3"):
        asked_for(3)  # type: ignore[arg-type]


# -- how a journal knows them ----------------------------------------------------------------------------------------


class Color(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Plain(enum.Enum):
    A = 1


scalars = st.one_of(
    st.text(),
    st.sampled_from(["7", "int:7", "str:int:7", "str:", "tuple:", "float:1.0", "uuid:", "date:2026-01-02", ""]),
    st.integers(),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.times(),
    st.binary(),
)
identities = st.one_of(scalars, st.lists(scalars, max_size=3).map(tuple))


def shown(value: Any) -> Any:
    """What tells a value from every other one: its type and how it is written."""
    return [shown(part) for part in value] if isinstance(value, tuple) else (type(value).__name__, repr(value))


@given(identities, identities)
def test_recorded_ids_are_told_apart(one: Any, other: Any) -> None:
    """Two ids are recorded under the same text just if they are the same value of the same type."""
    assert (recorded_as(one) == recorded_as(other)) == (shown(one) == shown(other))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(
            ("row-7", "row-7"),
            ("7", "7"),
            (7, "int:7"),
            ("int:7", "str:int:7"),
            ("str:x", "str:str:x"),
            (1.0, "float:1.0"),
        ),
        *(("integer:7", "integer:7"), (b"\x00", "bytes:00"), ((1, "a"), "tuple:5:int:11:a"), ((), "tuple:")),
        (decimal.Decimal("2.50"), "decimal:2.50"),
        (uuid.UUID(int=5), "uuid:00000000-0000-0000-0000-000000000005"),
        (dt.date(2026, 1, 2), "date:2026-01-02"),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "datetime:2026-01-02T03:00:00+00:00"),
        (Color.RED, "red"),
        (Size.BIG, "int:3"),
    ],
)
def test_how_ids_are_recorded(name: Any, wanted: str) -> None:
    """The form in the file, which must stay: what is recorded under another one is asked for again."""
    assert (recorded_as(name), type(recorded_as(name))) == (wanted, str)


def test_numbers_of_numpy_are_numbers() -> None:
    """The id in a column of integers is the same, whether a row came as numpy's or as Python's."""
    numpy = pytest.importorskip("numpy")
    assert [recorded_as(numpy.int64(7)), recorded_as(numpy.float64(1.5))] == ["int:7", "float:1.5"]


@pytest.mark.parametrize(
    "name", [frozenset({1}), object(), (1, None), 10**5000, Plain.A], ids=lambda value: type(value).__name__
)
def test_ids_that_cannot_be_recorded(name: Any) -> None:
    """What a later run could not know again is refused, with what can be."""
    with pytest.raises(RequestValidationError, match="with a journal an id must be text, a number, a UUID"):
        recorded_as(name)
