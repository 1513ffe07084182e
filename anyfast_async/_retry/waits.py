"""How a client waits between attempts, and what it leaves to chance; tests of programs put others in their place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from anyfast_async._retry.retries import Retries


class Waits:
    """As they are."""

    retries: type[Retries] = Retries
    """Decides whether, and after how long, a call is tried again."""
    skipped = False
    """Whether holds end as soon as they begin, and no outage is waited for."""

    async def sleep(self, seconds: float) -> None:
        """Wait between two attempts."""
        await asyncio.sleep(seconds)

    def chance(self) -> float:
        """Return a random number, 0 to 1, by which the waits of many differ."""
        return random.random()  # noqa: S311 - jitter


_IN_USE: Final = [Waits()]


def waits() -> Waits:
    """Return those in use."""
    return _IN_USE[-1]


@contextmanager
def using(other: Waits) -> Iterator[None]:
    """Have every client of this process wait as *other* does meanwhile."""
    _IN_USE.append(other)
    try:
        yield
    finally:
        _IN_USE.remove(other)
