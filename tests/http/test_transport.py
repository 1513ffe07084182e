"""What goes over the wire and what comes back, against servers that play exact bytes."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import os
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import textwrap
import traceback
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import aioresponses
import pytest

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    APIStatusError,
    ClientStateError,
    ConfigurationError,
    ConnectTimeout,
    InternalServerError,
    Limits,
    ResponseShapeError,
    RetryPolicy,
    Timeouts,
)
from anyfast_async._http import pool, transport
from anyfast_async._http import session as _session
from anyfast_async._http.api_key import Secret
from anyfast_async.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Connect, RawServers

KEY = "sk-test-0123456789-abcdefgh"
ONCE = RetryPolicy(attempts=1)


def chain(error: BaseException | None) -> list[BaseException]:
    """An exception and everything that hangs on it."""
    if error is None:
        return []
    return [error, *chain(error.__cause__), *chain(error.__context__)]


@pytest.fixture(params=["direct", "session"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every promise holds on both ways: over aiohttp's connector, and through its session, where something hooks in."""
    if request.param == "session":
        own = aiohttp.ClientSession._request

        async def hooked(*args: Any, **kwargs: Any) -> Any:
            return await own(*args, **kwargs)

        monkeypatch.setattr(aiohttp.ClientSession, "_request", hooked)
    return str(request.param)


# -- what is sent ----------------------------------------------------------------------------------------------------


async def test_unary_request_asks_for_json(raw_server: RawServers, connect: Connect) -> None:
    """A call that is not streamed asks for JSON, compressed if the server likes, and names itself."""
    server = await raw_server([raw_server.completion()])

    await connect(server.base_url).complete("Hi")

    request = server.requests[0]
    headers = request.headers
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "gzip, deflate"
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("anyfast-async/")
    assert headers["content-length"] == str(len(request.body))
    assert len(headers) == len(request.lines)


async def test_stream_request_asks_for_events_uncompressed(raw_server: RawServers, connect: Connect) -> None:
    """A stream asks for events, or else JSON, and for no compression: no proxy holds events back then."""
    server = await raw_server([raw_server.stream("Hi")])

    await connect(server.base_url).stream("Hi").drain()

    headers = server.requests[0].headers
    assert headers["accept"] == "text/event-stream, application/json;q=0.9"
    assert headers["accept-encoding"] == "identity"
    assert server.requests[0].json["stream"] is True
    assert server.requests[0].json["stream_options"] == {"include_usage": True}


async def test_idempotency_key_is_that_of_the_call(raw_server: RawServers, connect: Connect) -> None:
    """The key is the same on every attempt of a call, and another one for another call."""
    busy = {"error": {"message": "busy"}}
    good: list[Any] = [raw_server.completion()]
    server = await raw_server([raw_server.answer(busy, 500)], [raw_server.answer(busy, 503)], good, good)
    client = connect(server.base_url)

    await client.complete("Hi")
    await client.complete("Hi")

    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]


