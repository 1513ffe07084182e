"""Percentiles of many numbers in little memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from math import floor, log
from typing import ClassVar, Final

import attrs

from anyfast_async._values.bases import Shown

_STEP: Final = math.log(1.01)
_LEAST: Final = 1e-6
_LOWEST: Final = math.floor(math.log(_LEAST) / _STEP)


def _bucket(value: float) -> int:
    return floor(log(value) / _STEP) if value > _LEAST else _LOWEST


@attrs.define(repr=False)
class Histogram(Shown):
    """Positive numbers, kept to within 1 %: percentiles without keeping every value."""

    count: int = 0
    total: float = 0.0
    """Sum of the values."""
    _buckets: dict[int, int] = attrs.field(factory=dict)

    def add(self, value: float) -> None:
        """Count *value*; zero and less counts as the smallest number."""
        bucket = _bucket(value)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.total += value

    def extend(self, values: Sequence[float]) -> None:
        """Count many values, in less time than one by one."""
        for bucket, number in Counter(map(_bucket, values)).items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + number
        self.count += len(values)
        self.total += sum(values)

    def merge(self, other: Histogram) -> None:
        """Count what *other* has counted."""
        for bucket, number in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + number
        self.count += other.count
        self.total += other.total

    def as_list(self) -> list[float]:
        """Return the sum, then each bucket with what is in it: :meth:`of_list` makes a histogram of it again."""
        return [round(self.total, 6), *(one for pair in self._buckets.items() for one in pair)]

    @classmethod
    def of_list(cls, values: Sequence[float]) -> Histogram:
        """Return the histogram that :meth:`as_list` told."""
        buckets = {int(bucket): int(number) for bucket, number in zip(values[1::2], values[2::2], strict=True)}
        return cls(sum(buckets.values()), values[0] if values else 0.0, buckets)

    def percentile(self, percent: float) -> float | None:
        """Return the number that *percent* of the values do not exceed (nearest rank), None if there are none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return math.exp((bucket + 0.5) * _STEP)
        return None

    def bins(self, most: int) -> Iterator[tuple[float, float, int]]:
        """Yield *most* bins or fewer, each (from, to, count), as wide as each other on a logarithmic scale."""
        if not self.count:
            return
        low, high = min(self._buckets), max(self._buckets)
        width = math.ceil((high - low + 1) / most)
        counts = Counter[int]()
        for bucket, number in self._buckets.items():
            counts[(bucket - low) // width] += number
        for index in range((high - low) // width + 1):
            start = low + index * width
            yield math.exp(start * _STEP), math.exp((start + width) * _STEP), counts[index]


class Phases:
    """How long the calls of a client took, phase by phase; counted when somebody wants to know, or many have come."""

    __slots__ = ("_histograms", "_new")

    MANY: ClassVar[int] = 256

    def __init__(self) -> None:
        self._histograms = Histogram(), Histogram(), Histogram(), Histogram()
        self._new: list[tuple[float, float | None, float | None, float]] = []

    def add(self, queue: float, connect: float | None, first_token: float | None, total: float) -> None:
        """Take in a call that succeeded."""
        new = self._new
        new.append((queue, connect, first_token, total))
        if len(new) >= self.MANY:
            self._count()

    def _count(self) -> None:
        new, self._new = self._new, []
        for histogram, values in zip(self._histograms, zip(*new, strict=True), strict=False):
            histogram.extend([value for value in values if value is not None])

    def counted(self) -> tuple[Histogram, Histogram, Histogram, Histogram]:
        """Return how long calls waited for admission, for a connection, for the first token, and took in all."""
        self._count()
        return self._histograms
