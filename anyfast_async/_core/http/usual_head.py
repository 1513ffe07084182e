"""Heads that are as those before them: a gateway sends the same fields in the same order, and few values change.

What stays the same is learned and compared as bytes; in between stand the values that change. The first heads of a form
are held against a pattern, which costs several times as much. What is read here, ``head.HeadReader`` reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from anyfast_async._size_limits import MAX_HEAD

EMPTY_LINE: Final = b"\r\n\r\n"
OWS: Final = " \t"
"""White space in fields (RFC 9110 5.6.3); what Unicode calls so besides is none."""
NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

FORMS: Final = 4
"""Forms that are kept of an origin: of several servers that answer in turn, say."""
LESSONS: Final = 16
"""Heads that are learned from at first."""
FIELDS: Final = 100
"""The most fields of a head that is learned: a pattern is compiled for each form, which takes that much longer."""
RARELY: Final = 128
"""Of so many heads one more is: learning costs more than it brings where each head is another."""

_USUAL: Final = re.compile(rf"HTTP/1\.1 200(?: [^\r\n]*+)?\r(\n(?>(?:{NAME}++:[^\n]*+(?<=\r)\n)+))\r\n".encode())
"""A head as nearly all are: a whole one of a success, its lines ended and its names written as they should be."""
_FIELD: Final = re.compile(rb"(\n([^:]+):[ \t]*+)([^\r]*+)")
_FRAMING: Final = frozenset({b"content-length", b"connection", b"transfer-encoding", b"content-encoding", b"trailer"})
"""The fields that say how an answer is read."""
_STAYS_OPEN: Final[tuple[list[tuple[bytes, bytes]], ...]] = [], [(b"connection", b"keep-alive")]
"""What they may say besides the length."""

_Field: TypeAlias = tuple[bytes, bytes, bytes]
"""What stands before its value, its name alone, and its value."""


class Fields(Mapping[str, str]):
    """The fields of a head by lower-case names, of equal names the last.

    Args:
        said: values by names, as they are if all heads of the form have the same; else their places in *values*.
        values: those of this head as they came.

    """

    __slots__ = ("_said", "_values")

    def __init__(self, said: Mapping[str, str | int], values: Sequence[bytes]) -> None:
        self._said = said
        self._values = values

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a field, *default* if there is none."""
        value = self._said.get(name)
        if type(value) is int:
            return _text(self._values[value])
        return default if value is None else value

    def __getitem__(self, name: str) -> str:
        value = self._said[name]
        return value if isinstance(value, str) else _text(self._values[value])

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (dict(self),)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape").strip(OWS)


class _Form(NamedTuple):
    """What heads have in common."""

    shape: tuple[bytes, ...]
    """What stands before each value; a connection's option is a part of it."""
    fields: tuple[bytes | None, ...]
    """Their values, None for those that change. The length always counts among these, no other of the framing does."""
    pattern: re.Pattern[bytes]
    """Takes a head apart: what stays the same, by its size alone, and what changes, in turn."""
    same: tuple[bytes, ...]
    """What stays the same."""
    length: int
    """Which of the values that change is the length."""
    said: Mapping[str, str | int]

    def read(self, data: bytes, limit: int) -> tuple[Fields, bytes] | None:
        """Return the fields and the body of *data*, None if that is no answer with such a head."""
        found = self.pattern.match(data)
        if found is None:
            return None
        parts, start = found.groups(), found.end()
        if parts[::2] != self.same or start > limit:
            return None
        values = parts[1::2]
        if values[self.length] != b"%d" % (len(data) - start):
            return None
        return Fields(self.said, values), data[start:]


def _form(first: bytes, fields: Sequence[_Field], values: Sequence[bytes | None], shape: tuple[bytes, ...]) -> _Form:
    """Return the form of heads with a *first* line and *fields*, whose *values* are None where they change."""
    said: dict[str, str | int] = {}
    same = [first]
    length = 0
    for (before, name, _), value in zip(fields, values, strict=True):
        same[-1] += before
        if value is not None:
            said[_text(name).lower()] = _text(value)
            same[-1] += value + b"\r"
            continue
        said[_text(name).lower()] = len(same) - 1
        if name.lower() == b"content-length":
            length = len(same) - 1
        same.append(b"\r")
    same[-1] += b"\n\r\n"
    # In sizes, and compared in one step: `re` compares text byte by byte.
    pattern = rb"([^\r\n\0]*+)".join(b"(.{%d})" % len(piece) for piece in same)
    return _Form(shape, tuple(values), re.compile(pattern, re.DOTALL), tuple(same), length, said)


class UsualHeads:
    """The heads of the answers of one origin.

    Args:
        limit: the largest one in bytes.

    """

    __slots__ = ("_forms", "_lessons", "_seen", "limit")

    def __init__(self, limit: int = MAX_HEAD) -> None:
        self.limit = limit
        self._forms: tuple[_Form, ...] = ()
        self._lessons = self._seen = 0

    def read(self, data: bytes) -> tuple[Fields, bytes] | None:
        """Return the fields and the body of *data*, if that is a whole answer as nearly all are and others may follow.

        None says nothing: then the reader is asked.
        """
        self._seen += 1
        for form in self._forms:
            found = form.read(data, self.limit)
            if found is not None:
                return found
        return self._learned(data) if self._lessons < LESSONS + self._seen // RARELY else None

    def _learned(self, data: bytes) -> tuple[Fields, bytes] | None:
        """Read *data* and learn from it, if its head is a usual one."""
        found = _USUAL.match(data)
        if found is None:
            return None
        lines = found[1]
        if lines.count(b"\r") + 1 != lines.count(b"\n") or b"\0" in lines:
            return None
        self._lessons += 1
        if lines.count(b"\r") > FIELDS:
            return None
        fields: list[_Field] = _FIELD.findall(lines)
        framing = sorted((name.lower(), value.lower()) for _, name, value in fields if name.lower() in _FRAMING)
        if not framing or framing.pop()[0] != b"content-length" or framing not in _STAYS_OPEN:
            return None
        first = data[: found.start(1)]
        shape = first, *(f[0] + f[2] if f[1].lower() == b"connection" else f[0] for f in fields)
        like = next((form for form in self._forms if form.shape == shape), None)
        before = [None if f[1].lower() == b"content-length" else f[2] for f in fields] if like is None else like.fields
        values = [value if value == field[2] else None for value, field in zip(before, fields, strict=True)]
        if like is not None and values == [*like.fields]:
            return None  # it is not whole
        form = _form(first, fields, values, shape)
        self._forms = (form, *(other for other in self._forms if other is not like))[:FORMS]
        return form.read(data, self.limit)
