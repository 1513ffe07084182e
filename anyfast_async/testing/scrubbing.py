"""Keys are blanked out before anything is written: as they are, and in the spellings that servers and models echo them.

Pure. What is put in place of a key in an answer has its length, so that no length, border or offset changes. In a
request, which is only compared, it is a name: which key it was, and nothing that could be reversed to it.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from anyfast_async.simulator.script.exchange import target

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
_QUERY: Final = frozenset(
    {
        *("key", "api_key", "api-key", "apikey", "x-api-key", "access_token", "token", "auth", "authorization"),
        *("sig", "signature", "x-amz-signature", "x-amz-security-token", "x-goog-signature", "secret", "client_secret"),
        *("password", "subscription-key"),
    }
)
_OPEN: Final = "⟦"
"""Begins a name that stands for a key; where a text has it, it is written twice."""
_ENVIRONMENT: Final = "ANYFAST_API_KEY"
_ALONE: Final = (
    # Not inside of a word; the last letter of an escape (%2F, \n, \u00e9) belongs to none.
    rb"(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4}))",
    rb"(?![\w-])",
)


def secrets_of(headers: Mapping[str, str], query: str) -> set[str]:
    """Return what a request shows to prove who sent it."""
    found = set()
    for name, value in headers.items():
        if name.lower() in _HEADERS:
            _, scheme, rest = value.partition(" ")
            found.add(rest.strip() if scheme and name.lower() != "cookie" else value)
            found |= {word for word in re.split(r"[\s;=]+", value) if len(word) >= _LONG}
    for name, _, value in _fields(query):
        if _is_key(name):
            found |= {unquote(value), unquote_plus(value)}
    return {one for one in found if one}


class Scrubber:
    """Blanks out keys; it is told of more as they come.

    Args:
        secrets: what requests name by its number, from 1.
        environment: the key that the environment has, if any.

    """

    def __init__(self, secrets: Iterable[str] = (), environment: str = "") -> None:
        self._given = {one: f"secret {number}" for number, one in enumerate(dict.fromkeys(secrets), 1) if one}
        self._names = ({environment: _ENVIRONMENT} if environment else {}) | self._given
        self._shown: dict[frozenset[str], int] = {}
        self._forms: list[tuple[str, str]] = []
        """Per group of the pattern: the secret, and what is said before its name."""
        self._pattern: re.Pattern[bytes] | None = None

    def __repr__(self) -> str:
        return f"Scrubber({len(self._names)} keys)"

    def learn(self, secrets: Iterable[str]) -> None:
        """Blank out these, too: the keys that one request shows."""
        shown = frozenset(one for one in secrets if one)
        number = self._shown.setdefault(shown, len(self._shown) + 1)
        new = {one for one in shown if self._names.get(one, _ENVIRONMENT) == _ENVIRONMENT}
        if new:
            self._names |= dict.fromkeys(new, f"key {number}")
            self._pattern = None

    # -- answers -----------------------------------------------------------------------------------------------------

    def blank(self, data: bytes) -> bytes:
        """Return *data*, of the same length, without keys."""
        return self._compiled().sub(lambda found: found[0] if found.lastindex is None else BLANK * len(found[0]), data)

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

    # -- requests ----------------------------------------------------------------------------------------------------

    def named(self, path: str, query: str, value: Any, own: Collection[str] = ()) -> tuple[str, Any]:
        """Return path and value of a request with names for keys, and for all that the query calls a key.

        Requests that differ in anything but keys of one name stay different.

        Args:
            path: without the query.
            query: as sent.
            value: of the body.
            own: the keys that the request shows; they have the same name in every request.
        """
        fields = [
            f"{name}={_OPEN}key⟧" if value and _is_key(name) else self._named_text(name + equals + value, own)
            for name, equals, value in _fields(query)
        ]
        return target(self._named_text(path, own), "&".join(fields)), self._named_value(value, own)

    def _named_value(self, value: Any, own: Collection[str]) -> Any:
        if isinstance(value, str):
            return self._named_text(value, own)
        if isinstance(value, dict):
            return {self._named_text(name, own): self._named_value(one, own) for name, one in value.items()}
        if isinstance(value, list):
            return [self._named_value(one, own) for one in value]
        if isinstance(value, bytes):
            return self.blank(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            text = json.dumps(value)
            named = self._named_text(text, own)
            return value if named == text else named
        return value

    def _named_text(self, text: str, own: Collection[str]) -> str:
        def name(found: re.Match[bytes]) -> bytes:
            if found.lastindex is None:
                return found[0] * 2
            secret, before = self._forms[found.lastindex - 1]
            name = "key" if secret in own and secret not in self._given else self._names[secret]
            return f"{_OPEN}{before}{name}⟧".encode()

        return self._compiled().sub(name, text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _compiled(self) -> re.Pattern[bytes]:
        if self._pattern is None:
            forms = [
                (len(part), secret, before, form) for secret in self._names for part, before, form in _forms(secret)
            ]
            forms.sort(key=lambda one: (-one[0], one[1] not in self._given, one[1]))
            self._forms = [(secret, before) for _, secret, before, _ in forms]
            self._pattern = re.compile(b"|".join([*(b"(" + form + b")" for *_, form in forms), _OPEN.encode()]))
        return self._pattern


class RecordedForms:
    """How a request may have been recorded, for the one that is played: its key need not be the recorded one."""

    def __init__(self, secrets: Iterable[str], environment: str = "") -> None:
        self._given = Scrubber(secrets)
        self._all = Scrubber(secrets, environment)

    def __call__(self, headers: Mapping[str, str], path: str, query: str, value: Any) -> Sequence[tuple[str, Any]]:
        """Return path and value as they may have been recorded, the likeliest first."""
        own = secrets_of(headers, query)
        self._all.learn(own)
        # A key to play with may be any word, "test" for one, that stood in the recorded request as what it is.
        return self._all.named(path, query, value, own), self._given.named(path, query, value)


def _fields(query: str) -> list[tuple[str, str, str]]:
    """Names, equals signs and values as sent."""
    return [field.partition("=") for field in query.split("&")]


def _is_key(name: str) -> bool:
    return unquote_plus(name).lower() in _QUERY


def _forms(secret: str) -> Iterable[tuple[str, str, bytes]]:
    """What of a key is looked for, what is said before its name, and a pattern for the ways to write it."""
    written = _written(secret)
    if len(secret) < _LONG:
        # It may be a word: only where it stands alone.
        yield secret, "", written.join(_ALONE)
        return
    raw = secret.encode("utf-8", "surrogatepass")
    packed = set()
    for shift in range(3):
        # The characters that hold nothing but bits of the key, wherever it lies in what was encoded.
        start, end = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
        packed.add(base64.b64encode(bytes(shift) + raw)[start:end])
    encoded = b"|".join(b"".join(_BASE64.get(one, re.escape(one)) for one in _split(text)) for text in sorted(packed))
    yield secret, "", b"|".join((written, b"(?i:" + raw.hex().encode() + b")", encoded))
    yield secret[-_TAIL:], "end of ", _written(secret[-_TAIL:])


_BASE64: Final = {b"+": rb"(?:[+-]|%(?:25)*2[bB])", b"/": rb"(?:\\{0,8}/|_|%(?:25)*2[fF])"}


def _split(data: bytes) -> Iterable[bytes]:
    return (data[place : place + 1] for place in range(len(data)))


def _written(text: str) -> bytes:
    """A pattern for the ways to write a text."""
    # A run of backslashes as one, for how many of them stand for each could be tried without end.
    return b"".join(
        b"%b{%d,%d}" % (_character(one), len(run), 8 * len(run)) if one == "\\" else _character(one) * len(run)
        for one, run in ((one, list(run)) for one, run in groupby(text))
    )


def _character(one: str) -> bytes:
    """A pattern for the ways to write one character: writers differ in what they quote, and mix them."""
    raw = one.encode("utf-8", "surrogatepass")
    units = one.encode("utf-16-be", "surrogatepass")
    ways = {
        re.escape(raw),
        # RFC 3986, 2.1, over again where a quoted text was quoted.
        b"".join(b"%%(?:25)*(?i:%02x)" % byte for byte in raw),
        # RFC 8259, section 7, over again where JSON is a string in JSON.
        b"".join(rb"\\{1,8}u(?i:%s)" % units[place : place + 2].hex().encode() for place in range(0, len(units), 2)),
        re.escape(html.escape(one).encode("utf-8", "surrogatepass")),
    }
    if one == " ":
        ways.add(rb"\+")
    if one in '"/':
        ways.add(rb"\\{1,8}" + re.escape(raw))
    longest_first = sorted(ways, key=lambda way: (-len(way), way))  # & begins what HTML writes for it
    return b"(?:" + b"|".join(longest_first) + b")"
