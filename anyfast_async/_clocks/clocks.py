"""The clocks of a call or a stream, and what ends a part of a task: time that is up, or somebody who says so."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from anyfast_async.errors import APITimeoutError, FirstTokenTimeout, IdleTimeout, ResponseTimeout

if TYPE_CHECKING:
    from anyfast_async.errors import AnyFastError

LOOK: Final = 5.0
"""Seconds between two looks at the clocks that run: most have ended by then, and never cost a timer of the loop's."""
STOOD_STILL: Final = 5.0
"""Seconds by which a timer that rings late shows that the loop did not run: the process was stopped, or blocked."""

Wait: TypeAlias = Literal["response", "first_token", "idle"]
"""What is waited for, as the fields of ``Timeouts`` name it; beside it runs the total."""
_KINDS: Final[dict[str, tuple[type[APITimeoutError], str]]] = {
    "response": (ResponseTimeout, "no answer within"),
    "first_token": (FirstTokenTimeout, "no content within"),
    "idle": (IdleTimeout, "no content for"),
}


def late(wait: Wait, limit: float) -> APITimeoutError:
    """Return the exception for what did not come within *limit* seconds."""
    kind, words = _KINDS[wait]
    return kind(f"{words} {limit:g} s (Timeouts.{wait})")


class Clocked(ABC):
    """Has two clocks with one timer: its total, and that of what it waits for; :meth:`out_of_time` hears of their end.

    All times are of the loop's clock, in seconds. A time that ran out while the loop stood still is given once more,
    because what is waited for may wait to be read.

    Args:
        loop: the running one.

    """

    __slots__ = (
        *("_given", "_judged", "_limit", "_loop", "_rings_at", "_since", "_timer"),
        *("_total", "_total_since", "_wait"),
    )

    LASTS: ClassVar[bool] = False
    """Whether it is there for long, as a stream is. Then every clock sets the timer at once, and is judged a turn of
    the loop after it rings: what has arrived by then is read first. For all else somebody calls :meth:`look` every
    :data:`LOOK` seconds, and most have ended before they needed a timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0  # the timers of uvloop do not always tell
        self._judged = False  # whether the timer is that of the turn after it rang
        self._given = False  # whether a time that ran out late was given once more
        self._total: float | None = None
        """Seconds that the whole may take, None: without end, or the clock stands."""
        self._total_since = 0.0
        self._wait: Wait = "response"
        self._limit: float | None = None
        """Seconds that the wait may take; None: without end, or nothing is waited for."""
        self._since = 0.0

    @abstractmethod
    def out_of_time(self, wait: Wait | None) -> None:
        """Hear that a clock has run out: None stands for the total."""

    def run_total(self, limit: float | None, since: float) -> None:
        """Have the total run from *since* on; None stops it."""
        self._total, self._total_since = limit, since
        if limit is not None:
            self._set(since + limit)

    def wait(self, wait: Wait, limit: float | None, since: float) -> None:
        """Wait for something since *since*, for *limit* seconds at most."""
        self._wait, self._limit, self._since = wait, limit, since
        if limit is not None and (limit <= 2 * LOOK or self.LASTS):
            self._set(since + limit)

    def go_on(self, since: float) -> None:
        """Give what is waited for its whole time, from *since* on: something of it has come."""
        self._since = since
        self._given = False

    def stand(self) -> None:
        """Wait for nothing."""
        self._limit = None

    def silence(self) -> None:
        """Stop both for good."""
        self._limit = self._total = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, now: float) -> None:
        """Set the timer if it may have to ring before the next look but one."""
        if self._timer is None and (due := self._due) is not None and due < now + 2 * LOOK:
            self._set(due)

    @property
    def _due(self) -> float | None:
        """When the next of the two runs out, None if neither does."""
        total = None if self._total is None else self._total_since + self._total
        if self._limit is None:
            return total
        due = self._since + self._limit
        return due if total is None or due < total else total

    def _set(self, due: float) -> None:
        if self._timer is not None:
            if self._judged or self._rings_at <= due:
                return
            self._timer.cancel()
        elif not self.LASTS and due > self._loop.time() + 2 * LOOK:
            return
        self._rings_at = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        if self.LASTS:
            self._judged = True
            self._timer = self._loop.call_later(0, self._judge)
        else:
            self._judge()

    def _judge(self) -> None:
        self._timer, self._judged = None, False
        now = self._loop.time()
        total = 0.0 if self._total is None else now - self._total_since - self._total
        if self._total is not None and total >= 0:
            if self._stood_still(total):
                self._total_since = now
            else:
                self.out_of_time(None)
        elif self._limit is not None and (over := now - self._since - self._limit) >= 0:
            if self._stood_still(over):
                self._since = now
            else:
                self.out_of_time(self._wait)
        if (due := self._due) is not None and due > now:  # not over, or given once more
            self._set(due)

    def _stood_still(self, seconds: float) -> bool:
        """Return whether a clock is so late that the loop did not run meanwhile, for the first time."""
        if seconds <= STOOD_STILL or self._given:
            return False
        self._given = True
        return True


class Interruptible(Clocked):
    """Made by one task, from :meth:`begin` to :meth:`end`, which others end without leaving the task cancelled.

    It cancels the task; ``except CancelledError`` then asks :meth:`taken` for the error that is meant, and raises it
    after the ``except``: raised inside, it would carry the ended frames along, with all that stands in aiohttp's. An
    error is of one part of the work (an attempt), or of the whole, which wins. Who cancels the task itself wins always.
    """

    __slots__ = ("_cancelling", "_error", "_of_whole", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        """How often the task was cancelled by others when this began."""
        self._error: AnyFastError | None = None
        """What it is to end with; the task is cancelled for it."""
        self._of_whole = False

    def begin(self) -> None:
        """Begin, in the running task."""
        self._task = task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101 - a coroutine of ours runs in a task
        self._cancelling = task.cancelling()

    def interrupt(self, error: AnyFastError, *, whole: bool = True) -> None:
        """End it with *error*, now. Does nothing if nothing runs any more, or it is ending."""
        if self._task is None:
            return
        if self._error is None:
            self._task.cancel()
        elif self._of_whole or not whole:
            return
        self._error, self._of_whole = error, whole

    def taken(self, *, whole: bool) -> AnyFastError | None:
        """Return what it was cancelled for, None if that is no error of this part, or others cancelled the task too."""
        error = self._error
        if error is None or self._task is None or self._of_whole is not whole:
            return None
        self._error = None
        return error if self._task.uncancel() <= self._cancelling else None

    def forget(self, *, whole: bool) -> None:
        """Take back an error of this part that nobody has taken: what it was for has ended otherwise."""
        if self._error is not None and self._task is not None and self._of_whole is whole:
            self._error = None
            self._task.uncancel()

    def end(self) -> None:
        """Be over: nothing runs any more."""
        if self._error is not None:
            self.forget(whole=self._of_whole)
        self._task = None
        self.silence()
