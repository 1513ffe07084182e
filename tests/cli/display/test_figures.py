"""Counts as words."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from anyfast_async import AnyFastError, Attempt, ChatCompletion, Phase, Stats
from anyfast_async._core.errors.failures import status_error
from anyfast_async.batch import Histogram, RowDone, Tally
from anyfast_async.batch.counts import Counts, Standing
from anyfast_async.batch.pace import Pace
from anyfast_async.cli.display import figures


def test_summary_of_a_run() -> None:
    """The closing table has what happened, and nothing on what did not."""
    tally = Tally(1200, 200, answered=900, seconds=10.0, prompt_tokens=1500, completion_tokens=500)
    for _ in range(3):
        tally.count_failure("bad_request", (Attempt(1, "bad_request", 400, 0.1, "no"),))
    tally.latency.add(1.0)

    rows = dict(figures.summary(tally))

    assert "1,100 (200 of them before)" == rows["answered"]
    assert "3 (bad_request 3)" == rows["failed"]
    assert "97" == rows["not sent"]
    assert "10.0 s, 90.3 rows/s" == rows["time"]
    assert "2,000 (prompt 1,500, completion 500)" == rows["tokens"]
    assert {"  empty", "  length", "first token p50 / p95 / p99", "spent"}.isdisjoint(rows)


def test_answers_of_before() -> None:
    """They are no failures that stay, none that is asked again, and none of a preview that the same command sent."""
    file = Counts(Counter({"ok": 12, "cut": 2, "failed": 8}))
    tally = Tally(60, 20, file=file)  # of the failed ones 6 stay
    for before in (None, None, Standing("cut")):
        tally.answered += 1
        file.add(Standing("ok"), before)

    assert "16 (13 of them before)" == dict(figures.standing(tally))["answered"]
    assert 13 == figures.as_json(tally)["already_answered"]
    tally.carry_on(Tally(5, 0, answered=5))
    assert "16 (8 of them before)" == dict(figures.standing(tally))["answered"]


def test_summary_names_odd_answers() -> None:
    """Answers without text and answers cut short have rows of their own, and so has the money if prices are known."""
    rows = dict(figures.summary(Tally(10, 0, answered=10, empty=2, length=3), lambda tally: f"${tally.answered}"))

    assert rows["  empty"].startswith("2 ")
    assert rows["  cut"].startswith("3 ")
    assert "$10" == rows["spent"]


def test_summary_for_programs() -> None:
    """As JSON every key is always there; without values percentiles are null."""
    histogram = Histogram()
    histogram.add(2.0)

    value = figures.as_json(Tally(2, 1, answered=1, seconds=2.0, latency=histogram))

    assert (2, 1, 2, 0, 0.5) == tuple(
        value[name] for name in ("rows", "already_answered", "answered", "left", "rows_per_second")
    )
    assert {"p50", "p95", "p99"} == set(value["latency"])
    assert value["latency"]["p99"] == pytest.approx(2.0, rel=0.01)
    assert value["first_token"] is None


def stats(**values: Any) -> Stats:
    """What a client says of itself."""
    given = {"in_flight": 0, "queued": 0, "limited_by": None, "held_for": 0.0}
    return Stats(**given | {"requests": 0, "tokens_used": 0, "tokens_reserved": 0} | values)


def moment(tally: Tally, now: Stats | None, **values: Any) -> figures.Moment:
    """A batch that did 40 rows and 4,000 tokens in the last ten seconds."""
    pace = Pace()
    pace.sample(Tally(100, 0), 0.0)
    pace.sample(Tally(100, 0, answered=40, prompt_tokens=4000), 10.0)
    return figures.Moment(tally, pace, now, **values)


def test_a_moment_on_a_line() -> None:
    """A line has how far it is, pace, time left, what is in flight and what limits it, and what needs a look."""
    tally = Tally(100, 0, answered=38, failed=2, empty=1, retries=3, kinds=Counter(server=2))

    shown = figures.line(moment(tally, stats(in_flight=64), concurrency=64, spend=lambda _: "$1"))

    assert (
        "40 of 100 rows, 4 rows/s, 15 s left, 64 in flight, limited by --concurrency, 2 failed (server 2), 1 empty, "
        "3 retries, $1" == shown
    )


def test_what_a_call_takes() -> None:
    """Where calls have ended, median and 95th percentile are shown; a single retry is one retry."""
    shown = figures.line(moment(Tally(100, 0, retries=1), stats(total=Phase(0.42, 1.5))))

    assert ", p50 0.42 s, p95 1.50 s, 0 in flight" in shown
    assert shown.endswith(", 1 retry")


def test_throttled_until_when() -> None:
    """While the gateway wants no more requests, the time of day until then is shown, and how long that is."""
    wall = time.mktime((2030, 5, 1, 14, 3, 10, 0, 0, -1))

    (_, shown) = moment(Tally(9, 0), stats(held_for=12.4), wall=wall).work()

    assert "throttled until 14:03:22 (12 s to go)" == shown


def test_nothing_left_and_nothing_known() -> None:
    """Without a pace there is no time left to tell, without stats nothing on work, at the end no time left."""
    fresh = figures.Moment(Tally(10, 0), Pace())

    assert (["0 of 10", "0 rows/s"], []) == (list(fresh.rows()), list(fresh.work()))
    assert ["100 of 100", "4 rows/s"] == list(moment(Tally(100, 0, answered=100), None).rows())
    assert 1.0 == figures.Moment(Tally(0, 0), Pace()).share


def test_a_failure_is_inert() -> None:
    """A failed row is one line, whatever stands in its id and its message, and no longer than wanted."""
    error = AnyFastError("line\none\x1b]0;title\x07\x9b31m\u202egnp " + "x" * 500)

    shown = figures.failure(RowDone("i\rd\x1b[2J", error, Tally(1, 0), None, ()), 60)

    assert shown.isprintable()
    assert shown.startswith(r"i\rd\x1b[2J: line\none\x1b]0;title\x07\x9b31m\u202egnp")
    assert len(shown) < 140


def test_events() -> None:
    """Events have what a program needs; a failure says if sending again may help and if it may have cost money."""
    tally = Tally(100, 10, answered=30, failed=1)
    error = status_error(429)("slow down")
    error.status_code, error.retryable = 429, True
    attempts = (Attempt(1, "rate_limit", 429, 0.1, "no"),)

    started, progress = figures.started_event(tally), figures.progress_event(moment(tally, stats(queued=1), wall=0.0))
    failure = figures.failure_event(RowDone("a", error, tally, None, attempts))

    assert {"event": "start", "rows": 100, "already_answered": 10} == started
    assert ("progress", 41, 100, 4.0, 14.8) == tuple(
        progress[name] for name in ("event", "done", "rows", "rows_per_second", "seconds_left")
    )
    assert {
        "event": "failure",
        "custom_id": "a",
        "kind": "rate_limit",
        "message": "slow down",
        "status_code": 429,
        "retryable": True,
        "billed": "no",
        "attempts": 1,
        "request_id": None,
    } == failure
    assert figures.failure_event(RowDone("a", None, tally, ChatCompletion(), ())) is None


def test_throttled_until_another_day() -> None:
    """Beyond midnight the day is told, too; and while it waits there is no guess at the time left."""
    wall = time.mktime((2030, 5, 1, 23, 0, 0, 0, 0, -1))
    waiting = moment(Tally(100, 0, answered=40), stats(held_for=90_000.0), wall=wall)

    assert "throttled until 2030-05-03 00:00 (25 h 0 min to go)" == list(waiting.work())[1]
    assert ["40 of 100", "4 rows/s"] == list(waiting.rows())
    assert None is figures.progress_event(waiting)["seconds_left"]


def test_nothing_is_guessed_of_a_gateway_that_does_not_answer() -> None:
    """With calls in flight and no row that ended, nobody knows what limits the run: not the number of calls."""
    still = figures.Moment(Tally(100, 0), Pace(), stats(in_flight=64), 64)

    assert ["64 in flight", "limited by the gateway, which does not answer"] == list(still.work())
    assert "unanswered" == figures.progress_event(still)["limited_by"]


def test_the_longest_rows() -> None:
    """When the end is near, the rows that are waited for are told by their ids; nothing in an id steers a terminal."""
    late = moment(Tally(100, 0, answered=98), stats(in_flight=2), longest=[("row-7", 72.0), ("\x1b[2J", 6.0)])

    assert "waiting for row-7 (1 min 12 s), \\x1b[2J (6 s)" == list(late.work())[-1]
    assert {"custom_id": "row-7", "seconds": 72.0} == figures.progress_event(late)["longest"][0]


def test_the_pace_is_of_rows_that_were_sent() -> None:
    """Rows that fail without being sent make a run no faster."""
    tally = Tally(100, 0, seconds=10.0)
    for _ in range(50):
        tally.count_failure("validation", ())
    tally.count_failure("server", (Attempt(1, "server", 500, 0.1, "no"),))

    assert (0.1, 1) == (tally.rate, tally.sent)


def test_time_left_within_a_limit() -> None:
    """A first burst promises nothing that --rpm does not allow."""
    assert 600.0 == moment(Tally(140, 0, answered=40), stats(), per_minute=10).seconds_left
    assert 25.0 == moment(Tally(140, 0, answered=40), stats(), per_minute=1000).seconds_left


def test_time_left_of_whole_minutes() -> None:
    """While a limit on requests holds the run back, each minute's worth goes with the next minute."""
    now = stats(in_flight=0, limited_by="requests_per_minute")

    assert [163.0, 103.0] == [
        moment(Tally(300, 0, answered=done), now, per_minute=90, elapsed=elapsed).seconds_left
        for done, elapsed in ((90, 17.0), (180, 77.0))
    ]


def test_whole_facts() -> None:
    """On a line stand as many facts as fit, none of them cut; only of the first a part may be seen."""
    assert ["a b  c d", "a b", "a b"] == [figures.fitting(("a b", "c d"), width, "  ") for width in (8, 7, 1)]


def test_where_prices_are_from_is_said_at_the_end() -> None:
    """While it runs the sum is shown, and what it does not hold."""
    shown = moment(Tally(1, 0), None, spend=lambda _: "1.00 USD (list price of today) and 2 rows, not known")

    assert "1.00 USD and 2 rows, not known" == list(shown.tokens())[-1]
