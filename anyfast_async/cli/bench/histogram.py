"""Many times in little memory, exact to three digits. The only file that imports hdrh (HdrHistogram)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

INSTALL: Final = "pip install 'anyfast-async[bench]'"

_UNIT: Final = 1e6
"""Of a second: microseconds are counted."""
_LONGEST: Final = 3600 * 1_000_000
_DIGITS: Final = 3
_NARROWEST: Final = math.log(1.005)
"""Of a bin: finer than that is noise of the clock."""


def missing() -> str | None:
    """Return the line that installs what a load test needs, None if it is there."""
    return INSTALL if find_spec("hdrh") is None else None


class Times:
    """Times in seconds, from a microsecond to an hour."""

    def __init__(self) -> None:
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - an extra

        self._histogram: Any = HdrHistogram(1, _LONGEST, _DIGITS)
        self.count: int = 0
        self.total: float = 0.0
        """Sum of the times."""
        self.longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a time; less than a microsecond counts as one, more than an hour as that."""
        self._histogram.record_value(min(max(round(seconds * _UNIT), 1), _LONGEST))
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    @property
    def mean(self) -> float | None:
        """None if there is none."""
        return self.total / self.count if self.count else None

    def percentile(self, percent: float) -> float | None:
        """Return the time that *percent* of all do not exceed, None if there is none."""
        return self._histogram.get_value_at_percentile(percent) / _UNIT if self.count else None

    def bins(self, most: int) -> Iterator[tuple[float, float, int]]:
        """Yield *most* bins or fewer, each (from, to, count), as wide as each other on a logarithmic scale."""
        if not self.count:
            return
        low, high = (math.log(self._histogram.get_min_value()), math.log(self._histogram.get_max_value() + 1))
        width = max((high - low) / most, _NARROWEST)
        counts = Counter[int]()
        for one in self._histogram.get_recorded_iterator():
            counts[int((math.log(one.value_iterated_to) - low) / width)] += one.count_added_in_this_iter_step
        for index in range(max(counts) + 1):
            start = low + index * width
            yield math.exp(start) / _UNIT, math.exp(start + width) / _UNIT, counts[index]

    def encoded(self) -> str:
        """Return it as HdrHistogram's tools in every language read it (V2, compressed, base64); microseconds."""
        text: bytes = self._histogram.encode()
        return text.decode("ascii")
