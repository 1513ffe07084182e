"""How a batch shows that it gets on."""

from __future__ import annotations

import io

from anyfast_async.batch import RowDone, Tally
from anyfast_async.cli.progress import Lines


def test_a_line_every_ten_seconds() -> None:
    """Where there is no terminal a line comes now and then, not one per row, and without control codes."""
    now, stream = 0.0, io.StringIO()
    lines = Lines(stream, lambda: now)
    tally = Tally(1000, 0)

    for _ in range(25):
        now += 1
        tally.answered += 1
        tally.seconds = now
        lines.row(RowDone("a", None, tally))

    assert "10 of 1,000 rows, 1 rows/s\n20 of 1,000 rows, 1 rows/s\n" == stream.getvalue()


def test_nobody_reading_does_not_end_a_batch() -> None:
    """When the reader of the progress has gone, the batch goes on in silence."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    now = 0.0
    lines = Lines(Gone(), lambda: now)
    lines.note("stopping")
    now = 1e9

    lines.row(RowDone("a", None, Tally(1, 0)))
