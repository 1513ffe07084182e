"""``anyfast report``."""

from __future__ import annotations

from pathlib import Path

import click

from anyfast_async._journal.records import failures_of
from anyfast_async.cli import exit_codes
from anyfast_async.cli.display.money import price_options, prices_of
from anyfast_async.cli.overwriting import check_target, is_report
from anyfast_async.cli.report.writing import Files, write_page
from anyfast_async.cli.settings import profile_option


@click.command()
@click.argument("outputs", metavar="OUT.jsonl [OTHER.jsonl]", nargs=-1, required=True)
@click.option("-o", "--output", "target", metavar="PAGE.html", help="The page. Default: OUT.html")
@click.option("--samples", type=click.IntRange(1, 1000), metavar="N", help="Show N answers, drawn at random.")
@price_options
@profile_option
def report(
    *, outputs: tuple[str, ...], target: str | None, samples: int | None, prices: str | None, price_factor: float
) -> int:
    """Make a page of what a batch left behind: one file, for any browser; of two batches, what differs.

    The counts are of the files, whichever run wrote them. Times, and what limited the runs, are from the log beside
    OUT.jsonl; without one, answers are dated as they say themselves. The page holds no answers unless --samples asks
    for some; of each kind of failure it names three rows.

    \b
    Examples:
      anyfast report answers.jsonl
      anyfast report answers.jsonl --samples 20 -o answers.html
      anyfast report before.jsonl after.jsonl -o compared.html
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    from anyfast_async.batch.report.rendering import missing  # noqa: PLC0415 - an extra

    install = missing()
    if install is not None:
        message = f"anyfast report needs more packages: {install}"
        raise click.UsageError(message)
    if len(outputs) > 2:  # noqa: PLR2004 - it says so
        message = f"one batch, or two to compare; not {len(outputs)}"
        raise click.UsageError(message)
    batches = tuple(_files(one) for one in outputs)
    page = batches[0].output.with_suffix(".html") if target is None else Path(target)
    read = [path for one in batches for path in (one.output, one.errors, one.log)]
    option = "the page" if target is None else "-o"
    check_target(option, page, others=[*read, prices], called="one of the files that are read", own=is_report)
    written = write_page(page, batches, prices_of(prices, price_factor), samples=samples or 0)
    return exit_codes.OK if written else exit_codes.STOPPED


def _files(output: str) -> Files:
    found = Files(Path(output), failures_of(Path(output)))
    if not any(path.is_file() for path in (found.output, found.errors, found.log)):
        message = f"{output} {'is no regular file' if found.output.exists() else 'does not exist'}"
        raise click.UsageError(message)
    return found
