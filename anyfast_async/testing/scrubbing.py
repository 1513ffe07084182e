"""Keys are blanked out before anything is written: as they are, and in the spellings that servers and models echo them.

Pure. What is put in place of a key has its length, so that no length, border or offset of an answer changes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus

BLANK: Final = b"*"
_LONG: Final = 16
"""From so many characters on a key is no word that could stand in a text by chance."""
_TAIL: Final = 8
"""The end of a key, by which gateways like to name it."""
_HEADERS: Final = frozenset(
    {
        *("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "x-auth-token", "cookie"),
        *("ocp-apim-subscription-key", "x-litellm-api-key"),
    }
)
_QUERY: Final = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token", "sig", "signature"})


def secrets_of(headers: Mapping[str, str], query: str) -> set[str]:
    """Return what a request shows to prove who sent it."""
    found = {value for name, value in headers.items() if name.lower() in _HEADERS}
    found |= {word for value in found for word in re.split(r"[\s;=]+", value) if len(word) >= _LONG}
    found |= {value.partition(" ")[2].strip() for value in found if " " in value}
    found |= {value for name, value in parse_qsl(query) if name.lower() in _QUERY}
    return {one for one in found if one}


class Scrubber:
    """Blanks out keys; it is told of more as they come."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[bytes] | None = None
        self.learn(secrets)

    def __repr__(self) -> str:
        return f"Scrubber({len(self._secrets)} keys)"

    def learn(self, secrets: Iterable[str]) -> None:
        """Blank out these, too."""
        new = {one for one in secrets if one} - self._secrets
        if new:
            self._secrets |= new
            spellings = {spelling for secret in self._secrets for spelling in _spellings(secret)}
            longest_first = sorted(spellings, key=lambda one: (-len(one), one))
            self._pattern = re.compile(b"|".join(longest_first))

    def blank(self, data: bytes) -> bytes:
        """Return *data*, of the same length, without keys."""
        if self._pattern is None:
            return data
        return self._pattern.sub(lambda found: BLANK * len(found[0]), data)

    def blank_pieces(self, pieces: Sequence[bytes]) -> list[bytes]:
        """The same of bytes in pieces, where a key may lie across a border."""
        whole, place, blanked = self.blank(b"".join(pieces)), 0, []
        for piece in pieces:
            blanked.append(whole[place : place + len(piece)])
            place += len(piece)
        return blanked

    def blank_text(self, text: str) -> str:
        """The same of a text."""
        return self.blank(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _spellings(secret: str) -> Iterable[bytes]:
    """Patterns for the ways to write a key."""
    plain = re.escape(secret.encode())
    if len(secret) < _LONG:
        # It may be a word: only where it stands alone, and only as it is.
        yield rb"(?<![\w-])" + plain + rb"(?![\w-])"
        return
    yield plain
    yield re.escape(secret[-_TAIL:].encode())
    raw = secret.encode()
    for text in (quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], secret.replace("/", r"\/")):
        yield re.escape(text.encode())
    yield b"(?i:" + re.escape(quote(secret, safe="").encode()) + b")"  # %2f and %2F
    yield b"(?i:" + re.escape(raw.hex().encode()) + b")"
    yield re.escape("".join(f"\\u{ord(one):04x}" for one in secret).encode())
    for shift in range(3):
        # The characters that hold nothing but bits of the key, wherever it lies in what was encoded.
        packed = base64.b64encode(bytes(shift) + raw)
        start, end = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        middle = packed[start:end]
        yield re.escape(middle)
        yield re.escape(middle.translate(bytes.maketrans(b"+/", b"-_")))
