"""Which kind of file an input is: told by its name, else by what stands at its beginning. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final, Literal, TypeAlias, get_args

from anyfast_async._core.json import codec
from anyfast_async.batch.input.packed_files import SUFFIXES
from anyfast_async.batch.input.request_lines import SourceError
from anyfast_async.errors import escaped

Format: TypeAlias = Literal["batch", "requests", "rows", "text", "csv", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
DESCRIBED: Final[dict[Format, str]] = {
    "batch": "OpenAI Batch lines",
    "requests": "one request body per line",
    "rows": "one JSON object per line, for the template",
    "text": "one prompt per line",
    "csv": "CSV with a header",
    "parquet": "Parquet",
}

_BY_SUFFIX: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
_JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
_NAMED: Final = 20
"""Fields that are named."""
_ZIP: Final = b"PK\x03\x04"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def unpacked_name(name: str) -> str:
    """Return a name without the end that says that the file is packed."""
    return name[: -len(end)] if (end := PurePath(name).suffix).lower() in SUFFIXES else name


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
    fields = ", ".join(escaped(name, 40) for name in list(value)[:_NAMED])
    example = f"--template 'Label: {{{escaped(next(iter(value)), 40)}}}'"
    message = (
        "its first line is neither a batch line nor a request: there is no body and there are no messages. Are these "
        f"rows of a table? Then a template says how a prompt is made of one, {example}; the fields: {fields}"
    )
    raise SourceError(message)
