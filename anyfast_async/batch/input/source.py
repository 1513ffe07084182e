"""What a batch reads: a file of rows in one of six formats, opened anew for each pass over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.prompt_template import TEXT, PromptTemplate, top_level
from anyfast_async._map.media_columns import MediaTemplate
from anyfast_async._values.text import did_you_mean
from anyfast_async.batch.input import parquet
from anyfast_async.batch.input.csv_rows import CsvTable, Record
from anyfast_async.batch.input.file_lines import BOM, lines_of
from anyfast_async.batch.input.formats import DESCRIBED, Format, detect, template_hint
from anyfast_async.batch.input.packed_files import UNPACKING, checked_encoding, is_packed, opened
from anyfast_async.batch.input.request_lines import (
    GEMINI_IDS,
    ID_NAMES,
    BatchLine,
    LineError,
    SourceError,
    bare_request,
    batch_request,
    gemini_request,
    given_id,
    not_in,
    object_in,
)
from anyfast_async.batch.input.row_digests import json_digest, text_digest
from anyfast_async.errors import escaped
from anyfast_async.requests import ChatRequest, as_request

MAX_LINE: Final = 100 * 1024 * 1024
"""Longest line in bytes, unless told otherwise."""

REQUESTS: Final = ("batch", "requests", "gemini")
"""Formats whose lines are requests; the others are tables."""
_IDS: Final[Mapping[Format, Sequence[str]]] = {"requests": ID_NAMES, "gemini": GEMINI_IDS}
"""Where rows have ids of their own."""
_PARTS: Final[Mapping[Format, tuple[str, ...]]] = {
    "batch": ("messages", "model", "other fields"),
    "requests": ("messages", "model", "other fields"),
    "gemini": ("request",),
}
_MESSAGES: Final = ("messages", "input")
"""Where they are in a request, in the two forms."""
_NAMED: Final = 40
"""Columns that are named."""


@attrs.frozen
class Renumbered:
    """The numbers that lines or rows had in the file in which they were counted first.

    Args:
        unit: what they count.
        numbers: by the number in the file as it is now.

    """

    unit: str
    numbers: Sequence[int] = attrs.field(repr=False)


@attrs.frozen
class Source:
    """A file of rows, and how requests are made of them; :func:`open_source` makes it."""

    path: Path
    format: Format
    template: PromptTemplate | MediaTemplate = TEXT
    """Makes the prompts of ``csv``, ``parquet``, ``rows`` and ``text``, whose lines are the column ``text``."""
    id_column: str | None = None
    """Holds the ids of ``csv``, ``parquet`` and ``rows``; None: the number of the line or row is the id."""
    max_line: int = MAX_LINE
    """Longest line in bytes."""
    encoding: str | None = None
    """Of its text; None: UTF-8."""
    before: int = 0
    """Lines or rows that stand before it in the file that it is a piece of."""
    renumbered: Renumbered | None = None
    """Where ids are made of the numbers of another file with the same rows."""

    @property
    def unit(self) -> str:
        """What its numbers count."""
        return "row" if self.format == "parquet" else "line"

    @property
    def id_name(self) -> str:
        """What its ids are called where they stand."""
        return self.id_column or "custom_id"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that are used."""
        own = () if self.id_column is None else (self.id_column,)
        return tuple(dict.fromkeys((*own, *self.template.columns)))

    def records(self) -> Iterator[Record]:
        """Yield what stands on each line that is not blank, or in each row, with its number from 1.

        Raises:
            OSError: the file cannot be read.

        """
        found = self._records()
        return found if not self.before else ((self.before + number, record) for number, record in found)

    def _records(self) -> Iterator[Record]:
        try:
            match self.format:
                case "parquet":
                    yield from parquet.rows(self.path, self.columns)
                case "csv":
                    yield from CsvTable(lines_of(self.path, self.max_line, self.encoding), self.max_line, self.encoding)
                case _:
                    lines = lines_of(self.path, self.max_line, self.encoding)
                    yield from (found for line in lines if (found := self.record_in(*line)) is not None)
        except LineError as error:  # of the header, which was good when the source was opened
            error.is_end = True
            yield 1, error

    def record_in(self, number: int, line: bytes | LineError) -> Record | None:
        """Return what stands on a line, with its number; None if it is blank."""
        if isinstance(line, LineError):
            return number, line
        if not line.strip():
            return None
        try:
            return number, (_text_in if self.format == "text" else object_in)(line, self.encoding)
        except LineError as error:
            return number, error

    def id_of(self, number: int, value: Mapping[str, Any], problems: list[str] | None = None) -> str | None:
        """Return the id of a row, None if it has no valid one; what is wrong with it goes into *problems*."""
        wanted = "custom_id" if self.format == "batch" else self.id_column
        names = (wanted,) if wanted is not None else _IDS.get(self.format, ())
        found: list[str] = []
        custom_id = given_id(value, names, found, digits=self.format != "batch")
        if custom_id is None and not found:
            if wanted is None:
                return self.made_id(number)
            found.append(f"{escaped(wanted, 80)}: is missing")
        if problems is not None:
            problems += found
        return custom_id

    def looking(self) -> Source:
        """Return the same for a pass that looks whether the files are there that rows name."""
        if isinstance(self.template, PromptTemplate):
            return self
        return attrs.evolve(self, template=self.template.looking())

    @property
    def made_ids_begin(self) -> str:
        """What all ids begin with that are made of numbers."""
        return f"{(self.renumbered or self).unit}-"

    def made_id(self, number: int) -> str:
        """Return the id that is made of the number of a line or row."""
        return self.made_ids_begin + str(number if self.renumbered is None else self.renumbered.numbers[number])

    def made_ids(self, numbers: Iterable[int]) -> list[str]:
        """Return the ids that are made of *numbers*."""
        own = numbers if self.renumbered is None else map(self.renumbered.numbers.__getitem__, numbers)
        return [*map(self.made_ids_begin.__add__, map(str, own))]

    @property
    def is_counted(self) -> bool:
        """Whether the id of every row is made of its number."""
        return self.id_column is None and self.format not in REQUESTS

    @property
    def parts(self) -> tuple[str, ...]:
        """What a row's content is made of: the columns of a table, the parts of a request."""
        return _PARTS.get(self.format, self.template.columns)

    def digests(self, value: Mapping[str, Any]) -> bytes:
        """Return what stands for the content of a row that is good, part by part."""
        match self.format:
            case "batch":
                return _of_request(value["body"])
            case "requests":
                return _of_request({name: item for name, item in value.items() if name not in ID_NAMES})
            case "gemini":
                return json_digest({name: item for name, item in value.items() if name not in GEMINI_IDS})
        return b"".join(map(text_digest, self.template.cells(value).values()))

    def line(self, number: int, value: Mapping[str, Any]) -> BatchLine:
        """Return the request of a row.

        Raises:
            LineError: it holds none; everything that is wrong with it is named.

        """
        problems: list[str] = []
        custom_id = self.id_of(number, value, problems)
        match self.format:
            case "batch":
                request = batch_request(value, problems)
            case "requests":
                request = bare_request(value, problems)
            case "gemini":
                request = gemini_request(value, problems)
            case _:
                request = self._filled(value, problems)
        if problems or request is None or custom_id is None:
            raise LineError(tuple(problems), custom_id)
        return BatchLine(number, custom_id, request)

    def _filled(self, value: Mapping[str, Any], problems: list[str]) -> ChatRequest | None:
        missing = self.template.lacks(value)
        if missing:
            problems.append(f"has no {_listed(missing)}; it has {_listed(value)}")
            return None
        try:
            prompt = self.template.fill(value)
        except TypeError as error:
            problems.append(str(error))
            return None
        if prompt is None:
            problems.append(f"{_listed(self.template.columns)}: nothing stands there")
            return None
        return as_request(prompt, {})


