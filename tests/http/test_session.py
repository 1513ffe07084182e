"""The session's way: what aiohttp reads is told to the exchange, whole and in order, and so is how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._http.api_key import Secret
from anyfast_async._http.exchange import HOLD, Exchange
from anyfast_async._http.session import Reading, SentHeaders, SessionTrace, is_hooked, tracing
from anyfast_async.errors import APIConnectionError, ResponseShapeError

KEY = "sk-test-0123456789-abcdefgh"


class Content:
    """aiohttp's stream of a body: some pieces, then the end or an error, with what it holds by then."""

    def __init__(self, *pieces: bytes, error: Exception | None = None, held: tuple[bytes, ...] = ()) -> None:
        self._pieces = [*pieces, b""]
        self._error = error
        self._buffer = held
        self.total_compressed_bytes: int | None = None

    async def readany(self) -> bytes:
        await asyncio.sleep(0)
        if self._error is not None and len(self._pieces) == 1:
            raise self._error
        return self._pieces.pop(0)


class Response:
    """aiohttp's response, as far as it is read."""

    def __init__(self, content: Content, headers: dict[str, str] | None = None) -> None:
        self.content = content
        self.status = 200
        self.headers = {"Content-Length": "5", "X-A": "b"} if headers is None else headers
        self.closed = 0
        self.forced = 0
        protocol = SimpleNamespace(force_close=self._force)
        self.connection = SimpleNamespace(protocol=protocol)

    def _force(self) -> None:
        self.forced += 1

    def close(self) -> None:
        self.closed += 1


class Sink:
    """Keeps what a body is pushed into."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def feed(self, data: bytes) -> None:
        self.said.append(data)

    def eof(self) -> None:
        self.said.append("end")

    def fail(self, error: Exception) -> None:
        self.said.append(type(error).__name__)


def explained(cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
    return APIConnectionError(f"{exchange.host}: {type(cause).__name__}, answering: {answering}")


def _nobody(_: float) -> None:
    """Hears of what is sent where no test asks for it."""


def begun(response: Response, *, is_last: bool = False, on_sent: Callable[[float], None] = _nobody) -> Exchange:
    reading = Reading(response, is_last=is_last)  # type: ignore[arg-type]
    exchange = Exchange(reading, "host", SimpleNamespace(on_sent=on_sent), Secret(KEY), explained)
    reading.begin(exchange)
    return exchange


# -- what hooks in ---------------------------------------------------------------------------------------------------


def test_nothing_hooks_in() -> None:
    """As it is, aiohttp is not hooked."""
    assert not is_hooked()


@pytest.mark.parametrize("stand_in", [lambda *_: None, SimpleNamespace(__call__=None), len])
def test_what_stands_in_is_seen(monkeypatch: pytest.MonkeyPatch, stand_in: Any) -> None:
    """A function from elsewhere, an object, and a built-in are seen in aiohttp's place, and their going too."""
    with monkeypatch.context() as patched:
        patched.setattr(aiohttp.ClientSession, "_request", stand_in)
        assert is_hooked()
    assert not is_hooked()


def test_a_method_of_aiohttp_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code of aiohttp's own file hooks nothing in."""
    monkeypatch.setattr(aiohttp.ClientSession, "_request", aiohttp.ClientSession._ws_connect)
    assert not is_hooked()


def test_headers_do_not_show() -> None:
    """The key is among the headers: what shows is how many there are."""
    headers = SentHeaders(Authorization=f"Bearer {KEY}", Accept="*/*")
    assert "<2 headers>" == repr(headers) == str(headers) == f"{headers}"
    assert f"Bearer {KEY}" == headers["Authorization"]


# -- how far a request is --------------------------------------------------------------------------------------------


async def test_what_aiohttp_tells_of_a_request() -> None:
    """Connecting is timed, reuse is seen, and each piece that is sent starts the clocks anew."""
    sent: list[float] = []
    progress = SessionTrace(SimpleNamespace(on_sent=sent.append))
    told: Any = SimpleNamespace(trace_request_ctx=progress)
    trace = tracing()
    trace.freeze()

    await trace.on_connection_create_start.send(None, told, None)  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    await trace.on_connection_create_end.send(None, told, None)  # type: ignore[arg-type]
    assert progress.connect_seconds is not None
    assert 0.005 < progress.connect_seconds
    assert (1, False) == (len(sent), progress.reused)

    await trace.on_connection_reuseconn.send(None, told, None)  # type: ignore[arg-type]
    await trace.on_request_chunk_sent.send(None, told, None)  # type: ignore[arg-type]
    assert (3, True, sent[-1]) == (len(sent), progress.reused, progress.sent_at)


