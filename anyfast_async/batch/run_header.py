"""What a run depends on: written at the head of its log, and the same again when it goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from anyfast_async._core.journal.journal_lines import HOLDER_SIZE, record, record_in
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._core.json import codec
from anyfast_async._journal.disk import lines_of, lock
from anyfast_async._journal.journal import Journal
from anyfast_async._journal.records import log_of
from anyfast_async._map.media_columns import MediaTemplate
from anyfast_async.batch.growth import Growth, grown, renumbered
from anyfast_async.batch.input.formats import Format, is_table_by_name, unpacked_name
from anyfast_async.batch.input.packed_files import is_clearly_utf_8
from anyfast_async.batch.input.row_digests import RowDigests
from anyfast_async.batch.input.source import Source, SourceError
from anyfast_async.batch.input.survey import Survey, fingerprint, stamp_of, survey

_MODELS: Final = 20
"""Models of an input that are written down."""
_HEADERS: Final = (b'{"header":', b'{"extended":')
_INPUTS: Final = (*_HEADERS, b'{"changed":', b'{"input kept":')
_ROWS: Final = b'{"rows":'
_LAST: Final = b'"last":true}}'
_HOW: Final = ("template", "id", "image", "document")
"""How rows are made of an input, whatever is in it."""


@attrs.frozen
class BegunWith:
    """What the log of a batch says of its beginning, or of the last input that it was extended by."""

    header: Mapping[str, Any] | None = None
    _rows: Sequence[bytes] = attrs.field(default=(), repr=False)

    @property
    def input(self) -> Mapping[str, Any] | None:
        """The input as it was, None if that is not known."""
        found = self.header.get("input") if self.header is not None else None
        return found if isinstance(found, Mapping) else None

    @property
    def has_rows(self) -> bool:
        """Whether it was written down to the end what the rows held."""
        return bool(self._rows) and (record_in(self._rows[-1]) or b"").endswith(_LAST)

    def rows(self) -> RowDigests | None:
        """Return what the rows held, None if that was not written down, or not to its end."""
        data = (one for one in map(record_in, self._rows) if one is not None)
        return RowDigests.of(codec.loads(one)["rows"] for one in data)

    def growth(self, found: Survey) -> Growth | None:
        """Return what became of the rows in the input *found*; None if that cannot be told.

        Raises:
            OSError: it cannot be read.

        """
        before = self.input
        if before is None or any(before.get(name) != _input(found.source, "").get(name) for name in _HOW):
            return None
        known = self.rows()
        return None if known is None else grown(known, found)


def recorded(output: Path) -> BegunWith:
    """Return what the log of *output* says, if there is one.

    Raises:
        OSError: it cannot be read.

    """
    past = LogReplay()
    rows: list[bytes] = []
    for _, line in lines_of(log_of(output)):
        if line.startswith(_HEADERS, 9):
            past.add(line)
        elif line.startswith(_ROWS, 9):
            rows.append(line)
    return BegunWith(past.header, rows)


def note_input(journal: Journal, found: Survey, growth: Growth | None) -> None:
    """Write down with which input a batch goes on: what its rows hold, where that is not known, and the input itself.

    Args:
        journal: of the batch, open.
        found: the input, with the rows of before or more.
        growth: what became of the rows before in it; None: they are not known.

    Raises:
        OSError: it cannot be written.

    """
    _note_rows(journal, found, growth)
    header, now = journal.records.past.header or {}, input_of(found)
    if growth is not None and header.get("input") != now:
        journal.note("extended", {**header, "input": now})


def _note_rows(journal: Journal, found: Survey, growth: Growth | None) -> None:
    digests = found.digests
    if digests is None:
        return
    is_all = growth is None or (growth.by_place and len(growth.mended) > 0)
    places: Sequence[int] = range(len(digests))
    if growth is not None and not is_all:
        places = sorted((*growth.added, *growth.mended))
    if is_all or places:
        for block in digests.blocks(places, is_all=is_all):
            journal.note("rows", block)


def header_for(found: Survey, *, model: str | None, system: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header of a run.

    Args:
        found: its input.
        model: of the rows that name none.
        system: the system message before those of the rows.
        fields: that win over what the rows say.

    """
    return {"input": input_of(found), "model": model, "system": system, "fields": dict(fields)}


def input_of(found: Survey) -> dict[str, Any]:
    """Return what a header says of an input."""
    given = _input(found.source, found.sha256)
    counts = {name or "": rows for name, rows in found.models.items()}
    listed = {"rows": found.count} | ({"models": counts} if len(counts) <= _MODELS else {})
    if found.bad:
        listed["bad"] = len(found.bad)
    return given | listed


