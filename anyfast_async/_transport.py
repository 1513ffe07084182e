"""One HTTP exchange over pooled connections. The only file that imports aiohttp's client.

What aiohttp does by default and must not do here, and why:

* ``limit=0``: its connector's queue loses wake-ups when a waiter is woken and cancelled in one tick; our gate is the
  only queue.
* no redirects (they would send the prompt, and some headers, elsewhere), no cookies, no ``trust_env`` (netrc would
  replace the Authorization header, and costs two thread hops a request).
* bodies only by ``iter_any`` under a counter: ``read()`` lifts the limit on decompressed data, ``readline`` fails on
  long lines.
* its total timeout of 300 s is off; the clocks are ours.
* its exceptions hold the request headers, so none of them leaves this file, not even as ``__context__``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import ssl
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
import attrs
from aiohttp import http_exceptions
from yarl import URL

from anyfast_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ClientStateError,
    ConnectTimeout,
    ResponseShapeError,
)

if TYPE_CHECKING:
    from anyfast_async._key import Secret
    from anyfast_async.errors import AnyFastError

KEEPALIVE: Final = 55.0
"""Seconds an idle connection is kept: below the 60 s after which common proxies drop it."""
PROBE_AFTER: Final = 60
"""Seconds of silence after which TCP asks whether the other side is still there."""
LARGE_BODY: Final = 1024 * 1024
"""From this size on a request body is written in slices, so that one upload does not stop the loop."""
MAX_BODY: Final = 64 * 1024 * 1024
"""Largest answer in bytes after decompression, streams excepted."""
MAX_UNPACKED: Final = 8 * 1024 * 1024
"""Bytes that a compressed body may unpack to, whatever it was; more must not be a bomb."""
MAX_RATIO: Final = 100
"""How many times as large as it came a body may unpack to: text packs to a tenth, a bomb to a thousandth."""
MAX_ERROR_BODY: Final = 64 * 1024
"""How much of an error's body is read."""
ERROR_PATIENCE: Final = 2.0
"""Seconds that the body of an error may take after its head."""
MAX_STREAM: Final = 1024 * 1024 * 1024
"""Largest stream in bytes."""


class Sink(Protocol):
    """What the transport pushes a streamed body into."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def eof(self) -> None:
        """The body ended in order."""

    def fail(self, error: AnyFastError) -> None:
        """The body broke off."""

    async def ready(self) -> None:
        """Wait until more may be fed."""


class SentHeaders(dict[str, str]):
    """Request headers; the key is among them, so they never show."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


@attrs.frozen
class _Fault:
    message: str
    unsent: bool = False
    retryable: bool = True
    answered: bool = False
    kind: type[APIConnectionError] = APIConnectionError


FAULTS: Final[tuple[tuple[type[BaseException], _Fault], ...]] = (
    (aiohttp.ClientConnectorCertificateError, _Fault("the server's certificate does not verify", True, False)),
    (aiohttp.ServerFingerprintMismatch, _Fault("the server's certificate is not the expected one", True, False)),
    (aiohttp.ClientConnectorDNSError, _Fault("the host name does not resolve", True, False)),
    (aiohttp.ClientConnectorSSLError, _Fault("TLS failed", True)),
    (aiohttp.ClientProxyConnectionError, _Fault("cannot connect to the proxy", True)),
    (aiohttp.ClientHttpProxyError, _Fault("the proxy refused the connection", True, False)),
    (aiohttp.ClientConnectorError, _Fault("cannot connect", True)),
    (aiohttp.ConnectionTimeoutError, _Fault("no connection", True, kind=ConnectTimeout)),
    (aiohttp.ServerTimeoutError, _Fault("no answer in time", kind=APITimeoutError)),
    (aiohttp.ServerDisconnectedError, _Fault("the server closed the connection without an answer")),
    (aiohttp.ClientConnectionResetError, _Fault("the connection was reset")),
    (aiohttp.ClientOSError, _Fault("the connection broke")),
    (aiohttp.ClientConnectionError, _Fault("the connection broke")),
    (aiohttp.ClientPayloadError, _Fault("the answer broke off")),
    (aiohttp.InvalidURL, _Fault("the URL is not valid", True, False)),
    (aiohttp.ClientResponseError, _Fault("the answer is not valid HTTP", answered=True)),
    (aiohttp.ClientError, _Fault("the request failed")),
    (http_exceptions.HttpProcessingError, _Fault("the answer is not valid HTTP", answered=True)),
    (ssl.SSLError, _Fault("TLS failed")),
    (OSError, _Fault("the connection broke")),
)
"""aiohttp's exceptions to ours, the first match wins."""


def fault_of(error: BaseException) -> _Fault | None:
    """Return the row of :data:`FAULTS` for *error*."""
    return next((fault for kind, fault in FAULTS if isinstance(error, kind)), None)


