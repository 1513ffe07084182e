"""Ends a part of a task: when its time is up, or because somebody says so.

It does what ``asyncio.timeout`` does, with less work for each call, and knows a process that stood still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    from anyfast_async.errors import AnyFastError

LOOK: Final = 5.0
"""Seconds between two looks at the clocks that run: most have ended by then, and never cost a timer of the loop's."""
STOOD_STILL: Final = 5.0
"""Seconds by which a timer that rings late shows that the loop did not run: the process was stopped, or blocked."""


class Clock:
    """Ends what runs inside of it when *limit* seconds have passed since it was last started; None never does.

    It swallows the end, so that the statement after the ``with`` raises :meth:`ended`: raised inside, our exception
    would carry the ended one along, with all that stands in aiohttp's frames.

    A time that ran out while the loop stood still is given once more, because the answer may wait to be read.

    Args:
        limit: seconds. Where they are more than twice :data:`LOOK`, whoever makes the clock calls :meth:`look` every so
            often.
        overdue: makes the exception for a time that is up.

    """

    __slots__ = (
        "_cancelling",
        "_due",
        "_given",
        "_limit",
        "_overdue",
        "_rings_at",
        "_task",
        "_timer",
        "error",
        "started",
    )

    def __init__(self, limit: float | None, overdue: Callable[[], AnyFastError]) -> None:
        self._limit = limit
        self._overdue = overdue
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._given = False
        self._rings_at = 0.0
        self.error: AnyFastError | None = None
        """What it ended with, None if it did not end anything."""
        self.started = False
        """Whether it ever was: the clock of an attempt starts when a piece of the request is sent."""

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101 - a coroutine of ours runs in a task
        self._cancelling = self._task.cancelling()
        return self

    def start(self, at: float) -> None:
        """Start, or start again, at loop time *at*."""
        self.started = True
        if self._limit is not None and self._task is not None and self.error is None:
            self._due = due = at + self._limit
            if self._limit <= 2 * LOOK and (self._timer is None or self._rings_at > due):
                self._set(due)

    def look(self, now: float) -> None:
        """Set the timer, if it may have to ring before the next look but one."""
        if self._due is not None and self._timer is None and self._task is not None and self._due < now + 2 * LOOK:
            self._set(self._due)

    def stop(self) -> None:
        """Stop it; it can be started again."""
        self._due = None

    def interrupt(self, error: AnyFastError) -> None:
        """End what runs inside with *error*, now. Does nothing if nothing runs there any more, or it is ending."""
        if self._task is not None and self.error is None:
            self.error = error
            self._task.cancel()

    def ended(self) -> AnyFastError:
        """Return what it ended with; for after a ``with`` that did not return."""
        assert self.error is not None  # noqa: S101 - only then does it swallow
        return self.error

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = due  # the timers of uvloop do not always tell
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._due is None or self._limit is None:
            return
        now = asyncio.get_running_loop().time()
        if now < self._due:  # started again since the timer was set
            self._set(self._due)
        elif now - self._due > STOOD_STILL and not self._given:
            self._given = True
            self._due = now + self._limit
            self._set(self._due)
        else:
            self.interrupt(self._overdue())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.error is None or task is None:
            return False
        return task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
