"""What stands in for the world in tests on virtual time, and what is read off what was sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import attrs


def now() -> float:
    """Return the time of the loop, virtual or not."""
    return asyncio.get_running_loop().time()


@attrs.define(eq=False)
class Answer:
    """What the client's transport hands up."""

    status: int
    content: bytes
    headers: dict[str, str] = attrs.field(factory=dict)
    connect_seconds: float | None = None
    whole: bytes | None = None

    async def read(self, *_: Any) -> bytes:
        return self.content

    async def read_error(self, *_: Any) -> bytes:
        return self.content

    def close(self) -> None:
        pass

    def hide(self, text: str) -> str:
        return text


def most_in(uses: Iterable[tuple[float, float]], width: float = 60) -> float:
    """Return the largest sum of amounts over any window, in the unit of the times; its end belongs to the next one."""
    ordered = sorted(uses)
    most = total = 0.0
    first = 0
    for at, amount in ordered:
        total += amount
        while ordered[first][0] <= at - width:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most
