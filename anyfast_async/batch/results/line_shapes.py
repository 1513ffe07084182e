"""Lines that differ from one that was read in their values alone, read thousands at a time. Pure.

One program writes nearly all of its lines in one shape: the same fields in the same order. A shape is learned from a
line that :func:`usual_row` has read, as an expression that matches lines of which it would say the same but for the
values; what else stands there is left to it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import add
from typing import Any, Final, TypeAlias

import attrs

from anyfast_async._core.journal import journal_lines
from anyfast_async._core.json import codec
from anyfast_async._core.json.jsontext import loads_strictly
from anyfast_async._core.usage import Used
from anyfast_async.batch.results.result_lines import usual_row, usual_tokens
from anyfast_async.batch.results.row import Row, Told, objects_in_texts

_used: Final = partial(tuple.__new__, Used)
Path: TypeAlias = tuple[str | int, ...]

_REST: Final = rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_TEXT: Final = rb'"' + _REST
_WHOLE: Final = rb"-?(?:0|[1-9][0-9]*+)"
_NUMBER: Final = _WHOLE + rb"(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
_COUNT: Final = rb"(0|[1-9][0-9]{0,14}+)"
_BODY: Final = ("response", "body")
_CHOICE: Final = (*_BODY, "choices", 0)
_USAGE: Final = (*_BODY, "usage")
_ASKED: Final = (*_USAGE, "prompt_tokens_details")
_ANSWERED: Final = (*_USAGE, "completion_tokens_details")
_COUNTS: Final[Mapping[Path, str]] = {
    (*_BODY, "created"): "created",
    (*_USAGE, "prompt_tokens"): "prompt_tokens",
    (*_USAGE, "completion_tokens"): "completion_tokens",
    (*_USAGE, "total_tokens"): "total",
    (*_ASKED, "cached_tokens"): "cached_tokens",
    (*_ASKED, "audio_tokens"): "audio",
    (*_ANSWERED, "reasoning_tokens"): "reasoning_tokens",
    (*_ANSWERED, "image_tokens"): "image",
}
_SAID: Final[set[Path]] = {
    (*_CHOICE, "finish_reason"),
    (*_CHOICE, "message", "refusal"),
    (*_CHOICE, "message", "tool_calls"),
    ("response", "status_code"),
    ("error",),
}
"""What has to stand there as in the line that was read."""
_SUMMED: Final = frozenset({"head", "sum", "tail"})
"""Of a line of ours: what its checksum is of, and in between the checksum."""
_SPELLINGS: Final = ((b",", b":"), (b", ", b": "))
"""How programs write JSON: ours, and Python's own."""


@attrs.frozen
class LineShape:
    """What lines look like."""

    _expression: re.Pattern[bytes]
    """Matches a line: of this shape with its values, or another one with none."""
    _names: Sequence[str]
    """Of the values."""
    _finish_reason: str | None

    @classmethod
    def of(cls, line: bytes) -> LineShape | None:
        """Return the shape of a line that :func:`usual_row` reads, None if it takes a closer look each time."""
        value, text = loads_strictly(line), line.rstrip(b"\r\n")
        body = value["response"]["body"]
        usage = body.get("usage")
        if usage is not None and usual_tokens(usage) is None:
            return None
        for comma, colon in _SPELLINGS:
            names: list[str] = []
            is_ours = journal_lines.stem_of(line) is not None
            pattern = b"".join(_pattern(value, (), names, _Spelling(comma, colon, is_ours)))
            if is_ours:
                pattern = b"(" + pattern + b")"
            if (found := re.fullmatch(pattern, text)) is not None and found[0]:
                expression = re.compile(rb"(?:" + pattern + rb")\r?\n|[^\n]*+\n")
                return cls(expression, names, body["choices"][0].get("finish_reason"))
        return None

    def read(self, lines: Sequence[bytes]) -> tuple[list[int], Told] | None:
        """Return which of the *lines* have this shape, by their places, and what they say; None if that is not known.

        Args:
            lines: each with its line end.

        """
        found = self._expression.findall(b"".join(lines))
        if len(found) != len(lines):
            return None
        columns: dict[str, Sequence[bytes]] = dict(zip(self._names, zip(*found, strict=True), strict=True))
        places = [*range(len(lines))]
        if b"" in columns["custom_id"]:
            places = [place for place, token in enumerate(columns["custom_id"]) if token]
            columns = {name: [cells[place] for place in places] for name, cells in columns.items()}
        if not places:
            return None
        try:
            return self._told(places, columns)
        except ValueError:  # half a character, or what is no UTF-8
            return None

    def _told(self, places: list[int], columns: Mapping[str, Sequence[bytes]]) -> tuple[list[int], Told]:
        values = {name: _values(cells) for name, cells in columns.items() if name not in _SUMMED}
        none = [None] * len(places)
        wrong = set(_damaged(columns)) if "sum" in columns else set()
        used: Sequence[Used | None] = none
        if "total" in values:
            prompt, completion = values["prompt_tokens"], values["completion_tokens"]
            zeros = [0] * len(places)
            cached, audio, image = (values.get(name, zeros) for name in ("cached_tokens", "audio", "image"))
            parts = ((cached, prompt), (audio, prompt), (image, completion))
            sums = [*map(add, prompt, completion)]
            if sums != values["total"] or not all(prompt) or not all(completion):
                numbers = zip(prompt, completion, sums, values["total"], strict=True)
                wrong.update(n for n, (p, c, both, total) in enumerate(numbers) if both != total or not p or not c)
            for some, whole in parts:
                if some is not zeros:
                    wrong.update(n for n, (one, most) in enumerate(zip(some, whole, strict=True)) if one > most)
            used = [*map(_used, zip(prompt, completion, cached, audio, image, strict=True))]
        count = len(places)
        told: dict[str, Sequence[Any]] = {
            **dict.fromkeys(Row._fields, none),
            "outcome": ["ok"] * count,
            "fields": objects_in_texts(values["text"]),
            "finish_reason": [self._finish_reason] * count,
            "later": [()] * count,
            "used": used,
            "billed": ["yes"] * count,
            **{name: cells for name, cells in values.items() if name in Row._fields},
        }
        if wrong:
            kept = [n for n in range(count) if n not in wrong]
            return [places[n] for n in kept], {name: [cells[n] for n in kept] for name, cells in told.items()}
        return places, told


