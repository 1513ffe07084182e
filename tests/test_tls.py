"""TLS with a certificate authority that is made for the test: what is trusted, what is refused, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    ConnectTimeout,
    IncompleteStreamError,
    RetryPolicy,
    Timeouts,
)

if TYPE_CHECKING:
    from conftest import Connect, RawServer, RawServers

ONCE = RetryPolicy(attempts=1)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that nobody else knows."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What a user makes for a gateway behind a certificate authority of their own."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """The context of a server that shows *certificate*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def https(server: RawServer) -> str:
    """The address of *server*, by name."""
    return f"https://localhost:{server.port}/v1"


@pytest.fixture(autouse=True)
async def _broken_handshakes_are_wanted() -> None:
    """The server's side of them is not reported."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)


# -- what is trusted -------------------------------------------------------------------------------------------------


async def test_own_authority_is_trusted(
    raw_server: RawServers, connect: Connect, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """With its authority in ``ssl_context`` a gateway answers calls, streams and listings; the request is complete."""
    models = raw_server.answer({"object": "list", "data": [{"id": "m", "object": "model"}]})
    server = await raw_server(
        [raw_server.completion("whole")],
        [raw_server.stream("in ", "pieces")],
        [models],
        context=serving(authority.issue_cert("localhost")),
    )
    client = connect(https(server), ssl_context=trusting)

    assert "whole" == (await client.complete("Hi")).text
    assert "in pieces" == (await client.stream("Hi").drain()).text
    assert ["m"] == [model.id for model in await client.models()]
    assert [{"role": "user", "content": "Hi"}] == server.requests[0].json["messages"]


async def test_one_handshake_serves_20_calls(
    raw_server: RawServers, connect: Connect, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """20 calls in a row, streamed or not: one connection, so one handshake; only the first one tells of connecting."""
    scripts: list[Any] = [[raw_server.completion()], [raw_server.stream("Hi")]] * 10
    server = await raw_server(*scripts, context=serving(authority.issue_cert("localhost")))
    client = connect(https(server), ssl_context=trusting)

    answers = [await (client.stream("Hi").drain() if number % 2 else client.complete("Hi")) for number in range(20)]

    assert (20, 1) == (len(server.requests), server.connections)
    assert [True] + [False] * 19 == [a.trace is not None and a.trace.connect is not None for a in answers]


async def test_certificate_of_the_client_is_shown(
    raw_server: RawServers, connect: Connect, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """A gateway that wants certificates of its clients takes the one in ``ssl_context``."""
    context = serving(authority.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = await raw_server([raw_server.completion("known")], context=context)
    authority.issue_cert("client@example.org").configure_cert(trusting)

    assert "known" == (await connect(https(server), ssl_context=trusting).complete("Hi")).text


# -- what is not -----------------------------------------------------------------------------------------------------


def wrong_host(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("gateway.example", "127.0.0.2")


def expired(authority: trustme.CA) -> trustme.LeafCert:
    now = datetime.now(UTC)
    return authority.issue_cert("localhost", not_before=now - 2 * DAY, not_after=now - DAY)


def not_yet_valid(authority: trustme.CA) -> trustme.LeafCert:
    now = datetime.now(UTC)
    return authority.issue_cert("localhost", not_before=now + DAY, not_after=now + 2 * DAY)


def of_another_authority(_: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("localhost")


class SelfSigned(trustme.LeafCert):
    """An authority's own certificate, shown by a server."""

    def __init__(self) -> None:
        authority = trustme.CA()
        super().__init__(authority.private_key_pem.bytes(), authority.cert_pem.bytes(), [])


def self_signed(_: trustme.CA) -> trustme.LeafCert:
    return SelfSigned()


