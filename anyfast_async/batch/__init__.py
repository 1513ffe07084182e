"""Batches from file to file, in the OpenAI Batch format.

::

    found = survey(open_source(Path("in.jsonl")))      # first pass: every problem with its line number
    with open_batch(Path("out.jsonl"), Path("out.errors.jsonl")) as files:    # what is done; a torn line is cut off
        run = BatchRun(client, rows(found, skip=files.done), files, total=found.count)
        tally = await run.run()                        # second pass: rows sent, one line written for each

``input.request_lines`` knows the shapes of the lines, ``input.source`` reads them, and tables, ``input.survey`` makes
the two passes, ``output_files`` writes and recovers, ``tally`` counts, ``run`` composes them with ``client.map``.
Nothing here knows a terminal.
"""

from anyfast_async._core.histogram import Histogram
from anyfast_async.batch.input.request_lines import BatchLine, LineError
from anyfast_async.batch.input.source import Source, SourceError, open_source
from anyfast_async.batch.input.survey import LineProblem, Survey, ids_of, rows, survey
from anyfast_async.batch.output_files import BatchFiles, open_batch
from anyfast_async.batch.run import BatchRun, RowDone, TooManyFailuresError
from anyfast_async.batch.tally import Tally
from anyfast_async.batch.wrong_address import WrongAddressError
from anyfast_async.errors import ForeignFileError, LockedError, MismatchError

__all__ = [
    "BatchFiles",
    "BatchLine",
    "BatchRun",
    "ForeignFileError",
    "Histogram",
    "LineError",
    "LineProblem",
    "LockedError",
    "MismatchError",
    "RowDone",
    "Source",
    "SourceError",
    "Survey",
    "Tally",
    "TooManyFailuresError",
    "WrongAddressError",
    "ids_of",
    "open_batch",
    "open_source",
    "rows",
    "survey",
]
