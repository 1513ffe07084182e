"""A small real PNG picture, the same for the same random generator."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

__all__ = ["png"]

_SIDE = 16
_TILE = 4


def png(random: Random) -> bytes:
    """A 16 x 16 RGB picture of coloured tiles, about 900 bytes (W3C "PNG Specification", section 5)."""
    tiles = [[random.randbytes(3) for _ in range(_SIDE // _TILE)] for _ in range(_SIDE // _TILE)]
    rows = (
        b"\x00" + b"".join(tiles[y // _TILE][x // _TILE] for x in range(_SIDE))  # filter type 0: none
        for y in range(_SIDE)
    )
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    # Stored, not deflated: the bytes then do not depend on the version of zlib.
    pixels = zlib.compress(b"".join(rows), 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