def connection_error(
    error: BaseException, host: str, hint: str = "", *, reused: bool, answering: bool, connecting: bool = False
) -> APIConnectionError:
    """Return our exception for one of aiohttp's; it holds nothing of it but words. *hint* is for failed connects."""
    fault = fault_of(error) or _Fault("the request failed")
    if connecting and not fault.unsent:  # in CONNECT: aiohttp has the same exceptions for it as for a request
        fault = _Fault("the proxy did not open the connection", unsent=True)
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        message = f"the proxy refused the connection (status {error.status})"
        # 502 to 504: it did not reach the gateway this time
        fault = _Fault(message, unsent=True, retryable=error.status >= 500)  # noqa: PLR2004
    if isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.errno == socket.EAI_AGAIN:
        fault = attrs.evolve(fault, message="the name server does not answer", retryable=True)
    found = fault.kind(f"{host}: {fault.message}{_detail(error)}{hint if fault.unsent else ''}")
    if fault.unsent:
        found.phase, found.billed = "unsent", "no"
        found.retry_class = "unsent" if fault.retryable else "never"
    elif answering or fault.answered:
        found.phase = "answering"
    elif reused:
        found.phase, found.retry_class = "stale", "stale"
    found.retryable = fault.retryable
    return found


def _detail(error: BaseException) -> str:
    """Return the system's words for the failure, which hold no header and no address but the host's."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.strerror:
        return f" ({cause.strerror})"
    return ""


def _socket_factory(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPALIVE", PROBE_AFTER), ("TCP_KEEPINTVL", 15)):
        option = getattr(socket, name, None)  # Linux has the first, macOS the second
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


async def _on_connect_start(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.connecting_since = asyncio.get_running_loop().time()


async def _on_connect_end(_: object, ctx: SimpleNamespace, __: object) -> None:
    exchange: Exchange = ctx.trace_request_ctx
    exchange.connect_seconds = asyncio.get_running_loop().time() - exchange.connecting_since
    exchange.sent()


async def _on_reuse(_: object, ctx: SimpleNamespace, __: object) -> None:
    exchange: Exchange = ctx.trace_request_ctx
    exchange.reused = True
    exchange.sent()


async def _on_chunk_sent(_: object, ctx: SimpleNamespace, __: object) -> None:
    ctx.trace_request_ctx.sent()


def _tracing() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_on_connect_start)
    trace.on_connection_create_end.append(_on_connect_end)
    trace.on_connection_reuseconn.append(_on_reuse)
    trace.on_request_chunk_sent.append(_on_chunk_sent)
    return trace


@attrs.define(eq=False)
class Exchange:
    """One request and its answer."""

    host: str
    on_sent: Callable[[float], None]
    """Told the loop time when the connection is there, and each time when a piece of the request is sent."""
    hide: Callable[[str], str]
    """Takes the key out of what the server says."""
    mask: Callable[[bytes], bytes]
    """The same for bytes."""
    sent_at: float = 0.0
    """Loop time of the last piece of the request."""
    reused: bool = False
    connect_seconds: float | None = None
    connecting_since: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """With lower-case names."""
    _response: aiohttp.ClientResponse | None = attrs.field(default=None, repr=False)
    _broken: APIConnectionError | None = attrs.field(default=None, repr=False)
    _unpacked: int = attrs.field(default=0, repr=False)

    def sent(self) -> None:
        """Note that the request gets on."""
        self.sent_at = asyncio.get_running_loop().time()
        self.on_sent(self.sent_at)

    async def read(self, limit: int = MAX_BODY) -> bytes:
        """Read the whole body.

        Raises:
            APIConnectionError: it broke off.
            ResponseShapeError: it is larger than *limit*.

        """
        pieces: list[bytes] = []
        size = 0
        while piece := await self._next():
            size += len(piece)
            if size > limit:
                self.close()
                message = f"the answer is larger than {limit} bytes"
                raise ResponseShapeError(message)
            pieces.append(piece)
        return self.mask(b"".join(pieces))

    async def read_error(self, patience: float | None) -> bytes:
        """Read the body of an error: the first of it, and for at most *patience* seconds; the status says enough."""
        pieces: list[bytes] = []
        size = 0
        whole = False
        try:
            async with asyncio.timeout(min(ERROR_PATIENCE, patience or ERROR_PATIENCE)):
                while size < MAX_ERROR_BODY and (piece := await self._next()):
                    pieces.append(piece)
                    size += len(piece)
            whole = size < MAX_ERROR_BODY
        except (APIConnectionError, TimeoutError):
            pass
        if not whole:
            self.close()
        return self.mask(b"".join(pieces)[:MAX_ERROR_BODY])

    async def pump(self, sink: Sink, limit: int = MAX_STREAM) -> None:
        """Push the body into *sink* until it ends; the sink is told how it ended."""
        size = 0
        try:
            while piece := await self._next():
                size += len(piece)
                if size > limit:
                    message = f"the stream is larger than {limit} bytes"
                    raise ResponseShapeError(message)  # noqa: TRY301
                sink.feed(piece)
                await sink.ready()
        except (APIConnectionError, ResponseShapeError) as error:
            self.close()
            sink.fail(error)
        else:
            sink.eof()

    def close(self) -> None:
        """Close the connection unless the body was read to its end, in which case it went back to the pool."""
        if self._response is not None:
            self._response.close()

    async def _next(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end.

        When a connection breaks, aiohttp raises before it hands out what had arrived; that is taken out of its buffer
        first, so that nothing received is lost, and the error comes with the next call.
        """
        if self._broken is not None:
            raise self._broken
        if self._response is None:
            return b""
        content = self._response.content
        try:
            piece = await content.readany()
            self._unpacked += len(piece)
            packed = content.total_compressed_bytes  # None if it is not compressed
            if packed is not None and self._unpacked > max(MAX_UNPACKED, MAX_RATIO * packed):
                self.close()
                message = f"the answer unpacks to more than {MAX_RATIO} times its size"
                raise ResponseShapeError(message)
            return piece  # noqa: TRY300
        except (aiohttp.ClientError, OSError) as error:
            self._broken = connection_error(error, self.host, reused=self.reused, answering=True)
        if rest := b"".join(getattr(content, "_buffer", ())):
            return rest
        raise self._broken


