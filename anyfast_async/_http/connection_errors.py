"""What goes wrong on the way to our exceptions: a table of aiohttp's, and of what is found in an answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import attrs
from aiohttp import http_exceptions

from anyfast_async._core.http.body_end import MalformedError, TruncatedError
from anyfast_async._core.http.head import UnaskedError
from anyfast_async.errors import APIConnectionError, APITimeoutError, ConnectTimeout, escaped


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
    (UnaskedError, _Fault("the server answered before the request was sent", True)),
    (ssl.SSLError, _Fault("TLS failed")),
    (OSError, _Fault("the connection broke")),
)
"""What goes wrong to our exceptions, the first match wins."""
CLOSED: Final = _Fault("the server closed the connection without an answer")
SUCCESS: Final = range(200, 300)
SHOWN_LINE: Final = 120
"""Characters of a line that is wrong which a message shows."""

_PLAIN: Final = "the server speaks no TLS on this port; base_url must name another port, or start with http://"
_TLS: Final = _Fault("the server speaks TLS on this port; base_url must start with https://", True, False)
_VERSION: Final = "the server speaks no version of TLS that is spoken here, from 1.2 on"
_REFUSED: Final = "the server refuses the TLS handshake; it may want a client certificate, which ssl_context can hold"
_CERTIFICATE: Final = "the server wants another client certificate than ssl_context has, or one at all"
REFUSALS: Final[Mapping[str, str]] = {
    "WRONG_VERSION_NUMBER": _PLAIN,
    "PACKET_LENGTH_TOO_LONG": _PLAIN,
    "UNKNOWN_PROTOCOL": _PLAIN,
    "RECORD_LAYER_FAILURE": _PLAIN,
    "UNSUPPORTED_PROTOCOL": _VERSION,
    "NO_PROTOCOLS_AVAILABLE": _VERSION,
    "ALERT_PROTOCOL_VERSION": _VERSION,
    "ALERT_INSUFFICIENT_SECURITY": _VERSION,
    "ALERT_HANDSHAKE_FAILURE": _REFUSED,
    "ALERT_ACCESS_DENIED": _REFUSED,
    "ALERT_CERTIFICATE_REQUIRED": _CERTIFICATE,
    "ALERT_BAD_CERTIFICATE": _CERTIFICATE,
    "ALERT_UNSUPPORTED_CERTIFICATE": _CERTIFICATE,
    "ALERT_CERTIFICATE_REVOKED": _CERTIFICATE,
    "ALERT_CERTIFICATE_EXPIRED": _CERTIFICATE,
    "ALERT_CERTIFICATE_UNKNOWN": _CERTIFICATE,
    "ALERT_UNKNOWN_CA": _CERTIFICATE,
    "UNRECOGNIZED_NAME": "the server knows no host of this name; base_url names another one than it serves",
}
"""OpenSSL's reasons why TLS fails that will be so the next time too, by how they end: what begins them differs between
its versions. Nothing of a request is read before the handshake is done, on either side."""


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
    asked: bool = True,
    status: int = 0,
    hide: Callable[[str], str] = str,
) -> APIConnectionError:
    """Return our exception for what went wrong; it holds nothing of it but words.

    Args:
        error: what went wrong; None stands for an orderly end of the connection before the end of an answer.
        host: the host's name.
        hint: added where no connection could be made.
        reused: whether the connection had served before.
        answering: whether something of an answer had come.
        connecting: whether it was before there was a connection.
        asked: whether the request was sent, all of it.
        status: of the answer, if its head was read.
        hide: takes the key out of what the server says.

    """
    fault = _fault_in(error, connecting=connecting, first=not (reused or answering))
    found = fault.kind(f"{host}: {fault.message}{_detail(error, hide)}{hint if fault.unsent else ''}")
    found.retryable = fault.retryable
    if fault.unsent or not (asked or reused):
        found.phase, found.billed = "unsent", "no"
        found.retry_class = "unsent" if fault.retryable else "never"
    elif answering or fault.answered:
        found.phase = "answering"
        if isinstance(error, MalformedError) and (status or error.status) in SUCCESS:
            # What was paid for came in a form that cannot be read, and the next one would too.
            found.retry_class, found.retryable = "never", False
        elif status in SUCCESS:
            found.retry_class = "cut"
    elif reused:
        found.phase, found.retry_class = "stale", "stale"
        found.billed = "maybe" if asked else "no"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        found.spoken_by = "proxy"
    return found


def _fault_in(error: BaseException | None, *, connecting: bool, first: bool) -> _Fault:
    fault = CLOSED if error is None else fault_of(error) or _Fault("the request failed")
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError):
        reason = cause.reason or ""
        # With TLS 1.3 a server looks at the client's certificate when the client is done already.
        shaking_hands = cause is not error or (first and "ALERT" in reason)
        words = next((words for end, words in REFUSALS.items() if shaking_hands and reason.endswith(end)), None)
        return fault if words is None else _Fault(words, unsent=True, retryable=False)
    if isinstance(error, MalformedError) and error.line.startswith((b"\x15\x03", b"\x16\x03")):
        return _TLS
    if connecting and not fault.unsent:  # in CONNECT: aiohttp has the same exceptions for it as for a request
        return _Fault("the proxy did not open the connection", unsent=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        message = f"the proxy refused the connection (status {error.status})"
        # 502 to 504: it did not reach the gateway this time
        return _Fault(message, unsent=True, retryable=error.status >= 500)  # noqa: PLR2004
    if isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.errno == socket.EAI_AGAIN:
        return attrs.evolve(fault, message="the name server does not answer", retryable=True)
    return fault


def _detail(error: BaseException | None, hide: Callable[[str], str]) -> str:
    """Return the system's words for the failure, which hold no header and no address but the host's."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.strerror:
        return f" ({cause.strerror})"
    if isinstance(cause, MalformedError) and cause.line:
        line = hide(cause.line.decode("utf-8", "backslashreplace"))
        return f" ({cause}: '{escaped(line, SHOWN_LINE)}')"
    return f" ({cause})" if isinstance(cause, (MalformedError, TruncatedError, UnaskedError)) else ""
