"""What ``anyfast batch`` shows and notes of a run while it lasts, and the page of ``--report``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyfast_async._values.text import counted
from anyfast_async.batch import BatchRun
from anyfast_async.batch.report.gathered import Run
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.batch.summary import BatchEnd
from anyfast_async.cli.display.progress import BatchProgress, progress_on
from anyfast_async.cli.report.writing import Files, write_page

if TYPE_CHECKING:
    from anyfast_async import Stats
    from anyfast_async.scale.sharded_run import ShardedRun


def progress_of(
    job: BatchJob, run: BatchRun | ShardedRun, *, stats: Callable[[], Stats], recorder: Recorder
) -> BatchProgress:
    """Return what shows a run of *job*, whoever sends its rows, and gives it to the *recorder* of reports."""
    options = job.options
    return progress_on(
        sys.stderr,
        run.tally,
        stats=stats,
        concurrency=options.workers,
        spend=job.spend,
        recorder=recorder,
        said=said_of(job),
        longest=run.longest,
        per_minute=options.rpm,
        events=sys.stdout if options.as_json else None,
    )


def write_report(ending: BatchEnd) -> None:
    """Write the page, if one is wanted. If it cannot be written that is said, and the batch ends as it ended."""
    job, options = ending.job, ending.job.options
    if options.report is not None:
        run = Run(time.time(), said_of(job), ending.tally.seconds, ending.why)
        write_page(Path(options.report), (Files(options.answers, options.failures),), job.prices, run=run)


def said_of(job: BatchJob) -> Mapping[str, Any]:
    """Return what a report says of a run besides what is counted."""
    options = job.options
    limits = {
        "concurrency": options.concurrency,
        "requests per minute": options.rpm,
        "tokens per minute": options.tpm,
        "tokens in all": options.budget_tokens,
    }
    return {
        "settings": [
            ("input", options.input_name),
            ("output", str(options.answers)),
            ("failed rows", str(options.failures)),
            ("model", ", ".join(f"{model} ({counted(rows)} rows)" for model, rows in job.models.items())),
            ("answers", "streamed" if options.via_stream else "not streamed"),
            ("command", job.command),
        ],
        "limits": [
            (name, "none" if value is None else counted(value) if isinstance(value, int) else value)
            for name, value in limits.items()
        ],
    }
