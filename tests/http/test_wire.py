"""A connection and its exchanges, without a socket: what is written, what is told, and when the place is given back."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from anyfast_async import Timeouts
from anyfast_async._core.http.connection_trust import WINDOW, Trust
from anyfast_async._core.http.usual_head import UsualHeads
from anyfast_async._core.stream.chunk_template import payload_of
from anyfast_async._core.stream.reader import AnswerReader
from anyfast_async._http.api_key import Secret
from anyfast_async._http.connection_errors import connection_error
from anyfast_async._http.exchange import Exchange
from anyfast_async._http.request_headers import Route
from anyfast_async._http.wire import LARGE_BODY, SLICE, TOGETHER, Wire, looking_at
from anyfast_async._stream.receiver import Receiver
from anyfast_async.errors import APIConnectionError

SECRET = Secret("sk-0123456789abcdef")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


class Pipe(asyncio.Transport):
    """Keeps what is written, and what else is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.told: list[str] = []
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def is_closing(self) -> bool:
        return "abort" in self.told or "close" in self.told

    def abort(self) -> None:
        self.told.append("abort")

    def close(self) -> None:
        self.told.append("close")


class Place:
    """Keeps how it was given back."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def release(self) -> None:
        self.told.append("release")

    def close(self) -> None:
        self.told.append("close")


class Before(asyncio.Protocol):
    """The protocol that the connection had."""

    lost: tuple[Exception | None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = (exc,)


def explained(cause: BaseException | None, exchange: Exchange, *, answering: bool) -> APIConnectionError:
    return connection_error(
        cause,
        exchange.host,
        reused=exchange.reused,
        answering=answering,
        asked=exchange.asked,
        status=exchange.status,
        hide=exchange.hide,
    )


def receive(wire: Wire, data: bytes) -> None:
    """Do what asyncio does with bytes that came."""
    buffer = wire.get_buffer(-1)
    for start in range(0, len(data), len(buffer)):
        piece = data[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        wire.buffer_updated(len(piece))


@pytest.fixture
async def pipe() -> Pipe:
    return Pipe()


@pytest.fixture
def trust() -> Trust:
    return Trust()


@pytest.fixture
async def before() -> Before:
    return Before()


@pytest.fixture
async def wire(pipe: Pipe, before: Before, trust: Trust) -> Wire:
    return Wire(pipe, before, memoryview(bytearray(2**16)), trust, UsualHeads())


def begun(wire: Wire, place: Place, *, asked: bool = True) -> Exchange:
    exchange = Exchange(
        wire, "host", SimpleNamespace(on_sent=lambda _: None), SECRET, explained, sent_at=1.0 if asked else 0.0
    )
    wire.begin(exchange, place)
    return exchange


def route(**headers: str) -> Route:
    return Route("POST", URL("http://host/v1/chat/completions"), {"A": "b"}, headers)


# -- out -------------------------------------------------------------------------------------------------------------


async def test_small_request_is_one_write(wire: Wire, pipe: Pipe) -> None:
    """Head and body go out together, and the clock starts."""
    exchange = begun(wire, Place())
    wire.send(route(), SECRET, "k-1", b"{}")
    (written,) = pipe.written
    assert written == (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: host\r\nA: b\r\nIdempotency-Key: k-1\r\n"
        b"Authorization: Bearer sk-0123456789abcdef\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert exchange.sent_at > 0


async def test_larger_body_is_not_copied(wire: Wire, pipe: Pipe) -> None:
    """From 16 KiB on head and body are two writes."""
    begun(wire, Place())
    wire.send(route(), SECRET, None, bytes(TOGETHER + 1))
    assert [TOGETHER + 1] == [len(data) for data in pipe.written[1:]]


async def test_large_body_goes_in_slices(wire: Wire, pipe: Pipe) -> None:
    """A slice in a turn of the loop; none while what was written waits; the body arrives as it is."""
    body = bytes(range(256)) * (LARGE_BODY // 256) + b"the end"
    exchange = begun(wire, Place())
    wire.send(route(), SECRET, None, body)
    assert [SLICE] == [len(data) for data in pipe.written[1:]]
    wire.pause_writing()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(pipe.written) == 2
    first = exchange.sent_at
    wire.resume_writing()
    for _ in range(LARGE_BODY // SLICE + 5):
        await asyncio.sleep(0)
    assert body == b"".join(pipe.written[1:])
    assert exchange.sent_at > first


async def test_upload_ends_with_its_exchange(wire: Wire, pipe: Pipe) -> None:
    """Closed in the middle of it, nothing more is written; answered in the middle, the connection is not kept."""
    begun(wire, Place())
    wire.send(route(), SECRET, None, bytes(2 * LARGE_BODY))
    wire.abort()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (2, ["abort"]) == (len(pipe.written), pipe.told)


@pytest.mark.parametrize("waiting", [0, 1])
async def test_success_before_the_request_is_sent_is_none(wire: Wire, pipe: Pipe, waiting: int) -> None:
    """A 200 that is whole while some of the request is still here answers something else."""
    place = Place()
    exchange = begun(wire, place, asked=False)
    wire.send(route(), SECRET, None, bytes(TOGETHER + 1 if waiting else 2 * LARGE_BODY))
    pipe.waiting = waiting
    receive(wire, HEAD + b"hello")
    with pytest.raises(
        APIConnectionError, match=r"answered before the request was sent \(with status 200, to"
    ) as caught:
        await exchange.read()
    assert ("unsent", "no", ["close"]) == (caught.value.phase, caught.value.billed, place.told)


async def test_refusal_of_an_upload_is_heard(wire: Wire, pipe: Pipe) -> None:
    """A 413 in the middle of an upload ends it: nothing more is sent, and the connection is given up."""
    place = Place()
    exchange = begun(wire, place, asked=False)
    wire.send(route(), SECRET, None, bytes(2 * LARGE_BODY))
    receive(wire, b"HTTP/1.1 413 X\r\nContent-Length: 5\r\n\r\nhello")
    for _ in range(5):
        await asyncio.sleep(0)
    assert (2, False, b"hello", ["close"]) == (len(pipe.written), exchange.asked, await exchange.read(), place.told)


async def test_request_that_was_cut_is_not_billed(wire: Wire) -> None:
    """A connection that ends in the middle of the request cannot have brought it."""
    exchange = begun(wire, Place(), asked=False)
    wire.send(route(), SECRET, None, bytes(2 * LARGE_BODY))
    wire.eof_received()
    with pytest.raises(APIConnectionError) as caught:
        await exchange.opened()
    assert ("unsent", "no") == (caught.value.phase, caught.value.billed)


async def test_connection_that_the_caller_wants_closed_is_closed(wire: Wire, pipe: Pipe) -> None:
    """After ``Connection: close`` nothing may follow (RFC 9112 9.6), and only there."""
    for value, told in (("x, Close", "close"), ("keep-alive", "release")):
        place = Place()
        exchange = begun(wire, place)
        wire.send(route(Connection=value), SECRET, None, b"{}")
        receive(wire, HEAD + b"hello")
        assert (b"hello", [told]) == (await exchange.read(), place.told)


# -- in --------------------------------------------------------------------------------------------------------------


async def test_connection_is_given_back_when_the_body_has_ended(wire: Wire, pipe: Pipe) -> None:
    """Right with the last byte, and it carries the next exchange."""
    for text in (b"first", b"later"):
        place = Place()
        exchange = begun(wire, place)
        receive(wire, HEAD[:20])
        receive(wire, HEAD[20:] + text[:3])
        assert place.told == []
        receive(wire, text[3:])
        assert (text, ["release"]) == (await exchange.read(), place.told)
    assert pipe.told == []


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_surplus_bytes_give_the_connection_up(wire: Wire, pipe: Pipe, surplus: bytes) -> None:
    """Behind an answer or between two: what comes after could not be told apart from them."""
    place = Place()
    exchange = begun(wire, place)
    receive(wire, HEAD + b"hello" + surplus)
    assert (b"hello", ["close"], ["abort"]) == (await exchange.read(), place.told, pipe.told)


@pytest.mark.parametrize("said", [b"\r\n", b"HTTP/1.1 408 X\r\nConnection: close\r\n\r\n"])
async def test_farewell_only_ends_its_connection(wire: Wire, pipe: Pipe, trust: Trust, said: bytes) -> None:
    """What servers say of an idle connection costs no trust, however often."""
    for _ in range(3):
        begun(wire, Place())
        receive(wire, HEAD + b"hello")
        receive(wire, said)
    assert (["abort"] * 3, 0.0) == (pipe.told, trust.until)


async def test_second_surplus_costs_the_trust(wire: Wire, trust: Trust) -> None:
    """Behind an answer or between two: from the second one on connections are not kept for a minute."""
    now = asyncio.get_running_loop().time()
    for surplus, told in ((b"", "release"), (b"HTTP/1.1 200 OK", "close")):
        place = Place()
        begun(wire, place)
        receive(wire, HEAD + b"hello" + surplus)
        assert [told] == place.told
    assert 0.0 == trust.until
    receive(wire, HEAD)
    assert now + WINDOW <= trust.until <= now + WINDOW + 9
    assert trust.is_news
    assert not wire.is_usable()
    place = Place()
    begun(wire, place)
    receive(wire, HEAD + b"hello")
    assert ["close"] == place.told


async def test_bytes_that_nobody_asked_for_close_an_idle_connection(wire: Wire, pipe: Pipe) -> None:
    """Between two exchanges the pool finds it closed."""
    begun(wire, Place())
    receive(wire, HEAD + b"hello")
    receive(wire, b"surplus")
    assert ["abort"] == pipe.told


async def test_success_before_a_request_is_none(wire: Wire, pipe: Pipe) -> None:
    """A server that sends a 200 before it is asked is asked nothing, and has answered nothing."""
    exchange = begun(wire, Place(), asked=False)
    wire.hear(HEAD)
    wire.send(route(), SECRET, None, b"{}")
    with pytest.raises(APIConnectionError, match="answered before the request was sent") as caught:
        await exchange.opened()
    assert ("unsent", "no", []) == (caught.value.phase, caught.value.billed, pipe.written)


async def test_refusal_before_a_request_is_heard(wire: Wire, pipe: Pipe) -> None:
    """A server that refuses before it is asked is answering; it is asked nothing."""
    exchange = begun(wire, Place(), asked=False)
    wire.hear(b"HTTP/1.1 503 X\r\nContent-Length: 5\r\n\r\n")
    assert (503, False, True) == (exchange.status, exchange.asked, wire.is_answering)
    wire.send(route(), SECRET, None, b"{}")
    receive(wire, b"hello")
    assert (b"hello", []) == (await exchange.read(), pipe.written)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("way", ["poll", "select"])
@pytest.mark.parametrize("what", ["bytes", "end"])
async def test_look_at_a_connection(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, way: str, what: str
) -> None:
    """What lies in the kernel is seen though nobody has read it, and the end too; silence is none."""
    ours, theirs = pair
    if way == "select":
        monkeypatch.delattr("select.poll")

    class Over(Pipe):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return ours if name == "socket" else default

    look = looking_at(Over())
    assert not look(0)
    theirs.send(b"x") if what == "bytes" else theirs.close()
    assert look(0)
    assert look(0)


@pytest.mark.parametrize(
    ("came", "phase", "words"),
    [
        (b"", "sent", "closed the connection without an answer"),
        (b"HTTP/1.1 200", "answering", r"the answer broke off \(in the middle of its head\)"),
        (HEAD, "answering", r"the answer broke off \(5 bytes are missing\)"),
        (HEAD + b"hell", "answering", r"the answer broke off \(1 bytes are missing\)"),
    ],
)
async def test_end_of_the_connection_is_told(wire: Wire, came: bytes, phase: str, words: str) -> None:
    """Before, in and behind the head: our exception says how far the answer was."""
    place = Place()
    exchange = begun(wire, place)
    if came:
        receive(wire, came)
    wire.eof_received()
    with pytest.raises(APIConnectionError, match=words) as caught:
        await (exchange.read() if exchange.status else exchange.opened())
    assert (phase, ["close"]) == (caught.value.phase, place.told)


async def test_reset_is_told(wire: Wire, before: Before) -> None:
    """The system's words for a lost connection are in the message; the protocol from before hears of it too."""
    exchange = begun(wire, Place())
    exchange.reused = True
    wire.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    with pytest.raises(APIConnectionError, match="Connection reset by peer") as caught:
        await exchange.opened()
    assert "stale" == caught.value.retry_class
    assert before.lost is not None


