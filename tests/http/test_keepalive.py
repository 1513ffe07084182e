"""Connections that wait, without sockets, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from anyfast_async._core.http.connection_trust import Trust
from anyfast_async._core.http.usual_head import UsualHeads
from anyfast_async._http.keepalive import KEEPALIVE, Idle, Kept

pytestmark = pytest.mark.virtual


class Pipe(asyncio.Transport):
    """A transport without a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol = Before()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


class Before(asyncio.Protocol):
    """What aiohttp had there."""

    lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Connection:
    """Notes when it is closed."""

    closed_at: float | None = None

    def close(self) -> None:
        self.closed_at = asyncio.get_running_loop().time() if self.closed_at is None else self.closed_at


def kept(idle: Idle) -> tuple[Kept, Connection, Pipe]:
    """A connection that *idle* may keep."""
    connection, pipe = Connection(), Pipe()
    buffer = memoryview(bytearray(64))
    return Kept(connection, pipe, idle, buffer=buffer, trust=Trust(), usual=UsualHeads(1024)), connection, pipe


async def test_the_last_one_goes_first() -> None:
    """So that those which are not needed any more come of age; when none is there, there is none."""
    idle = Idle(asyncio.get_running_loop())
    first, second = kept(idle)[0], kept(idle)[0]
    first.release()
    second.release()

    assert [idle.take(), idle.take(), idle.take(), len(idle)] == [second, first, None, 0]


async def test_many_at_once_are_all_used_again() -> None:
    """A connection's time is written when it comes back: of 4 096 that come and go, none is taken for too old."""
    idle = Idle(asyncio.get_running_loop())
    made = [kept(idle)[0] for _ in range(4096)]
    for _ in range(3):
        for one in made:
            one.release()
        assert {idle.take() for _ in made} == set(made)
    idle.close()


async def test_what_waits_too_long_is_closed() -> None:
    """Each is closed 55 s after it came, whether another one is asked for or not; there is one timer."""
    loop: Any = asyncio.get_running_loop()
    idle = Idle(loop)
    (first, one, _), (second, two, _) = kept(idle), kept(idle)
    first.release()
    await asyncio.sleep(20)
    second.release()
    assert len(loop.timers) == 1
    await asyncio.sleep(KEEPALIVE - 20)
    assert (one.closed_at, two.closed_at, len(idle)) == (KEEPALIVE, None, 1)
    await asyncio.sleep(20)
    assert (two.closed_at, len(idle), loop.timers) == (KEEPALIVE + 20, 0, [])


async def test_one_that_is_lost_does_not_wait() -> None:
    """Whoever had the connection before hears of it too, and nothing holds the two objects."""
    idle = Idle(asyncio.get_running_loop())
    one, connection, pipe = kept(idle)
    before = one._before
    assert isinstance(before, Before)
    one.release()
    found = weakref.ref(one)
    gc.disable()
    try:
        one.wire.connection_lost(None)
        pipe.protocol = before
        assert (len(idle), before.lost, connection.closed_at) == (0, True, 0.0)
        del one
        assert found() is None
    finally:
        gc.enable()
        idle.close()


async def test_closing_closes_all() -> None:
    """No timer is left."""
    loop: Any = asyncio.get_running_loop()
    idle = Idle(loop)
    all_of_them = [kept(idle) for _ in range(3)]
    for one, _, _ in all_of_them:
        one.release()
    idle.close()

    assert [connection.closed_at for _, connection, _ in all_of_them] == [0.0] * 3
    assert (len(idle), loop.timers) == (0, [])


async def test_timer_does_not_keep_it() -> None:
    """What is let go of is gone before its timer rings."""
    loop: Any = asyncio.get_running_loop()
    idle = Idle(loop)
    one, connection, pipe = kept(idle)
    one.release()
    found = weakref.ref(idle)
    del idle, one, pipe
    gc.collect()
    assert found() is None
    await asyncio.sleep(KEEPALIVE + 1)
    assert connection.closed_at is None
