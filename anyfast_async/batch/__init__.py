"""Batches from file to file, in the OpenAI Batch format.

::

    found = survey(Path("in.jsonl"))                   # first pass: every problem with its line number
    with open_batch(Path("out.jsonl"), Path("out.errors.jsonl")) as files:    # what is done; a torn line is cut off
        run = BatchRun(client, rows(found, skip=files.done), files, total=len(found.ids))
        tally = await run.run()                        # second pass: rows sent, one line written for each

``lines`` knows the shapes of the lines, ``source`` reads, ``output`` writes and recovers, ``tally`` counts, ``run``
composes them with ``client.map``. Nothing here knows a terminal.
"""

from anyfast_async.batch.lines import BatchLine, LineError
from anyfast_async.batch.output import BatchFiles, ForeignFileError, open_batch
from anyfast_async.batch.run import BatchRun, RowDone
from anyfast_async.batch.source import LineProblem, Survey, rows, survey
from anyfast_async.batch.tally import Histogram, Tally

__all__ = [
    "BatchFiles",
    "BatchLine",
    "BatchRun",
    "ForeignFileError",
    "Histogram",
    "LineError",
    "LineProblem",
    "RowDone",
    "Survey",
    "Tally",
    "open_batch",
    "rows",
    "survey",
]
