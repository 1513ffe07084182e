"""Rows of a map that stand aside: they give their places to others, until it is their turn again.

A row that is refused while others are answered must hold nobody. So it lets go of its place among those in work, and
takes one again when what it waits for has come, or when all others are done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class ParkedRows:
    """Those of one map."""

    def __init__(self) -> None:
        self.count: int = 0
        """How many there are."""
        self._on_leave: Callable[[], bool] = lambda: False
        self._are_others_done: Callable[[], bool] = lambda: True
        self._waiting: set[asyncio.Future[None]] = set()
        self._free = 0
        """Places that nobody has."""
        self.returning: deque[asyncio.Future[None]] = deque()
        """Who is back and waits for a place."""

    def begin(self, on_leave: Callable[[], bool], are_others_done: Callable[[], bool]) -> None:
        """Know the map.

        Args:
            on_leave: called when one gives up its place; returns whether another row takes it.
            are_others_done: tells whether nobody else is at work, and nobody comes.

        """
        self._on_leave, self._are_others_done = on_leave, are_others_done

    def close(self) -> None:
        """Let go of the map when it has ended: they hold each other."""
        self._on_leave, self._are_others_done = lambda: False, lambda: True

    async def stand(self, news: asyncio.Future[None]) -> bool:
        """Stand aside until *news* is done, or all others are; return whether they are."""
        self.count += 1
        if not self._on_leave():
            self.free()
        self._waiting.add(news)
        self.look()
        try:
            await news
        finally:
            alone = self._are_others_done()
            self._waiting.discard(news)
            self.count -= 1
        await self.place()
        return alone

    def look(self) -> None:
        """Call all of them back if the others are done."""
        if self._waiting and self._are_others_done():
            for news in self._waiting:
                if not news.done():
                    news.set_result(None)

    # -- places ------------------------------------------------------------------------------------------------------

    def free(self) -> None:
        """Take in that a place is nobody's any more."""
        while self.returning:
            turn = self.returning.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def place(self) -> None:
        """Wait for a place, and take it."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.returning.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given and cancelled in one tick: pass it on
                self.free()
            raise
