"""``anyfast results``."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from anyfast_async._core.usage import Used
from anyfast_async._journal.records import failures_of, log_of
from anyfast_async._values.text import counted
from anyfast_async.batch.counts import Counts, Standing
from anyfast_async.batch.input.parquet import INSTALL
from anyfast_async.batch.input.source import SourceError
from anyfast_async.batch.input.stdin_copy import StdinCopy
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.kept_answers import KeptAnswers
from anyfast_async.batch.results.results import Look, Results
from anyfast_async.batch.results.row import IN_DOUBT, Told
from anyfast_async.batch.results.table import Columns, CostOf, FieldColumns
from anyfast_async.batch.results.table_files import check_written
from anyfast_async.cli import exit_codes
from anyfast_async.cli.display.figures import rows_of
from anyfast_async.cli.display.money import cost_json, price_options, prices_of, spent_in_words
from anyfast_async.cli.display.progress import print_summary
from anyfast_async.cli.display.terminal import is_live, say, write
from anyfast_async.cli.overwriting import check_target, is_table
from anyfast_async.cli.results.job import JoinJob, ResultsJob, source_of
from anyfast_async.cli.results.reading_progress import ReadingProgress
from anyfast_async.cli.results.went_wrong import show_errors
from anyfast_async.cli.settings import profile_option
from anyfast_async.errors import escaped
from anyfast_async.prices import Price, Prices

_OBJECTS: Final = 200_000
"""That are made and live before it is looked for cycles among them."""
_SHOWN: Final = 10
"""Rows that are shown where no file is written."""
_ERRORS: Final = ".errors.jsonl"
_READ: Final = "one of the files that are read"


@click.command()
@click.argument("output", metavar="OUT.jsonl")
@click.option("-o", "--output", "table", metavar="PATH", help="Write a table: .csv, .jsonl, .parquet, .csv.gz, ...")
@click.option("--errors", "only_errors", is_flag=True, help="Only rows that did not go well, by kind.")
@click.option("--error-file", metavar="PATH", help="Where failed rows are. Default: OUT.errors.jsonl")
@click.option("--input", "source", metavar="IN", help="The batch's input: its order, its prompts, and missing rows.")
@click.option(
    "--join",
    is_flag=False,
    flag_value="",
    metavar="[IN]",
    help="Put the answers beside the input's own columns, with -o. IN: the input, if --input does not say it.",
)
@click.option("--id", "id_column", metavar="COLUMN", help="The input's column of ids, if OUT.jsonl.run is not there.")
@click.option("--encoding", metavar="NAME", help="Of the input's text. Default: as the batch was told, else UTF-8.")
@click.option("--failed-input", metavar="PATH", help="Write the requests of rows without an answer. Needs --input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@price_options
@profile_option
def results(
    *,
    output: str,
    table: str | None,
    only_errors: bool,
    error_file: str | None,
    source: str | None,
    join: str | None,
    id_column: str | None,
    encoding: str | None,
    failed_input: str | None,
    as_json: bool,
    prices: str | None,
    price_factor: float,
) -> int:
    """Read what a batch left behind.

    The answers of OUT.jsonl and the rows of the error file become one table by custom_id. When the answers are JSON
    objects, their fields are columns. Output and error files of the OpenAI Batch API and of vLLM are read too.

    In CSV, text that a spreadsheet would take for a formula gets an apostrophe before it.

    \b
    Examples:
      anyfast results answers.jsonl
      anyfast results answers.jsonl -o table.csv --input prompts.jsonl
      anyfast results labels.jsonl --join reviews.parquet -o labelled.parquet
      anyfast results answers.jsonl --errors
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    out, errors = _files(output, error_file)
    target = _target(table)
    again = None if failed_input is None else Path(failed_input)
    given = _input(source, join, target, only_errors=only_errors)
    opened = source_of(given, out, id_column, encoding, is_whole=join is not None)
    try:
        job = (ResultsJob if join is None else JoinJob)(out, errors, opened, only_errors)
    except SourceError as error:
        message = f"--join {given}: {error}"
        raise click.UsageError(message) from None
    _check(job, target, again)
    found_prices = prices_of(prices, price_factor)
    columns = job.columns(None)
    try:
        reading = Results(out, job.errors, log_of(out))
        cost_of = None if found_prices is None else _cost_of(reading, found_prices)
        with (
            ReadingProgress() as progress,
            _few_collections(),
            _keeping(job, target, cost_of) as kept,
            ExitStack() as files,
        ):
            reading.look = _looking(columns, progress, kept, cost_of)
            found = files.enter_context(reading)
            progress.clear()
            if found.broken_count and not found.total:
                message = f"{out} holds no results of a batch"
                raise click.UsageError(message)
            _say_broken(found)
            if again is not None:
                job.again.write(again, found)
            if target is not None:
                columns.cost_of = cost_of if _are_priced(found, found_prices) else None
                _write(target, columns, job, found, progress, kept=kept)
            if target is None and only_errors:
                show_errors(job, found, as_json=as_json)
            elif target is None and again is None:
                _show(job, found, columns, found_prices, as_json=as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:  # the standard output
            raise
        message = f"{error.filename}: {error.strerror or error}"
        raise click.UsageError(message) from None
    return exit_codes.OK


# -- before anything is read -----------------------------------------------------------------------------------------


def _files(output: str, error_file: str | None) -> tuple[Path, Path]:
    """Return the files of answers and of failures; neither a run in which all failed nor its error file is no run."""
    out = Path(output)
    if out.exists() and not out.is_file():
        _existing(output)
    begun = out.with_name(f"{out.name.removesuffix(_ERRORS)}.jsonl") if out.name.endswith(_ERRORS) else None
    if error_file is None and begun is not None and (begun.is_file() or log_of(begun).is_file()):
        say(f"note: {out} is the error file of {begun}, which is read with it")
        return begun, out
    errors = failures_of(out) if error_file is None else _existing(error_file)
    if not (out.is_file() or log_of(out).is_file() or errors.is_file()):
        _existing(output)
    return out, errors


def _existing(given: str) -> Path:
    path = Path(given)
    if not path.is_file():
        message = f"{path} {'is no regular file' if path.exists() else 'does not exist'}"
        raise click.UsageError(message)
    return path


def _target(table: str | None) -> Path | None:
    if table is None:
        return None
    path = Path(table)
    try:
        check_written(path)
    except (ValueError, SourceError) as error:
        message = f"-o {escaped(table, 80)}: {error}"
        raise click.UsageError(message) from None
    return path


def _input(source: str | None, join: str | None, target: Path | None, *, only_errors: bool) -> str | None:
    """Return the name of the input, from where it is said."""
    if join is None:
        return source
    if source is not None and join and Path(source).resolve() != Path(join).resolve():
        message = f"--join {join} and --input {source} name two inputs; name one"
    elif not (join or source):
        message = "--join needs the batch's input: --join IN"
    elif target is None:
        message = "--join needs -o PATH: .csv, .parquet or .jsonl"
    elif only_errors:
        message = "--join has a row for each of the input, --errors only some; one of the two"
    else:
        return join or source
    raise click.UsageError(message)


def _check(job: ResultsJob, target: Path | None, again: Path | None) -> None:
    read = (
        job.output,
        job.errors,
        log_of(job.output),
        StdinCopy(job.output).kept,
        None if job.source is None else job.source.path,
    )
    if target is not None:
        check_target("-o", target, others=(*read, again), called=_READ, own=is_table)
    if again is not None:
        check_target("--failed-input", again, others=read, called=_READ, own=lambda _: False)
        if job.source is None:
            message = "--failed-input needs --input IN: the requests stand there"
            raise click.UsageError(message)


# -- what is shown ---------------------------------------------------------------------------------------------------


def _say_broken(found: Results) -> None:
    if found.broken_count:
        named = ", ".join(f"{one.path}, line {one.line}" for one in found.broken)
        more = f" and {counted(found.broken_count - len(found.broken))} more" if found.broken_count > 5 else ""  # noqa: PLR2004
        noun = "line is" if found.broken_count == 1 else "lines are"
        say(f"note: {counted(found.broken_count)} {noun} no result of a batch: {named}{more}")
    if found.again:
        say(f"note: of {rows_of(found.again)} there is a later line, which counts")


def _keeping(
    job: ResultsJob, target: Path | None, cost_of: CostOf | None
) -> AbstractContextManager[KeptAnswers | None]:
    with _needing_arrow():
        return job.keeping(target, with_cost=cost_of is not None)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for cycles seldom: rows make none, and there are many of them at a time."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _looking(columns: Columns, progress: ReadingProgress, kept: KeptAnswers | None, cost_of: CostOf | None) -> Look:
    def look(told: Told) -> None:
        progress.rows(len(told["custom_id"]))
        fields = FieldColumns.of(told["fields"])
        columns.look(told, fields)
        if kept is not None:
            kept.add(told if cost_of is None else {**told, "cost": _costs(told, cost_of)}, fields)

    return look


@contextmanager
def _needing_arrow() -> Iterator[None]:
    try:
        yield
    except ImportError:
        message = f"Parquet needs one more package: {INSTALL}"
        raise click.UsageError(message) from None


def _write(
    target: Path,
    columns: Columns,
    job: ResultsJob,
    found: Results,
    progress: ReadingProgress,
    *,
    kept: KeptAnswers | None,
) -> None:
    progress.begin("writing")
    try:
        with _needing_arrow():
            count = job.write(target, columns, found, progress, kept)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk does not say whose
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise
    progress.clear()
    more = len(job.table.kinds) if isinstance(job, JoinJob) else 0
    say(f"{target}: {rows_of(count)}, {counted(len(columns.kinds) + more)} columns")
    if not isinstance(job, JoinJob):
        return
    lost = job.table.unreadable
    for number, problem in islice(lost.items(), 1):
        said = f"{escaped(str(job.table.source.path), 80)}, line {counted(number)}"
        say(f"note: {rows_of(len(lost))} of the input cannot be read and stand there empty; {said}: {problem}")


def _are_priced(found: Results, prices: Prices | None) -> bool:
    """Return whether there is a price for any of the answers."""
    return prices is not None and any(prices.price(model) is not None for model in found.spent.models)


def _cost_of(found: Results, prices: Prices) -> CostOf:
    """Return what tells the cost of an answer."""
    known: dict[str | None, Price | None] = {}

    def cost(model: str | None, used: Used | None) -> float | None:
        if model not in known:
            known[model] = prices.price(found.asked(model))
        price = known[model]
        return None if used is None or price is None else price.cost(used)

    return cost


def _costs(told: Told, cost_of: CostOf) -> list[float | None]:
    """Return what each row cost; many cost the same."""
    models, used = told["model"], told["used"]
    if len(set(models)) == 1:
        costs = {one: cost_of(models[0], one) for one in set(used)}
        return [*map(costs.__getitem__, used)]
    calls = [*zip(models, used, strict=True)]
    known = {call: cost_of(*call) for call in set(calls)}
    return [known[call] for call in calls]


def _show(job: ResultsJob, found: Results, columns: Columns, prices: Prices | None, *, as_json: bool) -> None:
    counts, missing, in_doubt = found.counts, 0, found.in_doubt
    if job.source is not None:
        counts, missing, in_doubt = _joined(job, found)
    elif found.expected is not None:
        missing = found.expected - found.total
    in_doubt = min(in_doubt, missing)
    values = {
        "rows": counts.results + missing,
        **counts.as_dict(),
        "missing": missing,
        "in_doubt": in_doubt,
        "not_sent": missing - in_doubt,
        "maybe_billed": found.maybe_billed,
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "broken_lines": found.broken_count,
    }
    if as_json:
        write(f"{json_text(values | cost_json(prices, found.spent))}\n")
        return
    shown = (item for item in values.items() if item[0] not in ("length", "missing"))  # said in other words, too
    kept = [(name.replace("_", " "), counted(value)) for name, value in shown]
    always = ("rows", "answered", "failed")
    lines = [(name, value) for name, value in kept if value != "0" or name in always]
    if found.spent.unknown:
        lines.append(("no usage", rows_of(found.spent.unknown)))
    if prices is not None and found.spent.calls:
        lines.append(("spent", spent_in_words(prices, found.spent)))
    print_summary(lines)
    if is_live(sys.stdout):
        from anyfast_async.cli.display.live import table  # noqa: PLC0415 - rich, on a terminal only

        wanted = [name for name in columns.kinds if name not in ("model", "prompt_tokens", "completion_tokens")]
        first = list(islice(job.rows(found), _SHOWN))
        cells = columns.table([row for row, _ in first], [prompt for _, prompt in first])
        table(wanted, zip(*([_short(one) for one in cells[name]] for name in wanted), strict=True))
    if missing or counts.outcomes["ok"] < counts.results:
        say(f"what went wrong: anyfast results {shlex.quote(str(job.output))} --errors")


def _joined(job: ResultsJob, found: Results) -> tuple[Counts, int, int]:
    """Return what the rows of the input came to, how many have no result, and how many of these may have been sent."""
    counts, missing, in_doubt = Counts(), 0, 0
    for row, _ in job.rows(found):
        if row.outcome == "missing":
            missing += 1
            in_doubt += row.error_kind == IN_DOUBT.kind
        else:
            counts.add(Standing(row.outcome, row.error_kind or ""))
    return counts, missing, in_doubt


def _short(value: Any) -> str:
    if value is None:
        return ""
    return escaped(value if isinstance(value, str) else json_text(value), 60)