async def test_environment_does_not_change_a_request(
    raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """netrc, proxy variables and cookies that a server sets leave every byte of the next request as it was."""
    cookie = raw_server.answer(raw_server.completion_body(), set_cookie="session=1; Path=/")
    server = await raw_server([cookie])
    client = connect(server.base_url, headers={"Idempotency-Key": "fixed"})
    await client.complete("Hi")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    await client.complete("Hi")
    await connect(server.base_url, headers={"Idempotency-Key": "fixed"}).complete("Hi")

    first, *others = server.requests
    assert [(other.lines, other.body) for other in others] == [(first.lines, first.body)] * 2


async def test_large_body_arrives_whole(raw_server: RawServers, connect: Connect) -> None:
    """3 MiB of prompt arrive as they were encoded, on a retry too, and the loop turns meanwhile."""
    server = await raw_server([raw_server.answer({}, 500)], [raw_server.completion()])
    text = "0123456789abcdef" * (3 * 65536)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await connect(server.base_url).complete(text)
    counting.cancel()
    await asyncio.wait({counting})

    assert [request.json["messages"] for request in server.requests] == [[{"role": "user", "content": text}]] * 2
    assert turns > 20


async def test_headers_of_the_user_replace_ours(raw_server: RawServers, connect: Connect) -> None:
    """A header given in another case replaces the client's own; it is not sent twice."""
    server = await raw_server([raw_server.completion()])

    await connect(server.base_url, headers={"user-agent": "mine/1"}).complete(
        "Hi", extra_headers={"IDEMPOTENCY-KEY": "mine"}
    )

    names = [line.partition(":")[0].lower() for line in server.requests[0].lines]
    assert [(name, names.count(name)) for name in ("user-agent", "idempotency-key")] == [
        ("user-agent", 1),
        ("idempotency-key", 1),
    ]
    assert server.requests[0].headers["user-agent"] == "mine/1"


@pytest.mark.parametrize("value", ["a\x01b", "a\x7fb", "lone \ud800"])
async def test_header_that_cannot_be_sent_is_refused_at_once(connect: Connect, value: str) -> None:
    """A value that HTTP forbids is a configuration error that names the header."""
    with pytest.raises(ConfigurationError, match="X-Tag"):
        connect("http://127.0.0.1:9", headers={"X-Tag": value})


# -- redirects, bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("origin", ["same", "other"])
async def test_redirects_are_not_followed(raw_server: RawServers, connect: Connect, status: int, origin: str) -> None:
    """A redirect is an error that names where it leads; nothing is sent there."""
    other = await raw_server([raw_server.completion()])
    location = f"{other.base_url}/moved" if origin == "other" else "/v1/moved"
    server = await raw_server([raw_server.answer(b"", status, location=location)])
    client = connect(server.base_url)

    with pytest.raises(APIStatusError, match="redirects are not followed") as caught:
        await client.complete("Hi")
    with pytest.raises(APIStatusError, match="redirects are not followed"):
        async with client.stream("Hi"):
            pass

    assert caught.value.status_code == status
    assert location in str(caught.value)
    assert len(other.requests) == 0
    assert [request.target for request in server.requests] == ["/v1/chat/completions"] * 2


async def test_bomb_ends_at_the_limit(
    raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """199 KB that unpack to 200 MiB are an error at the limit; a few pieces more than it were unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([packer.compress(b" " * 2**20) for _ in range(200)] + [packer.flush()])
    assert len(bomb) < 210_000
    unpacked = 0
    real = transport.Exchange.arrived

    def counted(exchange: Any, piece: bytes) -> None:
        nonlocal unpacked
        unpacked += len(piece)
        real(exchange, piece)

    monkeypatch.setattr(transport.Exchange, "arrived", counted)
    server = await raw_server([raw_server.answer(bomb, content_encoding="gzip")])

    monkeypatch.setattr(transport.Exchange.read, "__defaults__", (8 * 2**20,))
    with pytest.raises(ResponseShapeError, match=r"larger than 8388608 bytes|more than 100 times its size"):
        await connect(server.base_url, retry=ONCE).complete("Hi")

    assert 8 * 2**20 <= unpacked < 16 * 2**20
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)


async def test_stream_without_end_ends_at_the_limit(
    raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream larger than the limit is an error, after everything before it was handed on."""
    monkeypatch.setattr(transport.Exchange.push, "__defaults__", (2**20,))
    server = await raw_server(
        [raw_server.stream_head(), ("flood", raw_server.chunk(raw_server.event("x" * 1000)), 5000)]
    )
    got = 0

    with pytest.raises(ResponseShapeError, match="larger than 1048576 bytes") as caught:
        async for token in connect(server.base_url, retry=ONCE).stream("Hi"):
            got += len(token)

    assert 500_000 < got < 2**20
    assert caught.value.partial is not None
    assert len(caught.value.partial.text) == got


async def test_gzip_answer_is_read(raw_server: RawServers, connect: Connect) -> None:
    """A compressed answer is read like any other."""
    body = gzip.compress(raw_server.completion("packed").partition(b"\r\n\r\n")[2])
    server = await raw_server([raw_server.answer(body, content_encoding="gzip")])

    assert (await connect(server.base_url).complete("Hi")).text == "packed"


async def test_of_an_error_64_kib_are_read(raw_server: RawServers, connect: Connect) -> None:
    """Of a huge error body the beginning is kept, and the connection is closed."""
    server = await raw_server([raw_server.head(500, content_length=str(2**30)), ("flood", b"x" * 65536, 2**14)])

    with pytest.raises(InternalServerError) as caught:
        await connect(server.base_url, retry=ONCE).complete("Hi")

    assert caught.value.body == "x" * 65536
    await asyncio.wait_for(server.requests[0].gone.wait(), 1)
    assert server.requests[0].written < 16 * 2**20


async def test_small_errors_leave_the_connection_usable(raw_server: RawServers, connect: Connect) -> None:
    """After an error that was read whole the connection serves the next request."""
    server = await raw_server([raw_server.answer({"error": {"message": "no"}}, 400)], [raw_server.completion()])
    client = connect(server.base_url)

    with pytest.raises(APIStatusError):
        await client.complete("Hi")
    await client.complete("Hi")

    assert server.connections == 1


async def test_error_whose_body_breaks_off_is_the_error(raw_server: RawServers, connect: Connect) -> None:
    """The status counts, though the body never came whole."""
    server = await raw_server([raw_server.head(503, content_length="1000"), b'{"error": {"message": "over', "rst"])

    with pytest.raises(InternalServerError) as caught:
        await connect(server.base_url, retry=ONCE).complete("Hi")

    assert caught.value.status_code == 503


async def test_error_whose_body_breaks_off_gives_its_connection_back(raw_server: RawServers, connect: Connect) -> None:
    """The broken connection is closed at once, not when the garbage collector finds it (and warns)."""
    server = await raw_server([raw_server.head(503, content_length="1000"), b'{"error": {"message": "over', "fin"])
    client = connect(server.base_url, retry=ONCE)

    with pytest.raises(InternalServerError):
        await client.complete("Hi")

    assert connections_in_use(client) == 0


def connections_in_use(client: AnyFast) -> int:
    return client._shared.transport.in_use


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_answer_that_breaks_off_is_a_connection_error(raw_server: RawServers, connect: Connect, end: str) -> None:
    """Half an answer is no answer: the call fails as "answering", perhaps billed, and is not sent again."""
    server = await raw_server([raw_server.completion()[:-20], end])

    with pytest.raises(APIConnectionError) as caught:
        await connect(server.base_url).complete("Hi")

    assert (caught.value.phase, caught.value.billed, len(server.requests)) == ("answering", "maybe", 1)
    assert [200] == [attempt.status_code for attempt in caught.value.attempts]


@pytest.mark.parametrize(
    "garbage",
    [b"\x15\x03\x01\x00\x02\x02\x16", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n"],
    ids=["tls alert", "ssh", "header"],
)
async def test_what_is_no_http_is_a_connection_error(raw_server: RawServers, connect: Connect, garbage: bytes) -> None:
    """A server that speaks something else is an error of ours that says so."""
    server = await raw_server([garbage, "fin"])

    with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1: ") as caught:
        await connect(server.base_url, retry=ONCE).complete("Hi")

    assert [one for one in chain(caught.value) if type(one).__module__.startswith("aiohttp")] == []


async def test_garbage_on_a_reused_connection_is_no_stale_connection(raw_server: RawServers, connect: Connect) -> None:
    """Bytes of an answer came, so the request arrived: it is sent once more at most, not twice."""
    server = await raw_server([raw_server.completion()], [b"garbage\r\n\r\n", "fin"])
    client = connect(server.base_url)
    await client.complete("Hi")

    with pytest.raises(APIConnectionError):
        await client.complete("Hi")

    assert len(server.requests) - 1 == 2


async def test_deeply_nested_answer_is_a_shape_error(raw_server: RawServers, connect: Connect) -> None:
    """100 000 brackets neither crash the parser nor leave the reader waiting, streamed or not."""
    deep = b'{"choices": ' + b"[" * 100_000
    server = await raw_server(
        [raw_server.answer(deep)], [raw_server.stream_head() + raw_server.chunk(b"data: " + deep + b"\n\n"), "hang"]
    )
    client = connect(server.base_url, retry=ONCE)

    with pytest.raises(ResponseShapeError):
        await client.complete("Hi")
    with pytest.raises(ResponseShapeError):
        await asyncio.wait_for(client.stream("Hi").drain(), 2)


# -- connections -----------------------------------------------------------------------------------------------------


async def test_dead_keep_alive_is_survived(raw_server: RawServers, connect: Connect) -> None:
    """A server that closes after each reply without saying so: 50 calls succeed, each sent at most twice."""
    server = await raw_server([raw_server.completion(), "fin"])
    client = connect(server.base_url)

    results = [await client.complete("Hi") for _ in range(50)]

    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys)) == 50
    assert max(keys.count(key) for key in set(keys)) <= 2
    assert [attempt.outcome for result in results for attempt in result.trace.attempts][-1] == "ok"  # type: ignore[union-attr]


async def test_connection_that_dies_under_a_request_is_resent_at_once(raw_server: RawServers, connect: Connect) -> None:
    """A reused connection that is reset instead of answered: one resend outside of attempts and budget."""
    server = await raw_server([raw_server.completion()], ["rst"], [raw_server.completion()])
    client = connect(server.base_url, retry=RetryPolicy(attempts=2, retry_ratio=0, backoff=(50, 50)))

    await client.complete("Hi")
    result = await asyncio.wait_for(client.complete("Hi"), 2)

    assert result.trace is not None
    assert [(a.outcome, a.billed) for a in result.trace.attempts] == [("connection", "maybe"), ("ok", "yes")]
    assert len(server.requests) == 3


async def test_fresh_connection_that_dies_is_ambiguous(raw_server: RawServers, connect: Connect) -> None:
    """A new connection that closes without an answer: one resend by the policy, then the error."""
    server = await raw_server(["fin"])

    with pytest.raises(APIConnectionError, match="closed the connection without an answer") as caught:
        await connect(server.base_url).complete("Hi")

    assert (len(server.requests), caught.value.phase, caught.value.billed) == (2, "sent", "maybe")


async def test_unknown_host_fails_at_once(connect: Connect) -> None:
    """A name that does not resolve is not tried again, and nothing can have been billed."""
    with pytest.raises(APIConnectionError, match=r"nowhere\.invalid: the host name does not resolve") as caught:
        await connect("https://nowhere.invalid").complete("Hi")

    assert (len(caught.value.attempts), caught.value.billed, caught.value.phase) == (1, "no", "unsent")


async def test_name_server_that_is_away_is_tried_again(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A "temporary failure in name resolution" is no unknown host: it counts as never sent, and is retried."""

    async def away(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", away)

    with pytest.raises(APIConnectionError) as caught:
        await connect("https://nowhere.invalid").complete("Hi")

    assert (len(caught.value.attempts), caught.value.billed) == (4, "no")


async def test_refused_connection_is_tried_again(raw_server: RawServers, connect: Connect) -> None:
    """Nobody listens: four attempts, none of which can have been billed."""
    server = await raw_server([])
    base_url = server.base_url
    await server.stop()

    with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1: cannot connect") as caught:
        await connect(base_url).complete("Hi")

    assert [(a.outcome, a.billed) for a in caught.value.attempts] == [("connection", "no")] * 4


async def test_connecting_has_a_clock(
    raw_server: RawServers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that does not come about ends after ``Timeouts.connect``, and counts as never sent."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", never)
    client = connect("http://127.0.0.1:9", retry=ONCE, timeouts=Timeouts(connect=0.05))

    with pytest.raises(ConnectTimeout) as caught:
        await client.complete("Hi")

    assert (caught.value.phase, caught.value.billed) == ("unsent", "no")
    assert [one for one in chain(caught.value) if type(one).__module__.startswith("aiohttp")] == []


async def test_tls_to_a_plain_port_is_an_error(raw_server: RawServers, connect: Connect) -> None:
    """Where http is spoken, https is an error of ours, nothing of the request was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(raw_server.answer(b"", 400))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        with pytest.raises(APIConnectionError, match="the server speaks no TLS on this port; base_url must") as caught:
            await connect(f"https://127.0.0.1:{port_of(server)}").complete("Hi")
    finally:
        server.close()

    assert (caught.value.phase, caught.value.billed) == ("unsent", "no")
    assert (caught.value.retryable, len(caught.value.attempts)) == (False, 1)


async def test_certificate_that_does_not_verify_ends_the_call(
    raw_server: RawServers, connect: Connect, self_signed: ssl.SSLContext
) -> None:
    """A self-signed certificate: nothing is sent, nothing is tried again, and the message says why."""
    server = await raw_server([raw_server.completion()], context=self_signed)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the broken handshake

    with pytest.raises(APIConnectionError, match=r"certificate does not verify .*self.signed") as caught:
        await connect(server.base_url.replace("http:", "https:")).complete("Hi")

    assert (len(caught.value.attempts), len(server.requests), caught.value.retryable) == (1, 0, False)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for loopback that nobody knows, and its key."""
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *(*names, "-keyout", str(key), "-out", str(certificate), "-days", "1"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def self_signed(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """A server's context with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """A client's context that knows it."""
    return ssl.create_default_context(cafile=certificate[0])


async def test_exchanges_over_tls(
    raw_server: RawServers, connect: Connect, self_signed: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """With a context of the user's: calls, a large upload and a stream over one connection."""
    scripts: list[list[Any]] = [
        [raw_server.completion("one")],
        [raw_server.completion("two")],
        [raw_server.stream("thr", "ee")],
    ]
    server = await raw_server(*scripts, context=self_signed)
    client = connect(server.base_url.replace("http:", "https:"), ssl_context=trusting)

    texts = [(await client.complete(prompt)).text for prompt in ("Hi", "x" * 3 * 2**20)]
    texts.append((await client.stream("Hi").drain()).text)

    assert ["one", "two", "three"] == texts
    assert len(server.requests[1].body) > 3 * 2**20
    assert server.connections == 1


async def test_exchanges_through_a_proxy(
    raw_server: RawServers, connect: Connect, self_signed: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """A proxy is asked for a tunnel, once for two calls, and sees the proxy's password but not the key."""
    server = await raw_server([raw_server.completion("one")], [raw_server.completion("two")], context=self_signed)
    heads: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(2**16):
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    url = server.base_url.replace("http:", "https:")
    client = connect(url, ssl_context=trusting, proxy=f"http://user:pass@127.0.0.1:{port_of(proxy)}")
    try:
        texts = [(await client.complete("Hi")).text for _ in range(2)]
    finally:
        await client.aclose()
        proxy.close()

    assert ["one", "two"] == texts
    assert len(heads) == 1
    assert heads[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1" % server.port)
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in heads[0]
    assert KEY.encode() not in heads[0]


async def test_plain_http_through_a_proxy(raw_server: RawServers, connect: Connect) -> None:
    """Plain http is asked for by its whole address."""
    proxy = await raw_server([raw_server.completion("proxied")])

    client = connect("http://127.0.0.1:9/v1", proxy=proxy.base_url.removesuffix("/v1"))

    assert (await client.complete("Hi")).text == "proxied"
    assert proxy.requests[0].target == "http://127.0.0.1:9/v1/chat/completions"


async def test_proxy_that_refuses_is_an_error(raw_server: RawServers, connect: Connect) -> None:
    """A proxy that makes no tunnel: nothing of the request was sent, and nothing is tried again."""
    proxy = await raw_server([raw_server.answer(b"", 403)])

    with pytest.raises(APIConnectionError, match="the proxy refused the connection") as caught:
        await connect("https://127.0.0.1:9", proxy=proxy.base_url.removesuffix("/v1")).complete("Hi")

    assert (len(caught.value.attempts), caught.value.billed) == (1, "no")


async def test_answer_before_the_request_is_sent(raw_server: RawServers, connect: Connect) -> None:
    """A server that answers while a large request is still being written gets the rest of it, and is heard."""
    size = 12 * 2**20

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(raw_server.stream_head() + raw_server.chunk(raw_server.event("early")))
        await writer.drain()
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await reader.readexactly(length)
        writer.write(raw_server.chunk(raw_server.event(finish="stop") + raw_server.DONE) + raw_server.LAST)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**16)
    client = connect(f"http://127.0.0.1:{port_of(server)}", retry=ONCE, timeouts=Timeouts(idle=5))
    try:
        completion = await client.stream("x" * size).drain()
    finally:
        server.close()

    assert completion.text == "early"


# -- the key ---------------------------------------------------------------------------------------------------------


def shown(error: BaseException) -> str:
    """Everything of an exception that a log, a debugger or a crash report would show."""
    parts = [str(error), repr(error), repr(error.args), repr(vars(error)), repr(getattr(error, "__notes__", ()))]
    captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts += captured.format()
    return "".join(parts)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def failures(raw_server: RawServers) -> dict[str, list[Any]]:
    """Scripts of servers that fail in the named ways."""
    echo = f"Incorrect API key provided: {KEY}. Authorization: Bearer {KEY}"
    return {
        "401 that echoes it": [raw_server.answer({"error": {"message": echo}}, 401)],
        "page that echoes it": [raw_server.answer(f"<h1>{echo}</h1>".encode(), content_type="text/html")],
        "inside a 200": [raw_server.answer({"error": {"message": echo, "code": 401}})],
        "disconnect": ["fin"],
        "no http": [b"\x00\x01\x02 garbage\r\n\r\n", "fin"],
        "half an answer": [raw_server.completion()[:-9], "rst"],
        "response clock": ["hang"],
        "first token clock": ["hang"],
        "total": ["hang"],
        "cut stream": [raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "rst"],
        "idle stream": [raw_server.stream_head() + raw_server.chunk(raw_server.event("a")), "hang"],
        "refused": [],
    }


async def failing(how: str, raw_server: RawServers, connect: Connect) -> AnyFastError:
    """The error of a call that fails in the named way."""
    server = await raw_server(failures(raw_server)[how])
    base_url = server.base_url
    if how == "refused":
        await server.stop()
    timeouts = Timeouts(
        response=0.05 if how == "response clock" else 5,
        first_token=0.05 if how == "first token clock" else 5,
        idle=0.05,
        total=0.05 if how == "total" else None,
    )
    client = connect(base_url, retry=ONCE, timeouts=timeouts)
    with pytest.raises(AnyFastError) as caught:
        if "stream" in how or "token" in how:
            await client.stream("Hi").drain()
        else:
            await client.complete("Hi")
    return caught.value


FAILURES = [
    "401 that echoes it", "page that echoes it", "inside a 200", "disconnect", "no http", "half an answer",
    "response clock", "first token clock", "total", "cut stream", "idle stream", "refused",
]  # fmt: skip


@pytest.mark.parametrize("how", FAILURES)
async def test_key_shows_in_no_error(
    how: str, raw_server: RawServers, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the key nor its end is in str, repr, args, attributes, pickles, logs or a traceback with locals."""
    caplog.set_level(logging.DEBUG)

    error = await failing(how, raw_server, connect)

    text = shown(error) + repr(pickle.dumps(error)) + caplog.text
    assert [secret for secret in (KEY, KEY[-8:]) if secret in text] == []


@pytest.mark.parametrize("how", FAILURES)
async def test_no_exception_of_aiohttp_hangs_on_ours(how: str, raw_server: RawServers, connect: Connect) -> None:
    """Neither the cause nor the context of our exception is one of aiohttp's: those hold the headers."""
    error = await failing(how, raw_server, connect)

    assert [one for one in chain(error) if type(one).__module__.startswith("aiohttp")] == []


def test_secret_does_not_show() -> None:
    """A secret is not in its repr, its str or a format, and is not pickled."""
    secret = Secret(KEY)

    assert {repr(secret), str(secret), f"{secret}"} == {"Secret('***')"}
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


async def test_client_does_not_show_its_key(connect: Connect) -> None:
    """The client's repr names the gateway and the model only."""
    client = connect("http://127.0.0.1:9/v1")

    assert repr(client) == "AnyFast(base_url='http://127.0.0.1:9/v1', model='gemini-2.5-pro')"
    assert KEY not in repr(vars(client))


# -- loops and closing -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what that is about is the next test
def test_client_serves_one_loop_after_another() -> None:
    """Built outside of a loop, used in two successive ``asyncio.run``: both work, connections left open or not."""
    first, second = two_loops()
    gc.collect()

    assert first == second
    assert first[0] == first[1]


def test_change_of_loops_leaves_no_connection_behind() -> None:
    """Once the client serves another loop, the pooled connections of the one before are closed: nothing warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        two_loops()
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


def two_loops() -> tuple[list[str], list[str]]:
    """What a client answers in one ``asyncio.run`` and in the next; it is closed in a third."""
    with Simulator.in_thread() as sim:
        client = AnyFast(KEY, base_url=sim.base_url, model="gemini-2.5-pro", limits=Limits(concurrency=1))

        async def twice() -> list[str]:
            return [(await client.complete("Hi")).text, await streamed(client)]

        first, second = asyncio.run(twice()), asyncio.run(twice())
        asyncio.run(client.aclose())
    return first, second


async def streamed(client: AnyFast) -> str:
    return "".join([token async for token in client.stream("Hi")])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the user left it open
def test_stream_left_open_in_a_loop_before_breaks_nothing() -> None:
    """A stream that was open when its loop ended keeps neither the next loop from working nor closing from ending."""
    with Simulator.in_thread() as sim:
        sim.stall(after=2)
        client = AnyFast(KEY, base_url=sim.base_url, model="gemini-2.5-pro")

        async def leaves_it_open() -> Any:
            return await client.stream("Hi")

        streams = [asyncio.run(leaves_it_open())]

        async def goes_on() -> str:
            text = (await client.complete("Hi")).text
            await client.aclose()
            return text

        text = asyncio.run(goes_on())
        streams.clear()
        gc.collect()

    assert text


async def test_second_loop_is_refused_while_the_first_runs(sim: Simulator, client: AnyFast) -> None:
    """From a thread with a loop of its own the client says what is wrong; nothing is sent."""
    await client.complete("Hi")

    def elsewhere() -> None:
        asyncio.run(client.complete("Hi"))

    with pytest.raises(ClientStateError, match="another event loop"):
        await asyncio.to_thread(elsewhere)

    assert len(sim.requests) == 1


def test_closing_before_use() -> None:
    """A client that was never used can be closed, twice, and is closed then."""

    async def run() -> None:
        client = AnyFast(KEY, base_url="http://127.0.0.1:9", model="m")
        await client.aclose()
        await client.aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await client.complete("Hi")
        with pytest.raises(ClientStateError, match="closed"):
            async with client:
                pass

    asyncio.run(run())


@pytest.mark.parametrize("where", ["queued", "in flight", "streaming", "opening", "backoff"])
async def test_closing_ends_every_call(sim: Simulator, connect: Connect, where: str) -> None:
    """Closing ends calls in the queue, on their way, in a stream and between attempts; their tasks go on."""
    client = connect(sim.base_url, limits=Limits(concurrency=1), retry=RetryPolicy(backoff=(60, 60)))
    if where == "backoff":
        sim.fail(500)
    else:
        sim.stall(after=3 if where == "streaming" else 0)

    async def call() -> str:
        try:
            if where in ("streaming", "opening"):
                await client.stream("Hi").drain()
            else:
                await client.complete("Hi")
        except ClientStateError as error:
            await asyncio.sleep(0)
            return str(error)
        return "went well"

    tasks = [asyncio.create_task(call())]
    await until(lambda: len(sim.requests) == 1)
    if where == "queued":
        tasks.append(asyncio.create_task(call()))
    await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    await client.aclose()
    results = await asyncio.gather(*tasks)

    assert asyncio.get_running_loop().time() - began < 1
    assert [task.cancelling() for task in tasks] == [0] * len(tasks)
    assert [result for result in results if "closed" not in result] == []


async def test_closing_leaves_what_has_arrived(sim: Simulator, connect: Connect) -> None:
    """A stream that had come whole before the client was closed can still be read to its end."""
    sim.reply("Hi there")
    client = connect(sim.base_url)
    stream = await client.stream("Hi")
    await until(lambda: stream._receiver is not None and stream._receiver.ended)

    await client.aclose()

    assert (await stream.drain()).text == "Hi there"


async def until(condition: Any) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.001)


async def test_grace_lets_calls_in_flight_end(sim: Simulator, connect: Connect) -> None:
    """With grace, what is on its way is answered; what is queued ends at once, and so does what comes later."""
    sim.stall(after=0, seconds=0.05)
    client = connect(sim.base_url, limits=Limits(concurrency=1))
    flying = asyncio.create_task(client.complete("Hi"))
    await until(lambda: sim.in_flight == 1)
    queued = asyncio.create_task(client.complete("Hi"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(client.aclose(grace=2))
    await asyncio.sleep(0.01)

    assert queued.done()
    assert isinstance(queued.exception(), ClientStateError)
    with pytest.raises(ClientStateError):
        await client.complete("Hi")
    assert (await flying).text
    await closing


async def test_grace_ends(sim: Simulator, connect: Connect) -> None:
    """When the grace is over, what is still on its way ends too."""
    sim.stall(after=0)
    client = connect(sim.base_url)
    flying = asyncio.create_task(client.complete("Hi"))
    await until(lambda: sim.in_flight == 1)

    await client.aclose(grace=0.03)

    assert isinstance(flying.exception() if flying.done() else None, ClientStateError)


async def test_pool_has_no_queue_of_its_own(client: AnyFast) -> None:
    """The connector has no limit, so that our gate is the only queue; keep-alive is 55 s."""
    await client.complete("Hi")
    session = client._shared.transport._session
    assert session is not None
    assert isinstance(session.connector, aiohttp.TCPConnector)

    assert (session.connector.limit, session.connector.limit_per_host) == (0, 0)
    assert session.connector._keepalive_timeout == 55
    assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
    assert (session.trust_env, session.timeout.total) == (False, None)


def protocols_of(connector: Any) -> list[Any]:
    """The protocols that aiohttp made, of all connections: those that wait and, as it sees it, those in use."""
    return [*connector._acquired, *(protocol for kept in connector._conns.values() for protocol, _ in kept)]


async def test_connections_are_probed(client: AnyFast) -> None:
    """Sockets ask after 60 s of silence whether the other side is still there."""
    await client.complete("Hi")
    session = client._shared.transport._session
    assert session is not None
    (protocol,) = protocols_of(session.connector)
    sock = protocol.transport.get_extra_info("socket")

    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_all_uses_are_silent_in_development_mode() -> None:
    """``python -X dev -W error`` over await, stream, map and a dropped connection prints nothing."""
    program = textwrap.dedent("""
        import asyncio
        from anyfast_async import AnyFast
        from anyfast_async.simulator import Simulator

        async def main():
            asyncio.get_running_loop().slow_callback_duration = 60  # what a busy machine takes says nothing
            async with Simulator() as sim, AnyFast("sk-test", base_url=sim.base_url, model="gemini-2.5-pro") as client:
                await client.complete("Hi")
                async with client.stream("Hi") as stream:
                    async for _ in stream:
                        break
                await client.map(["a", "b", "c"])
                await client.models()
                sim.drop()
                await client.complete("Hi")

        asyncio.run(main())
    """)

    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANYFAST_")},
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# -- the two ways ----------------------------------------------------------------------------------------------------


async def test_session_is_passed_by_unless_something_hooks_in(client: AnyFast, way: str) -> None:
    """The session's own way is taken if, and only if, its method is not aiohttp's own."""
    taken = 0
    session = client._shared.transport._session_here()
    request = session.request

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal taken
        taken += 1
        return request(*args, **kwargs)

    session.request = counted  # type: ignore[method-assign]

    await client.complete("Hi")

    assert taken == (0 if way == "direct" else 1)


async def test_tracer_sees_every_request(connect: Connect, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What adds its own tracing to every session, as instrumentation does, is told of the client's requests."""
    seen: list[str] = []
    make = aiohttp.ClientSession.__init__

    async def started(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(f"{params.method} {params.url.path}")

    def traced(*args: Any, trace_configs: Any = (), **kwargs: Any) -> None:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(started)
        make(*args, trace_configs=[*trace_configs, config], **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)

    await connect(sim.base_url).complete("Hi")

    assert ["POST /v1/chat/completions"] == seen


def test_aiohttp_is_the_one_that_is_known(way: str) -> None:
    """Fails when aiohttp's connector, request or session have changed: every call then goes the session's way.

    Read again what ``Transport._connected`` relies on: the arguments of ``BaseConnector.connect`` and ``_get``, what
    it makes of its target, ``Connection.transport`` and ``close``, and ``_tail`` of the protocol that is replaced.
    """
    assert pool.is_known()
    assert _session.is_hooked() == (way == "session")


async def test_protocol_that_is_replaced_keeps_nothing(client: AnyFast, way: str) -> None:
    """The protocol that aiohttp made has read nothing, and has the tail in which early bytes are looked for."""
    await client.complete("Hi")
    session = client._shared.transport._session
    assert session is not None
    (protocol,) = protocols_of(session.connector)

    assert (protocol._tail, protocol.should_close) == (b"", False)


async def test_server_that_speaks_first_is_heard(connect: Connect, raw_server: RawServers) -> None:
    """A server that refuses before it has read anything, as overloaded ones do: its answer counts."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw_server.answer({"error": {"message": "too many"}}, 503))
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        with pytest.raises(InternalServerError, match="too many"):
            await connect(f"http://127.0.0.1:{port_of(server)}", retry=ONCE).complete("Hi")
    finally:
        server.close()


# -- aioresponses ----------------------------------------------------------------------------------------------------


async def test_shim_for_aioresponses_is_still_needed() -> None:
    """Fails when a released aioresponses works with this aiohttp as it is: then remove ``_Response`` in conftest.py."""
    with aioresponses.aioresponses() as mock:
        mock.get("http://127.0.0.1:9/")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError, match="stream_writer"):
                await session.get("http://127.0.0.1:9/")