async def test_body_until_close_ends_with_the_connection(wire: Wire) -> None:
    """An orderly end is the end of such a body, a reset is none."""
    exchange = begun(wire, Place())
    receive(wire, b"HTTP/1.1 200 OK\r\n\r\nhello")
    wire.eof_received()
    assert await exchange.read() == b"hello"

    exchange = begun(wire, Place())
    receive(wire, b"HTTP/1.1 200 OK\r\n\r\nhello")
    wire.connection_lost(ConnectionResetError(104, "reset"))
    with pytest.raises(APIConnectionError):
        await exchange.read()


async def test_whole_json_without_framing_is_an_answer(wire: Wire) -> None:
    """A reset behind the last brace takes nothing away; with a length that was not reached something is missing."""
    for head, whole in ((b"", True), (b"Content-Length: 99\r\n", False)):
        exchange = begun(wire, Place())
        receive(wire, b"HTTP/1.1 200 OK\r\n" + head + b'\r\n{"a": 1}')
        wire.connection_lost(ConnectionResetError(104, "reset"))
        if whole:
            assert await exchange.read() == b'{"a": 1}'
        else:
            with pytest.raises(APIConnectionError):
                await exchange.read()


@pytest.mark.parametrize(
    ("came", "words", "retry_class"),
    [
        (b"HTTP/1.1 200 OK\r\nnon sense", r"a line in the head that is no header: 'non sense'", "never"),
        (b"HTTP/1.1 200 OK\r\nX: sk-0123456789abcdef\0\x1b[1m", r"'X: \*\*\*\\x00\\x1b\[1m'", "never"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", "a chunk without its size: 'xx'", "never"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\n\r\nxx", "packed with compress", "never"),
        (b"HTTP/1.1 503 OK\r\nnon sense", "non sense", "ambiguous"),
        (b"garbage", "'garbage'", "ambiguous"),
    ],
)
async def test_what_is_no_http_is_told(wire: Wire, came: bytes, words: str, retry_class: str) -> None:
    """With the line that is wrong, escaped and without the key; after the head of a success it is not sent again."""
    exchange = begun(wire, Place())
    receive(wire, came)
    with pytest.raises(APIConnectionError, match=words) as caught:
        await (exchange.read() if exchange.status else exchange.opened())
    assert (retry_class, "maybe", "answering") == (caught.value.retry_class, caught.value.billed, caught.value.phase)


