"""When requests are meant to start. Pure: chance comes as a generator, time as numbers.

In an open loop they start when they are due, whatever became of those before: what arrives does not wait for what is
slow, as visitors do not. With a fixed concurrency the next one starts when one is done.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Final, Literal, TypeAlias

import attrs
import click

Kind: TypeAlias = Literal["constant", "poisson"]
KINDS: Final = ("constant", "poisson")
DOUBLED: Final = ".."
"""Between two loads: that one, twice as much, and so on up to the other."""


@attrs.frozen
class Load:
    """What a gateway is offered in one part of a test: a rate, or a number of calls at once."""

    rate: float | None = None
    """Requests a second, in an open loop."""
    concurrency: int | None = None
    """Calls at once, in a closed one."""
    arrivals: Kind = "poisson"

    @property
    def amount(self) -> float:
        """The number that a sweep goes through."""
        return self.rate if self.rate is not None else float(self.concurrency or 0)

    def __str__(self) -> str:
        if self.rate is not None:
            return f"{self.rate:g} requests/s ({self.arrivals})"
        return f"{self.concurrency} at once"


def due(load: Load, random: Random) -> Iterator[float]:
    """Yield the seconds after the beginning at which requests of an open loop are due, without end."""
    rate = load.rate or 1.0
    if load.arrivals == "constant":
        number = 0
        while True:
            yield number / rate  # from the number, so that nothing adds up
            number += 1
    at = 0.0
    while True:
        at += random.expovariate(rate)
        yield at


def amounts(text: str) -> tuple[float, ...]:
    """Return the loads that *text* names: ``4``, ``1,2,4``, or ``1..64``, which doubles.

    Raises:
        click.BadParameter: it names none, or they do not grow.

    """
    first, doubled, last = text.partition(DOUBLED)
    try:
        found = [float(part) for part in text.split(",")] if not doubled else [float(first), float(last)]
    except ValueError:
        found = []
    rising = bool(doubled) or all(a < b for a, b in itertools.pairwise(found))
    if not found or not rising or not 0 < found[0] <= found[-1] <= _MOST:
        message = f"{text!r} is no load: write 8, or growing ones like 1,2,4, or 1..64, which doubles"
        raise click.BadParameter(message)
    if doubled:
        low, high = found
        found = []
        while low < high:
            found.append(low)
            low *= 2
        found.append(high)
    return tuple(found)


_MOST: Final = 1e6
