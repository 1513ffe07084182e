"""Admission where the limits are shared: who is woken up too late to send asks again.

What a store has booked is for a moment: it counts a request as sent then. A process that stands still between its
permit and its request, because the machine is busy or slept, would send in another one, when the room was given to
others. So a call that comes out of the queue looks at the clock.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from anyfast_async._limits.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyfast_async._limits.lines import WaitingLine
    from anyfast_async._limits.scope import Permit

LATE: Final = 0.1
"""Seconds after the end of a permit in which its call may still go out: what a store allows for is six times that."""


AGAIN: Final = 3
"""How often a call asks again: where every turn of the loop is late, it would never go."""


class SharedGate(Gate):
    """The gate of a client whose limits are kept in a store."""

    async def wait_in(
        self,
        line: WaitingLine,
        tokens: float,
        estimate: Callable[[], float] | None,
        *,
        first: bool,
        counts: bool,
        within: float | None,
    ) -> Permit:
        """Wait for admission as in any gate; then send at once, or wait anew, before all others."""
        permit = await super().wait_in(line, tokens, estimate, first=first, counts=counts, within=within)
        loop = asyncio.get_running_loop()
        for _ in range(AGAIN):
            if permit.counted is None or loop.time() <= permit.counted.end + LATE:
                break
            self.give_back(permit)
            permit = await super().wait_in(line, tokens, estimate, first=True, counts=False, within=None)
        return permit
