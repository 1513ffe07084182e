"""What a client and everything made of it with ``with_options`` have in common."""

from __future__ import annotations

import asyncio
import os

import attrs

from anyfast_async._budget import Spending
from anyfast_async._core.backoff import RetryBudget
from anyfast_async._gate import Gate
from anyfast_async._running import Running
from anyfast_async._stats import Phases
from anyfast_async._transport import Transport
from anyfast_async.errors import ClientStateError


@attrs.define(eq=False)
class Shared:
    """Connections, limits and counters, and the loop that they belong to."""

    transport: Transport
    gate: Gate
    retry_budget: RetryBudget
    spending: Spending
    running: Running = attrs.field(factory=Running)
    phases: Phases = attrs.field(factory=Phases)
    warned: set[str] = attrs.field(factory=set)
    """What was warned of: model ids, and a concurrency above the limit."""
    loop: asyncio.AbstractEventLoop | None = None
    """The loop that it serves, None before its first use."""
    process: int = 0
    """The process of that loop; a child that was forked from it starts with an empty pool."""
    closed: bool = False

    def __attrs_post_init__(self) -> None:
        self.transport.on_loop_end = self.running.stop
        self.running.on_wake = self.transport.renew

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
            self.gate.reset()
            self.running.clear()
            self.transport.leave_to_parent()
        elif self.loop is not None:
            if self.loop.is_running():
                message = "the client serves another event loop, which still runs; make one client per loop"
                raise ClientStateError(message)
            self.gate.reset()
            self.running.clear()
            await self.transport.leave_loop()
        self.loop, self.process = running, os.getpid()
