"""Through a proxy: TLS in a CONNECT tunnel that sees nothing, proxies that refuse or die, and whose settings count."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import logging
import ssl
import traceback
import warnings
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trustme

from anyfast_async import (
    AnyFast,
    AnyFastError,
    APIConnectionError,
    ConfigurationError,
    ConnectTimeout,
    RetryPolicy,
    Timeouts,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Connect, RawServer, RawServers

KEY = "sk-test-0123456789-abcdefgh"
PASSWORD = "pass-0123456789-word"
GATEWAY = "https://gateway.example/v1"
"""Nobody can look that name up here: only a proxy reaches it."""
ONCE = RetryPolicy(attempts=1)
REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


# -- a proxy ---------------------------------------------------------------------------------------------------------


class Proxy:
    """Takes CONNECT and leads every tunnel to one port of this machine; or answers, closes, hangs."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        """What was asked of it, whole."""
        self.tunnelled = bytearray()
        """What went through it to the other side."""
        self.port = 0
        self.tunnel_to = 0
        self.answer: bytes | str = b"HTTP/1.1 200 Connection established\r\n\r\n"
        """Or ``"close"``, ``"hang"``."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(self.answer, str):
                if self.answer == "hang":
                    await reader.read()
                return
            writer.write(self.answer)
            await writer.drain()
            if b" 200 " in self.answer and self.tunnel_to:
                await self._tunnel(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.tunnel_to)
        answers = asyncio.create_task(self._copy(there, writer))
        try:
            while data := await reader.read(65536):
                self.tunnelled += data
                back.write(data)
                await back.drain()
        finally:
            back.close()
            answers.cancel()
            await asyncio.wait({answers})

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def running(proxy: Proxy, context: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await proxy.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


@pytest.fixture
async def proxy(no_leaks: None) -> AsyncIterator[Proxy]:
    """A proxy that runs."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # broken handshakes are wanted
    async with running(Proxy()) as one:
        yield one


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that nobody else knows."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


Gateway: TypeAlias = "Callable[..., Any]"


@pytest.fixture
def gateway(raw_server: RawServers, proxy: Proxy, authority: trustme.CA) -> Gateway:
    """Makes a server with TLS, by the name of gateway.example or another one, that the proxy leads to."""

    async def make(*scripts: Any, name: str = "gateway.example") -> RawServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        server = await raw_server(*scripts, context=context)
        proxy.tunnel_to = server.port
        return server

    return make


async def failure(client: Any, verb: str = "complete") -> AnyFastError:
    """The error of a call."""
    with pytest.raises(AnyFastError) as caught:
        await (client.complete("Hi") if verb == "complete" else client.stream("Hi").drain())
    return caught.value


# -- the tunnel ------------------------------------------------------------------------------------------------------


async def test_tunnel_shows_the_proxy_host_and_port_only(
    connect: Connect, proxy: Proxy, gateway: Gateway, raw_server: RawServers, trusting: ssl.SSLContext
) -> None:
    """20 calls: one CONNECT with the gateway's host and port; key, path and prompt stay inside of TLS, and arrive."""
    scripts: list[Any] = [[raw_server.completion()], [raw_server.stream("Hi")]] * 10
    server = await gateway(*scripts)
    client = connect(GATEWAY, proxy=proxy.url, ssl_context=trusting)

    for number in range(20):
        await (client.stream("my prompt").drain() if number % 2 else client.complete("my prompt"))

    (head,) = proxy.heads
    first, *lines = head.decode().strip().split("\r\n")
    assert first == "CONNECT gateway.example:443 HTTP/1.1"
    assert {line.partition(":")[0].lower() for line in lines} <= {"host", "user-agent", "accept", "accept-encoding"}
    assert "Host: gateway.example" in head.decode()
    assert [] == [word for word in (KEY, "uthorization", "chat", "my prompt") if word.encode() in head]
    assert [] == [word for word in (KEY, "uthorization", "chat", "my prompt") if word.encode() in proxy.tunnelled]
    assert {f"Bearer {KEY}"} == {request.headers["authorization"] for request in server.requests}
    assert [] == [r for r in server.requests if r.json["messages"] != [{"role": "user", "content": "my prompt"}]]
    assert (20, 1) == (len(server.requests), server.connections)


async def test_large_request_through_a_tunnel(
    connect: Connect, proxy: Proxy, gateway: Gateway, raw_server: RawServers, trusting: ssl.SSLContext
) -> None:
    """3 MiB of prompt arrive as they were given."""
    server = await gateway([raw_server.completion("got it")])
    text = "0123456789abcdef" * (3 * 65536)

    answer = await connect(GATEWAY, proxy=proxy.url, ssl_context=trusting).complete(text)

    assert ("got it", text) == (answer.text, server.requests[0].json["messages"][0]["content"])


async def test_proxy_that_speaks_tls_itself(
    *, connect: Connect, proxy: Proxy, gateway: Gateway, raw_server: RawServers, authority: trustme.CA, trusting: Any
) -> None:
    """An https:// proxy: TLS to it, and the gateway's TLS inside of that."""
    server = await gateway([raw_server.completion("twice wrapped")])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    wrapped = Proxy()
    wrapped.tunnel_to = server.port

    async with running(wrapped, context):
        client = connect(GATEWAY, proxy=wrapped.url.replace("http:", "https:"), ssl_context=trusting)
        answer = await client.complete("Hi")
        await client.aclose()

    assert ("twice wrapped", 1) == (answer.text, len(wrapped.heads))


async def test_user_of_the_proxy_is_for_the_proxy(
    connect: Connect, proxy: Proxy, gateway: Gateway, raw_server: RawServers, trusting: ssl.SSLContext
) -> None:
    """User and password in the proxy's URL go to it as ``Proxy-Authorization``, and never to the gateway."""
    server = await gateway([raw_server.completion()])
    client = connect(GATEWAY, proxy=f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}", ssl_context=trusting)

    await client.complete("Hi")

    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    assert f"Proxy-Authorization: Basic {basic}\r\n" in proxy.heads[0].decode()
    assert [] == [line for line in server.requests[0].lines if basic in line or PASSWORD in line or "roxy" in line]


async def test_certificate_counts_in_a_tunnel(
    connect: Connect, proxy: Proxy, gateway: Gateway, raw_server: RawServers, trusting: ssl.SSLContext
) -> None:
    """A proxy that leads somewhere else is found out: the request is not sent there, and not tried again."""
    server = await gateway([raw_server.completion()], name="elsewhere.example")

    error = await failure(connect(GATEWAY, proxy=proxy.url, ssl_context=trusting))

    assert "gateway.example: the server's certificate does not verify (Hostname mismatch" in str(error)
    assert (1, "no", 0, 1) == (len(error.attempts), error.billed, server.connections, len(proxy.heads))


# -- proxies that do not work ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["complete", "stream"])
@pytest.mark.parametrize("status", [400, 403, 405, 407])
async def test_proxy_that_refuses(connect: Connect, proxy: Proxy, status: int, verb: str) -> None:
    """It says that it was the proxy and which status; nothing was sent to the gateway, and nothing is tried again."""
    proxy.answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()

    error = await failure(connect(GATEWAY, proxy=proxy.url), verb)

    assert isinstance(error, APIConnectionError)
    assert "the proxy refused the connection" in str(error)
    assert str(status) in str(error)
    assert ("unsent", "no", False, 1) == (error.phase, error.billed, error.retryable, len(proxy.heads))
    assert [(1, "connection", "no")] == [(a.number, a.outcome, a.billed) for a in error.attempts]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_proxy_that_does_not_reach_the_gateway(connect: Connect, proxy: Proxy, status: int) -> None:
    """The proxy's own 502, 503 and 504 pass: the request was never sent, so all attempts are made, none is billed."""
    proxy.answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()

    error = await failure(connect(GATEWAY, proxy=proxy.url))

    assert [("connection", "no")] * 4 == [(a.outcome, a.billed) for a in error.attempts]
    assert 4 == len(proxy.heads)


@pytest.mark.parametrize("answer", ["close", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_proxy_that_dies_before_the_tunnel_stands(connect: Connect, proxy: Proxy, answer: bytes | str) -> None:
    """Closed or garbled in CONNECT, or in the handshake behind it: nothing of the request was sent or billed."""
    proxy.answer = answer

    error = await failure(connect(GATEWAY, proxy=proxy.url))

    assert isinstance(error, APIConnectionError)
    assert ("unsent", "no") == (error.phase, error.billed)
    assert [("connection", "no")] * 4 == [(a.outcome, a.billed) for a in error.attempts]


async def test_proxy_that_is_down(connect: Connect, proxy: Proxy) -> None:
    """Nobody listens there: tried four times as never sent, and the message says that it is the proxy."""
    async with running(Proxy()) as gone:
        url = gone.url

    error = await failure(connect(GATEWAY, proxy=url))

    assert "cannot connect to the proxy" in str(error)
    assert [("connection", "no")] * 4 == [(a.outcome, a.billed) for a in error.attempts]


async def test_proxy_that_hangs_is_under_the_clock_for_connecting(connect: Connect, proxy: Proxy) -> None:
    """A CONNECT that is never answered ends with ``Timeouts.connect``."""
    proxy.answer = "hang"
    client = connect(GATEWAY, proxy=proxy.url, retry=ONCE, timeouts=Timeouts(connect=0.05, response=5))

    error = await failure(client)

    assert isinstance(error, ConnectTimeout)
    assert ("unsent", "no") == (error.phase, error.billed)


async def test_unknown_host_of_a_proxy(connect: Connect) -> None:
    """A proxy whose name does not resolve ends the call at once, as never sent."""
    error = await failure(connect(GATEWAY, proxy="http://proxy.example:3128"))

    assert "does not resolve" in str(error)
    assert (1, "no") == (len(error.attempts), error.billed)


# -- the password of the proxy ---------------------------------------------------------------------------------------


def shown(error: BaseException) -> str:
    """Everything of an exception that a log, a debugger or a crash report would show, frames of this file excepted."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in report.stack if frame.filename != __file__]
    return "".join([str(error), repr(error), repr(vars(error)), *(repr((f.name, f.line, f.locals)) for f in frames)])


@pytest.mark.parametrize("how", ["works", "refuses", "down", "dies", "hangs", "drops"])
async def test_password_of_the_proxy_never_shows(
    *,
    connect: Connect,
    proxy: Proxy,
    gateway: Gateway,
    raw_server: RawServers,
    trusting: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    """Not in errors, logs at DEBUG, warnings or the client's repr, whether it works, refuses, dies or is left."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    stream = raw_server.stream_head() + raw_server.chunk(raw_server.event("so far"))
    await gateway([stream, "hang"] if how == "drops" else [raw_server.completion()])
    answers: dict[str, bytes | str] = {"refuses": REFUSAL, "dies": "close", "hangs": "hang"}
    proxy.answer = answers.get(how, proxy.answer)
    port = proxy.port if how != "down" else 1
    client = connect(
        GATEWAY,
        proxy=f"http://me:{PASSWORD}@127.0.0.1:{port}",
        ssl_context=trusting,
        retry=ONCE,
        timeouts=Timeouts(connect=0.1 if how == "hangs" else 5),
    )
    text = repr(client)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if how == "works":
            await client.complete("Hi")
        elif how == "drops":
            left = await client.stream("Hi")
            text += repr(left)
            del left
            gc.collect()
            await asyncio.sleep(0.01)
        else:
            text += shown(await failure(client))
        text += repr(vars(client)) + repr(client.stats()) + str(client.stats())
        await client.aclose()
        gc.collect()

    text += caplog.text + "".join(str(one.message) for one in warned)
    secrets = [PASSWORD, base64.b64encode(f"me:{PASSWORD}".encode()).decode(), KEY]
    assert [] == [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("url", [f"socks5://me:{PASSWORD}@p.example", f"http://me:{PASSWORD}@", f"me:{PASSWORD}@p"])
def test_proxy_that_is_refused_is_not_echoed(url: str) -> None:
    """What cannot be a proxy's URL is a configuration error without the password in it."""
    with pytest.raises(ConfigurationError, match="proxy must be") as caught:
        AnyFast(KEY, base_url=GATEWAY, proxy=url)

    assert PASSWORD not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


# -- the environment -------------------------------------------------------------------------------------------------


async def test_proxy_of_the_environment(
    *,
    connect: Connect,
    proxy: Proxy,
    gateway: Gateway,
    raw_server: RawServers,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``proxy="env"`` goes through HTTPS_PROXY."""
    await gateway([raw_server.completion("through it")])
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    assert "through it" == (await connect(GATEWAY, proxy="env", ssl_context=trusting).complete("Hi")).text
    assert 1 == len(proxy.heads)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "FTP_PROXY"])
async def test_other_variables_are_not_obeyed(
    connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """``proxy="env"`` is about HTTPS_PROXY alone: with another variable set, no proxy is asked."""
    monkeypatch.setenv(name, proxy.url)

    error = await failure(connect(GATEWAY, proxy="env"))

    assert ("gateway.example: the host name does not resolve" in str(error), proxy.heads) == (True, [])


@pytest.mark.parametrize("name", ["gateway.example", ".example", "other.example,gateway.example", "*"])
async def test_no_proxy_is_obeyed(connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """NO_PROXY excepts hosts by name, by domain or all of them."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", name)

    error = await failure(connect(GATEWAY, proxy="env"))

    assert ("gateway.example: the host name does not resolve" in str(error), proxy.heads) == (True, [])


async def test_unused_proxy_of_the_environment_is_mentioned(
    connect: Connect, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``proxy`` the environment is not obeyed; where no connection comes about, the error says so."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    error = await failure(connect(GATEWAY))

    assert "HTTPS_PROXY is set but not used: pass proxy='env' to use it" in str(error)
    assert [] == proxy.heads


async def test_surroundings_change_nothing_under_tls(
    *,
    connect: Connect,
    raw_server: RawServers,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    proxy: Proxy,
) -> None:
    """netrc, every proxy variable and cookies leave an https request as it is byte for byte, and no proxy is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    cookie = raw_server.answer(raw_server.completion_body(), set_cookie="session=1; Path=/; Secure")
    scripts: list[Any] = [[cookie], [raw_server.stream("Hi")]] * 3
    server = await raw_server(*scripts, context=context)

    async def both() -> None:
        client = connect(
            f"https://localhost:{server.port}", ssl_context=trusting, headers={"Idempotency-Key": "the same"}
        )
        await client.complete("Hi")
        await client.stream("Hi").drain()

    await both()
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login me password secret\nmachine localhost login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY"):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv(name.lower(), proxy.url)
    await both()
    await both()

    clean = [(r.method, r.target, r.lines, r.body) for r in server.requests[:2]]
    assert clean * 2 == [(r.method, r.target, r.lines, r.body) for r in server.requests[2:]]
    assert [] == proxy.heads
