"""What a client has spent and reserved of a budget that it shares, through a store.

It draws an amount before it sends what that may cost, for the calls that wait and for as many more as it made within
the last second; out of what is drawn calls go without a question. So a killed process has drawn a second's worth of
calls at most, beside what is in flight, and that stays spent: nobody can tell what of it was billed.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from anyfast_async._core.limits.budget_amounts import NANO, NOTHING, Amounts, fits, least, minus, most, plus, shown
from anyfast_async._core.limits.shared_budget import Draw, DrawReply
from anyfast_async._core.limits.shared_permit import AT_ONCE, BEAT, MICRO, PAUSE
from anyfast_async._limits.budget import Earlier, Need, Reserved, RowBudget, Spending
from anyfast_async._limits.shared_asking import PATIENCE, SOON, BudgetStore
from anyfast_async._limits.shared_limits import store_of
from anyfast_async._values.store_url import StoreURL
from anyfast_async.errors import BudgetExceeded, ConfigurationError, StoreError, escaped

if TYPE_CHECKING:
    from anyfast_async.policies import Budget, Limits
    from anyfast_async.prices import Price, Prices

RENAMED: Final = 1800.0
"""Seconds of silence after which a client takes another name: a store forgets the old one some time later."""
MOST: Final = 9_000_000
"""US dollars of a budget that is shared: billionths of more do not fit into the numbers of every store."""
_PART: Final = 4
"""Nobody draws ahead more than its part of this part of what is left."""
_MILLION: Final = 1_000_000


class SharedSpending(Spending):
    """What a client has spent and reserved of a budget that has a name.

    Args:
        budget: which, and what all may spend together.
        prices: what tokens cost.
        limits: say where it is kept, and what happens while that is away.

    """

    is_shared: ClassVar[bool] = True

    def __init__(self, budget: Budget, prices: Prices | None, limits: Limits) -> None:
        super().__init__(budget, prices)
        self._name: str = escaped(budget.name or "", 60)
        name = (budget.name or "").encode("utf-8", "surrogatepass")
        self._key: str = "budget:" + sha256(b"anyfast-async budget 1\n" + name).hexdigest()[:32]
        if limits.store is None:
            message = f"Budget(name={self._name!r}) is kept in a store: give Limits(store=...)"
            raise ConfigurationError(message)
        if (budget.usd or 0) > MOST:
            message = f"Budget.usd must be a number up to {MOST:,} where it has a name, not {budget.usd!r}"
            raise ConfigurationError(message)
        self._store: BudgetStore = store_of(limits.store)  # type: ignore[assignment]  # looked at here
        if not callable(getattr(self._store, "draw", None)):
            message = f"Budget(name={self._name!r}) needs a store with the method draw(), see anyfast_async.stores"
            raise ConfigurationError(message)
        self._is_own = isinstance(limits.store, StoreURL | Path)
        self._limits = limits
        self._whole: Amounts = (
            -1 if budget.tokens is None else budget.tokens,
            -1 if budget.usd is None else math.floor(budget.usd * NANO),
            -1 if budget.requests is None else budget.requests,
        )
        self._granted: Amounts = NOTHING
        """What was drawn in all, less what was given back."""
        self._base: Amounts = NOTHING
        """Of it: what is not in what the store knows under the client's name."""
        self._told: Amounts = NOTHING
        """Of it: what the store is known to have heard of, under any name."""
        self._origin: Amounts = NOTHING
        """Of it: what was drawn by a parent process."""
        self._client: str = secrets.token_hex(8)
        self._number = self._born = 0
        self._left: Amounts = self._whole
        """What nobody had drawn when the store was asked last."""
        self._others = 0
        self._outstanding: Amounts = NOTHING
        self._is_short = False
        """Whether others need what is given back."""
        self._opens = 0.0
        self._contact: float | None = None
        """When the store answered last; ``_heard``: by a clock that no loop has to itself."""
        self._heard = 0.0
        self._away: Exception | None = None
        self._lost = 0.0
        """When it was first seen to be away."""
        self._has_said = self._closed = False
        self._in_flight = 0
        self._was_spent: Amounts = NOTHING
        self._asked = 0.0
        """When the store was asked last; what was spent by then."""
        self._is_listed = False
        """Whether the store counts it among those that may give something back."""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._process = os.getpid()

    # -- what is there -----------------------------------------------------------------------------------------------

    def charge(self, file: Path, earlier: Callable[[], Earlier]) -> None:
        """Count nothing: the store knows what earlier runs have spent."""

    def left(self, price: Price | None) -> float:
        """Return the tokens that are not spent, by all; of a budget in money, as many as *price* buys."""
        tokens, nanos, _ = (max(0, rest) + spare for rest, spare in zip(self._left, self._spare(), strict=True))
        found = math.inf if self._whole[0] < 0 else float(tokens)
        if self._whole[1] >= 0 and price is not None and price.completion > 0:
            found = min(found, nanos / NANO / price.completion * _MILLION)
        return found if found < math.inf else 0.0

    def _amounts(self, tokens: float, cost: float, requests: int) -> Amounts:
        """Return whole numbers, none for what is not limited; what is given back need not add up to the last bit."""
        whole = self._whole
        return (
            0 if whole[0] < 0 else math.ceil(tokens - 1e-6),
            0 if whole[1] < 0 else math.ceil(cost * NANO - 0.01),
            0 if whole[2] < 0 else requests,
        )

    def _spent_for_certain(self) -> Amounts:
        return self._amounts(self.tokens + self.assumed, self.cost + self.cost_assumed, self.requests)

    def _used(self) -> Amounts:
        tokens, cost = self.tokens + self.assumed + self.reserved, self.cost + self.cost_assumed + self.cost_reserved
        return self._amounts(tokens, cost, self.requests)

    def _spare(self) -> Amounts:
        return minus(self._granted, self._used())

    def _needs(self, need: Need) -> Amounts:
        return self._amounts(need.tokens, need.cost, 1)

    def _now(self, need: Need) -> Reserved | None:
        return self._reserve(need) if fits(self._needs(need), self._spare()) else None

    def admit(self, need: Need = Need()) -> Reserved:  # noqa: B008 - a tuple
        """Reserve what one request needs of what is drawn.

        Raises:
            BudgetExceeded: that is not enough, which says nothing of the budget; :meth:`room` has the store asked.

        """
        found = self._now(need) if not self._waiting else None
        if found is None:
            message = f"the store of the budget {self._name!r} has to be asked first"
            raise BudgetExceeded(message)
        return found

    def _reserve(self, need: Need) -> Reserved:
        self._in_flight += 1
        return super()._reserve(need)

    def _free(self, reserved: Reserved | None) -> None:
        if reserved is not None and reserved.kept:
            self._in_flight = max(0, self._in_flight - 1)
        super()._free(reserved)
        if not self._in_flight and self._is_listed and self._task is None:
            with suppress(RuntimeError):  # a call that ends with its loop: then its lease ends, too
                self._set_timer()

    def _serve(self) -> None:
        super()._serve()
        if self._waiting and self._task is None and self._away is None:
            row = self._waiting[0]
            if not row.granted.done() and fits(self._needs(row.need()), plus(self._left, self._spare())):
                self._ask()

    def _line_up(self, row: RowBudget) -> None:
        """Have it asked for; who waits for nobody goes before those that do."""
        place = len(self._waiting) if row.patient else sum(not one.patient for one in self._waiting)
        self._waiting.insert(place, row)
        if self._away is None or self._timer is None:
            self._ask()
        elif self._limits.on_store_error == "fail":
            asyncio.get_running_loop().call_soon(self._refuse_all)

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self._task is None and not self._closed:
            self._stop_timer()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="anyfast: store of a budget")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        """See to it that those who wait are asked for again, and that the store hears of what is in flight."""
        self._stop_timer()
        loop = asyncio.get_running_loop()
        if self._waiting:
            seconds = self._opens - loop.time() if self._opens > loop.time() else SOON
        elif self._in_flight:
            seconds = SOON if self._is_short else BEAT
        elif self._is_listed:
            seconds = SOON
        else:
            return
        if not self._closed:
            self._timer = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._ask()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        is_due = True
        try:
            while not self._closed and (is_due or self._waiting):
                is_due = False
                draw = self._question(loop.time())
                reply = await self._put(draw)
                if reply is None:
                    break
                forgot = draw.born not in {0, reply.born}
                self._take_in(draw, reply, loop.time())
                self._serve()
                if forgot:
                    is_due = True
                elif reply.opens or (any(draw.want) and not any(reply.granted) and not self._refuse_first()):
                    break
        finally:
            self._task = None
            if not self._closed:
                self._set_timer()

    def _question(self, now: float) -> Draw:
        """Return what to ask; gives back what is not needed."""
        if self._contact is not None and self._away is None and now - self._contact > RENAMED:
            self._client, self._base = secrets.token_hex(8), self._told
        spent, used = self._spent_for_certain(), self._used()
        self._granted = most(self._granted, used)  # an answer may have taken more than anybody could tell
        ahead, elapsed = minus(spent, self._was_spent), max(1.0, now - self._asked)
        self._was_spent, self._asked = spent, now
        waiting = [row for row in self._waiting if not row.granted.done()]
        target = first = NOTHING
        for row in islice(waiting, AT_ONCE):
            target = plus(target, needs := self._needs(row.need()))
            first = needs if row is waiting[0] else first
        if (waiting or self._in_flight) and not self._is_short:
            clients = 1 + self._others
            tokens, nanos, requests = (
                min(max(0, int(amount / elapsed)), max(0, left) // (_PART * clients))
                for amount, left in zip(ahead, self._left, strict=True)
            )
            target = plus(target, (tokens, nanos, requests))
        # Who waits keeps nothing while it asks: two that wait for what the other one keeps would wait for ever.
        spare = NOTHING if waiting else least(minus(self._granted, used), target)
        self._granted = plus(used, spare)
        self._number += 1
        return Draw(
            client=self._client,
            number=self._number,
            limits=self._whole,
            total=minus(self._granted, self._base),
            held=minus(self._granted, spent),
            least=first,
            want=target if waiting else NOTHING,
            born=self._born,
            leaving=not waiting and not self._in_flight,
        )

    async def _put(self, draw: Draw) -> DrawReply | None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._store.draw(self._key, draw)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, calls must not hang for it
            self._lose(error, asked)
        return None

    def _take_in(self, draw: Draw, reply: DrawReply, now: float) -> None:
        if draw.born not in {0, reply.born}:
            self._base = self._told = self._origin  # it has forgotten what it was told: all of it is told again
        else:
            self._told = plus(plus(self._base, draw.total), reply.granted)
        self._born, self._away, self._contact, self._heard = reply.born, None, now, time.monotonic()
        self._granted = plus(self._granted, reply.granted)
        self._left, self._others, self._outstanding = reply.left, reply.others, reply.outstanding
        self._is_short, self._opens = reply.short, now + reply.opens / MICRO
        self._is_listed = not draw.leaving

    def _refuse_first(self) -> bool:
        """Refuse the first that waits, unless there is room, or may be; return whether there is more to do now."""
        row = next((row for row in self._waiting if not row.granted.done()), None)
        if row is None:
            return False
        needs, left = self._needs(row.need()), most(NOTHING, self._left)
        if fits(needs, plus(left, self._spare())):  # it came after the question, or needs less by what is left now
            self._serve()
            return True
        own = plus(minus(self._granted, self._spent_for_certain()), self._outstanding)
        if row.patient and fits(needs, plus(left, own)):
            return False
        row.granted.set_exception(BudgetExceeded(self._why(needs)))
        self._waiting.remove(row)
        return True

    def _why(self, needs: Amounts) -> str:
        rest = plus(self._left, self._spare())
        place = max((i for i in range(3) if self._whole[i] >= 0), key=lambda i: needs[i] > max(0, rest[i]))
        whole = self._whole[place]
        source = f" ({self.prices.source})" if place == 1 and self.prices is not None else ""
        return (
            f"the budget {self._name!r} of {shown(whole, place)}{source}, shared by all who name it, has no room: "
            f"{shown(whole - rest[place], place)} spent, or reserved for calls in flight, "
            f"{shown(needs[place], place)} needed at most for the next"
        )

    # -- without the store -------------------------------------------------------------------------------------------

    def _lose(self, error: Exception, asked: float) -> None:
        """Take in that the store is away."""
        if self._away is None:
            self._lost = asked
        self._away = error
        choice = self._limits.on_store_error
        if choice == "local_share" and asked < self._lost + PAUSE:
            return  # it may be back in a moment
        if choice == "local_share" and self._born:
            share = self._limits.local_share or 1 / (1 + self._others)
            tokens, nanos, requests = (max(0, int(left * share)) for left in self._left)
            self._report(f"calls go on with {share:.0%} of what was left of it")
            self._granted, self._left = plus(self._granted, (tokens, nanos, requests)), NOTHING
            self._others, self._outstanding = 0, NOTHING
            self._serve()
            while self._waiting and self._refuse_first():
                pass
        elif choice == "wait":
            self._report("calls wait until it is back")
        else:
            self._report("calls fail until it is back")
            self._refuse_all()

    def _report(self, what: str) -> None:
        if self._has_said:
            return
        self._has_said = True
        message = (
            f"the store of the budget {self._name!r} is away ({str(self._away) or 'it does not answer'}); {what}. "
            "Limits(on_store_error=...) chooses"
        )
        asyncio.get_running_loop().call_soon(warnings.warn, message, RuntimeWarning, 2)

    def _refuse_all(self) -> None:
        while self._waiting:
            row = self._waiting.popleft()
            if not row.granted.done():
                why = str(self._away) or "no answer"
                row.granted.set_exception(StoreError(f"the store of the budget {self._name!r} is away: {why}"))

    # -- its life ----------------------------------------------------------------------------------------------------

    def begin_anew(self) -> None:
        """Go on in another loop, where nothing is in flight; in a child process with nothing drawn."""
        self._task = self._timer = None
        self._waiting.clear()
        self._in_flight = 0
        if self._process != os.getpid():
            self._process, self._client = os.getpid(), secrets.token_hex(8)
            self._granted = self._base = self._told = self._origin = self._used()
            self._was_spent = self._spent_for_certain()
            self._is_listed, self._contact = False, None
        if self._contact is not None:  # by the clock of this loop
            self._contact = asyncio.get_running_loop().time() - (time.monotonic() - self._heard)
        self._asked = self._opens = self._lost = 0.0

    async def aclose(self) -> None:
        """Give back what is not spent, and let go of the store."""
        self._closed = True
        self._stop_timer()
        if (task := self._task) is not None:  # the answer that is not waited for may grant something
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._is_listed or task is not None:
            self._in_flight = 0
            with suppress(Exception):  # whatever is wrong with the store: then its lease ends, and it stays spent
                async with asyncio.timeout(PATIENCE):
                    await self._store.draw(self._key, self._question(asyncio.get_running_loop().time()))
        if self._is_own:
            await self._store.aclose()
