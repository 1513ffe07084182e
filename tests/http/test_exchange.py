"""One exchange between a link that tells what comes and a caller who takes it: waiting, pushing, bounds, the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from anyfast_async import APIConnectionError, ResponseShapeError
from anyfast_async._http.api_key import Secret
from anyfast_async._http.connection_errors import connection_error
from anyfast_async._http.exchange import HOLD, Exchange, Take
from anyfast_async._size_limits import MAX_ERROR_BODY
from anyfast_async.errors import AnyFastError


class Link:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def abort(self) -> None:
        self.told.append("abort")


class Sink:
    """Writes down what it gets."""

    def __init__(self) -> None:
        self.got: list[bytes | str] = []

    take: Take | None = None
    """What takes chunks whole."""

    def feed(self, data: bytes) -> Take | None:
        self.got.append(data)
        return self.take

    def eof(self) -> None:
        self.got.append("eof")

    def fail(self, error: AnyFastError) -> None:
        self.got.append(type(error).__name__)

    async def ready(self) -> None:
        self.got.append("ready")


def explained(cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
    return connection_error(cause, exchange.host, reused=exchange.reused, answering=answering)


NOBODY = SimpleNamespace(on_sent=lambda _: None)
"""Asks, and does not care when that was sent."""


@pytest.fixture
async def link() -> Link:
    return Link()


@pytest.fixture
async def exchange(link: Link) -> Exchange:
    """An exchange whose head has come."""
    made = Exchange(link, "host", NOBODY, Secret("sk-0123456789abcdef"), explained)
    made.sent()
    made.began(200, {"a": "b"})
    return made


async def test_time_of_the_last_piece_is_told(link: Link) -> None:
    """Each piece of the request that goes out is told to whoever keeps the clock, and remembered."""
    times: list[float] = []
    exchange = Exchange(link, "host", SimpleNamespace(on_sent=times.append), Secret("sk-0123456789abcdef"), explained)
    exchange.sent()
    await asyncio.sleep(0.001)
    exchange.sent()
    assert times[0] < times[1] == exchange.sent_at


async def test_head_is_waited_for(link: Link) -> None:
    """Opening ends when the head is there, and raises when the exchange breaks off before it."""
    exchange = Exchange(link, "host", NOBODY, Secret("sk-0123456789abcdef"), explained)
    asyncio.get_running_loop().call_soon(exchange.began, 204, {})
    await exchange.opened()
    assert 204 == exchange.status

    broken = Exchange(link, "host", NOBODY, Secret("sk-0123456789abcdef"), explained, reused=True)
    broken.failed(None, answering=False)
    with pytest.raises(APIConnectionError, match="closed the connection without an answer") as caught:
        await broken.opened()
    assert "stale" == caught.value.phase


async def test_the_beginning_is_one_for_all_who_wait(link: Link) -> None:
    """Who reads before the head is there, and who waits for the head, wait for the same; later waits are others."""
    exchange = Exchange(link, "host", NOBODY, Secret("sk-0123456789abcdef"), explained)
    assert exchange.news() is exchange.begun
    body, head = asyncio.create_task(exchange.read()), asyncio.create_task(exchange.opened())
    await asyncio.sleep(0)
    exchange.began(200, {})
    await head
    exchange.arrived(b"x")
    exchange.ended()
    assert await body == b"x"
    assert exchange.news() is not exchange.begun


async def test_body_is_read_in_one_wait(exchange: Exchange, link: Link) -> None:
    """A body in many pieces wakes its reader once, and comes as it was sent, the key included."""
    task = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    waiter = exchange._waiter
    for piece in (b"a sk-0123456789", b"abcdef", b" b"):
        exchange.arrived(piece)
    assert waiter is exchange._waiter
    assert waiter is not None
    assert not waiter.done()
    exchange.ended()
    assert await task == b"a sk-0123456789abcdef b"
    assert link.told == []


async def test_body_that_nobody_has_asked_for_is_bounded(exchange: Exchange, link: Link) -> None:
    """Beyond 256 KiB the connection is not read; asking for the body reads on."""
    exchange.arrived(bytes(HOLD - 1))
    assert link.told == []
    exchange.arrived(b"x")
    exchange.arrived(b"y")
    assert ["pause"] == link.told
    task = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    assert ["pause", "resume"] == link.told
    exchange.arrived(b"z")
    exchange.ended()
    assert len(await task) == HOLD + 2


async def test_body_has_a_limit(exchange: Exchange, link: Link) -> None:
    """A byte beyond the limit closes the connection and is an error; the limit itself is not."""
    exchange.arrived(b"12345")
    exchange.arrived(b"6")
    with pytest.raises(ResponseShapeError, match="larger than 5 bytes"):
        await exchange.read(5)
    assert ["abort"] == link.told


async def test_broken_body_is_an_error(exchange: Exchange) -> None:
    """What breaks off raises, though some of it has come."""
    exchange.arrived(b"half")
    exchange.failed(ConnectionResetError(104, "Connection reset by peer"), answering=True)
    with pytest.raises(APIConnectionError, match=r"the connection broke \(Connection reset by peer\)") as caught:
        await exchange.read()
    assert "answering" == caught.value.phase


async def test_closed_exchange_gives_no_half_body(exchange: Exchange, link: Link) -> None:
    """What was closed before its end is no whole answer for whoever reads it still; closing again does nothing."""
    exchange.arrived(b"half")
    task = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    exchange.close()
    exchange.close()
    with pytest.raises(APIConnectionError, match="was closed"):
        await task
    assert ["abort"] == link.told


async def test_of_an_error_the_beginning_is_enough(exchange: Exchange, link: Link) -> None:
    """Reading an error ends at 64 KiB, or when its patience does, and closes the connection then."""
    exchange.arrived(bytes(MAX_ERROR_BODY + 9))
    assert len(await exchange.read_error(None)) == MAX_ERROR_BODY
    assert ["abort"] == link.told


async def test_error_that_does_not_end_is_not_waited_for(exchange: Exchange, link: Link) -> None:
    """What has come of it when the patience is over is what there is."""
    exchange.arrived(b"over")
    assert await exchange.read_error(0.01) == b"over"
    assert ["abort"] == link.told


async def test_error_that_came_whole_leaves_the_connection(exchange: Exchange, link: Link) -> None:
    """After a whole error the connection is not closed."""
    exchange.arrived(b"{}")
    exchange.ended()
    assert await exchange.read_error(None) == b"{}"
    assert link.told == []


# -- pushed ----------------------------------------------------------------------------------------------------------


async def test_pushing_hands_on_what_has_come_and_what_comes(exchange: Exchange) -> None:
    """Pieces from before and after go to the sink at once and in order, then the end."""
    sink = Sink()
    exchange.arrived(b"1")
    exchange.arrived(b"2")
    exchange.push(sink)
    assert [b"1", b"2"] == sink.got
    exchange.arrived(b"3")
    exchange.ended()
    assert [b"1", b"2", b"3", "eof"] == sink.got


async def test_pushing_what_has_ended(exchange: Exchange) -> None:
    """A body that came whole, or broke off, before it was asked for is handed on with its end."""
    sink = Sink()
    exchange.arrived(b"1")
    exchange.failed(None, answering=True)
    exchange.push(sink)
    assert [b"1", "APIConnectionError"] == sink.got


async def test_full_sink_stops_the_connection(exchange: Exchange, link: Link) -> None:
    """A sink that can take no more pauses the link, once however often it says so, and resumes it."""
    exchange.push(Sink())
    exchange.pause()
    exchange.pause()
    exchange.resume()
    exchange.resume()
    assert ["pause", "resume"] == link.told


async def test_what_was_held_back_flows_once_there_is_a_sink(exchange: Exchange, link: Link) -> None:
    """Paused because nobody had asked, the link is read again; not so if the sink is full at once."""
    exchange.arrived(bytes(HOLD))
    exchange.push(Sink())
    assert ["pause", "resume"] == link.told


async def test_sink_that_is_full_at_once_stays_paused(exchange: Exchange, link: Link) -> None:
    """The pieces from before fill the sink: the connection stays paused."""

    class Full(Sink):
        def feed(self, data: bytes) -> None:
            exchange.pause()

    exchange.arrived(bytes(HOLD))
    exchange.push(Full())
    assert "resume" not in link.told


async def test_sink_that_closes_gets_no_more(exchange: Exchange, link: Link) -> None:
    """A sink that has enough closes the exchange while it is fed; nothing comes after that, not even an end."""

    class Enough(Sink):
        def feed(self, data: bytes) -> None:
            super().feed(data)
            exchange.close()

    sink = Enough()
    exchange.arrived(b"1")
    exchange.arrived(b"2")
    exchange.push(sink)
    assert ([b"1"], ["abort"]) == (sink.got, link.told)


async def test_pushed_stream_has_a_limit(exchange: Exchange, link: Link) -> None:
    """Beyond the limit the sink is told that the stream is too large, and the connection is closed."""
    sink = Sink()
    exchange.arrived(b"123")
    exchange.push(sink, 5)
    exchange.arrived(b"45")
    exchange.arrived(b"6")
    assert ([b"123", b"45", "ResponseShapeError"], ["abort"]) == (sink.got, link.told)


async def test_chunks_that_are_taken_count(exchange: Exchange, link: Link) -> None:
    """A chunk that the sink takes whole counts like one that is fed; one that it refuses, or too many, is left."""
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return data != b"odd"

    sink = Sink()
    sink.take = take
    exchange.push(sink, 6)
    assert not exchange.chunk(b"1")  # nothing was fed yet
    assert exchange.arrived(b"1")
    assert [True, False, True, False] == [exchange.chunk(data) for data in (b"23", b"odd", b"45", b"67")]
    assert [b"23", b"odd", b"45"] == taken
    exchange.arrived(b"67")
    assert ([b"1", "ResponseShapeError"], ["abort"]) == (sink.got, link.told)
    assert not exchange.chunk(b"")


async def test_pumping_goes_at_the_pace_of_the_sink(exchange: Exchange) -> None:
    """What comes while the sink is busy comes in one piece afterwards."""
    sink = Sink()
    task = asyncio.create_task(exchange.pump(sink))
    await asyncio.sleep(0)
    exchange.arrived(b"1")
    exchange.arrived(b"2")
    await asyncio.sleep(0.001)
    exchange.arrived(b"3")
    exchange.ended()
    await task
    assert [b"12", "ready", b"3", "ready", "eof"] == sink.got
