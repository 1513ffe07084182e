"""What ``anyfast results`` reads, row by row, and the tables that it makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Final

import attrs
import click

from anyfast_async.batch.input.request_lines import LineError
from anyfast_async.batch.input.source import Source, SourceError, open_source
from anyfast_async.batch.input.survey import BadRow, survey
from anyfast_async.batch.results import parquet_tables
from anyfast_async.batch.results.kept_answers import KeptAnswers
from anyfast_async.batch.results.results import Results
from anyfast_async.batch.results.row import MISSING, Row, failed_row
from anyfast_async.batch.results.source_table import SourceTable, whole_table
from anyfast_async.batch.results.table import Columns, CostOf
from anyfast_async.batch.results.table_files import replacing, write_table
from anyfast_async.batch.run_header import placed_as, read_as, recorded, recorded_header
from anyfast_async.cli.results.next_steps import NextSteps
from anyfast_async.cli.results.reading_progress import ReadingProgress

_TABLES: Final = frozenset({"csv", "parquet", "rows", "text"})
"""Formats whose rows are made requests of by a template."""


@attrs.frozen
class ResultsJob:
    """What is read."""

    output: Path
    errors: Path
    source: Source | None
    only_errors: bool
    left_out: Mapping[int, BadRow] = attrs.field(
        default=attrs.Factory(lambda self: _left_out(self.source, self.output), takes_self=True)
    )
    """Rows of the input that the batch could not send, by their numbers: it has named them."""

    def rows(self, found: Results) -> Iterator[tuple[Row, str | None]]:
        """Yield every row that is wanted, with its prompt where the input is known: then in the input's order."""
        for row, prompt in self._joined(found):
            if not self.only_errors or row.outcome != "ok":
                yield row, prompt

    def _joined(self, found: Results) -> Iterator[tuple[Row, str | None]]:
        if self.source is None:
            yield from ((row, None) for row in found.rows())
            return
        for number, value in self.source.records():
            custom_id, prompt = None, None
            if not isinstance(value, LineError):
                custom_id, prompt = self.source.id_of(number, value), _prompt(self.source, number, value)
            if number in self.left_out:
                custom_id = self.left_out[number].custom_id
            if custom_id is not None:
                yield found.find(custom_id), prompt

    @property
    def again(self) -> NextSteps:
        """What can be done about rows without an answer."""
        return NextSteps(self.output, self.errors, self.source)

    def columns(self, cost_of: CostOf | None) -> Columns:
        """Return the columns of the table, not looked at any row yet."""
        return Columns(with_prompt=self.source is not None, cost_of=cost_of)

    def keeping(self, target: Path | None, *, with_cost: bool) -> AbstractContextManager[KeptAnswers | None]:  # noqa: ARG002 - see JoinJob
        """Return where answers are kept as they are read; nowhere if they are read again when they are written.

        Raises:
            ImportError: Parquet, without pyarrow.

        """
        return nullcontext()

    def write(
        self,
        target: Path,
        columns: Columns,
        found: Results,
        progress: ReadingProgress,
        kept: KeptAnswers | None,  # noqa: ARG002 - see JoinJob
    ) -> int:
        """Write the rows as a table; return how many they are.

        Raises:
            OSError: it cannot be written, or the input not be read.
            ImportError: Parquet, without pyarrow.

        """
        return write_table(target, columns.kinds, self.cells(columns, found, progress))

    def cells(self, columns: Columns, found: Results, progress: ReadingProgress) -> Iterator[dict[str, Any]]:
        """Yield the cells of the table, row by row."""
        rows = self.rows(found)
        while some := list(islice(rows, _SOME)):
            progress.rows(len(some))
            wanted, prompts = zip(*some, strict=True)
            yield from _by_row(columns.table(wanted, prompts))


