"""What a client and everything made of it with ``with_options`` have in common."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from anyfast_async._client.in_flight import InFlight
from anyfast_async._clocks.notebook import in_notebook
from anyfast_async._core.histogram import Phases
from anyfast_async._http.transport import Transport
from anyfast_async._limits.budget import Spending
from anyfast_async._limits.gate import Gate
from anyfast_async._observers.hooks import LOG_ALONE
from anyfast_async._observers.log import LOG
from anyfast_async._size_limits import MAX_HEAD
from anyfast_async.errors import ClientStateError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Hashable

    from anyfast_async._core.retry.hedging import Hedging
    from anyfast_async._core.retry.retry_budget import RetryBudget
    from anyfast_async._limits.scope import Scope
    from anyfast_async._observers.hooks import Hooks
    from anyfast_async.observing import Hold
    from anyfast_async.policies import Budget, Hedge, Limits
    from anyfast_async.prices import Prices


class Shared:
    """Connections, limits and counters, and the loop that they belong to.

    Args:
        limits: what the client allows itself.
        retry_budget: how many retries there may be.
        spending: what it may spend, and has spent.
        ssl_context: for TLS, None for the system's authorities.
        proxy: the URL of one.
        hint: said where no connection could be made.
        max_head: the largest head of an answer in bytes.
        hooks: who hears of what happens; None: nobody but the log.

    """

    def __init__(
        self,
        limits: Limits,
        retry_budget: RetryBudget,
        spending: Spending,
        *,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        hint: str = "",
        max_head: int = MAX_HEAD,
        hooks: Hooks | None = None,
    ) -> None:
        self.gate: Gate = gate_of(limits, self._told_of_end)
        self._hooks = hooks
        self.retry_budget = retry_budget
        self.spending = spending
        self.in_flight: InFlight = InFlight(self._renew)
        self.transport: Transport = Transport(
            ssl_context=ssl_context, proxy=proxy, hint=hint, max_head=max_head, on_loop_end=self.in_flight.stop
        )
        self.phases: Phases = Phases()
        self.keys: dict[Hashable, int] = {}
        """Numbers of the keys, by which observers know them."""
        self.warned: set[str] = set()
        """What was warned of: model ids, and a concurrency above the limit."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop that it serves, None before its first use."""
        self.process: int = 0
        """The process of that loop; a child that was forked from it starts with an empty pool."""
        self.closed = False
        self.hedging: dict[tuple[Scope, Hedge], Hedging] = {}
        """What is known of streams that may be asked for twice."""

    def hedging_of(self, scope: Scope, hedge: Hedge) -> Hedging:
        """Return what is known of the streams of a scope, for who asks twice as *hedge* says."""
        found = self.hedging.get((scope, hedge))
        if found is None:
            from anyfast_async._core.retry.hedging import Hedging  # noqa: PLC0415 - with the first of them

            found = self.hedging[scope, hedge] = Hedging(hedge)
        return found

    def _told_of_end(self, hold: Hold) -> None:
        """Hear that a hold is over."""
        hooks = self._hooks or LOG_ALONE
        hooks.tell(hooks.hold, hold)
        LOG.on_hold(hold)

    def _renew(self) -> None:
        """Hear that the process runs on after a sleep."""
        self.transport.renew()

    async def enter(self) -> None:
        """Bind to the running loop, again if the loop before it does not run any more or was left behind by a fork.

        A loop that was left without being closed (``datasets.map`` makes one for each call) is as good as closed.

        Raises:
            ClientStateError: the client is closed, or serves another loop that still runs.

        """
        if self.closed:
            message = "the client is closed; make a new one"
            raise ClientStateError(message)
        running = asyncio.get_running_loop()
        if self.loop is running:
            return
        if self.loop is not None and self.process != os.getpid():
            self._begin_anew()
            self.transport.leave_to_parent()
        elif self.loop is not None:
            if self.loop.is_running():
                message = "the client serves another event loop, which still runs; make one client per loop"
                raise ClientStateError(message)
            self._begin_anew()
            await self.transport.leave_loop()
        load()
        self.in_flight.ticks = in_notebook()
        self.loop, self.process = running, os.getpid()

    def _begin_anew(self) -> None:
        """Forget what was on its way in another loop."""
        self.gate.reset()
        self.spending.begin_anew()
        self.in_flight.clear()
        for one in self.hedging.values():
            one.begin_anew()


def load() -> None:
    """Load what takes an answer and what says a failure, before anything is sent.

    Later there may be no file descriptor free to read a module with, or the package may have been replaced: an answer
    that is paid for would be lost to that.
    """
    from anyfast_async._call import streamed  # noqa: F401, PLC0415
    from anyfast_async._core import answer  # noqa: F401, PLC0415
    from anyfast_async._core.json import codec  # noqa: PLC0415
    from anyfast_async._http import connection_errors  # noqa: F401, PLC0415
    from anyfast_async._retry import recovery  # noqa: F401, PLC0415
    from anyfast_async._stream import chat_stream  # noqa: F401, PLC0415
    from anyfast_async._structured import parsing  # noqa: F401, PLC0415

    codec.load()


def gate_of(limits: Limits, on_free: Callable[[Hold], None]) -> Gate:
    """Return the gate of a client; *on_free* hears of ends of holds."""
    if limits.store is None:
        return Gate(limits, on_free)
    from anyfast_async._limits.shared_gate import SharedGate  # noqa: PLC0415 - only who shares pays for it

    return SharedGate(limits, on_free)


def spending_of(budget: Budget | None, prices: Prices | None, limits: Limits) -> Spending:
    """Return what counts the spending of a client.

    Raises:
        ConfigurationError: the budget is shared, and nothing says where it is kept.

    """
    if budget is None or budget.name is None:
        return Spending(budget, prices)
    from anyfast_async._limits.shared_spending import SharedSpending  # noqa: PLC0415 - only who shares pays for it

    return SharedSpending(budget, prices, limits)
