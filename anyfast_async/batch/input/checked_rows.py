"""Every row of an input, checked by the rules: rows like one that was checked already many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, Final, TypeAlias

import attrs

from anyfast_async._core.json.jsontext import loads_strictly
from anyfast_async._core.limits.token_estimate import ASSUMED, BYTES_PER_TOKEN, asked, tokens_of, tokens_of_each
from anyfast_async._core.prompt_template import NOTHING, PromptTemplate, cell_at, cell_text
from anyfast_async._limits.reservation import limits_of
from anyfast_async.batch.input.file_lines import pieces_of
from anyfast_async.batch.input.request_lines import ID_NAMES, LineError, has_long_number_in, object_in
from anyfast_async.batch.input.request_shapes import Path, RequestShape, plain_texts
from anyfast_async.batch.input.row_digests import TextsDigest
from anyfast_async.batch.input.source import REQUESTS, Source
from anyfast_async.messages import plain_text
from anyfast_async.requests import ChatRequest, as_request

_ROWS: Final = 1000
"""Rows of other files than lines that are looked at together."""
_FEW: Final = 8
"""Rows that are not halved any more to find the one that is not like the others."""
_SHAPES: Final = 8
"""Shapes that are known at a time, and that are learned from so many rows."""

Kind: TypeAlias = tuple[str | None, int, int]
"""The model that a row names, and the tokens of its prompt and of its answer; -1 where they are not asked for."""
UNMEASURED: Final = (-1, -1)


@attrs.frozen
class Measure:
    """What is to be known of each row beside that it is good: how many tokens it will take.

    Args:
        sent: makes what is sent of the request of a row; it leaves the texts of its messages as they are.
        first: rows that are measured; None: all.

    """

    sent: Callable[[ChatRequest], ChatRequest]
    first: int | None = None

    def of(self, request: ChatRequest) -> tuple[int, int]:
        """Return the tokens of the prompt, and those that an answer is taken for."""
        request = self.sent(request)
        longest, n = limits_of(request)
        return asked(request).tokens, n * min(ASSUMED, longest or ASSUMED)


Checked: TypeAlias = "tuple[str | None, Kind | None, bytes | None, LineError | None]"
"""What is told of a row: its id, its kind (None: it cannot be sent), what stands for its content, what is wrong."""
Columns: TypeAlias = """tuple[
    Sequence[str | None], Sequence[Kind | None], Sequence[bytes | None], Sequence[LineError | None]
]"""
"""The same of some rows, column by column: made so, and counted so, in a third of the time."""
Rows: TypeAlias = "tuple[Sequence[int], Columns]"
"""Some rows with their numbers, in their order."""


def checked_rows(source: Source, measure: Measure | None = None, *, digests: bool = False) -> Iterator[Rows]:
    """Yield all rows of *source*, some at a time.

    Args:
        source: what to read.
        measure: tells their tokens; None: nobody asks.
        digests: whether to tell what they hold.

    Raises:
        OSError: it cannot be read.

    """
    check = _Check(source, measure, digests=digests)
    match source.format:
        case "batch" | "requests":
            yield from _of_lines(check)
        case "rows" if check.is_table:
            yield from _of_table(check)
        case _:
            records = source.records()
            while some := list(islice(records, _ROWS)):
                numbers, values = zip(*some, strict=True)
                yield numbers, check.records(numbers, values)


class _Check:
    """The rules for a row, and what is told of one that is good."""

    def __init__(self, source: Source, measure: Measure | None, *, digests: bool) -> None:
        self.source = source
        self._looking = source.looking()
        self._measure = measure
        self.digests = digests
        self.is_table = source.format not in REQUESTS and isinstance(source.template, PromptTemplate)
        self._fixed: tuple[int, int] | None = None

    def row(self, number: int, record: Mapping[str, Any] | LineError) -> Checked:
        """Check a row by itself."""
        try:
            if isinstance(record, LineError):
                raise record
            line = self._looking.line(number, record)
        except LineError as error:
            return error.custom_id, None, None, error
        cells = self.source.digests(record) if self.digests else None
        return line.custom_id, (line.request.model, *self.tokens(line.request)), cells, None

    def tokens(self, request: ChatRequest) -> tuple[int, int]:
        """Return the tokens of the prompt and of the answer."""
        return UNMEASURED if self._measure is None else self._measure.of(request)

    def kinds(
        self, count: int, model: str | None, fixed: tuple[int, int], tokens: Callable[[], Iterable[Sequence[int]]]
    ) -> Sequence[Kind]:
        """Return the kinds of *count* rows.

        Args:
            count: see above.
            model: of all.
            fixed: the tokens beside those of their texts, and those of the answer.
            tokens: returns those of the texts, column by column.

        """
        if self._measure is None:
            return [(model, *UNMEASURED)] * count
        prompt, answer = fixed
        columns = [*tokens()]
        sums = columns[0] if len(columns) == 1 else [*map(sum, zip(*columns, strict=True))]
        known = {one: (model, prompt + one, answer) for one in set(sums)}
        return [*map(known.__getitem__, sums)]

    def records(self, numbers: Sequence[int], records: Sequence[Mapping[str, Any] | LineError]) -> Columns:
        """Check the rows of a table: together those that hold texts."""
        if self.is_table and (found := self._of_texts(numbers, records)) is not None:
            return found
        if not self.is_table or len(records) <= _FEW:
            return _columns([self.row(number, record) for number, record in zip(numbers, records, strict=True)])
        middle = len(records) // 2
        halves = self.records(numbers[:middle], records[:middle]), self.records(numbers[middle:], records[middle:])
        return tuple([*one, *other] for one, other in zip(*halves, strict=True))  # type: ignore[return-value]  # four

    def _of_texts(self, numbers: Sequence[int], records: Sequence[Any]) -> Columns | None:
        """Return the rows if all are good; None if each is to be looked at by itself."""
        source, template = self.source, self.source.template
        if set(map(type, records)) != {dict} or not isinstance(template, PromptTemplate):
            return None
        columns: dict[str, list[str]] = {}
        for name in template.columns:
            if (column := _texts_at(name, records)) is None:
                return None
            columns[name] = column
        ids = _ids_in(source, numbers, records)
        if ids is None or not any(all(map(str.strip, column)) for column in columns.values()):
            return None
        if self._fixed is None:
            first = _prompt({name: column[:1] for name, column in columns.items()}, template)[0]
            prompt, answer = self.tokens(as_request(first, {}))
            self._fixed = prompt - tokens_of(first), answer
        count = len(records)
        kinds = self.kinds(count, None, self._fixed, lambda: [_tokens_of_prompts(columns, template)])
        cells = [*map(source.digests, records)] if self.digests else [None] * count
        return ids, kinds, cells, [None] * count


def _columns(rows: Sequence[Checked]) -> Columns:
    return tuple(zip(*rows, strict=True)) if rows else ((), (), (), ())  # type: ignore[return-value]  # four


def _prompt(columns: Mapping[str, Sequence[str]], template: PromptTemplate) -> list[str]:
    parts = (repeat(part) if isinstance(part, str) else columns[part.name] for part in template.parts)
    return [*map("".join, zip(*parts))]  # noqa: B905 - what stands between the columns has no end


def _tokens_of_prompts(columns: Mapping[str, Sequence[str]], template: PromptTemplate) -> Sequence[int]:
    """Return the tokens of each prompt; where a character is a byte, they are told without making it."""
    between = "".join(part for part in template.parts if isinstance(part, str))
    if not (between.isascii() and all("".join(column).isascii() for column in columns.values())):
        return tokens_of_each(_prompt(columns, template))
    sizes = [map(len, columns[part.name]) for part in template.parts if not isinstance(part, str)]
    size = len(between) + BYTES_PER_TOKEN - 1
    sums = sizes[0] if len(sizes) == 1 else map(sum, zip(*sizes, strict=True))
    return [(size + one) // BYTES_PER_TOKEN for one in sums]


def _ids_in(source: Source, numbers: Sequence[int], records: Sequence[Mapping[str, Any]]) -> Sequence[str] | None:
    """Return the ids of the rows of a table; None if one may have none that is valid."""
    name = source.id_column
    if name is None:
        return source.made_ids(numbers)
    try:
        found = [record[name] for record in records]
    except KeyError:
        return None
    kinds = set(map(type, found))
    if kinds == {int}:
        return [*map(str, found)]
    return found if kinds == {str} and all(found) else None


def _texts_at(name: str, records: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Return a column as it stands in prompts; None if it is missing somewhere, or holds what is no text."""
    try:
        found = [record[name] for record in records]
    except KeyError:
        found = [cell_at(record, name) for record in records]
    if set(map(type, found)) == {str}:
        return found
    if any(value is NOTHING for value in found):
        return None
    try:
        return [cell_text(name, value) for value in found]
    except TypeError:
        return None


