"""What the adapters of the limiters have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from loads import ANSWER, Work


@dataclass(frozen=True)
class Terms:
    """What a worker is told."""

    limited: bool
    requests: int
    tokens: int
    callers: int
    max_tokens: int
    gateway: str
    port: int | None = None
    """The store's port on loopback."""
    folder: str | None = None
    """A folder for who keeps a file."""


@dataclass(frozen=True)
class Call:
    number: int
    work: Work
    arrive: Callable[[int], None]
    """Notes that the request went out; who has a client of its own sends to the gateway, which does it."""

    @property
    def prompt(self) -> str:
        return f"{self.number}:" + "far " * (self.work.prompt - 2)


class Peer:
    """A limiter, or a client that has one."""

    tokens: ClassVar[bool] = True
    """Whether it limits tokens, too."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, call: Call) -> None:
        raise NotImplementedError


class Limiter(Peer):
    """What is asked before a request is sent."""

    async def acquire(self, tokens: int) -> Any:
        raise NotImplementedError

    async def settle(self, permit: Any, used: int) -> None:
        pass

    async def call(self, call: Call) -> None:
        permit = await self.acquire(call.work.reserved) if self.terms.limited else None
        call.arrive(call.number)
        await asyncio.sleep(ANSWER)
        if self.terms.limited:
            await self.settle(permit, call.work.used)
