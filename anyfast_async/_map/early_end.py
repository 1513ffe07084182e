"""What ends a map before its source does: an error that concerns every item, or a model; a deadline; waiting in vain.

Calls in flight are finished, because they are paid, unless the deadline ends them; those that wait are ended, and items
to come are refused. What was not sent says why.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Protocol

from anyfast_async._core.errors.failures import CLOSERS
from anyfast_async._map.parked_rows import ParkedRows
from anyfast_async.errors import AnyFastError, APIError, ConfigurationError, DeadlineExceeded, NotSentError

_LOOK: Final = 1.0
"""Longest time in seconds between two looks whether what was in flight has ended without an answer."""


class RowCall(Protocol):
    """The call of an item, on its way."""

    began: float
    """Loop time."""

    @property
    def scope(self) -> Hashable:
        """Where the gate counts it: one for each model."""

    @property
    def trying_since(self) -> float | None:
        """Loop time at which its attempt in flight was let in; None while it waits."""

    def interrupt(self, error: AnyFastError) -> None:
        """End it with *error*, now."""

    def leave(self, error: AnyFastError) -> None:
        """End it with *error*, if it waits and nothing of it may be billed; with what it met, if something may."""


class Ending:
    """What ends one map.

    Args:
        calls: gives the calls of this map (told by this object) that are on their way.
        deadline: seconds for the whole run; None for no end.
        give_up_after: seconds in which calls only wait and nothing is answered, after which the run ends; None for
            never.

    Raises:
        ConfigurationError: one of the two is no number above 0.

    """

    def __init__(
        self,
        calls: Callable[[Ending], Iterable[RowCall]] = lambda _: (),
        *,
        deadline: float | None = None,
        give_up_after: float | None = None,
    ) -> None:
        self.stopped: AnyFastError | None = None
        """What ended it early, None if nothing did."""
        self.is_open: bool = True
        """Whether items of all scopes are sent."""
        self.over: AnyFastError | None = None
        """What items that are not sent carry after that."""
        self.is_late: bool = False
        """Whether it was the deadline."""
        self.aside: ParkedRows = ParkedRows()
        """Items that are refused while others are answered."""
        self._calls = calls
        self._deadline = _seconds("deadline", deadline)
        self._patience = _seconds("give_up_after", give_up_after)
        self._closed: dict[Hashable, NotSentError] = {}
        self._answered: set[Hashable] = set()
        self._last_answer = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._on_end: Callable[[], None] = lambda: None

    def begin(self, on_end: Callable[[], None]) -> None:
        """Start the clocks; *on_end* is called when the run is to take no more items."""
        loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._last_answer = now = loop.time()
        if self._deadline is not None:
            self._timers["deadline"] = loop.call_at(now + self._deadline, self._too_late)
        if self._patience is not None:
            self._look_at(now + self._patience)

    def close(self) -> None:
        """Stop the clocks."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._on_end = lambda: None

    # -- what items meet ---------------------------------------------------------------------------------------------

    def refused(self, scope: Hashable) -> AnyFastError | None:
        """Return why nothing of *scope* is sent any more, None if it is."""
        return None if self.is_open else self.over or self._closed.get(scope)

    def known(self, scope: Hashable) -> None:
        """Take in that an item of *scope* was answered in an earlier run."""
        self._answered.add(scope)

    def answered(self, scope: Hashable) -> None:
        """Take in that an item of *scope* has its answer."""
        self._answered.add(scope)
        if self._patience is not None:
            self._last_answer = asyncio.get_running_loop().time()

    def weigh(self, scope: Hashable, error: AnyFastError) -> None:
        """Take it for an outage if a model is called unknown that was answered: its channels may all be off."""
        if error.kind == "model" and scope in self._answered:
            error.retry_class, error.retryable = "refused", True

    def failed(self, scope: Hashable, error: AnyFastError, model: str | None) -> None:
        """Take in what an item of *scope* has failed with: the model may be closed for this run.

        A model that was answered in it is not unknown, whatever is said of it later.
        """
        if self._patience is not None and isinstance(error, APIError):
            self._last_answer = asyncio.get_running_loop().time()
        if (
            error.kind in CLOSERS
            and scope not in self._closed
            and not (error.kind == "model" and scope in self._answered)
        ):
            self.is_open = False
            self._closed[scope] = closed = not_sent(error, f"model {model!r}: {error}")
            self._leave(lambda call: call.scope is scope, closed)

    # -- the end -----------------------------------------------------------------------------------------------------

    def stop(self, error: AnyFastError) -> None:
        """End the run, because *error* concerns every item."""
        if self.stopped is None:
            self._end(error, not_sent(error, str(error)))

    def _end(self, stopped: AnyFastError, over: AnyFastError) -> None:
        self.stopped, self.over, self.is_open = stopped, over, False
        self._on_end()
        self._leave(lambda _: True, over)

    def _leave(self, concerns: Callable[[RowCall], bool], error: AnyFastError) -> None:
        for call in [call for call in self._calls(self) if concerns(call)]:
            call.leave(error)

    def _too_late(self) -> None:
        if self.stopped is not None:
            return
        limit = f"the map's deadline of {self._deadline:g} s was over"
        unsent = DeadlineExceeded(f"{limit} before this was sent; nothing is billed")
        unsent.billed, unsent.phase, unsent.retryable = "no", "unsent", True
        self.is_late = True
        in_flight = [call for call in self._calls(self) if call.trying_since is not None]
        self._end(unsent, unsent)
        for call in in_flight:
            error = DeadlineExceeded(f"{limit} before the answer had come; it may be billed")
            error.retryable = True
            call.interrupt(error)

    # -- waiting in vain ---------------------------------------------------------------------------------------------

    def _look_at(self, at: float) -> None:
        self._timers["patience"] = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        if self.stopped is not None or self._patience is None:
            return
        now = asyncio.get_running_loop().time()
        calls = list(self._calls(self))
        if not calls:  # it waits for its source, or for whoever takes the results
            self._look_at(now + self._patience)
            return
        due = max(self._last_answer, min(call.began for call in calls)) + self._patience
        if now < due:
            self._look_at(due)
        elif any(call.trying_since is not None and call.trying_since <= due for call in calls):
            self._look_at(now + min(_LOOK, self._patience / 4))  # the gateway is at work
        else:
            self._give_up(calls)

    def _give_up(self, calls: Iterable[RowCall]) -> None:
        held = [until for call in calls if (until := getattr(call.scope, "held_until", 0.0))]
        after = max(0.0, min(held, default=0.0) - asyncio.get_running_loop().time()) or None
        why = f"nothing was answered for {self._patience:g} s (give_up_after): the gateway throttles or is away"
        error = NotSentError.of(why, retry_at=None if after is None else time.time() + after, retry_after=after)
        self._end(error, error)


def not_sent(stopper: AnyFastError, why: str) -> NotSentError:
    """Return the error of items that are not sent because of *stopper*."""
    after: float | None = getattr(stopper, "retry_after", None)
    at: float | None = getattr(stopper, "retry_at", None)
    if at is None and after is not None:
        at = time.time() + after
    error = NotSentError.of(why, retry_at=at, retry_after=after)
    error.__cause__ = stopper
    return error


def _seconds(name: str, value: float | None) -> float | None:
    """Return *value*, an argument of a map, if it is a number of seconds above 0 or None.

    Raises:
        ConfigurationError: it is neither.

    """
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf):
        return value
    message = f"{name} must be a number of seconds above 0, or None, not {value!r}"
    raise ConfigurationError(message)
