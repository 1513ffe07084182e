"""The input of ``anyfast batch``: opened, told what it is, checked as a whole before anything is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from anyfast_async.batch import Source, SourceError, Survey, open_source, survey
from anyfast_async.batch.formats import DESCRIBED
from anyfast_async.batch.header import checked_before, recorded_header
from anyfast_async.batch.spool import Spool
from anyfast_async.cli import exits, figures
from anyfast_async.cli.batch_options import STDIN, Options
from anyfast_async.cli.terminal import is_terminal, say

_LARGE: Final = 50_000_000
"""Bytes from which checking takes so long that it is said."""


def surveyed(options: Options, spool: Spool) -> Survey:
    """Return the input, checked as a whole, or as it was checked when the batch began.

    Args:
        options: say what it is.
        spool: takes the standard input in, which cannot be read twice.

    Raises:
        click.UsageError: it cannot be read, or not as it should be.
        click.exceptions.Exit: it has problems, which are named.

    """
    name = options.input_name
    try:
        path = _from_stdin(spool) if options.input == STDIN else _regular(Path(options.input))
        source = open_source(
            path,
            kind=options.format,
            template=options.template,
            id_column=options.id_column,
            max_line=options.max_line,
        )
        if options.format is None:
            say(f"{name}: {DESCRIBED[source.format]}")
        found = None if options.dry_run else checked_before(source, recorded_header(options.answers))
        return found or _checked(source, name)
    except SourceError as error:
        message = f"{name}: {error}"
    except OSError as error:
        message = f"cannot read {name}: {error.strerror or error}"
    raise click.UsageError(message)


def _regular(path: Path) -> Path:
    if path.is_file():
        return path
    problem = (
        "is no regular file, and the input is read twice; pipe it into -i -" if path.exists() else "does not exist"
    )
    message = f"{path} {problem}"
    raise click.UsageError(message)


def _from_stdin(spool: Spool) -> Path:
    """Copy the standard input; nothing on it stands for what was kept of it when the batch began."""
    kept, typed = spool.kept.exists(), is_terminal(sys.stdin)
    if typed and not kept:
        say("reading the standard input; Ctrl-D ends it")
    if not (typed and kept) and spool.fill(sys.stdin.buffer):
        return spool.path
    if not kept:
        message = "the standard input is empty"
        raise click.UsageError(message)
    say(f"the standard input as it was kept in {spool.kept}")
    return spool.path


def _checked(source: Source, name: str) -> Survey:
    size = source.path.stat().st_size
    if size >= _LARGE and is_terminal(sys.stderr):
        say(f"checking {name} ({size / 1e6:,.0f} MB) ...")
    found = survey(source)
    if found.problems:
        for problem in found.problems:
            say(f"{name}, {problem}")
        unnamed = found.problem_count - len(found.problems)
        more = f" ({figures.counted(unnamed)} of them not shown)" if unnamed else ""
        noun = "problem" if found.problem_count == 1 else "problems"
        say(f"error: {figures.counted(found.problem_count)} {noun} in {name}{more}; nothing was sent, nothing written")
        raise click.exceptions.Exit(exits.USAGE)
    if not found.count:
        message = f"{name} holds no requests"
        raise click.UsageError(message)
    return found
