"""What a client has on its way, and whether the machine slept meanwhile."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from anyfast_async._clocks.clocks import LOOK
from anyfast_async._clocks.machine_sleep import AWAKE, slept
from anyfast_async._clocks.notebook import TICK


class Stoppable(Protocol):
    """A call or a stream on its way."""

    def stop(self) -> None:
        """End it with ``ClientStateError``."""

    def look(self, now: float) -> None:
        """Look at its clocks; called every :data:`LOOK` seconds."""

    def woke(self, at: float) -> None:
        """Take in that the process ran on at loop time *at*, after a sleep; connections from before are doubtful."""


class InFlight:
    """The calls and streams of a client that are on their way.

    Args:
        on_wake: called when the process runs on after a sleep.

    """

    def __init__(self, on_wake: Callable[[], None] = lambda: None) -> None:
        self.members: set[Stoppable] = set()
        """Calls and streams that are on their way."""
        self._empty: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seen = (0.0, 0.0, 0.0)
        self._on_wake = on_wake
        self.ticks: bool = False
        """Whether the loop has to be woken now and then, see :data:`TICK`."""
        self._ticking: asyncio.TimerHandle | None = None
        self.woke_at: float = -math.inf
        """Loop time at which it last did."""

    def add(self, member: Stoppable) -> None:
        """Take *member* in."""
        self.members.add(member)
        if self._timer is None:
            self._look_later()
            if self.ticks and self._ticking is None:
                self._tick()

    def discard(self, member: Stoppable) -> None:
        """Let *member* go."""
        self.members.discard(member)
        if not self.members and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def __iter__(self) -> Iterator[Stoppable]:
        return iter(self.members)

    async def ended(self, seconds: float) -> None:
        """Wait until all have ended, or *seconds* have passed."""
        if self.members:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._empty}, timeout=seconds)

    def stop(self) -> None:
        """End all of them with ``ClientStateError``."""
        for member in list(self.members):
            member.stop()
        self._stop_looking()

    def clear(self) -> None:
        """Forget all of them; their loop is closed."""
        self.members.clear()
        self._stop_looking()

    def _tick(self) -> None:
        """Turn the loop until the look that finds nothing on its way."""
        looking = self._timer is not None
        self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick) if looking else None

    # -- sleep -------------------------------------------------------------------------------------------------------

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._seen = (loop.time(), time.time(), time.process_time())
        self._timer = loop.call_later(LOOK, self._look)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self.members:
            return
        loop = asyncio.get_running_loop()
        then, wall, worked = self._seen
        if slept(loop.time() - then, time.time() - wall, time.process_time() - worked):
            self.woke_at = loop.time()
            self._on_wake()
            loop.call_later(AWAKE, self._tell, self.woke_at)
        now = loop.time()
        for member in self.members:
            member.look(now)
        self._look_later()

    def _tell(self, woke_at: float) -> None:
        for member in list(self.members):
            member.woke(woke_at)
