"""One logical call: total( retry( gate( attempt ) ) ), and the ledger of its attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import attrs

from anyfast_async._budget import Need
from anyfast_async._clock import Clock
from anyfast_async._core.codec import filled
from anyfast_async._core.estimate import ASSUMED, Asked, asked, tokens_of
from anyfast_async._core.usage import Used, used_by
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
    from anyfast_async._budget import Reserved
    from anyfast_async._core.estimate import Pending
    from anyfast_async._lane import Lane, Permit
    from anyfast_async._shared import Shared
    from anyfast_async.policies import RetryPolicy, Timeouts
    from anyfast_async.prices import Price
    from anyfast_async.requests import ChatRequest

T = TypeVar("T")


_CLOCKS: Final[dict[str, type[APITimeoutError]]] = {"response": ResponseTimeout, "first_token": FirstTokenTimeout}


class Witness(Protocol):
    """Writes down what becomes of the requests of one row, so that a journal can say which may have been billed."""

    def goes_out(self, need: Need) -> None:
        """Take in that a request is about to be sent, and what is reserved for it.

        Raises:
            OSError: it cannot be written down; the request is not sent.

        """

    def refused(self) -> None:
        """Take in that nothing that was sent is billed."""

    def unknown(self, need: Need, *, answered: bool) -> None:
        """Take in that nothing says what a request used that may have been billed; *need* was reserved for it."""


class Call(Generic[T]):
    """A call on its way; made for one use.

    Args:
        shared: what it has in common with the other calls of its client.
        lane: where the gate counts it.
        policy: whether it is tried again.
        timeouts: its clocks.
        request: what it asks; None: nothing that costs tokens.
        patient: in ``map`` and batches: neither throttling nor an outage ends the call.
        renewable_key: whether another key may be had after a 401.
        price: of its model, where a budget is in money.
        witness: is told of what is sent.

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
    _prompt: Asked | None = None
    _reserved: Reserved | None = None
    _pending: Pending | None = None

    def __init__(
        self,
        shared: Shared,
        lane: Lane,
        policy: RetryPolicy,
        timeouts: Timeouts,
        *,
        request: ChatRequest | None,
        patient: bool,
        renewable_key: bool,
        price: Price | None = None,
        witness: Witness | None = None,
    ) -> None:
        self.shared = shared
        self.lane = lane
        self.policy = policy
        self.timeouts = timeouts
        self.request = request
        self.patient = patient
        self.renewable_key = renewable_key
        self.price = price
        self.witness = witness
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
        gate, lane, spending = self.shared.gate, self.lane, self.shared.spending
        came = now = asyncio.get_running_loop().time()
        if self.patient and lane.outage.since is not None:
            await gate.hold_off(lane, self.policy.backoff[1], random.random())  # noqa: S311 - jitter
            now = asyncio.get_running_loop().time()
        if self.patient and spending.budget is not None:
            self._reserved = await spending.room(self._possible)
            now = asyncio.get_running_loop().time()
        try:
            if lane.tokens is None:
                permit = gate.admit(lane, 0.0, now) or await gate.queue(lane)
            else:
                tokens = self._likely()
                permit = gate.admit(lane, tokens, now) or await gate.queue(lane, tokens, self._likely)
        except BaseException:
            spending.cancel(self._reserved)
            raise
        self.queued += permit.at - came
        kept = False
        try:
            self._goes_out(permit)
            result = await self._recorded(attempt, permit)
            gate.succeeded(permit)
            kept = self.keeps_permit
        finally:
            if not kept:
                gate.release(permit)
        if not kept:
            self._done(permit, "ok")
        return result

    def _goes_out(self, permit: Permit) -> None:
        """Reserve what the request may take, where rows have not, and write down that it is sent."""
        spending = self.shared.spending
        try:
            if not self.patient or spending.budget is None:
                self._reserved = spending.admit(self._possible() if spending.is_reserving else Need())
            if self.witness is not None:
                self.witness.goes_out(Need() if self._reserved is None else self._reserved.need)
        except BaseException:
            self.shared.gate.settle(permit, 0)
            spending.cancel(self._reserved)
            raise
        if self._is_estimating:
            self._pending = self.lane.expected.begin(limits_of(self.request)[0], permit.at)

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
            self._unknown()
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
            self._refused(permit)
        else:
            self._unknown()
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

    # -- what it costs -----------------------------------------------------------------------------------------------

    @property
    def prompt(self) -> Asked:
        """What is asked, counted when somebody wants to know."""
        if self._prompt is None:
            self._prompt = asked(self.request)
        return self._prompt

    @property
    def _model(self) -> str:
        return (self.request.model or "") if self.request is not None else ""

    @property
    def _is_estimating(self) -> bool:
        return self.request is not None and (self.lane.tokens is not None or self.shared.spending.is_reserving)

    def _likely(self) -> float:
        """Return the tokens to count within a minute."""
        lane = self.lane
        if lane.tokens is None or self.request is None:
            return 0.0
        return lane.expected.likely(self.prompt, *limits_of(self.request), lane.tokens.limit)

    def _possible(self) -> Need:
        """Return what to reserve of a budget."""
        if self.request is None:
            return Need()
        prompt, left = self.prompt, self.shared.spending.left(self.price)
        before, answer = self.lane.expected.possible(prompt, *limits_of(self.request), left)
        return Need(before + answer, 0.0 if self.price is None else self.price.bound(before, answer))

    def _assumed(self) -> Need:
        """Return what a request is taken to have used of which nothing is known, and for which nothing was reserved."""
        if self.request is None:
            return Need()
        longest, n = limits_of(self.request)
        return Need(self.prompt.tokens + n * min(ASSUMED, longest or ASSUMED))

    def _refused(self, permit: Permit) -> None:
        """Give back what was kept for a request that is not billed."""
        self.shared.gate.settle(permit, 0)
        self.shared.spending.refused(self._reserved)
        self._ended(None)
        if self.witness is not None and all(attempt.billed == "no" for attempt in self.ledger):
            self.witness.refused()

    def _unknown(self, *, answered: bool = False) -> None:
        """Count what was kept for a request as spent, because nothing says what it used."""
        need = self._assumed() if self._reserved is None else self._reserved.need
        self.shared.spending.unknown(self._reserved, need)
        self._ended(None)
        if self.witness is not None:
            self.witness.unknown(Need() if self._reserved is None else need, answered=answered)

    def _ended(self, used: Used | None) -> None:
        """Learn from an answer, if it says what it used."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        expected, (max_tokens, n) = self.lane.expected, limits_of(self.request)
        now = asyncio.get_running_loop().time()
        expected.end(pending, max_tokens, n, now, None if used is None else used.completion)
        if used is not None and used.prompt:
            expected.asked(self.prompt, used.prompt)

    def settle(self, permit: Permit, usage: Usage | None, *, estimated: bool = False) -> None:
        """Put what the gateway says was used in place of what was reserved.

        *estimated*: it is not the gateway that says so, as for a stream that was left.
        """
        used = used_by(usage)
        if used is not None:
            self.shared.gate.settle(permit, used.tokens)
        if used is None or estimated:
            self._unknown(answered=True)
            return
        self.shared.spending.reported(self._reserved, self._model, used)
        self._ended(used)

    def estimated(self, completion: ChatCompletion) -> Usage:
        """Return what a stream that was left has used, as far as it can be told from the text."""
        prompt = self.prompt.tokens
        texts = (choice.message for choice in completion.choices if choice.message is not None)
        output = sum(tokens_of(message.text + (message.reasoning_content or "")) for message in texts)
        return Usage(prompt_tokens=prompt, completion_tokens=output, total_tokens=prompt + output)

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


def limits_of(request: ChatRequest | None) -> tuple[int | None, int]:
    """Return the longest answer that a request allows, None if it does not say, and how many it asks for."""
    if request is None:
        return 0, 1
    given: Mapping[str, Any] = request.extra_body or {}  # its fields win
    n = given.get("n", request.n)
    named = (given.get(name, getattr(request, name)) for name in ("max_completion_tokens", "max_tokens"))
    # Which of the two counts differs by model.
    longest = max((value for value in named if isinstance(value, int)), default=None)
    return longest, n if isinstance(n, int) and n > 0 else 1