def _values(tokens: Sequence[bytes]) -> list[Any]:
    """Return the values of tokens of JSON."""
    values: list[Any] = loads_strictly(b"[" + b",".join(tokens) + b"]")
    return values


def _damaged(columns: Mapping[str, Sequence[bytes]]) -> Iterator[int]:
    """Yield the numbers of lines of ours that are not as they were written."""
    found = [*map(zlib.crc32, columns["tail"], map(zlib.crc32, columns["head"]))]
    wanted = [*struct.unpack(f">{len(found)}I", bytes.fromhex(b"".join(columns["sum"]).decode()))]
    if found != wanted:
        yield from (number for number, one in enumerate(found) if one != wanted[number])


def shape_of(line: bytes) -> LineShape | None:
    """Return the shape of a *line*, None if it is no usual one, or takes a closer look each time."""
    return LineShape.of(line) if usual_row(line) is not None else None


# -- learned from a line ---------------------------------------------------------------------------------------------


@attrs.frozen
class _Spelling:
    comma: bytes
    colon: bytes
    is_ours: bool


def _pattern(value: Any, path: Path, names: list[str], how: _Spelling) -> Iterator[bytes]:
    """Yield the pieces of the expression for a value; the *names* of its groups are added."""
    if path in _SAID:
        yield re.escape(codec.dumps(value))
    elif isinstance(value, dict):
        yield rb"\{"
        for number, (name, inner) in enumerate(value.items()):
            yield how.comma * bool(number) + re.escape(codec.dumps(name)) + how.colon
            yield from _pattern(inner, (*path, name), names, how)
        yield rb"\}"
    elif isinstance(value, list):
        yield rb"\["
        for number, inner in enumerate(value):
            yield how.comma * bool(number)
            yield from _pattern(inner, (*path, number), names, how)
        yield rb"\]"
    else:
        yield _leaf(value, path, names, how)


def _leaf(value: Any, path: Path, names: list[str], how: _Spelling) -> bytes:
    if path == ("id",) and how.is_ours:
        names[:] = ["head", *names, "sum", "tail"]  # three groups, the first and the last of which hold the others
        return rb'"batch_req_[0-9a-f]{24})_([0-9a-f]{8})("'
    if path in _COUNTS and type(value) is int:
        names.append(_COUNTS[path])
        return _COUNT
    name = _TEXTS.get(path)
    if name is not None and isinstance(value, str):
        names.append(name)
        return rb'("(?!")' + _REST + rb")" if name == "text" else rb"(" + _TEXT + rb")"
    return next((pattern for kind, pattern in _LEAVES if isinstance(value, kind)), rb"null")


_TEXTS: Final[Mapping[Path, str]] = {
    ("custom_id",): "custom_id",
    (*_CHOICE, "message", "content"): "text",
    (*_BODY, "model"): "model",
}
_LEAVES: Final = ((str, _TEXT), (bool, rb"(?:true|false)"), (int, _WHOLE), (float, _NUMBER))
