"""Files that a command is to write: refused where they would replace what is not of the command's own making."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from anyfast_async._core.json import codec
from anyfast_async._journal.records import log_of
from anyfast_async.batch import LineError, SourceError
from anyfast_async.batch.input import parquet
from anyfast_async.batch.input.packed_files import UNPACKING, opened
from anyfast_async.batch.input.stdin_copy import StdinCopy
from anyfast_async.batch.report.rendering import GENERATOR, is_made_by, missing

if TYPE_CHECKING:
    from anyfast_async.cli.batch.options import Options  # which loads the client

_HEAD: Final = 4096
"""Bytes of a file by which it is told."""
_COLUMNS: Final = ({"custom_id", "outcome"}, {"outcome", "error_kind"})
"""Tell a table of results: one of its own, and one that was joined with others."""


def check_target(
    option: str, path: Path, *, others: Iterable[str | Path | None], called: str, own: Callable[[Path], bool]
) -> None:
    """Find out whether a file may be written, before anything is done for it.

    Args:
        option: that names it.
        path: the file.
        others: files that are read or written besides.
        called: what these are.
        own: whether a file that is there is one that this option has written before.

    Raises:
        click.UsageError: it cannot be, or would replace something else.

    """
    is_other = any(other is not None and _is_same(path, Path(other)) for other in others)
    if path.is_dir() or not path.resolve().parent.is_dir():
        message = f"{option} {path}: {'is a directory' if path.is_dir() else 'there is no such directory'}"
    elif is_other:
        message = f"{option} {path} is {called}; name another one"
    elif path.exists() and not (path.is_file() and (not path.stat().st_size or own(path))):
        message = f"{option} {path} is there already, and was not written by {option}; name another one"
    else:
        return
    raise click.UsageError(message)


def _is_same(path: Path, other: Path) -> bool:
    if path.resolve() == other.resolve():
        return True
    return path.exists() and other.exists() and path.samefile(other)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _beginning_of_table(path: Path) -> bytes:
    """Return how a table begins, unpacked."""
    try:
        with opened(path) as file:
            return file.read(_HEAD)
    except (*UNPACKING, SourceError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's
            raise
        return b""


def is_report(path: Path) -> bool:
    """Return whether a file is a report."""
    return is_made_by(GENERATOR, _beginning(path))


def check_report(options: Options) -> None:
    """Find out whether there can be a report, before anything is sent.

    Raises:
        click.UsageError: the package that draws charts is not there, or the page would replace another file.

    """
    if options.report is None:
        return
    install = missing()
    if install is not None:
        message = f"--report needs more packages: {install}"
        raise click.UsageError(message)
    answers = options.answers
    mine = (options.input, answers, options.failures, log_of(answers), StdinCopy(answers).kept)
    keys = (options.prices, options.key_file, os.environ.get("ANYFAST_API_KEY_FILE"))
    check_target(
        "--report", Path(options.report), others=(*mine, *keys), called="one of the batch's own files", own=is_report
    )


def is_table(path: Path) -> bool:
    """Return whether a file is a table of results."""
    head = _beginning_of_table(path)
    first, end, _ = head.partition(b"\n")
    if head.startswith(b"PAR1"):
        try:
            names = parquet.columns(path)
        except (LineError, SourceError):
            return False
        return _are_ours(names)
    if not first.startswith(b"{"):
        try:
            return _are_ours(next(csv.reader([first.decode("utf-8", "replace").rstrip("\r")]), ()))
        except csv.Error:
            return False
    try:
        value = codec.loads(first)
    except codec.InvalidJSONError:  # perhaps a line of which the end was not read
        return not end and first.startswith(b'{"custom_id":') and b'"response":' not in first
    return isinstance(value, dict) and _are_ours(value)


def _are_ours(names: Iterable[str]) -> bool:
    """Tell the columns of a table of results, whatever it was joined with."""
    found = {name.rpartition("answer.")[2] for name in names}
    return any(found.issuperset(some) for some in _COLUMNS)
