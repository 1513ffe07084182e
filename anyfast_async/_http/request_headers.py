"""The headers of a request: User-Agent and the like, the route with its lines, the idempotency key."""

from __future__ import annotations

import copy
import os
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from anyfast_async._version import __version__

if TYPE_CHECKING:
    from yarl import URL

    from anyfast_async._http.api_key import Secret

IDEMPOTENCY_KEY: Final = "Idempotency-Key"

_AGENT: Final = f"anyfast-async/{__version__} python/{platform.python_version()}"
_COMMON_HEADERS: Final = {"User-Agent": _AGENT, "Content-Type": "application/json", "Accept-Language": "en"}
# Cloudflare answers its own errors in JSON, with a delay, only if asked for JSON.
UNARY_HEADERS: Final = _COMMON_HEADERS | {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
# Not compressed: no proxy then holds events back to compress them, and no cut can hide in a gzip stream.
STREAM_HEADERS: Final = _COMMON_HEADERS | {
    "Accept": "text/event-stream, application/json;q=0.9",
    "Accept-Encoding": "identity",
}

_KEY_LINE: Final = f"{IDEMPOTENCY_KEY}: %b\r\n".encode()
_HEAD: Final = b"%b" + _KEY_LINE + b"%bContent-Length: %d\r\n\r\n"
"""Of nearly every request."""


class Route:
    """Where requests go, and the part of their heads that is the same for all of them, written once.

    Args:
        method: ``POST`` or ``GET``.
        url: the address.
        headers: of equal names, whatever their case, the last counts.

    """

    __slots__ = ("_lines", "_own_key", "headers", "host", "is_last", "method", "origin", "secure", "url")

    def __init__(self, method: str, url: URL, *headers: Mapping[str, str]) -> None:
        fields = {name.lower(): (name, value) for some in headers for name, value in some.items()}
        self.method: str = method
        self.url: URL = url
        self.host: str = url.host or ""
        self.origin: tuple[str, str | None, int | None] = (url.scheme, url.raw_host, url.port)
        self.secure: bool = url.scheme == "https"
        self.headers: Mapping[str, str] = dict(fields.values())
        closing = fields.get("connection", ("", ""))[1].lower().split(",")
        self.is_last: bool = "close" in map(str.strip, closing)
        """Whether the connection carries nothing after it: the headers say ``Connection: close`` (RFC 9112 9.6)."""
        self._own_key = IDEMPOTENCY_KEY.lower() in fields
        lines = [f"{method} {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in fields.values()]
        self._lines = "".join(f"{line}\r\n" for line in lines).encode()

    def extended(self, more: Mapping[str, str]) -> Route:
        """Return one with *more* headers; those that it has already stay."""
        known = {name.lower() for name in self.headers}
        new = {name: value for name, value in more.items() if name.lower() not in known}
        other = copy.copy(self)
        other.headers = {**self.headers, **new}
        other._lines = self._lines + "".join(f"{name}: {value}\r\n" for name, value in new.items()).encode()  # noqa: SLF001 - its own
        return other

    def head(self, secret: Secret, idempotency_key: str | None, body: bytes | None) -> bytes:
        """Return the head of one request; *key* is the call's idempotency key, unless the headers have another."""
        if idempotency_key is None or self._own_key or body is None:
            given = b"" if idempotency_key is None or self._own_key else _KEY_LINE % idempotency_key.encode()
            length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
            return b"%b%b%b%b\r\n" % (self._lines, given, secret.line, length)
        return _HEAD % (self._lines, idempotency_key.encode(), secret.line, len(body))

    def fields(self, secret: Secret, idempotency_key: str | None) -> dict[str, str]:
        """Return the headers of one request, without those that HTTP needs."""
        given = {} if idempotency_key is None or self._own_key else {IDEMPOTENCY_KEY: idempotency_key}
        return {**self.headers, **given, **secret.headers()}


def new_idempotency_key() -> str:
    """Return the key of a new call, the same on all of its attempts; the gateway promises nothing for it."""
    try:
        return _UNUSED.pop()
    except IndexError:  # they may have been taken by clients in other threads
        found = os.urandom(16 * 64).hex()
        own, *others = [found[at : at + 32] for at in range(0, len(found), 32)]
        _UNUSED.extend(others)
        return own


_UNUSED: Final[list[str]] = []
"""Keys of calls to come: asking the system for chance costs as much for many as for one."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_UNUSED.clear)  # two processes must not use the same
