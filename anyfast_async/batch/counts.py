"""What became of the rows of an input, whichever run did it. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

import attrs

from anyfast_async._values.outcome import ODD, Outcome

DESCRIBED: Final[dict[str, str]] = {
    "empty": "no text: thinking used up max_tokens, or the model said nothing",
    "cut": "cut off, mostly at max_tokens",
    "filtered": "stopped by a content filter",
    "refused": "the model refused",
}


@attrs.frozen
class Standing:
    """What stands in the files for one row."""

    outcome: Outcome
    kind: str = ""
    """Of the error of a failed row."""


@attrs.define
class Counts:
    """How many rows of an input came to what."""

    outcomes: Counter[Outcome] = attrs.field(factory=Counter)
    kinds: Counter[str] = attrs.field(factory=Counter)
    """Failed rows by the kind of their error."""

    @property
    def results(self) -> int:
        """Rows with a result."""
        return self.outcomes.total()

    @property
    def answered(self) -> int:
        """Rows with an answer, odd ones included."""
        return self.outcomes.total() - self.outcomes["failed"]

    @property
    def failed(self) -> int:
        """Rows that failed."""
        return self.outcomes["failed"]

    def add(self, now: Standing, before: Standing | None = None, times: int = 1) -> None:
        """Count a row that stands so *now*; *before*, where it had a result: an answer is never lost to a failure.

        Rows that stand alike can be counted together, and taken out again: -1 *times*.
        """
        if before is not None:
            if now.outcome == "failed" != before.outcome:
                return
            self._count(before, -times)
        self._count(now, times)

    def _count(self, one: Standing, times: int) -> None:
        self.outcomes[one.outcome] += times
        if one.outcome == "failed":
            self.kinds[one.kind] += times
            if not self.kinds[one.kind]:
                del self.kinds[one.kind]

    def is_bad(self, accepted: frozenset[str] = frozenset()) -> bool:
        """Return whether a row failed, or came back cut, empty or filtered where that is not *accepted*."""
        return any(self.outcomes[word] for word in ("failed", "cut", "empty", "filtered") if word not in accepted)

    def as_dict(self) -> dict[str, int]:
        """Return the counts by their names, for a program."""
        odd: dict[str, int] = {word: self.outcomes[word] for word in ODD}
        # ``length`` is the wire's word for ``cut``.
        return {"answered": self.answered, **odd, "length": self.outcomes["cut"], "failed": self.failed}


@attrs.define
class Census:
    """What the rows of an input came to before a run."""

    counts: Counts = attrs.field(factory=Counts)
    already: int = 0
    """Rows with a result that stays: they are not sent."""
    fresh: int = 0
    """Rows without a result."""
    unsendable: int = 0
    """Of these, rows that cannot be sent."""
