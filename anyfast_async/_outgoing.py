"""A request to headers and bytes: local files read and large requests encoded in a thread, so that the loop goes on."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core import codec
from anyfast_async._version import __version__
from anyfast_async.errors import FieldError, RequestValidationError
from anyfast_async.messages import MAX_FILE
from anyfast_async.requests import ChatRequest

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


async def encoded(request: ChatRequest, *, stream: bool) -> bytes:
    """Return the body of *request*.

    Raises:
        RequestValidationError: a local file cannot be read or is too large, or something is no JSON; nothing was sent.

    """
    paths, size = [], 0
    for value in _values(request.messages):
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
            files[path] = _read(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.append(FieldError("messages", f"cannot send the file {path}: {reason}"))
    if problems:
        raise RequestValidationError.of(problems)
    try:
        return codec.encode(request, stream=stream, files=files)
    except TypeError as error:
        raise RequestValidationError.of([FieldError("body", f"holds what JSON cannot: {error}")]) from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        message = f"it is larger than {MAX_FILE} bytes"
        raise ValueError(message)
    return data


def _values(value: Any) -> Iterator[str | Path]:
    """Yield every text and path in messages and their parts."""
    if isinstance(value, (str, Path)):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from _values(inner)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _values(getattr(value, field.name))
