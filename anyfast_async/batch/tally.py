"""What is counted over a batch. Pure, and of the same size for ten rows and ten million."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import attrs

from anyfast_async.completions import ChatCompletion
from anyfast_async.errors import Attempt

_STEP: Final = math.log(1.01)


@attrs.define
class Histogram:
    """Positive numbers, kept to within 1 %: percentiles without keeping every value."""

    count: int = 0
    _buckets: Counter[int] = attrs.field(factory=Counter)

    def add(self, value: float) -> None:
        """Count *value*; zero and less counts as the smallest number."""
        self._buckets[math.floor(math.log(max(value, 1e-6)) / _STEP)] += 1
        self.count += 1

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


@attrs.define
class Tally:
    """How far a batch is."""

    total: int
    """Rows of the input."""
    already: int
    """Of these, answered before this run."""
    answered: int = 0
    """By this run, ``empty`` and ``cut`` included."""
    failed: int = 0
    kinds: Counter[str] = attrs.field(factory=Counter)
    """Failed rows by the kind of their error."""
    empty: int = 0
    """Answers without text and without a tool call."""
    cut: int = 0
    """Answers with text whose finish reason is ``"length"``: max_tokens ended them."""
    retries: int = 0
    """Attempts after the first, over all rows."""
    prompt_tokens: int = 0
    """As the gateway reports them, as the next one."""
    completion_tokens: int = 0
    seconds: float = 0.0
    """From the first row to the last result."""
    latency: Histogram = attrs.field(factory=Histogram)
    """Seconds per answered row: waiting for our limits, every attempt and the pauses between them included."""
    first_token: Histogram = attrs.field(factory=Histogram)
    """Seconds from sending to the first content; only with ``via_stream``."""

    @property
    def done(self) -> int:
        """Rows with a result, of this run or an earlier one."""
        return self.already + self.answered + self.failed

    @property
    def left(self) -> int:
        """Rows without a result."""
        return self.total - self.done

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def rate(self) -> float:
        """Rows a second, of this run."""
        return (self.answered + self.failed) / self.seconds if self.seconds > 0 else 0.0

    def count_answer(self, completion: ChatCompletion) -> None:
        """Count an answered row."""
        self.answered += 1
        if not completion.text and not completion.tool_calls:
            self.empty += 1
        elif completion.finish_reason == "length":
            self.cut += 1
        if completion.usage is not None:
            self.prompt_tokens += completion.usage.prompt_tokens or 0
            self.completion_tokens += completion.usage.completion_tokens or 0
        trace = completion.trace
        if trace is not None:
            self._count_retries(trace.attempts)
            self.latency.add(trace.total)
            if trace.first_token is not None:
                self.first_token.add(trace.first_token)

    def count_failure(self, kind: str, attempts: tuple[Attempt, ...]) -> None:
        """Count a failed row."""
        self.failed += 1
        self.kinds[kind] += 1
        self._count_retries(attempts)

    def _count_retries(self, attempts: tuple[Attempt, ...]) -> None:
        self.retries += max(0, len(attempts) - 1)
