"""A request to headers and bytes: local files read and large requests encoded in a thread, so that the loop goes on."""

from __future__ import annotations

import asyncio
import functools
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from anyfast_async._core import codec
from anyfast_async._files import content_of
from anyfast_async._version import __version__
from anyfast_async.errors import FieldError, RequestValidationError, escaped
from anyfast_async.messages import MAX_FILE, plain_text
from anyfast_async.requests import ChatRequest

if TYPE_CHECKING:
    from yarl import URL

    from anyfast_async._key import Secret

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
OFF_LOOP: Final = 1024 * 1024
"""Requests with more characters than this are encoded in a thread."""


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

    def head(self, secret: Secret, key: str | None, body: bytes | None) -> bytes:
        """Return the head of one request; *key* is the call's idempotency key, unless the headers have another."""
        if key is None or self._own_key or body is None:
            given = b"" if key is None or self._own_key else _KEY_LINE % key.encode()
            length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
            return b"%b%b%b%b\r\n" % (self._lines, given, secret.line(), length)
        return _HEAD % (self._lines, key.encode(), secret.line(), len(body))

    def fields(self, secret: Secret, key: str | None) -> dict[str, str]:
        """Return the headers of one request, without those that HTTP needs."""
        given = {} if key is None or self._own_key else {IDEMPOTENCY_KEY: key}
        return {**self.headers, **given, **secret.headers()}


def idempotency_key() -> str:
    """Return the key of a new call, the same on all of its attempts; the gateway promises nothing for it."""
    if not _UNUSED:
        found = os.urandom(16 * 64).hex()
        _UNUSED.extend([found[at : at + 32] for at in range(0, len(found), 32)])
    return _UNUSED.pop()


_UNUSED: Final[list[str]] = []
"""Keys of calls to come: asking the system for chance costs as much for many as for one."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_UNUSED.clear)  # two processes must not use the same


async def encoded(request: ChatRequest, *, stream: bool) -> bytes:
    """Return the body of *request*.

    Raises:
        RequestValidationError: a local file cannot be read or is too large, or something is no JSON; nothing was sent.

    """
    paths: list[Path] = []
    size = 0
    for message in request.messages:
        text = plain_text(message)
        if text is not None:
            size += len(text)
            continue
        for value in _texts_and_paths(message):
            if isinstance(value, Path):
                paths.append(value)
            else:
                size += len(value)
    if not paths and size < OFF_LOOP:
        return _encode(request, (), stream)
    return await asyncio.to_thread(_encode, request, paths, stream)


def _encode(request: ChatRequest, paths: Iterable[Path], stream: bool) -> bytes:
    files: dict[Path, bytes] = {}
    problems = []
    for path in paths:
        try:
            files[path] = content_of(path, MAX_FILE)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.append(FieldError("messages", f"cannot send the file {escaped(str(path), 200)}: {reason}"))
    if problems:
        raise RequestValidationError.of(problems)
    try:
        return codec.encode(request, stream=stream, files=files)
    except TypeError as error:
        raise RequestValidationError.of([FieldError("body", f"holds what JSON cannot: {error}")]) from None


def _texts_and_paths(message: Any) -> Iterator[str | Path]:
    """Yield every text and path in a message and its parts; what stands there twice only once."""
    seen: set[int] = set()
    left = [message]
    while left:
        value = left.pop()
        if isinstance(value, (str, Path)):
            yield value
        elif value is not None and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Mapping):
                left += reversed([*value.values()])
            elif isinstance(value, (tuple, list)):
                left += reversed(value)
            else:
                left += [getattr(value, name) for name in reversed(_names_of(type(value)))]  # type: ignore[arg-type]  # has a hash


@functools.lru_cache
def _names_of(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind)) if attrs.has(kind) else ()