def _of_request(body: Mapping[str, Any]) -> bytes:
    messages = [body.get(name) for name in _MESSAGES]
    others = {name: item for name, item in body.items() if name not in {*_MESSAGES, "model"} and item is not None}
    return json_digest(messages) + json_digest(body.get("model")) + json_digest(others)


def _text_in(data: bytes, encoding: str | None) -> dict[str, Any]:
    try:
        return {"text": data.decode().rstrip("\r\n")}
    except UnicodeDecodeError as error:
        raise LineError((not_in(encoding, error),)) from None


# -- checked before it is read ---------------------------------------------------------------------------------------


def open_source(
    path: Path,
    *,
    kind: Format | None = None,
    template: str | None = None,
    id_column: str | None = None,
    max_line: int = MAX_LINE,
    encoding: str | None = None,
    image: str | None = None,
    document: str | None = None,
    files_under: Path | None = None,
) -> Source:
    """Return the source at *path*, with its format found out and its columns checked.

    Args:
        path: a regular file.
        kind: its format; None: told by its name and its beginning.
        template: for the formats that are tables, see :class:`PromptTemplate`.
        id_column: the column of a table that holds the ids.
        max_line: longest line in bytes, from 1.
        encoding: of its text, by Python's name; None: UTF-8.
        image: the column of a table that holds images: URLs, ``data:`` URLs, bytes or the paths of local files.
        document: the column that holds documents, likewise: PDF or text.
        files_under: the folder under which local files may be; None: a row with one cannot be sent.

    Raises:
        SourceError: the encoding is not known; the format cannot be told, does not go with the other arguments or needs
            a package that is not there; the template cannot be read; or a column is not there, and then those that are
            are named.
        OSError: the file cannot be read.

    """
    encoding = None if encoding is None else checked_encoding(encoding)
    if encoding is not None:
        _check_mark(path, encoding)
    if kind is None:
        kind = detect(path.name, _first_line(path, max_line, encoding), template=template is not None)
    if kind in REQUESTS and (template is not None or id_column is not None):
        message = f"it holds {DESCRIBED[kind]}; templates and id columns are for tables"
        raise SourceError(message)
    if kind in REQUESTS and (image is not None or document is not None):
        message = f"it holds {DESCRIBED[kind]}; columns of images and documents are for tables"
        raise SourceError(message)
    if kind == "parquet" and is_packed(path):
        message = "it is packed, and Parquet is read from its end; unpack it first"
        raise SourceError(message)
    columns = _columns_of(path, kind, max_line, encoding)
    if kind in ("csv", "parquet", "rows") and template is None:
        raise SourceError(template_hint(columns or _first_row(path, max_line, encoding)))
    try:
        has_files = image is not None or document is not None
        parsed = TEXT if template is None else PromptTemplate.parse(template, may_be_same=has_files)
    except ValueError as error:
        message = f"--template: {error}"
        raise SourceError(message) from None
    filled = MediaTemplate(parsed, image, document, files_under) if has_files else parsed
    source = Source(path, kind, filled, id_column, max_line, encoding)
    if columns is not None and kind not in REQUESTS:
        _check_columns(source.columns, columns)
    return source