class Transport:
    """The pooled connections of a client. It belongs to the loop in which it is first used."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None, proxy: str | None, hint: str = "") -> None:
        self._hint = hint
        self._ssl = ssl_context
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._left: list[aiohttp.ClientSession] = []
        """Sessions whose connections are not used again, until they are closed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._ending: AsyncGenerator[None, None] | None = None
        self.on_loop_end: Callable[[], None] = lambda: None
        """Called when the loop ends while there are connections."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it serves, None before its first use."""
        return self._loop

    async def send(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        secret: Secret,
        body: bytes | None,
        connect_timeout: float | None,
        on_sent: Callable[[float], None],
    ) -> Exchange:
        """Send a request and return when the head of the answer is there.

        *on_sent* is told the loop time when the connection is there, and when a piece of the request is sent: the
        clocks that wait for the answer start there.

        Raises:
            APIConnectionError: there is no answer.

        """
        session = self._session_here()
        exchange = Exchange(url.host or "", on_sent, secret.hide, secret.mask)
        data = io.BytesIO(body) if body is not None and len(body) > LARGE_BODY else body
        found: APIConnectionError
        try:
            response = await session.request(
                method,
                url,
                data=data,
                headers=SentHeaders(headers, Authorization=secret.header()),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout),
                proxy=self._proxy,
                trace_request_ctx=exchange,
            )
        except (aiohttp.ClientError, OSError, http_exceptions.HttpProcessingError) as error:
            connecting = exchange.connecting_since > 0 and exchange.connect_seconds is None
            found = connection_error(
                error, exchange.host, self._hint, reused=exchange.reused, answering=False, connecting=connecting
            )
        else:
            exchange._response = response  # noqa: SLF001 - its maker
            exchange.status = response.status
            exchange.headers = {name.lower(): secret.hide(value) for name, value in response.headers.items()}
            return exchange
        raise found

    def _session_here(self) -> aiohttp.ClientSession:
        if self._closed:
            message = "the client is closed"
            raise ClientStateError(message)
        if self._session is None:
            self._loop = asyncio.get_running_loop()
            connector = aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEPALIVE,
                ttl_dns_cache=300,
                ssl=self._ssl if self._ssl is not None else True,
                socket_factory=_socket_factory,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                trace_configs=[_tracing()],
            )
            self._ending = self._until_the_loop_ends(self._session)
            with contextlib.suppress(StopIteration):  # it runs to its yield, and is known to the loop from then on
                self._ending.asend(None).send(None)
        return self._session

    def renew(self) -> None:
        """Use no idle connection again, because they may be dead without a sign; those in use go on."""
        if self._session is not None:
            self._left.append(self._session)
            self._session = None

    async def leave_loop(self) -> None:
        """Drop the connections; those of a loop that is closed by now too."""
        self.renew()
        self._loop = None
        while self._left:
            await self._left.pop().close()

    async def _until_the_loop_ends(self, session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
        """Close the connections when the loop shuts its generators down: later nothing could, and asyncio warns."""
        try:
            yield
        finally:
            if self._session is session:
                self.on_loop_end()
                await self.leave_loop()

    def __del__(self) -> None:
        session, loop = self._session, self._loop
        if session is None or loop is None or session.closed:
            return
        close = getattr(session.connector, "_close_immediately", None)  # close() would have to be awaited
        session.detach()  # aiohttp has nothing more to say of it
        if not loop.is_closed() and close is not None:
            loop.call_soon_threadsafe(close)
        warnings.warn("an AnyFast client was never closed; use `async with`, or await aclose()", ResourceWarning, 2)

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        await self.leave_loop()
        if self._ending is not None:
            await self._ending.aclose()
