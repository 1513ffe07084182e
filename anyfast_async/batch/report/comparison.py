"""Two runs held against each other, row by row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

import attrs

from anyfast_async.batch.report.gathered import EXAMPLES
from anyfast_async.batch.results.results import Results
from anyfast_async.batch.results.row import Row

Change: TypeAlias = tuple[str, str]
"""What rows were in the one run, and in the other: an outcome, of a failure its kind."""
_SEED: Final = 1


@attrs.frozen
class Pair:
    """A row that two runs answered differently."""

    custom_id: str
    one: str
    other: str


@attrs.define
class Comparison:
    """What became of the rows of two runs."""

    both: int = 0
    """Rows with a result in either, as the next two."""
    same: int = 0
    """With the same text."""
    different: int = 0
    """Answered in both, with another text."""
    only_one: int = 0
    only_other: int = 0
    changes: Counter[Change] = attrs.field(factory=Counter)
    """Rows that came to something else."""
    examples: dict[Change, list[str]] = attrs.field(factory=dict)
    """Ids of the first few of these."""
    samples: list[Pair] = attrs.field(factory=list)


def compared_rows(
    one: Results, other: Results, *, samples: int = 0, look: Callable[[Row], None] | None = None
) -> Comparison:
    """Return how the results of two batches differ; *samples* pairs of different answers are drawn."""
    made, chance = Comparison(), random.Random(_SEED)  # noqa: S311 - nothing secret
    for row in one.rows():
        if look is not None:
            look(row)
        its = other.find(row.custom_id)
        if its.outcome == "missing":
            made.only_one += 1
            continue
        made.both += 1
        change = _word(row), _word(its)
        if change[0] != change[1]:
            made.changes[change] += 1
            kept = made.examples.setdefault(change, [])
            if len(kept) < EXAMPLES:
                kept.append(row.custom_id)
        if row.text is None or its.text is None:
            continue
        texts = row.text, its.text
        if texts[0] == texts[1]:
            made.same += 1
            continue
        made.different += 1
        place = made.different - 1 if made.different <= samples else chance.randrange(made.different)
        if place < samples:
            made.samples[place : place + 1] = [Pair(row.custom_id, *texts)]
    made.only_other = other.total - made.both
    return made


def _word(row: Row) -> str:
    return row.error_kind or row.outcome
