"""``anyfast results``."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click

from anyfast_async._core.journal import KINDS
from anyfast_async._journal import failures_of, log_of
from anyfast_async.batch.header import recorded_header
from anyfast_async.batch.inert import json_text
from anyfast_async.batch.lines import LineError
from anyfast_async.batch.results import MISSING, Failure, Results, Row
from anyfast_async.batch.results_files import FORMATS, INSTALL, write_table
from anyfast_async.batch.results_table import Columns
from anyfast_async.batch.source import Source, SourceError, open_source
from anyfast_async.cli import exits
from anyfast_async.cli.figures import counted, rows_of
from anyfast_async.cli.money import cost_json, price_options, prices_of, spent_in_words
from anyfast_async.cli.progress import print_summary
from anyfast_async.cli.terminal import is_live, say, write
from anyfast_async.errors import escaped
from anyfast_async.prices import Prices

_SHOWN: Final = 10
"""Rows that are shown where no file is written."""
_FOREVER: Final = {
    "length": "raise --max-tokens and run these rows into another output",
    "empty": "raise --max-tokens (thinking counts too) and run these rows into another output",
}


@attrs.define
class Group:
    """Rows that did not go well in one way."""

    example: str
    failure: Failure
    count: int = 0


@click.command()
@click.argument("output", metavar="OUT.jsonl")
@click.option("-o", "--output", "table", metavar="PATH", help="Write a table: .csv, .parquet or .jsonl.")
@click.option("--errors", "only_errors", is_flag=True, help="Only rows that did not go well, by kind.")
@click.option("--error-file", metavar="PATH", help="Where failed rows are. Default: OUT.errors.jsonl")
@click.option("--input", "source", metavar="IN", help="The batch's input: its order, its prompts, and missing rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@price_options
def results(
    *,
    output: str,
    table: str | None,
    only_errors: bool,
    error_file: str | None,
    source: str | None,
    as_json: bool,
    prices: str | None,
    price_factor: float,
) -> int:
    """Read what a batch left behind.

    The answers of OUT.jsonl and the rows of the error file become one table by custom_id. When every answer is a JSON
    object, its fields are columns. Output and error files of the OpenAI Batch API and of vLLM are read too.

    In CSV, text that a spreadsheet would take for a formula gets an apostrophe before it.

    \b
    Examples:
      anyfast results answers.jsonl
      anyfast results answers.jsonl -o table.csv --input prompts.jsonl
      anyfast results answers.jsonl --errors
    """  # noqa: D301 - click leaves a paragraph after \b as it is
    out = _existing(output)
    target = _target(table)
    job = _Job(
        out, failures_of(out) if error_file is None else _existing(error_file), _source(source, out), only_errors
    )
    _check(job, target)
    columns = Columns(with_prompt=job.source is not None)
    try:
        with Results(out, job.errors, log_of(out), columns.look) as found:
            if found.broken_count and not found.total:
                message = f"{out} holds no results of a batch"
                raise click.UsageError(message)
            _say_broken(found)
            if target is not None:
                _write(target, columns, job, found)
            elif only_errors:
                _show_errors(job, found, as_json=as_json)
            else:
                _show(job, found, columns, prices_of(prices, price_factor), as_json=as_json)
    except OSError as error:
        message = f"{error.filename or output}: {error.strerror or error}"
        raise click.UsageError(message) from None
    return exits.OK


@attrs.frozen
class _Job:
    """What is read."""

    output: Path
    errors: Path
    source: Source | None
    only_errors: bool

    def rows(self, found: Results) -> Iterator[tuple[Row, str | None]]:
        """Yield every row that is wanted, with its prompt where the input is known: then in the input's order."""
        for row, prompt in self._joined(found):
            if not self.only_errors or row.outcome != "ok":
                yield row, prompt

    def _joined(self, found: Results) -> Iterator[tuple[Row, str | None]]:
        if self.source is None:
            yield from ((row, None) for row in found.rows())
            return
        for number, value in self.source.records():
            if isinstance(value, LineError):
                continue
            custom_id = self.source.id_of(number, value)
            if custom_id is not None:
                yield found.find(custom_id), _prompt(self.source, number, value)

    @property
    def command(self) -> str:
        """The command that goes on with this batch."""
        source = "IN" if self.source is None else str(self.source.path)
        return shlex.join(("anyfast", "batch", "-i", source, "-o", str(self.output)))


def _prompt(source: Source, number: int, value: Any) -> str | None:
    """Return the text of the last message of the user."""
    try:
        messages = source.line(number, value).request.messages
    except LineError:
        return None
    for message in reversed(messages):
        role, content = (
            (message.get("role"), message.get("content"))
            if isinstance(message, Mapping)
            else (message.role, message.content)
        )
        if role == "user":
            return content if isinstance(content, str) else "".join(map(_text_of_part, content or ()))
    return None


def _text_of_part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else getattr(part, "text", part)
    return text if isinstance(text, str) else ""


# -- before anything is read -----------------------------------------------------------------------------------------


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
    if path.suffix.removeprefix(".") not in FORMATS:
        message = f"-o must end in one of {', '.join(f'.{one}' for one in FORMATS)}, not {escaped(path.suffix, 20)!r}"
        raise click.UsageError(message)
    return path


