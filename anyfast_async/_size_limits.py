"""How much is too much, in bytes: the largest answer, head, event, attachment and so on."""

from __future__ import annotations

from typing import Final

MAX_BODY: Final = 64 * 1024 * 1024
"""Largest answer in bytes after decompression, streams excepted."""
MAX_ERROR_BODY: Final = 64 * 1024
"""How much of an error's body is read."""

MAX_STREAM: Final = 1024 * 1024 * 1024
"""Largest stream in bytes."""

MAX_HEAD: Final = 128 * 1024
"""Largest head in bytes, unless another limit is set. There is none for a line, or for the number of lines."""

MAX_SIZE_LINE: Final = 8190
"""Longest line before a chunk in bytes, its extensions included."""
MAX_TRAILERS: Final = 64 * 1024
"""Most bytes of trailers, which nobody reads."""

MAX_LINE: Final = 64 * 1024 * 1024
"""Longest line in bytes. Image models send a whole picture, base64, in one ``data:`` line: tens of MB do occur."""
MAX_EVENT: Final = 64 * 1024 * 1024
"""Largest event in bytes, over all its ``data:`` lines."""

MAX_BUFFER: Final = 8 * 1024 * 1024
"""Bytes of events that wait for a slow reader; beyond them the connection is not read, which slows the server down."""

MAX_FILE = 64 * 1024 * 1024
"""Largest local file in bytes: the gateway's own limit for a file that it downloads."""