# -- lines -----------------------------------------------------------------------------------------------------------


_Piece: TypeAlias = tuple[Sequence[int], Sequence[Any]]
"""Numbers, and lines; of what is none an error."""
_Taken: TypeAlias = tuple[Sequence[int], Columns]
"""Places of lines, and what is told of them."""


def _pieces(source: Source) -> Iterator[_Piece]:
    found = pieces_of(source.path, source.max_line, source.encoding)
    return found if not source.before else (([source.before + n for n in numbers], lines) for numbers, lines in found)


def _of_table(check: _Check) -> Iterator[Rows]:
    for numbers, lines in _pieces(check.source):
        if (values := _objects_in(lines)) is not None:
            yield numbers, check.records(numbers, values)
            continue
        records = [one for one in map(check.source.record_in, numbers, lines) if one is not None]
        if records:
            own, found = zip(*records, strict=True)
            yield own, check.records(own, found)


def _objects_in(lines: Sequence[Any]) -> list[dict[str, Any]] | None:
    """Return the objects in lines that all hold one, if none of them has to be read in another way."""
    try:
        if has_long_number_in(b"".join(lines)):
            return None
        values = [*map(loads_strictly, lines)]
    except (TypeError, ValueError):  # of a line that is an error, and of one that is no JSON
        return None
    return values if set(map(type, values)) == {dict} else None


