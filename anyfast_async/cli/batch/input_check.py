"""The input of ``anyfast batch``: opened, told what it is, checked as a whole before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from anyfast_async._journal.records import log_of
from anyfast_async._values.text import counted
from anyfast_async.batch import Source, SourceError, Survey, open_source, survey
from anyfast_async.batch.input.checked_rows import Measure
from anyfast_async.batch.input.formats import DESCRIBED
from anyfast_async.batch.input.stdin_copy import StdinCopy
from anyfast_async.batch.run_header import checked_before, knows_input, recorded
from anyfast_async.cli import exit_codes
from anyfast_async.cli.batch.options import STDIN, Options
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.terminal import is_terminal, note, say
from anyfast_async.cli.results.reading_progress import ReadingProgress
from anyfast_async.requests import as_request

_KINDS: Final = 10
"""Kinds of problems that are named."""


def surveyed(options: Options, spool: StdinCopy, look: Callable[[Source], Survey] | None = None) -> Survey:
    """Return the input, checked as a whole, or as it was checked when the batch began.

    Args:
        options: say what it is.
        spool: takes the standard input in, which cannot be read twice.
        look: checks it; None: this process does.

    Raises:
        click.UsageError: it cannot be read, or not as it should be.
        click.exceptions.Exit: it has problems, which are named.

    """
    name = options.input_name
    try:
        path = _from_stdin(spool, options.answers) if options.input == STDIN else _regular(Path(options.input))
        source = open_source(
            path,
            kind=options.format,
            template=options.template,
            id_column=options.id_column,
            max_line=options.max_line,
            encoding=options.encoding,
            image=options.image,
            document=options.document,
            files_under=None if options.files_under is None else Path(options.files_under),
        )
        if options.format is None:
            note(f"{name}: {DESCRIBED[source.format]}")
        if look is not None:
            return _checked(source, name, options, look)
        found = None if options.dry_run else checked_before(source, recorded(options.answers))
        return found or _checked(source, name, options)
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


def _from_stdin(spool: StdinCopy, answers: Path) -> Path:
    """Copy the standard input; nothing on it stands for what was kept of it when the batch began."""
    kept, typed = spool.kept.exists(), is_terminal(sys.stdin)
    if kept and not knows_input(answers, spool.kept):
        message = (
            f"{spool.kept} is there already, and {log_of(answers)} does not say that it is this batch's standard "
            "input; move it away, or name another output"
        )
        raise click.UsageError(message)
    if typed and not kept:
        say("reading the standard input; Ctrl-D ends it")
    if not (typed and kept) and spool.fill(sys.stdin.buffer):
        return spool.path
    if not kept:
        message = "the standard input is empty"
        raise click.UsageError(message)
    say(f"the standard input as it was kept in {spool.kept}")
    return spool.path


def _checked(source: Source, name: str, options: Options, look: Callable[[Source], Survey] | None = None) -> Survey:
    skip_bad, fields = options.skip_bad, options.fields
    measure = Measure(lambda request: as_request(request, fields, system=options.system), options.limit)
    with ReadingProgress() as progress:
        progress.begin(f"checking {name}")
        if look is not None:
            found = look(source)
        else:
            found = survey(
                source,
                skip_bad=skip_bad,
                digests=not options.dry_run,
                measure=measure if options.dry_run else None,
                told=progress.rows,
                read_again=not options.dry_run,
            )
    if found.problems and not (skip_bad and found.is_whole):
        _say_problems(found, name)
        noun = "problem" if found.problem_count == 1 else "problems"
        error = f"error: {counted(found.problem_count)} {noun} in {name}; nothing was sent, nothing written"
        hint = "; --skip-bad leaves such rows out" if found.is_whole and found.count else ""
        say(error + hint)
        raise click.exceptions.Exit(exit_codes.USAGE)
    if found.bad:
        _say_problems(found, name)
    if not found.count:
        message = f"{name} holds no requests" + (" that can be sent" if found.bad else "")
        raise click.UsageError(message)
    if found.bad:
        say(f"left out: {figures.rows_of(len(found.bad))} of {name} that cannot be sent (--skip-bad)")
    return found


def _say_problems(found: Survey, name: str) -> None:
    """Name the commonest kinds of problems with their first lines: never more than a screen."""
    kinds = sorted(found.kinds, key=lambda kind: -kind.count)
    for kind in sorted(kinds[:_KINDS], key=lambda kind: kind.lines[0]):
        more = kind.count - len(kind.lines)
        numbers = [counted(line) for line in kind.lines] + ([f"{counted(more)} more"] if more else [])
        listed = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
        unit = found.source.unit if kind.count == 1 else f"{found.source.unit}s"
        say(f"{name}, {unit} {listed}: {kind.problem}")
    if len(kinds) > _KINDS:
        others = sum(kind.count for kind in kinds[_KINDS:])
        say(f"{name}: and {counted(others)} problems of {counted(len(kinds) - _KINDS)} other kinds")
