"""Rows of a Parquet file. What reads it is an optional package of sixty megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from anyfast_async._core.prompt_template import top_level
from anyfast_async._map.table_rows import dicts_in
from anyfast_async.batch.input.csv_rows import Record
from anyfast_async.batch.input.request_lines import LineError, SourceError, unreadable
from anyfast_async.errors import ConfigurationError

INSTALL: Final = "pip install 'anyfast-async[parquet]'"
_ROWS: Final = 256
"""Rows that are in memory as Python objects at a time."""


def columns(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises:
        SourceError: pyarrow is not installed.
        LineError: Arrow cannot read it; its words are in the error.
        OSError: it cannot be read.

    """
    with _opened(path) as file:
        return _names(file)


def rows(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    """Yield every row with the cells of the columns *wanted*, numbered from 1. Of others nothing is read.

    What is wanted may be a field of a column, which then comes whole.

    Raises:
        SourceError: pyarrow is not installed.
        OSError: the file cannot be read.

    """
    number = 0
    try:
        with _opened(path) as file:
            names = _names(file)
            used = list(dict.fromkeys(top_level(name, names) for name in wanted))
            for batch in file.iter_batches(batch_size=_ROWS, columns=used):
                for row in dicts_in(batch, used):
                    number += 1
                    yield number, row
    except (LineError, ConfigurationError) as error:
        yield number + 1, unreadable(str(error))


def _names(file: Any) -> list[str]:
    """Return the names of the columns; where Arrow has no type for one of them, as the file itself has them."""
    try:
        names: list[str] = file.schema_arrow.names
    except (ValueError, NotImplementedError):  # Arrow's own errors are such
        schema = file.metadata.schema
        paths = (schema.column(place).path for place in range(len(schema)))
        names = list(dict.fromkeys(path.partition(".")[0] for path in paths))
    return names


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        message = f"reading Parquet needs one more package: {INSTALL}"
        raise SourceError(message) from None
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (LineError, ConfigurationError):
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last two: no such value in Python
        if isinstance(error, OSError) and error.errno is not None:  # not Arrow's own
            raise
        reason = str(error).partition("\n")[0]
        raise LineError((f"Arrow cannot read it: {reason}",)) from None
