"""One logical call: total( retry( gate( attempt ) ) ), and the ledger of its attempts.

A call is made of a spec, runs once, and is the one object that others see of it while it is on its way: the client that
closes, the map that ends, the looks at the clocks. What one try consists of stands in its subclasses (``_call/unary``,
``_call/streamed``); what happens once a try has failed, in ``_retry/recovery``.
"""

from __future__ import annotations

import asyncio
import copy
from abc import abstractmethod
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs

from anyfast_async._clocks.clocks import Interruptible, Wait, late
from anyfast_async._core.json.codec import maker, put
from anyfast_async._core.usage import used_by, worst
from anyfast_async._http.request_headers import new_idempotency_key
from anyfast_async._observers import telling
from anyfast_async._observers.log import DEBUG, KNOWN
from anyfast_async.completions import ChatCompletion, Trace, Usage
from anyfast_async.errors import AnyFastError, APIConnectionError, Attempt, Billed, ClientStateError, DeadlineExceeded

if TYPE_CHECKING:
    from anyfast_async._call.spec import Spec
    from anyfast_async._client.shared import Shared
    from anyfast_async._core.errors.request_id import Hide
    from anyfast_async._http.exchange import Exchange
    from anyfast_async._limits.reservation import Account
    from anyfast_async._limits.scope import Permit, Scope
    from anyfast_async._map.early_end import Ending
    from anyfast_async._observers.telling import Story
    from anyfast_async._retry.recovery import Recovery
    from anyfast_async.policies import RetryPolicy

T = TypeVar("T")
E = TypeVar("E", bound=AnyFastError)


