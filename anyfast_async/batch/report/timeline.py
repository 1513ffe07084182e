"""What happened when, in buckets of time that grow with the run: of one size for a minute and a month. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

MOST: Final = 240
"""Buckets; when a run outlasts them, each two become one that is twice as wide."""
FINEST: Final = 0.1
"""Seconds of the first buckets."""


@attrs.define
class Bucket:
    """What happened in one stretch of time, and what was sampled in it."""

    answered: int = 0
    failed: int = 0
    retries: int = 0
    """Attempts after the first, of rows that ended here; those that the gateway throttled are not among them."""
    throttled: int = 0
    """Attempts that the gateway throttled, of rows that ended here."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    samples: int = 0
    in_flight: int = 0
    """Sum over the samples, as the next one."""
    queued: int = 0
    peak: int = 0
    """Most calls in flight in any sample."""
    held: int = 0
    """Samples in which throttling held calls back."""

    def merge(self, other: Bucket) -> None:
        """Take in what another bucket has."""
        for field in attrs.fields(Bucket):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, max(mine, its) if field.name == "peak" else mine + its)


@attrs.define
class Timeline:
    """Buckets from the start of a run on."""

    width: float = FINEST
    """Seconds that each bucket spans."""
    seconds: float = 0.0
    """Up to where there is something."""
    _buckets: list[Bucket] = attrs.field(factory=list)

    def at(self, seconds: float) -> Bucket:
        """Return the bucket to count in what happens *seconds* after the start, from 0."""
        self.seconds = max(self.seconds, seconds)
        while seconds >= self.width * MOST:
            self.width *= 2
            self._buckets = _merged(self._buckets, 2)
        index = int(seconds / self.width)
        while len(self._buckets) <= index:
            self._buckets.append(Bucket())
        return self._buckets[index]

    def stretches(self, most: int) -> Iterator[tuple[float, float, Bucket]]:
        """Yield *most* stretches of time or fewer, without a gap: from, to (seconds from the start), what happened."""
        together = -(-len(self._buckets) // most) or 1
        width = self.width * together
        for index, bucket in enumerate(_merged(self._buckets, together)):
            yield index * width, (index + 1) * width, bucket


def _merged(buckets: list[Bucket], together: int) -> list[Bucket]:
    merged = []
    for start in range(0, len(buckets), together):
        whole = Bucket()
        for one in buckets[start : start + together]:
            whole.merge(one)
        merged.append(whole)
    return merged
