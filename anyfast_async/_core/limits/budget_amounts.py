"""What a shared budget counts: tokens, billionths of a US dollar, and requests, all of them whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Amounts: TypeAlias = tuple[int, int, int]
NANO: Final = 1_000_000_000
NOTHING: Final[Amounts] = (0, 0, 0)


def plus(one: Amounts, other: Sequence[int]) -> Amounts:
    """Return the sum."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def minus(one: Amounts, other: Sequence[int]) -> Amounts:
    """Return the difference."""
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def most(one: Amounts, other: Amounts) -> Amounts:
    """Return the larger of each."""
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])


def least(one: Amounts, other: Amounts) -> Amounts:
    """Return the smaller of each."""
    return min(one[0], other[0]), min(one[1], other[1]), min(one[2], other[2])


def fits(needs: Amounts, room: Amounts) -> bool:
    """Return whether there is room for all of it; what needs nothing fits where there is less than none."""
    return all(need <= max(0, some) for need, some in zip(needs, room, strict=True))


def shown(amount: int, place: int) -> str:
    """Return an amount in words; *place*: which one it is."""
    return f"{amount / NANO:,.4f} USD" if place == 1 else f"{amount:,} {'tokens' if place == 0 else 'requests'}"
