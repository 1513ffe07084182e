"""Who wrote an error, the gateway or something in front of it, and what the words of a page are.

It matters for money: what the gateway says in its own error object it has refused or refunded; what a proxy says in its
place tells nothing of a request that it had passed on (RFC 9110 15.6.3 and 15.6.5: 502 and 504 come after it was).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from anyfast_async.errors import SpokenBy

SEARCHED: Final = 16 * 1024
"""Characters of a page that are looked at."""
RELAYED: Final = frozenset({502, 504, *range(520, 528), 530})
"""Statuses that only somebody in between has a use for (RFC 9110; the 52x and 530 are Cloudflare's); the gateway, which
is in between too, puts its error object beside them."""


class Proxy(NamedTuple):
    """How a proxy's own answers can be told."""

    name: str
    server: str
    """The beginning of its ``Server`` line, in lower case. Most put it on what they only pass on too."""
    page: str | None
    """What only a page of its own holds."""
    empty: bool = False
    """Whether its own errors have no body, and those that it passes on do not get its ``Server`` line."""


PROXIES: Final = (
    # src/http/ngx_http_special_response.c; OpenResty, Tengine and AWS' balancers write the same form
    Proxy("nginx", "nginx", r"<center>(?:<h1>\d{3} [^<]*</h1></center>|nginx)"),
    Proxy("OpenResty", "openresty", r"<center>openresty"),
    Proxy("AWS ELB", "awselb", None),
    # src/http.c, http_err_msgs: no Server line
    Proxy("HAProxy", "haproxy", r"\A\s*<html><body><h1>\d{3} [^<]*</h1>"),
    # modules/http/http_protocol.c, ap_send_error_response; modules/proxy/proxy_util.c, ap_proxyerror
    Proxy(
        "Apache",
        "apache",
        r"-//IETF//DTD HTML 2\.0//EN|<address>Apache|The proxy server (?:received|could)",
    ),
    # modules/caddyhttp: errors without handle_errors have no body
    Proxy("Caddy", "caddy", None, empty=True),
    # bin/varnishd/builtin.vcl, vcl_backend_error and vcl_synth
    Proxy("Varnish", "varnish", r"<h3>Guru Meditation|<p>Varnish cache server|\A\s*Guru Meditation"),
    # developers.cloudflare.com, Cloudflare 5xx errors: the page, and the short text in place of an origin's own
    Proxy("Cloudflare", "cloudflare", r"cf-error-details|cf-wrapper|\A\s*error code: \d{3,4}\s*\Z"),
    # source/common/http/conn_manager_impl.cc, source/common/router/router.cc: local replies, plain text
    Proxy(
        "Envoy",
        "envoy",
        (
            r"\A\s*(?:upstream connect error or disconnect/reset before headers|upstream request timeout"
            r"|no healthy upstream|no cluster match|stream timeout|upstream max stream duration reached"
            r"|local_rate_limited|RBAC: access denied)"
        ),
    ),
    Proxy("Envoy", "istio-envoy", None),
    # src/http-header-glue.c, http_response_errdoc_init
    Proxy("lighttpd", "lighttpd", r"\A<\?xml version=[^>]*>\s*<!DOCTYPE html PUBLIC .-//W3C//DTD XHTML 1\.0 Trans"),
    # src/shrpx_http.cc of nghttp2, create_error_html
    Proxy("nghttpx", "nghttpx", r"<footer>nghttpx"),
    # configs/body_factory/default of Apache Traffic Server
    Proxy("Traffic Server", "ats/", r'\A<HTML>\s*<HEAD>\s*<TITLE>[^<]*</TITLE>\s*</HEAD>\s*<BODY BGCOLOR="white"'),
    # dist/plugins/default/error-response-plugin.js of http-proxy-middleware: 504, also where nobody listened
    Proxy("http-proxy-middleware", "http-proxy-middleware", r"\AError occurred while trying to proxy: "),
    # forward proxies: src/errorpage.cc of Squid, data/templates of tinyproxy
    Proxy("Squid", "squid", r"<!--? ?ERR_[A-Z_]+|\(squid(?:/[^)<]*)?\)|id=.?ERR_[A-Z_]+"),
    Proxy("tinyproxy", "tinyproxy", r"tinyproxy"),
    Proxy("Privoxy", "privoxy", r"<title>[^<]*\(Privoxy@|config\.privoxy\.org"),
)
"""What is known of the proxies that stand in front of gateways; their sources are named above each."""
LATE: Final = {"lighttpd": frozenset({404})}
"""Statuses that do not look like it, and yet a proxy answers with them once the request was passed on. lighttpd 1.4.69
says 404 where an upstream that had begun to answer is silent for too long."""

OTHERS: Final = ("x-litellm-", "x-smg-error-")
"""Headers of other gateways: LiteLLM's, and those of the routers of SGLang. They put every failure of what is behind
them into an error object of their own, a broken answer too: that states nothing of bills."""
RELAY: Final = "llm_provider-"
"""What LiteLLM puts before the names of headers that came from behind it. With a broken connection none came; with the
page of a proxy between, its content type did."""


class Speaker(NamedTuple):
    """Who wrote an error."""

    by: SpokenBy
    stated: bool
    """Whether it is the gateway's error object, or one that it relays: ``error`` an object with a ``message``."""
    name: str = ""
    """Of the proxy, where it is a known one."""
    late: bool = False
    """Whether the status would mean that nothing was done, and does not where this one says it, see :data:`LATE`."""


def is_statement(payload: Any) -> bool:
    """Return whether a decoded body is the gateway's error object: ``{"error": {"message": ...}}``.

    A list of such, as Google's endpoints send it, counts too.
    """
    if isinstance(payload, list):
        payload = next((item for item in payload if isinstance(item, Mapping)), None)
    error = payload.get("error") if isinstance(payload, Mapping) else None
    return isinstance(error, Mapping) and isinstance(error.get("message"), str)


def speaker(status: int, headers: Mapping[str, str], payload: Any) -> Speaker:
    """Return who wrote an error.

    Args:
        status: of the answer.
        headers: of the answer, with lower-case names.
        payload: the decoded body, its text where it is no JSON.

    """
    stated = is_statement(payload)
    if status == 407 or "proxy-authenticate" in headers:  # noqa: PLR2004 - RFC 9110 15.5.8
        return Speaker("proxy", False)
    if stated:
        return Speaker("gateway", _is_of_the_gateway(headers))
    # RFC 9209 2.1.1: an intermediary names itself, and with ``error`` says that the answer is its own.
    if "error=" in (said := headers.get("proxy-status", "").rpartition(",")[2]):
        return Speaker("proxy", False, said.partition(";")[0].strip(' "')[:60])
    if not isinstance(payload, str):
        # RFC 9457, as Cloudflare sends it to who accepts JSON
        kind = payload.get("type") if isinstance(payload, Mapping) else None
        if isinstance(kind, str) and kind.startswith("https://developers.cloudflare.com/"):
            return Speaker("proxy", False, "Cloudflare")
    elif (name := _proxy(status, headers, payload)) is not None:
        return Speaker("proxy", False, name, status in LATE.get(name, ()))
    # new-api's middleware puts its id on whatever it answers; what a proxy answers in its place has none.
    return Speaker("gateway" if "x-oneapi-request-id" in headers else "unknown", False)


def _is_of_the_gateway(headers: Mapping[str, str]) -> bool:
    """Return whether an error object is the gateway's own, or what it said is relayed in one."""
    if not any(name.startswith(OTHERS) for name in headers):
        return True
    behind = [name.removeprefix(RELAY) for name in headers if name.startswith(RELAY)]
    if any(name.startswith(OTHERS) for name in behind):  # one of those behind another
        return False
    return "json" in headers.get(f"{RELAY}content-type", "").lower()


def _proxy(status: int, headers: Mapping[str, str], text: str) -> str | None:
    """Return the proxy that wrote *text*, ``""`` for one that is not known, None if nothing says that it was one."""
    server = headers.get("server", "").lower()
    served = next((proxy for proxy in PROXIES if server.startswith(proxy.server)), None)
    if not text.strip():
        return served.name if served is not None and served.empty else None
    start = text[:SEARCHED]
    for proxy in PROXIES:
        if proxy.page is not None and re.search(proxy.page, start):
            # Several write nginx's form.
            return served.name if served is not None else proxy.name
    page = is_page(headers, text)
    if page and served is not None:
        return served.name
    return "" if status in RELAYED and "x-oneapi-request-id" not in headers else None


# -- the words of a page ---------------------------------------------------------------------------------------------

_INLINE: Final = frozenset({"a", "abbr", "b", "br", "code", "em", "font", "i", "small", "span", "strong", "tt", "u"})
_UNSEEN: Final = ("script", "style")
_TAG: Final = r"<(/?)([A-Za-z][A-Za-z0-9]*|[!?])?[^<>]*>?"


def is_page(headers: Mapping[str, str], text: str) -> bool:
    """Return whether an error is a web page."""
    return "html" in headers.get("content-type", "").lower() or text.lstrip()[:1] == "<"


def words_of(page: str, status: int, limit: int) -> str:
    """Return what a page says, without tags, repetitions and its own *status*; *limit* characters at most."""
    found: list[str] = []
    length = 0
    for block in _blocks(page[: 4 * SEARCHED]):
        text = " ".join(html.unescape(block).split())
        if (first := re.match(rf"(?:Error |HTTP )?{status}\b[ :.-]*", text)) is not None:
            text = text[first.end() :]
        if text and not any(text.lower() in earlier.lower() for earlier in found):
            found.append(text)
            length += len(text)
            if length >= limit:
                break
    return " - ".join(found)[:limit]


def _blocks(page: str) -> list[str]:
    """Return the texts between tags; those in a line go together."""
    blocks, line, at, hidden = list[str](), "", 0, ""
    for tag in re.finditer(_TAG, page):
        if not hidden:
            line += page[at : tag.start()]
        at, name = tag.end(), (tag[2] or "").lower()
        if hidden:
            hidden = "" if tag[1] and name == hidden else hidden
        elif name in _UNSEEN:
            hidden = name
        if name not in _INLINE:
            blocks.append(line)
            line = ""
        elif name == "br":
            line += " "
    return [*blocks, line if hidden else line + page[at:]]