class Call(Interruptible, Generic[T]):
    """A call on its way; made for one use.

    All times are of the loop's clock; all lengths of time are in seconds.

    Args:
        shared: what it has in common with the other calls of its client.
        spec: what is asked, under which policies.
        account: what it costs.
        ending: in ``map`` and batches: what ends the run that the call is for. Neither throttling nor an outage ends
            such a call, and its total stands still while it waits for those; None for a single one.
        content: the body of its requests, None for none.

    """

    __slots__ = (
        *("__weakref__", "_content", "_is_out", "_streaming", "_tried_at", "_recovery", "account", "began", "connect"),
        *("ending", "first_token", "head", "idempotency_key", "ledger", "queued", "scope", "sent", "shared", "spec"),
        *("status", "story", "took", "trying_since"),
    )

    waits_for: ClassVar[Wait] = "response"
    """The field of ``Timeouts`` that bounds an attempt."""
    keeps_permit: ClassVar[bool] = False
    """Whether the result goes on using the permit, as a stream does, and gives it back when it ends."""
    streams: ClassVar[bool] = False
    """Whether its answers are streamed on the wire."""

    def __init__(
        self,
        shared: Shared,
        spec: Spec,
        account: Account,
        ending: Ending | None = None,
        content: bytes | None = None,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self.shared = shared
        self.spec = spec
        self.scope: Scope = spec.scope
        self.account = account
        self.ending = ending
        self._content = content
        self.idempotency_key: str | None = None
        """The same on all of its attempts."""
        self.ledger: tuple[Attempt, ...] = ()
        """Its attempts that have ended, in their order."""
        self.began = self._loop.time()
        self.queued = 0.0
        """How long its attempts waited for admission, all together."""
        self.connect: float | None = None
        """How long the last attempt took to connect, None if it found a connection."""
        self.first_token: float | None = None
        """Of a stream: how long after it was sent the first content came."""
        self.took: float | None = None
        """How long it took, once it has succeeded."""
        self.status: int | None = None
        """The status of the answer to the last attempt, once its head is there."""
        self.head: tuple[Mapping[str, str], str, Hide] | None = None
        """The last head that was looked at: fields, nothing, and what takes the key out of them."""
        self.story: Story | None = None
        """What observers were told of it."""
        self.sent = False
        """Whether any request of it was."""
        self.trying_since: float | None = None
        """When the attempt in flight was admitted; None while the call waits."""
        self._tried_at = 0.0
        """When the last one was."""
        self._is_out = False
        """Whether anything of its request was sent."""
        self._streaming = False
        """Whether its answer is read by somebody else already, as that of a stream is."""
        self._recovery: Recovery | None = None
        """What went wrong so far."""

    @property
    def policy(self) -> RetryPolicy:
        """Whether it is tried again."""
        return self.spec.policy

    @property
    def deadline(self) -> float | None:
        """When ``Timeouts.total`` runs out; None for a row: its clock stands still at times."""
        total = self.spec.timeouts.total
        return None if total is None or self.ending is not None else self.began + total

    @property
    def recovery(self) -> Recovery:
        """What it has met."""
        if self._recovery is None:
            from anyfast_async._retry.recovery import Recovery  # noqa: PLC0415 - loaded by `_client/shared`

            self._recovery = Recovery(self)
        return self._recovery

    @abstractmethod
    async def attempt(self, permit: Permit, asked: Exchange | None) -> T:
        """Go on where an answer is not the usual one yet: *asked* is what :meth:`ask` gave.

        Raises:
            AnyFastError: it failed.

        """

    def told(self, result: T) -> T:
        """Return the result of the call as it is given out."""
        return result

    # -- the whole ---------------------------------------------------------------------------------------------------

    async def run(self) -> T:
        """Make the call.

        Raises:
            AnyFastError: with the ledger in ``.attempts``.

        """
        shared = self.shared
        if shared.closed or shared.loop is not self._loop:
            await shared.enter()
        shared.retry_budget.uncounted += 1
        shared.in_flight.add(self)
        self.begin()
        over: AnyFastError | None = None
        try:
            if self.spec.timeouts.total is not None and self.ending is None:
                self.run_total(self.spec.timeouts.total, self.began)
            try:
                return await self._once()
            except AnyFastError as error:
                again = self.recovery.again(error.with_traceback(None), self._once)
            try:
                return await again
            except AnyFastError as error:
                raise self._told(error).with_traceback(None) from None  # frames below hold the error itself
        except BaseException as found:
            over = self.taken(whole=True) if isinstance(found, asyncio.CancelledError) else None
            if over is None:
                telling.over(self, None, found)
                raise
        finally:
            shared.in_flight.discard(self)
            self.end()
            self._recovery = None  # which refers back, as does the frame of who raises what it holds
        try:
            over.billed = "no"
            telling.over(self, None, self._told(over))
            raise over
        finally:
            del over  # it holds this frame from now on

    async def _once(self) -> T:
        """Make an attempt when the gate lets it."""
        shared = self.shared
        came = self.began if self._recovery is None else self._loop.time()
        permit = self._at_once(came)
        if permit is None:
            permit = await (self.queue() if self._recovery is None and self.ending is None else self._let_in())
        self.queued += permit.at - came
        if self.ending is not None:
            self._work_on(permit)
        is_kept = False
        try:
            self.account.goes_out(shared.gate, permit)
            self.trying_since = self._tried_at = permit.at
            self._is_out, self.status, exchange = False, None, None
            try:
                exchange = self.ask()
                if exchange is not None and exchange.in_one:
                    await exchange.begun
                result = self._usual(exchange)
                if result is None:
                    result = await self.attempt(permit, exchange)
            except BaseException as error:
                failure = self._failed(error, permit, exchange)
                if failure is None:
                    raise
            else:
                is_kept = self.keeps_permit
                return self._succeeded(permit, result)
            finally:
                if self._error is not None:
                    self.forget(whole=False)
                self._limit = self.trying_since = None
                self.sent = self.sent or self._is_out
        finally:
            if not is_kept:
                shared.gate.release(permit)
        # The frames below hold what the server sent, which may name the key.
        raise failure.with_traceback(None)

    def _usual(self, exchange: Exchange | None) -> T | None:
        """Return the answer if all of it is there and as it should be, None if there is more to do for it."""
        spec = self.spec
        if exchange is None or exchange.whole is None or (spec.hooks is not None and spec.hooks.head):
            return None
        self.connect, self.status = None, exchange.status
        return spec.endpoint.usual(exchange.status, exchange.headers, exchange.whole)

    def _succeeded(self, permit: Permit, result: T) -> T:
        """Take in what came of an attempt; return it as it is given out."""
        spec = self.spec
        self._streaming = self.keeps_permit
        if not self.keeps_permit:
            self._done(permit, "ok", "yes")
            result = self.told(result)
            if spec.endpoint.usage_of is not None:
                self.settle(permit, spec.endpoint.usage_of(result))
        self.shared.gate.succeeded(permit)
        if spec.hooks is not None or self._recovery is not None or KNOWN(DEBUG) is not False:
            telling.succeeded(self, result)
        return result

    # -- admission ---------------------------------------------------------------------------------------------------

    def _at_once(self, now: float) -> Permit | None:
        """Return a permit, None if anything has to be waited for."""
        scope = self.scope
        if self.ending is not None:
            self._pause(now)
            if self.shared.spending.budget is not None or scope.outage.since is not None:
                return None  # it waits for room in the budget, or for a gateway that is away
        if self._recovery is not None:
            return None
        return self.spec.gate.admit(scope, 0.0 if scope.tokens is None else self.account.likely(), now)

    def queue(self, *, first: bool = False) -> Coroutine[Any, Any, Permit]:
        """Wait for admission."""
        scope, counts = self.scope, self.ending is None and not first
        estimate, tokens = None if scope.tokens is None else self.account.likely, self.account.likely()
        within = None if (deadline := self.deadline) is None else deadline - self._loop.time()
        return self.spec.gate.queue(scope, tokens, estimate, first=first, counts=counts, within=within)

    async def admitted(self, now: float) -> Permit:
        """Wait for admission, if there is anything to wait for."""
        scope, first = self.scope, self._recovery is not None and self._recovery.goes_first
        if not first:
            permit = self.spec.gate.admit(scope, 0.0 if scope.tokens is None else self.account.likely(), now)
            if permit is not None:
                return permit
        return await self.queue(first=first)

    async def _let_in(self) -> Permit:
        """Wait until it is clear that there is to be an attempt, and for all that it needs."""
        account, scope, is_row = self.account, self.scope, self.ending is not None
        if self._recovery is not None:
            await self._recovery.heard()
        if is_row and self.shared.spending.budget is not None:
            await account.room()
        try:
            if is_row and scope.outage.since is not None:
                return await self.recovery.patience.admitted(None)
            permit = await self.admitted(self._loop.time())
            if is_row and scope.outage.since is not None:
                permit = await self.recovery.patience.admitted(permit)
            elif not is_row and self.shared.spending.is_shared:
                permit = await self.recovery.afforded(permit)
        except BaseException:
            account.cancel()
            raise
        return permit

    def _pause(self, now: float) -> None:
        """Stop a row's total until it is admitted again; refuse it, if its map has ended meanwhile.

        Raises:
            AnyFastError: what ended the map, or what the row has met before.

        """
        refused = self.ending.refused(self.scope) if self.ending is not None else None
        if refused is not None:
            raise self._left(refused)
        if self.spec.timeouts.total is not None and self.ledger:
            if not self.recovery.is_excused and self.scope.outage.since is None:
                self.recovery.worked += now - self._tried_at
            self.run_total(None, now)

    def _work_on(self, permit: Permit) -> None:
        """Have a row's total run on from its admission."""
        if self.spec.timeouts.total is not None:
            worked = 0.0 if self._recovery is None else self._recovery.worked
            self.run_total(self.spec.timeouts.total, permit.at - worked)

    # -- ended by others ---------------------------------------------------------------------------------------------

    def out_of_time(self, wait: Wait | None) -> None:
        """Hear that a clock has run out."""
        limit = getattr(self.spec.timeouts, self.waits_for)
        if wait is None:
            self.interrupt(self.overdue())
        else:
            self.interrupt(late(wait, limit), whole=False)

    def stop(self) -> None:
        """End the call with ``ClientStateError``, without cancelling the task that it runs in."""
        self.interrupt(ClientStateError("the client was closed"))

    def leave(self, error: AnyFastError) -> None:
        """End the call with *error* if it waits; an attempt in flight is finished, because it is paid."""
        if self.trying_since is None:
            self.interrupt(self._left(error))

    def _left(self, error: AnyFastError) -> AnyFastError:
        """Return *error* for this call alone, or what it has met if something of it may be billed."""
        failure = None if self._recovery is None else self._recovery.failure
        if failure is not None and worst(a.billed for a in self.ledger) != "no":
            return failure
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        return own

    def woke(self, at: float) -> None:
        """Make an attempt from before a sleep again: its connection may be dead without a sign."""
        if self.trying_since is not None and self.trying_since < at:
            error = APIConnectionError("no answer after the process had slept")
            error.retry_class = "slept"
            self.interrupt(error, whole=False)

    def overdue(self) -> DeadlineExceeded:
        """Return the exception for ``Timeouts.total``, with what happened before."""
        failure = None if self._recovery is None else self._recovery.failure
        last = f"; the last attempt ended with: {failure}" if failure is not None else ""
        if self._streaming:
            last = "; the answer had begun"
        elif not self.ledger and self.trying_since is None:
            last = "; the call was still queued"
        error = DeadlineExceeded(f"the call took longer than {self.spec.timeouts.total:g} s (Timeouts.total){last}")
        error.billed = "no"
        return self._told(error)

    # -- what attempts are made of -----------------------------------------------------------------------------------

    def ask(self) -> Exchange | None:
        """Send the request on a connection that waits, None if there is none; :meth:`answered` goes on from there."""
        spec = self.spec
        if self.idempotency_key is None and self._content is not None:
            self.idempotency_key = new_idempotency_key()
        route = spec.route if spec.hooks is None else telling.starts(self)
        transport, secret, in_one = self.shared.transport, spec.key.fixed, not self.streams
        return transport.at_once(route, secret, self._content, self.idempotency_key, self, in_one)

    async def answered(self, asked: Exchange | None) -> Exchange:
        """Send the request if it was not *asked* yet; return when the head of the answer is there, and taken in.

        Raises:
            AnyFastError: there is no answer, or it came before the request was sent.

        """
        spec, transport = self.spec, self.shared.transport
        if asked is None:
            route = spec.route if self.story is None else self.story.route
            sending = route, spec.key, self._content, self.idempotency_key, self
            asked = await transport.connected(*sending, spec.timeouts.connect, not self.streams)
        exchange = await transport.headed(asked)
        self.connect, self.status = exchange.connect_seconds, exchange.status
        self.head = exchange.headers, "", exchange.hide
        if spec.hooks is not None:
            spec.hooks.tell(spec.hooks.head, exchange.status, exchange.headers, exchange.hide)
        return exchange

    def on_sent(self, at: float) -> None:
        """Take in that a piece of the request was sent: the clock of the attempt starts, or starts again."""
        self._is_out = True
        self.wait(self.waits_for, getattr(self.spec.timeouts, self.waits_for), at)

    def settle(self, permit: Permit, usage: Usage | None, *, estimated: bool = False) -> None:
        """Put what the gateway says was used in place of what was reserved.

        *estimated*: it is not the gateway that says so, as for a stream that was left.
        """
        used = used_by(usage)
        if permit.taken is not None and used is not None:
            self.shared.gate.used(permit, used)
        if permit.scope.is_timed:
            permit.scope.answered(permit, used)
        now = 0.0 if self.account.pending is None else self._loop.time()
        self.account.answered(now, None if estimated else used)

    # -- the ledger --------------------------------------------------------------------------------------------------

    def _done(self, permit: Permit, outcome: str, billed: Billed) -> None:
        now = self._loop.time()
        self.took = now - self.began
        seconds = now - permit.at
        self.ledger += (maker(Attempt)(len(self.ledger) + 1, outcome, 200, seconds, billed, 0.0),)
        # From a stream's head on it is plain that it was let through.
        if (first := seconds if self.first_token is None else self.first_token) < self.scope.quickest:
            self.scope.quickest = first
        self.shared.phases.add(self.queued, self.connect, self.first_token, self.took)

    def _failed(self, found: BaseException, permit: Permit, asked: Exchange | None) -> AnyFastError | None:
        """Write down an attempt that *found* ended; return our error for it, None if somebody else ended the call."""
        if asked is not None:
            asked.close()  # which does nothing if its answer has ended
        error = found if isinstance(found, AnyFastError) else None
        if isinstance(found, asyncio.CancelledError):
            error = self.taken(whole=False)
        if error is None:
            # By the deadline, by closing the client or by the caller: if it was sent, it may have arrived.
            billed: Billed = "maybe" if self._is_out else "no"
            self._count(permit, billed, sent=self._is_out)
            self._write(permit, "cancelled", self.status, billed)
            telling.attempt_ended(self, found)
            return None
        status = getattr(error, "status_code", None) or self.status
        self.recovery.failed(error, permit, status)
        sent = self._is_out or self.status is not None or error.billed != "no"
        self._count(permit, error.billed, sent=sent)
        self._write(permit, error.kind, status, error.billed)
        error.attempts = self.ledger
        return error

    def _count(self, permit: Permit, billed: Billed, *, sent: bool) -> None:
        """Count what an attempt that has ended without an answer may have used."""
        now = self._loop.time()
        if billed == "no":
            self.shared.gate.settle(permit, 0)
            self.account.refused(now, sent=sent, unbilled=all(attempt.billed == "no" for attempt in self.ledger))
        else:
            self.shared.gate.maybe_billed += 1
            self.account.unknown(now)

    def _write(self, permit: Permit, outcome: str, status: int | None, billed: Billed) -> None:
        seconds = self._loop.time() - permit.at
        self.ledger += (Attempt(len(self.ledger) + 1, outcome, status, seconds, billed),)

    def rewrite_last(self, **changes: Any) -> None:
        """Change what is written of the last attempt: more is known of it by now."""
        self.ledger = (*self.ledger[:-1], attrs.evolve(self.ledger[-1], **changes))

    def _told(self, error: E) -> E:
        """Return *error* with what all attempts say."""
        error.attempts = self.ledger
        error.billed = worst((error.billed, *(attempt.billed for attempt in self.ledger)))
        return error

    def traced(self, result: ChatCompletion) -> ChatCompletion:
        """Return the completion *result* with the trace of this call."""
        trace = maker(Trace)(
            self.queued,
            self.connect,
            self.first_token,
            self._loop.time() - self.began if self.took is None else self.took,
            self.ledger,
            result.trace.ignored if result.trace is not None else 0,
        )
        put(result, "trace", trace)
        return result
