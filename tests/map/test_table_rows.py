"""The rows of tables of every kind, as dicts with Python's own values."""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from attrs import frozen

from anyfast_async import AnyFast
from anyfast_async._map.table_rows import CountedRows, TableRows, rows_of
from anyfast_async.errors import ConfigurationError
from anyfast_async.simulator import Simulator

DAY = dt.date(2026, 1, 2)
DATA: dict[str, list[Any]] = {
    "review": [f"r-{n}" for n in range(1100)],
    "text": [None if n == 1 else f"text {n}" for n in range(1100)],
    "stars": [None if n == 1 else n for n in range(1100)],
    "price": [None if n == 1 else Decimal(n) / 4 for n in range(1100)],
    "day": [None if n == 1 else DAY for n in range(1100)],
    "meta": [None if n == 1 else {"author": f"a {n}", "tags": ["x"]} for n in range(1100)],
}
ROWS = [dict(zip(DATA, cells, strict=True)) for cells in zip(*DATA.values(), strict=True)]


def pandas_frame() -> Any:
    """Columns of Python objects, and an ``Int64`` that knows missing values."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(DATA).astype({"stars": "Int64"})


def pandas_index() -> Any:
    """The ids are the index, as people who know pandas have them."""
    return pandas_frame().set_index("review")


def polars_frame() -> Any:
    """A frame of polars."""
    return pytest.importorskip("polars").DataFrame(
        DATA, schema_overrides={"price": pytest.importorskip("polars").Decimal(20, 2)}
    )


def arrow_table() -> Any:
    """A table of Arrow."""
    return pytest.importorskip("pyarrow").table(DATA)


def relation() -> Any:
    """A relation of DuckDB over the table."""
    duckdb = pytest.importorskip("duckdb")
    return duckdb.from_arrow(arrow_table())


def data_set() -> Any:
    """A data set of Hugging Face."""
    return pytest.importorskip("datasets").Dataset(arrow_table())


class Stream:
    """A table of which nothing is known but Arrow's stream of it."""

    columns = ()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return arrow_table().__arrow_c_stream__(requested_schema)


TABLES: dict[str, tuple[Callable[[], Any], int | None]] = {
    "pandas": (pandas_frame, 1100),
    "pandas, ids in the index": (pandas_index, 1100),
    "polars": (polars_frame, 1100),
    "polars, lazy": (lambda: polars_frame().lazy(), None),
    "arrow": (arrow_table, 1100),
    "arrow, a batch": (lambda: arrow_table().to_batches()[0], 1100),
    "arrow, a reader": (lambda: arrow_table().to_reader(), None),
    "arrow, a data set": (lambda: pytest.importorskip("pyarrow.dataset").dataset(arrow_table()), None),
    "duckdb": (relation, None),
    "datasets": (data_set, 1100),
    "datasets, for a model": (lambda: data_set().with_format("numpy"), 1100),
    "datasets, a stream": (lambda: data_set().to_iterable_dataset(), None),
    "any other with Arrow's stream": (Stream, None),
}


@pytest.mark.parametrize("name", TABLES)
def test_rows(name: str) -> None:
    """Each kind gives the same rows in their order, of the same types; what is missing is None."""
    make, count = TABLES[name]
    table = make()

    rows = rows_of(table, ["review", "meta.author"])

    assert rows is not None
    assert list(DATA) == rows.columns
    found = list(rows)
    assert ROWS == found
    assert [type(cell) for cell in ROWS[2].values()] == [type(cell) for cell in found[2].values()]
    assert count == (len(rows) if isinstance(rows, CountedRows) else None)


@pytest.mark.parametrize("name", TABLES)
def test_columns_that_are_not_there(name: str) -> None:
    """A column that is missing is said before anything is read, with the nearest one and those that there are."""
    table = TABLES[name][0]()

    with pytest.raises(
        ConfigurationError, match=r"no column 'txt'; did you mean 'text'\? The columns are: review, text"
    ):
        rows_of(table, ["txt"])


@pytest.mark.parametrize("source", [["a"], "text", {"text": "a"}, iter([{"text": "a"}]), None])
def test_what_is_no_table(source: Any) -> None:
    """Lists of rows, iterators and single items are left as they are."""
    assert rows_of(source, ["text"]) is None