def _check_mark(path: Path, encoding: str) -> None:
    """Refuse to read as *encoding* what says itself that it is UTF-8: the answers would be to other words."""
    with opened(path) as file:
        try:
            is_marked = file.read(len(BOM)) == BOM
        except UNPACKING:
            return
    if is_marked:
        message = f"it begins with the mark of UTF-8, so it is not {encoding}; leave --encoding out"
        raise SourceError(message)


def _first_line(path: Path, longest: int, encoding: str | None) -> bytes:
    """Return the first line that is not blank; of a file that cannot be unpacked or is too long, nothing."""
    for _, data in lines_of(path, longest, encoding):
        if isinstance(data, LineError):
            return b""
        if data.strip():
            return data
    return b""


def _first_row(path: Path, longest: int, encoding: str | None) -> Mapping[str, Any]:
    try:
        return object_in(_first_line(path, longest, encoding))
    except LineError:
        return {}


def _columns_of(path: Path, kind: Format, longest: int, encoding: str | None) -> Sequence[str] | None:
    """Return the columns that every row of the file has, None if each row has its own."""
    try:
        match kind:
            case "csv":
                return CsvTable(lines_of(path, longest, encoding), longest, encoding).columns
            case "parquet":
                return parquet.columns(path)
    except LineError as error:
        raise SourceError(str(error)) from None
    return ("text",) if kind == "text" else None


def _check_columns(wanted: Sequence[str], columns: Sequence[str]) -> None:
    for name in wanted:
        if top_level(name, columns) not in columns:
            near = did_you_mean(name, columns)
            hint = f"; {near}" if near else "."
            message = f"there is no column {escaped(name, 80)!r}{hint} The columns are: {_listed(columns)}"
            raise SourceError(message)
        if columns.count(name) > 1:
            message = f"the column {escaped(name, 80)!r} is there {columns.count(name)} times"
            raise SourceError(message)


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(escaped(name, 80) for name in known[:_NAMED]) + more


__all__ = ["MAX_LINE", "REQUESTS", "Renumbered", "Source", "SourceError", "lines_of", "open_source"]
