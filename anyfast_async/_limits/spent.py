"""What calls have used, added up so that it can be priced later."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import add
from typing import TYPE_CHECKING, Final

import attrs

from anyfast_async._core.usage import Used
from anyfast_async._values.bases import Shown

if TYPE_CHECKING:
    from anyfast_async.prices import Prices

_STEPS: Final = (32_000, 128_000, 200_000, 256_000, 272_000)
"""Sizes of prompts above which some models have other prices: calls of one size can be added up."""
_NOTHING: Final = [0] * 6


@attrs.define(repr=False)
class Spent(Shown):
    """What calls have used, added up so that it can be priced later."""

    calls: int = 0
    """Those that said what they used."""
    unknown: int = 0
    """Those that did not: what they cost is not in any sum."""
    _sums: dict[tuple[str, int], list[int]] = attrs.field(factory=dict)

    def add(self, model: str, used: Used | None, times: int = 1) -> None:
        """Count a call of *model*; -1 *times* takes it out again."""
        if used is None:
            self.unknown += times
        else:
            self._add(model, bisect_left(_STEPS, used.prompt), times, (times * value for value in used))

    def extend(self, model: str, calls: Sequence[Used]) -> None:
        """Count many calls of *model*, in less time than one by one."""
        columns = [*zip(*calls, strict=True)]
        if columns and max(columns[0]) <= _STEPS[0]:
            self._add(model, 0, len(calls), map(sum, columns))
        else:
            for used in calls:
                self.add(model, used)

    def _add(self, model: str, step: int, calls: int, sums: Iterable[int]) -> None:
        self.calls += calls
        before = self._sums.get((model, step)) or _NOTHING
        self._sums[model, step] = [*map(add, before, (calls, *sums))]

    @property
    def models(self) -> Iterable[str]:
        """Those that were used."""
        return dict.fromkeys(model for model, _ in self._sums)

    def used(self, model: str) -> Used:
        """Return what all calls of *model* used."""
        sums = [sums for (one, _), (_, *sums) in self._sums.items() if one == model]
        return Used(*map(sum, zip(*sums, strict=True))) if sums else Used(0, 0)

    def cost_of(self, model: str, prices: Prices | None) -> float | None:
        """Return what the calls of *model* cost, None if it has no price."""
        price = prices.price(model) if prices is not None else None
        if price is None:
            return None
        total = 0.0
        for (one, _), (calls, *sums) in self._sums.items():
            if one == model and calls:
                total += calls * price.cost(Used(*(value / calls for value in sums)))  # type: ignore[arg-type]  # means
        return total

    def cost(self, prices: Prices | None) -> float | None:
        """Return what is known to be used costs, None if a model has no price."""
        used = dict.fromkeys(model for (model, _), (calls, *_) in self._sums.items() if calls)
        costs = [self.cost_of(model, prices) for model in used]
        return None if None in costs else sum(cost for cost in costs if cost is not None)