def test_missing_values_of_pandas() -> None:
    """NaN, NaT and NA are None; numbers, times and arrays are Python's own."""
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    frame = pandas.DataFrame(
        {
            "f": numpy.array([0.5, float("nan")], dtype="float32"),
            "t": ["a", None],
            "d": pandas.to_datetime(["2026-01-02", None]),
            "c": pandas.Categorical(["x", None]),
            "i": pandas.array([1, None], dtype="Int64"),
            "o": [numpy.array([1, 2]), float("nan")],
            3: [True, False],
        }
    )

    rows = list(rows_of(frame, []) or ())

    assert {
        "f": 0.5,
        "t": "a",
        "d": dt.datetime.fromisoformat("2026-01-02"),
        "c": "x",
        "i": 1,
        "o": [1, 2],
        "3": True,
    } == rows[0]
    assert {"f": None, "t": None, "d": None, "c": None, "i": None, "o": None, "3": False} == rows[1]
    assert (float, int, list, bool) == tuple(type(rows[0][name]) for name in ("f", "i", "o", "3"))


def test_two_columns_of_one_name() -> None:
    """They would be one in a dict; which of them is meant must be said."""
    pandas = pytest.importorskip("pandas")

    with pytest.raises(ConfigurationError, match="the column 'a' is there 2 times"):
        rows_of(pandas.DataFrame([[1, 2]], columns=["a", "a"]), ["a"])


def test_a_column_that_has_no_values_in_python() -> None:
    """It is left out of the rows if it is not used, and named with Arrow's words if it is."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"late": pa.array([2**62], pa.timestamp("us")), "text": ["a"]})

    assert [{"text": "a"}] == list(rows_of(table, ["text"]) or ())
    with pytest.raises(ConfigurationError, match="'late' cannot be read: date value out of range"):
        list(rows_of(table, ["late"]) or ())


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of pandas and polars need nothing more; of others it is said what to install."""
    pandas, polars = pandas_frame(), polars_frame()
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert ROWS[0] == next(iter(rows_of(pandas, []) or ())) == next(iter(rows_of(polars, []) or ()))
    with pytest.raises(ConfigurationError, match=r"pip install 'anyfast-async\[parquet\]'"):
        rows_of(Stream(), [])


def test_a_connection_is_free_meanwhile() -> None:
    """While the rows of a relation are read, its connection answers other queries; UUIDs stay such."""
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    rows: Iterator[dict[str, Any]] = iter(rows_of(connection.sql("select uuid() as id from range(5000)"), ["id"]) or ())

    assert isinstance(next(rows)["id"], uuid.UUID)
    assert [(1,)] == connection.execute("select 1").fetchall()
    assert 4999 == len(list(rows))


def test_a_frame_is_read_in_parts() -> None:
    """Rows are made of a part of a table at a time."""
    made = TableRows(["a"], lambda: iter([{"a": 1}]))
    assert ["a"] == made.columns
    assert [{"a": 1}] == list(made)


# -- as a user has it ------------------------------------------------------------------------------------------------


@frozen
class Label:
    """What an answer is parsed into."""

    good: bool


@pytest.mark.parametrize("name", ["pandas, ids in the index", "polars", "arrow", "duckdb"])
async def test_a_table_is_labelled(sim: Simulator, client: AnyFast, name: str) -> None:
    """One call labels a table: a prompt of each row, ids of a column; a row without text is one bad row."""
    table = TABLES[name][0]()
    table = (
        table.slice(0, 5) if hasattr(table, "slice") else table.head(5) if hasattr(table, "head") else table.limit(5)
    )
    sim.reply('{"good": true}', when="text 3 by a 3")
    sim.reply('{"good": false}')

    results = await client.map(table, template="Good or bad? {text} by {meta.author}", id="review", into=Label)

    assert [f"r-{n}" for n in range(5)] == [result.id for result in results]
    assert ROWS[:5] == [result.item for result in results]
    labels = [Label(good=n == 3) if n != 1 else None for n in range(5)]
    assert labels == [result.value for result in results]
    assert "nothing stands in text, meta.author" in str(results[1].error)
    assert 4 == len(sim.requests)
