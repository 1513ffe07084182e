"""A stream that is asked for a second time beside the first when that is late: the one with content first is read.

The call runs as any other. The second attempt is a call of its own, in a task of its own, with the same body and the
same ``Idempotency-Key``: a gateway that knows it may answer both for the price of one. It has a permit and an account
of its own, so limits and budgets count both, and it is written down beside the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from anyfast_async._call.streamed import StreamCall
from anyfast_async._core.usage import used_by
from anyfast_async._limits.reservation import Account
from anyfast_async._observers import telling
from anyfast_async.errors import AnyFastError, Attempt, ClientStateError

if TYPE_CHECKING:
    from anyfast_async._core.retry.hedging import Hedging, Unanswered
    from anyfast_async._http.exchange import Exchange
    from anyfast_async._limits.scope import Permit
    from anyfast_async._stream.receiver import Receiver
    from anyfast_async.completions import Usage
    from anyfast_async.errors import Billed
    from anyfast_async.requests import ChatRequest

_MAY_FARE_BETTER: Final = frozenset({"unsent", "stale", "refused", "throttled", "ambiguous", "cut", "slept"})
"""Classes of failures after which a second attempt that is on its way is waited for: one would be made now anyway."""
_ON_ITS_WAY: Final = Attempt(0, "on its way", None, 0.0, "maybe")
"""In place of the first attempt while it has not ended."""


@attrs.frozen(eq=False, repr=False)
class HedgeAttempt(Attempt):
    """A try that was sent beside the one before it, because that was late."""

    hedge: ClassVar[bool] = True


def _overtaken() -> AnyFastError:
    """Return what an attempt ends with when another one had content first."""
    error = AnyFastError("another attempt was quicker")
    error.kind, error.billed = "overtaken", "maybe"
    return error


class HedgedCall(StreamCall):
    """A call for a stream that may be asked for twice.

    Args:
        hedging: what is known of its scope.
        *given: as for any call.

    """

    __slots__ = (
        *("_beside", "_context", "_cost", "_hedging", "_is_hedgeable", "_is_overtaken", "_late", "_pending"),
        *("_racing", "_rival", "sent_at", "winner"),
    )

    def __init__(self, hedging: Hedging, *given: Any) -> None:
        super().__init__(*given)
        self._hedging = hedging
        self._is_hedgeable = not has_tool(self.account.request, hedging.unsafe_tools)
        self.sent_at = 0.0
        """Loop time at which the attempt in flight was sent."""
        self.winner: StreamCall = self
        """The one of the two that is read."""
        self._pending: Unanswered | None = None
        self._late: asyncio.TimerHandle | None = None
        self._context: Context | None = None
        self._rival: Rival | None = None
        """The second attempt: one for each call."""
        self._racing: asyncio.Task[Receiver | None] | None = None
        """Its task, until it was looked at what has come of it."""
        self._cost = 0.0
        """Tokens that the second attempt is taken to cost."""
        self._is_overtaken = False
        self._beside: list[Attempt] = []
        """The second attempt that has ended, until the first one is written down."""

    # -- the first attempt -------------------------------------------------------------------------------------------

    async def _once(self) -> Receiver:
        """Make an attempt, and perhaps a second one beside it."""
        try:
            receiver = await super()._once()
        except AnyFastError as error:
            won = await self._other(error)
            if won is None:
                raise
            return won
        except BaseException:
            await self._end_race(is_written=True)
            raise
        try:
            await self._end_race(is_written=receiver.permit.released)
        except BaseException:
            receiver.close()
            raise
        return receiver

    async def attempt(self, permit: Permit, asked: Exchange | None) -> Receiver:
        """Send the request; return the receiver with the first content in it."""
        self._context = copy_context()
        try:
            receiver = await super().attempt(permit, asked)
        except BaseException:
            self._known(self._loop.time() - self.sent_at if self._is_overtaken else None)
            raise
        self._known(receiver.first_content)
        return receiver

    def on_sent(self, at: float) -> None:
        """Take in that a piece of the request was sent."""
        super().on_sent(at)
        self.sent_at = at
        if not self._is_hedgeable:
            return
        hedging = self._hedging
        if self._pending is None:
            self._pending = hedging.begin(at, self._go)
        self._pending.sent_at = at
        if self._late is not None:
            self._late.cancel()
        if hedging.after is not None:
            self._late = self._loop.call_at(at + hedging.after, hedging.late, self._pending)

    def _known(self, seconds: float | None) -> None:
        """Take in when the first content came, None if it will not."""
        pending, self._pending = self._pending, None
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if pending is None:
            return
        if seconds is None:
            self._hedging.gone(pending)
        else:
            self._hedging.answered(pending, self._loop.time(), seconds)

    # -- the second one ----------------------------------------------------------------------------------------------

    def _go(self) -> bool:
        """Begin the second attempt, if there are a place and the money for it now; return whether it has begun."""
        shared, scope, throttle = self.shared, self.scope, self.scope.throttle
        now = self._loop.time()
        is_held = throttle.held_until > now or throttle.streak > 0 or throttle.ceiling is not None
        if self._rival is not None or is_held or scope.outage.since is not None:
            return False
        cost = self._hedging.afford(self.account.prompt.tokens)
        if cost is None:
            return False
        account = Account(shared.spending, scope, self.account.request, self.spec.price, None, self.spec.model)
        try:
            permit = self.spec.gate.admit(scope, 0.0 if scope.tokens is None else account.likely(), now)
        except ClientStateError:
            return False
        if permit is None:
            return False
        self._cost = cost
        self._hedging.take(cost)
        self._rival = rival = Rival(self, permit, account, self._content)
        self._racing = self._loop.create_task(rival.race(), context=self._context)
        return True

    def overtake(self, rival: Rival) -> None:
        """Take in that the second attempt has content."""
        self.winner = rival
        if self.trying_since is not None:
            self._is_overtaken = True
            self.interrupt(_overtaken(), whole=False)

    async def _other(self, error: AnyFastError) -> Receiver | None:
        """Return what the second attempt gives, after the first one ended with *error*; None: nothing."""
        racing, rival = self._racing, self._rival
        if racing is None or rival is None:
            return None
        if self.winner is self and error.retry_class not in _MAY_FARE_BETTER:
            rival.lose()
        try:
            await asyncio.wait({racing})
        except BaseException:
            await self._end_race(is_written=True)
            raise
        receiver = None if racing.cancelled() else racing.result()
        if receiver is None:
            await self._end_race(is_written=True)
            return None
        self._racing = None
        if self.ledger[-1].billed == "no":
            self._pay(0.0)
        self._hedging.won += 1
        telling.attempt_ended(self, error)
        self.ledger = rival.take_over(self.ledger)
        return receiver

    async def _end_race(self, *, is_written: bool) -> None:
        """End the second attempt, if it runs: it is not needed; *is_written*: the first one stands in the ledger."""
        racing, rival = self._racing, self._rival
        if racing is None or rival is None:
            return
        self._racing, self.winner = None, self
        rival.lose()
        if not racing.done():
            await asyncio.wait({racing})
        receiver = None if racing.cancelled() else racing.result()
        if receiver is not None:
            receiver.close()
        ended = rival.ended()
        if ended is None:
            self._hedging.give_back(self._cost)
            self._cost = 0.0
        else:
            if ended.billed == "no":
                self._pay(0.0)
            self._beside.append(ended)
            if is_written:
                self._put_beside()

    # -- the ledger, and what it costs -------------------------------------------------------------------------------

    def _done(self, permit: Permit, outcome: str, billed: Billed) -> None:
        super()._done(permit, outcome, billed)
        self._put_beside()

    def _write(self, permit: Permit, outcome: str, status: int | None, billed: Billed) -> None:
        super()._write(permit, outcome, status, billed)
        self._put_beside()

    def _put_beside(self) -> None:
        """Write the second attempt before the first: what stands last in a ledger is what the call has ended with."""
        self.ledger = (*self.ledger[:-1], *self._beside, *self.ledger[-1:])
        self._beside.clear()

    def settle(self, permit: Permit, usage: Usage | None, *, estimated: bool = False) -> None:
        """Put what the gateway says was used in place of what was reserved."""
        super().settle(permit, usage, estimated=estimated)
        self.used(usage)

    def used(self, usage: Usage | None) -> None:
        """Take in what the answer used: the other attempt is taken to have cost as much."""
        used = used_by(usage)
        self._hedging.used(None if used is None else used.tokens)
        if self._cost and used is not None:
            self._pay(used.tokens)

    def _pay(self, tokens: float) -> None:
        """Put what the attempt that is not read has cost in place of what it might."""
        self._hedging.settle(self._cost, tokens)
        self._cost = 0.0


class Rival(StreamCall):
    """The second attempt of a call.

    Args:
        first: the call.
        permit: with which it was let in.
        account: what it costs.
        content: the body of its request.

    """

    __slots__ = ("_before", "_first", "_head_start", "_is_lost", "_permit")

    def __init__(self, first: HedgedCall, permit: Permit, account: Account, content: bytes | None) -> None:
        super().__init__(first.shared, first.spec, account, None, content)
        self._first = first
        self._permit: Permit | None = permit
        self.idempotency_key = first.idempotency_key
        self.ledger = (*first.ledger, _ON_ITS_WAY)
        self._before = len(self.ledger)
        self._head_start = 0.0
        """Seconds that the first attempt was on its way before."""
        self._is_lost = False

    async def race(self) -> Receiver | None:
        """Return the receiver with the first content in it, None if the attempt failed or lost."""
        if self._is_lost:
            return None
        self.shared.in_flight.add(self)
        self.begin()
        try:
            return await self._once()
        except AnyFastError as error:
            telling.attempt_ended(self, error)
        except asyncio.CancelledError:
            if self.taken(whole=True) is None:
                raise
        except Exception as error:  # noqa: BLE001 - the caller has the first attempt: it must not pay for the second
            self._loop.call_exception_handler({"message": "a hedge failed", "exception": error})
        finally:
            self.shared.in_flight.discard(self)
            self.end()
            self._recovery = None
        return None

    def lose(self) -> None:
        """End it, because it is not needed."""
        self._is_lost = True
        self.interrupt(_overtaken(), whole=False)

    def ended(self) -> Attempt | None:
        """Return what has become of it, None if it was not sent; it does not run any more."""
        if self._permit is not None:
            self.shared.gate.give_back(self._permit)
            self._permit = None
        return self.ledger[-1] if len(self.ledger) > self._before else None

    def take_over(self, ledger: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """Be the call from here on, the attempts of which stand in *ledger*; return that with its own."""
        self.ledger = ledger + self.ledger[self._before :]
        return self.ledger

    def _at_once(self, now: float) -> Permit | None:  # noqa: ARG002 - it was admitted already
        permit, self._permit = self._permit, None
        return permit

    def ask(self) -> Exchange | None:
        """Send the request, as one of the call that it is made for."""
        self.began, self.queued = self._first.began, self._first.queued
        return super().ask()

    async def attempt(self, permit: Permit, asked: Exchange | None) -> Receiver:
        """Send the request; return the receiver with the first content in it."""
        receiver = await super().attempt(permit, asked)
        self._count_head_start()
        self._first.overtake(self)
        return receiver

    def on_sent(self, at: float) -> None:
        """Take in that a piece of the request was sent."""
        super().on_sent(at)
        self._head_start = at - self._first.sent_at

    def _count_head_start(self) -> None:
        """Have the first token counted from when the call was first sent: so long its caller has waited."""
        if self.first_token is not None:
            self.first_token += self._head_start
            self._head_start = 0.0

    def _done(self, permit: Permit, outcome: str, billed: Billed) -> None:
        self._count_head_start()
        super()._done(permit, outcome, billed)
        self._mark()

    def _write(self, permit: Permit, outcome: str, status: int | None, billed: Billed) -> None:
        super()._write(permit, outcome, status, billed)
        self._mark()

    def _mark(self) -> None:
        self.ledger = (*self.ledger[:-1], HedgeAttempt(**attrs.asdict(self.ledger[-1])))

    def settle(self, permit: Permit, usage: Usage | None, *, estimated: bool = False) -> None:
        """Put what the gateway says was used in place of what was reserved."""
        super().settle(permit, usage, estimated=estimated)
        self._first.used(usage)


def has_tool(request: ChatRequest | None, names: Iterable[str] | str) -> bool:
    """Return whether a request offers a tool of these *names*, or any where they are ``"all"``."""
    if request is None or not names:
        return False
    given = request.extra_body or {}
    lists = (request.tools, given.get("tools"), given.get("functions"))
    tools = [tool for one in lists if isinstance(one, (list, tuple)) for tool in one if isinstance(tool, Mapping)]
    if names == "all":
        return bool(tools)
    return not set(names).isdisjoint(name for tool in tools for name in _names_of(tool))


def _names_of(tool: Mapping[str, Any]) -> Iterable[str]:
    """Return what a tool may be called: a function by its name; what the gateway runs by its type, or its key."""
    function = tool.get("function")
    if isinstance(function, Mapping):
        return [str(function.get("name"))]
    return [str(tool[name]) for name in ("name", "type") if name in tool] or [*tool]