async def test_tls_where_http_was_expected(wire: Wire) -> None:
    """An alert in place of an answer: the error says what to do, and nothing was read on the other side."""
    exchange = begun(wire, Place())
    receive(wire, b"\x15\x03\x01\x00\x02\x02\x16")
    with pytest.raises(
        APIConnectionError, match="speaks TLS on this port; base_url must start with https://"
    ) as caught:
        await exchange.opened()
    assert ("never", "no", False) == (caught.value.retry_class, caught.value.billed, caught.value.retryable)


async def test_compressed_body_waits_for_room_and_survives_the_end(wire: Wire, pipe: Pipe) -> None:
    """Unpacking stops when the sink is full; the connection's end meanwhile takes nothing away."""
    got = bytearray()
    ends: list[str] = []
    text = bytes(2**21)
    body = gzip.compress(text)
    exchange = begun(wire, Place())

    class Full:
        def feed(self, data: bytes) -> None:
            got.extend(data)
            exchange.pause()

        def eof(self) -> None:
            ends.append("eof")

        def fail(self, error: Any) -> None:
            ends.append(str(error))

    exchange.push(Full())
    receive(wire, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert 0 < len(got) <= 2**18
    wire.eof_received()
    assert ends == []
    while not ends:
        exchange.resume()
    assert (text, ["eof"]) == (bytes(got), ends)


async def test_paused_connection_reads_again_for_the_next_exchange(wire: Wire, pipe: Pipe) -> None:
    """A body whose sink was full at its end leaves a connection that is read, so that its closing is noticed."""
    place = Place()
    exchange = begun(wire, place)
    receive(wire, HEAD)
    exchange.pause()
    receive(wire, b"hello")
    assert (["pause", "resume"], []) == (pipe.told, place.told)
    await asyncio.sleep(0)  # TLS gives out what it has held back in the next turn, which is looked at first
    assert ["release"] == place.told


# -- chunks that are told by their bytes -----------------------------------------------------------------------------


def event(text: str = "", *, before: bytes = b"data: ", after: bytes = b"\n\n", **changes: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None} | changes.pop("choice", {})
    payload = {"id": "c", "model": "m", "choices": [choice], "usage": None} | changes
    return before + json.dumps(payload, ensure_ascii="\u2028" not in text).encode() + after


TEXTS = st.text(max_size=8) | st.sampled_from(["", "a\u2028b", '","', '"', "\\", "\ud83d", "\ude00", "x" * 300, "}"])
ODD = [
    event("x", id="d"),
    event("x", choice={"index": 1}),
    event("x", choice={"finish_reason": "stop"}),
    event(choice={"delta": {"role": "assistant"}}),
    event("x", before=b"data:"),
    event("x", after=b"\r\n\r\n"),
    event("x", after=b"\n"),
    event("x", before=b"event: ping\ndata: "),
    event("x", before=b"id: 1\ndata: "),
    event("x", before=b": hm\n\ndata: "),
    event("x").replace(b'"x"', b'"x","y"'),
    event("x").replace(b'"x"', b'"x'),
    event("x").replace(b'"x"', b'"\xff"'),
    event("x").replace(b'"content": ', b'"content":\ndata: '),
    event("x").replace(b"data: {", b"data:  {"),
    event("x")[:40],
    b'data: {"error": {"message": "boom", "code": 500}}\n\n',
    b"data: half\n\n",
    b"data: [DONE]\n\n",
    b"\n",
]
EVENTS = st.lists(TEXTS.map(event) | TEXTS.map(event) | st.sampled_from(ODD), max_size=6)
FRAMES = [b"%x\r\n%b\r\n", b"%X\r\n%b\r\n", b"0%x\r\n%b\r\n", b"%x;a=b\r\n%b\r\n", b"%x \r\n%b\r\n"]


def streaming() -> tuple[Wire, Exchange, Receiver]:
    """A connection on which a chunked answer has begun, and who receives it."""
    wire = Wire(Pipe(), Before(), memoryview(bytearray(2**16)), Trust(), UsualHeads())
    exchange = begun(wire, Place())
    receive(wire, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    permit: Any = None
    receiver = Receiver(exchange, permit, Timeouts())
    receiver.start()
    return wire, exchange, receiver


def taken(pieces: Sequence[bytes]) -> tuple[Any, ...]:
    """What a stream comes to whose bytes come over a connection in *pieces*."""

    async def run() -> tuple[Any, ...]:
        wire, exchange, receiver = streaming()
        for piece in pieces:
            receive(wire, piece)
        chunks, error = [payload_of(item) for item in receiver.items], str(receiver.error)
        held = (receiver._arrived, receiver.first_content is None, exchange._size, receiver.ignored)
        receiver.close()
        return chunks, error, receiver.done, held

    return asyncio.run(run())


@settings(max_examples=50, deadline=None)
@given(EVENTS, st.data())
def test_chunks_that_are_told_by_their_bytes_are_what_reading_gives(events: list[bytes], data: st.DataObject) -> None:
    """One event a chunk and a read, several, or bytes: the same chunks, end and error, and as many bytes counted."""
    usual = [b"%x\r\n%b\r\n" % (len(one), one) for one in [event("begin"), *events]]
    odd = data.draw(st.sampled_from(FRAMES))
    place = data.draw(st.integers(0, len(usual)))
    frames = [*usual[:place], *(odd % (len(one), one) for one in [event("begin"), *events][place:])]
    ending = data.draw(st.sampled_from([b"0\r\n\r\n", b""]))
    body = b"".join(frames) + ending
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))

    alone = taken([*frames, ending] if ending else frames)

    assert alone == taken([body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)])
    assert alone == taken([body[i : i + 1] for i in range(len(body))])
    reader = AnswerReader({}, clock=lambda: 0.0)
    for one in [event("begin"), *events]:
        if reader.error is None:
            reader.feed(one)
    assert alone[0][: len(reader.items)] == [payload_of(item) for item in reader.items]


async def test_an_expected_chunk_goes_past_what_reads_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that was read, a chunk with one event that differs in its text is not fed; anything else is."""
    wire, _, receiver = streaming()
    fed: list[bytes] = []
    feed = Receiver.feed

    def counted(self: Receiver, data: bytes) -> Any:
        fed.append(data)
        return feed(self, data)

    monkeypatch.setattr(Receiver, "feed", counted)
    stop = event("c", choice={"finish_reason": "stop"})
    sent = [event("a"), event("b"), event("\n"), stop, event("d"), event("e")]
    for one in sent:
        receive(wire, b"%x\r\n%b\r\n" % (len(one), one))

    assert [sent[0], stop, sent[4]] == fed  # behind a finish reason content is looked into once
    assert ["a", "b", "\n", "c", "d", "e"] == [payload_of(i)["choices"][0]["delta"]["content"] for i in receiver.items]
    receiver.close()