@attrs.frozen
class _KnownShape:
    """A shape, and what is told of the rows that have it."""

    shape: RequestShape
    has_id: bool
    model: str | None
    fixed: tuple[int, int]
    """The tokens beside those of the texts, and those of an answer."""
    digest: TextsDigest | None
    rest: bytes
    """What stands for the rest of the content."""

    def columns(self, check: _Check, numbers: Sequence[int], texts: list[Sequence[str]]) -> Columns:
        """Return what is told of rows with such numbers and texts."""
        ids = texts[0] if self.has_id else check.source.made_ids(numbers)
        asking = texts[1:] if self.has_id else texts
        kinds = check.kinds(len(numbers), self.model, self.fixed, lambda: map(tokens_of_each, asking))
        digest, rest, none = self.digest, self.rest, [None] * len(numbers)
        cells = none if digest is None else [digest.of_texts(one) + rest for one in zip(*asking, strict=True)]
        return ids, kinds, cells, none


def _of_lines(check: _Check) -> Iterator[Rows]:
    shapes: list[_KnownShape] = []
    for numbers, lines in _pieces(check.source):
        taken: list[_Taken] = []
        left = [place for place, line in enumerate(lines) if type(line) is bytes]
        alone = [place for place, line in enumerate(lines) if type(line) is not bytes] if len(left) < len(lines) else []
        for known in [*shapes]:
            left = _take(check, known, (numbers, lines), left, taken)
        tried = 0
        while left:
            place, *left = left
            alone.append(place)
            if (fresh := _learned(check, numbers[place], lines[place])) is not None:
                shapes = [fresh, *shapes[: _SHAPES - 1]]
                left = _take(check, fresh, (numbers, lines), left, taken)
            if (tried := tried + 1) == _SHAPES:
                alone += left
                break
        if not alone and len(taken) == 1:
            yield numbers, taken[0][1]
        else:
            yield from _put_together(check, (numbers, lines), taken, alone)


def _put_together(check: _Check, piece: _Piece, taken: Sequence[_Taken], alone: Sequence[int]) -> Iterator[Rows]:
    """Yield the rows of a piece in their order: those that were taken together, and those looked at *alone*."""
    numbers, lines = piece
    rows: list[Checked | None] = [None] * len(lines)
    for places, columns in taken:
        for place, row in zip(places, zip(*columns, strict=True), strict=True):
            rows[place] = row
    for place in alone:
        if (record := check.source.record_in(numbers[place], lines[place])) is not None:
            rows[place] = check.row(*record)
    own = [number for number, row in zip(numbers, rows, strict=True) if row is not None]
    if own:
        yield own, _columns([row for row in rows if row is not None])


def _take(check: _Check, known: _KnownShape, piece: _Piece, left: list[int], taken: list[_Taken]) -> list[int]:
    """Add to *taken* those of the lines *left* that have a shape; return the places of the others."""
    if not left:
        return left
    numbers, lines = piece
    is_all = len(left) == len(lines)
    found, texts = known.shape.read(lines if is_all else [lines[place] for place in left])
    places = found if is_all else [left[place] for place in found]
    if places:
        is_all = len(places) == len(lines)
        own = numbers if is_all else [numbers[place] for place in places]
        taken.append((places, known.columns(check, own, texts)))
    if len(places) == len(left):
        return []
    gone = {*places}
    return [place for place in left if place not in gone]


def _learned(check: _Check, number: int, line: bytes) -> _KnownShape | None:
    """Return the shape of a line that can be sent; None if it cannot, or has none."""
    source = check.source
    try:
        record = object_in(line, source.encoding)
        request = source.line(number, record).request
    except LineError:
        return None
    is_batch = source.format == "batch"
    body = record["body"] if is_batch else record
    start: Path = ("body", "messages") if is_batch else ("messages",)
    name = next((name for name in (ID_NAMES[:1] if is_batch else ID_NAMES) if record.get(name) is not None), None)
    texts = plain_texts(body.get("messages"), start)
    if not texts or (name is not None and not isinstance(record[name], str)):
        return None
    ids: list[Path] = [] if name is None else [(name,)]
    shape = RequestShape.of(line, [*ids, *texts], [*ids, start])
    if shape is None:
        return None
    prompt, answer = check.tokens(request)
    own = shape.texts[len(ids) :]
    fixed = prompt - sum(map(tokens_of, own)), answer
    if not check.digests:
        return _KnownShape(shape, bool(ids), request.model, fixed, None, b"")
    marks = [f"\0{place}\0" for place in range(len(own))]
    digest = TextsDigest.of([_filled(body["messages"], marks), body.get("input")], marks)
    if digest is None:
        return None
    rest = source.digests(record)[len(digest.of_texts(own)) :]
    return _KnownShape(shape, bool(ids), request.model, fixed, digest, rest)


def _filled(messages: Any, texts: Iterable[str]) -> Any:
    """Return *messages* with other texts."""
    given = iter(texts)
    if isinstance(messages, str):
        return next(given)
    return [one if plain_text(one) is None else {**one, "content": next(given)} for one in messages]
