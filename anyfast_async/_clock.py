"""A clock for one attempt: ends what takes longer than it may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from anyfast_async.errors import APITimeoutError

if TYPE_CHECKING:
    from types import TracebackType


class Clock:
    """Ends what runs inside of it when *limit* seconds have passed since it was last started; None never does.

    It swallows the end, so that the statement after the ``async with`` raises :meth:`overdue`: raised inside, our
    exception would carry the ended one along, with all that stands in aiohttp's frames.
    """

    def __init__(self, limit: float | None, overdue: type[APITimeoutError], name: str) -> None:
        self._limit = limit
        self._overdue = overdue
        self._name = name
        self._timeout = asyncio.timeout(None)
        self._over = False

    def start(self, at: float) -> None:
        """Start, or start again, at loop time *at*."""
        if self._limit is not None and not self._over and not self._timeout.expired():
            self._timeout.reschedule(at + self._limit)

    def stop(self) -> None:
        """Stop it; it can be started again."""
        if not self._over and not self._timeout.expired():
            self._timeout.reschedule(None)

    def overdue(self) -> APITimeoutError:
        """Return the exception that says so."""
        return self._overdue(f"no answer within {self._limit:g} s (Timeouts.{self._name})")

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._over = True
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            return True
        return False
