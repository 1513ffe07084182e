"""What goes wrong on the way, by aiohttp's name and by ours."""

from __future__ import annotations

import ssl

import aiohttp
import aiohttp.http_exceptions
import pytest

from anyfast_async import APIConnectionError, ConnectTimeout
from anyfast_async._core.http.body_end import MalformedError, TruncatedError
from anyfast_async._http.connection_errors import FAULTS, REFUSALS, connection_error, fault_of


def every_subclass(*kinds: type[BaseException]) -> set[type[BaseException]]:
    found = set(kinds)
    for kind in kinds:
        found |= every_subclass(*kind.__subclasses__())
    return found


def chain(error: BaseException | None) -> list[BaseException]:
    """An exception and everything that hangs on it."""
    if error is None:
        return []
    return [error, *chain(error.__cause__), *chain(error.__context__)]


# What each of aiohttp's exceptions means to us: (row of FAULTS, retry class on a fresh connection, on a reused one).
INTENDED = {
    "ClientConnectorCertificateError": ("ClientConnectorCertificateError", "never", "never"),
    "ServerFingerprintMismatch": ("ServerFingerprintMismatch", "never", "never"),
    "ClientConnectorDNSError": ("ClientConnectorDNSError", "never", "never"),
    "ClientConnectorSSLError": ("ClientConnectorSSLError", "unsent", "unsent"),
    "ClientSSLError": ("ClientConnectorError", "unsent", "unsent"),
    "ClientProxyConnectionError": ("ClientProxyConnectionError", "unsent", "unsent"),
    "ClientHttpProxyError": ("ClientHttpProxyError", "never", "never"),
    "ClientConnectorError": ("ClientConnectorError", "unsent", "unsent"),
    "UnixClientConnectorError": ("ClientConnectorError", "unsent", "unsent"),
    "ConnectionTimeoutError": ("ConnectionTimeoutError", "unsent", "unsent"),
    "ServerTimeoutError": ("ServerTimeoutError", "clock", "stale"),
    "SocketTimeoutError": ("ServerTimeoutError", "clock", "stale"),
    "ServerDisconnectedError": ("ServerDisconnectedError", "ambiguous", "stale"),
    "ServerConnectionError": ("ClientConnectionError", "ambiguous", "stale"),
    "ClientConnectionResetError": ("ClientConnectionResetError", "ambiguous", "stale"),
    "ClientOSError": ("ClientOSError", "ambiguous", "stale"),
    "ClientConnectionError": ("ClientConnectionError", "ambiguous", "stale"),
    "ClientPayloadError": ("ClientPayloadError", "ambiguous", "stale"),
    "InvalidURL": ("InvalidURL", "never", "never"),
    "InvalidUrlClientError": ("InvalidURL", "never", "never"),
    "RedirectClientError": ("ClientError", "ambiguous", "stale"),
    "InvalidUrlRedirectClientError": ("InvalidURL", "never", "never"),
    "NonHttpUrlClientError": ("ClientError", "ambiguous", "stale"),
    "NonHttpUrlRedirectClientError": ("ClientError", "ambiguous", "stale"),
    "ClientResponseError": ("ClientResponseError", "ambiguous", "ambiguous"),
    "ContentTypeError": ("ClientResponseError", "ambiguous", "ambiguous"),
    "TooManyRedirects": ("ClientResponseError", "ambiguous", "ambiguous"),
    "WSServerHandshakeError": ("ClientResponseError", "ambiguous", "ambiguous"),
    "UploadAbortedError": ("ClientError", "ambiguous", "stale"),
    "ClientError": ("ClientError", "ambiguous", "stale"),
}


def test_every_exception_of_aiohttp_is_intended() -> None:
    """The table names every subclass of ``ClientError`` that there is; a new one fails here by its name."""
    found = {k for k in every_subclass(aiohttp.ClientError) if k.__module__.startswith("aiohttp")}

    assert {kind.__name__ for kind in found} == set(INTENDED)


@pytest.mark.parametrize("name", INTENDED)
def test_exceptions_of_aiohttp_are_mapped_as_intended(name: str) -> None:
    """Each one meets its row, and its retry class on a fresh and on a reused connection."""
    kind = next(k for k in every_subclass(aiohttp.ClientError) if k.__name__ == name)
    error = kind.__new__(kind)
    if isinstance(error, aiohttp.ClientConnectorError):
        error._os_error = OSError(111, "Connection refused")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        error.status = 407
    row = next(row for row, fault in FAULTS if fault is fault_of(error))

    ours = [connection_error(error, "host", reused=reused, answering=False) for reused in (False, True)]

    assert (row.__name__, *(one.retry_class for one in ours)) == INTENDED[name]
    assert [one.billed for one in ours] == ["no" if ours[0].phase == "unsent" else "maybe"] * 2
    assert issubclass(kind, aiohttp.ConnectionTimeoutError) == isinstance(ours[0], ConnectTimeout)
    assert [chain(one) for one in ours] == [[one] for one in ours]


