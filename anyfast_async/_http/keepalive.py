"""Connections that wait for their next exchange. aiohttp makes each, and counts it as in use until it is closed.

Its own pool does what this one does, for more than all else that a call does on its connection.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Final, Protocol

from anyfast_async._http.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyfast_async._core.http.connection_trust import Trust
    from anyfast_async._core.http.usual_head import UsualHeads

KEEPALIVE: Final = 55.0
"""Seconds an idle connection is kept: below the 60 s after which common proxies drop it."""


class Connection(Protocol):
    """aiohttp's, as far as it is used here."""

    def close(self) -> None:
        """Close it, unless it is closed."""


class Kept(asyncio.BaseProtocol):
    """The place of one connection; its wire tells it of the end.

    Args:
        connection: aiohttp's.
        transport: the connection's.
        idle: where it waits between two exchanges.
        buffer: where asyncio puts what it reads.
        trust: in the origin that it leads to.
        usual: the heads of its answers.

    """

    __slots__ = ("__weakref__", "_before", "_connection", "_idle", "early", "trust", "wire")

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        idle: Idle,
        *,
        buffer: memoryview,
        trust: Trust,
        usual: UsualHeads,
    ) -> None:
        self._connection = connection
        self._idle = idle
        self._before = transport.get_protocol()
        """aiohttp's protocol, which has to hear that the connection is lost."""
        self.early: bytes = getattr(self._before, "_tail", b"")
        """What the server said before it was asked."""
        self.trust = trust
        self.wire = Wire(transport, self, buffer, trust, usual)
        transport.set_protocol(self.wire)

    def release(self) -> None:
        """Have it wait for the next exchange."""
        self._idle.put(self)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear that it is gone."""
        self._idle.forget(self)
        self._before.connection_lost(exc)
        self._connection.close()


class Idle:
    """Those of one origin, in one loop; the one that came last is used first.

    Args:
        loop: theirs.

    """

    __slots__ = ("__weakref__", "_kept", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: dict[Kept, float] = {}
        """Since when each waits, by the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, kept: Kept) -> None:
        """Have *kept* wait."""
        self._kept[kept] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(KEEPALIVE, _sweep, weakref.ref(self))

    def take(self) -> Kept | None:
        """Return a connection that may carry another exchange, None if there is none.

        What came after the last answer (a second answer, a refusal of the idle connection, its end) would be taken for
        the next one: RFC 9112 9.2. It is read before the connection is closed, to learn what it was.
        """
        while self._kept:
            kept, since = self._kept.popitem()
            if self._loop.time() - since < KEEPALIVE and kept.wire.is_usable():
                return kept
            self._loop.call_soon(self._loop.call_soon, kept.close)
        return None

    def forget(self, kept: Kept) -> None:
        """Take out one that is lost."""
        self._kept.pop(kept, None)

    def close(self) -> None:
        """Close all of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._kept:
            self._kept.popitem()[0].close()

    def sweep(self) -> None:
        """Close those that have waited for too long."""
        self._timer = None
        due = self._loop.time() - KEEPALIVE
        for kept in [kept for kept, since in self._kept.items() if since <= due]:
            del self._kept[kept]
            kept.close()
        if self._kept:
            first = next(iter(self._kept.values()))  # a dict keeps the order in which they came
            self._timer = self._loop.call_at(first + KEEPALIVE, _sweep, weakref.ref(self))


def _sweep(found: Callable[[], Idle | None]) -> None:
    idle = found()
    if idle is not None:
        idle.sweep()
