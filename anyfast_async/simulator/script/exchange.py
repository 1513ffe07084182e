"""One recorded exchange: a request, and the answer to it as bytes; and how both stand in a script file.

Pure. A recorded request holds no headers, so no key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from anyfast_async.simulator.http.encoding import decode_exactly

__all__ = ["RecordedExchange", "RecordedPiece", "hashed", "is_hashed", "request_value", "same", "target", "to_toml"]

End = Literal["whole", "cut", "left"]
"""How an answer ended: as it should, broken off, or not at all before the client went."""

_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
# What stands between ''' and ''' in TOML as it is: no other controls than tabs and line feeds, and no CR.
_LITERAL: Final = re.compile(r"(?!.*''')[^\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]*", re.DOTALL)
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CLEAR: Final = frozenset({"model", "role", "type", "reasoning_effort"})


@attrs.frozen
class RecordedPiece:
    """A piece of an answer's body."""

    at: float
    """Seconds after the request had arrived."""

    data: bytes


@attrs.frozen(kw_only=True)
class RecordedExchange:
    """A request and its answer."""

    method: str
    path: str
    """With the query."""

    request: Any = None
    """The value of its JSON; a text or bytes if it is none."""

    status: int | None = None
    """None: there was no answer."""

    headers: Mapping[str, str] = attrs.field(factory=dict)
    chunks: tuple[RecordedPiece, ...] = ()
    end: End = "whole"

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return b"".join(chunk.data for chunk in self.chunks)


def target(path: str, query: str) -> str:
    """Return the path with the query, as it stands in :attr:`RecordedExchange.path`."""
    return f"{path}?{query}" if query else path


def request_value(raw: bytes) -> Any:
    """Return what a request's body says: a JSON value, exactly, else text, else bytes; None if there is none."""
    if not raw:
        return None
    try:
        return decode_exactly(raw)
    except ValueError:
        pass
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


# -- hashed prompts ------------------------------------------------------------------------------------------


def hashed(value: Any, key: str = "") -> Any:
    """Return a request in which every text but the model and the words of the format is its SHA-256."""
    if isinstance(value, dict):
        return {name: hashed(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [hashed(one, key) for one in value]
    return _digest(value) if isinstance(value, str) and key not in _CLEAR else value


def is_hashed(text: object) -> bool:
    """Whether this is what :func:`hashed` makes of a text."""
    return isinstance(text, str) and _HASH.fullmatch(text) is not None


def same(recorded: object, sent: object) -> bool:
    """Whether two texts, numbers or the like are equal; a recorded hash equals the text that it was made of."""
    if isinstance(sent, str) and is_hashed(recorded):
        return recorded in (sent, _digest(sent))
    return recorded == sent and isinstance(recorded, bool) == isinstance(sent, bool)


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


# -- as a table of a script ----------------------------------------------------------------------------------


def to_toml(exchange: RecordedExchange) -> str:
    """Return the table ``[[exchange]]`` that says it."""
    lines = ["[[exchange]]", f"method = {_text(exchange.method)}", f"path = {_text(exchange.path)}"]
    if isinstance(exchange.request, bytes):
        lines.append(f"request_base64 = {_text(base64.b64encode(exchange.request).decode())}")
    elif exchange.request is not None:
        lines.append(f"request = {_block(_json(exchange.request))}")
    if exchange.status is not None:
        lines.append(f"status = {exchange.status}")
        headers = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in exchange.headers.items())
        lines.append(f"headers = {{ {headers} }}" if headers else "headers = {}")
        lines += [
            "chunks = [",
            *(f"  {{ at = {chunk.at:.4f}, {_data(chunk.data)} }}," for chunk in exchange.chunks),
            "]",
        ]
    if exchange.end != "whole":
        lines.append(f"end = {_text(exchange.end)}")
    return "\n".join(lines) + "\n"


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _data(data: bytes) -> str:
    try:
        return f"data = {_block(data.decode())}"
    except UnicodeDecodeError:
        return f"base64 = {_text(base64.b64encode(data).decode())}"


def _block(text: str) -> str:
    """A text over several lines if it can be read so, else in one with escapes."""
    literal = any(one in text for one in '\n"\\') and _LITERAL.fullmatch(text) is not None and not text.endswith("'")
    return f"'''\n{text}'''" if literal else _text(text)


def _text(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(one) or _escaped(one) for one in text) + '"'


def _escaped(one: str) -> str:
    if "\ud800" <= one <= "\udfff":
        return "\ufffd"  # TOML has no lone surrogates
    return one if one >= " " and one != "\x7f" else f"\\u{ord(one):04x}"
