"""How far ``anyfast results`` is, where it takes more than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self, TextIO

from anyfast_async._values.text import counted
from anyfast_async.cli.display.terminal import is_live

if TYPE_CHECKING:
    from types import TracebackType

FIRST: Final = 2.0
"""Seconds after which something is shown."""
_EVERY: Final = (0.25, 10.0)
"""Seconds between two pictures on a terminal, and between two lines elsewhere."""


class ReadingProgress:
    """Counts rows, and says how many there were: on a terminal in one line that goes away, elsewhere now and then.

    Args:
        stream: where it is said; None: the standard error.
        clock: seconds.

    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream: TextIO = stream or sys.stderr
        self._clock = clock
        self._live: bool = is_live(self._stream)
        self._doing = "reading"
        self._count = 0
        self._next = 0.0
        self._is_shown = False

    def __enter__(self) -> Self:
        self._next = self._clock() + FIRST
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def begin(self, doing: str) -> None:
        """Count from 0, for something else."""
        self._doing, self._count = doing, 0

    def rows(self, count: int) -> None:
        """Count some rows."""
        self._count += count
        if (now := self._clock()) >= self._next:
            self._next = now + _EVERY[not self._live]
            text = f"{self._doing}: {counted(self._count)} rows"
            self._stream.write(f"\r{text}\x1b[K" if self._live else f"{text}\n")
            self._stream.flush()
            self._is_shown = self._live

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._is_shown = False
