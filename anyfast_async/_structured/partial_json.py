"""JSON that arrives in pieces: what there is of it so far, in steps linear in its length.

Parsers of partial JSON (jiter, pydantic-core, partial-json-parser) begin at the start with every piece: the square of
the length. Parsers that go on where they were (ijson) give a string when it is complete. Here each character is read
once, and what is given out are views, made in as many steps as the JSON is deep. What is given out while it arrives is
for the eye; what the answer is, is decided by ``json_in_text`` once it is whole.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from anyfast_async._structured.partial_values import (
    GrowingList,
    GrowingObject,
    GrowingText,
    Open,
    Partial,
    PartialList,
    shown,
)
from anyfast_async._values.json_reading import DECODER

DEEPEST: Final = 100
"""Levels that are followed."""
_LONGEST: Final = 400
"""Characters of a number, or between a bracket and what shows that it is one of JSON."""
_BEGINS: Final = re.compile(r"""(\{)\s*(["}/#])?""")
_WRAPPED_BEGINS: Final = re.compile(r"""([{\[])\s*([{\["}\]/#\d-])?""")
_PLAIN: Final = re.compile(r'[^"\\]+')
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_HIGH: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_LOW: Final = re.compile(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_SPACE: Final = re.compile(r"\s+")
_SCALAR: Final = re.compile(r"[-+.\w]+")


class PartialJson:
    """Reads the JSON of an answer as it arrives.

    Args:
        wrapped: whether it was asked for as ``{"value": ...}``; then the value is what is given out.

    """

    __slots__ = ("_comment", "_frames", "_is_key", "_lost", "_names", "_rest", "_root", "_text", "_wanted", "_wrapped")

    def __init__(self, *, wrapped: bool = False) -> None:
        self._wrapped = wrapped
        self._rest = ""
        """What came and cannot be told yet; short."""
        self._root: Any = None
        self._frames: list[GrowingList] = []
        """The lists and objects that are open, outermost first."""
        self._names: list[str | None] = []
        """Of the member at work in each of them."""
        self._text: GrowingText | None = None
        """The string that is open."""
        self._is_key = False
        """Whether that is a name."""
        self._wanted = "value"
        """What comes next: a ``value``, a ``name``, a ``colon``, or a ``comma``."""
        self._comment = ""
        """What ends the comment that is open."""
        self._lost = False

    def feed(self, piece: str) -> bool:
        """Take in what came; return whether there is more to see."""
        text, at, is_new = self._rest + piece, 0, False
        self._rest = ""
        while at < len(text) and not self._lost:
            if self._text is not None:
                then, seen = self._in_text(text, at, self._text)
            elif self._comment:
                then, seen = self._in_comment(text, at), False
            elif not self._frames:
                then, seen = self._before(text, at)
            else:
                then, seen = self._between(text, at)
            is_new = is_new or seen
            if then < 0:  # not to be told yet
                self._rest = text[at:]
                self._lost = len(self._rest) > _LONGEST
                break
            at = then
        return is_new

    def so_far(self) -> Any:
        """Return what there is: a view for an object or a list, None if there is nothing."""
        member: Open = None
        if self._text is not None and not self._is_key:
            member = self._text, self._text.length
        views: list[Any] = []
        for frame, name in zip(reversed(self._frames), reversed(self._names), strict=True):
            if isinstance(frame, GrowingObject):
                member = Partial(frame, len(frame.members), None if member is None else name, member)
            else:
                member = PartialList(frame, len(frame.members), member)
            views.append(member)
        whole = views[-1] if views else shown(self._root)
        is_wrapper = self._wrapped and isinstance(whole, Partial)
        if not is_wrapper:
            return whole
        return whole["value"] if "value" in whole else whole if len(whole) else None

    # -- where it is ---------------------------------------------------------------------------------------------------

    def _before(self, text: str, at: int) -> tuple[int, bool]:
        """Go on to where the JSON begins: at a bracket and what follows it in JSON."""
        if self._root is not None:
            return len(text), False
        begins = _WRAPPED_BEGINS if self._wrapped else _BEGINS
        found = begins.search(text, at)
        if found is None:
            return len(text), False
        if found[2]:
            return self._opened(found[1], found.start())
        if found.end() < len(text):
            return found.start() + 1, False  # of prose
        return (found.start() if found.start() > at else -1), False

    def _in_text(self, text: str, at: int, into: GrowingText) -> tuple[int, bool]:
        if (run := _PLAIN.match(text, at)) is not None:
            into.add(run[0])
            return run.end(), not self._is_key
        if text[at] == '"':
            self._text = None
            said = into.upto(into.length)
            if not self._is_key:
                return self._ended(said, at + 1)
            self._names[-1], self._wanted = said, "colon"
            return at + 1, False
        escape = _ESCAPE.match(text, at)
        if escape is None:
            self._lost = len(text) - at >= 6  # noqa: PLR2004 - the longest one
            return -1, False
        end = escape.end()
        if _HIGH.match(text, at):  # a pair is one character
            if (low := _LOW.match(text, end)) is not None:
                end = low.end()
            elif len(text) - end < 6 and text[end : end + 1] in ("", "\\"):  # noqa: PLR2004
                return -1, False
        into.add(json.loads(f'"{text[at:end]}"'))
        return end, not self._is_key

    def _in_comment(self, text: str, at: int) -> int:
        found = text.find(self._comment, at)
        if found >= 0:
            end, self._comment = found + len(self._comment), ""
            return end
        if self._comment == "*/" and text.endswith("*"):
            return -1 if at == len(text) - 1 else len(text) - 1
        return len(text)

    def _between(self, text: str, at: int) -> tuple[int, bool]:
        if (space := _SPACE.match(text, at)) is not None:
            return space.end(), False
        mark = text[at]
        if mark == "#" or text.startswith("//", at):
            self._comment = "\n"
            return at + 1, False
        if mark == "/":
            if at + 1 == len(text):
                return -1, False
            self._comment, self._lost = "*/", text[at + 1] != "*"
            return at + 2, False
        if mark in "]}":
            return self._closed(mark, at)
        if self._wanted == "colon" and mark == ":":
            self._wanted = "value"
            return at + 1, False
        if self._wanted == "comma" and mark == ",":
            self._wanted = "name" if isinstance(self._frames[-1], GrowingObject) else "value"
            return at + 1, False
        if self._wanted == "name" and mark == '"':
            self._text, self._is_key = GrowingText(), True
            return at + 1, False
        return self._begun(text, at) if self._wanted == "value" else self._stray(at)

    def _begun(self, text: str, at: int) -> tuple[int, bool]:
        mark = text[at]
        if mark == '"':
            self._text, self._is_key = GrowingText(), False
            return at + 1, True
        if mark in "[{":
            return self._opened(mark, at)
        scalar = _SCALAR.match(text, at)
        if scalar is None:
            return self._stray(at)
        if scalar.end() == len(text):
            return -1, False
        try:
            return self._ended(DECODER.decode(scalar[0]), scalar.end())
        except ValueError:
            return self._stray(at)

    def _opened(self, mark: str, at: int) -> tuple[int, bool]:
        opened = GrowingObject() if mark == "{" else GrowingList()
        if not self._frames:
            self._root = opened
        self._frames.append(opened)
        self._names.append(None)
        self._wanted = "name" if mark == "{" else "value"
        self._lost = len(self._frames) > DEEPEST
        return at + 1, True

    def _closed(self, mark: str, at: int) -> tuple[int, bool]:
        is_object = isinstance(self._frames[-1], GrowingObject)
        if is_object != (mark == "}") or self._wanted == "colon" or (is_object and self._wanted == "value"):
            return self._stray(at)
        closed = self._frames.pop()
        self._names.pop()
        return self._ended(closed, at + 1) if self._frames else (at + 1, False)

    def _ended(self, value: Any, at: int) -> tuple[int, bool]:
        """Put a complete member into the innermost list or object."""
        frame = self._frames[-1]
        if isinstance(frame, GrowingObject):
            frame.places[self._names[-1] or ""] = len(frame.members)
            self._names[-1] = None
        frame.members.append(value)
        self._wanted = "comma"
        return at, True

    def _stray(self, at: int) -> tuple[int, bool]:
        self._lost = True
        return at + 1, False
