"""``anyfast batch --report``: what the log says of a run, and the page about the batch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyfast_async._values.text import counted
from anyfast_async.batch.report.gathered import Run
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.batch.summary import BatchEnd
from anyfast_async.cli.report.writing import Files, write_page


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
