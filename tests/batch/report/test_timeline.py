"""What happened when."""

from __future__ import annotations

import random

import pytest

from anyfast_async.batch.report.timeline import MOST, Bucket, Timeline


@pytest.mark.parametrize("seconds", [0.05, 3.0, 24.0, 3600.0, 1e7])
def test_the_same_size_for_any_time(seconds: float) -> None:
    """However long a run is there are 240 buckets at most, and none of what happened is lost or stands elsewhere."""
    timeline, chance = Timeline(), random.Random(1)
    moments = sorted(chance.uniform(0, seconds) for _ in range(2000))
    for moment in moments:
        timeline.at(moment).answered += 1

    stretches = list(timeline.stretches(MOST))

    assert len(stretches) <= MOST
    assert moments[-1] == timeline.seconds
    for start, end, bucket in stretches:
        assert bucket.answered == sum(start <= moment < end for moment in moments)


@pytest.mark.parametrize("most", [1, 7, 80])
def test_stretches_have_no_gap(most: int) -> None:
    """Stretches follow each other without a gap, and are no more than asked for."""
    timeline = Timeline()
    for tenth in range(1, 2000, 7):
        timeline.at(tenth / 10).failed += 1

    stretches = list(timeline.stretches(most))

    assert 0 < len(stretches) <= most
    assert 0.0 == stretches[0][0]
    assert all(stretches[n][1] == pytest.approx(stretches[n + 1][0]) for n in range(len(stretches) - 1))
    assert len(range(1, 2000, 7)) == sum(bucket.failed for *_, bucket in stretches)


def test_out_of_order() -> None:
    """What is told late is counted where it happened."""
    timeline = Timeline()
    timeline.at(100.0).answered += 1
    timeline.at(1.0).answered += 1

    assert [1, 1] == [bucket.answered for *_, bucket in timeline.stretches(MOST) if bucket.answered]


def test_peaks_do_not_add_up() -> None:
    """Two buckets that become one have the sum of what happened, but the higher of their peaks."""
    one = Bucket(answered=1, samples=2, in_flight=10, peak=7)

    one.merge(Bucket(answered=2, samples=2, in_flight=6, peak=4))

    assert Bucket(answered=3, samples=4, in_flight=16, peak=7) == one


def test_nothing_happened() -> None:
    """Without anything there is no stretch."""
    assert [] == list(Timeline().stretches(10))
