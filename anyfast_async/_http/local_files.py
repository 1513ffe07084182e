"""Reads small local files that the caller named: only regular ones, and never more than was agreed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_BINARY: Final = getattr(os, "O_BINARY", 0)
"""Windows would translate line ends."""
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)
"""A pipe that took the place of the file meanwhile must not be waited for."""


def status_of(path: Path) -> os.stat_result:
    """Return the status of a regular file; symbolic links are followed.

    Raises:
        OSError: it cannot be had.
        ValueError: it is none, but a pipe or a device, whose end may never come; or the path can be no file's.

    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        message = "it is a directory"
        raise ValueError(message)
    if not stat.S_ISREG(status.st_mode):
        message = "it is no regular file, but a pipe, a device or a socket"
        raise ValueError(message)
    return status


def content_of(path: Path, limit: int) -> bytes:
    """Return what stands in a regular file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or is larger than *limit* bytes.

    """
    status_of(path)
    # The interpreter sets O_CLOEXEC itself.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE | _BINARY)) as file:
        data = file.read(limit + 1) or b""
    if len(data) > limit:
        message = f"it is larger than {limit} bytes"
        raise ValueError(message)
    return data
