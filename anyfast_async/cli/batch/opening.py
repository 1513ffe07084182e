"""The files of ``anyfast batch``, opened to begin it or to go on with it: with the same rows, with more, or others."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any, Final

import attrs
import click

from anyfast_async._values.text import counted
from anyfast_async.batch import BatchFiles, MismatchError, open_batch
from anyfast_async.batch.counts import Census
from anyfast_async.batch.growth import Growth
from anyfast_async.batch.run_header import BegunWith, note_input, recorded
from anyfast_async.cli.batch.job import BatchJob
from anyfast_async.cli.display import figures
from anyfast_async.cli.display.terminal import say

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""A disk that takes no more: no fault of the command, which goes on when it does again."""


@attrs.frozen
class Opened:
    """The files of a batch, and the job that goes on with them."""

    job: BatchJob
    files: BatchFiles
    is_changed: bool = False
    """Whether they were begun with something else."""
    growth: Growth | None = None
    """What became of the rows that they were begun with; None: this is the input, or nothing was begun."""

    def note(self) -> None:
        """Write down with what is gone on.

        Raises:
            OSError: it cannot be written.

        """
        journal, found = self.files.journal, self.job.survey
        is_same = self.growth is not None and not (self.growth.changed_count or self.growth.missing)
        if found.digests is None or (self.is_changed and not is_same):
            return
        note_input(journal, found, self.growth)


def opened(job: BatchJob) -> Opened:
    """Open the files of *job*.

    Raises:
        click.UsageError: they cannot be opened, or were begun with another input, and not on purpose.
        MismatchError: they were begun with another model, other fields or in another way, and not on purpose.
        OSError: the disk takes no more.

    """
    options = job.options
    begun = BegunWith() if job.survey.digests is None else recorded(options.answers)
    growth = begun.growth(job.survey)
    header: Mapping[str, Any] = job.header
    if growth is not None and (growth.is_same or (growth.is_longer and options.extend)):
        job = attrs.evolve(job, survey=growth.survey)
        header = {**job.header, "input": begun.input}
    elif growth is not None and (not options.changed or (growth.is_longer and growth.by_place)):
        raise click.UsageError(_other_rows(job, growth))
    try:
        return Opened(job, _open(job, header), growth=growth)
    except MismatchError as error:
        is_input = any(one.startswith("input.sha256") for one in error.differences)
        if options.changed and not (is_input and job.survey.is_numbered):
            return Opened(job, _open(job, None), True, growth)
        if not is_input:
            if options.again.is_named:
                return Opened(job, _open(job, None), True, growth)
            say("--changed goes on all the same: rows that are sent from now on are asked as is said now")
            raise
        raise click.UsageError(_other_input(job, error)) from None
    except OSError as error:
        if error.errno in _FULL:
            raise
        message = f"{error.filename or options.answers}: {error.strerror or error}"
        raise click.UsageError(message) from None


def _open(job: BatchJob, header: Mapping[str, Any] | None) -> BatchFiles:
    options = job.options
    return open_batch(
        options.answers, options.failures, header=header, sync=options.sync, retry_failed=options.retry_failed
    )


def _other_rows(job: BatchJob, growth: Growth) -> str:
    """Return what to do about rows that are not those that the batch was begun with."""
    options = job.options
    begun = f"{options.answers} was begun with another input than {options.input_name}"
    if growth.is_longer:
        more = "1 row more" if len(growth.added) == 1 else f"{counted(len(growth.added))} rows more"
        return f"{begun}, which has {more}; the others are the same. To go on with all of them: --extend"
    begun = f"{begun}, and was not touched"
    if growth.by_place:
        how = (
            "the ids of its rows are made of their places, so rows can only be added at the end (--extend): put back "
            "what was there, or name another output; with ids of their own (--id COLUMN) rows may stand in any order"
        )
    elif growth.changed_count:
        how = (
            "put back what was there; or give a row that is to be asked anew an id of its own; to keep the answers "
            "that there are, whatever they are answers to, --changed"
        )
    else:
        how = "to go on without the rows that are not there any more, --changed"
    return f"{begun}: {growth.problem}; {how}"


_MADE: Final = ("input.template", "input.id", "input.image", "input.document")
"""How requests are made of rows: with another way of it no row is the same."""


def _other_input(job: BatchJob, error: MismatchError) -> str:
    options = job.options
    made = [one.removeprefix("input.") for one in error.differences if one.startswith(_MADE)]
    if made and not options.changed:
        return (
            f"{options.answers} was begun with another input than {options.input_name}, or in another way, and was "
            f"not touched: {'; '.join(made)}; give what it was begun with, or name another output; to go on with its "
            "answers all the same, --changed"
        )
    begun = f"{options.answers} was begun with another input than {options.input_name}"
    if options.changed:
        return (
            f"{begun}, and the ids of its rows are numbers of lines, which may be those of other rows now; "
            "name another output"
        )
    unknown = "; what its rows held is not known, so --extend cannot tell which are new" if options.extend else ""
    return (
        f"{begun}, and was not touched{unknown}; to begin anew, name another file; to go on with its answers all the "
        "same, --changed"
    )


def check_changed(job: BatchJob, census: Census) -> None:
    """Refuse to send rows for the first time in another way than those before, unless that was said to be wanted.

    Rows that are asked again by name are asked in another way on purpose.

    Raises:
        click.UsageError: there are such rows.

    """
    if census.fresh and not job.options.changed:
        message = (
            f"{figures.rows_of(census.fresh)} of {job.options.input_name} would be sent for the first time, with other "
            f"parameters than {job.options.answers} was begun with; send them first, or say --changed"
        )
        raise click.UsageError(message)
