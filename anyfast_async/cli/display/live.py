"""Tables and the live view of a terminal. The only file that imports rich."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rich import box, live
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from anyfast_async._values.text import printable
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.terminal import unechoed

if TYPE_CHECKING:
    from typing import TextIO

    from anyfast_async.batch import RowDone
    from anyfast_async.cli.display.figures import Moment

SEPARATOR: Final = "  "


def heading(text: str) -> None:
    """Print a heading."""
    Console().print(Text(printable(text), style="bold"), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
    """Print a table."""
    drawn = Table(*columns, box=box.SIMPLE, show_header=header, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(drawn)


def pairs(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of a name and two texts, each column with its share of the width."""
    console = Console()
    rows = list(rows)
    longest = max((len(name) for name, *_ in rows), default=0)
    drawn = Table(box=box.SIMPLE, pad_edge=False, expand=True, show_lines=False)
    drawn.add_column(columns[0], width=min(longest, console.width // 5), overflow="fold")
    for column in columns[1:]:
        drawn.add_column(column, ratio=1)
    for name, *texts in rows:
        drawn.add_row(Text(printable(name)), *(Text(figures.brief(text)) for text in texts))
        drawn.add_section()
    console.print(drawn)


class Live:
    """A live view of a batch, gone at its end. It draws to the standard error: the output stays clean."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._console = Console(file=stream)
        # Drawn by the loop that the batch runs in: a thread of its own would read counts while they change.
        # What goes to a pipe or a file stays out of the view.
        redirect = sys.stdout.isatty()
        self._live = live.Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=redirect)
        self._failure: RowDone | None = None
        self._typing = ExitStack()

    def start(self, moment: Moment) -> None:
        """Draw it for the first time."""
        self._typing.enter_context(unechoed())  # the ^C of a Ctrl-C would leave a line of it behind
        self._live.start()
        self._draw(moment)

    def tick(self, moment: Moment, now: float) -> None:  # noqa: ARG002 - it is drawn as often as it is told to
        """Draw it again."""
        self._draw(moment)

    def row(self, event: RowDone) -> None:
        """Keep the latest failure."""
        if event.error is not None:
            self._failure = event

    def note(self, message: str) -> None:
        """Print a line above the view."""
        self._console.print(Text(printable(message)), soft_wrap=True)

    def stop(self) -> None:
        """Take it away."""
        self._live.stop()
        self._typing.close()

    def _draw(self, moment: Moment) -> None:
        self._live.update(_view(moment, self._failure, self._console.width), refresh=True)


def _view(moment: Moment, failure: RowDone | None, width: int) -> Table:
    """Return the view: the same lines in the same places as long as nothing fails."""
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(ProgressBar(total=1.0, completed=moment.share), f"{math.floor(moment.share * 100)} %")

    facts = Table.grid(padding=(0, 2), expand=True)
    facts.add_column(style="dim", no_wrap=True, width=len("last failure"))
    facts.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    room = width - len("last failure") - 2

    def fitting(parts: Iterable[str]) -> str:
        return figures.fitting(parts, room, SEPARATOR)

    work = Text(fitting(moment.work()), style="yellow" if moment.throttled else "")
    outcomes = Text(fitting(moment.outcomes()) or "nothing", style="red" if moment.tally.failed else "")
    facts.add_row("rows", Text(fitting(moment.rows())))
    facts.add_row("in work", work)
    facts.add_row("tokens", Text(fitting(moment.tokens())))
    facts.add_row("to look at", outcomes)
    if failure is not None:
        facts.add_row("last failure", Text(figures.failure(failure, width), style="red"))

    whole = Table.grid(expand=True)
    whole.add_row(bar)
    whole.add_row(facts)
    return whole
