"""One logical call: total( retry( gate( attempt ) ) ), and the ledger of its attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import attrs

from anyfast_async._core.backoff import RetryBudget
from anyfast_async._core.bucket import prompt_tokens, tokens_of
from anyfast_async._retry import Retries, call_again
from anyfast_async.completions import ChatCompletion, Trace, Usage
from anyfast_async.errors import (
    AnyFastError,
    Attempt,
    AuthenticationError,
    Billed,
    BudgetExceeded,
    ClientStateError,
    DeadlineExceeded,
)

if TYPE_CHECKING:
    from anyfast_async._gate import Gate, Lane, Permit
    from anyfast_async.policies import Budget, RetryPolicy, Timeouts

T = TypeVar("T")


class Stoppable(Protocol):
    """Something on its way that closing the client ends."""

    def stop(self) -> None:
        """End it with ``ClientStateError``."""


class Spending:
    """What a client has spent and reserved of its budget."""

    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget
        self.tokens = 0.0
        self.reserved = 0.0
        self.requests = 0

    def admit(self, tokens: float) -> None:
        """Reserve *tokens* for one request.

        Raises:
            BudgetExceeded: they do not fit.

        """
        budget = self.budget
        if budget is not None:
            if budget.requests is not None and self.requests + 1 > budget.requests:
                message = f"the budget of {budget.requests} requests is spent"
                raise BudgetExceeded(message)
            if budget.tokens is not None and self.tokens + self.reserved + tokens > budget.tokens:
                message = (
                    f"the budget of {budget.tokens} tokens has no room: {self.tokens:.0f} spent, "
                    f"{self.reserved:.0f} reserved for calls in flight, {tokens:.0f} needed"
                )
                raise BudgetExceeded(message)
        self.requests += 1
        self.reserved += tokens

    def settle(self, reserved: float, used: float) -> None:
        """Put *used* in place of what was reserved."""
        self.reserved -= reserved
        self.tokens += used


class Running:
    """The calls and streams of a client that are on their way."""

    def __init__(self) -> None:
        self._members: set[Stoppable] = set()
        self._empty: asyncio.Future[None] | None = None

    def add(self, member: Stoppable) -> None:
        """Take *member* in."""
        self._members.add(member)

    def discard(self, member: Stoppable) -> None:
        """Let *member* go."""
        self._members.discard(member)
        if not self._members and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def ended(self, seconds: float) -> None:
        """Wait until all have ended, or *seconds* have passed."""
        if self._members:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._empty}, timeout=seconds)

    def stop(self) -> None:
        """End all of them with ``ClientStateError``."""
        for member in list(self._members):
            member.stop()

    def clear(self) -> None:
        """Forget all of them; their loop is closed."""
        self._members.clear()


@attrs.define(eq=False)
class Call(Generic[T]):
    """A call on its way; made for one use."""

    running: Running
    gate: Gate
    lane: Lane
    retry_budget: RetryBudget
    spending: Spending
    policy: RetryPolicy
    timeouts: Timeouts
    body: bytes
    messages: int
    max_tokens: int | None
    patient: bool
    """In ``map`` and batches: throttling never ends the call."""
    renewable_key: bool
    attempt: Callable[[Permit], Awaitable[T]]
    """Makes one try."""
    keeps_permit: bool = False
    """Whether the result goes on using the permit, as a stream does, and gives it back with :meth:`end`."""
    ledger: list[Attempt] = attrs.field(factory=list)
    queued: float = 0.0
    began: float = attrs.field(factory=lambda: asyncio.get_running_loop().time())
    connect: float | None = None
    first_token: float | None = None
    _renewed: bool = False
    _held_until: float = 0.0
    _last_error: AnyFastError | None = None
    _clock: asyncio.Timeout | None = None
    _stopped: bool = False

    @property
    def deadline(self) -> float | None:
        """The loop time at which ``Timeouts.total`` runs out."""
        return None if self.timeouts.total is None else self.began + self.timeouts.total

    async def run(self) -> T:
        """Make the call.

        Raises:
            AnyFastError: with the ledger in ``.attempts``.

        """
        self.retry_budget.first_attempt()
        self.running.add(self)
        self._clock = clock = asyncio.timeout_at(self.deadline)
        try:
            async with clock:
                return await self._attempts()
        except TimeoutError:
            if not clock.expired():
                raise
        finally:
            self.running.discard(self)
        raise self._closed() if self._stopped else self.overdue()

    def _closed(self) -> ClientStateError:
        error = ClientStateError("the client was closed")
        error.attempts, error.billed = tuple(self.ledger), _worst(a.billed for a in self.ledger)
        return error

    def stop(self) -> None:
        """End the call with ``ClientStateError``, without cancelling the task that it runs in."""
        self._stopped = True
        if self._clock is not None and not self._clock.expired():
            self._clock.reschedule(asyncio.get_running_loop().time())

    def overdue(self) -> DeadlineExceeded:
        """Return the exception for ``Timeouts.total``, with what happened before."""
        last = f"; the last attempt ended with: {self._last_error}" if self._last_error is not None else ""
        if not self.ledger and self.queued == 0.0:
            last = "; the call was still queued"
        error = DeadlineExceeded(f"the call took longer than {self.timeouts.total:g} s (Timeouts.total){last}")
        error.attempts = tuple(self.ledger)
        error.billed = _worst(a.billed for a in self.ledger)
        return error

    async def _attempts(self) -> T:
        try:
            return await self._once()
        except AnyFastError as error:
            first = error
        retries = Retries(self.policy, self.retry_budget, self.patient, self.deadline)
        try:
            return await call_again(first, self._once, lambda error: self._delay(retries, error), asyncio.sleep)
        except AnyFastError as error:
            error.attempts = tuple(self.ledger)
            raise

    def _delay(self, retries: Retries, error: AnyFastError) -> float | None:
        if isinstance(error, AuthenticationError) and self.renewable_key and not self._renewed:
            self._renewed = True  # the key may just have been replaced
            return 0.0
        now = asyncio.get_running_loop().time()
        delay = retries.delay(error, now=now, held_until=self._held_until, rand=random.random())  # noqa: S311 - jitter
        if delay and self.ledger:
            self.ledger[-1] = attrs.evolve(self.ledger[-1], delay=delay)
        return delay

    async def _once(self) -> T:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        estimate = prompt_tokens(self.body, self.messages)
        tokens = self.lane.expected.tokens(estimate, self.max_tokens)
        permit = await self.gate.acquire(self.lane, tokens)
        self.queued += loop.time() - asked
        kept = False
        try:
            self.spending.admit(tokens)
            result = await self._recorded(permit)
            self.gate.succeeded(permit)
            kept = self.keeps_permit
        finally:
            if not kept:
                self.gate.release(permit)
        if not kept:
            self.ledger.append(Attempt(len(self.ledger) + 1, "ok", 200, loop.time() - permit.at, "yes"))
        return result

    async def _recorded(self, permit: Permit) -> T:
        """Make an attempt; write it down if it fails."""
        try:
            return await self.attempt(permit)
        except AnyFastError as error:
            self.spending.settle(permit.tokens, 0)
            self._failed(error, permit)
            raise
        except BaseException:
            # Ended from outside, by the deadline, by closing the client or by the caller: the request may have arrived.
            self.spending.settle(permit.tokens, 0)
            seconds = asyncio.get_running_loop().time() - permit.at
            self.ledger.append(Attempt(len(self.ledger) + 1, "cancelled", None, seconds, "maybe"))
            raise

    def _failed(self, error: AnyFastError, permit: Permit) -> None:
        self._last_error = error
        now = asyncio.get_running_loop().time()
        if error.retry_class == "throttled":
            rand = random.random()  # noqa: S311 - jitter
            self._held_until = self.gate.throttled(permit, getattr(error, "retry_after", None), rand)
        status = getattr(error, "status_code", None)
        self.ledger.append(Attempt(len(self.ledger) + 1, error.kind, status, now - permit.at, error.billed))
        error.attempts = tuple(self.ledger)

    def end(self, permit: Permit, error: AnyFastError | None, *, left: bool) -> None:
        """Give a kept permit back and write the last attempt down."""
        if permit.released:
            return
        now = asyncio.get_running_loop().time()
        self.gate.release(permit)
        number, seconds = len(self.ledger) + 1, now - permit.at
        if error is None:
            self.ledger.append(Attempt(number, "left" if left else "ok", 200, seconds, "yes"))
        else:
            status = getattr(error, "status_code", None)
            self.ledger.append(Attempt(number, error.kind, status, seconds, error.billed))

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Put what the gateway says was used in place of what was reserved."""
        prompt, output = (usage.prompt_tokens, usage.completion_tokens) if usage is not None else (None, None)
        used = permit.tokens if prompt is None and output is None else (prompt or 0) + (output or 0)
        self.lane.expected.learn(prompt_tokens(self.body, self.messages), prompt, output)
        self.gate.settle(permit, int(used))
        self.spending.settle(permit.tokens, used)

    def estimated(self, completion: ChatCompletion) -> Usage:
        """Return what a stream that was left has used, as far as it can be told from the text."""
        prompt = prompt_tokens(self.body, self.messages)
        texts = (choice.message for choice in completion.choices if choice.message is not None)
        output = sum(tokens_of(message.text + (message.reasoning_content or "")) for message in texts)
        return Usage(prompt_tokens=prompt, completion_tokens=output, total_tokens=prompt + output)

    def traced(self, completion: ChatCompletion) -> ChatCompletion:
        """Return *completion* with the trace of this call."""
        trace = Trace(
            queue=self.queued,
            connect=self.connect,
            first_token=self.first_token,
            total=asyncio.get_running_loop().time() - self.began,
            attempts=tuple(self.ledger),
        )
        return attrs.evolve(completion, trace=trace)


def _worst(billed: Iterable[Billed]) -> Billed:
    found = set(billed)
    return "yes" if "yes" in found else "maybe" if "maybe" in found else "no"
