"""What a call has met once something went wrong: whose fault it was, and whether and when it is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from anyfast_async._core.limits.refusal import Refusal
from anyfast_async._core.retry.outage import ALONE
from anyfast_async._observers import telling
from anyfast_async._retry.outage_wait import OutageWait
from anyfast_async._retry.refused_row import UNAVAILABLE, RefusedRow, weigh_page
from anyfast_async._retry.retries import call_again
from anyfast_async._retry.waits import waits
from anyfast_async.errors import AnyFastError, APIConnectionError, AuthenticationError, BudgetExceeded

if TYPE_CHECKING:
    from anyfast_async._call.call import Call
    from anyfast_async._limits.scope import Permit

T = TypeVar("T")

_WORTH_TELLING: Final = 0.05
"""Seconds by which a hold has to grow before that is told again."""

_PROMPT: Final = 0.1
"""Seconds after its admission in which a call may still be sent."""

_AWAY = frozenset({"unsent", "refused", "ambiguous", "cut"})
"""Classes of failures that a gateway which is away gives."""


class Recovery:
    """Of one *call*, from its first failure on, or from when it has to wait for a gateway that is away."""

    def __init__(self, call: Call[Any]) -> None:
        self._call = call
        self._waits = waits()
        self._retries = self._waits.retries(
            call.policy, call.shared.retry_budget, patient=call.ending is not None, deadline=call.deadline
        )
        self._renewed = False
        """Whether the key was asked for anew."""
        self._held_until = 0.0
        """Loop time until which the limiter holds."""
        self._patience: OutageWait | None = None
        self._standing: RefusedRow | None = None
        self.failure: AnyFastError | None = None
        """What the last attempt ended with."""
        self.is_excused = False
        """Whether that does not count for a row's total, because the gateway throttles or is away."""
        self.worked = 0.0
        """Of a row: seconds from admission on that count for its total."""
        self._was_admitted = False
        """Whether its turn has come already, and it is only to be asked whether a shared budget has room."""

    @property
    def patience(self) -> OutageWait:
        """What it has met of outages; for a patient call."""
        if self._patience is None:
            self._patience = OutageWait(self._call)
        return self._patience

    @property
    def goes_first(self) -> bool:
        """Whether it is admitted before all others of its scope."""
        return self._was_admitted or (self._standing is not None and self._standing.goes_first)

    # -- an attempt has failed ---------------------------------------------------------------------------------------

    def failed(self, error: AnyFastError, permit: Permit, status: int | None) -> None:
        """Weigh what an attempt ended with, *status* being that of its answer, and tell the gate."""
        call = self._call
        scope = call.scope
        if isinstance(error, AuthenticationError) and error.spoken_by != "proxy":
            error.args = (f"{error} ({call.spec.key.advice})",)  # only here is it known where the key came from
        self.failure = error
        if isinstance(error, APIConnectionError) and error.retryable and permit.at < call.shared.in_flight.woke_at:
            error.retry_class = "slept"
        if call.ending is not None:
            call.ending.weigh(scope, error)
        self._tell_gate(error, permit, status)
        self._tell_observers(error)
        self.is_excused = error.retry_class == "throttled" or (
            scope.outage.since is not None and error.retry_class in _AWAY
        )
        if self._patience is not None:
            self._patience.probing = False

    def _tell_gate(self, error: AnyFastError, permit: Permit, status: int | None) -> None:
        call = self._call
        gate, scope, rand = call.shared.gate, call.scope, self._waits.chance()
        if status == UNAVAILABLE and error.retry_class == "ambiguous":
            weigh_page(error, gate, permit, Refusal(None, rand, call.policy.first_hold))
        kind = error.retry_class
        if kind == "throttled":
            gate.answered(scope)
            asked = getattr(error, "retry_after", None)
            self._held_until = self._stands().throttled(gate, permit, asked, rand)
        elif kind in _AWAY and not self._waits.skipped:
            if call.ending is not None:  # it is patient
                self.patience.failed(reached=kind != "unsent", rand=rand)
            else:
                gate.failed(scope, call, reached=kind != "unsent", longest=call.policy.backoff[1], rand=rand)
        elif kind == "never" and error.spoken_by == "gateway":
            gate.answered(scope)
        if self._waits.skipped:
            scope.throttle.lift(asyncio.get_running_loop().time())

    def _tell_observers(self, error: AnyFastError) -> None:
        """Have told that the scope is held, or for longer than was told, or that the gateway seems to be away."""
        call, scope = self._call, self._call.scope
        now = asyncio.get_running_loop().time()
        if scope.outage.since is not None and "outage" not in scope.told:
            scope.told["outage"] = telling.held(call, "outage", "began", None, error), now
        if (left := scope.held_until - now) <= 0 or error.retry_class != "throttled":
            return
        before, since = scope.told.get("throttling", (None, now))
        told = 0.0 if before is None or before.seconds is None else since + before.seconds - now
        if left > told + max(_WORTH_TELLING, told / 4):
            state = "began" if before is None else "extended"
            hold = telling.held(call, "throttling", state, left, error)
            scope.told["throttling"] = attrs.evolve(hold, seconds=scope.held_until - since), since

    def _stands(self) -> RefusedRow:
        if self._standing is None:
            self._standing = RefusedRow(self._call.scope, self._call.policy, self._call.ending)
        return self._standing

    # -- another attempt ---------------------------------------------------------------------------------------------

    async def again(self, first: AnyFastError, attempt: Callable[[], Awaitable[T]]) -> T:
        """Go on after the first attempt ended with *first*.

        Raises:
            AnyFastError: what the last one ended with.

        """
        if isinstance(first, BudgetExceeded) and self._call.shared.spending.is_shared:
            self._was_admitted = True
            try:
                return await attempt()  # which has the store of the budget asked
            except AnyFastError as error:
                first = error.with_traceback(None)
        return await call_again(first, attempt, self._delay, self._waits.sleep)

    def _delay(self, error: AnyFastError) -> float | None:
        """Return the seconds until the next attempt, None for none, and have it told."""
        delay = self._decided(error)
        waits = None if delay is None else max(delay, self._held_until - asyncio.get_running_loop().time())
        telling.attempt_ended(self._call, error, waits)
        return delay

    def _decided(self, error: AnyFastError) -> float | None:
        call = self._call
        if isinstance(error, AuthenticationError) and call.spec.key.renewable and not self._renewed:
            self._renewed = True  # the key may just have been replaced
            call.spec.key.distrust()
            return 0.0
        if error.retry_class in ("throttled", "refused"):
            verdict = self._stands().verdict(error)
            if verdict != "goes on":
                return None if verdict == "fails" else 0.0
        now = asyncio.get_running_loop().time()
        patience, retries = self._patience, self._retries
        company = ALONE if patience is None else patience.company
        rand = self._waits.chance()
        delay = retries.delay(error, now=now, held_until=self._held_until, rand=rand, company=company)
        if delay is None and patience is not None and patience.is_open(error, retries.resends):
            return 0.0
        if delay and call.ledger:
            call.rewrite_last(delay=delay)
        return delay

    async def afforded(self, permit: Permit) -> Permit:
        """Have the store of a shared budget asked once a call was let in: one that waits for its turn reserves nothing.

        Raises:
            BudgetExceeded: the budget has no room now.

        """
        call, gate = self._call, self._call.shared.gate
        try:
            await call.account.room(patient=False)
        except BaseException:
            gate.give_back(permit)
            raise
        self._was_admitted = False
        if asyncio.get_running_loop().time() <= permit.at + _PROMPT:
            return permit
        gate.give_back(permit)  # it was for a moment that is gone
        return await call.queue(first=True)

    async def heard(self) -> None:
        """Wait until it is clear whether, and when, there is to be another attempt.

        Raises:
            AnyFastError: there is to be none.

        """
        if self._patience is not None:
            await self._patience.heard()
        if self._standing is not None:
            await self._standing.turn()
