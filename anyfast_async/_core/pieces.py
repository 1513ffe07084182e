"""What comes in pieces: a text, a tool call, fields that nobody knows. Joined once, at the end, so time is linear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyfast_async._core import codec

_TOOL_TEXTS: Final = frozenset({"input"})
"""What OpenAI streams in fragments beside the arguments: the input of a custom tool."""


def _is_whole(piece: str) -> bool:
    """Return whether no half of a surrogate pair is in *piece*."""
    try:
        piece.encode()
    except UnicodeEncodeError:
        return False
    return True


class Text:
    """Text that comes in pieces; a surrogate pair may be split over two of them."""

    __slots__ = ("_carry", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._carry = ""

    def add(self, piece: str) -> str:
        """Take a piece; return what can be shown of it."""
        if not self._carry and (piece.isascii() or _is_whole(piece)):
            if piece:
                self.pieces.append(piece)
            return piece
        piece = self._carry + piece
        self._carry = ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            self._carry = piece[-1]
            piece = piece[:-1]
        piece = codec.mended(piece)
        if piece:
            self.pieces.append(piece)
        return piece

    def __str__(self) -> str:
        return "".join(self.pieces) + ("\ufffd" if self._carry else "")


class Call:
    """One tool call in the making."""

    __slots__ = ("arguments", "extra", "function_extra", "id", "index", "name")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments = Text()
        self.extra: dict[str, Any] = {}
        self.function_extra: dict[str, Any] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        if isinstance(delta.get("id"), str):
            self.id = self.id or delta["id"]
        extra = {k: v for k, v in delta.items() if k not in ("index", "id", "type", "function")}
        merge(self.extra, extra, joined=_TOOL_TEXTS)
        function = delta.get("function")
        if not isinstance(function, Mapping):
            return
        name = function.get("name")
        if isinstance(name, str) and name != self.name:
            self.name += name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self.arguments.add(arguments)
        elif isinstance(arguments, (dict, list)):
            self.arguments.add(codec.dumps(arguments).decode())
        merge(self.function_extra, {k: v for k, v in function.items() if k not in ("name", "arguments")})

    @property
    def whole(self) -> bool:
        """Whether the arguments are a whole JSON object, so that another one would be those of another call."""
        text = str(self.arguments).strip()
        if not text.endswith("}"):
            return False
        try:
            return isinstance(codec.loads(text.encode("utf-8", "replace")), dict)
        except codec.InvalidJSONError:
            return False

    def as_dict(self) -> dict[str, Any]:
        function: dict[str, Any] = {"name": self.name, "arguments": str(self.arguments)} | codec.copied(
            self.function_extra
        )
        call: dict[str, Any] = {"id": self.id, "type": "function", "function": function}
        return {**call, **codec.copied(self.extra)}


def merge(into: dict[str, Any], new: Mapping[str, Any], joined: frozenset[str] = frozenset()) -> None:
    """Put unknown fields together: objects merge, lists grow, null says nothing, the last of anything else wins.

    Texts under a name in *joined* come in fragments.
    """
    todo = [(into, new)]
    while todo:  # no recursion: upstreams decide how deep it goes
        target, source = todo.pop()
        for name, value in source.items():
            old = target.get(name)
            if value is None:
                target.setdefault(name, None)
            elif isinstance(old, dict) and isinstance(value, dict):
                todo.append((old, value))
            elif isinstance(old, list) and isinstance(value, list):
                old.extend(codec.copied(value))
            elif name in joined and isinstance(old, str) and isinstance(value, str):
                target[name] = old + value
            else:
                target[name] = codec.copied(value)