REFUSED: list[tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = [
    (wrong_host, r"not valid for 'localhost'"),
    (expired, r"certificate has expired"),
    (not_yet_valid, r"certificate is not yet valid"),
    (of_another_authority, r"unable to get local issuer certificate"),
    (self_signed, r"self.signed certificate"),
]


async def call(client: AnyFast, verb: str) -> AnyFastError:
    """The error of one call."""
    if verb == "map":
        (result,) = await client.map(["Hi"])
        assert result.error is not None
        return result.error
    with pytest.raises(AnyFastError) as caught:
        await (client.complete("Hi") if verb == "complete" else client.stream("Hi").drain())
    return caught.value


@pytest.mark.parametrize("verb", ["complete", "stream", "map"])
@pytest.mark.parametrize(("certificate", "words"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
async def test_certificate_that_does_not_verify(
    *,
    raw_server: RawServers,
    connect: Connect,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    verb: str,
    certificate: Any,
    words: str,
) -> None:
    """The error says what is wrong with it; not one byte of the request is sent, and nothing is tried again."""
    server = await raw_server([raw_server.completion()], context=serving(certificate(authority)))

    error = await call(connect(https(server), ssl_context=trusting), verb)

    assert isinstance(error, APIConnectionError)
    assert re.fullmatch(rf"localhost: the server's certificate does not verify \(.*{words}.*\)", str(error))
    assert ("unsent", "no", False) == (error.phase, error.billed, error.retryable)
    assert [(1, "connection", "no")] == [(a.number, a.outcome, a.billed) for a in error.attempts]
    # A connection is counted when its handshake is done: before that, no byte of HTTP can have come.
    assert (0, []) == (server.connections, server.requests)


async def test_without_a_context_the_systems_authorities_count(
    raw_server: RawServers, connect: Connect, authority: trustme.CA
) -> None:
    """Our throw-away authority is not among them, so the default refuses what ``ssl_context`` would take."""
    server = await raw_server([raw_server.completion()], context=serving(authority.issue_cert("localhost")))

    error = await call(connect(https(server)), "complete")

    assert "unable to get local issuer certificate" in str(error)
    assert (1, 0) == (len(error.attempts), server.connections)


# -- versions --------------------------------------------------------------------------------------------------------


def only(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    """*context*, which speaks nothing but *version*; old ones need the lowest security level."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


async def shakes_hands(port: int, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return True


@pytest.mark.parametrize("given", ["default", "own"])
async def test_tls_1_1_is_refused(
    raw_server: RawServers, connect: Connect, authority: trustme.CA, trusting: ssl.SSLContext, given: str
) -> None:
    """A server that speaks TLS 1.1 at most gets no request, with or without an ``ssl_context``."""
    context = only(ssl.TLSVersion.TLSv1_1, serving(authority.issue_cert("localhost")))
    server = await raw_server([raw_server.completion()], context=context)
    lenient = ssl.create_default_context()
    authority.configure_trust(lenient)
    if not await shakes_hands(server.port, only(ssl.TLSVersion.TLSv1_1, lenient)):
        pytest.skip("this OpenSSL speaks no TLS 1.1 at all")
    connections = server.connections

    error = await call(connect(https(server), ssl_context=trusting if given == "own" else None), "complete")

    assert re.match("localhost: (TLS failed|cannot connect)", str(error))  # the server tells, or just closes
    assert ("no", []) == (error.billed, server.requests)
    assert connections == server.connections


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_from_1_2_on_is_spoken(
    raw_server: RawServers,
    connect: Connect,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    version: ssl.TLSVersion,
) -> None:
    """A server that speaks TLS 1.2 or 1.3 alone is answered."""
    context = serving(authority.issue_cert("localhost"))
    context.minimum_version = context.maximum_version = version
    server = await raw_server([raw_server.completion("spoken")], context=context)

    assert "spoken" == (await connect(https(server), ssl_context=trusting).complete("Hi")).text


# -- handshakes and connections that break ---------------------------------------------------------------------------


class Listener:
    """Takes connections, keeps what arrives, and does with them as told."""

    def __init__(self, then: str) -> None:
        self._then = then
        self.greetings: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.greetings.append(await reader.read(65536))
        if self._then == "hang":
            await reader.read()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def listening(then: str) -> AsyncIterator[tuple[Listener, str]]:
    listener = Listener(then)
    server = await asyncio.start_server(listener.serve, "localhost", 0)
    try:
        yield listener, f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await server.wait_closed()


async def test_handshake_that_is_broken_off_counts_as_never_sent(connect: Connect, no_leaks: None) -> None:
    """A server that closes in the handshake, as one that restarts does: tried four times, billed never."""
    async with listening("close") as (listener, base_url):
        error = await call(connect(base_url), "complete")

    assert [("connection", "no")] * 4 == [(a.outcome, a.billed) for a in error.attempts]
    assert [b"\x16\x03"] * 4 == [greeting[:2] for greeting in listener.greetings]  # nothing but ClientHello
    assert isinstance(error, APIConnectionError)
    assert ("unsent", True) == (error.phase, error.retryable)


async def test_handshake_is_under_the_clock_for_connecting(connect: Connect, no_leaks: None) -> None:
    """A server that never answers the greeting ends with ``Timeouts.connect``; nothing of the request was sent."""
    async with listening("hang") as (listener, base_url):
        client = connect(base_url, retry=ONCE, timeouts=Timeouts(connect=0.05, response=5))
        error = await call(client, "complete")

    assert isinstance(error, ConnectTimeout)
    assert ("unsent", "no", 1) == (error.phase, error.billed, len(listener.greetings))


async def test_missing_certificate_of_the_client(
    raw_server: RawServers, connect: Connect, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    """A gateway that wants a certificate and gets none: the error says TLS, and not one request has arrived."""
    context = serving(authority.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = await raw_server([raw_server.completion()], context=context)

    error = await call(connect(https(server), ssl_context=trusting), "complete")

    assert isinstance(error, APIConnectionError)
    assert [] == server.requests
    assert len(error.attempts) <= 4


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_stream_cut_under_tls_is_incomplete(
    raw_server: RawServers, connect: Connect, authority: trustme.CA, trusting: ssl.SSLContext, end: str
) -> None:
    """A connection that ends in the middle of a stream is a cut, with what had come, and sent once."""
    server = await raw_server(
        [raw_server.stream_head() + raw_server.chunk(raw_server.event("so far")), end],
        context=serving(authority.issue_cert("localhost")),
    )

    error = await call(connect(https(server), ssl_context=trusting), "stream")

    assert isinstance(error, IncompleteStreamError)
    assert error.partial is not None
    assert ("cut", "so far", 1) == (error.reason, error.partial.text, len(server.requests))
