"""What a run depends on: written at the head of its log, and the same again when it goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from anyfast_async._core.journal.journal_lines import HOLDER_SIZE, record
from anyfast_async._core.journal.log_replay import LogReplay
from anyfast_async._journal.disk import lines_of, lock
from anyfast_async._journal.records import log_of
from anyfast_async.batch.input.source import Source
from anyfast_async.batch.input.survey import Survey, fingerprint, stamp_of

_MODELS: Final = 20
"""Models of an input that are written down."""
_INPUTS: Final = (b'{"header":', b'{"changed":', b'{"input kept":')
_HEAD: Final = 4
"""Lines of a log among which the header is, if a command began it."""


def header_for(found: Survey, *, model: str | None, system: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header of a run.

    Args:
        found: its input.
        model: of the rows that name none.
        system: the system message before those of the rows.
        fields: that win over what the rows say.

    """
    given = _input(found.source, found.sha256)
    counts = {name or "": rows for name, rows in found.models.items()}
    listed = {"rows": found.count} | ({"models": counts} if len(counts) <= _MODELS else {})
    if found.bad:
        listed["bad"] = len(found.bad)
    return {"input": given | listed, "model": model, "system": system, "fields": dict(fields)}


def recorded_header(output: Path) -> Mapping[str, Any] | None:
    """Return the header of the run that began *output*, None if there is none.

    Raises:
        OSError: the log cannot be read.

    """
    past = LogReplay()
    for _, line in islice(lines_of(log_of(output)), _HEAD):
        past.add(line)
    return past.header


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


def checked_before(source: Source, recorded: Mapping[str, Any] | None) -> Survey | None:
    """Return the survey of *source* if the run with the header *recorded* has made it already, byte for byte.

    Raises:
        OSError: the input cannot be read.

    """
    before = recorded.get("input") if recorded is not None else None
    if not isinstance(before, Mapping) or not isinstance(before.get("models"), Mapping) or before.get("bad"):
        return None
    stamp = stamp_of(source.path)
    now = _input(source, fingerprint(source.path))
    if any(before.get(name) != now.get(name) for name in (*now, "encoding")):
        return None
    models = {name or None: rows for name, rows in before["models"].items()}
    return Survey(source, before["rows"], models, (), 0, now["sha256"], stamp)


def _input(source: Source, sha256: str) -> dict[str, Any]:
    encoding = {} if source.encoding is None else {"encoding": source.encoding}
    given = {"sha256": sha256, "format": source.format, "template": source.template.text, "id": source.id_column}
    return given | encoding
