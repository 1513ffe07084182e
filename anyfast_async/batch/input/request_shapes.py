"""Lines of requests that differ from one that was checked in their texts alone, checked many at a time. Pure.

One program writes nearly all of its lines in one shape. A shape is what stands in a checked line around its id and the
texts of its messages, byte by byte: whatever stands there instead, as long as it is the inside of a JSON string, the
rules say the same of the line. What has another shape is not known here, and is checked by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress
from typing import Any, Final, TypeAlias

import attrs

from anyfast_async._core.json.jsontext import loads_strictly
from anyfast_async.messages import plain_text

Path: TypeAlias = tuple[str | int, ...]

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^\s{}\[\],:"]++')
_FEW: Final = 8
"""Lines that are not halved any more to find the one that is not of the shape."""


@attrs.frozen
class RequestShape:
    """What stands around the texts of a line; made by :meth:`of`."""

    _literals: Sequence[bytes]
    """Before, between and behind the texts, the quotes of these included."""
    _order: tuple[int, ...]
    """The numbers of the texts as they stand in a line."""
    texts: tuple[str, ...]
    """Of the line that it was learned from."""
    _filled: tuple[bool, ...]
    """Which of them must not be empty."""

    @classmethod
    def of(cls, line: bytes, paths: Sequence[Path], filled: Sequence[Path]) -> RequestShape | None:
        """Return the shape of a *line*, a JSON object; None if it has none.

        Args:
            line: with its line end.
            paths: where its texts are, in the order in which :meth:`read` gives them.
            filled: those of them that must not be empty.

        """
        try:
            loads_strictly(line)
        except ValueError:  # it was read in another way
            return None
        places = _texts_in(line)
        if places is None or any(path not in places for path in paths):
            return None
        spans = [places[path] for path in paths]
        order = sorted(range(len(paths)), key=spans.__getitem__)
        ends = [0, *(spans[place][1] - 1 for place in order)]
        begins = [*(spans[place][0] + 1 for place in order), len(line)]
        literals = [line[end:begin] for end, begin in zip(ends, begins, strict=True)]
        texts = tuple(loads_strictly(line[begin:end]) for begin, end in spans)
        return cls(literals, tuple(order), texts, tuple(path in filled for path in paths))

    def read(self, lines: Sequence[bytes]) -> tuple[list[int], list[Sequence[str]]]:
        """Return which of the *lines* have this shape, by their places, and their texts, path by path."""
        first, *between, last = self._literals
        begin, end, least = len(first), -len(last), sum(map(len, self._literals))
        fits = [line.startswith(first) and line.endswith(last) and len(line) >= least for line in lines]
        places: Sequence[int] = range(len(lines))
        if not all(fits):
            places = [*compress(places, fits)]
            lines = [*compress(lines, fits)]
        rests: Sequence[bytes] = [line[begin:end] for line in lines]
        columns: list[Sequence[bytes]] = []
        for literal in between:
            if not rests:
                break
            cells, found, rests = zip(*[rest.partition(literal) for rest in rests], strict=True)
            columns.append(cells)
            if not all(found):
                places, rests = [*compress(places, found)], [*compress(rests, found)]
                columns = [[*compress(column, found)] for column in columns]
        return self._read(places, [*columns, rests]) if rests else ([], [()] * len(self.texts))

    def _read(self, places: Sequence[int], columns: list[Sequence[bytes]]) -> tuple[list[int], list[Sequence[str]]]:
        texts = self._texts(columns)
        if texts is not None:
            return [*places], texts
        if len(places) <= _FEW:
            return [], [()] * len(self.texts)
        middle = len(places) // 2
        some, texts = self._read(places[:middle], [column[:middle] for column in columns])
        others, more = self._read(places[middle:], [column[middle:] for column in columns])
        return some + others, [[*one, *other] for one, other in zip(texts, more, strict=True)]

    def _texts(self, columns: list[Sequence[bytes]]) -> list[Sequence[str]] | None:
        """Return the texts, path by path; None unless all that stands there is the inside of texts."""
        texts: list[Sequence[str]] = [()] * len(columns)
        for place, cells in zip(self._order, columns, strict=True):
            found = _texts_of(cells)
            if found is None or (self._filled[place] and not all(found)):
                return None
            texts[place] = found
        return texts


def _texts_of(cells: Sequence[bytes]) -> list[str] | None:
    """Return what stands between quotes, if each of the *cells* is the inside of one JSON string.

    No string of JSON goes over the end of a line, so behind each of those that are put here a text begins. A cell with
    a quote in it makes two values of one, or a list, and nothing makes one of two but a list.
    """
    try:
        texts: list[Any] = loads_strictly(b'["' + b'"\n,"'.join(cells) + b'"]')
    except ValueError:  # half a character, or what is no text
        return None
    return texts if len(texts) == len(cells) and set(map(type, texts)) == {str} else None


def _texts_in(line: bytes) -> dict[Path, tuple[int, int]] | None:
    """Return where the texts in a line of JSON are, by their paths; None if an object has a name twice."""
    found: dict[Path, tuple[int, int]] = {}
    path: list[Any] = []
    names: list[set[str] | None] = []
    is_name = False
    for match in _TOKEN.finditer(line):
        token = match[0]
        if token in b"{[":
            is_name = token == b"{"
            names.append(set() if is_name else None)
            path.append(0)
        elif token in b"}]":
            names.pop()
            path.pop()
            is_name = False
        elif token == b",":
            is_name = names[-1] is not None
            path[-1] = path[-1] if is_name else path[-1] + 1
        elif is_name and token != b":":
            name, known = loads_strictly(token), names[-1]
            if known is None or name in known:
                return None
            known.add(name)
            path[-1], is_name = name, False
        elif token.startswith(b'"'):
            found[tuple(path)] = match.span()
    return found


def plain_texts(messages: Any, path: Path) -> list[Path]:
    """Return where the texts of *messages* are: of those that are nothing but a role and a text.

    Args:
        messages: of a request that was checked.
        path: where they are.

    """
    if isinstance(messages, str):
        return [path]
    if not isinstance(messages, list):
        return []
    return [(*path, number, "content") for number, one in enumerate(messages) if plain_text(one) is not None]
