"""JSON as the gateway reads and writes it (Go's encoding/json), and event-stream framing."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any, NoReturn

import orjson

__all__ = ["DONE", "canonical", "decode", "decode_exactly", "encode", "event", "gunzip", "json_text"]

_GZIP = 16 + zlib.MAX_WBITS

DONE = b"data: [DONE]\n\n"
"""The last event of every stream (new-api relay/helper/common.go: Done)."""


def encode(value: object) -> bytes:
    """Compact JSON; ``< > &`` and the line separators are escaped, as Go does it by default."""
    return (
        orjson.dumps(value)
        .replace(b"&", b"\\u0026")
        .replace(b"<", b"\\u003c")
        .replace(b">", b"\\u003e")
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
    )


def event(value: object) -> bytes:
    """One server-sent event: a single ``data:`` line and a blank line (WHATWG HTML 9.2)."""
    return b"data: " + encode(value) + b"\n\n"


def decode(raw: bytes) -> Any:
    """The value of a JSON text; what is not Unicode (bad UTF-8, lone surrogates) becomes U+FFFD.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Numbers, too, come out of one decoder: beyond 64 bits they are floats.
        return orjson.loads(json.dumps(decode_exactly(raw)))


def decode_exactly(raw: bytes) -> Any:
    """The same with integers of any size as they are.

    Raises:
        ValueError: it is not JSON, or has a number beyond all floats.
    """
    try:
        value = json.loads(raw.decode("utf-8", "replace"), parse_constant=_refuse, parse_float=_finite)
        if b"\\u" not in raw:
            return value
        # Through UTF-16, where a lone surrogate is an error that "replace" mends.
        text = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
        return json.loads(text.decode("utf-16-le", "replace"))
    except RecursionError:
        message = "exceeded max depth"
        raise ValueError(message) from None


def gunzip(packed: bytes, limit: int) -> bytes:
    """What was compressed (RFC 1952), at most one byte more of it than ``limit``.

    Raises:
        ValueError: it is not gzip.
    """
    try:
        return zlib.decompressobj(wbits=_GZIP).decompress(packed, limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def canonical(value: object) -> bytes:
    """One spelling for equal values, for hashing."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def json_text(value: object) -> str:
    """JSON as a model would write it: with spaces, any characters as they are."""
    return json.dumps(value, ensure_ascii=False)


def _refuse(constant: str) -> NoReturn:
    message = f"invalid character in literal {constant}"
    raise ValueError(message)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)
