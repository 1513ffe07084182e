"""Asks a store for what the calls of one scope need, and keeps the lease alive while some are in flight.

There is a task as long as there is something to ask, and a timer as long as something is held; with neither there is
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Literal, Protocol

from anyfast_async._core.limits.shared_balance import SharedBalance
from anyfast_async._core.limits.shared_permit import AT_ONCE, BEAT
from anyfast_async._limits.shared_scope import SharedScope

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyfast_async._core.limits.shared_budget import Draw, DrawReply
    from anyfast_async._core.limits.shared_quota import Question, StoreReply

SOON: Final = 1.0
"""Seconds after which the store is told what is owed, if there is nothing to ask; and after which a store that was away
is tried again."""
PATIENCE: Final = 2.0
"""Seconds in which a store must answer. A permit is good for less than one."""


class Store(Protocol):
    """Keeps one quota for many clients."""

    async def ask(self, scope: str, question: Question) -> StoreReply:
        """Answer a question about *scope*, at once and as a whole."""
        ...

    async def news(self, scope: str, client: str, seconds: float) -> None:
        """Return when *client* has been given places, or after so many seconds."""

    async def aclose(self) -> None:
        """Let go of connections and files."""


class BudgetStore(Protocol):
    """Keeps budgets for many clients."""

    async def draw(self, budget: str, draw: Draw) -> DrawReply:
        """Answer a question about *budget*, at once and as a whole."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and files."""


