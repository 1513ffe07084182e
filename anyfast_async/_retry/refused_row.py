"""How a row that was refused stands among the others of its scope, and when it is its turn again.

A refusal holds all calls of a scope, so one row that is always refused would hold them for ever. It shows by the
others: a row that is refused although it went first after a hold, while some that were sent later are answered, is at
fault itself. In a map it stands aside until that is known; then it holds nobody, and is tried again now and then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.limits.throttle import LONGEST_HOLD
from anyfast_async._core.retry.suspicion import Suspicion, nothing
from anyfast_async._retry.retries import longest_wait
from anyfast_async._retry.waits import waits

if TYPE_CHECKING:
    from anyfast_async._limits.gate import Gate
    from anyfast_async._limits.scope import Permit, Scope
    from anyfast_async._map.early_end import Ending
    from anyfast_async.errors import AnyFastError
    from anyfast_async.policies import RetryPolicy


UNAVAILABLE: Final = 503
"""What limiters in front of a gateway say instead of 429, in a page."""


def weigh_page(error: AnyFastError, gate: Gate, permit: Permit, refusal: Refusal) -> None:
    """Take a page with 503 for throttling if it came sooner than any answer; before any, hold as if it were."""
    scope = permit.scope
    if scope.bounced(permit, asyncio.get_running_loop().time()):
        error.retry_class, error.billed = "throttled", "no"
    elif scope.is_new(permit):
        gate.throttled(permit, refusal, Suspicion())


class RefusedRow:
    """Of one row, or of a single call, for which *ending* is None."""

    goes_first = False
    """Whether it goes before all others of its scope."""
    _asked = 0.0
    """Seconds that the server asked it to wait."""
    _not_before = 0.0
    """The loop time at which those are over."""
    _tests = 0
    """Times that it was tried under suspicion."""
    _is_last = False
    """Whether it is tried for the last time."""
    _is_alone = False
    """Whether all others of its map are done."""
    _overlong: AnyFastError | None = None
    """A refusal for longer than anybody waits, of which it is not known yet whether it is about this row alone."""

    def __init__(self, scope: Scope, policy: RetryPolicy, ending: Ending | None) -> None:
        self._scope = scope
        self._policy = policy
        self._ending = ending
        self._row = Suspicion()

    # -- what an answer means ----------------------------------------------------------------------------------------

    def throttled(self, gate: Gate, permit: Permit, asked: float | None, rand: float) -> float:
        """Take in that it was throttled; return the loop time until which it waits."""
        now, throttle = asyncio.get_running_loop().time(), self._scope.throttle
        if asked is not None and asked > longest_wait(self._policy, patient=self._ending is not None):
            throttle.ignored(permit)
            return now + asked
        self._asked = asked or 0.0
        self._not_before = now + self._asked
        held_until = gate.throttled(permit, Refusal(asked, rand, self._policy.first_hold), self._row)
        if self._is_alone:
            throttle.refused_alone(self._row, now)
        return max(held_until, self._not_before)

    def verdict(self, error: AnyFastError) -> Literal["fails", "waits", "goes on"]:
        """Return what *error* means for the row: it fails, waits for others, or goes on as others do."""
        if self._is_last and error.retry_class == "throttled":
            return "fails"
        asked: float | None = getattr(error, "retry_after", None)
        if self._ending is None or asked is None or asked <= longest_wait(self._policy, patient=True):
            return "goes on"
        # The first that is told so while others were answered fails. When another is told so, and none was answered
        # since, it is the scope, and the run ends.
        answered, before = self._scope.outage.successes, self._scope.overlong
        self._scope.overlong = answered
        if before == answered:
            self._ending.stop(error)
            return "waits"
        if answered:
            return "fails"
        self._overlong = error
        return "waits"

    @property
    def seconds(self) -> float:
        """How long it waits between two tests under suspicion."""
        return 0.0 if waits().skipped else max(self._asked, min(2.0**self._tests, LONGEST_HOLD))

    # -- when it is tried again --------------------------------------------------------------------------------------

    async def turn(self) -> None:
        """Wait until it is this row's turn to queue again.

        One that was refused although it went first gives its place to others until it shows whose fault that was. One
        that was told to wait while others were answered does so by itself. With strikes it is tried again after a
        while, behind a moment's pause of its scope; with as many as there are attempts, once more when all others are
        done.

        Raises:
            AnyFastError: it is told to wait for longer than anybody does, and others are not.

        """
        if self._overlong is not None:
            await self._hear_others(self._overlong)
        row = self._row
        if row.on_trial:
            await self._stand_aside()
        self.goes_first = row.goes_first
        apart, row.apart = row.apart, False
        if not row.strikes and not apart:
            return
        if apart or row.strikes < self._policy.attempts:
            await self._stand_aside(self.seconds)
        else:
            self._is_last = self._ending is not None
            if not self._is_alone:
                await self._stand_aside()
            if (left := self._not_before - asyncio.get_running_loop().time()) > 0 and not waits().skipped:
                await asyncio.sleep(left)
        self._tests += row.strikes > 0
        self._scope.throttle.pause(asyncio.get_running_loop().time())
        self.goes_first = True

    async def _hear_others(self, error: AnyFastError) -> None:
        """Wait until others show whether a wait that is too long is asked of this row alone.

        Raises:
            AnyFastError: it is.

        """
        self._overlong = None
        if self._ending is not None:
            await self._ending.aside.stand(asyncio.get_running_loop().create_future())
            if not self._scope.outage.successes:
                self._ending.stop(error)
        error.retry_class = "never"
        raise error

    async def _stand_aside(self, seconds: float | None = None) -> None:
        """Let others go for *seconds*, or until there is a verdict; with no others left, wait for the seconds alone."""
        if self._ending is None:
            await asyncio.sleep(seconds or 0.0)
            return
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()
        until = loop.time() + (seconds or 0.0)

        def tell() -> None:
            if not news.done():
                news.set_result(None)

        self._row.on_verdict = tell
        timer = None if seconds is None else loop.call_at(until, tell)
        try:
            self._is_alone = await self._ending.aside.stand(news)
        finally:
            self._row.on_verdict = nothing
            if timer is not None:
                timer.cancel()
        if self._is_alone and loop.time() < until:
            await asyncio.sleep(until - loop.time())
