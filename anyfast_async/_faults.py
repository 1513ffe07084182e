"""What goes wrong on the way to our exceptions: a table of aiohttp's, and of what is found in an answer."""

from __future__ import annotations

import socket
import ssl
from typing import Final

import aiohttp
import attrs
from aiohttp import http_exceptions

from anyfast_async._core.http1 import MalformedError, TruncatedError
from anyfast_async.errors import APIConnectionError, APITimeoutError, ConnectTimeout


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
    (MalformedError, _Fault("the answer is not valid HTTP", answered=True)),
    (TruncatedError, _Fault("the answer broke off", answered=True)),
    (ssl.SSLError, _Fault("TLS failed")),
    (OSError, _Fault("the connection broke")),
)
"""What goes wrong to our exceptions, the first match wins."""
CLOSED: Final = _Fault("the server closed the connection without an answer")


def fault_of(error: BaseException) -> _Fault | None:
    """Return the row of :data:`FAULTS` for *error*."""
    return next((fault for kind, fault in FAULTS if isinstance(error, kind)), None)


def connection_error(
    error: BaseException | None,
    host: str,
    hint: str = "",
    *,
    reused: bool,
    answering: bool,
    connecting: bool = False,
) -> APIConnectionError:
    """Return our exception for what went wrong; it holds nothing of it but words. *hint* is for failed connects.

    None stands for an orderly end of the connection before the end of an answer.
    """
    fault = CLOSED if error is None else fault_of(error) or _Fault("the request failed")
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
    if isinstance(error, aiohttp.ClientHttpProxyError):
        found.spoken_by = "proxy"
    return found


def _detail(error: BaseException | None) -> str:
    """Return the system's words for the failure, which hold no header and no address but the host's."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.strerror:
        return f" ({cause.strerror})"
    return f" ({cause})" if isinstance(cause, (MalformedError, TruncatedError)) else ""
