"""Rows of a Parquet file. What reads it is an optional package of sixty megabytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from anyfast_async.batch.input.csv_rows import Record
from anyfast_async.batch.input.request_lines import LineError, SourceError

INSTALL: Final = "pip install 'anyfast-async[parquet]'"
_ROWS: Final = 256
"""Rows that are in memory as Python objects at a time."""


def columns(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises:
        SourceError: pyarrow is not installed.
        LineError: the file is no Parquet.
        OSError: it cannot be read.

    """
    with _opened(path) as file:
        names: list[str] = file.schema_arrow.names
        return names


def rows(path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    """Yield every row with the cells of the columns *wanted*, numbered from 1.

    Raises:
        As :func:`columns`.

    """
    number = 0
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=list(wanted)):
            for row in batch.to_pylist():
                number += 1
                yield number, row


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
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # Arrow's own has none
            raise
        reason = str(error).partition("\n")[0]
        raise LineError((f"the file is no Parquet, or damaged: {reason}",)) from None
