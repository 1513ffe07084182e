"""Request ids as the gateway makes them, but derived from the request."""

from __future__ import annotations

import string
from datetime import UTC, datetime

__all__ = ["request_id"]

_ALPHABET = string.ascii_letters + string.digits
_SUFFIX = 8


def request_id(created: int, digest: bytes) -> str:
    """Make an id from a time and a hash: ``20260427111505260254000NBdvZFoP``.

    UTC time to the second, nine digits of nanoseconds, eight characters, as in
    new-api common/utils.go (`GetTimeString`) and middleware/request-id.go; here digits and characters come
    from the digest, so that a rerun has the same ids.
    """
    moment = datetime.fromtimestamp(created, tz=UTC).strftime("%Y%m%d%H%M%S")
    nanoseconds = int.from_bytes(digest[:8], "big") % 1_000_000_000
    suffix = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[8 : 8 + _SUFFIX])
    return f"{moment}{nanoseconds:09d}{suffix}"
