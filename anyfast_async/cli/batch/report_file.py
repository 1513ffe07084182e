"""``anyfast batch --report``: a page about the run."""

from __future__ import annotations

from pathlib import Path

from anyfast_async._values.text import counted
from anyfast_async.batch.report.recorder import ReportHead
from anyfast_async.cli.batch.summary import BatchEnd, named
from anyfast_async.cli.display.terminal import say


def write_report(ending: BatchEnd) -> None:
    """Write the page, if one is wanted. If it cannot be written that is said, and the batch ends as it ended."""
    if ending.job.options.report is None:
        return
    if ending.record is None:
        say("no report: nothing was sent")
        return
    from anyfast_async.batch.report.page import page  # noqa: PLC0415 - with the first report
    from anyfast_async.batch.report.svg import svg  # noqa: PLC0415

    path = Path(ending.job.options.report)
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(page(head_of(ending), ending.record, svg), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        say(f"error: no report: {path}: {error.strerror or error}")
    else:
        say(f"report: {path}")


def head_of(ending: BatchEnd) -> ReportHead:
    """Return what a report says of the job."""
    job, options = ending.job, ending.job.options
    run = ending.run
    reason = f" ({run.stopped})" if run is not None and run.stopped is not None else ""
    models = ", ".join(f"{model} ({counted(rows)} rows)" for model, rows in job.models.items())
    limits = {
        "concurrency": options.concurrency,
        "requests per minute": options.rpm,
        "tokens per minute": options.tpm,
        "tokens in all": options.budget_tokens,
    }
    return ReportHead(
        title=f"{Path(options.input).name} to {options.answers.name}",
        status=f"{ending.status}{reason}",
        settings=(
            ("input", options.input),
            ("output", str(options.answers)),
            ("failed rows", str(options.failures)),
            ("model", models),
            ("answers", "streamed" if options.via_stream else "not streamed"),
            ("command", job.command),
        ),
        limits=tuple((name, "none" if value is None else counted(value)) for name, value in limits.items()),
        spend=job.spend(ending.tally) if job.spend is not None else None,
        maybe_billed=named(ending.maybe_billed),
    )
