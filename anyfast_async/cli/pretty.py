"""Tables and the progress bar of a terminal. The only file that imports rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from anyfast_async.cli.figures import counted, rate_of
from anyfast_async.cli.terminal import printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

    from anyfast_async.batch import RowDone, Tally


def heading(text: str) -> None:
    """Print a heading."""
    Console().print(Text(printable(text), style="bold"), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
    """Print a table."""
    drawn = Table(*columns, box=box.SIMPLE, show_header=header, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(drawn)


class Bar:
    """A progress bar; a context manager. It draws to the standard error, so that the output stays clean."""

    def __init__(self, tally: Tally, stream: TextIO = sys.stderr) -> None:
        self._progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[tokens]} tokens"),
            TextColumn("{task.fields[failed]}", style="red"),
            TimeRemainingColumn(compact=True),
            console=Console(file=stream),
        )
        self._task = self._progress.add_task("", total=tally.total, rate="", tokens="", failed="")
        self._show(tally)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def row(self, event: RowDone) -> None:
        """Show that a row is done."""
        self._show(event.tally)

    def note(self, message: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(printable(message)), soft_wrap=True)

    def _show(self, tally: Tally) -> None:
        self._progress.update(
            self._task,
            completed=tally.done,
            rate=rate_of(tally),
            tokens=counted(tally.tokens),
            failed=f"{counted(tally.failed)} failed" if tally.failed else "",
        )
