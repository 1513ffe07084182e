"""Every second attempt goes through here. The only file that imports tenacity.

The first attempt runs bare, because tenacity costs as much as a whole call; only after a failure is an
``AsyncRetrying`` built, a fresh one for each call: a shared one mixes its tasks' states up. The predicate is positive
(our own exceptions only), because a negative one would swallow cancellation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import attrs
import tenacity

from anyfast_async._core.retry.backoff import backoff
from anyfast_async._core.retry.outage import ALONE, Company, Resends
from anyfast_async._core.retry.retry_budget import RetryBudget
from anyfast_async.errors import AnyFastError
from anyfast_async.policies import RetryPolicy

T = TypeVar("T")

LONGEST_OF_CALL: Final = 120.0
"""Seconds that a server may ask a single call to wait, unless the policy says otherwise: openai-python's, too."""
LONGEST_OF_ROW: Final = 900.0
"""The same for a row of a map."""


@attrs.define
class Retries:
    """What the policy says of one call, failure by failure. Arithmetic on given values."""

    policy: RetryPolicy
    budget: RetryBudget
    patient: bool
    """Whether throttling, an outage and an empty budget may hold the call, as in ``map``."""
    deadline: float | None = None
    spent: list[int] = attrs.field(factory=list)
    """The failures that used up a try, as the stretches of the scope that they fell into."""
    resends: Resends = attrs.field(factory=Resends)
    free: set[str] = attrs.field(factory=lambda: {"stale", "slept"})
    """Classes of failures that are met with an immediate resend, once each."""
    throttled_since: float | None = None

    def delay(
        self,
        error: AnyFastError,
        *,
        now: float,
        held_until: float,
        rand: float,
        company: Company = ALONE,
    ) -> float | None:
        """Return the seconds after which to try again, None for not at all.

        Args:
            error: what the last attempt ended with.
            now: loop time.
            held_until: loop time until which the limiter holds the scope.
            rand: 0 to 1.
            company: how the others of the scope fared.

        """
        asked: float | None = getattr(error, "retry_after", None)
        away = self.patient and company.away_since is not None
        if away and now - (company.away_since or 0.0) >= self.policy.outage_patience:
            away, company = False, ALONE  # it was waited for long enough: failures count again
        match error.retry_class:
            case "throttled":
                return self._throttled(asked, now, held_until)
            case "stale" | "slept" as kind if kind in self.free and self.policy.attempts > 1:
                self.free.remove(kind)
                return 0.0
            case "never":
                return None
            case "clock" if not self.policy.resend_after_timeout:
                return None
            case "cut" if not self.patient:
                return None
            case "ambiguous" | "cut" | "clock" | "stale" | "slept" if not self._may_resend(company, away=away):
                return None
        return 0.0 if away else self._counted(error, asked, now, rand, company)

    def _may_resend(self, company: Company, *, away: bool) -> bool:
        """Return whether what may have been billed is sent again."""
        if self.policy.attempts == 1:
            return False
        if away and company.probe:
            return True  # it was sent for all of them
        self.resends.failed(company.stretch)
        return self.resends.allow(company.outages)

    def _counted(
        self, error: AnyFastError, asked: float | None, now: float, rand: float, company: Company
    ) -> float | None:
        self.spent.append(company.stretch)
        failures = sum(stretch not in company.outages for stretch in self.spent)
        if failures >= self.policy.attempts or self._too_long(asked, now):
            return None
        wait = backoff(self.policy, failures, asked, rand)
        if error.retry_class == "unsent" or self.budget.withdraw(now):
            return wait
        if not self.patient:
            return None
        self.spent.pop()  # the row is not at fault: it waits for the budget and probes
        return max(wait, self.policy.backoff[1] * (0.5 + 0.5 * rand))

    def _throttled(self, asked: float | None, now: float, held_until: float) -> float | None:
        if self.policy.attempts == 1 and not self.patient:
            return None
        if self.throttled_since is None:
            self.throttled_since = now
        if self.patient:
            return 0.0  # the limiter holds
        if self._too_long(asked, now) or held_until - self.throttled_since > self.policy.throttle_patience:
            return None
        return 0.0

    def _too_long(self, asked: float | None, now: float) -> bool:
        left = float("inf") if self.deadline is None else self.deadline - now
        return asked is not None and asked > min(longest_wait(self.policy, patient=self.patient), left)


def longest_wait(policy: RetryPolicy, *, patient: bool) -> float:
    """Return the seconds that a server may ask to wait, at most."""
    if policy.max_retry_after is not None:
        return policy.max_retry_after
    return LONGEST_OF_ROW if patient else LONGEST_OF_CALL


async def call_again(
    first: AnyFastError,
    attempt: Callable[[], Awaitable[T]],
    delay: Callable[[AnyFastError], float | None],
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """Go on after the first attempt ended with *first*.

    Args:
        first: what it ended with.
        attempt: makes another one.
        delay: the seconds to wait after a failure, None to give up; called once for each.
        sleep: waits.

    Raises:
        AnyFastError: what the last attempt ended with.

    """
    wait = delay(first)
    if wait is None:
        raise first
    pending: AnyFastError | None = first

    async def step() -> T:
        if pending is not None:
            raise pending
        return await attempt()  # noqa: F821 - it is there until the end

    def wanted(error: BaseException) -> bool:
        nonlocal pending, wait
        if not isinstance(error, AnyFastError):
            return False
        error.__traceback__ = None  # its frames hold the error itself
        if pending is not None:
            pending = None
            return True
        wait = delay(error)  # noqa: F821 - as above
        return wait is not None

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(wanted),
        stop=tenacity.stop_never,
        wait=lambda _: wait or 0.0,
        sleep=sleep,
        reraise=True,
    )
    try:
        return await retrying(step)
    finally:
        del attempt, delay  # tenacity's objects refer to each other: nothing of ours waits for the garbage collector
