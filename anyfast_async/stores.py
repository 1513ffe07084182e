"""Stores of limits that several clients share: what one has to do, to write your own.

``Limits(store=...)`` takes an address, or an object with the methods of :class:`Store`. The work is done by
:class:`SharedQuota`, which is plain values and arithmetic: whoever can load one, have it answer, and save it in one go,
one after another for each scope, has a store. One for a ``Budget`` with a name has the method of :class:`BudgetStore`,
too, and the work is done by :class:`SharedBudget`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from anyfast_async._core.limits.shared_budget import Draw, DrawReply, SharedBudget
from anyfast_async._core.limits.shared_quota import Question, SharedQuota, StoreReply
from anyfast_async._limits.shared_asking import BudgetStore, Store

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BudgetStore",
    "Draw",
    "DrawReply",
    "MemoryStore",
    "Question",
    "SharedBudget",
    "SharedQuota",
    "Store",
    "StoreReply",
]


class MemoryStore:
    """Keeps quotas in this process: for several clients of one event loop, and for tests.

    Args:
        clock: seconds of the store; None: the event loop's.

    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._quotas: dict[str, SharedQuota] = {}
        self._told: dict[tuple[str, str], asyncio.Event] = {}
        self._budgets: dict[str, SharedBudget] = {}

    async def ask(self, scope: str, question: Question) -> StoreReply:
        """Answer a question."""
        reply, told = self._quotas.setdefault(scope, SharedQuota()).ask(self._now(), question)
        for client in told:
            self._told.setdefault((scope, client), asyncio.Event()).set()
        return reply

    async def draw(self, budget: str, draw: Draw) -> DrawReply:
        """Answer a question about a budget."""
        return self._budgets.setdefault(budget, SharedBudget()).ask(self._now(), draw)

    def _now(self) -> int:
        seconds = asyncio.get_running_loop().time() if self._clock is None else self._clock()
        return int(seconds * 1_000_000) + 1

    async def news(self, scope: str, client: str, seconds: float) -> None:
        """Return when *client* has been given places, or after so many seconds."""
        told = self._told.setdefault((scope, client), asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await told.wait()
        del self._told[scope, client]

    async def aclose(self) -> None:
        """Do nothing: there is nothing open."""
