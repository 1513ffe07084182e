"""How a batch shows that it gets on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from anyfast_async.cli.figures import counted, rate_of
from anyfast_async.cli.terminal import is_live, printable

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async.batch import RowDone, Tally

EVERY: Final = 10.0
"""Seconds between two lines."""


class Progress(Protocol):
    """Shows a batch that runs."""

    def row(self, event: RowDone) -> None:
        """Show that a row is done."""

    def note(self, message: str) -> None:
        """Show a line."""


class Lines:
    """A line every ten seconds."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now = now
        self._next = now() + EVERY

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def row(self, event: RowDone) -> None:
        """Write a line if it is time for one."""
        now = self._now()
        if now >= self._next:
            self._next = now + EVERY
            tally = event.tally
            failed = f", {counted(tally.failed)} failed" if tally.failed else ""
            self.note(f"{counted(tally.done)} of {counted(tally.total)} rows{failed}, {rate_of(tally)}")

    def note(self, message: str) -> None:
        """Write a line; nobody reading it is no reason to end a batch."""
        try:
            self._stream.write(f"{printable(message)}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._next = float("inf")


def progress_on(stream: TextIO, tally: Tally) -> AbstractContextManager[Progress]:
    """Return what suits *stream*."""
    if not is_live(stream):
        return Lines(stream)
    from anyfast_async.cli.pretty import Bar  # noqa: PLC0415 - rich, on a terminal only

    return Bar(tally, stream)


def print_summary(rows: list[tuple[str, str]]) -> None:
    """Print the closing table to the standard output."""
    if is_live(sys.stdout):
        from anyfast_async.cli.pretty import table  # noqa: PLC0415

        table(("", ""), rows, header=False)
        return
    width = max(len(name) for name, _ in rows)
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in rows))
    sys.stdout.flush()