def _source(given: str | None, output: Path) -> Source | None:
    if given is None:
        return None
    try:
        recorded = (recorded_header(output) or {}).get("input")
        how = recorded if isinstance(recorded, dict) else {}
        table = how.get("format") in ("csv", "parquet", "rows")
        return open_source(
            Path(given),
            kind=how.get("format"),
            template=how.get("template") if table else None,
            id_column=how.get("id") if table else None,
        )
    except (OSError, SourceError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"--input {given}: {reason}"
        raise click.UsageError(message) from None


def _check(job: _Job, target: Path | None) -> None:
    read = {job.output.resolve(), job.errors.resolve(), log_of(job.output).resolve()}
    read |= set() if job.source is None else {job.source.path.resolve()}
    if target is not None and target.resolve() in read:
        message = f"-o {target} is one of the files that are read"
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


def _write(target: Path, columns: Columns, job: _Job, found: Results) -> None:
    cells = (columns.cells(row, prompt) for row, prompt in job.rows(found))
    try:
        count = write_table(target, columns.kinds, cells)
    except ImportError:
        message = f"Parquet needs one more package: {INSTALL}"
        raise click.UsageError(message) from None
    say(f"{target}: {rows_of(count)}, {counted(len(columns.kinds))} columns")


def _show(job: _Job, found: Results, columns: Columns, prices: Prices | None, *, as_json: bool) -> None:
    outcomes = dict(found.outcomes)
    if job.source is not None:
        outcomes = dict(Counter(row.outcome for row, _ in job.rows(found)))
    total = sum(outcomes.values())
    answered = sum(outcomes.get(word, 0) for word in ("ok", "empty", "length"))
    values = {
        "rows": total,
        "answered": answered,
        **{word: outcomes.get(word, 0) for word in ("empty", "length", "failed", "missing")},
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "broken_lines": found.broken_count,
    }
    if as_json:
        write(f"{json_text(values | cost_json(prices, found.spent))}\n")
        return
    kept = [(name.replace("_", " "), counted(value)) for name, value in values.items()]
    always = ("rows", "answered", "failed")
    lines = [(name, value) for name, value in kept if value != "0" or name in always]
    if found.spent.unknown:
        lines.append(("no usage", rows_of(found.spent.unknown)))
    if prices is not None and found.spent.calls:
        lines.append(("spent", spent_in_words(prices, found.spent)))
    print_summary(lines)
    if is_live(sys.stdout):
        from anyfast_async.cli.pretty import table  # noqa: PLC0415 - rich, on a terminal only

        wanted = [name for name in columns.kinds if name not in ("model", "prompt_tokens", "completion_tokens")]
        first = (cells for cells, _ in zip(_cells(job, found, columns), range(_SHOWN), strict=False))
        table(wanted, ([_short(one[name]) for name in wanted] for one in first))
    if any(outcomes.get(word) for word in ("failed", "missing", "empty", "length")):
        say(f"what went wrong: anyfast results {shlex.quote(str(job.output))} --errors")


def _cells(job: _Job, found: Results, columns: Columns) -> Iterator[dict[str, Any]]:
    return (columns.cells(row, prompt) for row, prompt in job.rows(found))


def _short(value: Any) -> str:
    if value is None:
        return ""
    return escaped(value if isinstance(value, str) else json_text(value), 60)


def _show_errors(job: _Job, found: Results, *, as_json: bool) -> None:
    groups = _groups(job, found)
    values = [
        {
            "kind": kind,
            "count": group.count,
            "example": group.example,
            "message": group.failure.message,
            "retryable": group.failure.retryable,
            "billed": group.failure.billed,
            "next": _next(kind, group.failure, job),
        }
        for kind, group in sorted(groups.items(), key=lambda item: -item[1].count)
    ]
    if as_json:
        write(f"{json_text(values)}\n")
    elif not values:
        write("every row went well\n")
    else:
        _print_errors(values)


def _groups(job: _Job, found: Results) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for row, _ in job.rows(found):
        if row.outcome == "ok":
            continue
        failure = row.failure
        if failure is None and row.completion is not None:  # an answer without text, or one that was cut off
            failure = Failure(row.outcome, row.completion.diagnosis or "", retryable=False, billed="yes")
        failure = failure or MISSING
        groups.setdefault(failure.kind, Group(row.custom_id, failure)).count += 1
    return groups


def _next(kind: str, failure: Failure, job: _Job) -> str:
    """Return what to do about a kind of failure: a command where there is one."""
    if kind in _FOREVER:
        return _FOREVER[kind]
    if kind == MISSING.kind:
        return job.command
    if failure.retryable or failure.retryable is None:
        return f"{job.command} --retry-failed {kind}" if kind in KINDS else job.command
    return f"mend these rows in the input, then: {job.command}"


def _print_errors(values: list[dict[str, Any]]) -> None:
    words = {True: "yes", False: "no", None: "unknown"}
    for value in values:
        write(
            f"{value['kind']}: {rows_of(value['count'])}, for example {escaped(value['example'], 60)}\n"
            f"  {escaped(value['message'], 200)}\n"
            f"  retryable: {words[value['retryable']]}, billed: {value['billed']}\n"
            f"  next: {value['next']}\n"
        )