@attrs.frozen
class JoinJob(ResultsJob):
    """The input's own columns, and those of the answers beside them: one row for each of its rows, in its order."""

    table: SourceTable = attrs.field(
        default=attrs.Factory(lambda self: SourceTable(self.source, self.left_out), takes_self=True), kw_only=True
    )

    def columns(self, cost_of: CostOf | None) -> Columns:
        """Return the columns beside its own."""
        return Columns(with_id=not self.table.has_ids, beside=frozenset(self.table.kinds), cost_of=cost_of)

    def keeping(self, target: Path | None, *, with_cost: bool) -> AbstractContextManager[KeptAnswers | None]:
        """Return where answers are kept as they are read: Parquet is written by columns, and quickly.

        Raises:
            ImportError: Parquet, without pyarrow.

        """
        if target is None or target.suffix != ".parquet":
            return nullcontext()
        return KeptAnswers(target.parent, with_cost=with_cost)

    def write(
        self, target: Path, columns: Columns, found: Results, progress: ReadingProgress, kept: KeptAnswers | None
    ) -> int:
        """Write the table; return the number of rows.

        Raises:
            OSError: it cannot be written, or the input not be read.
            ImportError: Parquet, without pyarrow.

        """
        table, kinds = self.table, columns.kinds
        if kept is not None:
            with replacing(target) as new:
                beside = self._beside(kept, columns, found, progress)
                return parquet_tables.write_beside(new, self._own(), kinds, beside)
        rows = ({**own, **its} for own, its in self._pairs(columns, found, progress))
        return write_table(target, {**table.kinds, **kinds}, rows, own=table.kinds)

    def _own(self) -> parquet_tables.Table:
        if self.table.is_parquet:
            return parquet_tables.batches_in(self.table.source.path)
        return parquet_tables.batches_of(self.table.kinds, (row.cells for row in self.table.rows()))

    def _beside(
        self, kept: KeptAnswers, columns: Columns, found: Results, progress: ReadingProgress
    ) -> parquet_tables.CellsOf:
        wanted = columns.keys
        answers = kept.ordered(self.table.ids(), found.doubtful)

        def beside(first: int, count: int) -> Mapping[str, Any]:
            progress.rows(count)
            return columns.named_cells(answers.told(first, count, wanted))

        return beside

    def _pairs(
        self, columns: Columns, found: Results, progress: ReadingProgress
    ) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Yield the input's own cells of each row, and those of its answer."""
        source = self.table.rows()
        while some := list(islice(source, _SOME)):
            progress.rows(len(some))
            rows = [_UNKNOWN if row.custom_id is None else found.find(row.custom_id) for row in some]
            yield from zip((row.cells for row in some), _by_row(columns.table(rows)), strict=True)


def _by_row(cells: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True))


_SOME: Final = 1024
"""Rows that are Python objects at a time."""
_UNKNOWN: Final = failed_row("", MISSING, "missing")
"""What became of a row that has no id."""


def _prompt(source: Source, number: int, value: Any) -> str | None:
    """Return the text of the last message of the user."""
    try:
        messages = source.line(number, value).request.messages
    except LineError:
        return None
    for message in reversed(messages):
        role, content = (
            (message.get("role"), message.get("content"))
            if isinstance(message, Mapping)
            else (message.role, message.content)
        )
        if role == "user":
            return content if isinstance(content, str) else "".join(map(_text_of_part, content or ()))
    return None


def _text_of_part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else getattr(part, "text", part)
    return text if isinstance(text, str) else ""


def source_of(
    given: str | None, output: Path, id_column: str | None, encoding: str | None, *, is_whole: bool
) -> Source | None:
    """Return the batch's input as its log says that it is read; None if none is named.

    Raises:
        click.UsageError: it cannot be read, or holds other rows.

    """
    if given is None:
        return None
    try:
        begun = recorded(output)
        how = begun.input or {}
        path, table = Path(given), how.get("format") in _TABLES
        if is_whole and not how:
            return whole_table(path, id_column, encoding)
        kind, told = read_as(path, how)
        source = open_source(
            path,
            kind=kind,
            template=how.get("template") if table else None,
            id_column=id_column or how.get("id") if table else id_column,
            encoding=encoding or told,
            image=how.get("image"),
            document=how.get("document"),
        )
        return placed_as(source, begun)
    except (OSError, SourceError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"--{'join' if is_whole else 'input'} {given}: {reason}"
        raise click.UsageError(message) from None


def _left_out(source: Source | None, output: Path) -> Mapping[int, BadRow]:
    """Return the rows that a batch with ``--skip-bad`` has left out of *source*."""
    begun = (recorded_header(output) or {}).get("input") if source is not None else None
    if source is None or not isinstance(begun, Mapping) or not begun.get("bad"):
        return {}
    return survey(source, skip_bad=True, digests=False, read_again=False).bad
