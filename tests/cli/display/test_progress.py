"""How a batch shows that it gets on."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from anyfast_async import AnyFastError, ChatCompletion, Stats
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.recorder import Recorder
from anyfast_async.cli.display.progress import BatchProgress, progress_on

IDLE = Stats(in_flight=3, queued=0, limited_by=None, held_for=0.0, requests=0, tokens_used=0, tokens_reserved=0)
HOSTILE = "=1+1\x1b]0;title\x07\x9b31m\u202egnp\r\n<script>"


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def failed(tally: Tally) -> RowDone:
    """A row with everything in it that could do harm."""
    return RowDone(HOSTILE, AnyFastError(HOSTILE), tally, None, ())


async def run(progress: BatchProgress, tally: Tally, seconds: float) -> None:
    """A batch that does a row a second."""
    with progress:
        for _ in range(int(seconds)):
            await asyncio.sleep(0.5)
            tally.answered += 1
            progress.row(RowDone("a", None, tally, ChatCompletion(), ()))
            await asyncio.sleep(0.5)


@pytest.mark.virtual
async def test_a_line_every_ten_seconds() -> None:
    """In a pipe a line comes every ten seconds, not one per row, and without control codes."""
    stream, tally = io.StringIO(), Tally(1000, 0)

    await run(progress_on(stream, tally, stats=lambda: IDLE), tally, 25)

    first, second = stream.getvalue().splitlines()
    assert first.startswith("10 of 1,000 rows, 1 rows/s, 16 min")
    assert second.startswith("20 of 1,000 rows, 1 rows/s, 16 min")
    assert first.endswith("3 in flight, limited by the time answers take")
    assert stream.getvalue().replace("\n", "").isprintable()


@pytest.mark.virtual
async def test_while_no_row_ends() -> None:
    """Lines, events, the live view and the recorder of a report go on while not a single row ends."""
    lines, events, terminal, tally = io.StringIO(), io.StringIO(), Terminal(), Tally(5, 0)
    noted: list[tuple[str, Any]] = []
    recorder = Recorder(lambda kind, value: noted.append((kind, value)), 0.0)
    held = Stats(
        in_flight=5, queued=5, limited_by="throttling", held_for=33.0, requests=0, tokens_used=0, tokens_reserved=0
    )
    with (
        progress_on(lines, tally, stats=lambda: held, recorder=recorder),
        progress_on(io.StringIO(), tally, stats=lambda: held, events=events),
        progress_on(terminal, tally, stats=lambda: held),
    ):
        await asyncio.sleep(60.1)
        drawn = terminal.getvalue().count("throttled until")

    assert 6 == lines.getvalue().count("throttled until")
    assert ["start", *["progress"] * 6] == [json.loads(line)["event"] for line in events.getvalue().splitlines()]
    assert 33.0 == json.loads(events.getvalue().splitlines()[-1])["throttled_for"]
    assert 240 <= drawn <= 242
    recorder.end(asyncio.get_running_loop().time(), "complete")
    assert 242 == sum(value["limits"]["throttling"] for kind, value in noted if kind == "figures")


@pytest.mark.virtual
async def test_nothing_is_left_running() -> None:
    """After its end a view sets no timer, also when the batch broke."""
    progress = progress_on(io.StringIO(), Tally(5, 0))
    with pytest.raises(ZeroDivisionError), progress:
        raise ZeroDivisionError

    assert [] == asyncio.get_running_loop().timers  # type: ignore[attr-defined]  # of the loop for virtual time


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
@pytest.mark.virtual
async def test_nobody_reading_does_not_end_a_batch(error: type[Exception]) -> None:
    """When the reader of the progress has gone, the batch goes on in silence."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    tally = Tally(30, 0)
    for progress in (progress_on(Gone(), tally), progress_on(io.StringIO(), tally, events=Gone())):
        progress.note("stopping")
        await run(progress, tally, 15)

    assert 30 == tally.done


@pytest.mark.virtual
async def test_hostile_failures() -> None:
    """What stands in a failed row steers no terminal: not in the live view, and not in events, which keep it all."""
    events, terminal, tally = io.StringIO(), Terminal(), Tally(2, 0)
    with progress_on(terminal, tally) as view, progress_on(io.StringIO(), tally, events=events) as program:
        for progress in (view, program):
            progress.row(failed(tally))
            progress.note(HOSTILE)
        await asyncio.sleep(0.3)

    for shown in (events.getvalue(), terminal.getvalue()):
        assert not any(code in shown for code in ("\x1b]", "\x07", "\x9b", "\u202e"))
    failure, note = map(json.loads, events.getvalue().splitlines()[1:])
    assert (HOSTILE, HOSTILE, HOSTILE) == (failure["custom_id"], failure["message"], note["message"])
    assert r"last failure" in terminal.getvalue()


@pytest.mark.virtual
async def test_events_and_a_person() -> None:
    """With events in a pipe a person at the terminal still has the view; where both are one terminal, events alone."""
    tally, view, plain = Tally(2, 0), Terminal(), io.StringIO()
    for stream, events in ((view, io.StringIO()), (plain, io.StringIO())):
        await run(progress_on(stream, tally, events=events), tally, 1)
        assert "start" in events.getvalue()
    both = Terminal()
    await run(progress_on(both, tally, events=both), tally, 1)

    assert "in work" in view.getvalue()
    assert "" == plain.getvalue()
    assert "in work" not in both.getvalue()