def recorded_header(output: Path) -> Mapping[str, Any] | None:
    """Return the header of the run that began *output*, None if there is none.

    Raises:
        OSError: the log cannot be read.

    """
    return recorded(output).header


def forget(output: Path, kept: str | None = None) -> None:
    """Remove the log of a run that nothing came of, so that *output* can be begun with another header.

    Args:
        output: of the run.
        kept: the hash of an input that is kept beside it: all that the log says from now on.

    """
    log = log_of(output)
    with log.open("rb+") as file:
        if not lock(file.fileno()):  # another process has begun meanwhile
            return
        if kept is None:
            log.unlink()
        else:
            file.truncate(HOLDER_SIZE)
            file.seek(0, os.SEEK_END)
            file.write(record("input kept", kept))


def knows_input(output: Path, path: Path) -> bool:
    """Return whether the file at *path* is an input that *output* was begun or went on with.

    Raises:
        OSError: it or the log cannot be read.

    """
    past = LogReplay()
    for _, line in lines_of(log_of(output)):
        if line.startswith(_INPUTS, 9):
            past.add(line)
    return bool(past.inputs) and fingerprint(path) in past.inputs


def checked_before(source: Source, begun: BegunWith, *, needs_rows: bool = True) -> Survey | None:
    """Return the survey of *source* if the run that is *recorded* has made it already, byte for byte.

    Args:
        source: the input.
        begun: what is recorded.
        needs_rows: whether it must be known, too, what the rows held.

    Raises:
        OSError: the input cannot be read.

    """
    before = begun.input
    if before is None or not isinstance(before.get("models"), Mapping) or before.get("bad"):
        return None
    if needs_rows and not begun.has_rows:
        return None
    stamp = stamp_of(source.path)
    now = _input(source, fingerprint(source.path))
    if any(before.get(name) != now.get(name) for name in (*now, "encoding")):
        return None
    models = {name or None: rows for name, rows in before["models"].items()}
    return Survey(counted_as(source, begun), before["rows"], models, (), 0, now["sha256"], stamp)


def read_as(path: Path, how: Mapping[str, Any]) -> tuple[Format | None, str | None]:
    """Return the format and the encoding of a file with the rows of a batch, which may be packed otherwise now.

    Args:
        path: of the file.
        how: what the header says of the input.

    Returns:
        What was said of the input, if this is it byte for byte or its name says nothing; a format of None is told by
        name and content.

    Raises:
        OSError: it cannot be read.

    """
    kind, encoding = how.get("format"), how.get("encoding")
    is_table = is_table_by_name(path.name)
    if is_table and encoding is None and kind in ("csv", "parquet", "rows"):
        return None, None
    if kind not in ("csv", "parquet", "rows", "text") or fingerprint(path) == how.get("sha256"):
        return kind, encoding
    told = None if is_table or unpacked_name(path.name).lower().endswith(".txt") else kind
    return told, None if encoding is not None and is_clearly_utf_8(path) else encoding


def counted_as(source: Source, begun: BegunWith) -> Source:
    """Return *source* with the ids that its rows were given first, where these are numbers of another file's lines.

    Raises:
        OSError: it cannot be read.

    """
    before = begun.input
    if before is None or "counted" not in before or not source.is_counted:
        return source
    known = begun.rows()
    return source if known is None else renumbered(source, known)


def placed_as(source: Source, begun: BegunWith) -> Source:
    """Return a file to be held against the answers of a batch, its rows with the ids that they were given first.

    Where ids are made of places, the same rows in another file (or some of them, or more) are counted otherwise.

    Raises:
        SourceError: ids are made of places, and other rows stand there now.
        OSError: it cannot be read.

    """
    before = begun.input
    if before is None or not source.is_counted or fingerprint(source.path) == before.get("sha256"):
        return counted_as(source, begun)
    known, growth = begun.rows(), begun.growth(survey(source))
    if known is None or growth is None:
        return source
    if growth.changed_count:
        message = (
            f"it has other rows than the batch was made of: {growth.problem}; their ids are made of their places, so "
            "answers would stand beside other rows; take the input as it was"
        )
        raise SourceError(message)
    return renumbered(source, known)


def _input(source: Source, sha256: str) -> dict[str, Any]:
    encoding = {} if source.encoding is None else {"encoding": source.encoding}
    given = {"sha256": sha256, "format": source.format, "template": source.template.text, "id": source.id_column}
    template = source.template
    if isinstance(template, MediaTemplate):
        given |= {"image": template.image, "document": template.document}
    counted = {} if source.renumbered is None else {"counted": source.renumbered.unit}
    return given | encoding | counted
