"""How a map shows that it gets on, when told to: a bar where one can be drawn, else a line now and then."""

from __future__ import annotations

import asyncio
import html
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO

from anyfast_async._clocks.notebook import in_notebook

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async._map.result import Progress

EVERY_LINE: Final = 10.0
"""Seconds between two lines."""
EVERY_DRAWING: Final = 0.1
"""Seconds between two drawings of the bar."""
EVERY_OUTPUT: Final = 0.5
"""Seconds between two drawings of a bar in a notebook, each of which is a message to the browser."""


class _Display(Protocol):
    every: float

    def draw(self, progress: Progress) -> None: ...

    def close(self, last: Progress | None) -> None: ...


def sentence(progress: Progress) -> str:
    """Return *progress* in words: ``1200 of 20000, 3 failed, 55.1/s, 341 s to go``."""
    total = f" of {progress.total}" if progress.total is not None else ""
    failed = f", {progress.failed} failed" if progress.failed else ""
    left = (progress.total or 0) - progress.done
    to_go = f", {left / progress.rate:.0f} s to go" if left > 0 and progress.rate > 0 else ""
    return f"{progress.done}{total}{failed}, {progress.rate:.1f}/s{to_go}"


class ProgressLines:
    """A line every ten seconds, and one at the end."""

    every = EVERY_LINE

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def draw(self, progress: Progress) -> None:
        """Write a line; that nobody reads it is no reason to end a run."""
        with suppress(OSError, ValueError):
            self._stream.write(f"{sentence(progress)}\n")
            self._stream.flush()

    def close(self, last: Progress | None) -> None:
        """Write the last line."""
        if last is not None:
            self.draw(last)


class Bar:
    """A bar, which stays when the run is over."""

    every = EVERY_DRAWING

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # noqa: PLC0415 - not a requirement
        from rich.live import Live  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        self._table, self._bar = Table.grid, ProgressBar
        # Drawn from the loop: a thread of its own would be one more thing to end.
        self._live = Live(console=Console(file=stream), auto_refresh=False)

    def draw(self, progress: Progress) -> None:
        """Draw it."""
        row = self._table(padding=(0, 1))
        total = None if progress.total is None else float(progress.total)
        row.add_row(self._bar(total=total, completed=progress.done, width=40), sentence(progress))
        self._live.start()
        self._live.update(row, refresh=True)

    def close(self, last: Progress | None) -> None:
        """Draw it for the last time."""
        if last is not None:
            self.draw(last)
        self._live.stop()


class NotebookBar:
    """A bar that is one output of a cell, which is replaced: the last one is saved with the notebook, as plain HTML."""

    every = EVERY_OUTPUT

    def __init__(self) -> None:
        self._display = import_module("IPython.display").display  # loaded where a kernel runs
        self._output: Any = None

    def draw(self, progress: Progress) -> None:
        """Draw it."""
        words = sentence(progress)
        ends = "" if progress.total is None else f' max="{max(progress.total, 1)}" value="{progress.done}"'
        page = f'<div><progress style="width: 20em"{ends}></progress> {html.escape(words)}</div>'
        data = {"text/plain": words, "text/html": page}
        if self._output is None:
            self._output = self._display(data, raw=True, display_id=True)
        else:
            self._output.update(data, raw=True)

    def close(self, last: Progress | None) -> None:
        """Draw it for the last time."""
        if last is not None:
            self.draw(last)


class ShownProgress:
    """Shows a map's progress while it is entered; :meth:`show` is for the map's ``progress``."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now = now
        self._last: Progress | None = None

    async def __aenter__(self) -> Self:
        self._display = await asyncio.to_thread(display_for, self._stream)  # importing rich takes a while
        self._next = self._now() + self._display.every
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.close(self._last)

    def show(self, progress: Progress) -> None:
        """Show *progress*, if it is time to."""
        self._last = progress
        if self._now() >= self._next:
            self._next = self._now() + self._display.every
            self._display.draw(progress)


def display_for(stream: TextIO) -> _Display:
    """Return a bar in a notebook, and where rich is there and *stream* a terminal that can draw it; else lines."""
    if in_notebook():
        return NotebookBar()
    try:
        from rich.console import Console  # noqa: PLC0415
    except ImportError:
        return ProgressLines(stream)
    console = Console(file=stream)
    return Bar(stream) if console.is_terminal and not console.is_dumb_terminal else ProgressLines(stream)


def shown_progress() -> ShownProgress:
    """Return what shows a map's progress on the standard error."""
    return ShownProgress(sys.stderr)
