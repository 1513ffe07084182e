"""``anyfast bench --report``: a page about the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from anyfast_async.batch.report.rendering import is_made_by, missing
from anyfast_async.batch.report.svg import svg
from anyfast_async.cli.bench.measurement import Measurement
from anyfast_async.cli.bench.options import BenchOptions
from anyfast_async.cli.bench.page import GENERATOR, page
from anyfast_async.cli.display.terminal import say
from anyfast_async.cli.overwriting import check_target

_HEAD = 4096
"""Bytes of a file by which it is told."""


def check_report(path: str, others: Sequence[str | None] = ()) -> None:
    """Find out whether there can be a page, before anything is sent.

    Raises:
        click.UsageError: the package that draws charts is not there, or the page would replace another file.

    """
    install = missing()
    if install is not None:
        message = f"--report needs more packages: {install}"
        raise click.UsageError(message)
    check_target("--report", Path(path), others=others, called="one of the test's own files", own=_is_page)


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return is_made_by(GENERATOR, file.read(_HEAD))


def write_report(
    path: Path,
    points: Sequence[Measurement],
    options: BenchOptions,
    status: str,
    settings: Sequence[tuple[str, str]],
) -> None:
    """Write the page. If it cannot be written that is said, and the test ends as it ended."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(page(points, options, status, settings, svg), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        say(f"error: no report: {path}: {error.strerror or error}")
    else:
        say(f"report: {path}")
