"""A request to headers and bytes: local files read and large requests encoded in a thread, so that the loop goes on."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.json import codec
from anyfast_async._http.folder_file import FolderFile
from anyfast_async._http.local_files import content_of
from anyfast_async._size_limits import MAX_FILE
from anyfast_async.errors import FieldError, RequestValidationError, escaped
from anyfast_async.messages import plain_text
from anyfast_async.requests import ChatRequest

OFF_LOOP: Final = 1024 * 1024
"""Requests with more characters than this are encoded in a thread."""


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
            files[path] = path.content() if isinstance(path, FolderFile) else content_of(path, MAX_FILE)
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
