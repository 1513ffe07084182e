"""What is measured of answers, when it says nothing of the gateway, and where the knee of a sweep is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from anyfast_async.cli.bench.arrivals import Load
from anyfast_async.cli.bench.knee import knee
from anyfast_async.cli.bench.measurement import LoadRequest, Measurement, Said


def measurement(rate: float = 1.0) -> Measurement:
    return Measurement(Load(rate=rate), begins=10.0, until=20.0)


def asked(due: float, sent: float, pieces: Iterable[float]) -> LoadRequest:
    one = LoadRequest(due, sent)
    for at in pieces:
        one.arrived(at)
    return one


def test_definitions() -> None:
    """First token and whole count from when a request was due; per token is the mean of an answer, between the gaps."""
    one = measurement()
    request = asked(11.0, 11.5, [12.0, 12.1, 12.4, 13.0])

    one.begun(request)
    one.ended(request, 13.0, Said(prompt_tokens=7, completion_tokens=11))

    assert one.first_token.percentile(50) == pytest.approx(1.0, rel=1e-3)
    assert one.first_token_sent.percentile(50) == pytest.approx(0.5, rel=1e-3)
    assert one.whole.percentile(50) == pytest.approx(2.0, rel=1e-3)
    assert one.per_token.percentile(50) == pytest.approx(0.1, rel=1e-3)
    assert [one.between.percentile(p) for p in (1, 50, 100)] == pytest.approx([0.1, 0.3, 0.6], rel=2e-3)
    assert one.checks.start_delay.percentile(50) == pytest.approx(0.5, rel=1e-3)
    assert (one.prompt_tokens, one.completion_tokens, one.uncounted) == (7, 11, 0)


def test_tokens_nobody_counted() -> None:
    """Where the gateway does not say how many tokens there are, pieces are taken for them, and that is told."""
    one = measurement()
    one.ended(asked(11, 11, [12.0, 12.5, 13.0]), 13.0, Said())

    assert (one.completion_tokens, one.uncounted) == (3, 1)
    assert one.per_token.percentile(50) == pytest.approx(0.5, rel=1e-3)


def test_answers_of_one_piece() -> None:
    """One token, or one piece, has no time per token; an answer without content is a failure."""
    one = measurement()
    one.ended(asked(11, 11, [12.0]), 12.0, Said(completion_tokens=1))
    one.ended(asked(11, 11, [12.0]), 12.0, Said(completion_tokens=50))
    one.ended(asked(11, 11, []), 12.0, Said())

    assert (one.answered, one.per_token.count, dict(one.failed)) == (2, 0, {"empty": 1})


def test_warm_up() -> None:
    """Requests that were due in the warm-up count nowhere but in the throughput, as they end while others begin."""
    one = measurement()
    early = asked(9.9, 9.9, [10.5])
    one.begun(early)
    one.ended(early, 11.0, Said(completion_tokens=40))
    one.failure(asked(9.9, 9.9, []), "server")
    one.ended(asked(19.0, 19.0, [20.5]), 21.0, Said(completion_tokens=30))

    assert (one.warmed, one.answered, dict(one.failed), one.checks.start_delay.count) == (2, 1, {}, 0)
    assert [one.throughput, one.token_throughput] == pytest.approx([0.1, 4.0])


GOOD = 0.3


def checked(change: Callable[[Measurement], object]) -> list[str]:
    one = measurement()
    for number in range(100):
        request = asked(11.0, 11.0005, [11.0 + GOOD, 11.0 + GOOD + 0.02])
        one.begun(request)
        one.ended(request, 12.0 + number / 100, Said(completion_tokens=2))
        one.checks.loop_delay.add(0.0005)
    one.checks.cpu_seconds, one.checks.wall_seconds = 3.0, 10.0
    change(one)
    return one.verdict()


def _late(share: int, by: float) -> Callable[[Measurement], object]:
    def change(one: Measurement) -> None:
        for _ in range(share):
            one.checks.loop_delay.add(by)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: None, []),
        (lambda one: setattr(one.checks, "cpu_seconds", 9.5), ["this process used 95% of a CPU"]),
        (_late(1, 0.5), []),  # once is chance
        (_late(5, 0.02), ["the event loop was late: by 20 ms (p99), more than 5% of the median first token"]),
        (_late(5, 0.014), []),
        (_late(15, 0.01), ["the event loop was late: by 10 ms (p90), more than 3% of the median first token"]),
        (_late(300, 0.004), ["the event loop was late by 4 ms (p50), too much for single tokens"]),
        (
            lambda one: [one.begun(LoadRequest(12.0, 12.1)) for _ in range(5)],
            ["requests started late: by 100 ms (p99), more than 5% of the median first token"],
        ),
        (lambda one: setattr(one.checks, "held_back", 3), ["3 requests were held back here"]),
    ],
)
def test_validity(change: Callable[[Measurement], object], words: list[str]) -> None:
    """What makes figures useless is named: a CPU that is used up, a late loop, late starts, requests held back."""
    found = checked(change)

    assert len(found) == len(words)
    assert all(begins in problem for begins, problem in zip(words, found, strict=True))


def point(rate: float, throughput: float, seconds: float, *, valid: bool = True) -> Measurement:
    one = Measurement(Load(rate=rate), begins=0.0, until=10.0)
    for number in range(round(throughput * 10)):
        due = number / throughput
        one.ended(asked(due, due, [due + seconds]), min(due + seconds, 10.0), Said())
    one.checks.held_back = 0 if valid else 1
    return one


def test_knee() -> None:
    """The knee is the load with most throughput for the time an answer takes: before it grows faster than the work."""
    points = [point(1, 1, 1.0), point(2, 2, 1.02), point(4, 4, 1.1), point(8, 7.5, 1.6), point(16, 8, 6.0)]
    found = knee(points)

    assert found is not None
    assert found.load.rate == 8


def test_no_knee() -> None:
    """A sweep that never slows down has none, nor has one load, nor one whose figures are invalid beyond."""
    rising = [point(1, 1, 1.0), point(2, 2, 1.0), point(4, 4, 1.0)]

    assert knee(rising) is None
    assert knee(rising[:1]) is None
    assert knee([]) is None
    assert knee([*rising, point(8, 4, 9.0, valid=False)]) is None
