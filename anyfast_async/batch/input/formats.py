"""Which kind of file an input is: told by its name, else by what stands at its beginning. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final, Literal, TypeAlias, get_args

from anyfast_async._core.json import codec
from anyfast_async.batch.input.other_forms import is_gemini
from anyfast_async.batch.input.packed_files import SUFFIXES
from anyfast_async.batch.input.request_lines import SourceError
from anyfast_async.errors import escaped

Format: TypeAlias = Literal["batch", "requests", "rows", "text", "csv", "parquet", "gemini"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
DESCRIBED: Final[dict[Format, str]] = {
    "batch": "OpenAI Batch lines",
    "requests": "one request body per line",
    "rows": "one JSON object per line, for the template",
    "text": "one prompt per line",
    "csv": "CSV with a header",
    "parquet": "Parquet",
    "gemini": "requests in Gemini's batch form",
}

_BY_SUFFIX: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
_JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
_TEXTS: Final = ("text", "prompt", "question", "content", "input", "instruction", "review", "body", "message")
"""Columns that prompts are likely made of, the likeliest first."""
_NAMED: Final = 20
"""Fields that are named."""
_TABLES: Final = frozenset({*_JSON_SUFFIXES, *(end for end, kind in _BY_SUFFIX.items() if kind in ("csv", "parquet"))})
_ZIP: Final = b"PK\x03\x04"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def unpacked_name(name: str) -> str:
    """Return a name without the end that says that the file is packed."""
    return name[: -len(end)] if (end := PurePath(name).suffix).lower() in SUFFIXES else name


def is_table_by_name(name: str) -> bool:
    """Return whether the name of a file says in which of the formats of tables it is."""
    return PurePath(unpacked_name(name)).suffix.lower() in _TABLES


def detect(name: str, first: bytes, *, template: bool) -> Format:
    """Return the format of an input.

    Args:
        name: of the file; the ends of packed files (``.gz``) do not count.
        first: its first line that is not blank, unpacked.
        template: whether a template is given, which JSON lines then are the rows for.

    Raises:
        SourceError: it cannot be told, or cannot be read in any case.

    """
    suffix = PurePath(unpacked_name(name)).suffix.lower()
    if first.startswith(_UTF_16):
        message = "it is UTF-16; save it as UTF-8, or say --encoding utf-16"
        raise SourceError(message)
    if first.startswith(b"PAR1"):
        return "parquet"
    if first.startswith(_ZIP):
        message = "it is an archive or a workbook (Excel); save the sheet as CSV UTF-8, or unpack the archive"
        raise SourceError(message)
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if first.lstrip().startswith(b"["):
        message = "it begins with a JSON list; write one object per line (jq -c '.[]' does it)"
        raise SourceError(message)
    if suffix in _JSON_SUFFIXES or first.lstrip().startswith(b"{"):
        return "rows" if template else _json_format(first)
    if b"\0" in first:
        message = "it is not text"
        raise SourceError(message)
    return "text"


_OF_LINES: Final = frozenset({"custom_id", "method", "url", "body"})


def _json_format(first: bytes) -> Format:
    try:
        value = codec.loads(first)
    except codec.InvalidJSONError:
        return "batch"
    if not isinstance(value, dict) or not value or _OF_LINES & value.keys():
        return "batch"
    if "messages" in value:
        return "requests"
    if is_gemini(value):
        return "gemini"
    raise SourceError(template_hint(value))


def template_hint(columns: Iterable[str]) -> str:
    """Return what to do about a table without a template: one line, with the columns that there are.

    Args:
        columns: their names, perhaps with the cells of a row.

    """
    names = list(columns)
    cells = columns if isinstance(columns, Mapping) else {}
    likely = [name for known in _TEXTS for name in names if name.lower() == known]
    texts = sorted(
        (name for name in names if isinstance(cells.get(name), str)), key=lambda name: len(cells[name]), reverse=True
    )
    example = escaped(next(iter([*likely, *texts, *names]), "text"), 40)
    listed = ", ".join(escaped(name, 40) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    seen = f"; its columns: {listed}{more}" if names else ""
    return f"a template must say how a prompt is made of a row: --template '{{{example}}}'{seen}"