def test_every_parser_exception_is_mapped() -> None:
    """Every exception of aiohttp's parser has a row of its own kind."""
    kinds = every_subclass(aiohttp.http_exceptions.HttpProcessingError)

    assert len(kinds) > 8
    assert {fault_of(kind.__new__(kind)) for kind in kinds} == {fault_of(aiohttp.http_exceptions.HttpProcessingError())}


def test_unknown_failures_are_connection_errors() -> None:
    """What no row knows is still ours, and not taken for safe to repeat."""
    error = connection_error(RuntimeError("?"), "host", reused=False, answering=False)

    assert (type(error), error.phase, error.billed) == (APIConnectionError, "sent", "maybe")


def test_broken_answer_is_never_stale() -> None:
    """Once an answer has begun, a reused connection that breaks is not a stale one."""
    error = connection_error(aiohttp.ServerDisconnectedError(), "host", reused=True, answering=True)

    assert (error.phase, error.retry_class) == ("answering", "ambiguous")


def test_unfinished_answers_are_never_stale() -> None:
    """What is no HTTP, and what ends too early, are answers, though bad ones, and say what is wrong with them."""
    errors = [
        connection_error(kind("x is missing"), "host", reused=True, answering=False)
        for kind in (MalformedError, TruncatedError)
    ]

    assert [("answering", "ambiguous")] * 2 == [(error.phase, error.retry_class) for error in errors]
    assert ["host: the answer is not valid HTTP (x is missing)", "host: the answer broke off (x is missing)"] == [
        str(error) for error in errors
    ]


def test_orderly_end_without_an_answer() -> None:
    """A connection that is closed in order is stale if it had served before, else the request may have arrived."""
    errors = [connection_error(None, "host", reused=reused, answering=False) for reused in (True, False)]

    assert ["stale", "sent"] == [error.phase for error in errors]
    assert {"host: the server closed the connection without an answer"} == {str(error) for error in errors}


def failure_of_tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


def in_connecting(error: ssl.SSLError) -> aiohttp.ClientConnectorSSLError:
    found = aiohttp.ClientConnectorSSLError.__new__(aiohttp.ClientConnectorSSLError)
    found._os_error = error
    return found


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_of_tls_are_certain(reason: str) -> None:
    """Tried again it would be the same: nothing was sent, nothing is tried again, and the error says what to do."""
    for begins in ("", "SSLV3_", "TLSV1_", "SSL/TLS_"):
        error = connection_error(in_connecting(failure_of_tls(begins + reason)), "host", reused=False, answering=False)
        assert ("unsent", "never", "no", False) == (error.phase, error.retry_class, error.billed, error.retryable)
        assert REFUSALS[reason] in str(error)


def test_certificate_that_is_missed_after_the_handshake() -> None:
    """With TLS 1.3 the alert comes when the request was written; on a connection in use such a thing is an accident."""
    alert = failure_of_tls("TLSV13_ALERT_CERTIFICATE_REQUIRED")
    new, used, late = (
        connection_error(alert, "host", reused=reused, answering=answering)
        for reused, answering in ((False, False), (True, False), (False, True))
    )
    assert [("unsent", "no"), ("stale", "maybe"), ("answering", "maybe")] == [
        (e.phase, e.billed) for e in (new, used, late)
    ]
    broken = connection_error(failure_of_tls("WRONG_VERSION_NUMBER"), "host", reused=False, answering=False)
    assert ("sent", "maybe", True) == (broken.phase, broken.billed, broken.retryable)


def test_handshake_that_breaks_is_tried_again() -> None:
    """An end in the middle of it is no refusal."""
    error = connection_error(
        in_connecting(failure_of_tls("UNEXPECTED_EOF_WHILE_READING")), "host", reused=False, answering=False
    )
    assert ("unsent", "unsent", True) == (error.phase, error.retry_class, error.retryable)


def test_what_came_for_a_success_is_never_sent_again_for_its_form() -> None:
    """Malformed after the head of a 2xx, which the reader or the exchange has read; not after another one."""
    malformed = MalformedError("no")
    classes = [
        connection_error(malformed, "host", reused=False, answering=True, status=status).retry_class
        for status in (200, 204, 299, 302, 404, 500, 0)
    ]
    assert ["never"] * 3 + ["ambiguous"] * 4 == classes
    malformed.status = 200
    assert "never" == connection_error(malformed, "host", reused=True, answering=True).retry_class


def test_request_that_was_not_sent_whole_is_not_billed() -> None:
    """Whatever breaks it off; a connection that had served before gets its immediate resend all the same."""
    new, used = (
        connection_error(None, "host", reused=reused, answering=False, asked=False) for reused in (False, True)
    )
    assert [("unsent", "unsent", "no"), ("stale", "stale", "no")] == [
        (e.phase, e.retry_class, e.billed) for e in (new, used)
    ]
