"""Reads what batches left, and writes the page about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from anyfast_async._journal.records import log_of
from anyfast_async.batch.report.gathered import Run, gathered
from anyfast_async.batch.report.svg import svg
from anyfast_async.batch.results.results import Results
from anyfast_async.cli.display.terminal import say
from anyfast_async.cli.results.reading_progress import ReadingProgress
from anyfast_async.errors import ConfigurationError
from anyfast_async.prices import Prices


@attrs.frozen
class Files:
    """What a batch left."""

    output: Path
    errors: Path

    @property
    def log(self) -> Path:
        """The log beside the output."""
        return log_of(self.output)


def write_page(
    target: Path, batches: Sequence[Files], prices: Prices | None, *, samples: int = 0, run: Run | None = None
) -> bool:
    """Write the page about one batch, or two. Say that it is there, or why not; return whether it is.

    *run* is what there is to say of a batch without a log.
    """
    new = target.with_name(f".{target.name}.new")
    try:
        text = _page(batches, prices, samples, run)
        new.write_text(text, encoding="utf-8")
        new.replace(target)
    except OSError as error:
        new.unlink(missing_ok=True)
        say(f"error: no report: {error.filename or target}: {error.strerror or error}")
        return False
    say(f"report: {target}")
    return True


def _page(batches: Sequence[Files], prices: Prices | None, samples: int, run: Run | None) -> str:
    from anyfast_async.batch.report.comparison import compared_rows  # noqa: PLC0415 - with the first page
    from anyfast_async.batch.report.page import comparison_page, page  # noqa: PLC0415

    with ReadingProgress() as progress, ExitStack() as stack:

        def read(told: Mapping[str, Sequence[Any]]) -> None:
            progress.rows(len(told["custom_id"]))

        def look(_: object) -> None:
            progress.rows(1)

        results = [stack.enter_context(Results(one.output, one.errors, one.log, read)) for one in batches]
        progress.begin("gathering")
        of_one = samples if len(batches) == 1 else 0
        found = [
            gathered(opened, one.output, one.log, samples=of_one, look=look)
            for opened, one in zip(results, batches, strict=True)
        ]
        if run is not None and not found[0].runs:
            found[0].runs.append(run)
        if len(found) == 1:
            return page(found[0], prices, svg, _hider())
        progress.begin("comparing")
        rows = compared_rows(*results, samples=samples, look=look)
        return comparison_page((found[0], found[1]), rows, prices, svg, _hider())


def _hider() -> Callable[[str], str]:
    """Return what takes the key of the environment out of a text, where there is one."""
    from anyfast_async._http.api_key import checked  # noqa: PLC0415 - as it is asked for

    try:
        return checked(os.environ.get("ANYFAST_API_KEY", ""), "ANYFAST_API_KEY").hide
    except ConfigurationError:
        return str
