"""Settings of a client, checked when it is built; every message names the setting and what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Final

from yarl import URL

from anyfast_async.errors import ConfigurationError, escaped

DEFAULT_BASE_URL: Final = "https://www.anyfast.ai/v1"
_OWN_HEADERS: Final = frozenset({"authorization", "host", "content-length", "transfer-encoding", "content-type"})
# RFC 9110 5.6.2
_VALUE: Final = r"[\t\x20-\x7e]*"
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def check_kind(name: str, value: object, *kinds: type | None) -> None:
    """Check that *value* is one of *kinds*; None stands for None.

    Raises:
        ConfigurationError: it is not.

    """
    if not any(value is None if kind is None else isinstance(value, kind) for kind in kinds):
        wanted = " or ".join("None" if kind is None else kind.__name__ for kind in kinds)
        message = f"{name} must be {wanted}, not {type(value).__name__}"
        raise ConfigurationError(message)


def whole_in(name: str, value: object, least: int, most: int) -> int:
    """Return *value*, a whole number from *least* to *most*.

    Raises:
        ConfigurationError: it is none.

    """
    if type(value) is not int or not least <= value <= most:
        shown = value if type(value) is int else type(value).__name__
        message = f"{name} must be an integer from {least} to {most}, not {shown}"
        raise ConfigurationError(message)
    return value


def base_url_of(given: str | None, allow_http: Sequence[str]) -> URL:
    """Return the checked base URL, ending in ``/v1``; without *given* from ``ANYFAST_BASE_URL``.

    Raises:
        ConfigurationError: it is no URL, or plain http to a host where that is not allowed.

    """
    source = "base_url" if given is not None else "ANYFAST_BASE_URL"
    text = given if given is not None else os.environ.get("ANYFAST_BASE_URL") or DEFAULT_BASE_URL
    url = _url(source, text)
    if url.scheme not in ("http", "https") or not url.host:
        message = f"{source} must start with https:// and name a host, such as {DEFAULT_BASE_URL}"
        raise ConfigurationError(message)
    if url.user or url.password or url.query_string or url.fragment:
        message = f"{source} must hold no user, password, query or fragment"
        raise ConfigurationError(message)
    if url.scheme == "http" and not _http_allowed(url.host, allow_http):
        message = (
            f"{source} is plain http to {url.host}: the key and the prompts could be read on the way. Use https, or, "
            f"if the network between is yours, allow_http=[{url.host!r}] (ANYFAST_ALLOW_HTTP)"
        )
        raise ConfigurationError(message)
    return url.with_path(_base_path(source, url.path.rstrip("/")))


def _url(source: str, text: object) -> URL:
    """Return the URL in *text*, whose parts can all be had."""
    problem = "is no URL"
    if isinstance(text, str):
        text = text.strip()
        if any(c.isspace() or not c.isprintable() for c in text):  # yarl drops some of them
            problem = "holds a space, a line break or a control character"
        else:
            try:
                url = URL(text)
                host = url.host or ""
                host.encode("idna")  # as the look-up does: no label is empty or longer than 63
            except (ValueError, IndexError):  # of yarl, where a bracket is empty
                pass
            else:
                if "%" not in host or ":" in host:  # which an IPv6 address may have
                    return url
    message = f"{source} {problem}"
    raise ConfigurationError(message) from None


_ENDPOINT: Final = (
    r"(?i)(?P<base>.*/v1)/+(?P<name>chat/+completions|chat|completions|models|responses|messages|embeddings|rerank)"
    r"(/.*)?"
)


def _base_path(source: str, path: str) -> str:
    """Return the path that those of endpoints follow; of the whole chat endpoint it is what comes before."""
    path = re.sub("/{2,}", "/", path)
    found = re.fullmatch(_ENDPOINT, path)
    if found is not None and found["name"].lower() == "chat/completions" and found[3] is None:
        return found["base"]
    if found is not None or path.lower().endswith("/chat/completions"):
        message = f"{source} must end where the endpoints begin, in /v1, not in {escaped(path[-40:], 40)!r}"
        raise ConfigurationError(message)
    return path if path.lower().endswith("/v1") else f"{path}/v1"


def check_keyless(url: URL) -> None:
    """Check that *url* may be a server that wants no key.

    Raises:
        ConfigurationError: it is the default gateway.

    """
    if (url.host or "").rstrip(".") == URL(DEFAULT_BASE_URL).host:
        message = (
            f"NO_KEY: {url.origin()} wants a key. For a server that wants none, name it: base_url, ANYFAST_BASE_URL"
        )
        raise ConfigurationError(message)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())


def _http_allowed(host: str, allow_http: Sequence[str]) -> bool:
    named = os.environ.get("ANYFAST_ALLOW_HTTP", "").replace(" ", "").split(",")
    return _is_loopback(host) or host in allow_http or host in named


def headers_of(source: str, given: Mapping[str, str] | None) -> dict[str, str]:
    """Return checked headers.

    Raises:
        ConfigurationError: a name or value that HTTP forbids, or a header that the client sets itself.

    """
    if not isinstance(given, (Mapping, NoneType)):
        message = f"{source} must be a mapping of names to values, not {type(given).__name__}"
        raise ConfigurationError(message)
    for name, value in (given or {}).items():
        if not isinstance(name, str) or not name or not set(name) <= _TOKEN:
            message = f"{source}: {escaped(str(name), 60)!r} is no header name"
            raise ConfigurationError(message)
        if name.lower() in _OWN_HEADERS:
            hint = "; use api_key" if name.lower() == "authorization" else ""
            message = f"{source}: {name} is set by the client{hint}"
            raise ConfigurationError(message)
        if not isinstance(value, str) or not re.fullmatch(_VALUE, value):
            message = f"{source}: the value of {name} must be a string of printable ASCII characters"
            raise ConfigurationError(message)
    return dict(given or {})


def proxy_of(given: str | None, base_url: URL) -> str | None:
    """Return the proxy's URL for *base_url*; ``"env"`` means ``HTTPS_PROXY``, unless ``NO_PROXY`` names the host.

    Raises:
        ConfigurationError: it is no URL.

    """
    if given is None:
        return None
    url = given if given != "env" else _https_proxy(base_url)
    if url is not None and not _is_http_url(url):
        message = "proxy must be an http:// or https:// URL, or 'env' for HTTPS_PROXY and NO_PROXY"
        raise ConfigurationError(message)
    return url


def _is_http_url(text: str) -> bool:
    try:
        url = _url("proxy", text)
    except ConfigurationError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def unused_proxy(given: str | None, base_url: URL) -> str:
    """Return what to say when no connection can be made although the environment names a proxy."""
    if given is None and _https_proxy(base_url) is not None:
        return "; HTTPS_PROXY is set but not used: pass proxy='env' to use it"
    return ""


def _https_proxy(base_url: URL) -> str | None:
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if not proxy or base_url.scheme == "http" or _is_loopback(base_url.host or ""):
        return None
    from urllib.request import proxy_bypass  # noqa: PLC0415 - 8 ms that only users of a proxy pay

    if base_url.host and proxy_bypass(base_url.host):
        return None
    return proxy
