"""One logical call: total( retry( gate( attempt ) ) ), and the ledger of its attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from anyfast_async._clock import Clock
from anyfast_async._core.codec import filled
from anyfast_async._core.usage import used_by
from anyfast_async._retry import Retries, call_again
from anyfast_async.completions import ChatCompletion, Trace, Usage
from anyfast_async.errors import (
    AnyFastError,
    APIConnectionError,
    APITimeoutError,
    Attempt,
    AuthenticationError,
    Billed,
    ClientStateError,
    DeadlineExceeded,
    FirstTokenTimeout,
    ResponseTimeout,
)

if TYPE_CHECKING:
    from anyfast_async._account import Account
    from anyfast_async._lane import Lane, Permit
    from anyfast_async._shared import Shared
    from anyfast_async.policies import RetryPolicy, Timeouts

T = TypeVar("T")


_CLOCKS: Final[dict[str, type[APITimeoutError]]] = {"response": ResponseTimeout, "first_token": FirstTokenTimeout}


class Call(Generic[T]):
    """A call on its way; made for one use.

    Args:
        shared: what it has in common with the other calls of its client.
        lane: where the gate counts it.
        policy: whether it is tried again.
        timeouts: its clocks.
        account: what it costs.
        patient: in ``map`` and batches: neither throttling nor an outage ends the call.
        renewable_key: whether another key may be had after a 401.

    """

    waits_for = "response"
    """The field of ``Timeouts`` that bounds an attempt."""
    keeps_permit = False
    """Whether the result goes on using the permit, as a stream does, and gives it back with :meth:`end`."""
    queued = 0.0
    connect: float | None = None
    first_token: float | None = None
    took: float | None = None
    """Seconds, once it has succeeded."""
    _renewed = False
    _held_until = 0.0
    _successes = -1
    """Of the lane, when this call last failed."""
    _away = False
    """Whether the last failure was taken for an outage."""
    _last_failure = ""
    _total: Clock | None = None
    _trying: Clock | None = None
    _tried_at = 0.0

    def __init__(
        self,
        shared: Shared,
        lane: Lane,
        policy: RetryPolicy,
        timeouts: Timeouts,
        *,
        account: Account,
        patient: bool,
        renewable_key: bool,
    ) -> None:
        self.shared = shared
        self.lane = lane
        self.policy = policy
        self.timeouts = timeouts
        self.account = account
        self.patient = patient
        self.renewable_key = renewable_key
        self.ledger: list[Attempt] = []
        self.began = asyncio.get_running_loop().time()

    @property
    def deadline(self) -> float | None:
        """The loop time at which ``Timeouts.total`` runs out."""
        return None if self.timeouts.total is None else self.began + self.timeouts.total

    async def run(self, attempt: Callable[[Permit, Clock], Awaitable[T]]) -> T:
        """Make the call; *attempt* makes one try.

        Raises:
            AnyFastError: with the ledger in ``.attempts``.

        """
        shared = self.shared
        shared.retry_budget.first_attempt()
        shared.running.add(self)
        self._total = total = Clock(self.timeouts.total, self.overdue)
        try:
            with total:
                if self.timeouts.total is not None:
                    total.start(self.began)
                try:
                    return await self._once(attempt)
                except AnyFastError as error:
                    again = self._again(error.with_traceback(None), attempt)
                try:
                    return await again
                except AnyFastError as error:
                    error.attempts = tuple(self.ledger)
                    raise error.with_traceback(None) from None  # the frames below hold the error itself
        finally:
            shared.running.discard(self)
            self._total = None
        late = total.ended()
        late.attempts, late.billed = tuple(self.ledger), _worst(a.billed for a in self.ledger)
        raise late

    def stop(self) -> None:
        """End the call with ``ClientStateError``, without cancelling the task that it runs in."""
        if self._total is not None:
            self._total.interrupt(ClientStateError("the client was closed"))

    def look(self, now: float) -> None:
        """Look at its clocks."""
        if self._total is not None:
            self._total.look(now)
        if self._trying is not None:
            self._trying.look(now)

    def woke(self, at: float) -> None:
        """Make an attempt from before a sleep again: its connection may be dead without a sign."""
        if self._trying is not None and self._tried_at < at:
            error = APIConnectionError("no answer after the process had slept")
            error.retry_class = "slept"
            self._trying.interrupt(error)

    def overdue(self) -> DeadlineExceeded:
        """Return the exception for ``Timeouts.total``, with what happened before."""
        last = f"; the last attempt ended with: {self._last_failure}" if self._last_failure else ""
        if not self.ledger and self._trying is None:
            last = "; the call was still queued"
        error = DeadlineExceeded(f"the call took longer than {self.timeouts.total:g} s (Timeouts.total){last}")
        error.attempts = tuple(self.ledger)
        error.billed = _worst(a.billed for a in self.ledger)
        return error

    async def _again(self, first: AnyFastError, attempt: Callable[[Permit, Clock], Awaitable[T]]) -> T:
        retries = Retries(self.policy, self.shared.retry_budget, self.patient, self.deadline)
        return await call_again(
            first, lambda: self._once(attempt), lambda error: self._delay(retries, error), asyncio.sleep
        )

    def _delay(self, retries: Retries, error: AnyFastError) -> float | None:
        if isinstance(error, AuthenticationError) and self.renewable_key and not self._renewed:
            self._renewed = True  # the key may just have been replaced
            return 0.0
        now = asyncio.get_running_loop().time()
        rand = random.random()  # noqa: S311 - jitter
        delay = retries.delay(error, now=now, held_until=self._held_until, rand=rand, away_since=self._away_since)
        if delay and self.ledger:
            self.ledger[-1] = attrs.evolve(self.ledger[-1], delay=delay)
        return delay

    @property
    def _away_since(self) -> float | None:
        return self.lane.outage.since if self._away else None

    async def _once(self, attempt: Callable[[Permit, Clock], Awaitable[T]]) -> T:
        """Make an attempt when the gate lets it."""
        gate, lane, account = self.shared.gate, self.lane, self.account
        came = now = asyncio.get_running_loop().time()
        if self.patient and lane.outage.since is not None:
            await gate.hold_off(lane, self.policy.backoff[1], random.random())  # noqa: S311 - jitter
            now = asyncio.get_running_loop().time()
        if self.patient and account.is_limited:
            await account.room()
            now = asyncio.get_running_loop().time()
        try:
            if lane.tokens is None:
                permit = gate.admit(lane, 0.0, now) or await gate.queue(lane)
            else:
                tokens = account.likely()
                permit = gate.admit(lane, tokens, now) or await gate.queue(lane, tokens, account.likely)
        except BaseException:
            account.cancel()
            raise
        self.queued += permit.at - came
        kept = False
        try:
            account.goes_out(gate, permit)
            result = await self._recorded(attempt, permit)
            gate.succeeded(permit)
            kept = self.keeps_permit
        finally:
            if not kept:
                gate.release(permit)
        if not kept:
            self._done(permit, "ok")
        return result

    def _done(self, permit: Permit, outcome: str) -> None:
        now = asyncio.get_running_loop().time()
        self.took = now - self.began
        self.ledger.append(Attempt(len(self.ledger) + 1, outcome, 200, now - permit.at, "yes"))
        self.shared.phases.add(self.queued, self.connect, self.first_token, self.took)

    async def _recorded(self, attempt: Callable[[Permit, Clock], Awaitable[T]], permit: Permit) -> T:
        """Make an attempt; write it down if it fails."""
        self._trying = clock = Clock(getattr(self.timeouts, self.waits_for), self._late)
        self._tried_at = permit.at
        try:
            with clock:
                return await attempt(permit, clock)
            raise clock.ended()  # noqa: TRY301 - it is written down like those of the attempt
        except AnyFastError as error:
            self._failed(error, permit)
            # The frames below hold what the server sent, which may name the key.
            raise error.with_traceback(None) from None
        except BaseException:
            # Ended from outside, by the deadline, by closing the client or by the caller: the request may have arrived.
            self.account.unknown(asyncio.get_running_loop().time())
            seconds = asyncio.get_running_loop().time() - permit.at
            self.ledger.append(Attempt(len(self.ledger) + 1, "cancelled", None, seconds, "maybe"))
            raise
        finally:
            self._trying = None

    def _late(self) -> APITimeoutError:
        limit = getattr(self.timeouts, self.waits_for)
        return _CLOCKS[self.waits_for](f"no answer within {limit:g} s (Timeouts.{self.waits_for})")

    def _failed(self, error: AnyFastError, permit: Permit) -> None:
        self._last_failure = str(error)
        now = asyncio.get_running_loop().time()
        if isinstance(error, APIConnectionError) and error.retryable and permit.at < self.shared.running.woke_at:
            error.retry_class = "slept"
        status = getattr(error, "status_code", None)
        self._away = False
        match error.retry_class:
            case "throttled":
                rand = random.random()  # noqa: S311 - jitter
                self._held_until = self.shared.gate.throttled(permit, getattr(error, "retry_after", None), rand)
            case "unsent" | "refused" | "ambiguous":
                outage = self.lane.outage
                away = outage.failed(now, self, status, self.policy.backoff[1])
                # A row that fails while others succeed is at fault itself.
                self._away = away and outage.successes == self._successes
                self._successes = outage.successes
        if error.billed == "no":
            self.shared.gate.settle(permit, 0)
            self.account.refused(now, unbilled=all(attempt.billed == "no" for attempt in self.ledger))
        else:
            self.account.unknown(now)
        self.ledger.append(Attempt(len(self.ledger) + 1, error.kind, status, now - permit.at, error.billed))
        error.attempts = tuple(self.ledger)

    def end(self, permit: Permit, error: AnyFastError | None, *, left: bool) -> None:
        """Give a kept permit back and write the last attempt down."""
        if permit.released:
            return
        self.shared.gate.release(permit)
        if error is None:
            self._done(permit, "left" if left else "ok")
        else:
            seconds = asyncio.get_running_loop().time() - permit.at
            status = getattr(error, "status_code", None)
            self.ledger.append(Attempt(len(self.ledger) + 1, error.kind, status, seconds, error.billed))

    def settle(self, permit: Permit, usage: Usage | None, *, estimated: bool = False) -> None:
        """Put what the gateway says was used in place of what was reserved.

        *estimated*: it is not the gateway that says so, as for a stream that was left.
        """
        used = used_by(usage)
        if used is not None:
            self.shared.gate.settle(permit, used.tokens)
        self.account.answered(asyncio.get_running_loop().time(), None if estimated else used)

    def traced(self, completion: ChatCompletion) -> ChatCompletion:
        """Return *completion* with the trace of this call."""
        trace = Trace(
            queue=self.queued,
            connect=self.connect,
            first_token=self.first_token,
            total=asyncio.get_running_loop().time() - self.began if self.took is None else self.took,
            attempts=tuple(self.ledger),
        )
        return filled(completion, trace=trace)


def _worst(billed: Iterable[Billed]) -> Billed:
    found = set(billed)
    return "yes" if "yes" in found else "maybe" if "maybe" in found else "no"
