"""Chunks that differ from an earlier one in their text alone, recognised by their bytes.

Nearly every chunk of a stream says the same id, model and time around another piece of text. :meth:`ChunkTemplate.of`
takes such a chunk apart into what stands before its text and what stands after it. A later event that begins and ends
with the same bytes, and has one JSON string between them, is the same chunk with another text: nothing else of it need
be decoded, and nothing is lost. Any other event is not recognised, and decoded whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from anyfast_async._core.json.jsontext import dumps, loads_strictly

Item: TypeAlias = "dict[str, Any] | tuple[ChunkTemplate, str]"
"""A decoded chunk; one that differs from an earlier one in its text alone is that text, with what it belongs to."""

_CONTENT: Final = re.compile(rb'"content"\s*:\s*("(?:[^"\\]|\\.)*")')
_LONGEST: Final = 64 * 1024
"""Bytes of a chunk that a template is made of."""
TOGETHER: Final = 64
"""Texts that are decoded together. Where one of them is none they are looked at one by one: so not too many."""
_FIELD: Final = b"data: "
_QUIET: Final = frozenset({"finish_reason", "logprobs", "usage"})
"""What says nothing beside the text as long as it is null."""


class ChunkTemplate:
    """The chunks that are alike but for the text of choice 0."""

    __slots__ = ("_after", "_before", "_begin", "_choice", "_end", "_ending", "_payload")

    def __init__(self, before: bytes, after: bytes, payload: Mapping[str, Any]) -> None:
        self._before = before  # up to the text, its first quote included
        self._after = after  # from its last quote on
        self._begin = len(before)
        self._end = -len(after)
        self._ending = after + b"\n\n"
        self._payload = {name: value for name, value in payload.items() if name != "choices"}
        self._choice = {name: value for name, value in payload["choices"][0].items() if name != "delta"}

    @classmethod
    def of(cls, data: bytes, payload: Mapping[str, Any]) -> ChunkTemplate | None:
        """Return the template of the chunk *payload*, whose JSON is *data*; None if it says more than a text."""
        # A line feed may stand in an event of several lines, and in no line of one.
        if len(data) > _LONGEST or b"\n" in data or not _says_text_alone(payload):
            return None
        found = _CONTENT.search(data, data.find(b'"delta"'))
        if found is None:
            return None
        template = cls(data[: found.start(1) + 1], data[found.end(1) - 1 :], payload)
        # Only a trial tells whether that was the place: names may be doubled, or stand inside of other values.
        other = payload["choices"][0]["delta"]["content"] + "."
        try:
            seen = loads_strictly(b"".join((template._before, dumps(other)[1:-1], template._after)))
        except ValueError:
            return None
        return template if seen == template.payload(other) else None

    def texts(self, events: Sequence[bytes], at: int = 0) -> list[str]:
        """Return the texts of the next *events* from index *at* on, none if the first one is not of this template."""
        before, after, begin, end = self._before, self._after, self._begin, self._end
        least = begin - end  # else the two would be told by the same quote
        pieces: list[bytes] = []
        for event in events[at : at + TOGETHER]:
            if type(event) is not bytes or len(event) < least or not event.startswith(before):
                break
            if not event.endswith(after):
                break
            pieces.append(event[begin:end])
        if pieces and (texts := _strings(pieces)) is not None:
            return texts
        texts = []
        for piece in pieces:
            if (text := _strings([piece])) is None:
                break
            texts += text
        return texts

    def alone(self, data: bytes) -> str | None:
        """Return the text if *data*, a piece of an event stream, is one event of this template and nothing else."""
        begin = len(_FIELD)
        if not (data.startswith(_FIELD) and data.startswith(self._before, begin) and data.endswith(self._ending)):
            return None
        try:
            text: str = loads_strictly(data[begin + self._begin - 1 : self._end - 1])  # what has quotes at both ends
        except ValueError:
            return None
        return text

    def payload(self, text: str) -> dict[str, Any]:
        """Return the chunk that says *text*."""
        return {**self._payload, "choices": [{**self._choice, "delta": {"content": text}}]}


def payload_of(item: Item) -> dict[str, Any]:
    """Return the chunk that *item* stands for."""
    return item if isinstance(item, dict) else item[0].payload(item[1])


def _strings(pieces: Sequence[bytes]) -> list[str] | None:
    """Return the strings that stand in JSON as *pieces*, without their quotes; None if that is not what those are.

    A line feed cannot stand in a string: one that ended in a later piece than it begins in would not be read. So each
    piece holds a string at least, and with as many values as pieces, all of them strings, each is one.
    """
    try:
        found: list[Any] = loads_strictly(b'["%b"]' % b'",\n"'.join(pieces))
    except ValueError:
        return None
    return found if len(found) == len(pieces) and set(map(type, found)) == {str} else None


def _says_text_alone(payload: Mapping[str, Any]) -> bool:
    """Return whether a chunk says nothing but a piece of text of choice 0, and flat fields around it."""
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict) or choice.get("index") != 0 or type(choice["index"]) is not int:
        return False
    delta = choice.get("delta")
    if not isinstance(delta, dict) or len(delta) != 1 or not isinstance(delta.get("content"), str):
        return False
    around = [*payload.items(), *choice.items()]
    flat = all(not isinstance(value, (dict, list)) for name, value in around if name not in ("choices", "delta"))
    return flat and all(value is None for name, value in around if name in _QUIET)
