"""A Parquet file cut into pieces, row group by row group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from anyfast_async._core.prompt_template import top_level
from anyfast_async.batch.input import parquet
from anyfast_async.batch.input.request_lines import LineError


def parquet_pieces(path: Path, folder: Path, wanted: Sequence[str], pieces: int, suffix: str) -> list[tuple[Path, int]]:
    """Write the columns that are *wanted* into about *pieces* files; return them, and the rows before each.

    One row group is in memory at a time; one that is larger than a piece goes into several.

    Raises:
        SourceError: pyarrow is not installed.
        LineError: Arrow cannot read it.
        OSError: a piece cannot be written.

    """
    names = parquet.columns(path)  # says what to install, too
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    used = list(dict.fromkeys(top_level(name, names) for name in wanted))
    cut: list[tuple[Path, int]] = []
    try:
        with pq.ParquetFile(path) as file:
            total = file.metadata.num_rows
            size = max(1, math.ceil(total / pieces))
            writer, room, done = None, 0, 0
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=used)
                at = 0
                while at < table.num_rows:
                    if writer is None:
                        piece = folder / f"{len(cut):05d}{suffix}"
                        writer, room = pq.ParquetWriter(piece, table.schema), size
                        cut.append((piece, done))
                    part = table.slice(at, room)
                    writer.write_table(part)
                    at, room, done = at + part.num_rows, room - part.num_rows, done + part.num_rows
                    if not room:
                        writer.close()
                        writer = None
            if writer is not None:
                writer.close()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise LineError((f"Arrow cannot read it: {reason}",)) from None
    return cut
