"""``anyfast results --errors``: what went wrong, by kind, and what to do about each."""

from __future__ import annotations

from typing import Any

import attrs

from anyfast_async._core.errors.failures import KINDS
from anyfast_async._values.outcome import ODD
from anyfast_async.batch.results.inert_json import json_text
from anyfast_async.batch.results.results import Results
from anyfast_async.batch.results.row import IN_DOUBT, MISSING, FailedRow
from anyfast_async.cli.display.figures import rows_of
from anyfast_async.cli.display.terminal import write
from anyfast_async.cli.results.job import ResultsJob
from anyfast_async.errors import RequestValidationError, escaped


@attrs.define
class Group:
    """Rows that did not go well in one way."""

    example: str
    failure: FailedRow
    count: int = 0


def show_errors(job: ResultsJob, found: Results, *, as_json: bool) -> None:
    """Show the kinds of rows that did not go well: how many, an example, and what to do."""
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


def _groups(job: ResultsJob, found: Results) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for row, _ in job.rows(found):
        if row.outcome == "ok":
            continue
        failure = row.failure
        if failure is None and row.text is not None:  # an answer without text, or one that was cut off
            failure = FailedRow(row.outcome, row.diagnosis or "", retryable=False, billed="yes")
        failure = failure or MISSING
        groups.setdefault(failure.kind, Group(row.custom_id, failure)).count += 1
    return groups


def _next(kind: str, failure: FailedRow, job: ResultsJob) -> str:
    """Return what to do about a kind of failure: commands that do what is said of them."""
    if kind in ODD:
        more = ("--max-tokens", "N") if kind in ("cut", "empty") else ()
        return job.again.command("--retry-failed", kind, *more)
    if kind in (MISSING.kind, IN_DOUBT.kind):
        return job.again.command()
    if failure.retryable or failure.retryable is None:
        return job.again.command("--retry-failed", kind) if kind in KINDS else job.again.command()
    return job.again.mending_input if kind == RequestValidationError.kind else job.again.mending


def _print_errors(values: list[dict[str, Any]]) -> None:
    words = {True: "yes", False: "no", None: "unknown"}
    for value in values:
        write(
            f"{value['kind']}: {rows_of(value['count'])}, for example {escaped(value['example'], 60)}\n"
            f"  {escaped(value['message'], 200)}\n"
            f"  retryable: {words[value['retryable']]}, billed: {value['billed']}\n"
            f"  next: {value['next']}\n"
        )