# -- what comes ------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=6))
def test_a_body_comes_whole(pieces: list[bytes]) -> None:
    """However it is read, the body is what came, under headers with lower-case names."""

    async def run() -> tuple[bytes, int, dict[str, str]]:
        exchange = begun(Response(Content(*pieces)))
        return await exchange.read(), exchange.status, dict(exchange.headers)

    assert (b"".join(pieces), 200, {"content-length": "5", "x-a": "b"}) == asyncio.run(run())


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=4), st.lists(st.binary(min_size=1, max_size=4), max_size=3))
def test_nothing_received_is_lost_when_it_breaks(came: list[bytes], held: list[bytes]) -> None:
    """What aiohttp still holds when the connection breaks comes before the failure; the response is closed."""

    async def run() -> tuple[list[Any], int]:
        response = Response(Content(*came, error=aiohttp.ClientPayloadError("cut"), held=tuple(held)))
        sink = Sink()
        begun(response).push(sink)
        while not sink.said or type(sink.said[-1]) is not str:
            await asyncio.sleep(0)
        return sink.said, response.closed

    said, closed = asyncio.run(run())
    assert b"".join(came + held) == b"".join(said[:-1])
    assert ("APIConnectionError", 1) == (said[-1], closed)


async def test_a_bomb_is_no_answer() -> None:
    """A body that unpacks to far more than came of it is refused as one of the wrong form, and closed."""
    content = Content(b"x" * 10_000_000)
    content.total_compressed_bytes = 10
    response = Response(content)

    with pytest.raises(ResponseShapeError):
        await begun(response).read()

    assert 1 == response.closed


async def test_reading_waits_while_it_is_paused() -> None:
    """No more is read than one piece beyond what can be taken, until there is room again."""
    content = Content(*[b"x" * HOLD] * 4)
    exchange = begun(Response(content))
    for _ in range(20):
        await asyncio.sleep(0)
    assert 4 == len(content._pieces)  # of five, the end among them

    assert 4 * HOLD == len(await exchange.read())


async def test_closing_ends_the_reading() -> None:
    """An exchange that is closed reads no more, and closes its response."""
    content = Content(*[b"x"] * 100)
    response = Response(content)
    exchange = begun(response)
    await exchange.opened()

    exchange.close()
    left = len(content._pieces)
    for _ in range(5):
        await asyncio.sleep(0)

    assert (1, left) == (response.closed, len(content._pieces))


@pytest.mark.parametrize(
    ("headers", "framed"),
    [
        ({"Content-Length": "5"}, True),
        ({"Transfer-Encoding": "chunked"}, True),
        ({"Content-Type": "text/plain"}, False),
    ],
)
async def test_whether_the_end_is_told(headers: dict[str, str], framed: bool) -> None:
    """An answer with neither a length nor chunks ends with its connection: a whole object is one all the same."""
    exchange = begun(Response(Content(b'{"a":1}', error=aiohttp.ClientPayloadError("reset")), headers))

    if framed:
        with pytest.raises(APIConnectionError, match="answering: True"):
            await exchange.read()
    else:
        assert b'{"a":1}' == await exchange.read()


@pytest.mark.parametrize("is_last", [True, False])
async def test_the_last_on_its_connection(is_last: bool) -> None:
    """Where the caller wants the connection closed, aiohttp is told so."""
    response = Response(Content(b"x"))
    await begun(response, is_last=is_last).read()
    assert int(is_last) == response.forced


async def test_a_mock_that_tells_nothing_has_sent() -> None:
    """Where no tracer was told of sending, the clocks start when the answer is there."""
    sent: list[float] = []
    exchange = begun(Response(Content(b"x")), on_sent=sent.append)
    assert [exchange.sent_at] == sent
    await exchange.read()