class Asking:
    """Asks on behalf of one scope.

    Args:
        store: that is asked.
        name: of the scope there.
        scope: whose calls wait.
        look: has the gate look at the scope again.
        on_error: what calls do while the store is away.
        share: of the limits that they may use then, None: one of as many as there were; and if nobody knows that.
        report: is told that the store is away, or back (None).
        refuse: ends the calls that wait, where they fail while the store is away.

    """

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        store: Store,
        name: str,
        scope: SharedScope,
        look: Callable[[], None],
        on_error: Literal["local_share", "wait", "fail"],
        share: tuple[float | None, float],
        report: Callable[[Exception | None, SharedBalance], None],
        refuse: Callable[[Exception | None], None],
    ) -> None:
        self._store = store
        self._name = name
        self._scope = scope
        self._balance: SharedBalance = scope.balance
        self._look = look
        self._on_error = on_error
        self._share = share
        self._report = report
        self._refuse = refuse
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Rings when something is due, or before: what is due is put off with each call, and a timer is not cheap."""
        self._due: float | None = None
        """When the store has to be told or asked something, if there is nothing else to say; None: never, or now."""
        self._until: float | None = None
        """When a question that is out must be answered."""
        self._is_late = False
        """Whether it was given up."""
        self._rings_at = 0.0
        """When the timer does; uvloop's do not always tell."""
        self._listening: asyncio.Task[None] | None = None
        self._is_slow = False
        """Whether only a sign of life is due."""
        self._again = False
        self._why: Exception | None = None
        """The store is away."""
        self._is_due = False
        """Whether it is time for a sign of life."""
        self._closed = False
        scope.ask = self.ask

    @property
    def _is_idle(self) -> bool:
        return not self._balance.used and not self._scope.queued

    @property
    def _says_something(self) -> bool:
        return self._is_idle or self._balance.owes or self._balance.state != "near"

    def ask(self) -> None:
        """Have the store asked, if there is anything to ask."""
        if self._closed:
            return
        if self._task is not None:
            self._again = True
            return
        balance = self._balance
        if balance.state == "away" and self._due is not None:
            if self._on_error == "fail" and self._scope.queued:
                asyncio.get_running_loop().call_soon(self._refuse, self._why)
            return
        loop = asyncio.get_running_loop()
        if balance.state != "near" or self._wants_something(loop.time()):
            self._begin(loop)
        elif self._due is None or (self._is_slow and self._says_something):
            self._set_timer(loop)

    def _wants_something(self, now: float) -> bool:
        scope, balance = self._scope, self._balance
        if scope.queued and balance.lacks_permits:
            return True
        waiting = scope.first_ones(1 + len(balance.permits)) if scope.queued else ()
        return balance.plan(now, waiting, scope.queued) is not None

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = None
        self._task = loop.create_task(self._run(loop), name="anyfast: store of limits")

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that the store is told what it has to know, sooner or later."""
        balance = self._balance
        if self._closed or (self._is_idle and not balance.held and not balance.owes and balance.state == "near"):
            self._due = None
            self._stop_timer()
            return
        self._is_slow = not self._says_something
        now, seconds = loop.time(), SOON
        if self._is_slow:
            # With nothing in flight nothing is lost if it is late: half of a lease is soon enough.
            seconds = max(SOON, balance.renew - now + (0 if balance.used else BEAT))
        self._due = now + seconds
        self._ring_by(loop, self._due)

    def _ring_by(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._timer is not None:
            if self._rings_at <= at:
                return
            self._timer.cancel()
        self._rings_at = at
        self._timer = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        at = self._due if self._until is None else self._until
        if at is None:
            return
        if at > loop.time():
            self._ring_by(loop, at)
        elif self._until is None:
            self._is_due = True
            self._begin(loop)
        elif self._task is not None:
            self._is_late = True
            self._task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        balance, now = self._balance, loop.time()
        try:
            while not self._closed:
                self._again = False
                question = self._next(now)
                if question is None or not await self._put(loop, question, now):
                    break
                self._look()
                now = loop.time()
                if balance.opens > now and balance.told:
                    await asyncio.sleep(balance.opens - now)
                    now = loop.time()
        finally:
            self._task = None
            if not self._closed:
                self._set_timer(loop)
                self._listen()
        if self._again:
            self.ask()

    def _next(self, now: float) -> Question | None:
        balance, scope = self._balance, self._scope
        is_due, self._is_due = self._is_due, False
        if balance.state != "near":
            return balance.hello(now)
        if is_due:
            balance.reconsider(now)
        question = balance.question(now, scope.first_ones(AT_ONCE) if scope.queued else (), scope.queued)
        if question is None and is_due:
            return balance.news(now, waits=scope.queued > 0, leaving=self._is_idle)
        return question

    async def _put(self, loop: asyncio.AbstractEventLoop, question: Question, sent: float) -> bool:
        """Ask at loop time *sent*; return whether there was an answer."""
        balance = self._balance
        state = balance.state
        why: Exception = TimeoutError()
        reply = None
        self._until = sent + PATIENCE
        self._ring_by(loop, self._until)
        try:
            reply = await self._store.ask(self._name, question)
        except asyncio.CancelledError:
            if not self._is_late or self._task is None or self._task.cancelling() > 1:
                raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, calls must not hang for it
            why = error
        finally:
            self._until = None
            if self._is_late and self._task is not None:
                self._is_late = False
                self._task.uncancel()
        if reply is None:
            self._lose(why, sent, loop.time())
            return False
        balance.take_in(sent, loop.time(), question, reply)
        if balance.state == "near" and state != "near":
            self._report(None, balance)
        return True

    def _lose(self, why: Exception, sent: float, now: float) -> None:
        """Take in that the store is away."""
        balance = self._balance
        balance.lose(now, sent, *self._share, alone=self._on_error == "local_share")
        self._why = why
        if balance.alone or self._on_error != "local_share":
            self._report(why, balance)
        if balance.alone:
            self._look()
        elif self._on_error == "fail":
            self._refuse(why)

    def _listen(self) -> None:
        """Hear of places, while calls wait for some."""
        if self._balance.in_line and self._scope.queued and self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._hear(), name="anyfast: news of places")

    async def _hear(self) -> None:
        balance, loop = self._balance, asyncio.get_running_loop()
        seconds = BEAT if balance.expires is None else min(BEAT, max(0.05, balance.expires - loop.time() + 0.01))
        try:
            await self._store.news(self._name, balance.client, seconds)
        except Exception:  # noqa: BLE001 - the question that follows says what is wrong
            await asyncio.sleep(SOON)
        finally:
            self._listening = None
        balance.in_line = False
        self.ask()

    def end(self) -> None:
        """Stop at once, as when the loop is gone."""
        self._closed = True
        self._stop_timer()

    async def aclose(self) -> None:
        """Give everything back."""
        self.end()
        tasks = [task for task in (self._task, self._listening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._balance.state == "near" and self._balance.contact is not None:
            leaves = self._balance.news(asyncio.get_running_loop().time(), leaving=True)
            with contextlib.suppress(Exception):  # then its lease ends by itself
                async with asyncio.timeout(PATIENCE):
                    await self._store.ask(self._name, leaves)
