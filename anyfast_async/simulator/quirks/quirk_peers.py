"""Quirks of programs that stand in front of a gateway, that a gateway is built on, or that take its place.

Each was seen with the version that its source names, by ``nox -s interop`` (docs/explanation/real-servers.md).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from anyfast_async.simulator.http.encoding import DONE, encode
from anyfast_async.simulator.quirks.draft import AnswerDraft, Piece, Quirk

__all__ = ["PEERS"]

_HTML = "text/html"
_TEXT = "text/plain; charset=utf-8"
_LATE = 0.2
"""Seconds: Linux waits that long for the acknowledgement of a head without a body."""


def _page(status: int, words: str) -> bytes:
    return f"<html><head><title>{status} {words}</title></head><body><h1>{words}</h1></body></html>\n".encode()


# -- proxies -------------------------------------------------------------------------------------------------


def _clean_cut(wire: AnswerDraft) -> None:
    wire.break_off()


def _broken_chunk(wire: AnswerDraft) -> None:
    wire.break_off()
    wire.cut = True


def _apache_timeout(wire: AnswerDraft) -> None:
    body = (
        b'<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>502 Proxy Error</title>\n'
        b"</head><body>\n<h1>Proxy Error</h1>\n<p>The proxy server received an invalid\n"
        b"response from an upstream server.<br />\n"
        b"The proxy server could not handle the request<p>Reason: <strong>Error reading from remote server</strong>"
        b"</p></p>\n</body></html>\n"
    )
    wire.refuse(502, body, "text/html; charset=iso-8859-1")
    wire.headers = {"Server": "Apache/2.4.71 (Debian)"}


def _haproxy_late(wire: AnswerDraft) -> None:
    held = min((piece.due for piece in wire.pieces), default=0.0) + _LATE
    for piece in wire.pieces:
        piece.due = max(piece.due, held)


def _buffered(wire: AnswerDraft) -> None:
    last = max((piece.due for piece in wire.pieces), default=0.0)
    for piece in wire.pieces:
        piece.due = last


def _lighttpd_late(wire: AnswerDraft) -> None:
    body = (
        b'<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        b'         "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        b'<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n <head>\n'
        b"  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n </body>\n</html>\n"
    )
    wire.refuse(404, body, _HTML)
    wire.headers = {"Server": "lighttpd/1.4.69"}


def _varnish_503(wire: AnswerDraft) -> None:
    body = (
        b"<!DOCTYPE html>\n<html>\n  <head>\n    <title>503 Backend fetch failed</title>\n  </head>\n  <body>\n"
        b"    <h1>Error 503 Backend fetch failed</h1>\n    <p>Backend fetch failed</p>\n    <h3>Guru Meditation:</h3>\n"
        b"    <p>XID: 32770</p>\n    <hr>\n    <p>Varnish cache server</p>\n  </body>\n</html>\n"
    )
    wire.refuse(503, body, "text/html; charset=utf-8")
    wire.headers = {"Server": "Varnish", "Retry-After": "5", "Via": "1.1 varnish (Varnish/7.1)"}


def _tinyproxy_401(wire: AnswerDraft) -> None:
    wire.refuse(401, _page(401, "Unauthorized"), _HTML)
    wire.headers = {"Server": "tinyproxy/1.11.1", "Proxy-Authenticate": 'Basic realm="tinyproxy"'}


def _h2o_timeout(wire: AnswerDraft) -> None:
    wire.refuse(502, b"I/O timeout", _TEXT)
    wire.headers = {"Server": "h2o/2.2.5"}


# -- servers and frameworks ----------------------------------------------------------------------------------


def _uvicorn_limit(wire: AnswerDraft) -> None:
    wire.refuse(503, b"Service Unavailable", _TEXT)
    wire.headers = {"Server": "uvicorn", "Connection": "close"}


def _one_event(wire: AnswerDraft) -> None:
    """Events of the same turn, one of each choice, become one with all of them."""
    kept: list[Piece] = []
    turns: list[dict[str, Any]] = []
    seen: Counter[int] = Counter()
    for piece in wire.pieces:
        choices = piece.data.get("choices") if isinstance(piece.data, dict) else None
        if isinstance(piece.data, dict) and choices:
            turn = seen[choices[0].get("index", 0)]
            seen[choices[0].get("index", 0)] += 1
            if turn < len(turns):
                turns[turn]["choices"] += choices
                continue
            turns.append(piece.data)
        kept.append(piece)
    wire.pieces = kept


# -- gateways ------------------------------------------------------------------------------------------------


def _invented_end(wire: AnswerDraft) -> None:
    ends = [
        {**wire.blank_chunk(), "choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}
        for index in sorted({choice["index"] for choice in wire.choices()})
    ]
    wire.break_off(*ends, DONE)


def _one_end_of_two(wire: AnswerDraft) -> None:
    for choice in wire.choices():
        if choice.get("index", 0) > 0:
            choice.pop("finish_reason", None)


def _hidden_quota(wire: AnswerDraft) -> None:
    said = "You exceeded your current quota, please check your plan and billing details."
    message = (
        f"litellm.RateLimitError: RateLimitError: OpenAIException - {said}\n\n"
        "LiteLLM: model group 'm' failed with the error above. No fallback was attempted."
    )
    error = {"message": message, "type": "throttling_error", "param": None, "code": "429"}
    wire.refuse(429, encode({"error": error}), "application/json")


def _renamed_delay(wire: AnswerDraft) -> None:
    message = "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached"
    error = {"message": message, "type": "throttling_error", "param": None, "code": "429"}
    wire.refuse(429, encode({"error": error}), "application/json")
    wire.headers = {"llm_provider-retry-after": "7"}


def _timeout_408(wire: AnswerDraft) -> None:
    message = "litellm.Timeout: APITimeoutError - Request timed out. Error_str: Request timed out."
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "408"}
    wire.refuse(408, encode({"error": error}), "application/json")


def _litellm_error(wire: AnswerDraft, status: int, kind: str, said: str) -> None:
    message = (
        f"litellm.{kind}: {kind}: OpenAIException - {said}\n\n"
        "LiteLLM: model group 'm' failed with the error above. No fallback was attempted."
    )
    error = {"message": message, "type": "internal_server_error", "param": None, "code": str(status)}
    wire.refuse(status, encode({"error": error}), "application/json")


def _relayed_503(wire: AnswerDraft) -> None:
    said = "The model is overloaded. Please try again later."
    _litellm_error(wire, 503, "ServiceUnavailableError", said)
    wire.headers = {"x-litellm-timeout": "2.0", "llm_provider-content-type": "application/json"}


def _lost_500(wire: AnswerDraft) -> None:
    _litellm_error(wire, 500, "InternalServerError", "Connection error.")
    wire.headers = {"x-litellm-timeout": "2.0"}


PEERS = (
    Quirk(
        "caddy-clean-cut",
        "the upstream is cut, and the proxy ends the stream in good order",
        "Caddy 2.6.2 (reverse_proxy); lighttpd 1.4.69 (mod_proxy) does it too, with a Content-Length",
        "streamed",
        _clean_cut,
    ),
    Quirk(
        "h2o-broken-chunk",
        "the upstream is reset: a chunk without its bytes, then the connection ends",
        "h2o 2.2.5 (proxy.reverse.url)",
        "streamed",
        _broken_chunk,
    ),
    Quirk(
        "h2o-timeout-502",
        'status 502, "I/O timeout": the upstream was silent for too long',
        "h2o 2.2.5 (proxy.timeout.io)",
        "both",
        _h2o_timeout,
    ),
    Quirk(
        "apache-timeout-502",
        "status 502, a web page: the upstream was silent for too long, which others call 504",
        "Apache 2.4.71 (mod_proxy_http, ProxyTimeout)",
        "both",
        _apache_timeout,
    ),
    Quirk(
        "haproxy-first-200ms",
        "the first event comes 0.2 s after it left the upstream",
        "HAProxy 2.6.12 without `option http-no-delay`",
        "streamed",
        _haproxy_late,
    ),
    Quirk(
        "lighttpd-buffered",
        "all events come at once, when the stream has ended",
        "lighttpd 1.4.69 without server.stream-response-body",
        "streamed",
        _buffered,
    ),
    Quirk(
        "lighttpd-late-404",
        "status 404, a web page: the upstream fell silent in the middle of its answer",
        "lighttpd 1.4.69 (mod_proxy, read-timeout)",
        "both",
        _lighttpd_late,
    ),
    Quirk(
        "varnish-503-retry-after",
        "status 503, a web page and Retry-After: 5, whatever happened to the upstream",
        "Varnish 7.1.1 (vcl_backend_error)",
        "both",
        _varnish_503,
    ),
    Quirk(
        "tinyproxy-401",
        "status 401, a web page and Proxy-Authenticate: the forward proxy wants a password",
        "tinyproxy 1.11.1 (BasicAuth)",
        "both",
        _tinyproxy_401,
    ),
    Quirk(
        "uvicorn-limit-concurrency",
        "status 503, plain text: too many connections at once",
        "uvicorn 0.54.0 (--limit-concurrency)",
        "both",
        _uvicorn_limit,
    ),
    Quirk(
        "litserve-n2-one-event",
        "with n=2 both choices are in each event",
        "LitServe 0.2.19 (OpenAISpec)",
        "streamed",
        _one_event,
    ),
    Quirk(
        "litellm-invented-end",
        "the upstream's stream ends too early: a finish reason and [DONE] are made up, and nothing tells",
        "LiteLLM 1.106.2",
        "streamed",
        _invented_end,
    ),
    Quirk(
        "litellm-one-end-of-two",
        "with n=2 only the first choice has a finish reason",
        "LiteLLM 1.106.2",
        "streamed",
        _one_end_of_two,
    ),
    Quirk(
        "litellm-hidden-quota",
        "status 429: a used-up quota whose code is gone, so that it looks like throttling",
        "LiteLLM 1.106.2",
        "both",
        _hidden_quota,
    ),
    Quirk(
        "litellm-renamed-delay",
        "status 429, whose Retry-After is called llm_provider-retry-after",
        "LiteLLM 1.106.2",
        "both",
        _renamed_delay,
    ),
    Quirk(
        "litellm-timeout-408",
        "status 408: the upstream was silent for too long, which others call 504",
        "LiteLLM 1.106.2 (timeout)",
        "both",
        _timeout_408,
    ),
    Quirk(
        "litellm-relayed-503",
        "status 503: the server behind it has refused, in JSON of its own, as llm_provider-content-type says",
        "LiteLLM 1.106.2",
        "both",
        _relayed_503,
    ),
    Quirk(
        "litellm-lost-500",
        "status 500: the connection to the server behind it broke, and nobody knows when",
        "LiteLLM 1.106.2",
        "both",
        _lost_500,
    ),
)
"""What was seen in front of, under, and in place of a gateway."""
