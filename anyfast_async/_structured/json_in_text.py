"""Where the JSON of an answer stands in its text: the one rule.

1. If the whole text is JSON, or a Markdown block that is, that is the answer.
2. Else it is the one object that stands in the text, in a Markdown block or between words; where a list is wanted, the
   one list or object. Comments (``//``, ``#``, ``/* */``) and commas before a closing bracket are passed over.
3. Two of them that differ are no answer, and nothing is ever taken from inside of other brackets, or from what begins
   as JSON and breaks off: which one is meant cannot be told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from anyfast_async._values.json_reading import DECODER, mended_value
from anyfast_async._values.text import unfenced

_BRACKET: Final = re.compile(r"[{}\[\]]")
_JSON_BEGINS: Final = re.compile(
    r"""\{\s*(?:["'}]|//|/\*|\#|\w+\s*:)
      | (?:\[\s*){1,9}(?:[{"'\]]|//|/\*|(?:-?\d[\d.eE+-]*|true|false|null)\s*[,\]])""",
    re.VERBOSE,
)
"""What begins like this is meant as JSON; ``[see above]`` and ``{name}`` are not."""
_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*+(?:"|\Z))
      | (?P<comment>//[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<comma>,)
      | (?P<open>[\[{]) | (?P<close>[\]}])
      | (?P<other>[^"/\#,\[\]{}\s]++) | (?P<space>\s++) | (?P<odd>.)""",
    re.VERBOSE | re.DOTALL,
)


class NoJsonError(ValueError):
    """There is no one JSON value in a text; the message says what there is."""


def json_in(text: str, *, wrapped: bool = False) -> Any:
    """Return the JSON value that an answer's *text* holds.

    Args:
        text: all of it.
        wrapped: whether it was asked for as ``{"value": ...}``, so that a bare list will do.

    Raises:
        NoJsonError: there is none, or more than one.

    """
    plain = text.removeprefix("\ufeff").strip()
    for whole in (plain, unfenced(plain)):
        try:
            return mended_value(DECODER.decode(whole))
        except (ValueError, RecursionError):
            continue
    if not plain:
        message = "is empty"
        raise NoJsonError(message)
    try:
        found = _meant(list(_values(plain)), wrapped=wrapped)
        distinct = {json.dumps(value, sort_keys=True) for value in found} if len(found) > 1 else found
    except RecursionError:
        message = "is nested too deep"
        raise NoJsonError(message) from None
    if not found:
        message = "is no JSON"
        raise NoJsonError(message)
    if len(distinct) > 1:
        message = f"holds {len(distinct)} JSON values, and which one is meant cannot be told"
        raise NoJsonError(message)
    return mended_value(found[0])


def _meant(values: list[Any], *, wrapped: bool) -> list[Any]:
    objects = [value for value in values if isinstance(value, dict)]
    if wrapped:
        return [value for value in objects if value.keys() == {"value"}] or values
    return objects or values


def _values(text: str) -> Iterator[Any]:
    """Yield the objects and lists that stand in a text beside each other, in time linear in its length."""
    at, inside = 0, 0
    while (bracket := _BRACKET.search(text, at)) is not None:
        at = bracket.end()
        if _JSON_BEGINS.match(text, bracket.start()):
            value, at = _value(text, bracket.start())
            if inside:
                message = "is no JSON: what is in it stands in other brackets"
                raise NoJsonError(message)
            yield value
        else:
            inside += 1 if bracket[0] in "[{" else -1
            if inside < 0:
                message = f"is no JSON: it has a {bracket[0]!r} too many"
                raise NoJsonError(message)


def _value(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at *start*, and where it ends."""
    try:
        return DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        plain, end = _without_comments(text, start)
    try:
        return DECODER.decode(plain), end
    except (ValueError, RecursionError):
        message = "is no JSON: it begins as JSON and goes on as something else"
        raise NoJsonError(message) from None


def _without_comments(text: str, start: int) -> tuple[str, int]:
    """Return the text of the brackets that open at *start* as JSON has it, and where they close."""
    pieces: list[str] = []
    depth, comma = 0, False
    for token in _TOKEN.finditer(text, start):
        kind = token.lastgroup
        if kind in ("comment", "space"):
            pieces.append(" ")  # what stands on both sides stays apart
            continue
        if comma and kind != "close":
            pieces.append(",")
        comma = kind == "comma"
        if not comma:
            pieces.append(token[0])
        depth += {"open": 1, "close": -1}.get(kind or "", 0)
        if not depth:
            return "".join(pieces), token.end()
    message = "is no JSON: it breaks off"
    raise NoJsonError(message)
