"""What a run notes for a report."""

from __future__ import annotations

from typing import Any

from anyfast_async import Attempt, Trace
from anyfast_async._core.errors.failures import status_error
from anyfast_async._core.usage import Used
from anyfast_async.batch import RowDone, Tally
from anyfast_async.batch.report.recorder import BEGUN, ENDED, Recorder
from anyfast_async.batch.report.stretch import NOTE, Stretch
from anyfast_async.errors import OutputError

from .written import answer, stats

OK = Attempt(1, "ok", 200, 0.2, "yes")
TALLY = Tally(3, 0)


class Log:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any]] = []

    def note(self, kind: str, value: Any) -> None:
        self.kept.append((kind, value))

    @property
    def stretches(self) -> list[Stretch]:
        return [Stretch.of_json(value) for kind, value in self.kept if kind == NOTE]


def test_from_the_beginning_to_the_end() -> None:
    """A run notes how it begins, what happened in stretches without a gap, and how it ended."""
    log = Log()
    record = Recorder(log.note, 1000.5, 64)
    record.begin(50.0, {"settings": [["input", "in.jsonl"]]})
    timed = answer(model="x")
    object.__setattr__(timed, "trace", Trace(queue=0.1, total=0.6, first_token=0.3, attempts=(OK,)))
    record.row(RowDone("a", None, TALLY, timed, (OK,), "m"))
    record.tick(stats(4), 50.1)
    record.tick(stats(8, held_for=3.0), 50.3)
    record.row(RowDone("b", status_error(400)("bad"), TALLY, None, (OK,), "m"))
    record.end(51.0, "complete")

    assert (BEGUN, {"run": 1000.5, "settings": [["input", "in.jsonl"]]}) == log.kept[0]
    assert (ENDED, {"run": 1000.5, "seconds": 1.0, "status": "complete"}) == log.kept[-1]
    first, last = log.stretches
    assert [(0.0, 0.3), (0.3, 1.0)] == [(one.start, one.end) for one in (first, last)]
    figures = first.models["m"]
    assert (1, 0, Used(10, 5), 1, 1, 1) == (
        figures.answered,
        figures.failed,
        figures.used,
        *(one.count for one in (figures.latency, figures.queue, figures.first_token)),
    )
    assert (2, 12, 8, 1, {"": 1, "throttling": 1}) == (
        *(first.samples, first.in_flight, first.peak, first.held, first.limits),
    )
    assert (0, 1) == (last.models["m"].answered, last.models["m"].failed)


def test_second_attempts() -> None:
    """Attempts that were made again are counted by cause, throttled ones apart, and what may be billed."""
    log = Log()
    record = Recorder(log.note, 0.0)
    record.begin(0.0)
    attempts = (
        Attempt(1, "rate_limit", 429, 0.1, "no"),
        Attempt(2, "server", 500, 0.1, "no"),
        Attempt(3, "timeout", None, 9.0, "maybe"),
        OK,
    )
    record.row(RowDone("a", None, TALLY, answer(), attempts, "m"))
    record.end(9.0, "complete")

    (one,) = log.stretches
    assert {"rate_limit 429": 1, "server 500": 1, "timeout": 1} == one.retried
    assert (1, 1) == (one.throttled, one.in_doubt)


def test_an_answer_that_does_not_fit_is_paid_for() -> None:
    """Such a row has failed, and what its answer used counts."""
    log = Log()
    record = Recorder(log.note, 0.0)
    record.begin(0.0)
    error = OutputError("no number")
    error.completion = answer()
    record.row(RowDone("a", error, TALLY, None, (OK,), "m"))
    record.end(9.0, "complete")

    (one,) = log.stretches
    assert (0, 1, Used(10, 5)) == (one.models["m"].answered, one.models["m"].failed, one.models["m"].used)


def test_a_full_disk_ends_nothing() -> None:
    """What cannot be noted is left out."""

    def refuse(kind: str, value: Any) -> None:
        raise OSError(28, "No space left on device")

    record = Recorder(refuse, 0.0)
    record.begin(0.0)
    record.tick(stats(), 5.0)
    record.end(9.0, "complete")


def test_rows_that_were_not_sent() -> None:
    """Rows that equal ones were sent for, or that failed before, count for no rate: as in the tally."""
    log = Log()
    record = Recorder(log.note, 1.0)
    record.begin(0.0)
    for row in (
        RowDone("a", None, TALLY, answer(), (OK,), "m"),
        RowDone("b", None, TALLY, answer(), (), "m"),
        RowDone("c", OutputError("no"), TALLY, None, (), "m"),
    ):
        record.row(row)
    record.end(1.0, "complete")

    (stretch,) = log.stretches
    assert [(1, 0)] == [(one.answered, one.failed) for one in stretch.models.values()]
