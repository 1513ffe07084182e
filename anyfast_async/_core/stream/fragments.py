"""What comes in pieces: texts, fields that nobody knows, the numbers of a usage. Joined so that time is linear."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from anyfast_async._core.json import codec
from anyfast_async._values.reasoning import is_thought

_LABELS: Final = re.compile(
    r"(?i)(?:\A|_)(?:id|type|format|name|role|index|object|model|status|provider|kind|version|lang|language|encoding"
    r"|phase|channel|state|source|url|uri|title|detail|created|reason|effort|tier)\Z"
)
"""Fields that say what something is: they come whole, again and again. Any other text that streams comes in pieces."""
_SIGNATURE: Final = re.compile(r"(?i)signature")
_CLOSED: Final = re.compile(r"(?i)redacted|encrypted|image|audio|file|citation")
"""Types of blocks that come whole."""


def is_label(name: str) -> bool:
    """Return whether the text of a field with this name comes whole."""
    return bool(_LABELS.search(name))


def is_signature(name: str) -> bool:
    """Return whether a field with this name holds a signature, of which nothing may be missing or doubled."""
    return bool(_SIGNATURE.search(name))


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

    @property
    def said(self) -> str:
        """All that was shown."""
        return "".join(self.pieces)

    @property
    def waits(self) -> bool:
        """Whether half a character waits for its other half."""
        return bool(self._carry)

    def end(self) -> str:
        """Say that nothing more comes; return what is shown in place of half a character."""
        shown, self._carry = "\ufffd" if self._carry else "", ""
        if shown:
            self.pieces.append(shown)
        return shown

    def news(self, whole: str) -> str | None:
        """Return what *whole* has more than the text so far, None if it is not the same text."""
        so_far = str(self)
        return whole[len(so_far) :] if whole.startswith(so_far) else "" if so_far.startswith(whole) else None

    def __str__(self) -> str:
        return self.said + ("\ufffd" if self._carry else "")


class Halves:
    """Keeps half a character that ends a text inside of a streamed field, until the text that goes on with it comes."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def joined(self, name: str, value: Any) -> Any:
        """Return *value*, which streamed in the field *name*, as it can be shown: the same where it has no half."""
        if not self._kept.get(name) and all(map(_is_whole, _texts_in(value))):
            return value

        def shown(text: str) -> str:
            if "\udc00" <= text[:1] <= "\udfff":
                text = self._kept.pop(name, "") + text
            if "\ud800" <= text[-1:] <= "\udbff":
                self._kept[name], text = text[-1], text[:-1]
            return text if text.isascii() else codec.mended(text)

        return codec.map_strings(value, shown, codec.mended)


def _texts_in(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, list):
            todo += item


def merge(into: dict[str, Any], new: Mapping[str, Any], *, streamed: bool = False) -> None:
    """Put unknown fields together: objects merge, null says nothing, lists grow, the last of anything else wins.

    Where fields are *streamed* texts grow too, except those that say what something is; and the items of a list that
    are pieces of one block are put together. Elsewhere a list that begins with all that was there is the whole of it.
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
                if streamed:
                    _extend(name, old, value)
                elif value[: len(old)] == old:
                    target[name] = codec.copied(value)
                else:
                    old.extend(codec.copied(value))
            elif streamed and isinstance(old, str) and isinstance(value, str) and not is_label(name):
                target[name] = _joined(name, old, value)
            elif streamed and isinstance(value, list):
                target[name] = []
                _extend(name, target[name], value)
            else:
                target[name] = codec.copied(value)


def _joined(name: str, old: str, new: str) -> str:
    # A signature may come in pieces, or again with each piece of what it signs.
    whole = new if is_signature(name) and new.startswith(old) else old + new
    return whole if whole.isascii() else codec.mended(whole)


def _extend(name: str, blocks: list[Any], pieces: list[Any]) -> None:
    """Add to a list what streamed; *name* is the list's."""
    for place, piece in enumerate(pieces):
        block = None
        if isinstance(piece, dict) and name != "images":
            indexed = type(piece.get("index")) is int
            block = _indexed(blocks, piece) if indexed else None if place else _open(name, blocks)
        if block is not None and _goes_on(block, piece):
            merge(block, piece, streamed=True)
        elif name != "images" or piece not in blocks:
            blocks.append(codec.copied(piece))


def _indexed(blocks: list[Any], piece: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the block with the index and the type of *piece*."""
    same = (b for b in reversed(blocks) if isinstance(b, dict) and b.get("index") == piece["index"])
    return next((b for b in same if piece.get("type") in (None, b.get("type")) or b.get("type") is None), None)


def _open(name: str, blocks: list[Any]) -> dict[str, Any] | None:
    """Return the last block, if it is a thought: those stay open until they are signed."""
    block = blocks[-1] if blocks else None
    if not isinstance(block, dict) or not (is_thought(name) or is_thought(str(block.get("type")))):
        return None
    return None if any(is_signature(field) and block[field] for field in block) else block


def _goes_on(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    """Return whether *piece* is one of *block*: of its type, one that comes in pieces, and of no other id."""
    kind = piece.get("type")
    if kind not in (None, block.get("type")) and block.get("type") is not None:
        return False
    if _CLOSED.search(str(kind or block.get("type"))):
        return False
    ids = [one["id"] for one in (block, piece) if one.get("id")]
    return len(ids) < len((block, piece)) or ids[0] == ids[1]


def merge_usage(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Put the numbers of a usage over those told before; null and zero say nothing where there is a number.

    Upstreams send running totals, some send an empty usage behind the real one.
    """
    todo = [(into, new)]
    while todo:
        target, source = todo.pop()
        for name, value in source.items():
            old = target.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                todo.append((old, value))
            elif name not in target or not _says_nothing(value) or _says_nothing(old):
                target[name] = codec.copied(value)


def _says_nothing(value: Any) -> bool:
    return not value or value == "0"
