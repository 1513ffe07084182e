"""One logical call: total( retry( gate( attempt ) ) ), and the ledger of its attempts."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from anyfast_async._clock import Clock
from anyfast_async._core.codec import filled
from anyfast_async._core.outage import ALONE
from anyfast_async._core.throttle import Refusal
from anyfast_async._core.usage import used_by
from anyfast_async._patience import Patience
from anyfast_async._retry import Retries, call_again
from anyfast_async._standing import UNAVAILABLE, Standing, weigh_page
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
    from anyfast_async._ending import Ending
    from anyfast_async._key import Key
    from anyfast_async._lane import Lane, Permit
    from anyfast_async._shared import Shared
    from anyfast_async.policies import RetryPolicy, Timeouts

T = TypeVar("T")
E = TypeVar("E", bound=AnyFastError)

_CLOCKS: Final[dict[str, type[APITimeoutError]]] = {"response": ResponseTimeout, "first_token": FirstTokenTimeout}


class Call(Generic[T]):
    """A call on its way; made for one use.

    Args:
        shared: what it has in common with the other calls of its client.
        lane: where the gate counts it.
        policy: whether it is tried again.
        timeouts: its clocks.
        account: what it costs.
        ending: in ``map`` and batches: what ends the run that the call is for. Neither throttling nor an outage ends
            such a call, and its total stands still while it waits for those; None for a single one.
        key: the key that its attempts show.

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
    status: int | None = None
    """The status of the answer to the last attempt, once its head is there."""
    _streaming = False
    """Whether its answer is read by somebody else already, as that of a stream is."""
    _renewed = False
    _held_until = 0.0
    sent = False
    """Whether any request of it was."""
    _patience: Patience | None = None
    """Of a patient call, once it needs some."""
    _standing: Standing | None = None
    """How it stands among the others of its lane, once it was refused."""
    _failure: AnyFastError | None = None
    """What the last attempt ended with."""
    _worked = 0.0
    """Of a row: seconds from admission on that count for ``Timeouts.total``."""
    _excused = False
    """Of a row: whether the last attempt does not, because the gateway throttles or is away."""
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
        ending: Ending | None,
        key: Key,
    ) -> None:
        self.shared = shared
        self.lane = lane
        self.policy = policy
        self.timeouts = timeouts
        self.account = account
        self.ending = ending
        self.patient = ending is not None
        self.key = key
        self.ledger: list[Attempt] = []
        self.began = asyncio.get_running_loop().time()

    @property
    def deadline(self) -> float | None:
        """The loop time at which ``Timeouts.total`` runs out; None for a row: its clock stands still at times."""
        return None if self.timeouts.total is None or self.patient else self.began + self.timeouts.total

    @property
    def trying_since(self) -> float | None:
        """The loop time at which the attempt in flight was admitted; None while the call waits."""
        return None if self._trying is None else self._tried_at

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
                if self.deadline is not None:
                    total.start(self.began)
                try:
                    return await self._once(attempt)
                except AnyFastError as error:
                    again = self._again(error.with_traceback(None), attempt)
                try:
                    return await again
                except AnyFastError as error:
                    raise self._told(error).with_traceback(None) from None  # frames below hold the error itself
        finally:
            shared.running.discard(self)
            self._total = self._failure = self._patience = None  # which refer back, as does the frame of who raises it
        late = total.ended()
        late.billed = "no"
        raise self._told(late)

    def stop(self) -> None:
        """End the call with ``ClientStateError``, without cancelling the task that it runs in."""
        self.interrupt(ClientStateError("the client was closed"))

    def interrupt(self, error: AnyFastError) -> None:
        """End the call with *error*, without cancelling the task that it runs in."""
        if self._total is not None:
            self._total.interrupt(error)

    def leave(self, error: AnyFastError) -> None:
        """End the call with *error* if it waits; an attempt in flight is finished, because it is paid."""
        if self._trying is None:
            self.interrupt(self._left(error))

    def _left(self, error: AnyFastError) -> AnyFastError:
        """Return *error* for this call alone, or what it has met if something of it may be billed."""
        if self._failure is not None and _worst(a.billed for a in self.ledger) != "no":
            return self._failure
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        return own

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

    def _told(self, error: E) -> E:
        """Return *error* with what all attempts say."""
        error.attempts = tuple(self.ledger)
        error.billed = _worst((error.billed, *(attempt.billed for attempt in self.ledger)))
        return error

    def overdue(self) -> DeadlineExceeded:
        """Return the exception for ``Timeouts.total``, with what happened before."""
        last = f"; the last attempt ended with: {self._failure}" if self._failure is not None else ""
        if self._streaming:
            last = "; the answer had begun"
        elif not self.ledger and self._trying is None:
            last = "; the call was still queued"
        error = DeadlineExceeded(f"the call took longer than {self.timeouts.total:g} s (Timeouts.total){last}")
        error.billed = "no"
        return self._told(error)

    async def _again(self, first: AnyFastError, attempt: Callable[[Permit, Clock], Awaitable[T]]) -> T:
        retries = Retries(self.policy, self.shared.retry_budget, self.patient, self.deadline)
        return await call_again(
            first, lambda: self._once(attempt), lambda error: self._delay(retries, error), asyncio.sleep
        )

    def _delay(self, retries: Retries, error: AnyFastError) -> float | None:
        if isinstance(error, AuthenticationError) and self.key.renewable and not self._renewed:
            self._renewed = True  # the key may just have been replaced
            self.key.distrust()
            return 0.0
        if error.retry_class in ("throttled", "refused"):
            self._standing = self._standing or Standing(self.lane, self.policy, self.ending)
            verdict = self._standing.verdict(error)
            if verdict != "goes on":
                return None if verdict == "fails" else 0.0
        now = asyncio.get_running_loop().time()
        rand = random.random()  # noqa: S311 - jitter
        patience = self._patience
        company = ALONE if patience is None else patience.company
        delay = retries.delay(error, now=now, held_until=self._held_until, rand=rand, company=company)
        if delay is None and patience is not None and patience.is_open(error, retries.resends):
            return 0.0
        if delay and self.ledger:
            self.ledger[-1] = attrs.evolve(self.ledger[-1], delay=delay)
        return delay

    @property
    def patience(self) -> Patience:
        """What it has met of outages; for a patient call."""
        if self._patience is None:
            self._patience = Patience(self)
        return self._patience

    async def _once(self, attempt: Callable[[Permit, Clock], Awaitable[T]]) -> T:
        """Make an attempt when the gate lets it."""
        gate, lane, account = self.shared.gate, self.lane, self.account
        came = now = asyncio.get_running_loop().time()
        if self.patient:
            self._pause(now)
        if self._failure is not None:
            now = await self._reconsidered()
        if self.patient and self.shared.spending.budget is not None:
            await account.room()
            now = asyncio.get_running_loop().time()
        try:
            if self.patient and lane.outage.since is not None:
                permit = await self.patience.admitted(None)
            else:
                permit = await self.admitted(now)
                if self.patient and lane.outage.since is not None:
                    permit = await self.patience.admitted(permit)
        except BaseException:
            account.cancel()
            raise
        self.queued += permit.at - came
        if self.patient and self.timeouts.total is not None and self._total is not None:
            self._total.start(permit.at - self._worked)
        kept = False
        try:
            account.goes_out(gate, permit)
            result = await self._recorded(attempt, permit)
            gate.succeeded(permit)
            kept = self._streaming = self.keeps_permit
        finally:
            if not kept:
                gate.release(permit)
        if not kept:
            self._done(permit, "ok", "yes")
        return result

    async def _reconsidered(self) -> float:
        """Wait until it is clear whether, and when, there is to be another attempt; return the loop time."""
        if self._patience is not None:
            await self._patience.heard()
        if self._standing is not None:
            await self._standing.turn()
        return asyncio.get_running_loop().time()

    async def admitted(self, now: float) -> Permit:
        """Wait for admission, if there is anything to wait for."""
        gate, lane, first = self.shared.gate, self.lane, self._standing is not None and self._standing.goes_first
        estimate = None if lane.tokens is None else self.account.likely
        tokens = 0.0 if estimate is None else estimate()
        if not first and (permit := gate.admit(lane, tokens, now)) is not None:
            return permit
        return await gate.queue(lane, tokens, estimate, first=first, counts=not self.patient)

    def _pause(self, now: float) -> None:
        """Stop a row's total until it is admitted again; refuse it, if its map has ended meanwhile.

        Raises:
            AnyFastError: what ended the map, or what the row has met before.

        """
        refused = self.ending.refused(self.lane) if self.ending is not None else None
        if refused is not None:
            raise self._left(refused)
        if self.timeouts.total is not None and self._total is not None and self.ledger:
            if not self._excused and self.lane.outage.since is None:
                self._worked += now - self._tried_at
            self._total.stop()

    def _done(self, permit: Permit, outcome: str, billed: Billed) -> None:
        now = asyncio.get_running_loop().time()
        self.took = now - self.began
        seconds = now - permit.at
        self.ledger.append(Attempt(len(self.ledger) + 1, outcome, 200, seconds, billed))
        # From a stream's head on it is plain that it was let through.
        if (first := seconds if self.first_token is None else self.first_token) < self.lane.quickest:
            self.lane.quickest = first
        self.shared.phases.add(self.queued, self.connect, self.first_token, self.took)

    async def _recorded(self, attempt: Callable[[Permit, Clock], Awaitable[T]], permit: Permit) -> T:
        """Make an attempt; write it down if it fails."""
        self._trying = clock = Clock(getattr(self.timeouts, self.waits_for), self._late)
        self._tried_at = permit.at
        self.status = None
        try:
            with clock:
                return await attempt(permit, clock)
            raise clock.ended()  # noqa: TRY301 - it is written down like those of the attempt
        except AnyFastError as error:
            self._failed(error, permit, clock)
            # The frames below hold what the server sent, which may name the key.
            raise error.with_traceback(None) from None
        except BaseException:
            # Ended from outside, by the deadline, by closing the client or by the caller: if it was sent, it may have
            # arrived.
            self._account(permit, "maybe" if clock.started else "no", sent=clock.started)
            self._write(permit, "cancelled", self.status, "maybe" if clock.started else "no")
            raise
        finally:
            self.sent = self.sent or clock.started
            self._trying = None

    def _late(self) -> APITimeoutError:
        limit = getattr(self.timeouts, self.waits_for)
        return _CLOCKS[self.waits_for](f"no answer within {limit:g} s (Timeouts.{self.waits_for})")

    def _failed(self, error: AnyFastError, permit: Permit, clock: Clock) -> None:
        if isinstance(error, AuthenticationError) and error.spoken_by != "proxy":
            error.args = (f"{error} ({self.key.advice})",)  # only here is it known where the key came from
        self._failure = error
        gate, lane = self.shared.gate, self.lane
        if isinstance(error, APIConnectionError) and error.retryable and permit.at < self.shared.running.woke_at:
            error.retry_class = "slept"
        if self.ending is not None:
            self.ending.weigh(lane, error)
        status = getattr(error, "status_code", None) or self.status
        rand = random.random()  # noqa: S311 - jitter
        if status == UNAVAILABLE and error.retry_class == "ambiguous":
            weigh_page(error, gate, permit, Refusal(None, rand, self.policy.first_hold))
        match error.retry_class:
            case "throttled":
                gate.answered(lane)
                self._standing = self._standing or Standing(lane, self.policy, self.ending)
                self._held_until = self._standing.throttled(gate, permit, getattr(error, "retry_after", None), rand)
            case "unsent" | "refused" | "ambiguous" | "cut" as kind if self.patient:
                self.patience.failed(reached=kind != "unsent", rand=rand)
            case "unsent" | "refused" | "ambiguous" | "cut" as kind:
                gate.failed(lane, self, reached=kind != "unsent", longest=self.policy.backoff[1], rand=rand)
            case "never" if error.spoken_by == "gateway":
                gate.answered(lane)
        self._excused = error.retry_class == "throttled" or (
            lane.outage.since is not None and error.retry_class in ("unsent", "refused", "ambiguous", "cut")
        )
        if self._patience is not None:
            self._patience.probing = False
        sent = clock.started or self.status is not None or error.billed != "no"
        self._account(permit, error.billed, sent=sent)
        self._write(permit, error.kind, status, error.billed)
        error.attempts = tuple(self.ledger)

    def _account(self, permit: Permit, billed: Billed, *, sent: bool) -> None:
        """Count what an attempt that has ended without an answer may have used."""
        now = asyncio.get_running_loop().time()
        if billed == "no":
            self.shared.gate.settle(permit, 0)
            self.account.refused(now, sent=sent, unbilled=all(attempt.billed == "no" for attempt in self.ledger))
        else:
            self.shared.gate.maybe_billed += 1
            self.account.unknown(now)

    def _write(self, permit: Permit, outcome: str, status: int | None, billed: Billed) -> None:
        seconds = asyncio.get_running_loop().time() - permit.at
        self.ledger.append(Attempt(len(self.ledger) + 1, outcome, status, seconds, billed))

    def end(self, permit: Permit, error: AnyFastError | None, *, left: bool) -> None:
        """Give a kept permit back and write the last attempt down."""
        if permit.released:
            return
        self.shared.gate.release(permit)
        if error is None:
            self._done(permit, "left" if left else "ok", "maybe" if left else "yes")
            return
        self.shared.gate.maybe_billed += 1
        error.billed = _worst((error.billed, "maybe"))  # some of it has come
        self._write(permit, error.kind, self.status, error.billed)
        self._told(error)

    def found_wanting(self, error: AnyFastError) -> None:
        """Take in that a stream that ended in order is no complete answer: its line was written when it ended."""
        last = self.ledger[-1]
        if last.outcome == "ok":
            self.shared.gate.maybe_billed += 1
            self.ledger[-1] = attrs.evolve(last, outcome=error.kind, billed=error.billed)
        self._told(error)

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
            ignored=completion.trace.ignored if completion.trace is not None else 0,
        )
        return filled(completion, trace=trace)


def _worst(billed: Iterable[Billed]) -> Billed:
    found = set(billed)
    return "yes" if "yes" in found else "maybe" if "maybe" in found else "no"
