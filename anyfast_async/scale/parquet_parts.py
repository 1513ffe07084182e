"""Answers as Parquet: each shard writes a file of its own, and together they are one table in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from anyfast_async._journal.records import failures_of, log_of
from anyfast_async.batch.results.results import Results
from anyfast_async.batch.results.table import Columns
from anyfast_async.batch.results.table_files import write_table
from anyfast_async.errors import ConfigurationError

INSTALL: Final = "pip install 'anyfast-async[parquet]'"
_SOME: Final = 4096


def part_of(output: Path) -> Path:
    """Return where a shard writes its part."""
    return output.with_name(f"{output.name}.parquet")


def parts_folder(output: Path) -> Path:
    """Return the folder of the parts of a whole output: ``out.jsonl`` has ``out.parquet/``."""
    return output.with_suffix(".parquet")


def write_part(answers: Path, target: Path) -> None:
    """Write what ``anyfast results --table`` writes, of the rows of one shard.

    Raises:
        ConfigurationError: pyarrow is not installed.
        OSError: it cannot be written.

    """
    columns = Columns(with_id=True)

    def cells(found: Results) -> Iterator[dict[str, Any]]:
        rows = found.rows()
        while some := list(islice(rows, _SOME)):
            table = columns.table(some)
            yield from (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True))

    with Results(answers, failures_of(answers), log_of(answers), columns.look) as found:
        try:
            write_table(target, columns.kinds, cells(found))
        except ImportError:
            message = f"Parquet needs one more package on every worker: {INSTALL}"
            raise ConfigurationError(message) from None
