"""Answers in the order of the input: written once more when all of them are there."""

from __future__ import annotations

from collections.abc import Iterable

from anyfast_async._journal.disk import replace
from anyfast_async.batch.output_files import BatchFiles


def put_in_order(files: BatchFiles, ids: Iterable[str]) -> None:
    """Replace the file of answers, as a whole, by the same lines in the order of *ids*; nothing may be written after.

    The journal only knows where lines were in the file that is replaced, and goes on reading that one until it is
    closed.

    Args:
        files: open, with an answer at least, and with none for an id that is not among *ids*.
        ids: of the input.

    Raises:
        OSError: it cannot be written; the file is as it was.

    """
    answers = (files.journal.answer(custom_id) for custom_id in ids)
    replace(files.journal.records.answers, (line for line in answers if line is not None))
